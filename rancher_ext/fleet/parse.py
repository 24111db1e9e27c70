"""How does raw JSON of Rancher and Kubernetes become our values?

This is the one place that reads field names. It never fails on what is missing or of another type than expected: an absent
or odd field is "not known". Field facts: Rancher 2.9 to 2.13 (provisioning.cattle.io/v1, management.cattle.io/v3,
rke.cattle.io/v1, cluster.x-k8s.io/v1beta1).
"""

import base64
import binascii
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from rancher_ext.fleet.cluster import ClusterIdentity, ClusterKey, Distribution, Management
from rancher_ext.fleet.cni import Cni, CniSource, cni_named, cni_of_daemonset
from rancher_ext.fleet.node import Condition, Machine, MachinePlan, Node, Taint
from rancher_ext.fleet.snapshot import ClusterSnapshot, WorkloadStatus
from rancher_ext.fleet.versions import Version

Json = Mapping[str, Any]

_CLUSTER_NAME_LABEL = "cluster.x-k8s.io/cluster-name"
_ROLE_LABELS = {
    "rke.cattle.io/control-plane-role": "controlplane",
    "rke.cattle.io/etcd-role": "etcd",
    "rke.cattle.io/worker-role": "worker",
}
_RKE1_ROLES = {"controlPlane": "controlplane", "etcd": "etcd", "worker": "worker"}
# On these the management cluster's driver names a hosted service; newer Rancher adds aliConfig.
_HOSTED_CONFIGS = ("aksConfig", "eksConfig", "gkeConfig", "aliConfig", "genericEngineConfig")
_HOSTED_DRIVERS = {"AKS", "EKS", "GKE", "Alibaba"}


@dataclass(frozen=True)
class ClusterObjects:
    """The raw objects of one cluster, as the lists of the `local` cluster gave them.

    `plans` is None when machine-plan secrets may not be read; `downstream_nodes` and `daemonset` are None unless the
    cluster itself was asked.
    """

    management: Json
    provisioning: Json | None = None
    control_plane: Json | None = None
    machines: Sequence[Json] = ()
    plans: Sequence[Json] | None = ()
    nodes: Sequence[Json] = ()
    downstream_nodes: Sequence[Json] | None = None
    daemonsets: Sequence[Json] | None = None
    extra_labels: Mapping[str, str] = field(default_factory=dict)


def cluster_snapshot(
    rancher: str, objects: ClusterObjects, rancher_version: Version | None, taken_at: datetime
) -> ClusterSnapshot:
    """All facts about one cluster. Never raises on odd content."""
    management = objects.management
    provisioning = objects.provisioning or {}
    identity = cluster_identity(rancher, management, objects.provisioning)
    spec, status = mapping(management, "spec"), mapping(management, "status")
    conditions = _conditions(status.get("conditions"))
    control_plane = objects.control_plane or {}
    planner = _planner_message(identity.distribution, conditions, control_plane, provisioning)
    by_name = {condition.type: condition for condition in conditions}
    rke1 = identity.distribution is Distribution.RKE1
    plans = _plans_by_machine(objects.plans)
    machines = (
        tuple(_rke1_machine(node) for node in objects.nodes)
        if rke1
        else tuple(_capi_machine(machine, plans) for machine in objects.machines)
    )
    if objects.downstream_nodes is not None:
        nodes = tuple(kubernetes_node(node) for node in objects.downstream_nodes)
    else:
        nodes = tuple(node for node in map(_management_node, objects.nodes) if node is not None)
    cni, source = cluster_cni(identity, management, provisioning, objects.daemonsets)
    connected = by_name.get("Connected")
    metadata = mapping(management, "metadata")
    return ClusterSnapshot(
        identity=identity,
        taken_at=taken_at,
        created=timestamp(metadata.get("creationTimestamp")) or taken_at,
        cni=cni,
        cni_source=source,
        kubernetes=Version.parse(_kubernetes_version(spec, status, provisioning)),
        rancher=rancher_version,
        connected=connected.status if connected else None,
        connected_since=connected.since if connected else None,
        ready=by_name["Ready"].status if "Ready" in by_name else None,
        updated=by_name["Updated"].status if "Updated" in by_name else None,
        initialized=_initialized(identity.distribution, control_plane, status, by_name),
        deleting=_deleting(management, provisioning),
        paused="cluster.x-k8s.io/paused" in mapping(control_plane, "metadata", "annotations"),
        planner=planner,
        conditions=conditions,
        machines=machines,
        nodes=nodes,
        node_count=integer(status.get("nodeCount")),
        workload=_workload_status(objects.daemonsets),
        labels={
            **_strings(mapping(metadata, "labels")),
            **_strings(mapping(provisioning, "metadata", "labels")),
            **objects.extra_labels,
        },
        annotations=_strings(mapping(metadata, "annotations")),
        plans_readable=objects.plans is not None,
        api_reached=True if objects.downstream_nodes is not None else None,
    )


