"""Does our block go into people's text and out of it again without a trace, and never where it cannot be read?"""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rancher_ext.client.changes import Value, merge
from rancher_ext.errors import ConfigError
from rancher_ext.remediation.action import NotPossible
from rancher_ext.remediation.manifests import (
    Manifest,
    block_diff,
    documents_of,
    for_chart,
    has_block,
    key_of,
    named,
    shipped,
    with_block,
)

OURS = Manifest.of("ours", [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ours", "namespace": "x"}}])
SHIPPED = ["calico-crds", "policy-crds", "canal-rbac", "flannel-rbac"]
SCALARS = st.text(alphabet="ab:#-| \n'", max_size=12)
DOCUMENTS = st.lists(
    st.fixed_dictionaries(
        {"kind": st.just("ConfigMap"), "data": st.dictionaries(st.sampled_from("xyz"), SCALARS, max_size=2)}
    ),
    max_size=3,
)
TEXTS = DOCUMENTS.map(lambda documents: yaml.safe_dump_all(documents, explicit_start=True) if documents else "")


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_manifests_are_objects_and_carry_no_comment_on_top(name):
    manifest = shipped(name)
    assert documents_of(manifest.text) == list(manifest.documents)
    assert not manifest.text.startswith(("#", "---"))
    assert len({key_of(each) for each in manifest.documents}) == len(manifest.documents)
    assert manifest.stays is name.endswith("-crds")


def test_an_unknown_manifest_names_what_to_do():
    with pytest.raises(ConfigError, match="no shipped manifest 'nothing'") as caught:
        shipped("nothing")
    assert "config/manifests/" in caught.value.cure


def test_definitions_keep_whatever_calico_writes():
    for document in [*shipped("calico-crds").documents, *shipped("policy-crds").documents]:
        spec = document["spec"]
        assert document["metadata"]["name"] == f"{spec['names']['plural']}.{spec['group']}"
        (version,) = spec["versions"]
        assert version["served"]
        assert version["storage"]
        assert version["schema"]["openAPIV3Schema"]["x-kubernetes-preserve-unknown-fields"] is True
        # The server leaves it out of its answers, so a repeated step would not know its own object again.
        assert "preserveUnknownFields" not in spec
        # A protected group is refused by the API server without the approval.
        if spec["group"].endswith(".k8s.io"):
            assert document["metadata"]["annotations"]["api-approved.kubernetes.io"]


def test_extra_roles_read_and_are_bound_to_nobody_else():
    for name, accounts in (("canal-rbac", {"canal", "calico-cni-plugin"}), ("flannel-rbac", {"flannel"})):
        role, binding = shipped(name).documents
        assert binding["roleRef"]["name"] == role["metadata"]["name"]
        assert {subject["name"] for subject in binding["subjects"]} == accounts
        for rule in role["rules"]:
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
            assert "secrets" not in rule["resources"]


def test_the_charts_mark_makes_helm_take_definitions_over():
    marked = for_chart(shipped("policy-crds"), "rke2-canal")
    for document in marked.documents:
        metadata = document["metadata"]
        assert metadata["labels"]["app.kubernetes.io/managed-by"] == "Helm"
        assert metadata["annotations"]["meta.helm.sh/release-name"] == "rke2-canal"
        assert metadata["annotations"]["meta.helm.sh/release-namespace"] == "kube-system"
        assert metadata["annotations"]["api-approved.kubernetes.io"]


@given(TEXTS)
def test_our_block_adds_our_documents_and_keeps_theirs(theirs):
    both = with_block(theirs, OURS)
    assert has_block(both, OURS)
    assert list(filter(None, yaml.safe_load_all(both))) == [*filter(None, yaml.safe_load_all(theirs)), *OURS.documents]


@given(TEXTS, TEXTS, TEXTS)
def test_taken_out_again_what_others_wrote_around_it_stays(theirs, before, behind):
    ours = with_block(theirs, OURS)
    edited = before + ours + behind
    back = merge(Value(present=True, value=ours), Value(present=True, value=edited), Value(present=True, value=theirs))
    assert back is not None
    assert "drover:" not in str(back.value)
    assert list(filter(None, yaml.safe_load_all(back.value))) == [
        *filter(None, yaml.safe_load_all(before)),
        *filter(None, yaml.safe_load_all(theirs)),
        *filter(None, yaml.safe_load_all(behind)),
    ]


@pytest.mark.parametrize("glue", ["", "\n", "\n\n"])
def test_a_text_without_a_line_end_is_kept_whole(glue):
    theirs = f"kind: Namespace{glue}"
    assert with_block(theirs, OURS).startswith(theirs)
    assert documents_of(with_block(theirs, OURS)) == [{"kind": "Namespace"}, *OURS.documents]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: [1", "not valid YAML"),
        ("kind: A\n---\nkind: {{ x }}\n", "not valid YAML at its line 3"),
        ("- a\n", "no Kubernetes object"),
        ("apiVersion: v1\n", "no Kubernetes object"),
        ("just words", "no Kubernetes object"),
    ],
)
def test_a_text_that_the_node_could_not_apply_is_refused(text, why):
    answer = documents_of(text)
    assert isinstance(answer, NotPossible)
    assert why in answer.why


def test_the_diff_shows_our_lines_and_nobody_elses():
    assert block_diff([OURS]).splitlines() == [
        " rkeConfig:",
        "   additionalManifest: |",
        "+    # drover:begin ours",
        "+    ---",
        "+    apiVersion: v1",
        "+    kind: ConfigMap",
        "+    metadata:",
        "+      name: ours",
        "+      namespace: x",
        "+    # drover:end ours",
    ]
    assert "+    CustomResourceDefinition ippools.crd.projectcalico.org" in block_diff([shipped("calico-crds")])
    assert len(block_diff([shipped("calico-crds")])) < 2500


def test_objects_are_named_for_a_sentence():
    assert named([]) == ""
    assert (
        named(shipped("flannel-rbac").documents) == "ClusterRole drover-flannel and ClusterRoleBinding drover-flannel"
    )
    assert named(shipped("calico-crds").documents).endswith(" and 19 more")


def test_a_date_that_does_not_exist_is_told_and_no_crash():
    answer = documents_of("kind: ConfigMap\ndata:\n  when: 2026-02-31\n")
    assert isinstance(answer, NotPossible)
    assert "not valid YAML" in answer.why
