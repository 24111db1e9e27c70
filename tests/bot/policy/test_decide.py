"""The policy's answers as a table: which facts bring which decision, and why."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.knowledge import load_policy
from bot.policy.approvals import Approval
from bot.policy.decide import Allow, Facts, NeedsApproval, Refuse, Wait, decide, decision_json
from bot.policy.schema import Policy
from rancher_ext.remediation.action import Risk, UndoKind
from tests.builders import NOON, hours

DIGEST = "7f3a9c" + "0" * 58
OTHER = "aaaaaa" + "0" * 58
AN_HOUR = hours(1)
AUTO = {"drover.io/mend": "auto"}
SHIPPED = load_policy()


def facts(**changes) -> Facts:
    """A safe plan on an ordinary cluster that nobody has approved yet."""
    ordinary = Facts(
        risk=Risk.SAFE,
        undo=UndoKind.EXACT,
        cause="kernel-module-missing",
        signature="flannel-br-netfilter-missing",
        digest=DIGEST,
        labels={},
        initialized=False,
        mending_now=0,
        paused=False,
        dry_run=False,
        failed_before=False,
        now=NOON,
    )
    return replace(ordinary, **changes)


def approved(by: str = "maria", role: str = "write", *, digest: str = DIGEST, ago: timedelta = AN_HOUR) -> Approval:
    return Approval(by, role, digest, NOON - ago, comment=1)


def rules(*given: dict, **rest) -> Policy:
    return Policy.model_validate({"rules": given, **rest})


class TestShippedPolicy:
    def test_a_safe_change_waits_for_one_person_who_may_write(self):
        assert NeedsApproval(
            1, 0, "write", ("a safe change needs the approval of one person with the role write or higher",)
        ) == decide(SHIPPED, facts())

    def test_a_label_lets_safe_changes_run_by_themselves(self):
        answer = decide(SHIPPED, facts(labels=AUTO))
        assert answer == Allow("policy", ("the label drover.io/mend=auto lets safe changes run by themselves",))

    @pytest.mark.parametrize("value", ["Auto", "true", "", "automatic"])
    def test_only_the_exact_value_of_the_label_counts(self, value):
        assert isinstance(decide(SHIPPED, facts(labels={"drover.io/mend": value})), NeedsApproval)

    @pytest.mark.parametrize("risk", [Risk.DISRUPTIVE, Risk.DESTRUCTIVE])
    def test_the_label_is_for_safe_changes_only(self, risk):
        assert isinstance(decide(SHIPPED, facts(risk=risk, labels=AUTO)), NeedsApproval)

    def test_an_approval_lets_it_run_and_is_named(self):
        answer = decide(SHIPPED, facts(approvals=[approved()]))
        assert answer == Allow("maria", ("approved by maria",))

    @pytest.mark.parametrize(
        ("risk", "role", "enough"),
        [
            (Risk.SAFE, "triage", False),
            (Risk.SAFE, "write", True),
            (Risk.SAFE, "admin", True),
            (Risk.DISRUPTIVE, "write", False),
            (Risk.DISRUPTIVE, "maintain", True),
            (Risk.DESTRUCTIVE, "maintain", False),
        ],
    )
    def test_the_role_an_approval_needs_grows_with_the_risk(self, risk, role, enough):
        answer = decide(SHIPPED, facts(risk=risk, approvals=[approved(role=role)]))
        assert isinstance(answer, Allow) is enough

    def test_a_destructive_change_needs_two_people(self):
        one = decide(SHIPPED, facts(risk=Risk.DESTRUCTIVE, approvals=[approved("maria", "admin")]))
        assert isinstance(one, NeedsApproval)
        assert (one.count, one.given, one.missing, one.role) == (2, 1, 1, "admin")
        two = decide(
            SHIPPED, facts(risk=Risk.DESTRUCTIVE, approvals=[approved("maria", "admin"), approved("jan", "admin")])
        )
        assert two == Allow("maria, jan", ("approved by maria, jan",))

    @pytest.mark.parametrize("second", ["maria", "Maria", "MARIA"])
    def test_one_person_counts_once_however_often_and_however_spelt(self, second):
        answer = decide(
            SHIPPED, facts(risk=Risk.DESTRUCTIVE, approvals=[approved("maria", "admin"), approved(second, "admin")])
        )
        assert isinstance(answer, NeedsApproval)
        assert answer.given == 1

    def test_nothing_destructive_happens_to_production(self):
        answer = decide(
            SHIPPED,
            facts(
                risk=Risk.DESTRUCTIVE,
                labels={"environment": "production"},
                approvals=[approved("maria", "admin"), approved("jan", "admin")],
            ),
        )
        assert answer == Refuse(("nothing destructive happens to a production cluster by Drover's hand",))

    def test_what_cannot_be_taken_back_never_runs_by_itself(self):
        answer = decide(SHIPPED, facts(undo=UndoKind.NONE, labels=AUTO))
        assert isinstance(answer, NeedsApproval)
        assert "it cannot be taken back, so it never runs by itself" in answer.reasons

    def test_a_destructive_change_to_a_control_plane_that_was_up_needs_a_snapshot(self):
        agreed = [approved("maria", "admin"), approved("jan", "admin")]
        answer = decide(SHIPPED, facts(risk=Risk.DESTRUCTIVE, initialized=True, approvals=agreed))
        assert isinstance(answer, Refuse)
        assert "etcd snapshot" in answer.reasons[0]
        assert isinstance(decide(SHIPPED, facts(risk=Risk.DESTRUCTIVE, approvals=agreed)), Allow)


class TestApprovals:
    @pytest.mark.parametrize(
        "void",
        [
            approved(digest=OTHER),
            approved(ago=hours(24) + timedelta(seconds=1)),
            approved(role="triage"),
            approved(role="none"),
        ],
        ids=["for another plan", "expired", "without the role", "without any role"],
    )
    def test_what_does_not_count(self, void):
        answer = decide(SHIPPED, facts(approvals=[void]))
        assert isinstance(answer, NeedsApproval)
        assert answer.given == 0

    def test_an_approval_counts_to_the_last_second_of_its_day(self):
        assert isinstance(decide(SHIPPED, facts(approvals=[approved(ago=hours(24))])), Allow)

    def test_a_void_approval_does_not_hide_a_good_one_of_the_same_person(self):
        old, good = approved(ago=hours(30)), approved(ago=hours(1))
        assert isinstance(decide(SHIPPED, facts(approvals=[old, good])), Allow)


class TestBrakes:
    @pytest.mark.parametrize("agreed", [{"labels": AUTO}, {"approvals": [approved()]}], ids=["by rule", "by a person"])
    def test_a_pause_holds_everything(self, agreed):
        answer = decide(SHIPPED, facts(paused=True, **agreed))
        assert answer == Wait(("Drover is paused: `drover resume` on its machine lets it act again",))

    @pytest.mark.parametrize("agreed", [{"labels": AUTO}, {"approvals": [approved()]}], ids=["by rule", "by a person"])
    def test_a_cluster_that_is_not_stuck_is_not_written_to_whoever_agreed(self, agreed):
        assert decide(SHIPPED, facts(not_now="the cluster makes progress", **agreed)) == Wait(
            ("the cluster makes progress",)
        )

    def test_at_most_so_many_clusters_at_once_and_the_numbers_are_said(self):
        assert isinstance(decide(SHIPPED, facts(labels=AUTO, mending_now=2)), Allow)
        answer = decide(SHIPPED, facts(labels=AUTO, mending_now=3))
        assert answer == Wait(("3 clusters are being mended, and the policy allows 3 at once",))

    def test_people_may_agree_while_a_brake_holds(self):
        assert isinstance(decide(SHIPPED, facts(paused=True, mending_now=9)), NeedsApproval)

    def test_a_dry_run_refuses_whatever_was_agreed(self):
        answer = decide(SHIPPED, facts(dry_run=True, labels=AUTO, approvals=[approved(role="admin")]))
        assert isinstance(answer, Refuse)
        assert "DROVER_DRY_RUN" in answer.reasons[0]

    @pytest.mark.parametrize("value", ["true", "", "yes", "1", "until-friday"])
    def test_an_opt_out_label_refuses_with_any_value_that_is_not_no(self, value):
        answer = decide(SHIPPED, facts(labels={**AUTO, "drover.io/ignore": value}, approvals=[approved(role="admin")]))
        assert answer == Refuse(("the cluster carries the label drover.io/ignore",))

    @pytest.mark.parametrize("value", ["false", "No", "0"])
    def test_an_opt_out_label_that_says_no_is_none(self, value):
        assert isinstance(decide(SHIPPED, facts(labels={**AUTO, "drover.io/ignore": value})), Allow)

    def test_after_a_failed_cure_a_person_has_to_agree(self):
        answer = decide(SHIPPED, facts(labels=AUTO, failed_before=True))
        assert isinstance(answer, NeedsApproval)
        assert "a cure failed on this cluster before, so nothing runs by itself" in answer.reasons
        assert isinstance(decide(SHIPPED, facts(failed_before=True, approvals=[approved()])), Allow)


class TestRules:
    def test_the_first_that_fits_decides(self):
        policy = rules(
            {"when": {"cause": "kernel-module-missing"}, "decide": "never", "reason": "not before the audit"},
            {"when": {"risk": "safe"}, "decide": "auto"},
        )
        assert decide(policy, facts()) == Refuse(("not before the audit",))
        assert isinstance(decide(policy, facts(cause="image-pull")), Allow)

    @pytest.mark.parametrize(
        ("when", "other"),
        [
            ({"risk": "safe"}, {"risk": Risk.DISRUPTIVE}),
            ({"undo": "exact"}, {"undo": UndoKind.COMPENSATING}),
            ({"cause": "kernel-module-missing"}, {"cause": "image-pull"}),
            ({"signature": "flannel-br-netfilter-missing"}, {"signature": "vxlan-module-missing"}),
            ({"labels": {"env": "test"}}, {"labels": {"env": "production"}}),
            ({"labels": {"env": "test"}}, {"labels": {}}),
        ],
    )
    def test_every_condition_excludes(self, when, other):
        policy = rules({"when": when, "decide": "auto"})
        assert isinstance(decide(policy, facts(labels={"env": "test"})), Allow)
        assert isinstance(decide(policy, facts(**({"labels": {"env": "test"}} | other))), NeedsApproval)

    def test_all_conditions_of_a_rule_must_fit(self):
        policy = rules({"when": {"risk": "safe", "labels": {"env": "test", "site": "a"}}, "decide": "auto"})
        assert isinstance(decide(policy, facts(labels={"env": "test"})), NeedsApproval)
        assert isinstance(decide(policy, facts(labels={"env": "test", "site": "a", "more": "x"})), Allow)

    def test_a_rule_that_says_approve_keeps_a_later_auto_away(self):
        policy = rules({"when": {"risk": "safe"}, "decide": "approve"}, {"when": {}, "decide": "auto"})
        assert isinstance(decide(policy, facts()), NeedsApproval)
        assert isinstance(decide(policy, facts(approvals=[approved()])), Allow)

    def test_a_rule_that_says_never_holds_against_approvals(self):
        policy = rules({"when": {}, "decide": "never"})
        answer = decide(policy, facts(approvals=[approved(role="admin")]))
        assert answer == Refuse(("the policy never lets a safe change run here",))

    def test_dry_run_unless_approved_waits_for_a_person_and_then_runs(self):
        policy = rules({"when": {}, "decide": "dry-run", "unless": "approved"}, {"when": {}, "decide": "auto"})
        assert isinstance(decide(policy, facts()), NeedsApproval)
        answer = decide(policy, facts(approvals=[approved()]))
        assert isinstance(answer, Allow)

    def test_a_plain_dry_run_refuses_and_does_not_ask_for_approvals_that_cannot_help(self):
        policy = rules({"when": {}, "decide": "dry-run"})
        assert isinstance(decide(policy, facts()), Refuse)
        assert isinstance(decide(policy, facts(approvals=[approved(role="admin")])), Refuse)

    def test_approve_unless_approved_and_then_auto_names_the_people(self):
        policy = rules({"when": {}, "decide": "approve", "unless": "approved"})
        assert decide(policy, facts(approvals=[approved()])) == Allow("maria", ("approved by maria",))

    def test_a_risk_that_the_file_leaves_out_needs_what_the_next_higher_one_does(self):
        policy = Policy.model_validate({"default": {"destructive": {"needs": "2 approvals", "by": "admin"}}})
        answer = decide(policy, facts())
        assert isinstance(answer, NeedsApproval)
        assert (answer.count, answer.role) == (2, "admin")

    def test_without_any_default_the_strictest_holds(self):
        need = Policy.model_validate({"default": {"safe": {"needs": 1}}}).need(Risk.DESTRUCTIVE)
        assert (need.needs, need.by, need.fresh_etcd_snapshot) == (2, "admin", "if-ever-initialized")


@pytest.mark.parametrize(
    ("given", "word"),
    [
        (facts(labels=AUTO), "allow"),
        (facts(), "needs-approval"),
        (facts(labels=AUTO, paused=True), "wait"),
        (facts(dry_run=True), "refuse"),
    ],
)
def test_every_decision_has_json_with_its_reasons(given, word):
    said = decision_json(decide(SHIPPED, given))
    assert said["decision"] == word
    assert said["reasons"]
    assert all(isinstance(reason, str) for reason in said["reasons"])
