"""May this cluster's nodes be asked, and what exactly would that be? The plan of the probe, for people who have to agree to it.

Reads only. What is offered in an issue is kept beside the run, so that reports and pages ask nobody for it.
"""

import secrets
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version

import structlog

from bot.errors import StoreError
from bot.incidents.incident import Incident
from bot.policy.approvals import Approval
from bot.policy.decide import Decision, Facts, decide, decision_json
from bot.policy.explain import explain
from bot.reports.probe import probe_reply
from bot.workflows.parts import Parts
from bot.workflows.probe_inbox import PROBE_COLLECTOR, ProbeInbox, ProbeRun
from bot.workflows.room import Json, Room
from bot.workflows.story import kept_evidence
from rancher_ext.bundle.bundle import Bundle
from rancher_ext.client.snapshot import is_reachable
from rancher_ext.errors import BadInput, DroverError
from rancher_ext.probe.manifest import Offer, expected_nodes, plan_probe
from rancher_ext.remediation.action import NotPossible
from rancher_ext.remediation.change import Target
from rancher_ext.remediation.plan import Plan

_log = structlog.get_logger("probe")

# Who brings what was written on the nodes themselves.
_FROM_NODES = frozenset({"cni_logs", "system_logs", "machine_shell", PROBE_COLLECTOR})


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


def lacks_node_logs(bundle: Bundle) -> bool:
    """Is there nothing in the evidence that the nodes themselves wrote?"""
    return not any(report.files for report in bundle.collectors if report.name in _FROM_NODES)


class Offering(Room):
    """Plan, decision and agreement, before anything is begun."""

    def __init__(self, parts: Parts, offer: ProbeOffer | None = None) -> None:
        super().__init__(parts)
        self._offer = offer or ProbeOffer(parts.public_url, own_image())
        self.inbox = ProbeInbox(parts.store, parts.clock)

    def prepare(self, incident: str) -> Json:
        """Plan and decision. A second call on an unchanged cluster gives the same digest."""
        row = self._get(incident)
        target = self._target(row)
        return self._prepared(row, target, *self._made(row, target))

    def _prepared(self, row: Incident, target: Target, run: ProbeRun, made: Plan | NotPossible) -> Json:
        if isinstance(made, NotPossible):
            return {"plan": None, "why": made.why}
        answer = decision_json(self._decide(row, run, made, target))
        nodes = list(expected_nodes(target))
        if run.phase == "prepared":
            self.inbox.offer(run, {"digest": made.digest, "risk": str(made.risk), "nodes": nodes, "decision": answer})
        return {
            "plan": made.digest,
            "title": made.steps[0].title,
            "diff": made.steps[0].diff,
            "effect": made.steps[0].effect,
            "nodes": nodes,
            "decision": answer,
        }

    def text(self, incident: str) -> tuple[bool, str]:
        """The whole plan for a reviewer, and whether there is one. What stands in the way otherwise."""
        if not self._offer.url:
            return False, "Nobody has said how the nodes reach Drover: its operator sets `DROVER_PUBLIC_URL`."
        row = self._get(incident)
        target = self._target(row)
        run, made = self._made(row, target)
        if isinstance(made, NotPossible):
            return False, made.why
        self._prepared(row, target, run, made)
        explained = explain(self._parts.policy(), self._probe_facts(row, run, made, target))
        return True, probe_reply(made, expected_nodes(target), explained)

    def offer_in_issue(self, incident: str) -> None:
        """Where nobody reaches the cluster and the nodes' own words are missing, the issue says how to ask for them."""
        row = self._get(incident)
        try:
            offered = self._may_be_offered(row)
        except StoreError:
            raise
        except DroverError as error:
            # An offer is no reason to hold up the report.
            _log.warning("probe_not_offered", incident=row.id, error=error.message)
            return
        run = self.inbox.current(row.id)
        if not offered and run is not None and run.phase == "prepared":
            self.inbox.offer(run, None)

    def approve(self, incident: str, approval: Approval) -> None:
        """A person agreed. Whether that counts, policy says at the moment of acting."""
        row = self._get(incident)
        run = self._run(row)
        if approval not in run.approvals:
            self.inbox.save(replace(run, approvals=(*run.approvals, approval)))
            told = f"{approval.by} approved asking the nodes ({approval.digest[:6]})"
            self._tell(
                row,
                "approval",
                told,
                once=f"probe-{run.id}-approved-{approval.by}-{approval.comment}-{approval.digest[:12]}",
            )

    def void(self, row: Incident, message: Json) -> int:
        """The comment that held an approval was changed before the run began. Returns how many are void."""
        run = self.inbox.current(row.id)
        if run is None or run.phase != "prepared":
            return 0
        kept = tuple(each for each in run.approvals if not each.is_void_by(message))
        if len(kept) == len(run.approvals):
            return 0
        self.inbox.save(replace(run, approvals=kept))
        self._tell(
            row,
            "approval",
            "An approval to ask the nodes is void: its comment was changed",
            once=f"probe-{run.id}-void-{message['comment']}-{message.get('version', '')}",
        )
        offered = self.inbox.offered(run)
        if offered:
            decision = {**offered["decision"], "decision": "needs-approval", "given": len({a.by for a in kept})}
            self.inbox.offer(run, {**offered, "decision": decision})
        return len(run.approvals) - len(kept)

    def _may_be_offered(self, row: Incident) -> bool:
        if not self._offer.url:
            return False
        bundle = kept_evidence(row.evidence)
        if bundle is None or not lacks_node_logs(bundle):
            return False
        target = self._target(row)
        if is_reachable(target.snapshot):
            return False
        prepared = self._prepared(row, target, *self._made(row, target))
        return prepared["plan"] is not None and prepared["decision"]["decision"] != "refuse"

    def _made(self, row: Incident, target: Target) -> tuple[ProbeRun, Plan | NotPossible]:
        """The run that is prepared, or a new one that is kept if there is a plan for it."""
        current = self.inbox.current(row.id)
        if current is not None and current.phase == "prepared" and self._offer != _offer_of(current):
            # Prepared from elsewhere, with another image or address: what people agree to here is ours.
            current = None
        run = current or self._new_run(row)
        made = self._plan(run, target)
        if current is None and not isinstance(made, NotPossible):
            self.inbox.begin(run)
        return run, made

    def _new_run(self, row: Incident) -> ProbeRun:
        return ProbeRun(
            id=secrets.token_hex(8),
            incident=row.id,
            uid=row.cluster_uid,
            key=secrets.token_bytes(32),
            url=self._offer.url,
            image=self._offer.image,
            ca=self._offer.ca,
        )

    def _run(self, row: Incident) -> ProbeRun:
        run = self.inbox.current(row.id) or self.inbox.last(row.id)
        if run is None:
            raise BadInput(f"the nodes of {row.cluster_name} were not asked", cure="`drover probe deliver` asks them.")
        return run

    def _plan(self, run: ProbeRun, target: Target) -> Plan | NotPossible:
        return plan_probe(target, Offer(run.url, run.id, run.key, run.image, run.ca))

    def _probe_facts(self, row: Incident, run: ProbeRun, plan: Plan, target: Target) -> Facts:
        # Why the cluster is ill says nothing about whether its nodes may be asked.
        return replace(self._facts(row, plan, target.snapshot), cause="", approvals=run.approvals)

    def _decide(self, row: Incident, run: ProbeRun, plan: Plan, target: Target) -> Decision:
        return decide(self._parts.policy(), self._probe_facts(row, run, plan, target))


def _offer_of(run: ProbeRun) -> ProbeOffer:
    return ProbeOffer(run.url, run.image, run.ca)