def cluster_identity(rancher: str, management: Json, provisioning: Json | None) -> ClusterIdentity:
    """Names, distribution and management. `status.provider` is empty on stuck clusters and is asked last (rancher-api 1.3)."""
    spec, status, metadata = mapping(management, "spec"), mapping(management, "status"), mapping(management, "metadata")
    provisioning_metadata = mapping(provisioning or {}, "metadata")
    distribution, kind = _kind(spec, status, metadata, provisioning or {})
    return ClusterIdentity(
        key=ClusterKey(rancher, text(metadata.get("name"))),
        uid=text(metadata.get("uid")),
        name=text(spec.get("displayName")) or text(provisioning_metadata.get("name")) or text(metadata.get("name")),
        namespace=text(provisioning_metadata.get("namespace"))
        or text(spec.get("fleetWorkspaceName"))
        or "fleet-default",
        distribution=distribution,
        management=kind,
        driver=_node_driver(spec, provisioning or {}) or text(status.get("driver")),
    )


def _kind(spec: Json, status: Json, metadata: Json, provisioning: Json) -> tuple[Distribution, Management]:
    driver, provider = text(status.get("driver")), text(status.get("provider"))
    version = _kubernetes_version(spec, status, provisioning)
    if spec.get("internal") is True:
        return _distribution_of(version, provider), Management.LOCAL
    if mapping(provisioning, "spec").get("rkeConfig") is not None:
        return (Distribution.K3S if "+k3s" in version else Distribution.RKE2), Management.PROVISIONED
    if mapping(spec, "rancherKubernetesEngineConfig") or driver == "rancherKubernetesEngine":
        return Distribution.RKE1, Management.PROVISIONED
    if any(mapping(spec, name) for name in _HOSTED_CONFIGS) or driver in _HOSTED_DRIVERS:
        return Distribution.UNKNOWN, Management.HOSTED
    label = text(mapping(metadata, "labels").get("provider.cattle.io"))
    return _distribution_of(version, provider or label), Management.IMPORTED


def _distribution_of(version: str, provider: str) -> Distribution:
    if "+rke2" in version or provider.startswith("rke2"):
        return Distribution.RKE2
    if "+k3s" in version or provider.startswith("k3s"):
        return Distribution.K3S
    if "-rancher" in version or provider.startswith("rke"):
        return Distribution.RKE1
    return Distribution.UNKNOWN


def _node_driver(spec: Json, provisioning: Json) -> str:
    """`amazonec2` for a machine pool of kind `Amazonec2Config`; empty for custom nodes."""
    pools = mapping(provisioning, "spec", "rkeConfig").get("machinePools")
    for pool in pools if isinstance(pools, list) else ():
        kind = text(mapping(pool, "machineConfigRef").get("kind"))
        if kind:
            return kind.removesuffix("Config").lower()
    return text(mapping(spec, "rancherKubernetesEngineConfig", "cloudProvider").get("name"))


def _kubernetes_version(spec: Json, status: Json, provisioning: Json) -> str:
    return (
        text(mapping(provisioning, "spec").get("kubernetesVersion"))
        or text(mapping(spec, "rancherKubernetesEngineConfig").get("kubernetesVersion"))
        or text(mapping(spec, "rke2Config").get("kubernetesVersion"))
        or text(mapping(spec, "k3sConfig").get("kubernetesVersion"))
        or text(mapping(status, "version").get("gitVersion"))
    )


