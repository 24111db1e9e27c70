"""Did the cluster get further than ever before?

Progress is a new best: more machines registered, plans applied, probes passed, nodes Ready or CNI pods ready than at any
time before, or a new target version. Text that changes, flapping, crash loops, restarts and renames are none of these, so
they never move the clock. The best so far is one small row per cluster, kept outside, so that the clock survives a restart.

A cluster seen for the first time has no row. Then the objects themselves testify: the clock starts at the latest time at
which something good is known to have happened, never at the times of messages, which move with every change of text.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from rancher_ext.detection.limits import Limits
from rancher_ext.fleet.cluster import Distribution
from rancher_ext.fleet.snapshot import ClusterSnapshot


@dataclass(frozen=True)
class Milestones:
    """Counts of what has been reached; each only ever compared with its own best."""

    machines: int = 0
    plans: int = 0
    probes: int = 0
    nodes: int = 0
    cni_pods: int = 0

    def beyond(self, best: "Milestones") -> bool:
        return any(mine > theirs for mine, theirs in zip(self.as_tuple(), best.as_tuple(), strict=True))

    def merged(self, other: "Milestones") -> "Milestones":
        return Milestones(*(max(pair) for pair in zip(self.as_tuple(), other.as_tuple(), strict=True)))

    def as_tuple(self) -> tuple[int, int, int, int, int]:
        return (self.machines, self.plans, self.probes, self.nodes, self.cni_pods)


@dataclass(frozen=True)
class Progress:
    """The memory of one cluster: best so far for `target`, since when, since when ill, since when well.

    Exactly one of `ill_since` and `well_since` is set once the cluster was seen; `ill_since` outlives short spells of health.
    """

    best: Milestones
    target: str
    since: datetime
    ill_since: datetime | None = None
    well_since: datetime | None = None


def advance(memory: Progress | None, snapshot: ClusterSnapshot, limits: Limits, *, well: bool) -> Progress:
    """The memory after this snapshot. `well` says whether the cluster is up at this instant."""
    now = snapshot.taken_at
    reached = milestones_of(snapshot, limits.hold)
    target = snapshot.kubernetes.text if snapshot.kubernetes else ""
    if memory is None:
        since = last_advance_witnessed(snapshot, limits.hold)
        memory = Progress(
            best=reached, target=target, since=since, ill_since=None if well else _ill_since_witnessed(snapshot)
        )
    elif target != memory.target:
        memory = replace(memory, best=reached, target=target, since=now)
    elif reached.beyond(memory.best):
        memory = replace(memory, best=memory.best.merged(reached), since=now)
    return _with_health(memory, limits.settle, now, well=well)


def merge(mine: Progress, stored: Progress | None) -> Progress:
    """Two workers saw the same cluster: the better best stands, and for an equal best the earlier clock."""
    if stored is None or stored.target != mine.target:
        return mine
    if mine.best.beyond(stored.best):
        return mine
    if stored.best.beyond(mine.best):
        return replace(mine, best=stored.best.merged(mine.best), since=stored.since)
    return replace(mine, since=min(mine.since, stored.since))


def milestones_of(snapshot: ClusterSnapshot, hold: timedelta) -> Milestones:
    """What is reached at this instant. Readiness counts once it has lasted for `hold`."""
    held = snapshot.taken_at - hold
    plans = [machine.plan for machine in snapshot.machines if machine.plan]
    workload = snapshot.workload
    return Milestones(
        machines=sum(machine.registered for machine in snapshot.machines),
        plans=sum(plan.applied for plan in plans)
        if snapshot.plans_readable
        else sum(
            bool(condition and condition.status)
            for condition in (m.condition("PlanApplied") for m in snapshot.machines)
        ),
        probes=sum(passed for plan in plans for _, passed in plan.probes),
        nodes=sum(
            bool(node.ready) and (node.ready_since is None or node.ready_since <= held) for node in snapshot.nodes
        ),
        cni_pods=workload.ready if workload and (workload.ready_since is None or workload.ready_since <= held) else 0,
    )


def last_advance_witnessed(snapshot: ClusterSnapshot, hold: timedelta) -> datetime:
    """The latest good thing that the objects put a time to; at least the cluster's creation, at most now."""
    times: list[datetime | None] = [snapshot.created]
    for machine in snapshot.machines:
        times += [machine.created, machine.registered_since]
        applied = machine.condition("PlanApplied")
        times.append(applied.since if applied and applied.status else None)
        if machine.plan:
            times += [machine.plan.updated, machine.plan.probes_passed]
    held = snapshot.taken_at - hold
    times += [
        node.ready_since for node in snapshot.nodes if node.ready and node.ready_since and node.ready_since <= held
    ]
    times += [node.created for node in snapshot.nodes]
    return (
        max(when for when in times if when is not None and when <= snapshot.taken_at)
        if snapshot.created <= snapshot.taken_at
        else snapshot.taken_at
    )


def _ill_since_witnessed(snapshot: ClusterSnapshot) -> datetime:
    """Since when is a cluster ill that nobody has watched before? Never earlier than the objects prove."""
    if not snapshot.initialized and snapshot.distribution is not Distribution.UNKNOWN:
        return snapshot.created
    times = [node.ready_since for node in snapshot.nodes if node.ready is not True and node.ready_since]
    if snapshot.connected is False and snapshot.connected_since:
        times.append(snapshot.connected_since)
    times += [machine.plan.updated for machine in snapshot.machines if machine.plan and machine.plan.updated]
    return min((when for when in times if when <= snapshot.taken_at), default=snapshot.taken_at)


def _with_health(memory: Progress, settle: timedelta, now: datetime, *, well: bool) -> Progress:
    if not well:
        return replace(memory, well_since=None, ill_since=memory.ill_since or now)
    well_since = memory.well_since or now
    over = memory.ill_since is None or now - well_since >= settle
    return replace(memory, well_since=well_since, ill_since=None if over else memory.ill_since)
