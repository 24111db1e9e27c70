"""From words in an issue to messages for its incident: who may say what, once, and what an edit takes back."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from bot.adapters.in_memory import InMemoryIncidents, InMemoryIssues, StandingClock
from bot.errors import BotError
from bot.incidents.incident import State
from bot.knowledge import load_policy
from bot.policy.schema import Policy
from bot.ports import IssueDraft, Role
from bot.workflows.desk import Desk, Heard
from bot.workflows.room import written_note
from rancher_ext.remediation.action import Risk
from tests.bot.reports.stories import a_plan, an_incident
from tests.bot.workflows.world import knowledge

PEOPLE = {"maria": Role.WRITE, "jan": Role.MAINTAIN, "eve": Role.READ, "tom": Role.TRIAGE}
PLAN = a_plan()
SAID_AT = datetime.now(UTC).replace(microsecond=0)


class Mailbox:
    """An engine's side that desks talk to: what was sent, each `once` a single time."""

    def __init__(self):
        self.sent = []
        self.over = False
        self.broken = None
        self._known = set()

    def send(self, workflow, topic, message, *, once):
        if self.broken:
            raise self.broken
        if self.over:
            return False
        if once not in self._known:
            self._known.add(once)
            self.sent.append({key: value for key, value in message.items() if key != "once"})
        return True

    @property
    def kinds(self):
        return [message["kind"] for message in self.sent]


class Scene:
    def __init__(self, **incident):
        self.now = SAID_AT
        self.book, self.box = InMemoryIncidents(), Mailbox()
        self.tracker = InMemoryIssues(PEOPLE, self._tick)
        self.issue = self.tracker.open(IssueDraft("edge-07 waits", "x", ()), "incident:x").number
        self.row = an_incident(issue=self.issue, plan=PLAN.to_json(), **incident)
        self.book._rows[self.row.id] = self.row
        self.policy = load_policy()
        self.parts = SimpleNamespace(
            store=self.book,
            tracker=self.tracker,
            clock=StandingClock(SAID_AT),
            policy=lambda: self.policy,
            knowledge=knowledge(),
            ranchers={},
            holder="test",
            coverage=lambda: "",
            public_url="",
        )
        self.desk = Desk(self.parts, self.box)

    def _tick(self):
        self.now += timedelta(seconds=7)
        return self.now

    def set(self, **changes):
        self.row = self.book._rows[self.row.id] = replace(self.book.get(self.row.id), **changes)

    def say(self, body, by="maria"):
        comment = self.tracker.say(by, self.issue, body)
        self.hear(comment)
        return comment

    def hear(self, comment, action="created"):
        self.desk.hear(
            Heard(
                action,
                comment.issue,
                comment.id,
                comment.author,
                comment.author_is_bot,
                comment.body,
                comment.updated_at,
                edited=action == "edited",
            )
        )

    def reactions(self, comment):
        return self.tracker.reactions.get(comment.id, [])

    @property
    def answers(self):
        return [comment.body for comment in self.tracker.comments(self.issue) if comment.author_is_bot]


@pytest.fixture
def scene():
    return Scene()


APPROVE = f"/drover approve {PLAN.short}"