def cluster_cni(
    identity: ClusterIdentity, management: Json, provisioning: Json, daemonsets: Sequence[Json] | None
) -> tuple[Cni, CniSource]:
    """From the specification; where it is silent, from the workloads that run; then from the distribution's default.

    Unset means calico for Rancher-made RKE2 (which an explicit empty value does not), canal for RKE1, the embedded flannel
    for K3s.
    """
    if identity.distribution is Distribution.RKE1 and identity.management is Management.PROVISIONED:
        plugin = mapping(management, "spec", "rancherKubernetesEngineConfig", "network").get("plugin")
        return (cni_named(plugin), CniSource.SPEC) if plugin else (Cni.CANAL, CniSource.DEFAULT)
    if identity.management is Management.PROVISIONED:
        config = _effective_config(mapping(provisioning, "spec", "rkeConfig"))
        if identity.distribution is Distribution.K3S:
            backend = text(config.get("flannel-backend"))
            return (Cni.NONE if backend == "none" else Cni.FLANNEL), (CniSource.SPEC if backend else CniSource.DEFAULT)
        named = cni_named(config.get("cni"))
        if named is not Cni.UNKNOWN:
            return named, CniSource.SPEC
        if config.get("cni") == "" and identity.distribution is Distribution.RKE2:
            # An empty value never arrives at the node, which then takes RKE2's own default.
            return Cni.CANAL, CniSource.DEFAULT
    for daemonset in daemonsets or ():
        running = cni_of_daemonset(text(mapping(daemonset, "metadata").get("name")))
        if running:
            return running, CniSource.WORKLOADS
    if identity.management is Management.PROVISIONED:
        return Cni.CALICO, CniSource.DEFAULT
    if identity.distribution is Distribution.K3S and identity.management is Management.IMPORTED:
        return Cni.FLANNEL, CniSource.DEFAULT
    return Cni.UNKNOWN, CniSource.UNKNOWN


def _effective_config(rke_config: Json) -> dict[str, Any]:
    """machineGlobalConfig with the selector entries that match every machine laid over it, key by key, in order."""
    config = dict(mapping(rke_config, "machineGlobalConfig"))
    selectors = rke_config.get("machineSelectorConfig")
    for entry in selectors if isinstance(selectors, list) else ():
        if isinstance(entry, Mapping) and not any(mapping(entry, "machineLabelSelector").values()):
            config.update(mapping(entry, "config"))
    return config


def _planner_message(
    distribution: Distribution, conditions: Iterable[Condition], control_plane: Json, provisioning: Json
) -> str:
    """The text that says what Rancher waits for. RKEControlPlane Ready is the earliest and unmixed source (rancher-api 1.1)."""
    by_name = {condition.type: condition for condition in conditions}
    if distribution is not Distribution.RKE1:
        for source in (mapping(control_plane, "status"), mapping(provisioning, "status")):
            theirs = {condition.type: condition for condition in _conditions(source.get("conditions"))}
            for kind in ("Ready", "Updated"):
                if kind in theirs and theirs[kind].status is not True and theirs[kind].message:
                    return theirs[kind].message
        return ""
    for kind in ("Provisioned", "Updated", "Upgraded", "Waiting", "Ready"):
        condition = by_name.get(kind)
        if condition and condition.status is not True and condition.message:
            return condition.message
    return ""


def _initialized(
    distribution: Distribution, control_plane: Json, status: Json, conditions: Mapping[str, Condition]
) -> bool:
    """Was the control plane ever up? `Bootstrapped` does not mean it (rancher-api 1.4)."""
    if distribution is Distribution.RKE1:
        waiting = conditions.get("Waiting")
        return bool(waiting and waiting.status)
    plane = mapping(control_plane, "status")
    if plane.get("initialized") is True or mapping(plane, "initialization").get("controlPlaneInitialized") is True:
        return True
    return not control_plane and bool(text(mapping(status, "version").get("gitVersion")))


def _deleting(management: Json, provisioning: Json) -> bool:
    """A deletion time, or Rancher's `Removed` condition while it is at it; both objects may still carry neither of one kind."""
    for item in (management, provisioning):
        removed = [each for each in _conditions(mapping(item, "status").get("conditions")) if each.type == "Removed"]
        if mapping(item, "metadata").get("deletionTimestamp") or any(each.status is None for each in removed):
            return True
    return False


