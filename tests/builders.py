"""What does a test need to say? Only what matters to its case: everything else here is an ordinary cluster at noon."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from rancher_ext.detection import Limits, Scope
from rancher_ext.fleet.cluster import ClusterIdentity, ClusterKey, Distribution, Management
from rancher_ext.fleet.cni import Cni, CniSource
from rancher_ext.fleet.node import Condition, Machine, MachinePlan, Node, Taint
from rancher_ext.fleet.snapshot import ClusterSnapshot, WorkloadStatus
from rancher_ext.fleet.versions import Version, VersionRange

NOON = datetime(2026, 10, 2, 12, 0, tzinfo=UTC)

WAITING_FOR_AGENT = "configuring bootstrap node(s) edge-7-cp-1: waiting for cluster agent to connect"
NO_NETWORK = (
    "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady "
    "message:Network plugin returns error: cni plugin not initialized"
)
SERVER_PROBES = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet")
_VERSIONS = {
    Distribution.RKE1: "v1.32.6-rancher1-1",
    Distribution.RKE2: "v1.32.2+rke2r1",
    Distribution.K3S: "v1.32.2+k3s1",
}
_DAEMON_SETS = {Cni.CANAL: "rke2-canal", Cni.FLANNEL: "kube-flannel-ds"}


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def hours(count: float) -> timedelta:
    return timedelta(hours=count)


def some_limits(
    no_progress: timedelta = minutes(10),  # noqa: B008 - a constant
    *,
    kubernetes: str | None = "1.32",
    hold: timedelta = seconds(60),  # noqa: B008
    settle: timedelta = minutes(5),  # noqa: B008
    **scope: Any,
) -> Limits:
    lines = (VersionRange.parse(kubernetes),) if kubernetes else ()
    return Limits(no_progress=no_progress, hold=hold, settle=settle, scope=Scope(kubernetes=lines, **scope))


def a_condition(
    kind: str, status: bool | None = True, message: str = "", *, reason: str = "", since: datetime | None = None
) -> Condition:
    return Condition(type=kind, status=status, reason=reason, message=message, since=since)


def a_plan(
    *,
    applied: bool = True,
    failed: bool = False,
    probes: Iterable[str] = SERVER_PROBES,
    failing: Iterable[str] = (),
    at: datetime = NOON,
    updated_ago: timedelta | None = minutes(30),  # noqa: B008
    passed_ago: timedelta | None = None,
    seen_ago: timedelta | None = seconds(20),  # noqa: B008
) -> MachinePlan:
    """A plan in sync with every probe passing, unless told otherwise. Times are distances from `at`."""
    bad = set(failing)
    return MachinePlan(
        applied=applied,
        failed=failed,
        probes=tuple(sorted((name, name not in bad) for name in {*probes, *bad})),
        updated=None if updated_ago is None else at - updated_ago,
        probes_passed=None if passed_ago is None else at - passed_ago,
        last_seen=None if seen_ago is None else at - seen_ago,
    )


def a_machine(
    name: str = "edge-7-cp-1",
    *,
    roles: Iterable[str] = ("controlplane", "etcd"),
    says: str = "",
    registered: bool = True,
    plan: MachinePlan | None = None,
    at: datetime = NOON,
    age: timedelta = minutes(40),  # noqa: B008
    registered_ago: timedelta | None = None,
    conditions: Iterable[Condition] = (),
    os: str = "linux",
) -> Machine:
    """A registered server. `says` is what it waits for (its condition `Reconciled`), nothing when it is done."""
    reconciled = a_condition("Reconciled", None, says, since=at - seconds(5)) if says else a_condition("Reconciled")
    return Machine(
        name=name,
        created=at - age,
        roles=frozenset(roles),
        os=os,
        registered=registered,
        registered_since=at - (age if registered_ago is None else registered_ago) if registered else None,
        plan=plan,
        conditions=(reconciled, *conditions),
    )


def a_node(
    name: str = "edge-7-cp-1",
    *,
    ready: bool | None = True,
    no_network: bool = False,
    at: datetime = NOON,
    ready_for: timedelta = hours(2),  # noqa: B008
    age: timedelta = hours(3),  # noqa: B008
    kubelet: str = "v1.32.2+rke2r1",
    reason: str = "",
    message: str = "",
    taints: Iterable[Taint] = (),
) -> Node:
    """A node that is Ready for two hours. `ready_for` is the age of its Ready condition, whichever value that has."""
    if no_network:
        ready, reason, message = False, "KubeletNotReady", NO_NETWORK
    return Node(
        name=name,
        ready=ready,
        ready_since=at - ready_for,
        reason=reason,
        message=message,
        created=at - age,
        kubelet=kubelet,
        taints=tuple(taints),
    )


def a_cluster(
    *,
    id: str = "c-m-8jq5fz7k",  # noqa: A002 - it is called so in Rancher
    uid: str = "5b0f6f3e-0000-4000-8000-000000000007",
    name: str = "edge-7",
    rancher: str = "default",
    at: datetime = NOON,
    age: timedelta = hours(24 * 30),  # noqa: B008
    distribution: Distribution = Distribution.RKE2,
    management: Management = Management.PROVISIONED,
    cni: Cni = Cni.CANAL,
    kubernetes: str | None = "",
    connected: bool | None = True,
    connected_ago: timedelta | None = hours(24),  # noqa: B008
    ready: bool | None = True,
    updated: bool | None = True,
    initialized: bool = True,
    deleting: bool = False,
    paused: bool = False,
    planner: str = "",
    conditions: Iterable[Condition] = (),
    machines: Sequence[Machine] | None = None,
    nodes: Sequence[Node] | None = None,
    pods: tuple[int, int] | None = None,
    pods_updated: int | None = None,
    pods_ready_ago: timedelta | None = None,
    labels: Mapping[str, str] | None = None,
    plans_readable: bool = True,
    api_reached: bool | None = None,
) -> ClusterSnapshot:
    """A healthy RKE2 cluster with Canal, a month old. `pods` is (ready, desired) of the CNI's DaemonSet."""
    version = _VERSIONS.get(distribution, "v1.32.2") if kubernetes == "" else kubernetes
    workload = None
    if pods is not None:
        workload = WorkloadStatus(
            _DAEMON_SETS.get(cni, "canal"),
            desired=pods[1],
            ready=pods[0],
            updated=pods_updated,
            ready_since=None if pods_ready_ago is None else at - pods_ready_ago,
        )
    return ClusterSnapshot(
        identity=ClusterIdentity(ClusterKey(rancher, id), uid, name, "fleet-default", distribution, management),
        taken_at=at,
        created=at - age,
        cni=cni,
        cni_source=CniSource.SPEC if cni is not Cni.UNKNOWN else CniSource.UNKNOWN,
        kubernetes=Version.parse(version),
        connected=connected,
        connected_since=None if connected_ago is None or connected is None else at - connected_ago,
        ready=ready,
        updated=updated,
        initialized=initialized,
        deleting=deleting,
        paused=paused,
        planner=planner,
        conditions=tuple(conditions),
        machines=tuple(machines)
        if machines is not None
        else (a_machine(at=at, age=age, plan=a_plan(at=at, updated_ago=age)),),
        nodes=tuple(nodes) if nodes is not None else (a_node(at=at, age=age, ready_for=age),),
        workload=workload,
        labels=dict(labels or {}),
        plans_readable=plans_readable,
        api_reached=api_reached,
    )


def a_dead_cni(
    *,
    at: datetime = NOON,
    stuck_for: timedelta = minutes(35),  # noqa: B008
    planner: str = WAITING_FOR_AGENT,
    machines: Sequence[Machine] | None = None,
    **rest: Any,
) -> ClusterSnapshot:
    """The classic case: a first server whose probes all passed `stuck_for` ago and whose cluster agent never connected."""
    age = stuck_for + minutes(6)
    server = a_machine(
        at=at,
        age=age,
        registered_ago=stuck_for + minutes(4),
        says="waiting for cluster agent to connect",
        plan=a_plan(at=at, updated_ago=stuck_for + minutes(3), passed_ago=stuck_for),
    )
    facts: dict[str, Any] = {
        "at": at,
        "age": age,
        "connected": False,
        "connected_ago": age,
        "ready": None,
        "updated": None,
        "initialized": False,
        "planner": planner,
        "machines": [server] if machines is None else machines,
        "nodes": (),
    }
    return a_cluster(**(facts | rest))
