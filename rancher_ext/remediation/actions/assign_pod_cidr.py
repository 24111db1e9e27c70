"""Give nodes without a pod range one, all or nothing: the network of the nodes is changed as one.

Normally the controller manager does this. Where it cannot be brought to, the ranges are computed from those of ALL nodes by
its own rule, and written down first as a whole in one ConfigMap, which only one writer can make (or change, bound to its
version). Only what stands there is then given to the nodes: whoever computed something else meanwhile has lost. Before each
node is written all nodes are read again. `podCIDR` cannot be changed once it is set: there is no undo but a new node.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from rancher_ext.client.changes import ABSENT, CONFLICT_TRIES, FieldMoved, Place, Value
from rancher_ext.client.kubernetes import CONFIG_MAPS, MANAGEMENT_CLUSTERS, NODES, PROVISIONING_CLUSTERS
from rancher_ext.errors import Conflict, NotFound
from rancher_ext.fleet.cluster import Distribution, Management
from rancher_ext.fleet.parse import integer, mapping, text
from rancher_ext.remediation.action import Action, NotPossible, PlannedStep, Risk, Settled, UndoKind
from rancher_ext.remediation.change import Change, StepResult, Target, Write
from rancher_ext.remediation.change import apply as apply_plainly
from rancher_ext.remediation.cidr import Ranges, Unfit, assign, overlap, parse
from rancher_ext.remediation.inside import refusal
from rancher_ext.remediation.spec import DEFAULT_CLUSTER_CIDR, RKE_CONFIG, cluster_cidrs, flag_of, items_of

NAMESPACE = "kube-system"
CLAIMS = "drover-pod-cidrs"
_PATH = ("spec", "podCIDRs")
_LEASE = "flannel.alpha.coreos.com/backend-type"
# The ConfigMaps of flannel and canal; K3s' flannel takes the cluster's range directly.
_NETWORKS = ("kube-flannel-cfg", "canal-config", "rke2-canal-config")
_MASKS = {"node-cidr-mask-size": (4, 6), "node-cidr-mask-size-ipv4": (4,), "node-cidr-mask-size-ipv6": (6,)}


def preview(target: Target, arguments: Mapping[str, Any]) -> PlannedStep | NotPossible:
    """No arguments."""
    snapshot = target.snapshot
    if arguments:
        return NotPossible("the action has no arguments")
    if snapshot.management is not Management.PROVISIONED:
        return NotPossible("it was not made by this Rancher, so its ranges are not known")
    refused = refusal(target, ", where the nodes are")
    if refused:
        return refused
    configured = _configured(target)
    if isinstance(configured, NotPossible):
        return configured
    cluster, masks = configured
    stray = _stray_network(target, cluster)
    if stray:
        return NotPossible(stray)
    nodes = target.downstream.list(NODES).items
    held = {name: ranges for node in nodes if (ranges := _ranges(node)) for name in [_name(node)]}
    without = {_name(node): node for node in nodes if _name(node) not in held}
    if not without:
        return NotPossible("every node has its pod range")
    claims = _claims(target)
    # What an earlier run claimed and did not carry out stays that node's own, unless somebody else holds it by now.
    promised = {
        name: ranges for name, ranges in _promised(claims).items() if name in without and not overlap(ranges, held)
    }
    made = assign(without, promised | held, cluster, masks)
    if isinstance(made, Unfit):
        return NotPossible(made.why)
    made |= promised
    claim = _claim_change(claims, made)
    writes = [claim] if claim.before != claim.after else []
    for name in sorted(made):
        place = Place(NODES, "", name, _PATH)
        uid = text(mapping(without[name], "metadata").get("uid"))
        after = Value(present=True, value=list(made[name]))
        writes.append(Change(place, uid, Value.of(without[name], _PATH), after, downstream=True, stays=True))
    return PlannedStep(
        action=ACTION.name,
        title=f"Give {len(made)} node{'s' if len(made) != 1 else ''} a pod range",
        writes=tuple(writes),
        diff="\n".join(f" Node {name}:\n+  podCIDRs: {', '.join(made[name])}" for name in sorted(made)),
        effect="Flannel registers these nodes at its next start. A pod range cannot be changed once it is set.",
        arguments={},
    )


def apply(target: Target, write: Write) -> StepResult:
    """A node gets its range only while the claim says so and nobody else holds a part of it."""
    if not isinstance(write, Change) or write.place.resource != NODES:
        return apply_plainly(target, write)
    wanted: Ranges = tuple(write.after.value)
    conflict: Conflict | None = None
    for _ in range(CONFLICT_TRIES):
        nodes = target.downstream.list(NODES).items
        node = next((each for each in nodes if _name(each) == write.place.name), None)
        if node is None:
            # Machines come and go while others are mended; its claim is void with it.
            return StepResult(wrote=False, seen=f"{write.place}: the node is gone")
        if text(mapping(node, "metadata").get("uid")) != write.uid:
            raise _moved(f"{write.place.object} is another one by now")
        if _ranges(node) == wanted:
            return StepResult(wrote=False, seen=f"{write.place}: it already has {', '.join(wanted)}")
        if _ranges(node):
            raise _moved(f"{write.place.object} got {', '.join(_ranges(node))} from somebody else")
        claimed = mapping(_claims(target), "data").get(write.place.name)
        if claimed != ",".join(wanted):
            raise _moved(f"{NAMESPACE}/{CLAIMS} gives {write.place.name} {claimed or 'nothing'}")
        others = {_name(each): _ranges(each) for each in nodes if _name(each) != write.place.name}
        holder = overlap(wanted, others)
        if holder:
            raise _moved(f"{holder} holds a part of {', '.join(wanted)} by now")
        operations: list[dict[str, Any]] = [
            {"op": "test", "path": "/metadata/uid", "value": write.uid},
            {
                "op": "test",
                "path": "/metadata/resourceVersion",
                "value": mapping(node, "metadata").get("resourceVersion"),
            },
            # The server wants both, and the first of the list to be the single one.
            {"op": "add", "path": "/spec/podCIDR", "value": wanted[0]},
            {"op": "add", "path": "/spec/podCIDRs", "value": list(wanted)},
        ]
        try:
            stored = target.downstream.json_patch(NODES, write.place.name, "", operations)
        except Conflict as error:
            conflict = error
            continue
        version = text(mapping(stored, "metadata").get("resourceVersion"))
        return StepResult(wrote=True, seen=f"{write.place}: {', '.join(wanted)}", resource_version=version)
    assert conflict is not None
    raise conflict


def settled(target: Target, step: PlannedStep) -> Settled:
    """Has flannel registered every node that got a range? K3s' flannel annotates its nodes as well."""
    # A machine that is off registers nowhere, and keeps nobody waiting.
    off = {node.name for node in target.snapshot.nodes if node.ready is None}
    waiting = []
    for write in step.writes:
        if not isinstance(write, Change) or write.place.resource != NODES or write.place.name in off:
            continue
        try:
            node = target.downstream.get(NODES, write.place.name)
        except NotFound:
            continue
        if _LEASE not in mapping(node, "metadata", "annotations"):
            waiting.append(write.place.name)
    if waiting:
        return Settled(holds=False, seen=f"flannel has not registered {', '.join(sorted(waiting)[:3])} yet")
    return Settled(holds=True, seen="flannel has registered every node that got a range")


