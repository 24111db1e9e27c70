"""What else can be said in an issue, beyond deciding on a plan? Quiet, the global brake, logs, a sweep."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from bot.commands.command import Outcome
from bot.incidents.incident import Incident, State
from bot.incidents.snooze import SNOOZABLE, Snooze, snoozed_note
from bot.policy.explain import explain
from bot.reports.durations import moment, spoken
from bot.reports.escape import code_span, escape_markdown
from bot.reports.logs import logs_reply
from bot.reports.plan import explanation_reply, plan_reply
from bot.workflows.choice import mended_by, offer
from bot.workflows.parts import Parts
from bot.workflows.room import Room
from bot.workflows.story import kept_evidence
from rancher_ext.errors import DroverError
from rancher_ext.fleet.cluster import ClusterKey
from rancher_ext.remediation.change import Target
from rancher_ext.remediation.plan import Explanation, Plan, make_plan
from rancher_ext.remediation.playbook import Playbook

_ACTING = frozenset({State.REMEDIATING, State.VERIFYING, State.ROLLING_BACK})


class ServiceDesk:
    """The part of the desk that is about more than one plan. `_send` is the desk's."""

    _parts: Parts
    _said: str
    _hint: Callable[[ClusterKey], Any]

    def _send(self, row: Incident, message: dict[str, Any], name: str, by: str) -> Outcome:
        raise NotImplementedError

    # --- quiet ---

    def snooze(self, incident: str, lasts: timedelta, by: str) -> Outcome:
        row, until = self._parts.store.get(incident), self._parts.clock.now() + lasts
        if row.state not in SNOOZABLE:
            return Outcome(False, f"Nothing would happen here by itself: this incident is {row.state}.")
        told = self._rest(row, Snooze(until, by), f"{by} snoozed it until {moment(until)}", by)
        return Outcome(True, f"Quiet for {spoken(lasts)}, until {moment(until)}.") if told.done else told

    def unsnooze(self, incident: str, by: str) -> Outcome:
        row = self._parts.store.get(incident)
        snooze = Snooze.from_json(self._parts.store.note(snoozed_note(row.id)))
        if snooze is None or not snooze.lasts(self._parts.clock.now()):
            return Outcome(False, f"This incident is not snoozed: it is {row.state}.")
        return self._rest(row, None, f"{by} ended the snooze", by)

    def _rest(self, row: Incident, snooze: Snooze | None, text: str, by: str) -> Outcome:
        """The note is a brake of the policy; the incident is woken to ask it, and tells what it hears."""
        self._parts.store.set_note(snoozed_note(row.id), snooze.to_json() if snooze else None)
        self._parts.store.tell(row.id, self._parts.clock.now(), "command", text, once=f"{text}/{self._said}")
        return self._send(row, {"kind": "wake", "by": by}, f"rest/{snooze.until if snooze else 'over'}", by)

    def close(self, incident: str, reason: str, by: str) -> Outcome:
        row = self._parts.store.get(incident)
        if row.state in _ACTING:
            return Outcome(
                False, f"Not now: this incident is {row.state}. `/drover rollback` puts back what was changed."
            )
        return self._send(row, {"kind": "close", "reason": reason[:500], "by": by}, "close", by)

    # --- the brake ---

    def pause(self, reason: str, by: str) -> Outcome:
        if self._parts.store.note("paused", default=False):
            return Outcome(False, "Drover is paused already. `/drover resume` lets it act again.")
        self._brake("pause", by, reason, {"by": by, "at": self._parts.clock.now().isoformat(), "reason": reason[:500]})
        return Outcome(
            True, "No cure begins on any cluster until `/drover resume`. What is being put back is still put back."
        )

    def resume(self, by: str) -> Outcome:
        if not self._parts.store.note("paused", default=False):
            return Outcome(False, "Drover is not paused.")
        self._brake("resume", by, "", False)
        return Outcome(True, "Drover acts again, on every cluster.")

    def _brake(self, what: str, by: str, reason: str, after: Any) -> None:
        """Noted with who did it, as `drover pause` does. It belongs to no incident."""
        store, now = self._parts.store, self._parts.clock.now()
        before = store.note("paused", default=False)
        store.set_note("paused", after)
        store.record(
            "",
            now,
            once=f"{what}/every cluster/{now.isoformat()}",
            what=what,
            place="every cluster",
            actor=by,
            rule=reason[:500],
            before=before,
            after=after,
            result="done",
        )

    # --- looking ---

    def logs_text(self, incident: str, component: str) -> str:
        row = self._parts.store.get(incident)
        bundle = kept_evidence(row.evidence)
        if bundle is None:
            return "No evidence is kept (any more). `/drover diagnose` collects it anew."
        return logs_reply(bundle, component)

    def request_sweep(self, incident: str, by: str) -> Outcome:
        row = self._parts.store.get(incident)
        keys = [cluster.key for cluster in self._parts.fleet.seen() if cluster.key.rancher == row.cluster.rancher]
        for key in keys:
            self._hint(key)
        return Outcome(True, f"Every cluster of this Rancher is looked at anew: {len(keys)}.")

    def plan_text(self, incident: str, playbook: str | None) -> str:
        """The plan in force, or what another playbook would do here, from facts as fresh as this moment."""
        row = self._parts.store.get(incident)
        known = self._parts.knowledge.playbooks
        if playbook is not None:
            named = next((book for book in known.values() if book.id == playbook), known.get(playbook))
            if named is None:
                ids = sorted({book.id for book in known.values()})
                return f"There is no playbook {code_span(playbook[:60])}. There are: {', '.join(f'`{name}`' for name in ids)}."
            if row.plan is None or Plan.from_json(row.plan).playbook != named.id:
                return self._other_plan(row, named, playbook)
        if row.plan is None:
            return "There is no plan: see the issue for what a person can do."
        return self._shown(row, Plan.from_json(row.plan), in_force=True)

    def _other_plan(self, row: Incident, playbook: Playbook, name: str) -> str:
        room = Room(self._parts)
        finding = mended_by(playbook, row.diagnosis)
        about = (
            str(finding["signature"]) if finding else name if name in playbook.signatures else playbook.signatures[0]
        )
        try:
            target: Target = room._target(row)  # noqa: SLF001 - a room of our own
            made = make_plan(playbook, about, target, self._parts.knowledge.actions)
        except DroverError as error:
            made = Explanation(playbook.id, playbook.title, error.message, playbook.explain)
        if isinstance(made, Explanation):
            return explanation_reply(made)
        if finding is not None:
            offer(self._parts.store, row.id, made)
        return self._shown(row, made, in_force=False, offered=finding is not None)

    def _shown(self, row: Incident, plan: Plan, *, in_force: bool, offered: bool = False) -> str:
        room = Room(self._parts)
        try:
            facts = room._facts(row, plan, room._snapshot(row))  # noqa: SLF001
        except DroverError as error:
            # Rancher is away: the plan is still the plan.
            return f"{plan_reply(plan, in_force=in_force, offered=offered)}\n\nThe policy was not asked: {escape_markdown(error.message)}."
        return plan_reply(plan, explain(self._parts.policy(), facts), in_force=in_force, offered=offered)
