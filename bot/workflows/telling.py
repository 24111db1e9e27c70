"""What do people read? One issue per story, one status comment, and a comment for each turn. Every word is told once."""

import structlog

from bot.errors import BotError, StoreError
from bot.incidents.incident import Incident, State
from bot.incidents.snooze import SNOOZABLE
from bot.reports.comment import not_applied_comment, reopened_comment, status_comment, superseded_comment
from bot.reports.issue import issue_draft
from bot.workflows.choice import choose
from bot.workflows.room import Json, Room

_log = structlog.get_logger("steps")


class Telling(Room):
    """Issue, comments, and the turns that are nothing but told."""

    def report(self, incident: str) -> Json:
        """One issue per story: found by its marker, opened, reopened or edited. Then the one status comment."""
        row = self._get(incident)
        waits = row.plan is not None and (row.decision or {}).get("decision") == "needs-approval"
        if row.state is State.DIAGNOSING:
            row = self._move(incident, State.REPORTED)
        if row.state in SNOOZABLE:
            snooze = self._snooze(row)
            if snooze is not None and snooze.lasts(self._now):
                row = self._move(incident, State.SNOOZED)
            elif waits:
                row = self._move(incident, State.AWAITING_APPROVAL)
            else:
                row = self._move(incident, State.REPORTED)
        return self._publish(row)

    def reject(self, incident: str, message: Json) -> Json:
        row = self._get(incident)
        if row.state in {State.REPORTED, State.AWAITING_APPROVAL}:
            row = self._move(incident, State.REJECTED)
        reason = f": {message['reason']}" if message.get("reason") else ""
        self._tell(
            row, "command", f"{message['by']} rejected the plan{reason}", once=f"reject-{message.get('once', '')}"
        )
        return self._publish(row)

    def again(self, incident: str, message: Json) -> Json:
        """A fresh look, asked for by a person or because the plan no longer fits. Approvals were for the old plan."""
        row = self._get(incident)
        self._tell(
            row,
            "command",
            f"{message.get('by', 'Drover')} asked for a fresh look",
            once=f"again-{message.get('once', '')}",
        )
        if "playbook" in message or not message.get("keep"):
            choose(self._parts.store, incident, str(message.get("playbook") or ""))
        # A fresh diagnosis keeps them: they name a digest, and count only if the new plan has the same one.
        approval = row.approval if message.get("keep") else None
        self._parts.store.update(incident, self._now, attempt=row.attempt + 1, approval=approval)
        return {}

    def superseded(self, incident: str, why: str) -> Json:
        row = self._move(incident, State.SUPERSEDED, outcome=why)
        return self._publish(row, comment=(f"superseded:{row.id}", superseded_comment(self._story(row))))

    def escalate(self, incident: str, why: str) -> Json:
        """A person has to look. Nothing further runs by itself."""
        row = self._get(incident)
        if row.state is not State.ESCALATED:
            row = self._move(incident, State.ESCALATED, outcome=why)
        self._note_cure_ended(row, healed=False)
        self._tell(row, "state", f"A person is needed: {why}", once=f"escalate-{row.attempt}-{why}")
        left = self._written_plan(row) is not None
        comment = not_applied_comment(self._story(row), why, left=left)
        return self._publish(row, comment=(f"escalated:{row.id}:{row.attempt}", comment))

    def _publish(self, row: Incident, *, comment: tuple[str, str] | None = None) -> Json:
        """Issue and status comment as they should be now. `comment` is (marker, text) of one more comment, made once."""
        tracker = self._parts.tracker
        if tracker is None:
            return {"issue": None}
        story = self._story(row)
        issue = tracker.open(issue_draft(story), row.marker)
        if row.issue != issue.number:
            # None yet, or the old one was deleted or moved away: commands are taken in the issue that people see.
            row = self._parts.store.update(row.id, self._now, issue=issue.number, issue_url=issue.url)
            self._tell(row, "told", f"Issue #{issue.number}", once=f"issue-{issue.number}")
            story = self._story(row)
        if not row.state.over:
            if not issue.open:
                tracker.reopen(issue.number)
            if row.episode != row.story:
                tracker.upsert_comment(issue.number, f"reopened:{row.id}", reopened_comment(story))
        tracker.edit(issue.number, issue_draft(story))
        tracker.upsert_comment(issue.number, f"status:{row.id}", status_comment(story))
        if comment:
            tracker.upsert_comment(issue.number, comment[0], comment[1])
        if row.state.over:
            tracker.close(issue.number, completed=True)
        return {"issue": issue.number}

    def _publish_if_possible(self, row: Incident, *, only_status: bool = False) -> None:
        """While something of ours is in a cluster, GitHub's absence must not keep the proof or the undo waiting.

        What is left out here is caught up by the next step that tells something.
        """
        tracker = self._parts.tracker
        try:
            if not only_status:
                self._publish(row)
            elif tracker is not None and row.issue is not None:
                tracker.upsert_comment(row.issue, f"status:{row.id}", status_comment(self._story(row)))
        except StoreError:
            raise
        except BotError as error:
            _log.warning("not_told", incident=row.id, error=error.message)
