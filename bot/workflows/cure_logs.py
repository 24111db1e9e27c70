"""What do the brakes have to know of other clusters, and who notes it? The log of every playbook, under the lock of beginning."""

from dataclasses import replace
from datetime import datetime

from bot.incidents.cures import CureLog, CureRun, cures_note
from bot.incidents.incident import Incident
from bot.policy.facts import Elsewhere
from bot.policy.schema import Canary, Policy
from bot.ports import FleetMemory, IncidentBook
from rancher_ext.remediation.plan import Plan


def read_log(store: IncidentBook, playbook: str) -> CureLog:
    return CureLog.from_json(store.note(cures_note(playbook)))


def note_begun(store: IncidentBook, row: Incident, plan: Plan, at: datetime) -> None:
    """Whoever calls holds the lock of beginning: two that write at once would each lose the other's line."""
    run = CureRun(row.id, row.attempt, row.cluster_name, plan.signature, plan.playbook_version, at)
    _save(store, plan.playbook, read_log(store, plan.playbook).begin(run))


def note_ended(store: IncidentBook, row: Incident, plan: Plan, at: datetime, *, healed: bool) -> None:
    """As above. A cure that never began, or whose end is noted, changes nothing."""
    log = read_log(store, plan.playbook)
    ended = log.end(row.id, at, healed=healed)
    if ended != log:
        _save(store, plan.playbook, ended)


def resume_playbook(store: IncidentBook, playbook: str, at: datetime) -> None:
    """A person says that it may run by itself again."""
    _save(store, playbook, read_log(store, playbook).resume(at))


def elsewhere(
    store: IncidentBook, fleet: FleetMemory, policy: Policy, row: Incident, plan: Plan, now: datetime
) -> Elsewhere:
    proven_for = (policy.brakes.canary or Canary()).proven_for
    found = read_log(store, plan.playbook).elsewhere(row.id, plan.signature, plan.playbook_version, now, proven_for)
    if policy.brakes.storm is None:
        return found
    return replace(found, stuck_lately=store.opened_since(now - policy.brakes.storm.within), fleet=fleet.count())


def _save(store: IncidentBook, playbook: str, log: CureLog) -> None:
    store.set_note(cures_note(playbook), log.to_json())