def _configured(target: Target) -> tuple[tuple[str, ...], dict[int, int]] | NotPossible:
    """The cluster's ranges and the size of a node's block, as the cluster's specification has them."""
    identity = target.snapshot.identity
    if target.snapshot.distribution is Distribution.RKE1:
        item = target.local.get(MANAGEMENT_CLUSTERS, identity.id)
        controller = mapping(item, "spec", "rancherKubernetesEngineConfig", "services", "kubeController")
        arguments = {str(key): str(value) for key, value in mapping(controller, "extraArgs").items()}
        for key, values in mapping(controller, "extraArgsArray").items():
            arguments[str(key)] = ",".join(map(str, values)) if isinstance(values, list) else str(values)
        cluster = tuple(
            part.strip() for part in (text(controller.get("clusterCidr")) or DEFAULT_CLUSTER_CIDR).split(",")
        )
    elif target.snapshot.distribution in {Distribution.RKE2, Distribution.K3S}:
        item = target.local.get(PROVISIONING_CLUSTERS, identity.name, identity.namespace)
        config = mapping(item, *RKE_CONFIG, "machineGlobalConfig")
        arguments = dict(flag_of(each) for each in items_of(config.get("kube-controller-manager-arg")))
        cluster = cluster_cidrs(config)
    else:
        return NotPossible(f"the ranges of a {target.snapshot.distribution} cluster are not known")
    if "cluster-cidr" in arguments:
        return NotPossible(
            "an argument of the controller manager names another cluster range: which one holds, a person knows"
        )
    masks: dict[int, int] = {}
    for flag, families in _MASKS.items():
        if flag in arguments:
            size = integer(arguments[flag])
            if size is None:
                return NotPossible(f"{flag}={arguments[flag]} is no size")
            masks |= {family: size for family in families if len(cluster) == 1 or flag != "node-cidr-mask-size"}
    return cluster, masks


