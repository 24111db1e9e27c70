"""How is everything put back? Last write first, each read before it is written, and read back afterwards."""

from datetime import timedelta

from bot.errors import BotError
from bot.incidents.incident import Incident, State
from bot.reports.comment import put_back_comment
from bot.workflows.room import SHOWN, Json, audited, failed_note, written_note
from bot.workflows.telling import Telling
from rancher_ext.errors import DroverError
from rancher_ext.evidence.archive import write_archive
from rancher_ext.remediation.change import Target, Write, is_back
from rancher_ext.remediation.plan import Plan
from rancher_ext.remediation.spec import still_to_reach, switches_drain_on_again, taken_over

# Machines get what is put back one after the other; drain stays off for that long at the most, then a person decides.
REACHED_WITHIN = timedelta(minutes=30)
# Where something of ours may be in the cluster, so that there is something to put back.
_CHANGED = frozenset(
    {
        State.REMEDIATING,
        State.VERIFYING,
        State.ROLLING_BACK,
        State.ESCALATED,
        # After an undo that failed and a fresh look, the change is still there.
        State.REPORTED,
        State.AWAITING_APPROVAL,
        State.REJECTED,
    }
)


class NotReachedYetError(BotError):
    """What was put back has not reached every machine, and the next write would keep it from them."""


class NotReachedError(BotError):
    """The same, after the time that it is waited for."""

    lasting = True


class Undoing(Telling):
    """Learn from a failed cure, take it back, prove that it is back."""

    def failed_cure(self, incident: str, why: str) -> Json:
        """The cure did not work: look once more, so that something is learnt before everything is put back."""
        row = self._get(incident)
        plan = self._current_plan(row)
        self._tell(row, "proof", f"The cure failed: {why}", once=f"failed-{row.attempt}")
        if not plan.undo_on_failure:
            return {"keep": True}
        if row.state is not State.ROLLING_BACK:
            learned = self._learn(row)
            row = self._move(incident, State.ROLLING_BACK, outcome=why, **({"diagnosis": learned} if learned else {}))
            self._publish_if_possible(row)
        return {"keep": False}

    def take_back(self, incident: str, index: int) -> Json:
        """Undo the `index`-th step from the end; `done` when there is none left. Also reads first."""
        row = self._get(incident)
        plan = self._written_plan(row)
        if plan is None or index >= len(plan.steps) or row.state not in _CHANGED:
            return {"done": True}
        if row.state is not State.ROLLING_BACK:
            row = self._move(incident, State.ROLLING_BACK)
        step = plan.steps[len(plan.steps) - 1 - index]
        # Everything is read before it is put back, so an undo may begin on a lease of its own.
        self._leases.take(row)
        name = f"undo-{row.attempt}-{index}"
        target, action = self._target(row), self._action(step)
        results = []
        for number, write in enumerate(reversed(step.writes)):
            once = f"{name}-{number}" if number else name
            self._after_the_machines(row, plan, target, write)
            told = {"actor": "drover", "rule": "undo"} | audited(write, back=True)
            turn = self._intend(row, once, "intend-undo", "about to put back", told)
            self._leases.keep(row)
            with self._refusals_recorded(row, f"{once}-refused{turn}", told):
                back = action.take_back(target, write)
            results.append(back)
            self._parts.store.record(row.id, self._now, once=once, what="undo", result=back.seen, **told)
        self._tell(row, "change", f"{step.title}: put back", once=name)
        return {
            "done": False,
            "wrote": any(back.wrote for back in results),
            "seen": "; ".join(back.seen for back in results[:SHOWN]),
        }

    def _after_the_machines(self, row: Incident, plan: Plan, target: Target, write: Write) -> None:
        """Drain is switched on again when every machine has what was put back before: without the agent no drain ends.

        Switched on at once it would hold the restored configuration back, and the machines would keep the failed one.
        """
        if not switches_drain_on_again(write) or target.snapshot.connected is True or is_back(target, write):
            return
        changed = restored = None
        for record in self._parts.store.audit(row.id):
            if record.what == "write":
                changed, restored = (record.at, None) if changed is None or restored else (changed, None)
            elif record.what == "undo" and "upgradeStrategy" not in record.place:
                restored = record.at
        if changed is None or restored is None:
            return
        waiting = still_to_reach(target.snapshot, changed=changed, restored=restored)
        if waiting:
            more = ", …" if len(waiting) > 1 else ""
            told = f"{len(waiting)} of {len(target.snapshot.machines)} machines ({waiting[0]}{more}) have not applied what was put back"
        elif not taken_over(target, [each for step in plan.steps for each in step.writes]):
            told = "Rancher has not yet taken over what was put back"
        else:
            return
        self._tell(row, "proof", f"{told}; drain stays off until then", once=f"reach-{row.attempt}-{told}")
        if self._now - restored < REACHED_WITHIN:
            raise NotReachedYetError(f"{told}, and a drain would keep it from them", cure="It is looked at again.")
        left = " and ".join(
            ".".join(each.place.path)
            for step in plan.steps
            for each in step.writes
            if switches_drain_on_again(each) and not is_back(target, each)
        )
        minutes = REACHED_WITHIN.seconds // 60
        raise NotReachedError(
            f"everything else is put back, but within {minutes} min {told}, so drain is left off. Once they have it, or the agent"
            f" is connected, {left} of the cluster is set to true again",
            cure="`/drover rollback` does that.",
        )

    def rolled_back(self, incident: str, why: str) -> Json:
        if self._get(incident).state not in {State.ROLLING_BACK, State.ROLLED_BACK}:
            # Asked for after it was done, or before anything was written.
            return {"nothing": True}
        row = self._move(incident, State.ROLLED_BACK, outcome=why, approval=None)
        self._note_cure_ended(row, healed=False)
        self._leases.release(row)
        self._parts.store.set_note(failed_note(row), self._now.isoformat())
        equal = self._as_before(row)
        self._parts.store.set_note(written_note(row.id), None)
        comment = put_back_comment(self._story(row), why, fields_equal=equal)
        self._publish(row, comment=(f"put-back:{row.id}:{row.attempt}", comment))
        return {"fieldsEqual": equal}

    def _as_before(self, row: Incident) -> bool:
        """Has every field that was touched its earlier value again? Read back, not concluded."""
        target, plan = self._target(row), self._written_plan(row)
        return plan is None or all(is_back(target, write) for step in plan.steps for write in step.writes)

    def _learn(self, row: Incident) -> Json | None:
        """Evidence after a failed cure. Its failure must not keep the undo waiting."""
        try:
            server = self._server(row)
            bundle = self._parts.collect(server, server.reader.cluster(row.cluster.id))
            write_archive(bundle, self._evidence_path(row, f"{row.attempt}-after"))
            return self._parts.knowledge.remedy_json(self._parts.knowledge.diagnose(bundle))
        except DroverError:
            return None
