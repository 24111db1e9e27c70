"""How do people's words reach an incident? Comments become commands, commands become messages to its workflow.

A comment is handled once per version, whichever way it came (webhook, redelivery, or reading what was missed). An approval is
bound to the version of its comment: when the comment changes, what it said before is void.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from bot.commands.authorize import lacking, nobody_knows
from bot.commands.command import Outcome
from bot.commands.dispatch import HouseRules, Speaker, dispatch
from bot.commands.parse import parse
from bot.errors import BotError
from bot.incidents.incident import Incident, State
from bot.policy.approvals import Approval, names_plan
from bot.policy.roles import Who
from bot.policy.schema import Policy
from bot.ports import IssueTracker, Membership, Role
from bot.reports.comment import status_comment
from bot.reports.escape import code_span, escape_markdown
from bot.workflows.choice import offered
from bot.workflows.engine import Engine
from bot.workflows.incident_flow import TOPIC
from bot.workflows.nodes_desk import NodesDesk
from bot.workflows.parts import Parts
from bot.workflows.room import Room, written_note
from bot.workflows.service_desk import ServiceDesk
from bot.workflows.story import story_of
from rancher_ext.errors import DroverError
from rancher_ext.fleet.cluster import ClusterKey
from rancher_ext.remediation.plan import Plan

_log = structlog.get_logger("desk")
_LAST_READ = "comments-read-until"
# GitHub's `since` is by its own clock and by second; reading a little again costs nothing, since versions are claimed.
_OVERLAP = timedelta(minutes=2)
# GitHub may have made an issue whose number we do not know yet (killed before the answer came, say). It is found by its mark
# within seconds; a comment in an issue that nobody knows is kept for so long, since it may be there.
_ISSUE_NOTED_WITHIN = timedelta(minutes=10)


class NotNotedYetError(BotError):
    """A comment in an issue that may turn out to be one of ours."""


@dataclass(frozen=True)
class Heard:
    """One version of one comment. `action` is created, edited or deleted.

    `edited` says that this is not the text as its author first sent it. GitHub lets everybody with write access edit anybody's
    comment, so such a text takes back what was said before, and commands nothing.
    """

    action: str
    issue: int
    comment_id: int
    author: str
    author_is_bot: bool
    body: str
    updated_at: datetime
    edited: bool = False

    @property
    def key(self) -> str:
        return f"comment:{self.comment_id}:{self.updated_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


class Desk(ServiceDesk, NodesDesk):
    """Takes comments, and is the `IncidentDesk` of the commands.

    `said` names the words that are being handled: repeated after a crash, they reach the incident once.
    """

    def __init__(
        self, parts: Parts, engine: Engine, said: str = "", hint: Callable[[ClusterKey], Any] = lambda _: None
    ) -> None:
        self._parts = parts
        self._engine = engine
        self._hint = hint
        self._said = said
        # Webhook and polling bring the same comment; in one process they take turns.
        self._hearing = threading.Lock()

    def hear(self, heard: Heard) -> None:
        """Handle one version of a comment, once.

        It counts as handled when it was, not before: when GitHub is away in the middle, or this process dies, it is heard
        again, and what it had done already is not done twice.
        """
        tracker = self._parts.tracker
        if tracker is None or heard.author_is_bot:
            return
        with self._hearing:
            self._hear(tracker, heard)

    def _hear(self, tracker: IssueTracker, heard: Heard) -> None:
        incident = self._parts.store.by_issue(heard.issue)
        if incident is None:
            if datetime.now(UTC) - heard.updated_at < _ISSUE_NOTED_WITHIN and self._tells_for_the_first_time():
                raise NotNotedYetError(
                    f"no incident is known in issue #{heard.issue}, while one is being told",
                    cure="It is looked up again.",
                )
            return
        if self._is_outdated(heard):
            return
        if heard.action == "deleted":
            self._void(incident, heard)
            return
        if self._parts.store.claimed(heard.key):
            return
        self._void(incident, heard)
        if not heard.edited:
            self._obey(tracker, incident, heard)
        elif parse(heard.body):
            tracker.react(heard.comment_id, "confused")
        self._parts.store.claim(heard.key, self._parts.clock.now())

    def _tells_for_the_first_time(self) -> bool:
        """Is there an incident that is told by now, and whose issue we do not know?"""
        untold = {State.DETECTED, State.DIAGNOSING}
        return any(row.issue is None and row.state not in untold for row in self._parts.store.all(only_open=True))

    def _is_outdated(self, heard: Heard) -> bool:
        """Deliveries overtake each other. What a newer version has replaced, or a deletion ended, is not heard any more."""
        name = f"comment:{heard.comment_id}"
        newest = self._parts.store.note(name)
        if newest == "deleted":
            return True
        if heard.action == "deleted":
            self._parts.store.set_note(name, "deleted")
            return False
        if newest is not None and heard.updated_at < datetime.fromisoformat(newest):
            return True
        if newest is None or heard.updated_at > datetime.fromisoformat(newest):
            self._parts.store.set_note(name, heard.updated_at.isoformat())
        return False

    def _obey(self, tracker: IssueTracker, incident: Incident, heard: Heard) -> None:
        asked = parse(heard.body)
        if not asked:
            return
        role = tracker.role_of(heard.author)
        if role > Role.NONE:
            tracker.react(heard.comment_id, "eyes")
        house = self._house_rules(incident, heard.author)
        speaker = Speaker(heard.author, role, heard.comment_id, heard.updated_at, heard.issue, incident.id)
        for number, each in enumerate(asked):
            desk = Desk(self._parts, self._engine, f"{heard.key}/{number}", self._hint)
            reply = dispatch(each, speaker, desk, house=house)
            _log.info("command", command=each.name, by=heard.author, role=role.name, incident=incident.id)
            if reply is None:
                continue
            if reply.reaction:
                tracker.react(heard.comment_id, reply.reaction)
            if reply.text:
                tracker.upsert_comment(heard.issue, f"reply:{heard.key}:{number}", f"@{heard.author} {reply.text}")

    def _house_rules(self, incident: Incident, login: str) -> HouseRules:
        policy, labels = self._parts.policy(), _Labels(self._parts, incident)

        def asked(command: str) -> Who:
            return policy.who_may(command, labels() if policy.asks_by_label(command) else {})

        def unsure(command: str) -> str:
            if not policy.asks_by_label(command) or labels() is not None:
                return ""
            return "The cluster's labels cannot be read now, so everything was asked that may hold for it."

        return HouseRules(asked, self._member(login), unsure)

    def _member(self, login: str) -> Callable[[str], Membership]:
        tracker = self._parts.tracker
        return nobody_knows if tracker is None else lambda team: tracker.membership(team, login)

    def catch_up(self) -> int:
        """Read what no webhook brought: many installations sit behind NAT. Returns how many comments there were."""
        tracker = self._parts.tracker
        if tracker is None:
            return 0
        noted = self._parts.store.note(_LAST_READ)
        since = datetime.fromisoformat(noted) if noted else datetime.now(UTC) - timedelta(days=1)
        comments = tracker.comments_since(since - _OVERLAP)
        read_again = False
        for comment in comments:
            heard = Heard(
                "created",
                comment.issue,
                comment.id,
                comment.author,
                comment.author_is_bot,
                comment.body,
                comment.updated_at,
                edited=comment.updated_at != comment.created_at,
            )
            try:
                self.hear(heard)
            except NotNotedYetError:
                read_again = True
            except BotError as error:
                if not error.lasting:
                    raise
                # One comment that can never be answered (its issue locked, say) must not keep all later ones unread.
                _log.warning("comment_given_up", comment=comment.id, error=error.message)
                self._parts.store.claim(heard.key, self._parts.clock.now())
            if not read_again:
                self._parts.store.set_note(_LAST_READ, comment.updated_at.isoformat())
        return len(comments)

    # --- what commands ask for ----------------------------------------------------------------------------------------------

    def status_text(self, incident: str) -> str:
        return status_comment(story_of(self._parts, self._parts.store.get(incident), self._parts.clock.now()))

    def request_diagnosis(self, incident: str, by: str) -> Outcome:
        if self._parts.store.get(incident).state is State.REJECTED:
            return Outcome(False, "The plan was rejected; `/drover retry` begins afresh.")
        return self._again(incident, by, keep=True)

    def request_retry(self, incident: str, by: str) -> Outcome:
        return self._again(incident, by, keep=False)

    def request_rollback(self, incident: str, by: str, role: Role) -> Outcome:
        row = self._parts.store.get(incident)
        written = self._parts.store.note(written_note(row.id))
        if row.state in {State.ROLLED_BACK, State.ROLLING_BACK}:
            return Outcome(False, f"Nothing is left to put back: this incident is {row.state}.")
        if not written or row.state.over:
            return Outcome(False, "Nothing of Drover's is in this cluster, so there is nothing to put back.")
        need = self._parts.policy().need(Plan.from_json(written).risk)
        lack = lacking(Who.named(need.by), role, self._member(by))
        if lack:
            return Outcome(False, f"Putting this back needs {lack}")
        return self._send(row, {"kind": "rollback", "by": by}, "rollback", by)

    def approve(
        self, incident: str, digest_prefix: str, *, by: str, role: Role, comment_id: int, comment_updated_at: datetime
    ) -> Outcome:
        row = self._parts.store.get(incident)
        if row.plan is None or not names_plan(digest_prefix, Plan.from_json(row.plan).digest):
            nodes = self._approve_nodes(
                row, digest_prefix, by=by, role=role, comment_id=comment_id, comment_updated_at=comment_updated_at
            )
            if nodes is not None:
                return nodes
        other = offered(self._parts.store, row.id, digest_prefix)
        if row.plan is None and other is None:
            return Outcome(False, "There is no plan to approve: see the issue for what a person can do.")
        if row.state in {State.REMEDIATING, State.VERIFYING, State.ROLLING_BACK}:
            return Outcome(False, f"The plan is already running ({row.state}).")
        in_force = Plan.from_json(row.plan) if row.plan else None
        plan = in_force if in_force and names_plan(digest_prefix, in_force.digest) else other
        if plan is None:
            assert in_force is not None
            return Outcome(
                False,
                f"The plan is now `{in_force.short}`, not {code_span(digest_prefix[:12])}: read it again, please, and approve that one.",
            )
        if row.state not in {State.REPORTED, State.AWAITING_APPROVAL}:
            return Outcome(False, f"This incident is {row.state}; `/drover retry` makes a fresh plan first.")
        policy, member = self._parts.policy(), self._member(by)
        lack = lacking(_who_approves(policy, plan, row.decision), role, member)
        if lack:
            return Outcome(False, f"A {plan.risk} change needs {lack}")
        approval = Approval(
            by,
            role.name.lower(),
            plan.digest,
            self._parts.clock.now(),
            comment_id,
            comment_updated_at.isoformat(),
            # All that may be asked for, not only what is now: the rule that decides may be another one by then.
            tuple(team for team in policy.approving_teams if member(team).member),
        )
        # Noted first: when the comment changes before the incident has read this, that has to be known.
        self._parts.store.set_note(f"approval:{comment_id}", row.id)
        once = f"approve-{comment_id}-{comment_updated_at.isoformat()}"
        told = self._send(row, {"kind": "approve", "approval": approval.to_json()}, once, by)
        if plan is in_force or not told.done:
            return told
        # It was shown and is not in force: the incident plans anew with its playbook, and then the approval counts.
        again = {"kind": "again", "by": by, "keep": True, "playbook": plan.playbook}
        return self._send(row, again, f"{once}-chosen", by)

    def reject(self, incident: str, reason: str, by: str) -> Outcome:
        row = self._parts.store.get(incident)
        if row.state not in {State.REPORTED, State.AWAITING_APPROVAL}:
            return Outcome(False, f"There is nothing to reject: this incident is {row.state}.")
        return self._send(row, {"kind": "reject", "reason": reason[:500], "by": by}, "reject", by)

    def _again(self, incident: str, by: str, *, keep: bool) -> Outcome:
        row = self._parts.store.get(incident)
        if row.state in {State.REMEDIATING, State.VERIFYING, State.ROLLING_BACK}:
            return Outcome(False, f"Not now: this incident is {row.state}.")
        return self._send(row, {"kind": "again", "by": by, "keep": keep}, "again", by)

    def _void(self, incident: Incident, heard: Heard) -> None:
        """What an earlier version of this comment approved counts no more."""
        if self._parts.store.note(f"approval:{heard.comment_id}") is None:
            return
        version = heard.updated_at.isoformat()
        message = {
            "kind": "void",
            "comment": heard.comment_id,
            "version": version,
            "deleted": heard.action == "deleted",
        }
        self._engine.send(
            incident.id, TOPIC, message, once=f"{incident.id}/void/{heard.comment_id}/{version}/{heard.action}"
        )

    def _send(self, row: Incident, message: dict[str, Any], name: str, by: str) -> Outcome:
        once = f"{row.id}/{self._said or row.attempt}/{name}/{by}"
        try:
            delivered = self._engine.send(row.id, TOPIC, message | {"once": once}, once=once)
        except BotError as error:
            return Outcome(False, escape_markdown(error.message))
        if not delivered:
            return Outcome(
                False, "This incident is over. If the cluster is stuck again, a new episode begins by itself."
            )
        return Outcome(True)


class _Labels:
    """The labels of the incident's cluster, read once and only when somebody asks. None: they cannot be known now."""

    def __init__(self, parts: Parts, incident: Incident) -> None:
        self._parts = parts
        self._incident = incident
        self._read: tuple[Mapping[str, str] | None] | None = None

    def __call__(self) -> Mapping[str, str] | None:
        if self._read is None:
            try:
                room = Room(self._parts)
                self._read = (room._snapshot(self._incident).labels,)  # noqa: SLF001 - a room of our own
            except DroverError as error:
                _log.warning("labels_unknown", incident=self._incident.id, error=error.message)
                self._read = (None,)
        return self._read[0]


def _who_approves(policy: Policy, plan: Plan, decision: Mapping[str, Any] | None) -> Who:
    """Whom the default of the risk asks for, and whom the policy asked for when it was asked about this very plan."""
    who = Who.named(policy.need(plan.risk).by)
    if decision is None or decision.get("decision") != "needs-approval" or decision.get("digest") != plan.digest:
        return who
    return who & Who(decision.get("role", "none"), tuple(decision.get("teams", ())))
