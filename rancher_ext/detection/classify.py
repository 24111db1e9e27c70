"""Is this cluster healthy, on its way, stuck, or can nobody tell?

`classify` is pure: facts, memory, limits and the time go in, a verdict comes out. It reads like the question a person asks:
is the cluster ours to watch; is it up; if not, what does Rancher wait for; can the network be behind that; and has it been
without any progress for too long?

Canal and flannel have no CNI probe in Rancher. With a dead one, RKE2 and K3s show `waiting for cluster agent to connect` with
every probe healthy, and RKE1 shows `Waiting for API to be available` (rancher-api 1.6, 1.8).
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from rancher_ext.detection.limits import Limits, Scope
from rancher_ext.detection.progress import Progress, advance, last_advance_witnessed
from rancher_ext.detection.verdict import Healthy, OutOfScope, Progressing, Stage, Stuck, Unknown, Verdict
from rancher_ext.fleet.cluster import Distribution, Management
from rancher_ext.fleet.cni import Cni
from rancher_ext.fleet.node import Machine
from rancher_ext.fleet.snapshot import ClusterSnapshot

# The system-agent writes a secret only when something in it changed. Where a plan has a periodic instruction, that is every
# ten minutes; after fifteen minutes of silence a node may be off or cut off.
AGENT_SILENCE = timedelta(minutes=15)
# A node that reported this long after the cluster agent went away outlived it. Below, both may have gone together: Rancher
# notices a lost tunnel within about a minute.
OUTLIVED = timedelta(minutes=1)

_PROBES = re.compile(r"waiting for probes: (?P<probes>[a-z, -]+)")
_DURATION = re.compile(r"^(?P<count>\d{1,5})(?P<unit>[smhd])$")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
# Snapshot, restore and the like stop the servers on purpose and take their time; their texts name no machine to wait for.
_OPERATION = re.compile(
    r"etcd (?:snapshot|restore|create state|machines|nodes)|shutting down cluster|cluster shutdown|stop(?:ping)? rke2|stop(?:ping)? k3s"
    r"|certificate rotation|encryption key|uninitializing rkecontrolplane|Restoration from etcd|operation .+ failed|unpausing"
)


@dataclass(frozen=True)
class Waiting:
    """What a cluster that is not up waits for, in Rancher's words, and which nodes it concerns."""

    stage: Stage
    reason: str
    nodes: tuple[str, ...] = ()


def classify(snapshot: ClusterSnapshot, memory: Progress | None, limits: Limits, now: datetime) -> Verdict:
    """The verdict at `now`. `memory` is the row after `advance` saw this snapshot, or None for a first look."""
    outside = why_out_of_scope(snapshot, limits.scope)
    if outside:
        return OutOfScope(outside)
    if is_well(snapshot):
        return Healthy()
    if snapshot.paused or "is paused" in snapshot.planner:
        return Unknown("its reconciliation is paused in Rancher")
    waiting = waiting_for(snapshot)
    if snapshot.management is Management.IMPORTED and snapshot.connected is not True:
        return Unknown(f"Rancher cannot reach it{_since_text(snapshot, now)}: nothing is known")
    since = _no_progress_since(snapshot, memory, limits)
    deadline = since + no_progress_limit(snapshot, limits)
    if now < deadline:
        return Progressing(recheck_at=deadline, stage=waiting.stage, reason=waiting.reason)
    if not waiting.stage.can_be_network:
        return Unknown(f"it is stuck, but not at its network: {waiting.reason}")
    if _nodes_are_silent(snapshot, now):
        return Unknown(f"it was up, and now neither its agent nor its nodes answer{_since_text(snapshot, now)}")
    return Stuck(since=since, stage=waiting.stage, reason=waiting.reason, nodes=waiting.nodes)


def why_out_of_scope(snapshot: ClusterSnapshot, scope: Scope) -> str | None:
    """The reason why a cluster is not watched, or None when it is. Only what is *known* excludes."""
    if snapshot.management is Management.LOCAL:
        return "Rancher's own cluster"
    if snapshot.management is Management.HOSTED:
        return "a hosted cluster: its provider runs the network"
    if snapshot.deleting:
        return "it is being deleted"
    if snapshot.labels.get(scope.ignore_label, "false").lower() not in {"false", "no", "0"}:
        return f"label {scope.ignore_label}"
    for name, wanted in scope.only_labels:
        if snapshot.labels.get(name) != wanted:
            return f"no label {name}={wanted}"
    if snapshot.distribution not in scope.distributions:
        return f"distribution {snapshot.distribution} is not watched"
    if snapshot.cni is not Cni.UNKNOWN and snapshot.cni not in scope.cnis:
        return f"its network is {snapshot.cni}"
    if snapshot.kubernetes and not any(lines.contains(snapshot.kubernetes) for lines in scope.kubernetes):
        return f"Kubernetes {snapshot.kubernetes} is not watched"
    return None


