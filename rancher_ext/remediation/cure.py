"""Did the cure work? Not "the error is gone", but positive proof. What cannot be seen is said, not assumed."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from rancher_ext.client.kubernetes import PODS
from rancher_ext.client.snapshot import is_reachable
from rancher_ext.errors import RancherError
from rancher_ext.fleet.cluster import Distribution
from rancher_ext.fleet.parse import mapping, text, timestamp
from rancher_ext.remediation.action import Target

# The proofs without which nothing is called cured, seen or not.
_REQUIRED = frozenset({"nodes-ready", "cluster-active"})


@dataclass(frozen=True)
class ProofItem:
    """`holds` is None where nobody can see it."""

    name: str
    holds: bool | None
    seen: str


@dataclass(frozen=True)
class Proof:
    items: tuple[ProofItem, ...]

    @property
    def holds(self) -> bool:
        return all(item.holds is not False for item in self.items) and all(
            item.holds for item in self.items if item.name in _REQUIRED
        )

    @property
    def text(self) -> str:
        return ", ".join(item.seen for item in self.items)


def prove(names: Iterable[str], target: Target, changed_at: datetime) -> Proof:
    """Look once. `changed_at` is when the change was written: what was fine before it proves nothing."""
    return Proof(tuple(_CHECKS[name](target, changed_at) for name in names))


def _cni_ready(target: Target, _: datetime) -> ProofItem:
    name, snapshot = "cni-ready-everywhere", target.snapshot
    workload = snapshot.workload
    if workload is None:
        if snapshot.distribution is Distribution.K3S:
            return ProofItem(name, None, "flannel runs inside K3s: its nodes' readiness stands for it")
        return ProofItem(name, None, "the CNI's DaemonSet cannot be read")
    linux = sum(node.os == "linux" for node in snapshot.nodes)
    holds = workload.ready == workload.desired and workload.desired >= linux > 0
    return ProofItem(name, holds, f"{workload.name} {workload.ready}/{max(workload.desired, linux)}")


def _nodes_ready(target: Target, _: datetime) -> ProofItem:
    nodes = target.snapshot.nodes
    ready = sum(bool(node.ready) for node in nodes)
    return ProofItem("nodes-ready", bool(nodes) and ready == len(nodes), f"nodes {ready}/{len(nodes)}")


def _agent_connected(target: Target, _: datetime) -> ProofItem:
    connected = target.snapshot.connected is True
    return ProofItem("agent-connected", connected, "agent connected" if connected else "agent not connected")


def _cluster_active(target: Target, _: datetime) -> ProofItem:
    snapshot = target.snapshot
    active = snapshot.ready is True and not snapshot.planner
    return ProofItem(
        "cluster-active", active, "cluster Active" if active else f"Rancher says: {snapshot.planner or 'not ready'}"
    )


def _fresh_pod(target: Target, changed_at: datetime) -> ProofItem:
    """A pod on the pod network that started after the change and has an address: the network hands out addresses again."""
    name = "fresh-pod-has-address"
    if not is_reachable(target.snapshot):
        return ProofItem(name, None, "pods cannot be read")
    try:
        pods = target.downstream.list(PODS).items
    except RancherError as error:
        return ProofItem(name, None, f"pods cannot be read ({type(error).__name__})")
    for pod in pods:
        if mapping(pod, "spec").get("hostNetwork") is True:
            continue
        status = mapping(pod, "status")
        statuses = status.get("containerStatuses")
        started = (
            [timestamp(mapping(each, "state", "running").get("startedAt")) for each in statuses]
            if isinstance(statuses, list)
            else []
        )
        if text(status.get("podIP")) and any(when and when >= changed_at for when in started):
            return ProofItem(name, True, f"new pod {text(status.get('podIP'))}")
    return ProofItem(name, None, "no pod on the pod network has started since")


_CHECKS: dict[str, Callable[[Target, datetime], ProofItem]] = {
    "cni-ready-everywhere": _cni_ready,
    "nodes-ready": _nodes_ready,
    "fresh-pod-has-address": _fresh_pod,
    "agent-connected": _agent_connected,
    "cluster-active": _cluster_active,
}
