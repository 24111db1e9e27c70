"""How are a cluster's own nodes asked, and how is it made sure that nothing of that stays?

It is a write like any other: planned, allowed by policy and people, under the cluster's lease, with pre-image and audit. What it
adds to `additionalManifest` is taken out again whatever comes of it: every node reported, too few did, or a step failed.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bot.errors import RefusedError
from bot.incidents.incident import Incident, State
from bot.policy.approvals import Approval
from bot.policy.decide import Allow, Decision, Wait
from bot.reports.probe import asked_comment
from bot.workflows.lease import LeaseHeld
from bot.workflows.parts import Parts
from bot.workflows.probe_flow import INCIDENT
from bot.workflows.probe_inbox import ProbeRun, with_reports
from bot.workflows.probe_offer import Offering, ProbeOffer
from bot.workflows.room import Json, audited
from bot.workflows.telling import Telling
from rancher_ext.bundle.redact import RedactionRules
from rancher_ext.errors import BadInput
from rancher_ext.evidence.archive import write_archive
from rancher_ext.fleet.cluster import ClusterKey
from rancher_ext.probe.manifest import deliver, expected_nodes, is_out, masked, take_out
from rancher_ext.remediation.action import NotPossible
from rancher_ext.remediation.change import Write, is_applied
from rancher_ext.remediation.plan import Plan

PROBE = "probe"
# Machines at work on the cluster: two hands in one text would get in each other's way.
_BUSY = frozenset({State.REMEDIATING, State.VERIFYING, State.ROLLING_BACK})


class Probing(Offering, Telling):
    """The steps of a run. Each may be repeated: it reads before it writes."""

    def __init__(self, parts: Parts, offer: ProbeOffer, rules: RedactionRules) -> None:
        super().__init__(parts, offer)
        self._rules = rules

    def agreed(self, incident: str, message: Json | None) -> Json:
        """A person agreed in the issue, or a brake is asked again. Says whether that is enough, and shows it there."""
        row = self._get(incident)
        run = self.inbox.current(row.id)
        if message is not None and run is not None:
            self.approve(incident, Approval.from_json(message["approval"]))
        if run is None:
            return {"decision": "refuse", "why": "the nodes were asked already"}
        if run.phase == "open":
            # Killed in the middle: it goes on where it was.
            return {"decision": "allow" if run.walker == INCIDENT else "refuse", "why": "the nodes are being asked"}
        if row.state is State.REJECTED:
            return {"decision": "refuse", "why": "the plan was rejected meanwhile"}
        prepared = self.prepare(incident)
        if prepared["plan"] is None:
            return {"decision": "refuse", "why": prepared["why"]}
        decision, why = prepared["decision"]["decision"], "; ".join(prepared["decision"]["reasons"])
        if decision == "wait":
            self._tell(row, "plan", f"Asking the nodes has to wait: {why}", once=f"probe-{run.id}-held-{why}")
        self._publish_if_possible(row)
        return {"decision": decision, "why": why}

    def tell(self, incident: str, ended: Json) -> Json:
        """One comment of how it ended, whatever came of it."""
        row = self._get(incident)
        run = self.inbox.last(row.id)
        name = f"{run.id if run else 'none'}:{'asked' if 'out' in ended else 'refused'}"
        return self._publish(row, comment=(f"nodes:{row.id}:{name}", asked_comment(ended, run.actor if run else "")))

    def begin(self, incident: str, walker: str = "") -> Json:
        """The last look before the write, then lease and pre-image. `walker` says who takes the run up after a crash."""
        row = self._get(incident)
        run = self.inbox.current(row.id) or self.inbox.last(row.id) or self._new_run(row)
        if run.phase == "open" and run.walker != walker:
            return {"begun": False, "why": "the nodes are being asked already"}
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
        run = self._with_living_agreement(row, run)
        try:
            with self._leases.beginning():
                answer = self._decide(row, run, plan, target)
                if not isinstance(answer, Allow):
                    return {"begun": False, "why": _why_not(answer), "wait": isinstance(answer, Wait)}
                self._leases.take(_mine(row))
                self._parts.store.save_preimage(row.id, plan.digest, [step.to_json() for step in plan.steps], self._now)
                self.inbox.begin(
                    replace(
                        run,
                        phase="open",
                        walker=walker,
                        expires=self._now + plan.within,
                        within=plan.within.total_seconds(),
                        nodes=expected_nodes(target),
                        plan=plan.to_json(),
                        actor=answer.by,
                        rule="; ".join(answer.reasons),
                    )
                )
        except LeaseHeld as held:
            return {"begun": False, "why": held.message, "wait": True}
        self._tell(row, "change", f"The nodes are asked, allowed by {answer.by}", once=f"probe-{run.id}-begin")
        self._publish_if_possible(row)
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

    def orphaned(self) -> list[Incident]:
        """Those of them that no incident's own workflow goes on with: a terminal began them, and is gone."""
        runs = ((row, self.inbox.current(row.id)) for row in self.unfinished())
        return [row for row, run in runs if run is not None and run.walker != INCIDENT]

    def _with_living_agreement(self, row: Incident, run: ProbeRun) -> ProbeRun:
        """As for a cure: a comment that was edited or deleted meanwhile agrees to nothing, whoever missed it."""
        still = self._living([each for each in run.approvals if each.comment is not None])
        living = tuple(each for each in run.approvals if each.comment is None or each in still)
        if len(living) == len(run.approvals):
            return run
        told = "An approval to ask the nodes is void: its comment was changed"
        self._tell(row, "approval", told, once=f"probe-{run.id}-living-{len(living)}")
        run = replace(run, approvals=living)
        self.inbox.save(run)
        return run

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