def is_well(snapshot: ClusterSnapshot) -> bool:
    """Up at this instant: connected, ready, nothing being updated, and every known node and CNI pod ready."""
    if snapshot.ready is not True or snapshot.connected is False or snapshot.planner:
        return False
    if snapshot.management is Management.PROVISIONED and (snapshot.connected is None or snapshot.updated is not True):
        return False
    workload = snapshot.workload
    # While a DaemonSet is rolled out, some of its pods are down by design; their nodes stay Ready.
    pods_up = workload is None or workload.ready >= workload.desired or workload.rolling
    return pods_up and all(node.ready for node in snapshot.nodes)


def waiting_for(snapshot: ClusterSnapshot) -> Waiting:
    """What Rancher waits for, as the stage of a bring-up."""
    if snapshot.distribution is Distribution.RKE1:
        return _rke1_waiting(snapshot)
    return _planner_waiting(snapshot)


def _planner_waiting(snapshot: ClusterSnapshot) -> Waiting:
    """RKE2 and K3s. The cluster's message loses its detail when several machines wait; each machine keeps its own.

    The message names what blocks the planner, so it decides where it says enough: a worker that the cloud refuses to make
    does not explain a control plane that waits for its agent.
    """
    k3s = snapshot.distribution is Distribution.K3S
    details = [
        (machine, condition.message)
        for machine in snapshot.machines
        if (condition := machine.condition("Reconciled")) and condition.status is not True and condition.message
    ]
    reason = snapshot.planner or next((message for _, message in details), "")
    stage = _stage_of(snapshot.planner, k3s=k3s)
    if stage is None and _OPERATION.search(snapshot.planner):
        return Waiting(Stage.OTHER, reason)
    if stage is None:
        servers = [(machine, message) for machine, message in details if machine.roles & {"controlplane", "etcd"}]
        stage = _earliest(servers, k3s=k3s) or _earliest(details, k3s=k3s)
    if stage is not None:
        named = tuple(machine.name for machine, message in details if _stage_of(message, k3s=k3s) is stage)
        return Waiting(stage, reason, named or tuple(machine.name for machine in snapshot.machines))
    if snapshot.connected is False:
        return Waiting(
            Stage.AGENT, reason or "Cluster agent is not connected", tuple(m.name for m in snapshot.machines)
        )
    return _nodes_waiting(snapshot, reason)


def _earliest(details: list[tuple[Machine, str]], *, k3s: bool) -> Stage | None:
    """Waiting for an earlier stage explains the later ones: machines behind the first wait for it anyway."""
    stages = {_stage_of(message, k3s=k3s) for _, message in details}
    order = (Stage.MACHINES, Stage.PLAN, Stage.CONTROL_PLANE, Stage.KUBELET, Stage.AGENT)
    return next((stage for stage in order if stage in stages), None)


def _stage_of(message: str, *, k3s: bool = False) -> Stage | None:
    if "waiting for cluster agent to connect" in message:
        return Stage.AGENT
    probes = _PROBES.search(message)
    if probes:
        failing = {name.strip() for name in probes["probes"].split(",")}
        # Flannel lives inside the k3s process and ends it when it fails, and with it every probe. A calico probe on a cluster
        # with canal or flannel is one that Rancher made from an empty `cni` and that never passes.
        network = k3s or failing <= {"kubelet", "calico"}
        return Stage.KUBELET if network else Stage.CONTROL_PLANE
    if any(
        text in message
        for text in (
            "waiting for agent to check in",
            "failure while applying plan",
            "error applying plan",
            "waiting for plan to be applied",
        )
    ):
        return Stage.PLAN
    if any(
        text in message
        for text in (
            "waiting for infrastructure ready",
            "creating server",
            "failed creating",
            "CreateError",
            "waiting for viable init node",
            "waiting for at least one",
            "CAPI cluster does not exist",
            "KDM release data is empty",
        )
    ):
        return Stage.MACHINES
    if "no etcd machines exist" in message:
        return Stage.CONTROL_PLANE
    return None


