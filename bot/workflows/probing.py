"""How are a cluster's own nodes asked, and how is it made sure that nothing of that stays?

It is a write like any other: planned, allowed by policy and people, under the cluster's lease, with pre-image and audit. What it
adds to `additionalManifest` is taken out again whatever comes of it: every node reported, too few did, or a step failed.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol

from bot.errors import RefusedError
from bot.incidents.incident import Incident, State
from bot.policy.approvals import Approval
from bot.policy.decide import Allow, Decision, Refuse, decide, decision_json
from bot.workflows.engine import Failed
from bot.workflows.lease import LeaseHeld
from bot.workflows.parts import Parts
from bot.workflows.probe_inbox import ProbeInbox, ProbeRun, with_reports
from bot.workflows.room import Json, Room, audited
from rancher_ext.bundle.redact import RedactionRules
from rancher_ext.errors import BadInput
from rancher_ext.evidence.archive import write_archive
from rancher_ext.fleet.cluster import ClusterKey
from rancher_ext.probe.manifest import Offer, deliver, expected_nodes, is_out, masked, plan_probe, take_out
from rancher_ext.remediation.action import NotPossible
from rancher_ext.remediation.change import Target, Write, is_applied
from rancher_ext.remediation.plan import Plan

PROBE = "probe"
LOOK_EVERY = timedelta(seconds=10)
# Rancher may be away for a night; the document is taken out when it is back.
PATIENCE = timedelta(hours=12)
OUT_WITHIN = timedelta(days=7)
# Machines at work on the cluster: two hands in one text would get in each other's way.
_BUSY = frozenset({State.REMEDIATING, State.VERIFYING, State.ROLLING_BACK})


class Walk(Protocol):
    """What a walk through the steps needs: the durable engine's `Flow`, or the terminal's own."""

    def step(self, name: str, function: Callable[..., Json | None], *arguments: Any) -> Json | Failed: ...

    def patiently(
        self, name: str, function: Callable[..., Json | None], *arguments: Any, patience: timedelta
    ) -> Json | Failed: ...

    def wait(self, duration: timedelta) -> None: ...


@dataclass(frozen=True)
class ProbeOffer:
    """Where nodes reach this service, which image they run, and whom they trust for it (PEM; empty is the system's)."""

    url: str
    image: str
    ca: str = ""


def own_image() -> str:
    """Drover's own image, of this version."""
    try:
        return f"drover:{version('rancher-drover')}"
    except PackageNotFoundError:
        return "drover:latest"


def run_probe(walk: Walk, steps: "Probing", incident: str, stop: Callable[[], bool] = lambda: False) -> Json:
    """The whole run. Returns how it ended, for people. `stop` ends the waiting for reports, never the taking out."""
    begun = walk.patiently("begin_probe", steps.begin, incident, patience=PATIENCE)
    if isinstance(begun, Failed):
        return {"done": False, "why": begun.message}
    if not begun.get("begun"):
        return {"done": False, "why": begun["why"]}
    why = ""
    delivered = walk.patiently("deliver_probe", steps.deliver, incident, patience=PATIENCE)
    if isinstance(delivered, Failed):
        # It may have been written all the same; taking it out finds that.
        why = delivered.message
    else:
        waited = timedelta()
        while waited < timedelta(seconds=begun["within"]) and not stop():
            seen = walk.step("look_for_reports", steps.look, incident)
            if (not seen.retry) if isinstance(seen, Failed) else (seen["holds"] or seen["over"]):
                break
            walk.wait(LOOK_EVERY)
            waited += LOOK_EVERY
    out = walk.patiently("take_out_probe", steps.take_out, incident, patience=OUT_WITHIN)
    if isinstance(out, Failed):
        why = f"the probe could not be taken out again: {out.message}"
    finished = walk.patiently("finish_probe", steps.finish, incident, why, patience=PATIENCE)
    if isinstance(finished, Failed):
        return {"done": False, "out": not isinstance(out, Failed), "why": why or finished.message}
    return {"done": not why, "out": not isinstance(out, Failed), "why": why, **finished}


def run_in_service(flow: Walk, steps: "Probing", incident: str) -> str:
    """The same as a durable workflow, whose result is a word."""
    ended = run_probe(flow, steps, incident)
    return "done" if ended["done"] else str(ended["why"])


class Probing(Room):
    """The steps of a run. Each may be repeated: it reads before it writes."""

    def __init__(self, parts: Parts, offer: ProbeOffer, rules: RedactionRules) -> None:
        super().__init__(parts)
        self._offer = offer
        self._rules = rules
        self.inbox = ProbeInbox(parts.store, parts.clock)

    def prepare(self, incident: str) -> Json:
        """Plan and decision, before anything is begun. A second call on an unchanged cluster gives the same digest."""
        row = self._get(incident)
        run = self.inbox.current(row.id) or self._new_run(row)
        target = self._target(row)
        made = self._plan(run, target)
        if isinstance(made, NotPossible):
            return {"plan": None, "why": made.why}
        answer = self._decide(row, run, made, target)
        return {
            "plan": made.digest,
            "title": made.steps[0].title,
            "diff": made.steps[0].diff,
            "effect": made.steps[0].effect,
            "nodes": list(expected_nodes(target)),
            "decision": decision_json(answer),
        }

    def approve(self, incident: str, approval: Approval) -> None:
        """A person agreed. Whether that counts, policy says at the moment of acting."""
        row = self._get(incident)
        run = self._run(row)
        if approval not in run.approvals:
            self.inbox.save(replace(run, approvals=(*run.approvals, approval)))
            told = f"{approval.by} approved asking the nodes ({approval.digest[:6]})"
            self._tell(row, "approval", told, once=f"probe-{run.id}-approved-{approval.by}-{approval.digest[:12]}")

    def begin(self, incident: str) -> Json:
        row = self._get(incident)
        run = self._run(row)
        if run.phase == "open":
            return {"begun": True, "within": run.within, "lease": self._leases.keep(_mine(row))}
        if run.phase == "closed":
            return {"begun": False, "why": "the nodes were asked, and the probe is taken out"}
        if row.state in _BUSY:
            return {"begun": False, "why": f"a cure is under way ({row.state})"}
        if row.state.over:
            return {"begun": False, "why": f"the incident is over ({row.state})"}
        target = self._target(row)
        plan = self._plan(run, target)
        if isinstance(plan, NotPossible):
            return {"begun": False, "why": plan.why}
        try:
            with self._leases.beginning():
                answer = self._decide(row, run, plan, target)
                if not isinstance(answer, Allow):
                    return {"begun": False, "why": _why_not(answer), "refused": isinstance(answer, Refuse)}
                self._leases.take(_mine(row))
                self._parts.store.save_preimage(row.id, plan.digest, [step.to_json() for step in plan.steps], self._now)
                self.inbox.save(
                    replace(
                        run,
                        phase="open",
                        expires=self._now + plan.within,
                        within=plan.within.total_seconds(),
                        nodes=expected_nodes(target),
                        plan=plan.to_json(),
                        actor=answer.by,
                        rule="; ".join(answer.reasons),
                    )
                )
        except LeaseHeld as held:
            return {"begun": False, "why": held.message}
        self._tell(row, "change", f"The nodes are asked, allowed by {answer.by}", once=f"probe-{run.id}-begin")
        return {"begun": True, "within": plan.within.total_seconds()}

    def deliver(self, incident: str) -> Json:
        """Put the documents in. What a crashed run already wrote is found, and not written again."""
        row = self._get(incident)
        run = self._run(row)
        plan = _planned(run)
        if self._parts.store.preimage(row.id, plan.digest) is None:
            raise BadInput(f"{row.id} has no saved pre-image for the probe", cure="Nothing was written; begin anew.")
        target = self._target(row)
        seen = []
        for number, write in enumerate(plan.steps[0].writes):
            told = self._audited(run, write)
            name = f"probe-{run.id}-in-{number}"
            self._parts.store.record(
                row.id, self._now, once=f"{name}-intent", what="intend", result="about to write", **told
            )
            if not is_applied(target, write):
                answer = self._decide(row, run, plan, target)
                if not isinstance(answer, Allow):
                    raise RefusedError(f"not written to {row.cluster_name}: {_why_not(answer)}")
            self._leases.keep(_mine(row))
            done = deliver(target, write)
            seen.append(done.seen)
            self._parts.store.record(row.id, self._now, once=name, what="write", result=done.seen, **told)
        return {"seen": "; ".join(seen)}

    def look(self, incident: str) -> Json:
        """Who has reported by now?"""
        row = self._get(incident)
        run = self._run(row)
        self._leases.keep(_mine(row))
        there = self.inbox.nodes_of(run)
        text = f"{len(there)} of {len(run.nodes)} nodes have reported"
        self._tell(row, "proof", text, once=f"probe-{run.id}-{len(there)}")
        return {
            "holds": bool(run.nodes) and len(there) >= len(run.nodes),
            # Looks take time of their own: what counts is until when a report would be taken.
            "over": run.expires is None or self._now >= run.expires,
            "text": text,
            "reported": sorted(there),
        }

    def take_out(self, incident: str) -> Json:
        """Take the documents out, and read back that they are out. From here on no token opens anything."""
        row = self._get(incident)
        run = self._run(row)
        if run.plan is None:
            return {"out": True}
        plan, target = _planned(run), self._target(row)
        self._leases.keep(_mine(row))
        seen = []
        for number, write in reversed(list(enumerate(plan.steps[0].writes))):
            told = self._audited(run, write, back=True)
            name = f"probe-{run.id}-out-{number}"
            self._parts.store.record(
                row.id, self._now, once=f"{name}-intent", what="intend undo", result="about to put back", **told
            )
            back = take_out(target, write)
            seen.append(back.seen)
            self._parts.store.record(row.id, self._now, once=name, what="undo", result=back.seen, **told)
        if not is_out(target, plan.steps[0].writes):
            raise BadInput(
                f"the probe still stands in additionalManifest of {row.cluster_name}",
                cure="Take the block between `# drover:begin probe` and `# drover:end probe` out by hand.",
            )
        self._tell(row, "change", "The probe is taken out again", once=f"probe-{run.id}-out")
        return {"out": True, "seen": "; ".join(seen)}

    def finish(self, incident: str, why: str) -> Json:
        """Evidence with what the nodes said, a diagnosis of it, and the run is closed."""
        row = self._get(incident)
        run = self._run(row)
        if run.phase == "closed":
            return dict(run.outcome or {})
        reports = self.inbox.reports_of(run)
        missing = sorted(set(run.nodes) - {report.node for report in reports})
        answer: dict[str, Any] = {
            "reported": [report.node for report in reports],
            "missing": missing if len(reports) < len(run.nodes) else [],
        }
        if reports:
            server = self._server(row)
            bundle = self._parts.collect(server, server.reader.cluster(row.cluster.id))
            whole = with_reports(bundle, reports, self._rules, answer["missing"])
            path = self._evidence_path(row, f"probe-{run.id}")
            path.parent.mkdir(parents=True, exist_ok=True)
            written = write_archive(whole, path)
            found = dict(self._parts.knowledge.remedy_json(self._parts.knowledge.diagnose(whole)))
            best = found["findings"][0] if found["findings"] else None
            answer |= {
                "evidence": str(written),
                "at": self._now.isoformat(),
                "verdict": found["verdict"],
                "signature": best["signature"] if best else None,
            }
            self._parts.store.update(row.id, self._now, evidence=str(written), diagnosis=found)
            said = (
                f"{best['title']} ({best['confidence']:.0%} sure)" if best else f"no known cause ({found['verdict']})"
            )
            self._tell(row, "found", f"From the nodes themselves: {said}", once=f"probe-{run.id}-found")
        if why:
            self._tell(row, "change", f"Asking the nodes failed: {why}", once=f"probe-{run.id}-failed")
        self.inbox.close(run, answer)
        self._leases.release(_mine(row))
        return answer

    def workflow_id(self, incident: str) -> str:
        """One workflow per run: a second one of the same incident is another one."""
        return f"{PROBE}:{self._run(self._get(incident)).id}"

    def open_incident(self, key: ClusterKey) -> Incident | None:
        """The incident under which the nodes of this cluster may be asked."""
        return self._parts.store.open_of(key)

    def unfinished(self) -> list[Incident]:
        """Incidents whose probe was begun and not taken out: a killed process leaves them to the next one."""
        rows = self._parts.store.all(only_open=True, limit=10_000)
        return [row for row in rows if (run := self.inbox.current(row.id)) is not None and run.phase == "open"]

    def _new_run(self, row: Incident) -> ProbeRun:
        run = ProbeRun(
            id=secrets.token_hex(8),
            incident=row.id,
            uid=row.cluster_uid,
            key=secrets.token_bytes(32),
            url=self._offer.url,
            image=self._offer.image,
            ca=self._offer.ca,
        )
        self.inbox.begin(run)
        return run

    def _run(self, row: Incident) -> ProbeRun:
        run = self.inbox.current(row.id) or self.inbox.last(row.id)
        if run is None:
            raise BadInput(f"the nodes of {row.cluster_name} were not asked", cure="`drover probe deliver` asks them.")
        return run

    def _plan(self, run: ProbeRun, target: Target) -> Plan | NotPossible:
        return plan_probe(target, Offer(run.url, run.id, run.key, run.image, run.ca))

    def _decide(self, row: Incident, run: ProbeRun, plan: Plan, target: Target) -> Decision:
        facts = self._facts(row, plan, target.snapshot)
        return decide(self._parts.policy(), replace(facts, cause="", approvals=run.approvals))

    def _audited(self, run: ProbeRun, write: Write, *, back: bool = False) -> dict[str, Any]:
        """What is recorded. The key is nobody's business, not even once it opens nothing any more."""
        told = audited(write, back=back)
        for side in ("before", "after"):
            told[side] = _without(told[side], run.key)
        return told | {"actor": run.actor, "rule": run.rule}


def _planned(run: ProbeRun) -> Plan:
    if run.plan is None:
        raise BadInput("this run of the probe was never begun", cure="`drover probe deliver` begins it.")
    return Plan.from_json(run.plan)


def _mine(row: Incident) -> Incident:
    """The lease of the probe is another one than that of the incident's cure: they keep each other out."""
    return replace(row, id=f"{row.id}/probe")


def _why_not(answer: Decision) -> str:
    return "; ".join(answer.reasons)


def _without(value: Any, key: bytes) -> Any:
    if isinstance(value, str):
        return masked(value, key)
    if isinstance(value, Mapping):
        return {name: _without(each, key) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without(each, key) for each in value]
    return value
