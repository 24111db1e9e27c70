import pytest

from rancher_ext.bundle.truth import Truth
from rancher_ext.signatures.expressions import Subject, evaluate, problem_with_expression

T, F, U = Truth.TRUE, Truth.FALSE, Truth.UNKNOWN
PARTIAL = Subject(
    {"node": {"spec": {"a": "x"}}, "ready": "False"}, {"annotation": {"k": "v"}.get, "taint": {"t": True}.get}
)
WHOLE = Subject({"node": {"spec": {"a": "x"}, "status": {"n": None}}, "ready": "True"}, complete=True)


@pytest.mark.parametrize(
    ("expression", "partial", "whole"),
    [
        ('node.spec.a == "x"', T, T),
        ('node.spec.b == "x"', U, U),
        ('node.spec.b == "x" || ready == "False"', T, U),
        ('node.spec.b == "x" && ready == "True"', F, U),
        ("has(node.spec.a)", T, T),
        ("has(node.spec.podCIDR)", U, F),
        ("!has(node.spec.podCIDR)", U, T),
        ("!has(node.status.deep.down)", U, T),
        ('has(node.spec.podCIDR) || node.spec.a == "x"', T, T),
        ('has(node.spec.podCIDR) && node.spec.a == "y"', F, F),
        ("has(node.q) == has(node.r)", U, T),
        ("!has(node.status.n)", U, T),
        ("node.spec.a", U, U),
        ("node.spec.a > 1", U, U),
        ("kubelet == 'v1'", U, U),
    ],
)
def test_a_field_without_evidence_is_unknown_and_whole_objects_have_all_their_fields(expression, partial, whole):
    assert evaluate(expression, PARTIAL) is partial
    assert evaluate(expression, WHOLE) is whole


@pytest.mark.parametrize(
    ("expression", "truth"),
    [
        ('annotation("k") == "v"', T),
        ('annotation("other") != ""', U),
        ('annotation("other") != "" || ready == "False"', T),
        ('!taint("other")', U),
        ('taint("t") && ready == "False"', T),
    ],
)
def test_a_function_that_does_not_know_makes_the_answer_unknown(expression, truth):
    """CEL holds null to be different from everything: `null != ""` would be true."""
    assert evaluate(expression, PARTIAL) is truth


def test_one_context_serves_several_expressions():
    context = PARTIAL.context()

    assert [evaluate(e, PARTIAL, context) for e in ('ready == "False"', 'ready == "True"')] == [T, F]


@pytest.mark.parametrize(
    ("expression", "kind", "said"),
    [
        ("", "node", "does not compile"),
        ("node.spec ==", "node", "does not compile"),
        ('"open', "pod", "does not compile"),
        ("nodes.size() > 1", "node", "knows no 'nodes'"),
        ("pod.spec.x == 1", "node", "on a node there are"),
        ('taint("x")', "pod", "on a pod there are container"),
        ("frobnicate(name)", "daemonset", "none of our own"),
        ("node.status.conditions.filter(c, c.type == 'a').size() > 0", "node", "exists() or all()"),
        ('name.matches("(")', "node", "matches"),
        ('name.matches("a(?=b)")', "node", "matches"),
        ("taint(name)", "node", "one quoted word"),
    ],
)
def test_a_wrong_expression_is_told_apart_before_it_runs(expression, kind, said):
    assert said in problem_with_expression(expression, kind)


@pytest.mark.parametrize(
    ("expression", "kind"),
    [
        ('node.status.conditions.exists(c, c.type == "Ready" && c.status != "True")', "node"),
        ('node.status.nodeInfo.osImage.matches("(Rocky|Alma)[^0-9]* 10([^0-9]|$)")', "node"),
        ('taint("node.cloudprovider.kubernetes.io/uninitialized") && condition("Ready").status == "False"', "node"),
        ('container("kube-flannel").lastExitCode == 1 && container("calico-node").ready', "pod"),
        ("size(name) > 3 && restarts >= 3 ? true : false", "pod"),
        ("desired < linuxNodes", "daemonset"),
        ('object.data["net-conf.json"].contains("host-gw")', "object"),
    ],
)
def test_expressions_of_the_reference_are_fine(expression, kind):
    assert problem_with_expression(expression, kind) is None


@pytest.mark.parametrize(
    ("expression", "kind", "said"),
    [
        ('namespace == "kube-system"', "pod", "write `of: {namespace: …}` beside it, or pod.metadata.namespace"),
        ('status == "x" || !(namespace == "y")', "daemonset", "`namespace` is a reserved word"),
        ("for > 3", "object", "`for` is a reserved word in CEL and no name"),
    ],
)
def test_words_that_cel_keeps_for_itself_are_told(expression, kind, said):
    assert said in problem_with_expression(expression, kind)


@pytest.mark.parametrize(
    "expression",
    ['pod.metadata.namespace == "kube-system"', 'name == "namespace"', "has(pod.spec.if) && pod.spec.for == 1"],
)
def test_fields_and_text_may_be_called_so(expression):
    assert problem_with_expression(expression, "pod") is None
