"""Did the cluster get further than ever before?

Progress is a new best: more machines registered, plans applied, probes passed, nodes Ready or CNI pods ready than at any
time before, or a new target version. Text that changes, flapping, crash loops, restarts and renames are none of these, so
they never move the clock. The best so far is one small row per cluster, kept outside, so that the clock survives a restart.

A cluster seen for the first time has no row. Then the objects themselves testify: the clock starts at the latest time at
which something good is known to have happened, never at the times of messages, which move with every change of text.
"""

from dataclasses import astuple, dataclass, replace
from datetime import datetime, timedelta

from rancher_ext.detection.limits import Limits
from rancher_ext.fleet.cluster import Distribution
from rancher_ext.fleet.node import Machine, Node
from rancher_ext.fleet.snapshot import ClusterSnapshot
from rancher_ext.fleet.versions import Version


@dataclass(frozen=True)
class Milestones:
    """Counts of what has been reached; each only ever compared with its own best.

    The first five grow while a cluster comes up for the first time. A rolling upgrade, a rolling restart or the replacement
    of machines starts from a full house, so these three tell how far such an operation got: nodes that run the wanted
    version, machines whose plan passed its probes since the illness began, and nodes made since then that are Ready. Each is
    bounded by the number of machines: nothing that goes round in circles counts for ever.
    """

    machines: int = 0
    plans: int = 0
    probes: int = 0
    nodes: int = 0
    cni_pods: int = 0
    upgraded: int = 0
    renewed: int = 0
    joined: int = 0

    def beyond(self, best: "Milestones") -> bool:
        return any(mine > theirs for mine, theirs in zip(self.as_tuple(), best.as_tuple(), strict=True))

    def merged(self, other: "Milestones") -> "Milestones":
        return Milestones(*(max(pair) for pair in zip(self.as_tuple(), other.as_tuple(), strict=True)))

    def as_tuple(self) -> tuple[int, ...]:
        return astuple(self)


@dataclass(frozen=True)
class Progress:
    """The memory of one cluster: best so far for `target`, since when, since when ill, since when well.

    `ill_since` is when something first pointed at the network (not up, at a stage where the network can be the cause);
    `well_since` is since when nothing does, be it that the cluster is up or that it waits for something else. `ill_since`
    outlives short spells of `well_since`.
    """

    best: Milestones
    target: str
    since: datetime
    ill_since: datetime | None = None
    well_since: datetime | None = None


def advance(memory: Progress | None, snapshot: ClusterSnapshot, limits: Limits, *, well: bool) -> Progress:
    """The memory after this snapshot. `well` says that nothing points at the network at this instant."""
    now = snapshot.taken_at
    target = snapshot.kubernetes.text if snapshot.kubernetes else ""
    if memory is None:
        ill_since = None if well else _ill_since_witnessed(snapshot)
        memory = Progress(
            best=milestones_of(snapshot, limits.hold, ill_since),
            target=target,
            since=last_advance_witnessed(snapshot, limits.hold),
            ill_since=ill_since,
        )
        return _with_health(memory, limits.settle, now, well=well)
    reached = milestones_of(snapshot, limits.hold, memory.ill_since)
    if target and memory.target and target != memory.target:
        memory = replace(memory, best=reached, target=target, since=now)
    else:
        # A version that was not readable for a while is no new target when it appears again.
        memory = replace(memory, target=memory.target or target)
        if reached.beyond(memory.best):
            memory = replace(memory, best=memory.best.merged(reached), since=max(now, memory.since))
    return _with_health(memory, limits.settle, now, well=well)


def merge(mine: Progress, stored: Progress | None) -> Progress:
    """Two workers saw the same cluster: the better best stands, and for an equal best the earlier clock."""
    if stored is None or stored.target != mine.target:
        return mine
    if stored.ill_since is None and mine.ill_since is not None:
        # The stored row is of an earlier illness: its counts of renewed and joined are no measure for this one.
        stored = replace(stored, best=replace(stored.best, renewed=0, joined=0))
    best = mine.best.merged(stored.best)
    if mine.best.beyond(stored.best) and stored.best.beyond(mine.best):
        # Each saw an advance that the other did not; the later one is when the common best was reached.
        since = max(mine.since, stored.since)
    elif mine.best.beyond(stored.best):
        since = mine.since
    elif stored.best.beyond(mine.best):
        since = stored.since
    else:
        since = min(mine.since, stored.since)
    ill_since = mine.ill_since
    if ill_since and stored.ill_since:
        ill_since = min(ill_since, stored.ill_since)
    return replace(mine, best=best, since=since, ill_since=ill_since)


