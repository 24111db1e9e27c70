"""Whatever the facts: a decision never becomes wider when more is ill, and nothing makes it raise."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from bot.policy.approvals import Approval
from bot.policy.decide import Allow, Facts, NeedsApproval, Refuse, Wait, decide, decision_json
from bot.policy.roles import ROLES
from bot.policy.schema import Policy
from rancher_ext.remediation.action import Risk, UndoKind
from rancher_ext.signatures.schema import Cause
from tests.builders import NOON

DIGESTS = ("a" * 64, "b" * 64)
LABELS = st.dictionaries(
    st.sampled_from(["drover.io/mend", "drover.io/ignore", "environment"]),
    st.sampled_from(["auto", "true", "false", "production", ""]),
)
APPROVALS = st.builds(
    Approval,
    by=st.sampled_from(["maria", "Maria", "jan", "eve"]),
    role=st.sampled_from(ROLES),
    digest=st.sampled_from(DIGESTS),
    at=st.integers(-1, 50).map(lambda ago: NOON - timedelta(hours=ago)),
)
FACTS = st.builds(
    Facts,
    risk=st.sampled_from(Risk),
    undo=st.sampled_from(UndoKind),
    cause=st.sampled_from([*Cause, ""]),
    signature=st.sampled_from(["one", "two", ""]),
    digest=st.sampled_from(DIGESTS),
    labels=LABELS,
    initialized=st.booleans(),
    mending_now=st.integers(0, 6),
    paused=st.booleans(),
    dry_run=st.booleans(),
    failed_before=st.booleans(),
    now=st.just(NOON),
    approvals=st.lists(APPROVALS, max_size=5),
)
WHEN = st.fixed_dictionaries(
    {},
    optional={
        "risk": st.sampled_from(Risk),
        "undo": st.sampled_from(UndoKind),
        "cause": st.sampled_from(Cause),
        "signature": st.sampled_from(["one", "two"]),
        "labels": st.dictionaries(st.just("environment"), st.just("production")),
    },
)
RULES = st.fixed_dictionaries(
    {"when": WHEN, "decide": st.sampled_from(["auto", "approve", "never", "dry-run"])},
    optional={"unless": st.just("approved"), "reason": st.just("because")},
).filter(lambda rule: not (rule["decide"] == "auto" and "unless" in rule))
POLICIES = st.builds(
    lambda rules, at_once: Policy.model_validate({"rules": rules, "brakes": {"clusters_at_once": at_once}}),
    st.lists(RULES, max_size=4),
    st.integers(1, 4),
)
# How much a decision lets happen.
WIDTH = {Refuse: 0, NeedsApproval: 1, Wait: 1, Allow: 2}


def width(policy: Policy, facts: Facts) -> int:
    return WIDTH[type(decide(policy, facts))]


@given(POLICIES, FACTS)
def test_no_facts_make_it_raise_and_every_answer_has_a_reason(policy, facts):
    answer = decide(policy, facts)
    assert answer.reasons
    assert decision_json(answer)["reasons"]


@given(POLICIES, FACTS, st.integers(1, 5))
def test_more_clusters_under_mending_never_widen(policy, facts, more):
    assert width(policy, replace(facts, mending_now=facts.mending_now + more)) <= width(policy, facts)


@given(POLICIES, FACTS)
def test_a_pause_a_dry_run_or_a_failed_cure_never_widen(policy, facts):
    for name in ("paused", "dry_run", "failed_before"):
        assert width(policy, replace(facts, **{name: True})) <= width(policy, replace(facts, **{name: False}))


@given(POLICIES, FACTS)
def test_a_pause_and_a_dry_run_let_nothing_run(policy, facts):
    assert not isinstance(decide(policy, replace(facts, paused=True)), Allow)
    assert not isinstance(decide(policy, replace(facts, dry_run=True)), Allow)


@given(POLICIES, FACTS)
def test_an_opt_out_label_lets_nothing_run(policy, facts):
    assert isinstance(decide(policy, replace(facts, labels={**facts.labels, policy.opt_out: "true"})), Refuse)


@given(POLICIES, FACTS, st.data())
def test_fewer_approvals_never_let_run_what_more_would_not(policy, facts, data):
    kept = data.draw(st.lists(st.sampled_from(facts.approvals), unique_by=id) if facts.approvals else st.just([]))
    if isinstance(decide(policy, replace(facts, approvals=kept)), Allow):
        assert isinstance(decide(policy, facts), Allow)


@given(POLICIES, FACTS)
def test_what_cannot_be_taken_back_or_failed_before_never_runs_without_a_person(policy, facts):
    for dangerous in (replace(facts, undo=UndoKind.NONE), replace(facts, failed_before=True)):
        answer = decide(policy, dangerous)
        if isinstance(answer, Allow):
            assert answer.by != "policy"
            assert {name.lower() for name in answer.by.split(", ")} <= {each.by.lower() for each in facts.approvals}
