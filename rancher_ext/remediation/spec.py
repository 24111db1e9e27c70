"""What must be true of an RKE2 or K3s cluster before its specification is changed?

Each check here is a trap that Rancher springs on who writes without looking: a health check that deletes not ready machines
while they are being mended, an operation that holds every plan back, a drain that can never end without the agent.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeGuard

from rancher_ext.client.changes import Place, Value
from rancher_ext.client.kubernetes import CONTROL_PLANES, PROVISIONING_CLUSTERS
from rancher_ext.errors import NotFound, RancherError
from rancher_ext.fleet.cluster import Distribution, Management
from rancher_ext.fleet.parse import mapping, text
from rancher_ext.fleet.snapshot import ClusterSnapshot
from rancher_ext.remediation.action import NotPossible
from rancher_ext.remediation.change import Change, Target, Write

RKE_CONFIG = ("spec", "rkeConfig")
_DRAIN_OPTIONS = ("controlPlaneDrainOptions", "workerDrainOptions")
# What is copied into the object that the machines' plans are made from.
_PLANNED = frozenset(
    {
        "machineGlobalConfig",
        "machineSelectorConfig",
        "machineSelectorFiles",
        "chartValues",
        "additionalManifest",
        "registries",
    }
)
# Rancher's clock may be behind ours when it dates a plan.
_CLOCKS_APART = timedelta(minutes=1)
DEFAULT_CLUSTER_CIDR = "10.42.0.0/16"
# Phases in which an operation is over; in any other one no other plan reaches the machines.
_OVER = frozenset({"", "Finished", "Failed", "Done"})
_OPERATIONS = {
    "etcdSnapshotCreatePhase": "an etcd snapshot is being taken",
    "etcdSnapshotRestorePhase": "an etcd snapshot is being restored",
    "rotateEncryptionKeysPhase": "encryption keys are being rotated",
}


def read_cluster(target: Target) -> dict[str, Any] | NotPossible:
    """The provisioning cluster, or why its specification must not be changed now."""
    snapshot = target.snapshot
    if snapshot.management is not Management.PROVISIONED or snapshot.distribution not in {
        Distribution.RKE2,
        Distribution.K3S,
    }:
        return NotPossible("it is not an RKE2 or K3s cluster made by this Rancher")
    if snapshot.deleting:
        return NotPossible("it is being deleted")
    if snapshot.paused:
        return NotPossible("its reconciliation is paused, so no change would reach the machines")
    item = target.local.get(PROVISIONING_CLUSTERS, snapshot.identity.name, snapshot.identity.namespace)
    if not isinstance(mapping(item, "spec").get("rkeConfig"), Mapping):
        return NotPossible("its specification has no rkeConfig")
    return _deleting_pool(item) or _operation(target) or item


def _deleting_pool(item: Mapping[str, Any]) -> NotPossible | None:
    """Cluster API deletes machines that are not ready for so long, and a dead network makes them so (rancher-api 1.1)."""
    pools = mapping(item, *RKE_CONFIG).get("machinePools")
    for pool in pools if isinstance(pools, list) else ():
        timeout = text(mapping(pool).get("unhealthyNodeTimeout"))
        if re.search("[1-9]", timeout):
            return NotPossible(
                f"machine pool {mapping(pool).get('name')} has unhealthyNodeTimeout {timeout}: "
                "machines would be deleted while they are mended; set it to 0s first"
            )
    return None


def _operation(target: Target) -> NotPossible | None:
    """While one of Rancher's own operations runs, plans wait for its end (rancher-api 4.2)."""
    identity = target.snapshot.identity
    try:
        plane = target.local.get(CONTROL_PLANES, identity.name, identity.namespace)
    except NotFound:
        return None
    status = mapping(plane, "status")
    for field, what in _OPERATIONS.items():
        if text(status.get(field)) not in _OVER:
            return NotPossible(f"{what} (phase {status[field]}): changes wait until it is over")
    return None


def uid_of(item: Mapping[str, Any]) -> str:
    return text(mapping(item, "metadata").get("uid"))


def change_of(
    target: Target, item: Mapping[str, Any], path: Sequence[str], after: Value, *, stays: bool = False
) -> Change:
    """One field of the provisioning cluster, from what it is to `after`."""
    identity = target.snapshot.identity
    place = Place(PROVISIONING_CLUSTERS, identity.namespace, identity.name, tuple(path))
    return Change(place, uid_of(item), Value.of(item, place.path), after, stays=stays)


def drain_changes(target: Target, item: Mapping[str, Any]) -> list[Change]:
    """Drain switched off where it would keep restarts waiting for ever: without the agent nobody can evict pods.

    A single machine is never drained before its restart; from two on it is (rancher-api 4.2).
    """
    if target.snapshot.connected is True or len(target.snapshot.machines) < 2:
        return []
    changes = []
    for options in _DRAIN_OPTIONS:
        path = (*RKE_CONFIG, "upgradeStrategy", options, "enabled")
        if Value.of(item, path) == Value(present=True, value=True):
            changes.append(change_of(target, item, path, Value(present=True, value=False)))
    return changes


def switches_drain_on_again(write: Write) -> TypeGuard[Change]:
    """Would taking this write back make later restarts wait for a drain?"""
    return (
        isinstance(write, Change)
        and write.place.path in {(*RKE_CONFIG, "upgradeStrategy", options, "enabled") for options in _DRAIN_OPTIONS}
        and write.before == Value(present=True, value=True)
    )