class TestApprove:
    def test_an_approval_goes_to_the_incident_with_all_that_it_rests_on(self, scene):
        comment = scene.say(APPROVE)
        (message,) = scene.box.sent
        assert message["kind"] == "approve"
        assert message["approval"] == {
            "by": "maria",
            "role": "write",
            "digest": PLAN.digest,
            "at": SAID_AT.isoformat(),
            "comment": comment.id,
            "commentVersion": comment.updated_at.isoformat(),
            "teams": [],
        }
        assert scene.reactions(comment) == ["eyes", "rocket"]
        assert scene.answers == []

    @pytest.mark.parametrize(("by", "may"), [("jan", True), ("maria", True), ("tom", False), ("eve", False)])
    def test_by_role(self, scene, by, may):
        comment = scene.say(APPROVE, by)
        assert scene.box.kinds == (["approve"] if may else [])
        assert ("rocket" if may else "-1") in scene.reactions(comment)
        assert may or "needs the role write" in scene.answers[0]

    def test_the_plans_risk_may_ask_for_more_than_the_command(self, scene):
        scene.set(plan=replace(PLAN, risk=Risk.DISRUPTIVE).to_json())
        scene.say(APPROVE, "maria")
        assert scene.box.sent == []
        said = "A disruptive change needs the role maintain in this repository; you have write."
        assert said in scene.answers[0]
        scene.say(APPROVE, "jan")
        assert scene.box.kinds == ["approve"]

    def test_strangers_are_not_answered(self, scene):
        scene.say(APPROVE, "stranger")
        assert scene.box.sent == []
        assert scene.answers == []

    @pytest.mark.parametrize("digest", ["000000", PLAN.digest[1:8], PLAN.digest[:6] + "f" * 58])
    def test_another_digest_is_told_which_plan_it_is_now(self, scene, digest):
        scene.say(f"/drover approve {digest}")
        assert scene.box.sent == []
        assert f"The plan is now `{PLAN.short}`" in scene.answers[0]

    @pytest.mark.parametrize("digest", [PLAN.digest[:8], PLAN.digest, f"`{PLAN.short}`", PLAN.short.upper()])
    def test_more_digits_backticks_and_capitals_are_fine(self, scene, digest):
        scene.say(f"/drover approve {digest}")
        assert scene.box.kinds == ["approve"]

    def test_without_a_plan_there_is_nothing_to_approve(self, scene):
        scene.set(plan=None)
        scene.say(APPROVE)
        assert "There is no plan to approve" in scene.answers[0]

    @pytest.mark.parametrize("state", [State.REMEDIATING, State.VERIFYING, State.ROLLING_BACK])
    def test_a_plan_that_runs_already_is_not_approved_again(self, scene, state):
        scene.set(state=state)
        scene.say(APPROVE)
        assert scene.box.sent == []
        assert f"The plan is already running ({state})" in scene.answers[0]

    @pytest.mark.parametrize("state", [State.REJECTED, State.ROLLED_BACK, State.ESCALATED, State.DIAGNOSING])
    def test_an_old_plan_needs_a_fresh_look_first(self, scene, state):
        scene.set(state=state)
        scene.say(APPROVE)
        assert scene.box.sent == []
        assert "`/drover retry` makes a fresh plan first" in scene.answers[0]

    def test_an_incident_that_is_over_says_so(self, scene):
        scene.box.over = True
        comment = scene.say(APPROVE)
        assert "confused" in scene.reactions(comment)
        assert "This incident is over" in scene.answers[0]

    def test_another_policy_asks_for_other_roles(self, scene):
        scene.policy = Policy.model_validate({"default": {"safe": {"by": "admin"}}})
        scene.say(APPROVE, "jan")
        assert scene.box.sent == []


