"""What would be done to one cluster, and may it be done? Reads only: the cluster, and what the service has noted.

`plan` shows it; `remediate` shows it and goes on.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from difflib import get_close_matches
from typing import Any

from bot.adapters.fleet_store import FleetStore
from bot.adapters.incident_store import IncidentStore
from bot.cli.shared import existing_database, find_cluster, policy_now, servers
from bot.cli.witness import terminal_witness
from bot.collecting import collect_evidence
from bot.incidents.incident import Incident
from bot.incidents.snooze import Snooze, snoozed_note
from bot.knowledge import LoadedKnowledge, load_knowledge, load_policy
from bot.policy.approvals import Approval
from bot.policy.decide import Decision
from bot.policy.explain import Explained, explain
from bot.policy.facts import Elsewhere, Facts
from bot.policy.schema import Policy
from bot.settings import Settings
from bot.workflows.cure_logs import elsewhere
from bot.workflows.parts import RancherServer
from bot.workflows.room import not_now
from rancher_ext.detection import Progress, Verdict, assess
from rancher_ext.detection.classify import is_well
from rancher_ext.errors import BadInput
from rancher_ext.fleet.snapshot import ClusterSnapshot
from rancher_ext.remediation.change import Target
from rancher_ext.remediation.plan import Explanation, Plan, make_plan
from rancher_ext.remediation.playbook import Playbook

Say = Callable[[str], None]


@dataclass(frozen=True)
class Known:
    """What the service has noted of a cluster; all of it is empty where there is no service yet."""

    incident: Incident | None = None
    progress: Progress | None = None
    mending_now: int = 0
    paused: bool = False
    failed_before: bool = False
    snooze: Snooze | None = None


@dataclass(frozen=True)
class Prepared:
    """A plan, or why there is none. `finding` is the one the plan is for, `diagnosis` the whole of it (None when not asked).

    `wanted` is the playbook that somebody named.
    """

    server: RancherServer
    snapshot: ClusterSnapshot
    verdict: Verdict
    known: Known
    knowledge: LoadedKnowledge
    policy: Policy
    diagnosis: Mapping[str, Any] | None
    finding: Mapping[str, Any] | None
    made: Plan | Explanation | None
    explained: Explained | None
    why: str = ""
    wanted: Playbook | None = None

    @property
    def plan(self) -> Plan | None:
        return self.made if isinstance(self.made, Plan) else None

    @property
    def decision(self) -> Decision | None:
        return self.explained.decision if self.explained else None

    @property
    def target(self) -> Target:
        return Target(self.snapshot, self.server.transport)


def prepare(
    settings: Settings,
    cluster: str,
    playbook: str = "",
    signature: str = "",
    say: Say = lambda _: None,
    *,
    always_diagnose: bool = False,
) -> Prepared:
    """Find the cluster, diagnose it unless an open incident or a name says what ails it, plan, and ask the policy."""
    knowledge = load_knowledge(settings.signature_dirs, settings.playbook_dirs)
    policy = load_policy(settings.policy_file, knowledge)
    wanted = _named(knowledge, playbook, signature)
    server, key = find_cluster(servers(settings), cluster)
    say("looking at the cluster")
    snapshot = server.reader.cluster(key.id)
    known = what_is_known(settings, snapshot)
    _, verdict = assess(snapshot, known.progress, settings.limits)
    diagnosis: Mapping[str, Any] | None = None
    if known.incident is not None and known.incident.diagnosis:
        diagnosis = known.incident.diagnosis
    elif (wanted is None or always_diagnose) and not is_well(snapshot):
        with terminal_witness(settings, snapshot, policy) as witness:
            bundle = collect_evidence(
                server,
                snapshot,
                policy_now(settings)(),
                lambda done, of, name: say(f"collected {name} ({done}/{of})"),
                witness,
            )
        diagnosis = knowledge.remedy_json(knowledge.diagnose(bundle))
    finding = _finding(diagnosis, wanted, signature)
    chosen = wanted or (knowledge.playbooks.get(str(finding["signature"])) if finding else None)
    made: Plan | Explanation | None = None
    explained: Explained | None = None
    why = "" if chosen else _why_none(snapshot, diagnosis, finding)
    if chosen:
        say("planning")
        about = str(finding["signature"]) if finding else signature or chosen.signatures[0]
        made = make_plan(chosen, about, Target(snapshot, server.transport), knowledge.actions)
    if isinstance(made, Plan):
        cause = str(finding["cause"]) if finding else _cause(knowledge, made.signature)
        facts = facts_of(settings, snapshot, verdict, known, made, cause)
        since = knowledge.since.get(made.signature)
        facts = replace(
            facts,
            signature_since=since,
            undecided=bool((diagnosis or {}).get("undecided")),
            elsewhere=_elsewhere(settings, known, policy, made, facts.now),
        )
        explained = explain(policy, facts)
    return Prepared(
        server, snapshot, verdict, known, knowledge, policy, diagnosis, finding, made, explained, why, wanted
    )


def what_is_known(settings: Settings, snapshot: ClusterSnapshot) -> Known:
    """From the service's own tables, when there are any."""
    identity = snapshot.identity
    with existing_database(settings) as database:
        if database is None:
            return Known()
        store = IncidentStore(database)
        incident = store.open_of(snapshot.key)
        if incident is not None and incident.cluster_uid != identity.uid:
            incident = None
        return Known(
            incident,
            FleetStore(database).memory_of(snapshot.key, identity.uid),
            store.mending_now(besides=incident.id if incident else ""),
            bool(store.note("paused", default=False)),
            store.note(f"failed:{identity.key.rancher}:{identity.uid}") is not None,
            Snooze.from_json(store.note(snoozed_note(incident.id))) if incident else None,
        )


