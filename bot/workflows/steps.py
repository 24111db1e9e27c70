"""What does each step of an incident do? One call to the outside each, and safe to repeat: it reads back before it writes.

A step may run again after a crash in its middle. What it writes is therefore found again first: an issue by its marker, a
field by its value, a timeline line by its name.
"""

import re
import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog

from bot.errors import BotError, RefusedError, StoreError
from bot.incidents.incident import Incident, State
from bot.policy.approvals import Approval
from bot.policy.decide import Allow, Facts, decide, decision_json
from bot.ports import Clock
from bot.reports.comment import (
    healed_comment,
    not_applied_comment,
    put_back_comment,
    reopened_comment,
    status_comment,
    superseded_comment,
)
from bot.reports.issue import issue_draft
from bot.reports.story import Story
from bot.workflows.parts import Parts, RancherServer
from bot.workflows.story import story_of
from rancher_ext.detection import Healthy, OutOfScope, Progressing, Stuck, Unknown, assess
from rancher_ext.detection.classify import is_well
from rancher_ext.errors import BadInput, DroverError, NotFound
from rancher_ext.evidence.archive import open_bundle, write_archive
from rancher_ext.fleet.snapshot import ClusterSnapshot
from rancher_ext.remediation.action import Action, PlannedStep
from rancher_ext.remediation.change import Call, Target, Write, is_applied, is_back
from rancher_ext.remediation.cure import prove
from rancher_ext.remediation.plan import Explanation, Plan, make_plan

Json = Mapping[str, Any]

# Longer than any single write takes with its retries; shorter than anybody waits for a dead worker.
LEASE = timedelta(minutes=15)

# Results of a step with many writes that its record tells; the audit trail has all.
SHOWN = 5

# Collections side by side: in a storm the rest waits its turn instead of crowding Rancher's proxy.
COLLECTIONS = 8

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


def written_note(incident: str) -> str:
    """Under this note lies the plan whose changes are in the cluster."""
    return f"written:{incident}"[:100]


def audited(write: Write, *, back: bool = False) -> dict[str, Any]:
    """Where, from what, to what: the part of an audit record that names the write."""
    if isinstance(write, Call):
        return {"place": str(write), "before": None, "after": dict(write.body)}
    before, after = write.before.to_json(), write.after.to_json()
    return {"place": str(write), "before": after if back else before, "after": before if back else after}


_log = structlog.get_logger("steps")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


