"""What do all steps of an incident share? The row, the cluster as it is now, and the facts that a decision rests on."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from bot.incidents.incident import Incident, State
from bot.incidents.snooze import Snooze, snoozed_note
from bot.policy.approvals import Approval
from bot.policy.decide import Facts
from bot.ports import Clock
from bot.reports.story import Story
from bot.workflows.cure_logs import elsewhere, note_ended
from bot.workflows.lease import Leases
from bot.workflows.parts import Parts, RancherServer
from bot.workflows.story import story_of
from rancher_ext.detection import Healthy, OutOfScope, Progressing, Stuck, Unknown, Verdict, assess
from rancher_ext.errors import BadInput, Conflict, Forbidden, Invalid, NotFound
from rancher_ext.fleet.snapshot import ClusterSnapshot
from rancher_ext.remediation.action import Action, PlannedStep
from rancher_ext.remediation.change import Call, Target, Write
from rancher_ext.remediation.diff import hidden
from rancher_ext.remediation.plan import Plan

Json = Mapping[str, Any]

# Results of a step with many writes that its record tells; the audit trail has all.
SHOWN = 5

# The server's no: trying again brings the same answer, until somebody changes something.
_REFUSED = (Forbidden, Invalid, Conflict)

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def written_note(incident: str) -> str:
    """Under this note lies the plan whose changes are in the cluster."""
    return f"written:{incident}"[:100]


def failed_note(row: Incident) -> str:
    """Under this note lies when a cure failed on this cluster: nothing runs by itself there again."""
    return f"failed:{row.cluster.rancher}:{row.cluster_uid}"


def audited(write: Write, *, back: bool = False) -> dict[str, Any]:
    """Where, from what, to what: the part of an audit record that names the write."""
    if isinstance(write, Call):
        return {"place": str(write), "before": None, "after": hidden(dict(write.body))}
    before, after = hidden(write.before.to_json()), hidden(write.after.to_json())
    return {"place": str(write), "before": after if back else before, "after": before if back else after}


def not_now(verdict: Verdict) -> str:
    """Why a cluster must not be written to at this moment; empty when it is stuck. Healthy and slow ones are never touched."""
    match verdict:
        case Stuck():
            return ""
        case Progressing():
            return "the cluster makes progress"
        case Healthy():
            return "the cluster is up"
        case Unknown() | OutOfScope():
            return verdict.why


class Room:
    """The shared part of every kind of step."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._leases = Leases(parts.store, parts.holder, parts.clock)

    @property
    def _now(self) -> datetime:
        clock: Clock = self._parts.clock
        return clock.now()

    def _get(self, incident: str) -> Incident:
        return self._parts.store.get(incident)

    def _move(self, incident: str, state: State, **changes: Any) -> Incident:
        row = self._get(incident)
        if row.state is state and not changes:
            return row
        moved = self._parts.store.update(incident, self._now, state=state, **changes)
        if row.state is not state:
            self._tell(moved, "state", f"{row.state} → {state}", once=f"state-{row.attempt}-{row.state}-{state}")
        return moved

    def _tell(self, row: Incident, kind: str, text: str, *, once: str) -> None:
        self._parts.store.tell(row.id, self._now, kind, text, once=once)

    def _intend(self, row: Incident, once: str, what: str, result: str, told: Mapping[str, Any]) -> str:
        """Record what is about to be written. Returns which try it is: each that was refused is followed by one of its own."""
        turn, number = "", 1
        while self._parts.store.recorded(row.id, f"{once}-refused{turn}"):
            number += 1
            turn = f"-{number}"
        self._parts.store.record(row.id, self._now, once=f"{once}-intent{turn}", what=what, result=result, **told)
        return turn

    @contextmanager
    def _refusals_recorded(self, row: Incident, once: str, told: Mapping[str, Any]) -> Iterator[None]:
        """What the server does not let us write stands in the audit trail with its reason, beside what it let us write."""
        try:
            yield
        except _REFUSED as error:
            self._parts.store.record(row.id, self._now, once=once, what="refused", result=error.message, **told)
            raise

    def _server(self, row: Incident) -> RancherServer:
        server = self._parts.ranchers.get(row.cluster.rancher)
        if server is None:
            raise BadInput(
                f"{row.id} belongs to the Rancher server {row.cluster.rancher!r}, which the settings no longer name",
                cure="Put it back into `ranchers`, or close the incident.",
            )
        return server

    def _snapshot(self, row: Incident) -> ClusterSnapshot:
        return self._server(row).reader.cluster(row.cluster.id)

    def _target(self, row: Incident) -> Target:
        snapshot = self._snapshot(row)
        if snapshot.identity.uid != row.cluster_uid:
            raise NotFound(f"{row.cluster_name} was made anew: the cluster of this incident is gone", status=404)
        return Target(snapshot, self._server(row).transport)

    def _current_plan(self, row: Incident) -> Plan:
        if row.plan is None:
            raise BadInput(f"{row.id} has no plan", cure="`/drover plan` makes one.")
        return Plan.from_json(row.plan)

    def _written_plan(self, row: Incident) -> Plan | None:
        """The plan whose changes are in the cluster, whatever plan was made since. None when nothing of ours is there."""
        written = self._parts.store.note(written_note(row.id))
        return Plan.from_json(written) if written else None

    def _best_finding(self, row: Incident) -> Json | None:
        diagnosis = row.diagnosis or {}
        findings = diagnosis.get("findings") or []
        return findings[0] if diagnosis.get("verdict") == "cni-failure" and findings else None

    def _snooze(self, row: Incident) -> Snooze | None:
        return Snooze.from_json(self._parts.store.note(snoozed_note(row.id)))

    def _facts(self, row: Incident, plan: Plan, snapshot: ClusterSnapshot) -> Facts:
        findings = (row.diagnosis or {}).get("findings") or []
        mended = next((finding for finding in findings if finding["signature"] == plan.signature), None)
        best = mended or self._best_finding(row) or {}
        snooze = self._snooze(row)
        return Facts(
            risk=plan.risk,
            undo=plan.undo,
            cause=str(best.get("cause", "")),
            signature=plan.signature,
            digest=plan.digest,
            labels=snapshot.labels,
            initialized=snapshot.initialized,
            mending_now=self._parts.store.mending_now(besides=row.id),
            paused=bool(self._parts.store.note("paused", default=False)),
            dry_run=self._parts.dry_run,
            failed_before=self._parts.store.note(failed_note(row)) is not None,
            now=self._now,
            approvals=self._approvals(row),
            not_now=self._not_now(snapshot),
            snoozed_until=snooze.until if snooze else None,
            snoozed_by=snooze.by if snooze else "",
            playbook=plan.playbook,
            actions=tuple(step.action for step in plan.steps),
            etcd_saved=plan.etcd_saved,
            undecided=bool((row.diagnosis or {}).get("undecided")),
            signature_since=self._parts.knowledge.since.get(plan.signature),
            elsewhere=elsewhere(self._parts.store, self._parts.fleet, self._parts.policy(), row, plan, self._now),
        )

    def _note_cure_ended(self, row: Incident, *, healed: bool) -> None:
        """For the brakes of other clusters. Before the note of what was written goes: it names the plan."""
        plan = self._written_plan(row)
        if plan is not None:
            with self._leases.beginning():
                note_ended(self._parts.store, row, plan, self._now, healed=healed)

    def _not_now(self, snapshot: ClusterSnapshot) -> str:
        memory = self._parts.fleet.memory_of(snapshot.key, snapshot.identity.uid)
        _, verdict = assess(snapshot, memory, self._parts.limits)
        return not_now(verdict)

    def _approvals(self, row: Incident) -> list[Approval]:
        return [Approval.from_json(raw) for raw in (row.approval or {}).get("approvals", ())]

    def _living(self, given: Sequence[Approval]) -> list[Approval]:
        """Those whose comments still stand as they were read. Without a tracker there are no comments."""
        tracker = self._parts.tracker
        if tracker is None:
            return list(given)
        living = []
        for approval in given:
            view = tracker.comment(approval.comment) if approval.comment is not None else None
            if view is not None and view.updated_at == datetime.fromisoformat(approval.comment_version):
                living.append(approval)
        return living

    def _evidence_path(self, row: Incident, name: str) -> Path:
        return self._parts.evidence_dir / f"{_UNSAFE.sub('-', row.id)}-{name}.tar.gz"

    def _story(self, row: Incident) -> Story:
        return story_of(self._parts, row, self._now)

    def _action(self, step: PlannedStep) -> Action:
        action = self._parts.knowledge.actions.get(step.action)
        if action is None:
            raise BadInput(f"this Drover has no action {step.action!r}", cure="Run the version that made the plan.")
        return action
