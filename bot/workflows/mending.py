"""How is a cluster changed, and how is it proved? Lock, pre-image, intent, write, look; each write asked for once more before it is made."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from bot.errors import RefusedError
from bot.incidents.incident import Incident, State
from bot.policy.decide import Allow, Decision, decide
from bot.reports.comment import healed_comment
from bot.workflows.cure_logs import note_begun
from bot.workflows.lease import LeaseHeld
from bot.workflows.room import SHOWN, Json, audited, written_note
from bot.workflows.telling import Telling
from rancher_ext.detection.classify import is_well
from rancher_ext.errors import BadInput
from rancher_ext.remediation.change import Call, Target, Write, is_applied
from rancher_ext.remediation.cure import prove
from rancher_ext.remediation.plan import Explanation, Plan, make_plan


class Mending(Telling):
    """Begin, apply, settle, prove, resolve."""

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
            try:
                answer = self._start(row, plan, target)
            except LeaseHeld as held:
                # Nothing is written yet, and it passes: asked again as with any other brake.
                self._tell(row, "plan", f"It has to wait: {held.message}", once=f"held-{row.attempt}-{plan.short}")
                return {"begun": False, "wait": True, "why": held.message}
            if not isinstance(answer, Allow):
                return {"begun": False, "wait": True, "why": "; ".join(answer.reasons)}
            row = self._get(incident)
            self._tell(row, "change", f"Mending begins, allowed by {answer.by}", once=f"begin-{row.attempt}")
            self._publish_if_possible(row)
        return {
            "begun": True,
            "lease": self._leases.keep(row),
            "steps": len(plan.steps),
            "within": plan.within.total_seconds(),
            "soak": plan.soak.total_seconds(),
        }

    def _start(self, row: Incident, plan: Plan, target: Target) -> Decision:
        """Ask the policy for the last time, and take lock and pre-image when it allows."""
        with self._leases.beginning():
            answer = decide(self._parts.policy(), self._facts(row, plan, target.snapshot))
            if isinstance(answer, Allow):
                self._leases.take(row)
                self._parts.store.save_preimage(row.id, plan.digest, [step.to_json() for step in plan.steps], self._now)
                self._parts.store.set_note(written_note(row.id), plan.to_json())
                note_begun(self._parts.store, row, plan, self._now)
                self._move(row.id, State.REMEDIATING, changed_at=self._now)
        return answer

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
        self._leases.keep(row)
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
            turn = self._intend(row, once, "intend", "about to write", told)
            if isinstance(write, Call) and self._parts.store.recorded(row.id, once):
                # Asked for before a crash. Rancher keeps no value by which that could be seen.
                continue
            self._still_allowed(row, plan, target, write, begun=index + number > 0)
            self._leases.keep(row)
            with self._refusals_recorded(row, f"{once}-refused{turn}", told):
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
        self._leases.keep(row)
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
        self._leases.keep(row)
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
        self._note_cure_ended(row, healed=True)
        self._parts.store.set_note(written_note(row.id), None)
        self._leases.release(row)
        took = self._now - row.changed_at if row.changed_at else timedelta()
        self._tell(row, "proof", f"Healed: {proof}", once=f"resolved-{row.attempt}")
        return self._publish(row, comment=(f"healed:{row.id}", healed_comment(self._story(row), proof, took)))

    def _with_living_approvals(self, row: Incident) -> Incident:
        """Read every approving comment back: one that was edited or deleted meanwhile counts no more, whoever missed it."""
        given = self._approvals(row)
        living = self._living(given)
        if len(living) == len(given):
            return row
        self._tell(
            row, "approval", "An approval is void: its comment was changed", once=f"void-{row.attempt}-{len(living)}"
        )
        return self._parts.store.update(row.id, self._now, approval={"approvals": [each.to_json() for each in living]})

    def _still_allowed(self, row: Incident, plan: Plan, target: Target, write: Write, *, begun: bool) -> None:
        """The last word before a write. Hours may lie between `begin` and this moment: a pause, a label, a cluster that came up.

        What already is as we want it is not written, so nothing has to be asked. Once the plan has `begun` to write, the cluster
        moves because of us, and a plan that stops half-way would leave its own scaffolding: then its state is not asked any more.
        """
        if is_applied(target, write):
            return
        # Brakes were asked when it began; one that would stop it in the middle leaves half a cure.
        facts = replace(self._facts(row, plan, target.snapshot), begun=True)
        if begun:
            facts = replace(facts, not_now="")
        answer = decide(self._parts.policy(), facts)
        if not isinstance(answer, Allow):
            raise RefusedError(f"not written to {row.cluster_name}: {'; '.join(answer.reasons)}")
