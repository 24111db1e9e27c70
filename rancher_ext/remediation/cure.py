"""Did the cure work? Not "the error is gone", but positive proof. What cannot be seen is said, not assumed."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rancher_ext.client.kubernetes import PAGE, PODS
from rancher_ext.client.snapshot import is_reachable
from rancher_ext.errors import RancherError
from rancher_ext.fleet.cluster import Distribution
from rancher_ext.fleet.parse import mapping, text, timestamp
from rancher_ext.remediation.change import Target

# Two thousand pods are enough of a sample: in a cluster that comes up, most of them are fresh.
_PAGES = 4
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


def _off_for_other_reasons(target: Target, changed_at: datetime) -> tuple[str, ...]:
    """Nodes whose kubelet was silent before the change already: a machine that is off proves nothing about a cure."""
    return tuple(
        node.name
        for node in target.snapshot.nodes
        if node.ready is None and node.ready_since is not None and node.ready_since < changed_at
    )


def _cni_ready(target: Target, changed_at: datetime) -> ProofItem:
    name, snapshot = "cni-ready-everywhere", target.snapshot
    workload = snapshot.workload
    if workload is None:
        if snapshot.distribution is Distribution.K3S:
            return ProofItem(name, None, "flannel runs inside K3s: its nodes' readiness stands for it")
        return ProofItem(name, None, "the CNI's DaemonSet cannot be read")
    linux = sum(node.os == "linux" for node in snapshot.nodes)
    off = len(_off_for_other_reasons(target, changed_at))
    holds = workload.desired >= linux > 0 and workload.ready >= workload.desired - off and workload.ready > 0
    return ProofItem(name, holds, f"{workload.name} {workload.ready}/{max(workload.desired, linux)}")


def _nodes_ready(target: Target, changed_at: datetime) -> ProofItem:
    nodes = target.snapshot.nodes
    ready = sum(bool(node.ready) for node in nodes)
    off = _off_for_other_reasons(target, changed_at)
    seen = f"nodes {ready}/{len(nodes)}" + (f" ({', '.join(off)} off since before the change)" if off else "")
    return ProofItem("nodes-ready", ready > 0 and ready + len(off) == len(nodes), seen)


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
        for number, pods in enumerate(target.downstream.pages(PODS)):
            fresh = next((address for pod in pods if (address := _fresh_address(pod, changed_at))), None)
            if fresh:
                return ProofItem(name, True, f"new pod {fresh}")
            if number + 1 == _PAGES:
                return ProofItem(name, None, f"no pod among the first {_PAGES * PAGE} has started since")
    except RancherError as error:
        return ProofItem(name, None, f"pods cannot be read ({type(error).__name__})")
    return ProofItem(name, None, "no pod on the pod network has started since")


def _fresh_address(pod: Mapping[str, Any], changed_at: datetime) -> str | None:
    if mapping(pod, "spec").get("hostNetwork") is True:
        return None
    status = mapping(pod, "status")
    statuses = status.get("containerStatuses")
    listed = statuses if isinstance(statuses, list) else []
    started = [timestamp(mapping(each, "state", "running").get("startedAt")) for each in listed]
    fresh = any(when and when >= changed_at for when in started)
    return text(status.get("podIP")) or None if fresh else None


_CHECKS: dict[str, Callable[[Target, datetime], ProofItem]] = {
    "cni-ready-everywhere": _cni_ready,
    "nodes-ready": _nodes_ready,
    "fresh-pod-has-address": _fresh_pod,
    "agent-connected": _agent_connected,
    "cluster-active": _cluster_active,
}