class TestWhoMay:
    """As the policy says, for this cluster's labels and by team."""

    @staticmethod
    def labelled(scene, **labels):
        cluster = SimpleNamespace(labels=labels)
        scene.parts.ranchers[scene.row.cluster.rancher] = SimpleNamespace(
            reader=SimpleNamespace(cluster=lambda _: cluster)
        )

    @staticmethod
    def policy(scene, **given):
        scene.policy = Policy.model_validate(given)

    def test_a_command_may_need_more_on_some_clusters(self, scene):
        self.policy(scene, commands={"retry": {"by": "maintain", "labels": {"environment": "production"}}})
        self.labelled(scene, environment="production")
        scene.say("/drover retry", "maria")
        assert scene.box.sent == []
        assert "`/drover retry` needs the role maintain" in scene.answers[0]
        scene.say("/drover retry", "jan")
        self.labelled(scene, environment="test")
        scene.say("/drover retry", "maria")
        assert scene.box.kinds == ["again", "again"]

    def test_where_the_labels_cannot_be_read_all_is_asked_and_that_is_said(self, scene):
        self.policy(scene, commands={"retry": {"by": "maintain", "labels": {"environment": "production"}}})
        scene.say("/drover retry", "maria")
        assert scene.box.sent == []
        assert "The cluster's labels cannot be read now" in scene.answers[0]
        scene.say("/drover status", "maria")
        scene.say("/drover retry", "jan")
        assert scene.box.kinds == ["again"]

    def test_an_approval_carries_the_teams_that_may_count(self, scene):
        self.policy(
            scene,
            default={"safe": {"by": "team:acme/sre"}},
            rules=[{"when": {"undo": "none"}, "decide": "approve", "by": "team:acme/dba"}],
            commands={"sweep": "team:acme/other"},
        )
        scene.tracker.teams |= {"acme/sre": {"maria"}, "acme/dba": {"maria", "jan"}, "acme/other": {"maria"}}
        scene.say(APPROVE, "jan")
        assert scene.box.sent == []
        assert "A safe change needs somebody in the team `acme/sre`; you are not in it." in scene.answers[0]
        scene.say(APPROVE, "maria")
        assert scene.box.sent[0]["approval"]["teams"] == ["acme/sre", "acme/dba"]

    def test_what_the_policy_asked_about_this_plan_is_asked_of_who_approves_it(self, scene):
        asked = {"decision": "needs-approval", "digest": PLAN.digest, "role": "maintain", "teams": ["acme/sre"]}
        scene.tracker.teams["acme/sre"] = {"jan"}
        scene.set(decision=asked)
        scene.say(APPROVE, "maria")
        assert "needs the role maintain" in scene.answers[0]
        scene.say(APPROVE, "jan")
        scene.set(decision=asked | {"digest": "another"})
        scene.say(APPROVE, "maria")
        assert scene.box.kinds == ["approve", "approve"]

    def test_a_team_that_cannot_be_seen_approves_nothing_and_puts_nothing_back(self, scene):
        self.policy(scene, default={"safe": {"by": "team:acme/sre"}})
        scene.say(APPROVE, "jan")
        scene.set(state=State.VERIFYING, changed_at=SAID_AT)
        scene.book.set_note(written_note(scene.row.id), PLAN.to_json())
        scene.say("/drover rollback", "jan")
        assert scene.box.sent == []
        assert all("cannot see who is" in said for said in scene.answers)
        assert scene.answers[1].startswith("@jan Putting this back needs somebody in the team `acme/sre`")
        scene.tracker.teams["acme/sre"] = {"jan"}
        scene.say("/drover rollback", "jan")
        assert scene.box.kinds == ["rollback"]


class TestEdits:
    def test_an_edit_takes_back_what_the_comment_said(self, scene):
        comment = scene.say(APPROVE)
        edited = scene.tracker.change(comment.id, "never mind")
        scene.hear(edited, "edited")
        assert scene.box.kinds == ["approve", "void"]
        assert scene.box.sent[1]["comment"] == comment.id

    def test_even_before_the_incident_has_read_the_approval(self, scene):
        """The row knows nothing of it yet; what matters is what was sent."""
        comment = scene.say(APPROVE)
        assert scene.book.get(scene.row.id).approval is None
        scene.hear(scene.tracker.change(comment.id, "no"), "edited")
        assert scene.box.kinds == ["approve", "void"]

    def test_an_edit_that_approves_again_only_takes_back(self, scene):
        comment = scene.say(APPROVE)
        scene.hear(scene.tracker.change(comment.id, f"Looks right.\n\n{APPROVE}"), "edited")
        assert scene.box.kinds == ["approve", "void"]

    def test_an_edit_cannot_turn_somebody_elses_comment_into_an_approval(self, scene):
        """
        GitHub lets everybody with write access edit anybody's comment, and the author stays who it was.
        """
        comment = scene.say("looks right", "jan")
        scene.hear(scene.tracker.change(comment.id, APPROVE), "edited")
        assert scene.box.sent == []
        assert "confused" in scene.reactions(comment)

    def test_nor_by_reading_what_no_webhook_brought(self, scene):
        comment = scene.tracker.say("jan", scene.issue, "looks right")
        scene.tracker.change(comment.id, APPROVE)
        scene.desk.catch_up()
        assert scene.box.sent == []

    def test_an_old_version_that_comes_late_is_not_heard(self, scene):
        """
        Deliveries overtake each other, and GitHub repeats failed ones for days.
        """
        old = scene.tracker.say("maria", scene.issue, APPROVE)
        scene.hear(scene.tracker.change(old.id, "wait"), "edited")
        scene.hear(old)
        assert scene.box.sent == []

    def test_nor_one_of_a_comment_that_was_deleted(self, scene):
        comment = scene.tracker.say("maria", scene.issue, APPROVE)
        scene.hear(comment, "deleted")
        scene.hear(comment)
        assert scene.box.sent == []

    def test_a_deleted_comment_takes_back_what_it_said(self, scene):
        comment = scene.say(APPROVE)
        scene.tracker.withdraw(comment.id)
        scene.hear(comment, "deleted")
        assert scene.box.kinds == ["approve", "void"]
        assert scene.box.sent[1]["deleted"]

    def test_a_deleted_comment_is_not_obeyed(self, scene):
        comment = scene.tracker.say("maria", scene.issue, "/drover retry")
        scene.tracker.withdraw(comment.id)
        scene.hear(comment, "deleted")
        assert scene.box.sent == []

    def test_an_edit_of_anything_else_voids_nothing(self, scene):
        scene.say(APPROVE)
        other = scene.say("hello")
        scene.hear(scene.tracker.change(other.id, "hello again"), "edited")
        assert scene.box.kinds == ["approve"]

    def test_the_edit_is_found_by_reading_too(self, scene):
        comment = scene.tracker.say("maria", scene.issue, APPROVE)
        scene.desk.catch_up()
        scene.tracker.change(comment.id, "no")
        scene.desk.catch_up()
        assert scene.box.kinds == ["approve", "void"]