class IncidentSteps:
    """The steps of `incident_flow`, for one service."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        # Two incidents that begin at the same moment must not both be the last one that the brake lets through.
        self._beginning = threading.Lock()
        self._collecting = threading.Semaphore(COLLECTIONS)

    # --- understand -------------------------------------------------------------------------------------------------------

    def collect(self, incident: str, name: str) -> Json:
        """Bring evidence and keep it as an archive. The archive appears whole or not at all."""
        row = self._move(incident, State.DIAGNOSING)
        server = self._server(row)
        snapshot = server.reader.cluster(row.cluster.id)
        with self._collecting:
            bundle = self._parts.collect(server, snapshot)
        path = self._evidence_path(row, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        written = write_archive(bundle, path)
        self._parts.store.update(incident, self._now, evidence=str(written))
        self._tell(row, "found", f"Evidence collected: {len(bundle)} files", once=f"collect-{name}")
        return {"path": str(written), "files": len(bundle)}

    def diagnose(self, incident: str, name: str) -> Json:
        row = self._get(incident)
        diagnosis = self._parts.knowledge.diagnose(open_bundle(row.evidence))
        found = dict(self._parts.knowledge.remedy_json(diagnosis))
        self._parts.store.update(incident, self._now, diagnosis=found)
        best = found["findings"][0] if found["findings"] else None
        text = f"{best['title']} ({best['confidence']:.0%} sure)" if best else f"No known cause ({found['verdict']})"
        self._tell(row, "found", text, once=f"diagnose-{name}")
        return {"verdict": found["verdict"], "signature": best["signature"] if best else None}

    def plan(self, incident: str) -> Json:
        """What could be done, from facts as fresh as this moment."""
        row = self._get(incident)
        best = self._best_finding(row)
        playbook = self._parts.knowledge.playbooks.get(best["signature"]) if best else None
        if best is None or playbook is None:
            self._parts.store.update(incident, self._now, plan=None, explanation=None)
            return {"plan": None}
        made = make_plan(playbook, best["signature"], self._target(row), self._parts.knowledge.actions)
        if isinstance(made, Explanation):
            self._parts.store.update(incident, self._now, plan=None, explanation=made.to_json())
            self._tell(row, "plan", f"Nothing Drover can do here: {made.why}", once=f"explain-{row.attempt}")
            return {"plan": None, "why": made.why}
        changes: dict[str, Any] = {"plan": made.to_json(), "explanation": None}
        self._parts.store.update(incident, self._now, **changes)
        self._tell(row, "plan", f"Plan {made.short}: {made.title}", once=f"plan-{row.attempt}-{made.short}")
        return {"plan": made.digest}

    def decide(self, incident: str) -> Json:
        """Ask the policy. `changed` tells whether the issue has to show another answer than before."""
        row = self._get(incident)
        if row.plan is None:
            answer: dict[str, Any] = {"decision": "nothing-to-do"}
        else:
            plan = Plan.from_json(row.plan)
            answer = decision_json(decide(self._parts.policy(), self._facts(row, plan, self._snapshot(row)))) | {
                "digest": plan.digest
            }
        changed = row.decision is not None and dict(row.decision) != answer
        self._parts.store.update(incident, self._now, decision=answer)
        return answer | {"changed": changed}

    def note_approval(self, incident: str, message: Json) -> Json:
        """A person agreed. Whether it counts is the policy's business, at the moment of acting."""
        row = self._get(incident)
        approval = Approval.from_json(message["approval"])
        known = [Approval.from_json(raw) for raw in (row.approval or {}).get("approvals", ())]
        if approval not in known:
            known.append(approval)
        self._parts.store.update(incident, self._now, approval={"approvals": [each.to_json() for each in known]})
        self._tell(
            row,
            "approval",
            f"{approval.by} approved plan {approval.digest[:6]}",
            once=f"approve-{approval.comment}-{approval.by}-{approval.digest[:12]}",
        )
        return {}

    def void_approvals(self, incident: str, message: Json) -> Json:
        """The comment that held an approval was edited or deleted."""
        row = self._get(incident)
        known = [Approval.from_json(raw) for raw in (row.approval or {}).get("approvals", ())]
        kept = [
            each
            for each in known
            if each.comment != message["comment"]
            or (not message.get("deleted") and each.comment_version == message.get("version"))
        ]
        if len(kept) != len(known):
            self._parts.store.update(incident, self._now, approval={"approvals": [each.to_json() for each in kept]})
            self._tell(
                row,
                "approval",
                "An approval is void: its comment was changed",
                once=f"void-{message['comment']}-{message.get('version', '')}",
            )
        return {"voided": len(known) - len(kept)}

    # --- tell -------------------------------------------------------------------------------------------------------------

    def report(self, incident: str) -> Json:
        """One issue per story: found by its marker, opened, reopened or edited. Then the one status comment."""
        row = self._get(incident)
        waits = row.plan is not None and (row.decision or {}).get("decision") == "needs-approval"
        if row.state in {State.DIAGNOSING, State.REPORTED, State.AWAITING_APPROVAL}:
            if row.state is State.DIAGNOSING:
                row = self._move(incident, State.REPORTED)
            if waits:
                row = self._move(incident, State.AWAITING_APPROVAL)
            elif row.state is State.AWAITING_APPROVAL:
                row = self._move(incident, State.REPORTED)
        return self._publish(row)

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
        # A fresh diagnosis keeps them: they name a digest, and count only if the new plan has the same one.
        approval = row.approval if message.get("keep") else None
        self._parts.store.update(incident, self._now, attempt=row.attempt + 1, approval=approval)
        return {}

    def is_well(self, incident: str) -> Json:
        """Is the cluster up at this moment? Raises NotFound when Rancher has it no more."""
        row = self._get(incident)
        snapshot = self._server(row).reader.cluster(row.cluster.id)
        if snapshot.identity.uid != row.cluster_uid:
            raise NotFound(f"{row.cluster_name} was made anew: the cluster of this incident is gone", status=404)
        return {"well": is_well(snapshot)}

    def superseded(self, incident: str, why: str) -> Json:
        row = self._move(incident, State.SUPERSEDED, outcome=why)
        return self._publish(row, comment=(f"superseded:{row.id}", superseded_comment(self._story(row))))

    # --- mend -------------------------------------------------------------------------------------------------------------

    def begin(self, incident: str) -> Json:
        """Last look before the first write: same plan from fresh facts, still allowed, lock taken, pre-image saved."""
        row = self._get(incident)
        plan = self._current_plan(row)
        target = self._target(row)
        if row.state not in {State.REMEDIATING, State.VERIFYING}:
            if is_well(target.snapshot):
                return {"begun": False, "well": True}
            playbook = self._parts.knowledge.playbooks.get(plan.signature)
            if playbook is None:
                raise BadInput(
                    f"there is no playbook for {plan.signature} any more",
                    cure="Put it back into DROVER_PLAYBOOK_DIRS, or `/drover retry`.",
                )
            fresh = make_plan(playbook, plan.signature, target, self._parts.knowledge.actions)
            if isinstance(fresh, Explanation) or fresh.digest != plan.digest:
                why = fresh.why if isinstance(fresh, Explanation) else f"the plan is now {fresh.short}"
                self._tell(
                    row, "plan", f"Plan {plan.short} no longer fits: {why}", once=f"drift-{row.attempt}-{plan.short}"
                )
                self._parts.store.update(incident, self._now, approval=None, attempt=row.attempt + 1)
                return {"begun": False, "why": why}
            row = self._with_living_approvals(row)
            with self._beginning:
                answer = decide(self._parts.policy(), self._facts(row, plan, target.snapshot))
                if not isinstance(answer, Allow):
                    return {"begun": False, "wait": True, "why": "; ".join(answer.reasons)}
                self._lock(row)
                self._parts.store.save_preimage(row.id, plan.digest, [step.to_json() for step in plan.steps], self._now)
                self._parts.store.set_note(written_note(row.id), plan.to_json())
                row = self._move(incident, State.REMEDIATING, changed_at=self._now)
            self._tell(row, "change", f"Mending begins, allowed by {answer.by}", once=f"begin-{row.attempt}")
            self._publish_if_possible(row)
        return {
            "begun": True,
            "steps": len(plan.steps),
            "within": plan.within.total_seconds(),
            "soak": plan.soak.total_seconds(),
        }

    def apply(self, incident: str, index: int) -> Json:
        """One change. It reads first: what a crashed run already wrote is found and not written again."""
        row = self._get(incident)
        plan = self._current_plan(row)
        step = plan.steps[index]
        if self._parts.store.preimage(row.id, plan.digest) is None:
            raise BadInput(
                f"{row.id} has no saved pre-image for plan {plan.short}",
                cure="This is a bug in Drover; nothing was written.",
            )
        self._lock(row)
        decision = row.decision or {}
        who = {"actor": decision.get("by", ""), "rule": "; ".join(decision.get("reasons", ()))}
        name = f"apply-{row.attempt}-{index}"
        target = self._target(row)
        action = self._action(step)
        results = []
        for number, write in enumerate(step.writes):
            # The first write keeps the name that it had when a step was a single one.
            once = f"{name}-{number}" if number else name
            told = who | audited(write)
            self._parts.store.record(
                row.id, self._now, once=f"{once}-intent", what="intend", result="about to write", **told
            )
            self._still_allowed(row, plan, target, write)
            done = action.apply(target, write)
            results.append(done)
            self._parts.store.record(row.id, self._now, once=once, what="write", result=done.seen, **told)
        self._tell(row, "change", f"{step.title}: done", once=name)
        if index + 1 == len(plan.steps):
            row = self._move(incident, State.VERIFYING)
        self._publish_if_possible(row)
        answer: dict[str, Any] = {
            "wrote": any(done.wrote for done in results),
            "seen": "; ".join(done.seen for done in results[:SHOWN]),
        }
        if action.settled is not None:
            answer["settle"] = action.settle_within.total_seconds()
        return answer

    def settled(self, incident: str, index: int) -> Json:
        """Look once whether a step has taken the effect that the next one needs."""
        row = self._get(incident)
        plan = self._current_plan(row)
        step = plan.steps[index]
        look = self._action(step).settled
        if look is None:
            return {"holds": True, "text": ""}
        seen = look(self._target(row), step)
        if seen.seen != row.outcome:
            row = self._parts.store.update(incident, self._now, outcome=seen.seen)
            self._tell(row, "proof", seen.seen, once=f"settle-{row.attempt}-{index}-{seen.seen}")
            self._publish_if_possible(row, only_status=True)
        return {"holds": seen.holds, "text": seen.seen}

    def prove(self, incident: str, phase: str) -> Json:
        """Look for the proofs once. The status comment follows when what is seen has changed."""
        row = self._get(incident)
        plan = self._current_plan(row)
        target = self._target(row)
        proof = prove(plan.proof, target, row.changed_at or self._now)
        text = proof.text if phase == "cure" else f"proved, watching for a relapse: {proof.text}"
        if text != row.outcome:
            row = self._parts.store.update(incident, self._now, outcome=text)
            self._tell(row, "proof", text, once=f"proof-{row.attempt}-{phase}-{text}")
            self._publish_if_possible(row, only_status=True)
        return {
            "holds": proof.holds,
            "text": proof.text,
            "items": [[item.name, item.holds, item.seen] for item in proof.items],
        }

    def resolved(self, incident: str, proof: str) -> Json:
        row = self._move(incident, State.RESOLVED, outcome=proof)
        self._parts.store.set_note(written_note(row.id), None)
        self._parts.store.release(row.cluster, self._parts.holder, self._now)
        took = self._now - row.changed_at if row.changed_at else timedelta()
        self._tell(row, "proof", f"Healed: {proof}", once=f"resolved-{row.attempt}")
        return self._publish(row, comment=(f"healed:{row.id}", healed_comment(self._story(row), proof, took)))

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
        self._lock(row)
        name = f"undo-{row.attempt}-{index}"
        target, action = self._target(row), self._action(step)
        results = []
        for number, write in enumerate(reversed(step.writes)):
            once = f"{name}-{number}" if number else name
            told = {"actor": "drover", "rule": "undo"} | audited(write, back=True)
            self._parts.store.record(
                row.id, self._now, once=f"{once}-intent", what="intend-undo", result="about to put back", **told
            )
            back = action.take_back(target, write)
            results.append(back)
            self._parts.store.record(row.id, self._now, once=once, what="undo", result=back.seen, **told)
        self._tell(row, "change", f"{step.title}: put back", once=name)
        return {
            "done": False,
            "wrote": any(back.wrote for back in results),
            "seen": "; ".join(back.seen for back in results[:SHOWN]),
        }

    def rolled_back(self, incident: str, why: str) -> Json:
        if self._get(incident).state not in {State.ROLLING_BACK, State.ROLLED_BACK}:
            # Asked for after it was done, or before anything was written.
            return {"nothing": True}
        row = self._move(incident, State.ROLLED_BACK, outcome=why, approval=None)
        self._parts.store.release(row.cluster, self._parts.holder, self._now)
        self._parts.store.set_note(f"failed:{row.cluster.rancher}:{row.cluster_uid}", self._now.isoformat())
        equal = self._as_before(row)
        self._parts.store.set_note(written_note(row.id), None)
        comment = put_back_comment(self._story(row), why, fields_equal=equal)
        self._publish(row, comment=(f"put-back:{row.id}:{row.attempt}", comment))
        return {"fieldsEqual": equal}

    def escalate(self, incident: str, why: str) -> Json:
        """A person has to look. Nothing further runs by itself."""
        row = self._get(incident)
        if row.state is not State.ESCALATED:
            row = self._move(incident, State.ESCALATED, outcome=why)
        self._tell(row, "state", f"A person is needed: {why}", once=f"escalate-{row.attempt}")
        return self._publish(
            row, comment=(f"escalated:{row.id}:{row.attempt}", not_applied_comment(self._story(row), why))
        )

    # --- help -------------------------------------------------------------------------------------------------------------

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

    def _as_before(self, row: Incident) -> bool:
        """Has every field that was touched its earlier value again? Read back, not concluded."""
        target, plan = self._target(row), self._written_plan(row)
        return plan is None or all(is_back(target, write) for step in plan.steps for write in step.writes)

    def _written_plan(self, row: Incident) -> Plan | None:
        """The plan whose changes are in the cluster, whatever plan was made since. None when nothing of ours is there."""
        written = self._parts.store.note(written_note(row.id))
        return Plan.from_json(written) if written else None

    def _with_living_approvals(self, row: Incident) -> Incident:
        """Read every approving comment back: one that was edited or deleted meanwhile counts no more, whoever missed it."""
        tracker, given = self._parts.tracker, self._approvals(row)
        if tracker is None or not given:
            return row
        living = []
        for approval in given:
            view = tracker.comment(approval.comment) if approval.comment is not None else None
            if view is not None and view.updated_at == datetime.fromisoformat(approval.comment_version):
                living.append(approval)
        if len(living) == len(given):
            return row
        self._tell(
            row, "approval", "An approval is void: its comment was changed", once=f"void-{row.attempt}-{len(living)}"
        )
        return self._parts.store.update(row.id, self._now, approval={"approvals": [each.to_json() for each in living]})

    def _action(self, step: PlannedStep) -> Action:
        action = self._parts.knowledge.actions.get(step.action)
        if action is None:
            raise BadInput(f"this Drover has no action {step.action!r}", cure="Run the version that made the plan.")
        return action

    def _still_allowed(self, row: Incident, plan: Plan, target: Target, write: Write) -> None:
        """The last word before a write. Hours may lie between `begin` and this moment: a pause, a label, a cluster that came up.

        What already is as we want it is not written, so nothing has to be asked.
        """
        if is_applied(target, write):
            return
        facts = self._facts(row, plan, target.snapshot)
        answer = decide(self._parts.policy(), facts)
        if not isinstance(answer, Allow):
            raise RefusedError(f"not written to {row.cluster_name}: {'; '.join(answer.reasons)}")

    def _not_now(self, snapshot: ClusterSnapshot) -> str:
        """Why this cluster must not be written to at this moment; empty when it is stuck. Healthy and slow ones are never touched."""
        memory = self._parts.fleet.memory_of(snapshot.key, snapshot.identity.uid)
        _, verdict = assess(snapshot, memory, self._parts.limits)
        match verdict:
            case Stuck():
                return ""
            case Progressing():
                return "the cluster makes progress"
            case Healthy():
                return "the cluster is up"
            case Unknown() | OutOfScope():
                return verdict.why

    def _lock(self, row: Incident) -> None:
        """Nobody else may write to this cluster meanwhile."""
        if self._parts.store.lease(row.cluster, self._parts.holder, self._now, LEASE) is None:
            raise BadInput(f"another worker is changing {row.cluster_name}", cure="Wait until its lease ends.")

    def _best_finding(self, row: Incident) -> Json | None:
        diagnosis = row.diagnosis or {}
        findings = diagnosis.get("findings") or []
        return findings[0] if diagnosis.get("verdict") == "cni-failure" and findings else None

    def _facts(self, row: Incident, plan: Plan, snapshot: ClusterSnapshot) -> Facts:
        best = self._best_finding(row) or {}
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
            failed_before=self._parts.store.note(f"failed:{row.cluster.rancher}:{row.cluster_uid}") is not None,
            now=self._now,
            approvals=self._approvals(row),
            not_now=self._not_now(snapshot),
        )

    def _approvals(self, row: Incident) -> list[Approval]:
        return [Approval.from_json(raw) for raw in (row.approval or {}).get("approvals", ())]

    def _learn(self, row: Incident) -> Json | None:
        """Evidence after a failed cure. Its failure must not keep the undo waiting."""
        try:
            server = self._server(row)
            bundle = self._parts.collect(server, server.reader.cluster(row.cluster.id))
            write_archive(bundle, self._evidence_path(row, f"{row.attempt}-after"))
            return self._parts.knowledge.remedy_json(self._parts.knowledge.diagnose(bundle))
        except DroverError:
            return None

    def _evidence_path(self, row: Incident, name: str) -> Any:
        return self._parts.evidence_dir / f"{_UNSAFE.sub('-', row.id)}-{name}.tar.gz"

    def _story(self, row: Incident) -> Story:
        return story_of(self._parts, row, self._now)
