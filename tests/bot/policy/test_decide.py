"""The policy's answers as a table: which facts bring which decision, and why."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from bot.knowledge import load_policy
from bot.policy.approvals import Approval
from bot.policy.decide import Allow, Elsewhere, Facts, NeedsApproval, Refuse, Wait, decide, decision_json
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
        signature_since=date(2025, 3, 4),
        playbook="enable-br-netfilter",
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
        assert two == Allow(
            "maria, jan", ("approved by maria, jan", "this control plane was never up, so there is no etcd to save")
        )

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
        saved = decide(SHIPPED, facts(risk=Risk.DESTRUCTIVE, initialized=True, etcd_saved=True, approvals=agreed))
        assert saved == Allow(
            "maria, jan", ("approved by maria, jan", "a fresh etcd snapshot is there, or the plan takes one first")
        )

    def test_nobody_is_asked_to_approve_what_could_not_run_without_a_snapshot(self):
        assert isinstance(decide(SHIPPED, facts(risk=Risk.DESTRUCTIVE, initialized=True)), Refuse)

    def test_the_want_of_a_snapshot_holds_only_destructive_changes(self):
        assert isinstance(decide(SHIPPED, facts(initialized=True, approvals=[approved()])), Allow)

    def test_a_cure_for_a_new_signature_runs_only_with_an_approval(self):
        new = date(2026, 9, 20)
        answer = decide(SHIPPED, facts(labels=AUTO, signature_since=new))
        assert isinstance(answer, NeedsApproval)
        assert answer.reasons == ("this signature is new in the catalogue, so its cure runs only with an approval",)
        assert isinstance(decide(SHIPPED, facts(labels=AUTO, signature_since=new, approvals=[approved()])), Allow)

    @pytest.mark.parametrize(("since", "runs"), [(date(2026, 9, 18), True), (date(2026, 9, 19), False)])
    def test_a_signature_is_new_for_fourteen_days(self, since, runs):
        assert isinstance(decide(SHIPPED, facts(labels=AUTO, signature_since=since)), Allow) is runs

    @pytest.mark.parametrize("since", [None, date(2027, 1, 1)], ids=["unknown", "in the future"])
    def test_a_signature_without_a_believable_day_is_new(self, since):
        assert isinstance(decide(SHIPPED, facts(labels=AUTO, signature_since=since)), NeedsApproval)

    def test_nothing_runs_on_hosts_without_the_label_of_the_cluster_whoever_agreed(self):
        answer = decide(SHIPPED, facts(actions=("host-fix", "end-host-fix"), approvals=[approved(role="admin")]))
        assert answer == Refuse(
            ("the action host-fix needs the label drover.io/host-fix=allow on the Rancher cluster",)
        )
        allowed = facts(actions=("host-fix",), labels={"drover.io/host-fix": "allow"}, approvals=[approved()])
        assert isinstance(decide(SHIPPED, allowed), Allow)

    def test_no_policy_file_can_take_the_label_for_hosts_away(self):
        policy = rules({"when": {}, "decide": "auto"}, needed_labels={"host-fix": {"drover.io/host-fix": ""}})
        assert isinstance(decide(policy, facts(actions=("host-fix",))), Refuse)


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

    def test_evidence_that_does_not_decide_lets_nothing_run_by_itself(self):
        answer = decide(SHIPPED, facts(labels=AUTO, undecided=True))
        assert isinstance(answer, NeedsApproval)
        assert "the evidence does not tell two causes apart, so nothing runs by itself" in answer.reasons
        assert isinstance(decide(SHIPPED, facts(undecided=True, approvals=[approved()])), Allow)


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


class TestFleetBrakes:
    """What happens elsewhere. Nothing of it stops a cure that has begun."""

    BY_ITSELF = facts(labels=AUTO)
    AGREED = facts(approvals=[approved()])

    @pytest.mark.parametrize(
        ("elsewhere", "says"),
        [
            (
                Elsewhere(signature_begun=6),
                "within an hour 6 cures of the same signature have begun, and the policy allows no more",
            ),
            (
                Elsewhere(playbook_begun=12),
                "within an hour 12 cures of the same playbook have begun, and the policy allows no more",
            ),
            (
                Elsewhere(goes_first="edge-01"),
                "edge-01 goes first with this cure, and the others follow once it is healed",
            ),
        ],
    )
    def test_what_makes_everybody_wait(self, elsewhere, says):
        for given in (self.BY_ITSELF, self.AGREED):
            assert decide(SHIPPED, replace(given, elsewhere=elsewhere)) == Wait((says,))
            assert isinstance(decide(SHIPPED, replace(given, elsewhere=elsewhere, begun=True)), Allow)

    @pytest.mark.parametrize(
        ("elsewhere", "says"),
        [
            (
                Elsewhere(failures=2),
                "enable-br-netfilter failed 2 times in a row: it runs only with approval until it has healed a cluster, or somebody resumes it",
            ),
            (
                Elsewhere(fell_through="edge-01"),
                "edge-01 was the first to get this cure and was not healed by it: no other gets it unasked",
            ),
            (
                Elsewhere(stuck_lately=21, fleet=1000),
                "more than 20 clusters became stuck within 30 min: something larger is wrong, and nothing runs by itself",
            ),
            (
                Elsewhere(stuck_lately=11, fleet=40),
                "more than 25% of the fleet became stuck within 30 min: something larger is wrong, and nothing runs by itself",
            ),
        ],
    )
    def test_what_takes_the_wheel_from_the_policy_and_gives_it_to_people(self, elsewhere, says):
        answer = decide(SHIPPED, replace(self.BY_ITSELF, elsewhere=elsewhere))
        assert isinstance(answer, NeedsApproval)
        assert says in answer.reasons
        assert isinstance(decide(SHIPPED, replace(self.AGREED, elsewhere=elsewhere)), Allow)
        assert isinstance(decide(SHIPPED, replace(self.BY_ITSELF, elsewhere=elsewhere, begun=True)), Allow)

    @pytest.mark.parametrize(
        "elsewhere",
        [
            Elsewhere(signature_begun=5, playbook_begun=11, failures=1, stuck_lately=20, fleet=1000),
            Elsewhere(goes_first="edge-01", proven=True),
            Elsewhere(fell_through="edge-01", proven=True),
            Elsewhere(stuck_lately=9, fleet=9),
            Elsewhere(stuck_lately=10, fleet=40),
        ],
        ids=["just below", "proven: no more first ones", "proven: one failure", "a small fleet", "exactly the share"],
    )
    def test_what_holds_nothing(self, elsewhere):
        assert isinstance(decide(SHIPPED, replace(self.BY_ITSELF, elsewhere=elsewhere)), Allow)

    def test_canary_and_storm_can_be_switched_off(self):
        policy = rules({"when": {}, "decide": "auto"}, brakes={"canary": False, "storm": "off"})
        ill = Elsewhere(goes_first="edge-01", fell_through="edge-02", stuck_lately=500, fleet=500)
        assert isinstance(decide(policy, facts(elsewhere=ill)), Allow)

    def test_all_that_holds_is_said_at_once(self):
        answer = decide(SHIPPED, replace(self.AGREED, paused=True, elsewhere=Elsewhere(signature_begun=6)))
        assert isinstance(answer, Wait)
        assert len(answer.reasons) == 2

    def test_the_texts_stay_the_same_while_the_numbers_move(self):
        """Each change of a text edits an issue; in a storm that would be one edit for each further cluster."""
        for numbers in ((21, 22), (300, 301)):
            said = {
                decide(
                    SHIPPED,
                    replace(self.BY_ITSELF, elsewhere=Elsewhere(stuck_lately=stuck, fleet=999), mending_now=stuck),
                )
                for stuck in numbers
            }
            assert len(said) == 1

    def test_where_a_person_is_asked_anyway_a_storm_is_not_told(self):
        calm, stormy = (decide(SHIPPED, facts(elsewhere=Elsewhere(stuck_lately=each, fleet=99))) for each in (0, 99))
        assert calm == stormy

    def test_a_person_who_is_asked_is_told_of_failures_elsewhere(self):
        answer = decide(SHIPPED, facts(elsewhere=Elsewhere(fell_through="edge-01")))
        assert any("edge-01" in reason for reason in answer.reasons)


class TestFreeze:
    """NOON is a Friday."""

    def test_no_change_begins_and_its_end_is_told(self):
        policy = rules(freeze=[{"from": "fri 12:00", "to": "mon 06:00", "reason": "the weekend"}])
        answer = decide(policy, facts(approvals=[approved()]))
        assert answer == Wait(("no change begins until Mon 2026-10-05 06:00 UTC (the weekend)",))
        assert isinstance(decide(policy, facts(approvals=[approved()], begun=True)), Allow)
        assert isinstance(decide(policy, facts(approvals=[approved()], now=NOON - timedelta(minutes=1))), Allow)

    def test_a_freeze_of_what_runs_by_itself_lets_people_decide(self):
        policy = rules(
            {"when": {}, "decide": "auto"},
            freeze=[{"from": "08:00", "to": "20:00", "holds": "automatic", "days": "fri"}],
        )
        answer = decide(policy, facts())
        assert isinstance(answer, NeedsApproval)
        assert "nothing runs by itself until Fri 2026-10-02 20:00 UTC" in answer.reasons
        assert isinstance(decide(policy, facts(approvals=[approved()])), Allow)


class TestSnooze:
    UNTIL = NOON + timedelta(hours=2)

    def test_nothing_runs_and_nobody_is_asked(self):
        said = Wait(("maria snoozed it until 2026-10-02 14:00 UTC",))
        for given in (facts(), facts(labels=AUTO), facts(approvals=[approved()])):
            assert decide(SHIPPED, replace(given, snoozed_until=self.UNTIL, snoozed_by="maria")) == said

    def test_it_ends_by_itself_and_stops_nothing_that_has_begun(self):
        assert isinstance(decide(SHIPPED, facts(labels=AUTO, snoozed_until=NOON)), Allow)
        assert isinstance(decide(SHIPPED, facts(labels=AUTO, snoozed_until=self.UNTIL, begun=True)), Allow)


class TestTeams:
    """Where the policy asks for people of a team."""

    SRE = ("acme/sre",)
    POLICY = Policy.model_validate({"default": {"safe": {"by": "team:Acme/SRE"}}})

    def member(self, by="maria", role="write", *teams):
        return replace(approved(by, role), teams=teams or self.SRE)

    def test_a_members_approval_counts_and_nobody_elses(self):
        asked = decide(
            self.POLICY, facts(approvals=[approved("jan", "admin"), self.member("eve", "admin", "acme/dba")])
        )
        assert asked == NeedsApproval(
            1, 0, "none", ("a safe change needs the approval of one person in the team acme/sre",), self.SRE
        )
        assert decision_json(asked)["teams"] == ["acme/sre"]
        assert isinstance(decide(self.POLICY, facts(approvals=[self.member()])), Allow)

    def test_a_rule_asks_for_more_people_and_for_others_as_well(self):
        policy = rules(
            {"when": {"labels": {"environment": "production"}}, "decide": "approve", "needs": 2, "by": "team:acme/sre"}
        )
        production = {"environment": "production"}
        one = decide(policy, facts(labels=production, approvals=[self.member()]))
        assert isinstance(one, NeedsApproval)
        assert (one.count, one.given, one.role, one.teams) == (2, 1, "write", self.SRE)
        both = [self.member(), self.member("jan")]
        assert isinstance(decide(policy, facts(labels=production, approvals=both)), Allow)
        weak = [self.member(), self.member("jan", "triage")]
        assert isinstance(decide(policy, facts(labels=production, approvals=weak)), NeedsApproval)
        assert isinstance(decide(policy, facts(approvals=[approved()])), Allow)

    def test_a_rule_never_asks_for_fewer_or_lesser_people_than_the_risk_does(self):
        policy = rules({"when": {}, "decide": "approve", "needs": 1, "by": "write"})
        answer = decide(policy, facts(risk=Risk.DESTRUCTIVE, approvals=[approved(role="maintain")]))
        assert isinstance(answer, NeedsApproval)
        assert (answer.count, answer.given, answer.role) == (2, 0, "admin")

    def test_a_rule_is_passed_over_once_those_agreed_whom_it_asks_for(self):
        policy = rules(
            {"when": {}, "decide": "dry-run", "unless": "approved", "by": "team:acme/sre"},
            {"when": {}, "decide": "auto"},
        )
        assert isinstance(decide(policy, facts(approvals=[approved(role="admin")])), NeedsApproval)
        assert isinstance(decide(policy, facts(approvals=[self.member()])), Allow)

    def test_what_is_asked_of_the_command_holds_for_every_approval(self):
        """One from a terminal never was a command, and one that came before the policy was changed is not asked again."""
        policy = Policy.model_validate(
            {"commands": {"approve": [{"by": "maintain"}, {"by": "team:acme/sre", "labels": {"site": "edge"}}]}}
        )
        assert isinstance(decide(policy, facts(approvals=[approved()])), NeedsApproval)
        assert isinstance(decide(policy, facts(approvals=[approved(role="maintain")])), Allow)
        there = facts(labels={"site": "edge"}, approvals=[approved("jan (terminal)", "admin")])
        assert isinstance(decide(policy, there), NeedsApproval)


class TestOptIn:
    def test_only_clusters_that_carry_the_label_are_changed(self):
        policy = rules({"when": {}, "decide": "auto"}, opt_in={"drover.io/manage": "true"})
        assert decide(policy, facts(approvals=[approved()])) == Refuse(
            ("the policy acts only on clusters with the label drover.io/manage=true",)
        )
        assert isinstance(decide(policy, facts(labels={"drover.io/manage": "true"})), Allow)