def _rke1_waiting(snapshot: ClusterSnapshot) -> Waiting:
    """RKE1: `rke up` runs inside Rancher, and the management cluster's conditions carry its text."""
    message = snapshot.planner
    if "rke-network-plugin" in message:
        return Waiting(Stage.ADDON, message)
    if "Waiting for API to be available" in message or "cluster agent is not ready" in message:
        unready = _unready_for_network(snapshot)
        return Waiting(Stage.API, message, unready)
    provisioned = snapshot.condition("Provisioned")
    if provisioned is not None and provisioned.status is not True:
        waits_for_hosts = any(
            text in message for text in ("registered", "waiting for nodes", "full cluster configuration")
        )
        return Waiting(
            Stage.MACHINES if waits_for_hosts else Stage.CONTROL_PLANE, message or "the cluster is being provisioned"
        )
    if snapshot.connected is False and not snapshot.nodes:
        return Waiting(Stage.API, message or "Cluster agent is not connected")
    return _nodes_waiting(snapshot, message)


def _nodes_waiting(snapshot: ClusterSnapshot, reason: str) -> Waiting:
    blocked = _unready_for_network(snapshot)
    if blocked:
        count = f"{len(blocked)} of {len(snapshot.nodes)} nodes are NotReady: the network plugin is not ready"
        return Waiting(Stage.NODES, reason or count, blocked)
    if snapshot.connected is False:
        return Waiting(Stage.AGENT, reason or "Cluster agent is not connected")
    workload = snapshot.workload
    if workload and workload.ready < workload.desired:
        return Waiting(
            Stage.NODES, reason or f"DaemonSet {workload.name}: {workload.ready} of {workload.desired} ready"
        )
    unready = tuple(node.name for node in snapshot.nodes if not node.ready)
    if unready:
        return Waiting(
            Stage.OTHER,
            reason or f"{len(unready)} of {len(snapshot.nodes)} nodes are NotReady, not for the network",
            unready,
        )
    return Waiting(Stage.OTHER, reason or "Rancher does not call it ready and does not say why")


def _unready_for_network(snapshot: ClusterSnapshot) -> tuple[str, ...]:
    return tuple(node.name for node in snapshot.nodes if node.waits_for_network)


def _no_progress_since(snapshot: ClusterSnapshot, memory: Progress | None, limits: Limits) -> datetime:
    """The later of the last advance and the beginning of this illness."""
    if memory is None:
        return last_advance_witnessed(snapshot, limits.hold)
    return max(memory.since, memory.ill_since) if memory.ill_since else memory.since


def no_progress_limit(snapshot: ClusterSnapshot, limits: Limits) -> timedelta:
    """The cluster's own limit from its label, else the general one. An unreadable label is as if it were not there."""
    match = _DURATION.match(snapshot.labels.get(limits.limit_label, ""))
    if match is None or int(match["count"]) == 0:
        return limits.no_progress
    return timedelta(seconds=int(match["count"]) * _UNITS[match["unit"]])


def _nodes_are_silent(snapshot: ClusterSnapshot, now: datetime) -> bool:
    """A cluster that was up and lost its agent: do its nodes still talk? If not, it is off or cut off.

    RKE2 and K3s: the system-agent needs no CNI. It has spoken when it wrote lately, or once the cluster agent was already
    gone; without any change on its node it has nothing to write. Where its secrets cannot be read this stays unanswered, and
    a running upgrade is then the only reason to suspect the network.

    RKE1: Rancher reaches the API through the tunnels of the nodes, which need no CNI either.
    """
    if not snapshot.initialized or snapshot.connected is not False:
        return False
    if snapshot.distribution is Distribution.RKE1:
        provisioned = snapshot.condition("Provisioned")
        return bool(provisioned and provisioned.status) and snapshot.api_reached is not True
    seen = [machine.plan.last_seen for machine in snapshot.machines if machine.plan and machine.plan.last_seen]
    if not seen:
        return not snapshot.planner
    outlived = snapshot.connected_since is not None and max(seen) > snapshot.connected_since + OUTLIVED
    return not outlived and max(seen) < now - AGENT_SILENCE


def _since_text(snapshot: ClusterSnapshot, now: datetime) -> str:
    if snapshot.connected_since is None:
        return ""
    minutes = int((now - snapshot.connected_since).total_seconds() // 60)
    if minutes < 120:
        return f" since {minutes} min"
    return f" since {minutes // 60} h" if minutes < 2880 else f" since {minutes // 1440} days"


def assess(snapshot: ClusterSnapshot, memory: Progress | None, limits: Limits) -> tuple[Progress, Verdict]:
    """Memory and verdict after this snapshot: what every listener and sweep does with a fresh look at a cluster."""
    suspected = not is_well(snapshot) and waiting_for(snapshot).stage.can_be_network
    progress = advance(memory, snapshot, limits, well=not suspected)
    return progress, classify(snapshot, progress, limits, snapshot.taken_at)


def deserves_closer_look(snapshot: ClusterSnapshot, scope: Scope) -> bool:
    """Is this cluster watched and not well? Only then machine plans and the cluster's own API are worth reading."""
    return why_out_of_scope(snapshot, scope) is None and not is_well(snapshot)
