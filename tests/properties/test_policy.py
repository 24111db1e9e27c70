"""Whatever the facts: a decision never becomes wider when more is ill, and nothing makes it raise."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from bot.policy.approvals import Approval
from bot.policy.decide import Allow, Elsewhere, Facts, NeedsApproval, Refuse, Wait, decide, decision_json
from bot.policy.explain import explain
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
    teams=st.sets(st.sampled_from(["acme/sre", "acme/dba"])).map(tuple),
)
ELSEWHERE = st.builds(
    Elsewhere,
    signature_begun=st.integers(0, 8),
    playbook_begun=st.integers(0, 14),
    goes_first=st.sampled_from(["", "edge-01"]),
    proven=st.booleans(),
    fell_through=st.sampled_from(["", "edge-02"]),
    failures=st.integers(0, 3),
    stuck_lately=st.integers(0, 30),
    fleet=st.integers(0, 60),
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
    not_now=st.sampled_from(["", "", "the cluster is up"]),
    approvals=st.lists(APPROVALS, max_size=5),
    playbook=st.sampled_from(["enable-br-netfilter", ""]),
    actions=st.lists(st.sampled_from(["host-fix", "add-manifest"]), max_size=2),
    etcd_saved=st.booleans(),
    signature_since=st.none() | st.integers(0, 30).map(lambda days: (NOON - timedelta(days=days)).date()),
    begun=st.booleans(),
    snoozed_until=st.none() | st.sampled_from([NOON, NOON + timedelta(hours=1)]),
    elsewhere=ELSEWHERE,
)
WHEN = st.fixed_dictionaries(
    {},
    optional={
        "risk": st.sampled_from(Risk),
        "undo": st.sampled_from(UndoKind),
        "cause": st.sampled_from(Cause),
        "signature": st.sampled_from(["one", "two"]),
        "signature_age": st.sampled_from(["<14d", ">=14d"]),
        "playbook": st.just("enable-br-netfilter"),
        "labels": st.dictionaries(st.just("environment"), st.just("production")),
    },
)
RULES = st.fixed_dictionaries(
    {"when": WHEN, "decide": st.sampled_from(["auto", "approve", "never", "dry-run"])},
    optional={"unless": st.just("approved"), "reason": st.just("because")},
).filter(lambda rule: not (rule["decide"] == "auto" and "unless" in rule))
POLICIES = st.builds(
    lambda rules, brakes, freeze, opt_in: Policy.model_validate(
        {"rules": rules, "brakes": brakes, "freeze": freeze, "opt_in": opt_in}
    ),
    st.lists(RULES, max_size=4),
    st.fixed_dictionaries(
        {"clusters_at_once": st.integers(1, 4)},
        optional={"canary": st.just("off"), "storm": st.just("off"), "demote_after": st.integers(1, 3)},
    ),
    st.lists(
        st.fixed_dictionaries(
            {"from": st.sampled_from(["fri 11:00", "sat 11:00"]), "to": st.just("mon 06:00")},
            optional={"holds": st.sampled_from(["everything", "automatic"])},
        ),
        max_size=1,
    ),
    st.sampled_from([{}, {}, {"environment": "production"}]),
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


@given(POLICIES, FACTS, st.integers(1, 20))
def test_more_of_whatever_is_ill_elsewhere_never_widens(policy, facts, more):
    here = facts.elsewhere
    for worse in (
        replace(here, signature_begun=here.signature_begun + more),
        replace(here, playbook_begun=here.playbook_begun + more),
        replace(here, failures=here.failures + more),
        replace(here, stuck_lately=here.stuck_lately + more),
        replace(here, goes_first="edge-09"),
        replace(here, fell_through="edge-09"),
    ):
        assert width(policy, replace(facts, elsewhere=worse)) <= width(policy, facts)


@given(POLICIES, FACTS)
def test_that_a_cure_is_not_proven_never_widens(policy, facts):
    proven, unproven = (replace(facts, elsewhere=replace(facts.elsewhere, proven=each)) for each in (True, False))
    assert width(policy, unproven) <= width(policy, proven)


@given(POLICIES, FACTS)
def test_a_cluster_that_is_not_stuck_and_an_unsaved_etcd_never_widen(policy, facts):
    assert width(policy, replace(facts, not_now="the cluster is up")) <= width(policy, replace(facts, not_now=""))
    assert width(policy, replace(facts, etcd_saved=False)) <= width(policy, replace(facts, etcd_saved=True))


@given(POLICIES, FACTS)
def test_what_has_not_begun_is_never_freer_than_what_has(policy, facts):
    assert width(policy, replace(facts, begun=False)) <= width(policy, replace(facts, begun=True))


@given(POLICIES, FACTS, st.integers(1, 100))
def test_the_older_an_approval_the_less_it_lets_happen(policy, facts, hours):
    aged = [replace(each, at=each.at - timedelta(hours=hours)) for each in facts.approvals]
    if isinstance(decide(policy, replace(facts, approvals=aged)), Allow):
        assert isinstance(decide(policy, facts), Allow)


@given(POLICIES, FACTS)
def test_nothing_touches_hosts_without_the_clusters_label(policy, facts):
    if isinstance(decide(policy, facts), Allow):
        assert "host-fix" not in facts.actions or facts.labels.get("drover.io/host-fix") == "allow"


@given(POLICIES, FACTS)
def test_nothing_destroys_a_control_plane_that_was_up_and_is_not_saved(policy, facts):
    if isinstance(decide(policy, facts), Allow) and facts.risk is Risk.DESTRUCTIVE:
        assert facts.etcd_saved or not facts.initialized


@given(POLICIES, FACTS)
def test_an_explanation_is_the_decision_with_what_led_to_it(policy, facts):
    explained = explain(policy, facts)
    assert explained.decision == decide(policy, facts)
    verdicts = {line.verdict for line in explained.lines}
    assert "decides" in verdicts
    if isinstance(explained.decision, Allow):
        assert not verdicts & {"refuses", "holds"}
    if isinstance(explained.decision, Wait):
        assert {line.text for line in explained.lines if line.verdict == "holds"} == set(explained.decision.reasons)
