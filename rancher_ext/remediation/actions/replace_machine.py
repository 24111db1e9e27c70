"""Replace the one machine that is broken by a new one of its pool.

For causes that live on one host: leftovers of another network, a full or damaged disk, a name that does not fit. RKE2 and K3s: the
Cluster API machine is deleted, and its MachineDeployment makes another. RKE1: the node of a node pool is deleted, and the pool
makes another. What was on the machine is gone; a custom machine has nobody who would make it again.

Cluster API drains and detaches volumes through the cluster's own API, so without the agent a deletion hangs for ever. The only etcd
machine is the cluster's memory, and of two, one cannot decide alone. Where several machines are broken the cause is not a
machine's. A pool with `unhealthyNodeTimeout` (RKE1: `deleteNotReadyAfterSecs`) replaces machines by itself: two hands at once
would take one too many.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from rancher_ext.client.changes import ABSENT, FieldMoved, Place, Value
from rancher_ext.client.kubernetes import MACHINES, MANAGEMENT_NODES, Resource
from rancher_ext.client.snapshot import is_reachable
from rancher_ext.errors import NotFound
from rancher_ext.fleet.node import Machine, Node
from rancher_ext.fleet.parse import integer, mapping, text
from rancher_ext.fleet.snapshot import ClusterSnapshot
from rancher_ext.remediation.action import Action, NotPossible, PlannedStep, Risk, Settled, UndoKind
from rancher_ext.remediation.change import Change, StepResult, Target, Write
from rancher_ext.remediation.change import apply as apply_plainly
from rancher_ext.remediation.rke1 import cluster_object, is_rke1
from rancher_ext.remediation.spec import read_cluster

NODE_POOLS = Resource("management.cattle.io", "v3", "nodepools")


def preview(target: Target, arguments: Mapping[str, Any]) -> PlannedStep | NotPossible:
    """No arguments."""
    snapshot = target.snapshot
    cluster = cluster_object(target) if is_rke1(snapshot) else read_cluster(target)
    if isinstance(cluster, NotPossible):
        return cluster
    if not is_reachable(snapshot):
        return NotPossible("Rancher does not reach the cluster: draining the machine would never end")
    broken = [node for node in snapshot.nodes if not node.ready]
    if len(broken) != 1:
        return NotPossible(
            f"{len(broken)} of {len(snapshot.nodes)} nodes are not ready: the cause is not that of one machine"
        )
    machine = _machine_of(snapshot, broken[0])
    if machine is None:
        return NotPossible(f"Rancher has no machine for the node {broken[0].name}")
    held = _needed(snapshot, machine)
    if held:
        return NotPossible(held)
    item = _item_of(target, machine)
    if item is None:
        return NotPossible(f"the machine {machine.name} is not there any more")
    no_pool = _no_pool(snapshot, item) or _replaces_itself(target, item)
    if no_pool:
        return NotPossible(no_pool)
    metadata = mapping(item, "metadata")
    namespace, name = text(metadata.get("namespace")), text(metadata.get("name"))
    if metadata.get("deletionTimestamp"):
        return NotPossible(f"the machine {name} is being deleted already")
    record = {
        "apiVersion": item.get("apiVersion"),
        "kind": item.get("kind"),
        "metadata": {"name": name, "namespace": namespace},
    }
    place = Place(MANAGEMENT_NODES if is_rke1(snapshot) else MACHINES, namespace, name, ())
    gone = Change(place, text(metadata.get("uid")), Value(present=True, value=record), ABSENT, stays=True)
    return PlannedStep(
        action=ACTION.name,
        title=f"Replace the machine of node {broken[0].name}",
        writes=(gone,),
        diff=f"-{record['kind']} {namespace}/{name}   # node {broken[0].name}, pool {machine.pool or 'unknown'}",
        effect="Its pods are evicted, the machine is deleted with its disks, and its pool makes a new one.",
        arguments={**arguments, "nodes": len(snapshot.nodes)},
    )


def apply(target: Target, write: Write) -> StepResult:
    """Only while its node is still the broken one, and the cluster can still do without it: a snapshot may lie between."""
    assert isinstance(write, Change)
    try:
        item = target.local.get(write.place.resource, write.place.name, write.place.namespace)
    except NotFound:
        return StepResult(wrote=False, seen=f"{write.place}: it was gone already")
    metadata = mapping(item, "metadata")
    if text(metadata.get("uid")) == write.uid and not metadata.get("deletionTimestamp"):
        name = text(mapping(item, "status", "nodeRef").get("name")) or text(mapping(item, "status").get("nodeName"))
        node = next((each for each in target.snapshot.nodes if each.name in {name, write.place.name}), None)
        if node is not None and node.ready:
            raise _moved(f"node {node.name} is ready again")
        machine = _machine_of(target.snapshot, node) if node else None
        held = _needed(target.snapshot, machine) if machine else ""
        if held:
            raise _moved(f"machine {write.place.name}: {held}")
    return apply_plainly(target, write)


def _moved(what: str) -> FieldMoved:
    return FieldMoved(what, cure="Drover leaves the machine as it is; make a new plan.", status=409)


def settled(target: Target, step: PlannedStep) -> Settled:
    (write,) = step.writes
    if not isinstance(write, Change):
        return Settled(holds=False, seen="the plan names no machine")
    try:
        item = target.local.get(write.place.resource, write.place.name, write.place.namespace)
        if mapping(item, "metadata").get("uid") == write.uid:
            return Settled(holds=False, seen=f"{write.place.name} is being deleted")
    except NotFound:
        pass
    ready = sum(bool(node.ready) for node in target.snapshot.nodes)
    wanted = int(step.arguments.get("nodes", 0))
    return Settled(ready >= wanted, f"{write.place.name} is gone, nodes ready {ready}/{wanted}")


def _machine_of(snapshot: ClusterSnapshot, node: Node) -> Machine | None:
    return next((machine for machine in snapshot.machines if node.name in {machine.node, machine.name}), None)


def _needed(snapshot: ClusterSnapshot, machine: Machine) -> str:
    """Why the cluster cannot do without this machine for a while; empty when it can."""
    ready = {node.name for node in snapshot.nodes if node.ready}
    for role, least, word in (("etcd", 2, "etcd"), ("controlplane", 1, "control plane")):
        if role not in machine.roles:
            continue
        others = [each for each in snapshot.machines if role in each.roles and each.name != machine.name]
        if not others:
            return f"it is the only {word} machine"
        well = [each for each in others if {each.node, each.name} & ready]
        if len(well) < least or (role == "etcd" and len(well) < len(others)):
            return f"only {len(well)} of the other {len(others)} {word} machines are well"
    return ""


def _item_of(target: Target, machine: Machine) -> dict[str, Any] | None:
    identity = target.snapshot.identity
    if is_rke1(target.snapshot):
        # Rancher names the objects of RKE1 nodes by itself; the host name stands inside.
        nodes = target.local.list(MANAGEMENT_NODES, identity.id).items
        return next((node for node in nodes if mapping(node, "status").get("nodeName") == machine.node), None)
    try:
        return target.local.get(MACHINES, machine.name, identity.namespace)
    except NotFound:
        return None


def _no_pool(snapshot: ClusterSnapshot, item: Mapping[str, Any]) -> str:
    """Why nobody would make another one; empty when somebody will."""
    spec = mapping(item, "spec")
    if is_rke1(snapshot):
        made = bool(text(spec.get("nodePoolName"))) and not mapping(spec, "customConfig")
    else:
        made = text(mapping(spec, "infrastructureRef").get("kind")) not in {"", "CustomMachine"}
    return "" if made else "it is a custom machine: nobody would make another one"


def _replaces_itself(target: Target, item: Mapping[str, Any]) -> str:
    """Why an RKE1 pool needs no hand of ours; of the other distributions `read_cluster` has asked."""
    namespace, _, name = text(mapping(item, "spec").get("nodePoolName")).partition(":")
    if not is_rke1(target.snapshot) or not name:
        return ""
    try:
        pool = target.local.get(NODE_POOLS, name, namespace)
    except NotFound:
        return ""
    seconds = integer(mapping(pool, "spec").get("deleteNotReadyAfterSecs")) or 0
    return f"node pool {name} deletes nodes that are not ready for {seconds} s by itself" if seconds else ""


ACTION = Action(
    name="replace-machine",
    risk=Risk.DESTRUCTIVE,
    undo=UndoKind.NONE,
    expected=timedelta(minutes=15),
    preview=preview,
    apply=apply,
    settled=settled,
    settle_within=timedelta(minutes=60),
    help="Deletes the one broken machine of a pool, so that the pool makes a new one.",
)