def still_to_reach(snapshot: ClusterSnapshot, *, changed: datetime, restored: datetime) -> list[str]:
    """The machines that have not applied what was put back at `restored`.

    A machine whose plan is older than the change itself never got it, and has nothing to get rid of. Where plans may not be
    read, the condition that Rancher keeps beside them tells as much. A machine that never registered gets no plan.
    """
    waiting = []
    for machine in snapshot.machines:
        applied = machine.condition("PlanApplied")
        if machine.plan is not None:
            done, since = machine.plan.applied, machine.plan.updated
        else:
            done, since = bool(applied and applied.status), applied.since if applied else None
        up_to_date = done and since is not None and (since >= restored or since < changed - _CLOCKS_APART)
        if machine.registered and not up_to_date:
            waiting.append(machine.name)
    return waiting


def taken_over(target: Target, writes: Iterable[Write]) -> bool:
    """Has Rancher's planner read what stands at these places of the cluster by now?

    Until then it may still plan with what stood there before, also for a machine that has got none of it.
    """
    identity = target.snapshot.identity
    try:
        cluster = target.local.get(PROVISIONING_CLUSTERS, identity.name, identity.namespace)
        plane = target.local.get(CONTROL_PLANES, identity.name, identity.namespace)
    except NotFound:
        return False
    observed, generation = mapping(plane, "status").get("observedGeneration"), mapping(plane, "metadata")["generation"]
    if observed is None or observed != generation:
        return False
    places = [
        write.place.path
        for write in writes
        if isinstance(write, Change) and write.place.resource == PROVISIONING_CLUSTERS and _is_planned(write.place.path)
    ]
    return all(Value.of(cluster, path) == Value.of(plane, _in_plane(path)) for path in places)


def _is_planned(path: tuple[str, ...]) -> bool:
    """Does the control plane object have it, too? Machine pools and metadata are the cluster's alone."""
    inside = path[len(RKE_CONFIG)] if path[: len(RKE_CONFIG)] == RKE_CONFIG and len(path) > len(RKE_CONFIG) else ""
    return path == ("spec", "kubernetesVersion") or inside in _PLANNED


def _in_plane(path: tuple[str, ...]) -> tuple[str, ...]:
    """The control plane object has what is under `rkeConfig` at its top."""
    return ("spec", *path[len(RKE_CONFIG) :]) if path[: len(RKE_CONFIG)] == RKE_CONFIG else path


def restart_effect(target: Target, *, drains: int) -> str:
    """What people should know of a change that restarts the distribution's service."""
    service = "K3s" if target.snapshot.distribution is Distribution.K3S else "RKE2"
    count = len(target.snapshot.machines) or len(target.snapshot.nodes)
    machines = "1 machine" if count == 1 else f"{count} machines"
    off = "; drain is switched off first, since it cannot end without the agent" if drains else ""
    return f"Rancher restarts {service} on {machines} one after another{off}. Pods keep running."


def cluster_cidrs(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The ranges of the pods: a string, a comma list or a list, one per address family."""
    return _ranges(config.get("cluster-cidr")) or (DEFAULT_CLUSTER_CIDR,)


def _ranges(value: object) -> tuple[str, ...]:
    words = value if isinstance(value, list) else text(value).split(",")
    return tuple(str(word).strip() for word in words if str(word).strip())


def items_of(value: object) -> list[str]:
    """A list argument such as `kubelet-arg`; a single one may be written as a plain string."""
    if isinstance(value, str):
        return [value]
    return [str(item) for item in value] if isinstance(value, list) else []


def configured(item: Mapping[str, Any], key: str) -> list[Any]:
    """The values of a key in all of a cluster's configuration: for all machines, and for some (`machineSelectorConfig`).

    Rancher's own form writes the cloud provider, among others, into an entry without a selector.
    """
    config = mapping(item, *RKE_CONFIG)
    selected = config.get("machineSelectorConfig")
    parts = [mapping(entry, "config") for entry in (selected if isinstance(selected, list) else ())]
    return [part[key] for part in (mapping(config, "machineGlobalConfig"), *parts) if part.get(key) not in (None, "")]


def flags_of(item: Mapping[str, Any], key: str, flag: str) -> list[str]:
    """The values of one flag in a list argument such as `kubelet-arg`, wherever the configuration has it."""
    arguments = [flag_of(each) for value in configured(item, key) for each in items_of(value)]
    return [value for name, value in arguments if name == flag]


def flag_of(item: str) -> tuple[str, str]:
    """`--max-pods=110` as (`max-pods`, `110`). A flag without a value means true."""
    name, _, value = item.strip().lstrip("-").partition("=")
    return name.strip(), value.strip()


def known_arguments(target: Target) -> frozenset[str]:
    """Which keys Rancher's release metadata lists for this version; empty when it cannot be asked.

    A key that is not listed vanishes without a word on its way to the machine (rancher-api 1.1).
    """
    snapshot = target.snapshot
    if snapshot.kubernetes is None:
        return frozenset()
    try:
        answer = target.transport.get_json(f"/v1-{snapshot.distribution.value}-release/releases")
    except RancherError:
        return frozenset()
    releases = answer.get("data")
    for release in releases if isinstance(releases, list) else ():
        if snapshot.kubernetes.text in {mapping(release).get("version"), mapping(release).get("id")}:
            return frozenset({*mapping(release, "serverArgs"), *mapping(release, "agentArgs")})
    return frozenset()
