import pytest
from pydantic import ValidationError

from rancher_ext.signatures.predicate_schema import duration_seconds
from rancher_ext.signatures.schema import Cause, Verdict
from tests.rancher_ext.signatures.builders import a_signature


def errors(**fields):
    with pytest.raises(ValidationError) as caught:
        a_signature(**fields)
    return " | ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in caught.value.errors())


def test_the_verdict_follows_from_the_cause_unless_it_is_said():
    assert a_signature(cause="rbac-forbidden").says is Verdict.CNI_FAILURE
    assert a_signature(cause="other-cni").says is Verdict.OTHER_FAILURE
    assert a_signature(cause="healthy-lookalike").says is Verdict.OTHER_FAILURE
    assert a_signature(cause="healthy-lookalike", verdict="healthy").says is Verdict.HEALTHY


def test_single_values_may_stand_for_lists():
    signature = a_signature(
        applies={"distributions": "rke2", "cni": "canal", "kubernetes": ">=1.32"},
        when={"all": [{"log": "X", "from": {"workload": "cni", "unit": "k3s", "container": "kube-flannel"}}]},
    )

    assert signature.applies.distributions == ("rke2",)
    assert signature.when.all[0].log == ("X",)
    assert signature.when.all[0].from_[0].container == ("kube-flannel",)


@pytest.mark.parametrize(
    ("predicate", "said"),
    [
        ({}, "exactly one of the keys"),
        ({"log": "a", "text": "b"}, "exactly one of the keys"),
        ({"lgo": "a"}, "exactly one of the keys"),
        ({"log": "a", "form": {}}, "Extra inputs"),
        ({"log": "a", "from": {"workload": "canal"}}, "Input should be 'cni'"),
        ({"pod": "ready", "share": "half"}, "for example '>50%'"),
        ({"age": {"of": "node"}}, "more_than, less_than or both"),
        ({"age": {"of": "node", "more_than": "5 minutes"}}, "for example 90s"),
        ({"count": {"of": {"log": "a"}}}, "at_least, at_most or both"),
        ({"absent": {"nothing": 1}}, "exactly one of the keys"),
        ({"condition": {"status": "Maybe"}}, "Input should be 'True'"),
    ],
)
def test_a_wrong_predicate_says_what_would_be_right(predicate, said):
    assert said in errors(when={"all": [predicate]})


def test_when_needs_something_to_see():
    assert "at least one predicate" in errors(when={"none": [{"log": "a"}]})


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"cause": "gremlins"}, "cause"),
        ({"id": "Bad_Id"}, "lower case letters"),
        ({"explains": ["also bad"]}, "lower case letters"),
        ({"references": []}, "references"),
        ({"references": ["http://plain.example"]}, "begin with https://"),
        ({"confidence": 1}, "less than or equal to 0.99"),
        ({"surprise": 1}, "Extra inputs"),
        ({"applies": {"cni": ["weave"]}}, "flannel"),
    ],
)
def test_a_wrong_field_is_refused(fields, said):
    assert said in errors(**fields)


def test_yaml_booleans_are_condition_statuses():
    """`status: False` without quotes is a boolean to YAML and a word to Kubernetes."""
    signature = a_signature(when={"all": [{"condition": {"type": "Ready", "status": False}}]})

    assert signature.when.all[0].condition.status == "False"


def test_folded_explanations_become_one_line():
    assert a_signature(because="one line\n  and another one of it\n").because == "one line and another one of it"


def test_predicates_are_found_inside_others():
    signature = a_signature(
        when={
            "all": [{"count": {"of": {"absent": {"log": "deep"}}, "at_least": 1}}],
            "none": [{"text": "no"}],
        },
        supports=[{"node": "ready == 'True'"}],
    )

    assert [type(p).__name__ for p in signature.predicates()] == [
        "CountPredicate",
        "AbsentPredicate",
        "LogPredicate",
        "TextPredicate",
        "NodePredicate",
    ]


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("1h30m", 5400), ("2d", 172800)])
def test_durations(text, seconds):
    assert duration_seconds(text) == seconds


def test_every_cause_of_the_design_is_a_cause():
    assert len(Cause) == 36
