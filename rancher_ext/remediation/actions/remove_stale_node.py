"""Delete Node objects whose machine is gone: each keeps a block of the pod range that a new node needs.

A node is stale when no machine of Rancher's stands behind it, its kubelet has been silent for hours and its lease is as old.
Nodes with etcd or the control plane are left to people: their removal takes the etcd member along. Nothing brings the object
back, but a kubelet that lives registers its node anew by itself. Between plan and deletion an etcd snapshot may be taken, so
each node is looked at once more: one that has come back is left alone.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from rancher_ext.client.changes import ABSENT, FieldMoved, Place, Value
from rancher_ext.client.kubernetes import NODES, Resource
from rancher_ext.errors import NotFound
from rancher_ext.fleet.cluster import Management
from rancher_ext.fleet.node import Node
from rancher_ext.fleet.parse import mapping, text, timestamp
from rancher_ext.remediation.action import Action, NotPossible, PlannedStep, Risk, UndoKind
from rancher_ext.remediation.change import Change, StepResult, Target, Write
from rancher_ext.remediation.change import apply as apply_plainly
from rancher_ext.remediation.inside import refusal
from rancher_ext.remediation.playbook import parse_duration

LEASES = Resource("coordination.k8s.io", "v1", "leases")
_SILENT = "2h"
# More at once looks like a machine list that could not be read.
_MOST = 10
# A kubelet renews its lease every ten seconds.
_ALIVE = timedelta(minutes=10)
_KEPT = frozenset({"etcd", "controlplane", "control-plane", "master"})


def preview(target: Target, arguments: Mapping[str, Any]) -> PlannedStep | NotPossible:
    """`silent_for: 2h`."""
    snapshot = target.snapshot
    if set(arguments) - {"silent_for"}:
        return NotPossible("the action understands silent_for")
    if snapshot.management is not Management.PROVISIONED:
        return NotPossible("it was not made by this Rancher, so nobody knows which machines are gone")
    refused = refusal(target, ", where the nodes are")
    if refused:
        return refused
    if not snapshot.machines:
        return NotPossible(
            "Rancher lists no machine of the cluster: that every node is stale is less likely than a blind spot"
        )
    backed = {name for machine in snapshot.machines for name in (machine.node, machine.name) if name}
    limit = snapshot.taken_at - parse_duration(arguments.get("silent_for", _SILENT))
    stale = [node for node in snapshot.nodes if node.name not in backed and _is_silent(node, limit)]
    important = next((node.name for node in stale if node.roles & _KEPT), None)
    if important:
        return NotPossible(f"{important} has etcd or the control plane: deleting it takes its etcd member along")
    # A machine that was made after the silence began is on its way, and cannot be the one that fell silent.
    unknown = [
        machine.name
        for machine in snapshot.machines
        if not machine.node and (machine.registered or machine.created is None or machine.created <= limit)
    ]
    if stale and unknown:
        return NotPossible(f"machine {unknown[0]} does not say which node it is, so it might be {stale[0].name}")
    # The lease is renewed every few seconds by a kubelet that lives, whatever the conditions say.
    stale = sorted((node for node in stale if not _renewed_since(target, node.name, limit)), key=lambda node: node.name)
    if not stale:
        return NotPossible("no node is without a machine and silent")
    if len(stale) > _MOST or len(stale) * 2 > len(snapshot.nodes):
        return NotPossible(
            f"{len(stale)} of {len(snapshot.nodes)} nodes look stale: too many for one step, look at them first"
        )
    writes = []
    for node in stale:
        try:
            item = target.downstream.get(NODES, node.name)
        except NotFound:
            continue
        place = Place(NODES, "", node.name, ())
        uid = text(mapping(item, "metadata").get("uid"))
        before = Value(present=True, value=_kept(item))
        writes.append(Change(place, uid, before, ABSENT, downstream=True, stays=True))
    if not writes:
        return NotPossible("no node is without a machine and silent")
    return PlannedStep(
        action=ACTION.name,
        title=f"Delete {len(stale)} Node object{'s' if len(stale) != 1 else ''} whose machine is gone",
        writes=tuple(writes),
        diff="\n".join(f"-Node {node.name} ({node.pod_cidr or 'no pod range'})" for node in stale),
        effect="Their pod ranges are free again. Pods that were bound to them are deleted; the machines are gone already.",
        arguments=dict(arguments),
    )


def apply(target: Target, write: Write) -> StepResult:
    """Only what is still silent and without a machine."""
    assert isinstance(write, Change)
    name = write.place.name
    try:
        item = target.downstream.get(NODES, name)
    except NotFound:
        return StepResult(wrote=False, seen=f"{write.place}: it was gone already")
    if text(mapping(item, "metadata").get("uid")) == write.uid:
        conditions = mapping(item, "status").get("conditions")
        said = {
            text(mapping(each).get("type")): mapping(each).get("status")
            for each in (conditions if isinstance(conditions, list) else ())
        }
        lately = target.snapshot.taken_at - _ALIVE
        if said.get("Ready") in {"True", "False"} or _renewed_since(target, name, lately):
            raise _came_back(f"the kubelet of {name} answers again")
        if any(name in {machine.node, machine.name} for machine in target.snapshot.machines):
            raise _came_back(f"a machine of Rancher's stands behind {name} by now")
    return apply_plainly(target, write)


def _came_back(what: str) -> FieldMoved:
    return FieldMoved(what, cure="Drover leaves the node as it is; make a new plan.", status=409)


def _is_silent(node: Node, limit: datetime) -> bool:
    return node.ready is None and node.ready_since is not None and node.ready_since <= limit


def _renewed_since(target: Target, name: str, limit: datetime) -> bool:
    try:
        lease = target.downstream.get(LEASES, name, "kube-node-lease")
    except NotFound:
        return False
    renewed = timestamp(mapping(lease, "spec").get("renewTime"))
    return renewed is not None and renewed > limit


def _kept(item: Mapping[str, Any]) -> dict[str, Any]:
    """What the record keeps of a node: who it was. Its taints and annotations move even while it is silent."""
    spec = mapping(item, "spec")
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": text(mapping(item, "metadata").get("name"))},
        "spec": {key: spec[key] for key in ("podCIDR", "podCIDRs", "providerID") if key in spec},
    }


ACTION = Action(
    name="remove-stale-node",
    risk=Risk.DESTRUCTIVE,
    undo=UndoKind.NONE,
    expected=timedelta(minutes=2),
    preview=preview,
    help="Deletes Node objects that no machine stands behind and whose kubelet has been silent for hours.",
    apply=apply,
)