def _stray_network(target: Target, cluster: Sequence[str]) -> str | None:
    """Flannel refuses a lease outside its own network: a range that it does not know must not be given out for ever."""
    for name in _NETWORKS:
        try:
            found = mapping(target.downstream.get(CONFIG_MAPS, name, NAMESPACE), "data").get("net-conf.json")
        except NotFound:
            continue
        try:
            settings = mapping(json.loads(text(found) or "{}"))
        except ValueError:
            return f"net-conf.json of {name} cannot be read"
        for key in ("Network", "IPv6Network"):
            network = text(settings.get(key))
            if network and network != "::/0" and parse(network) not in [parse(each) for each in cluster]:
                return f"flannel's network in {name} is {network}, and the cluster's range {', '.join(cluster)}"
    return None


def _claims(target: Target) -> Mapping[str, Any]:
    try:
        return target.downstream.get(CONFIG_MAPS, CLAIMS, NAMESPACE)
    except NotFound:
        return {}


def _promised(claims: Mapping[str, Any]) -> dict[str, Ranges]:
    return {name: _parted(value) for name, value in mapping(claims, "data").items()}


def _claim_change(claims: Mapping[str, Any], made: Mapping[str, Ranges]) -> Change:
    wanted = {name: ",".join(made[name]) for name in sorted(made)}
    if not claims:
        manifest = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": CLAIMS, "namespace": NAMESPACE},
            "data": wanted,
        }
        place = Place(CONFIG_MAPS, NAMESPACE, CLAIMS, ())
        return Change(place, "", ABSENT, Value(present=True, value=manifest), downstream=True, stays=True)
    place = Place(CONFIG_MAPS, NAMESPACE, CLAIMS, ("data",))
    uid = text(mapping(claims, "metadata").get("uid"))
    after = Value(present=True, value=wanted)
    return Change(place, uid, Value.of(claims, ("data",)), after, downstream=True, stays=True)


def _parted(value: object) -> Ranges:
    return tuple(part for part in str(value).split(",") if part)


def _name(node: Mapping[str, Any]) -> str:
    return text(mapping(node, "metadata").get("name"))


def _ranges(node: Mapping[str, Any]) -> Ranges:
    spec = mapping(node, "spec")
    many = spec.get("podCIDRs")
    if isinstance(many, list) and many:
        return tuple(map(str, many))
    return tuple(filter(None, [text(spec.get("podCIDR"))]))


def _moved(what: str) -> FieldMoved:
    return FieldMoved(
        what, cure="Somebody else gives out ranges. Drover leaves it as it is; make a new plan.", status=409
    )


ACTION = Action(
    name="assign-pod-cidr",
    risk=Risk.DISRUPTIVE,
    undo=UndoKind.NONE,
    expected=timedelta(minutes=5),
    preview=preview,
    help="Gives nodes without a pod range a free one, computed from all nodes; nobody else can take the same.",
    settled=settled,
    settle_within=timedelta(minutes=10),
    apply=apply,
)