def milestones_of(snapshot: ClusterSnapshot, hold: timedelta, ill_since: datetime | None = None) -> Milestones:
    """What is reached at this instant. Readiness counts once it has lasted for `hold`."""
    held = snapshot.taken_at - hold
    plans = [machine.plan for machine in snapshot.machines if machine.plan]
    ready = [node for node in snapshot.nodes if _has_been_ready(node, held)]
    return Milestones(
        machines=sum(machine.registered for machine in snapshot.machines),
        plans=sum(plan.applied for plan in plans)
        if snapshot.plans_readable
        else sum(
            bool(condition and condition.status)
            for condition in (m.condition("PlanApplied") for m in snapshot.machines)
        ),
        probes=sum(passed for plan in plans for _, passed in plan.probes),
        nodes=len(ready),
        cni_pods=_cni_pods(snapshot, held, len(ready)),
        upgraded=sum(_runs(node, snapshot.kubernetes) for node in ready),
        renewed=sum(_renewed(machine, ill_since) for machine in snapshot.machines) if ill_since else 0,
        joined=sum(node.created is not None and node.created >= ill_since for node in ready) if ill_since else 0,
    )


def _has_been_ready(node: Node, held: datetime) -> bool:
    return node.ready is True and (node.ready_since is None or node.ready_since <= held)


def _cni_pods(snapshot: ClusterSnapshot, held: datetime, ready_nodes: int) -> int:
    """A DaemonSet does not say since when its pods are ready, and a pod that crashes every few minutes is ready in between.

    So no more pods count than there are nodes that have been Ready for a while: a node with a dead network is not.
    """
    workload = snapshot.workload
    if workload is None:
        return 0
    if workload.ready_since is not None:
        return workload.ready if workload.ready_since <= held else 0
    return min(workload.ready, ready_nodes)


def _runs(node: Node, wanted: Version | None) -> bool:
    """Does the node's kubelet have the wanted version? RKE1 names a revision that kubelets do not: `v1.32.6-rancher1-1`."""
    kubelet = Version.parse(node.kubelet)
    if kubelet is None or wanted is None:
        return False
    if (kubelet.release, kubelet.prerelease) != (wanted.release, wanted.prerelease):
        return False
    return not kubelet.revision or not wanted.revision or kubelet.revision == wanted.revision


def _renewed(machine: Machine, since: datetime) -> bool:
    """Rancher empties the time of passed probes when it writes a new plan, so each plan passes once."""
    if machine.plan:
        return machine.plan.probes_passed is not None and machine.plan.probes_passed >= since
    applied = machine.condition("PlanApplied")
    return bool(applied and applied.status and applied.since and applied.since >= since)


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
    """Since when is a cluster ill that nobody has watched before? Never earlier than its present symptoms prove.

    A cluster that was up once may have lost its agent a minute ago, as all do when Rancher restarts; nothing older (a node
    that somebody switched off last week) says how long *that* lasts. While it is connected, what the network can have to do
    with speaks: nodes without one, plans that were never healthy, and an update that does not end. Times of conditions move
    with their texts, so each proves illness at least since then; none proves more.
    """
    if not snapshot.initialized and snapshot.distribution is not Distribution.UNKNOWN:
        return min(snapshot.created, snapshot.taken_at)
    if snapshot.connected is False:
        return min(snapshot.connected_since or snapshot.taken_at, snapshot.taken_at)
    updating = snapshot.condition("Updated")
    times = [updating.since if updating and updating.status is not True else None]
    times += [node.ready_since for node in snapshot.nodes if node.waits_for_network]
    times += [
        machine.plan.updated
        for machine in snapshot.machines
        if machine.plan and not (machine.plan.applied and machine.plan.healthy)
    ]
    return min((when for when in times if when is not None and when <= snapshot.taken_at), default=snapshot.taken_at)


def _with_health(memory: Progress, settle: timedelta, now: datetime, *, well: bool) -> Progress:
    if not well:
        if memory.ill_since is not None:
            return replace(memory, well_since=None)
        # A new illness: what was renewed and who joined during the last one is no measure for this one.
        return replace(memory, best=replace(memory.best, renewed=0, joined=0), well_since=None, ill_since=now)
    well_since = memory.well_since or now
    over = memory.ill_since is None or now - well_since >= settle
    return replace(memory, well_since=well_since, ill_since=None if over else memory.ill_since)
