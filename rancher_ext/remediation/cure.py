"""Did the cure work? Not "the error is gone", but positive proof. What cannot be seen is said, not assumed."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rancher_ext.client.kubernetes import DAEMON_SETS, PAGE, PODS
from rancher_ext.client.snapshot import is_reachable
from rancher_ext.errors import RancherError
from rancher_ext.fleet.cluster import Distribution
from rancher_ext.fleet.cni import Cni
from rancher_ext.fleet.parse import integer, mapping, text, timestamp
from rancher_ext.fleet.snapshot import ClusterSnapshot
from rancher_ext.remediation.change import Target

# Two thousand pods are enough of a sample: in a cluster that comes up, most of them are fresh.
_PAGES = 4
_LEASE = "flannel.alpha.coreos.com/backend-data"
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
    """On Linux and on Windows apart, and with a lease on every node: flannel's own pods count as ready before they have one."""
    name, snapshot = "cni-ready-everywhere", target.snapshot
    off = set(_off_for_other_reasons(target, changed_at))
    leases, leased = _leases(snapshot, off)
    windows, on_windows = _on_windows(target, off)
    others = "".join(f", {each}" for each in (leases, windows) if each)
    workload = snapshot.workload
    if workload is None:
        what = "the CNI's DaemonSet cannot be read"
        if snapshot.distribution is Distribution.K3S:
            what = "flannel runs inside K3s: its nodes' readiness stands for it"
        return ProofItem(name, None if leased and on_windows else False, what + others)
    linux = sum(node.os == "linux" for node in snapshot.nodes)
    holds = workload.desired >= linux > 0 and workload.ready >= workload.desired - len(off) and workload.ready > 0
    seen = f"{workload.name} {workload.ready}/{max(workload.desired, linux)}"
    return ProofItem(name, holds and leased and on_windows, seen + others)


def _leases(snapshot: ClusterSnapshot, off: Collection[str]) -> tuple[str, bool]:
    """Which Linux nodes have no lease of flannel's although others have one. Where no node shows any, nothing is concluded."""
    if snapshot.cni not in {Cni.CANAL, Cni.FLANNEL}:
        return "", True
    linux = [node for node in snapshot.nodes if node.os == "linux" and node.name not in off]
    without = [node.name for node in linux if not dict(node.annotations).get(_LEASE)]
    if not without or len(without) == len(linux):
        return "", True
    more = f" and {len(without) - 3} more" if len(without) > 3 else ""
    return f"no lease on {', '.join(without[:3])}{more}", False


def _on_windows(target: Target, off: Collection[str]) -> tuple[str, bool]:
    """The Windows nodes, and the DaemonSets that the CNI has for them (RKE2 brings its Windows CNI without one)."""
    nodes = [node for node in target.snapshot.nodes if node.os == "windows"]
    if not nodes:
        return "", True
    ready = sum(bool(node.ready) for node in nodes)
    fine = ready + sum(node.name in off for node in nodes) == len(nodes)
    seen = [f"Windows nodes {ready}/{len(nodes)}"]
    try:
        found = list(_windows_daemon_sets(target)) if is_reachable(target.snapshot) else []
    except RancherError as error:
        return f"{seen[0]}, their DaemonSets cannot be read ({type(error).__name__})", fine
    for item in found:
        status = mapping(item, "status")
        wanted, there = (integer(status.get(key)) or 0 for key in ("desiredNumberScheduled", "numberReady"))
        fine = fine and there >= wanted - len(off)
        seen.append(f"{text(mapping(item, 'metadata').get('name'))} {there}/{wanted}")
    return ", ".join(seen), fine


def _windows_daemon_sets(target: Target) -> Iterator[Mapping[str, Any]]:
    """By their node selector, since their names differ from chart to chart."""
    for namespace in ("kube-system", "kube-flannel", "calico-system"):
        for item in target.downstream.list(DAEMON_SETS, namespace).items:
            if mapping(item, "spec", "template", "spec", "nodeSelector").get("kubernetes.io/os") == "windows":
                yield item


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