class TestOneThatCannotBeAnswered:
    def test_does_not_keep_later_ones_unread(self, scene, monkeypatch):
        refused = scene.tracker.say("maria", scene.issue, "/drover status")
        scene.tracker.say("maria", scene.issue, APPROVE)
        react = scene.tracker.react

        def locked(comment, reaction):
            if comment == refused.id:
                error = BotError("422: the issue is locked")
                error.lasting = True
                raise error
            react(comment, reaction)

        monkeypatch.setattr(scene.tracker, "react", locked)
        scene.desk.catch_up()
        assert scene.box.kinds == ["approve"]


class TestOnce:
    def test_a_comment_that_comes_by_webhook_and_by_reading_is_handled_once(self, scene):
        comment = scene.say(APPROVE)
        scene.desk.catch_up()
        scene.hear(comment)
        assert scene.box.kinds == ["approve"]
        assert scene.reactions(comment) == ["eyes", "rocket"]

    def test_both_at_the_same_moment(self, scene):
        comment = scene.tracker.say("maria", scene.issue, "/drover retry\n/drover plan nonsense")
        start = threading.Barrier(4)

        def hear(_):
            start.wait()
            scene.hear(comment)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(hear, range(4)))
        assert scene.box.kinds == ["again"]
        assert len(scene.answers) == 1

    def test_two_processes_at_the_same_moment_send_it_once(self, scene):
        comment = scene.tracker.say("maria", scene.issue, "/drover retry")
        other = Desk(scene.parts, scene.box)
        scene.book.claimed = lambda _: False  # neither sees that the other is at it
        scene.hear(comment)
        other.hear(Heard("created", comment.issue, comment.id, "maria", False, comment.body, comment.updated_at))
        assert scene.box.kinds == ["again"]

    def test_github_away_in_the_middle_loses_no_word(self, scene, monkeypatch):
        """The delivery is tried again: what was not done is done then, and what was is not done twice."""
        comment = scene.tracker.say("maria", scene.issue, "/drover retry\n/drover status")
        working = scene.tracker.upsert_comment

        def away(*_):
            raise BotError("GitHub is away")

        monkeypatch.setattr(scene.tracker, "upsert_comment", away)
        with pytest.raises(BotError):
            scene.hear(comment)
        monkeypatch.setattr(scene.tracker, "upsert_comment", working)
        scene.hear(comment)
        assert scene.box.kinds == ["again"]
        assert len(scene.answers) == 1

    def test_a_role_that_cannot_be_read_loses_no_word(self, scene, monkeypatch):
        comment = scene.tracker.say("maria", scene.issue, APPROVE)
        with monkeypatch.context() as broken:
            broken.setattr(scene.tracker, "role_of", lambda _: (_ for _ in ()).throw(BotError("away")))
            with pytest.raises(BotError):
                scene.hear(comment)
        scene.hear(comment)
        assert scene.box.kinds == ["approve"]

    def test_a_database_that_is_away_is_told_and_not_swallowed(self, scene):
        scene.box.broken = BotError("the engine could not send")
        comment = scene.say(APPROVE)
        assert "confused" in scene.reactions(comment)
        assert "the engine could not send" in scene.answers[0]