def facts_of(
    settings: Settings, snapshot: ClusterSnapshot, verdict: Verdict, known: Known, plan: Plan, cause: str
) -> Facts:
    """What the policy is asked with, as far as it can be seen from here. The service asks again before it writes."""
    given = ((known.incident.approval or {}) if known.incident else {}).get("approvals", ())
    return Facts(
        risk=plan.risk,
        undo=plan.undo,
        cause=cause,
        signature=plan.signature,
        digest=plan.digest,
        labels=snapshot.labels,
        initialized=snapshot.initialized,
        mending_now=known.mending_now,
        paused=known.paused,
        dry_run=settings.dry_run,
        failed_before=known.failed_before,
        now=policy_now(settings)(),
        not_now=not_now(verdict),
        approvals=[Approval.from_json(raw) for raw in given],
        playbook=plan.playbook,
        actions=tuple(step.action for step in plan.steps),
        etcd_saved=plan.etcd_saved,
        snoozed_until=known.snooze.until if known.snooze else None,
        snoozed_by=known.snooze.by if known.snooze else "",
    )


def _elsewhere(settings: Settings, known: Known, policy: Policy, plan: Plan, now: datetime) -> Elsewhere:
    """What happens on other clusters, where a service has noted it."""
    if known.incident is None:
        return Elsewhere()
    with existing_database(settings) as database:
        if database is None:
            return Elsewhere()
        store, fleet = IncidentStore(database), FleetStore(database)
        return elsewhere(store, fleet, policy, known.incident, plan, now)


def _named(knowledge: LoadedKnowledge, playbook: str, signature: str) -> Playbook | None:
    if playbook and signature:
        raise BadInput("both --playbook and --signature are given", cure="One of them says which plan is meant.")
    by_id = {book.id: book for book in knowledge.playbooks.values()}
    if playbook:
        found = by_id.get(playbook) or knowledge.playbooks.get(playbook)
        if found is None:
            raise _unknown("playbook", playbook, by_id)
        return found
    if signature:
        found = knowledge.playbooks.get(signature)
        if found is None:
            known = {each.id for each in knowledge.signatures}
            if signature in known:
                raise BadInput(
                    f"no playbook mends {signature}", cure=f"`drover signatures show {signature}` has what is known."
                )
            raise _unknown("signature", signature, dict.fromkeys(known))
        return found
    return None


def _unknown(kind: str, name: str, known: Mapping[str, object]) -> BadInput:
    near = get_close_matches(name, known, n=1)
    listed = (
        f"There are: {', '.join(sorted(known))}." if kind == "playbook" else "`drover signatures list` has them all."
    )
    return BadInput(f"there is no {kind} {name!r}", cure=f"Did you mean {near[0]}?" if near else listed)


def _finding(diagnosis: Mapping[str, Any] | None, wanted: Playbook | None, signature: str) -> Mapping[str, Any] | None:
    """The finding that the plan is for: the best one, or the first that the named playbook mends."""
    findings = (diagnosis or {}).get("findings") or []
    if wanted is None:
        return findings[0] if findings and (diagnosis or {}).get("verdict") == "cni-failure" else None
    fitting = (signature,) if signature else wanted.signatures
    return next((each for each in findings if each["signature"] in fitting), None)


def _why_none(snapshot: ClusterSnapshot, diagnosis: Mapping[str, Any] | None, finding: Mapping[str, Any] | None) -> str:
    if finding is not None:
        return f"no playbook mends {finding['signature']}"
    if diagnosis is None:
        return f"{snapshot.identity.name} is up: there is nothing to mend"
    verdict = diagnosis["verdict"]
    return {
        "healthy": "nothing is wrong in its evidence",
        "other-failure": "what failed is not its Flannel or Canal, so Drover changes nothing",
    }.get(verdict, "no known cause fits what could be read")


def _cause(knowledge: LoadedKnowledge, signature: str) -> str:
    return next((each.cause.value for each in knowledge.signatures if each.id == signature), "")