def _rke1_machine(node: Json) -> Machine:
    spec, status, metadata = mapping(node, "spec"), mapping(node, "status"), mapping(node, "metadata")
    conditions = _conditions(status.get("conditions"))
    registered = next((condition for condition in conditions if condition.type == "Registered"), None)
    return Machine(
        name=text(spec.get("requestedHostname")) or text(metadata.get("name")),
        created=timestamp(metadata.get("creationTimestamp")),
        roles=frozenset(role for key, role in _RKE1_ROLES.items() if spec.get(key) is True),
        os=text(mapping(status, "internalNodeStatus", "nodeInfo").get("operatingSystem")) or "linux",
        pool=text(spec.get("nodePoolName")),
        registered=bool(registered and registered.status),
        registered_since=registered.since if registered and registered.status else None,
        conditions=conditions,
        node=text(status.get("nodeName")),
    )


def _plans_by_machine(plans: Sequence[Json] | None) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for plan in plans or ():
        name = text(mapping(plan, "metadata", "labels").get("rke.cattle.io/machine-name"))
        if name:
            found.setdefault(name, plan)
    return found


def _capi_machine(machine: Json, plans: Mapping[str, Json]) -> Machine:
    spec, status, metadata = mapping(machine, "spec"), mapping(machine, "status"), mapping(machine, "metadata")
    labels = mapping(metadata, "labels")
    # Cluster API v1beta2 (Rancher 2.14) keeps the familiar list under `deprecated`.
    conditions = _conditions(mapping(status, "deprecated", "v1beta1").get("conditions") or status.get("conditions"))
    name = text(metadata.get("name"))
    infrastructure = next((condition for condition in conditions if condition.type == "InfrastructureReady"), None)
    plan = plans.get(name)
    return Machine(
        name=name,
        created=timestamp(metadata.get("creationTimestamp")),
        roles=frozenset(role for label, role in _ROLE_LABELS.items() if labels.get(label) == "true"),
        os=text(labels.get("cattle.io/os")) or "linux",
        pool=text(labels.get("rke.cattle.io/rke-machine-pool-name")),
        registered=bool(infrastructure.status) if infrastructure else status.get("infrastructureReady") is True,
        registered_since=infrastructure.since if infrastructure and infrastructure.status else None,
        plan=machine_plan(plan) if plan else None,
        conditions=conditions,
        node=text(mapping(status, "nodeRef").get("name")) or text(mapping(spec, "nodeRef").get("name")),
    )


def machine_plan(secret: Json) -> MachinePlan:
    """The judgement that Rancher's planner makes of a machine-plan secret (rancher-api 3.4), without its contents."""
    data, metadata = mapping(secret, "data"), mapping(secret, "metadata")
    annotations = mapping(metadata, "annotations")
    plan = _decoded(data.get("plan"))
    failures = integer(_decoded(data.get("failure-count")).decode(errors="replace")) or 0
    threshold = integer(_decoded(data.get("failure-threshold")).decode(errors="replace"))
    failed_checksum = _decoded(data.get("failed-checksum")).decode(errors="replace")
    failed = (
        bool(plan)
        and failures > 0
        and sha256(plan).hexdigest() == failed_checksum
        and (threshold is None or (threshold != -1 and failures >= threshold))
    )
    return MachinePlan(
        applied=bool(plan) and plan == _decoded(data.get("appliedPlan")),
        failed=failed,
        probes=_probes(_decoded(data.get("probe-statuses"))),
        updated=timestamp(annotations.get("rke.cattle.io/plan-last-updated")),
        probes_passed=timestamp(annotations.get("rke.cattle.io/plan-probes-passed")),
        last_seen=max((when for when in map(_managed_at, _list(metadata.get("managedFields"))) if when), default=None),
    )


def _probes(raw: bytes) -> tuple[tuple[str, bool], ...]:
    try:
        statuses = json.loads(raw) if raw else {}
    except (ValueError, RecursionError):
        return ()
    if not isinstance(statuses, Mapping):
        return ()
    # Go leaves out `healthy` when it is false.
    return tuple(sorted((text(name), mapping(statuses, name).get("healthy") is True) for name in statuses))


def _managed_at(entry: object) -> datetime | None:
    """When a writer other than Rancher itself last changed the object.

    Rancher writes plans whether or not anybody is there to read them: all of them when it is upgraded.
    """
    if not isinstance(entry, Mapping) or entry.get("manager") == "rancher":
        return None
    return timestamp(entry.get("time"))


def kubernetes_node(node: Json) -> Node:
    """A Kubernetes Node object, as the cluster's own API gives it."""
    return _node(mapping(node, "metadata"), mapping(node, "spec"), mapping(node, "status"))