class TestWhatIsNoCommand:
    @pytest.mark.parametrize(
        "body",
        [
            f"> {APPROVE}",
            f"```\n{APPROVE}\n```",
            f"    {APPROVE}",
            f"Write `{APPROVE}` to agree.",
            f"<!-- {APPROVE} -->",
            f"- {APPROVE}",
            "looks good to me",
            "",
        ],
    )
    def test_quoted_shown_or_ordinary_text(self, scene, body):
        comment = scene.say(body)
        assert scene.box.sent == []
        assert scene.reactions(comment) == []

    def test_our_own_comments_and_those_of_other_bots(self, scene):
        ours = scene.tracker.upsert_comment(scene.issue, "status:x", APPROVE)
        scene.hear(ours)
        scene.desk.catch_up()
        assert scene.box.sent == []

    def test_comments_of_issues_that_are_not_ours(self, scene):
        other = scene.tracker.open(IssueDraft("a bug", "x", ()), "incident:other").number
        comment = scene.tracker.say("maria", other, APPROVE)
        scene.hear(comment)
        assert scene.box.sent == []
        assert scene.reactions(comment) == []


class TestSeveralCommands:
    def test_they_are_obeyed_in_their_order(self, scene):
        scene.say(f"Please:\n{APPROVE}\n/drover reject changed my mind\n/drover retry")
        assert scene.box.kinds == ["approve", "reject", "again"]

    def test_one_that_is_refused_does_not_stop_the_next(self, scene):
        comment = scene.say("/drover approve 000000\n/drover retry\n/drover nonsense")
        assert scene.box.kinds == ["again"]
        assert len(scene.answers) == 2
        assert {"confused", "rocket"} <= set(scene.reactions(comment))

    def test_the_same_command_said_twice_in_two_comments_is_two_words(self, scene):
        scene.say("/drover retry")
        scene.say("/drover retry")
        assert scene.box.kinds == ["again", "again"]


class TestOtherCommands:
    @pytest.mark.parametrize(("by", "may"), [("tom", True), ("eve", False)])
    def test_who_may_sort_issues_may_stop_a_change(self, scene, by, may):
        scene.say("/drover reject not during the fair", by)
        assert scene.box.sent == ([{"kind": "reject", "reason": "not during the fair", "by": by}] if may else [])

    def test_an_endless_reason_is_cut(self, scene):
        scene.say("/drover reject " + "x" * 5000)
        assert len(scene.box.sent[0]["reason"]) == 500

    @pytest.mark.parametrize("state", [State.VERIFYING, State.ESCALATED, State.REJECTED])
    def test_only_what_waits_can_be_rejected(self, scene, state):
        scene.set(state=state)
        scene.say("/drover reject")
        assert scene.box.sent == []
        assert f"this incident is {state}" in scene.answers[0]

    @pytest.mark.parametrize("state", [State.REMEDIATING, State.VERIFYING, State.ROLLING_BACK])
    def test_no_fresh_look_while_something_is_under_way(self, scene, state):
        scene.set(state=state)
        for command in ("/drover retry", "/drover diagnose"):
            scene.say(command)
        assert scene.box.sent == []
        assert scene.answers == [f"@maria Not now: this incident is {state}."] * 2

    @pytest.mark.parametrize(
        ("state", "changed", "may"),
        [
            (State.VERIFYING, True, True),
            (State.REMEDIATING, True, True),
            (State.ESCALATED, True, True),
            (State.ESCALATED, False, False),
            # An undo failed, somebody asked for a fresh look: what was written is still there.
            (State.AWAITING_APPROVAL, True, True),
            (State.AWAITING_APPROVAL, False, False),
            (State.ROLLED_BACK, True, False),
            (State.ROLLING_BACK, True, False),
        ],
    )
    def test_only_what_was_written_can_be_taken_back(self, scene, state, changed, may):
        scene.set(state=state, changed_at=SAID_AT if changed else None)
        if changed:
            scene.book.set_note(written_note(scene.row.id), PLAN.to_json())
        comment = scene.say("/drover rollback")
        assert scene.box.kinds == (["rollback"] if may else [])
        assert ("rocket" if may else "confused") in scene.reactions(comment)

    def test_taking_back_needs_the_role_that_the_change_needed(self, scene):
        plan = replace(PLAN, risk=Risk.DISRUPTIVE).to_json()
        scene.set(state=State.VERIFYING, changed_at=SAID_AT, plan=plan)
        scene.book.set_note(written_note(scene.row.id), plan)
        scene.say("/drover rollback", "maria")
        assert scene.box.sent == []
        scene.say("/drover rollback", "jan")
        assert scene.box.kinds == ["rollback"]

    def test_a_plan_can_be_read_by_everybody_who_reads(self, scene):
        scene.say("/drover plan", "eve")
        assert f"Plan `{PLAN.short}`" in scene.answers[0]
        assert "```diff" in scene.answers[0]

    def test_a_playbook_that_does_not_fit_shows_what_a_person_would_do(self, scene):
        scene.set(plan=None)
        scene.say("/drover plan flannel-br-netfilter-missing")
        assert "modprobe" in scene.answers[0]

    def test_an_unknown_playbook_is_told_with_those_there_are(self, scene):
        scene.say("/drover plan <script>`x`")
        assert "There is no playbook" in scene.answers[0]
        assert "`enable-br-netfilter`" in scene.answers[0]

    def test_the_status_is_one_of_ours(self, scene):
        scene.say("/drover status", "eve")
        assert len(scene.answers) == 1
        assert scene.box.sent == []


