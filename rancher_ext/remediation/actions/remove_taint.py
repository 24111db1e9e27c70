"""Take a taint off the nodes that nobody else will ever take off.

`node.cloudprovider.kubernetes.io/uninitialized` waits for a cloud controller. It may go by hand only where the specification
switches that controller off and none runs; new nodes get it again. `node.kubernetes.io/network-unavailable` may go where the
node's own condition says that the network is there. Other taints are somebody's wish.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from rancher_ext.client.changes import ABSENT, CONFLICT_TRIES, FieldMoved, Place, Value
from rancher_ext.client.kubernetes import MANAGEMENT_CLUSTERS, NODES, PODS, PROVISIONING_CLUSTERS
from rancher_ext.errors import Conflict, NotFound
from rancher_ext.fleet.cluster import Distribution
from rancher_ext.fleet.parse import mapping, text
from rancher_ext.remediation.action import Action, NotPossible, PlannedStep, Risk, UndoKind
from rancher_ext.remediation.change import Change, StepResult, Target, Write
from rancher_ext.remediation.inside import refusal
from rancher_ext.remediation.spec import configured, flags_of

UNINITIALIZED = "node.cloudprovider.kubernetes.io/uninitialized"
UNAVAILABLE = "node.kubernetes.io/network-unavailable"
_PATH = ("spec", "taints")


def preview(target: Target, arguments: Mapping[str, Any]) -> PlannedStep | NotPossible:
    """`key`: `node.cloudprovider.kubernetes.io/uninitialized` or `node.kubernetes.io/network-unavailable`."""
    key = arguments.get("key")
    if set(arguments) != {"key"} or key not in {UNINITIALIZED, UNAVAILABLE}:
        return NotPossible(f"the action understands key: {UNINITIALIZED} or {UNAVAILABLE}")
    refused = refusal(target, ", where the nodes are")
    if refused:
        return refused
    if key == UNINITIALIZED:
        waits = _awaited(target)
        if waits:
            return NotPossible(waits)
    tainted = [
        node
        for node in target.downstream.list(NODES).items
        if _with(node, str(key)) and (key == UNINITIALIZED or _has_network(node))
    ]
    if not tainted:
        return NotPossible(f"no node carries {key} that may go")
    writes = []
    for node in sorted(tainted, key=_name):
        kept = [taint for taint in _taints(node) if mapping(taint).get("key") != key]
        place = Place(NODES, "", _name(node), _PATH)
        after = Value(present=True, value=kept) if kept else ABSENT
        uid = text(mapping(node, "metadata").get("uid"))
        writes.append(Change(place, uid, Value.of(node, _PATH), after, downstream=True))
    return PlannedStep(
        action=ACTION.name,
        title=f"Take the taint `{key}` off {len(writes)} node{'s' if len(writes) != 1 else ''}",
        writes=tuple(writes),
        diff="\n".join(f" Node {write.place.name}:\n-  taint {key}" for write in writes),
        effect="Pods that waited are scheduled. New nodes get the taint again until its cause is gone.",
        arguments=dict(arguments),
    )


def apply(target: Target, write: Write) -> StepResult:
    """Only our taint goes: others come and go with the state of the node."""
    assert isinstance(write, Change)
    return _rewritten(target, write, gone=_ours(write), back=[])


def take_back(target: Target, write: Write) -> StepResult:
    assert isinstance(write, Change)
    return _rewritten(target, write, gone=[], back=_ours(write))


def _rewritten(
    target: Target, write: Change, *, gone: list[Mapping[str, Any]], back: list[Mapping[str, Any]]
) -> StepResult:
    keys = {(each.get("key"), each.get("effect")) for each in gone}
    conflict: Conflict | None = None
    for _ in range(CONFLICT_TRIES):
        try:
            node = target.downstream.get(NODES, write.place.name)
        except NotFound:
            # Machines come and go while others are mended; with the node its taints are gone.
            return StepResult(wrote=False, seen=f"{write.place}: the node is gone")
        metadata = mapping(node, "metadata")
        if back and text(metadata.get("uid")) != write.uid:
            return StepResult(wrote=False, seen=f"{write.place}: it is another node by now")
        if text(metadata.get("uid")) != write.uid:
            raise FieldMoved(
                f"{write.place}: this is another node than the one the plan was made for",
                cure="Make a new plan.",
                status=409,
            )
        present = _taints(node)
        there = {(mapping(each).get("key"), mapping(each).get("effect")) for each in present}
        wanted = [each for each in present if (mapping(each).get("key"), mapping(each).get("effect")) not in keys]
        wanted += [each for each in back if (each.get("key"), each.get("effect")) not in there]
        if wanted == present:
            return StepResult(wrote=False, seen=f"{write.place}: it was so already")
        operations: list[dict[str, Any]] = [
            {"op": "test", "path": "/metadata/uid", "value": write.uid},
            {"op": "test", "path": "/metadata/resourceVersion", "value": metadata.get("resourceVersion")},
        ]
        if wanted:
            operations.append({"op": "add", "path": "/spec/taints", "value": wanted})
        else:
            operations.append({"op": "remove", "path": "/spec/taints"})
        try:
            stored = target.downstream.json_patch(NODES, write.place.name, "", operations)
        except Conflict as error:
            conflict = error
            continue
        version = text(mapping(stored, "metadata").get("resourceVersion"))
        return StepResult(
            wrote=True, seen=f"{write.place}: {'put back' if back else 'taken off'}", resource_version=version
        )
    assert conflict is not None
    raise conflict


def _ours(write: Change) -> list[Mapping[str, Any]]:
    """The taints that the change is about."""
    after = write.after.value if write.after.present else []
    return [mapping(each) for each in write.before.value if each not in after]


def _awaited(target: Target) -> str | None:
    """Why somebody may still initialise the nodes; None when nobody will."""
    identity = target.snapshot.identity
    if target.snapshot.distribution is Distribution.RKE1:
        item = target.local.get(MANAGEMENT_CLUSTERS, identity.id)
        config = mapping(item, "spec", "rancherKubernetesEngineConfig")
        kubelet = mapping(config, "services", "kubelet", "extraArgs")
        names = {text(mapping(config, "cloudProvider").get("name")), text(kubelet.get("cloud-provider"))}
        if any(name.startswith("external") for name in names):
            return "its configuration asks for an external cloud provider: deploy its controller"
    else:
        item = target.local.get(PROVISIONING_CLUSTERS, identity.name, identity.namespace)
        # A controller that comes later passes over a node that has lost the taint: it would stay without its provider's id.
        names = {text(name) for name in configured(item, "cloud-provider-name")} - {"", "rancher", "none"}
        names |= {value for value in flags_of(item, "kubelet-arg", "cloud-provider") if value}
        if names:
            return f"its configuration asks for the cloud provider {min(names)}: deploy its controller"
        if not {True, "true"} & {
            each for each in configured(item, "disable-cloud-controller") if isinstance(each, str | bool)
        }:
            return "its built-in cloud controller is not switched off, and takes the taint off by itself"
    for page in target.downstream.pages(PODS, "kube-system"):
        for pod in page:
            if "cloud-controller-manager" in _name(pod) and mapping(pod, "status").get("phase") == "Running":
                return f"the cloud controller {_name(pod)} runs: it takes the taint off, or its log says why not"
    return None


def _has_network(node: Mapping[str, Any]) -> bool:
    conditions = mapping(node, "status").get("conditions")
    return any(
        mapping(each).get("type") == "NetworkUnavailable" and mapping(each).get("status") == "False"
        for each in (conditions if isinstance(conditions, list) else ())
    )


def _with(node: Mapping[str, Any], key: str) -> bool:
    return any(mapping(taint).get("key") == key for taint in _taints(node))


def _taints(node: Mapping[str, Any]) -> list[Any]:
    taints = mapping(node, "spec").get("taints")
    return list(taints) if isinstance(taints, list) else []


def _name(item: Mapping[str, Any]) -> str:
    return text(mapping(item, "metadata").get("name"))


ACTION = Action(
    name="remove-taint",
    risk=Risk.SAFE,
    undo=UndoKind.EXACT,
    expected=timedelta(minutes=2),
    preview=preview,
    help="Takes a taint off nodes that nobody else will take off, such as that of a cloud provider that does not exist.",
    apply=apply,
    take_back=take_back,
)