def _management_node(node: Json) -> Node | None:
    """Rancher's copy of the node; None while Kubernetes has none yet."""
    status = mapping(node, "status")
    name = text(status.get("nodeName"))
    inner = mapping(status, "internalNodeStatus")
    if not name or not inner:
        return None
    metadata = {
        "name": name,
        "creationTimestamp": mapping(node, "metadata").get("creationTimestamp"),
        "labels": status.get("nodeLabels"),
        "annotations": status.get("nodeAnnotations"),
    }
    return _node(metadata, mapping(node, "spec", "internalNodeSpec"), inner)


def _node(metadata: Json, spec: Json, status: Json) -> Node:
    conditions = _conditions(status.get("conditions"))
    ready = next((condition for condition in conditions if condition.type == "Ready"), None)
    info = mapping(status, "nodeInfo")
    labels = _strings(mapping(metadata, "labels"))
    addresses = [address for address in _list(status.get("addresses")) if isinstance(address, Mapping)]
    prefix = "node-role.kubernetes.io/"
    return Node(
        name=text(metadata.get("name")),
        ready=ready.status if ready else None,
        ready_since=ready.since if ready else None,
        reason=ready.reason if ready else "",
        message=ready.message if ready else "",
        created=timestamp(metadata.get("creationTimestamp")),
        os=text(info.get("operatingSystem")) or labels.get("kubernetes.io/os", "linux"),
        os_image=text(info.get("osImage")),
        kernel=text(info.get("kernelVersion")),
        kubelet=text(info.get("kubeletVersion")),
        pod_cidr=text(spec.get("podCIDR")),
        internal_ip=next(
            (text(address.get("address")) for address in addresses if address.get("type") == "InternalIP"), ""
        ),
        roles=frozenset(label.removeprefix(prefix) for label in labels if label.startswith(prefix)),
        taints=tuple(
            Taint(text(taint.get("key")), text(taint.get("effect")), text(taint.get("value")))
            for taint in _list(spec.get("taints"))
            if isinstance(taint, Mapping)
        ),
        labels=tuple(sorted(labels.items())),
        annotations=tuple(sorted(_strings(mapping(metadata, "annotations")).items())),
        conditions=conditions,
    )


def _workload_status(daemonsets: Sequence[Json] | None) -> WorkloadStatus | None:
    for daemonset in daemonsets or ():
        name = text(mapping(daemonset, "metadata").get("name"))
        if cni_of_daemonset(name):
            status = mapping(daemonset, "status")
            return WorkloadStatus(
                name=name,
                desired=integer(status.get("desiredNumberScheduled")) or 0,
                ready=integer(status.get("numberReady")) or 0,
                # Go leaves out a zero here, so its absence means one only where the controller has written its status.
                updated=integer(status.get("updatedNumberScheduled", 0)) if status else None,
            )
    return None


def _conditions(raw: object) -> tuple[Condition, ...]:
    """Rancher's own conditions move `lastUpdateTime` only, Kubernetes' and Cluster API's `lastTransitionTime`."""
    found = []
    for entry in _list(raw):
        if isinstance(entry, Mapping) and entry.get("type"):
            found.append(
                Condition(
                    type=text(entry["type"]),
                    status={"True": True, "False": False}.get(text(entry.get("status"))),
                    reason=text(entry.get("reason")),
                    message=text(entry.get("message")),
                    since=timestamp(entry.get("lastTransitionTime")) or timestamp(entry.get("lastUpdateTime")),
                )
            )
    return tuple(found)


def mapping(value: object, *path: str) -> Json:
    """The mapping at the path, or an empty one when anything on the way is absent or of another type."""
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def text(value: object) -> str:
    return value if isinstance(value, str) else ""


def integer(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    try:
        return int(value) if isinstance(value, str) and len(value) < 20 else None
    except ValueError:
        return None


def timestamp(value: object) -> datetime | None:
    """An RFC 3339 time in UTC, or None. Go's zero time (year 1) is none."""
    if not isinstance(value, str) or not value:
        return None
    try:
        when = datetime.fromisoformat(value)
        when = when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return when if when.year > 1 else None


def _strings(value: Json) -> dict[str, str]:
    return {str(key): item for key, item in value.items() if isinstance(item, str)}


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def _decoded(value: object) -> bytes:
    try:
        return base64.b64decode(value, validate=True) if isinstance(value, str) else b""
    except (binascii.Error, ValueError):
        return b""