class TestCatchUp:
    def test_it_begins_where_it_was_after_a_restart(self, scene):
        asked = []
        real = scene.tracker.comments_since
        scene.tracker.comments_since = lambda when: asked.append(when) or real(when)
        scene.tracker.say("maria", scene.issue, APPROVE)
        last = scene.tracker.say("maria", scene.issue, "hello")
        assert scene.desk.catch_up() == 2
        Desk(scene.parts, scene.box).catch_up()
        assert asked[1] == last.updated_at - timedelta(minutes=2)
        assert scene.box.kinds == ["approve"]

    def test_a_failure_in_the_middle_loses_nothing(self, scene, monkeypatch):
        scene.tracker.say("maria", scene.issue, "/drover retry")
        scene.tracker.say("jan", scene.issue, APPROVE)
        with monkeypatch.context() as broken:
            broken.setattr(scene.tracker, "react", lambda *_: (_ for _ in ()).throw(BotError("away")))
            with pytest.raises(BotError):
                scene.desk.catch_up()
        scene.desk.catch_up()
        assert scene.box.kinds == ["again", "approve"]

    def test_a_comment_in_an_issue_whose_number_is_not_noted_yet_is_heard_when_it_is(self, scene):
        """
        Killed after GitHub made the issue and before the answer came: people may be quicker than the restart.
        """
        scene.set(issue=None)
        comment = scene.tracker.say("maria", scene.issue, APPROVE)
        with pytest.raises(BotError, match="while one is being told"):
            scene.hear(comment)
        scene.desk.catch_up()
        scene.set(issue=scene.issue)
        scene.parts.store.set_note("comments-read-until", (scene.now + timedelta(minutes=1)).isoformat())
        scene.desk.catch_up()
        assert scene.box.kinds == ["approve"]

    def test_an_issue_whose_number_comes_late_holds_nothing_up(self, scene):
        """
        Comments in other issues are read on, and read again; after ten minutes they are nobody's.
        """
        scene.book._rows["other"] = an_incident(id="other", issue=None)
        other = scene.tracker.open(IssueDraft("a question", "x", ()), "none").number
        scene.tracker.say("maria", other, "hello")
        scene.tracker.say("maria", scene.issue, APPROVE)
        scene.desk.catch_up()
        assert scene.box.kinds == ["approve"]
        assert scene.book.note("comments-read-until") is None
        old = scene.tracker.say("maria", other, "hello")
        scene.hear(replace(old, updated_at=SAID_AT - timedelta(minutes=11)))

    def test_an_incident_that_is_not_told_yet_keeps_no_comment_waiting(self, scene):
        scene.set(issue=None, state=State.DIAGNOSING)
        scene.hear(scene.tracker.say("maria", scene.issue, "hello"))

    def test_without_github_there_is_nothing_to_read(self, scene):
        scene.parts.tracker = None
        assert scene.desk.catch_up() == 0
        scene.hear(scene.tracker.say("maria", scene.issue, APPROVE))
        assert scene.box.sent == []
