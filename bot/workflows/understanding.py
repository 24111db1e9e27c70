"""What is wrong with the cluster, what could be done, and may it? Evidence, diagnosis, plan, decision; reads only."""

import threading
from typing import Any

from bot.incidents.incident import Incident, State
from bot.policy.approvals import Approval
from bot.policy.decide import decide, decision_json
from bot.workflows.choice import chosen, mended_by
from bot.workflows.parts import Parts
from bot.workflows.probe_offer import Offering
from bot.workflows.room import Json, Room
from rancher_ext.detection.classify import is_well
from rancher_ext.errors import NotFound
from rancher_ext.evidence.archive import open_bundle, write_archive
from rancher_ext.remediation.plan import Explanation, Plan, make_plan
from rancher_ext.remediation.playbook import Playbook

# Collections side by side: in a storm the rest waits its turn instead of crowding Rancher's proxy.
COLLECTIONS = 8


class Understanding(Room):
    """Collect, diagnose, plan, decide, and what people say to the plan."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self._collecting = threading.Semaphore(COLLECTIONS)

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
        """What could be done, from facts as fresh as this moment; and what could be asked of the nodes."""
        made = self._planned(incident)
        Offering(self._parts).offer_in_issue(incident)
        return made

    def _planned(self, incident: str) -> Json:
        row = self._get(incident)
        best, playbook = self._remedy(row)
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

    def _remedy(self, row: Incident) -> tuple[Json | None, Playbook | None]:
        """The finding to mend and the playbook for it: the one somebody chose where it mends something that was found."""
        known = self._parts.knowledge.playbooks
        wanted = chosen(self._parts.store, row.id, known)
        if wanted is not None:
            finding = mended_by(wanted, row.diagnosis)
            if finding is not None:
                return finding, wanted
            told = f"Nothing was found that {wanted.id} mends, so the catalogue's own playbook is planned"
            self._tell(row, "plan", told, once=f"not-chosen-{row.attempt}-{wanted.id}")
        best = self._best_finding(row)
        return best, known.get(best["signature"]) if best else None

    def decide(self, incident: str) -> Json:
        """Ask the policy. `changed` tells whether the issue has to show another answer than before."""
        row = self._get(incident)
        if row.plan is None:
            answer: dict[str, Any] = {"decision": "nothing-to-do"}
            snooze = self._snooze(row)
            if snooze is not None and snooze.lasts(self._now):
                answer |= {"snoozed": snooze.until.isoformat()}
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
        kept = [each for each in known if not each.is_void_by(message)]
        if len(kept) != len(known):
            self._parts.store.update(incident, self._now, approval={"approvals": [each.to_json() for each in kept]})
            self._tell(
                row,
                "approval",
                "An approval is void: its comment was changed",
                once=f"void-{message['comment']}-{message.get('version', '')}",
            )
        nodes = Offering(self._parts).void(row, message)
        return {"voided": len(known) - len(kept)} | ({"nodes": nodes} if nodes else {})

    def is_well(self, incident: str) -> Json:
        """Is the cluster up at this moment? Raises NotFound when Rancher has it no more."""
        row = self._get(incident)
        snapshot = self._server(row).reader.cluster(row.cluster.id)
        if snapshot.identity.uid != row.cluster_uid:
            raise NotFound(f"{row.cluster_name} was made anew: the cluster of this incident is gone", status=404)
        return {"well": is_well(snapshot)}
