"""Restart the pods of the CNI node by node, by an annotation in the DaemonSet's pod template.

The DaemonSet's own rolling update does the work: pods that are not ready are replaced first, and no more ready ones at once than
its `maxUnavailable` allows. The annotation's value is the generation that was seen, so that the same plan restarts once however
often it is applied. DaemonSets that run on Windows nodes are a step of their own (`os: windows`). A restart is not undone: the
annotation stays, because taking it out would restart everything once more.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from math import ceil
from typing import Any

from rancher_ext.client.changes import Place, Value
from rancher_ext.client.kubernetes import DAEMON_SETS
from rancher_ext.errors import NotFound
from rancher_ext.fleet.cni import workload_of
from rancher_ext.fleet.parse import integer, mapping, text
from rancher_ext.remediation.action import Action, NotNeeded, NotPossible, PlannedStep, Risk, Settled, UndoKind
from rancher_ext.remediation.change import Change, Target
from rancher_ext.remediation.inside import refusal

ANNOTATION = "drover.io/restarted-at-generation"
_PATH = ("spec", "template", "metadata", "annotations", ANNOTATION)
_NAMESPACES = ("kube-system", "kube-flannel", "calico-system")
_WINDOWS = ("kubernetes.io/os", "beta.kubernetes.io/os")
_NETWORK = ("flannel", "canal", "calico")


def preview(target: Target, arguments: Mapping[str, Any]) -> PlannedStep | NotPossible | NotNeeded:
    """`os: linux` (the default) or `windows`."""
    system = arguments.get("os", "linux")
    if set(arguments) - {"os"} or system not in {"linux", "windows"}:
        return NotPossible("the action understands os: linux or windows")
    refused = refusal(target, ", so no pod can be restarted")
    if refused:
        return refused
    found = list(_windows(target)) if system == "windows" else list(_linux(target))
    if not found and system == "windows":
        return NotNeeded("the CNI has no DaemonSet for Windows nodes")
    if not found:
        return NotPossible("the CNI of this cluster has no DaemonSet that could be restarted")
    changes, lines = [], []
    for item in found:
        metadata = mapping(item, "metadata")
        hindrance = _not_rolling(item)
        if hindrance:
            return NotPossible(hindrance)
        place = Place(DAEMON_SETS, text(metadata.get("namespace")), text(metadata.get("name")), _PATH)
        generation = str(integer(metadata.get("generation")) or 0)
        before = Value.of(item, _PATH)
        changes.append(
            Change(
                place,
                text(metadata.get("uid")),
                before,
                Value(present=True, value=generation),
                downstream=True,
                stays=True,
            )
        )
        lines += [f" DaemonSet {place.namespace}/{place.name}:", f"+  template annotation {ANNOTATION}: '{generation}'"]
    names = ", ".join(change.place.name for change in changes)
    nodes = sum(_desired(item) for item in found)
    at_once = max(_at_once(item) for item in found)
    return PlannedStep(
        action=ACTION.name,
        title=f"Restart the pods of `{names}`",
        writes=tuple(changes),
        diff="\n".join(lines),
        effect=f"The pods of {names} are replaced on {nodes} nodes, {at_once} at a time; running pods keep their network.",
        arguments=dict(arguments),
    )


def settled(target: Target, step: PlannedStep) -> Settled:
    """Are all pods of the new template and ready? Nodes whose kubelet is silent cannot be waited for."""
    off = sum(node.ready is None for node in target.snapshot.nodes)
    seen, holds = [], True
    for write in step.writes:
        assert isinstance(write, Change)
        try:
            item = target.downstream.get(DAEMON_SETS, write.place.name, write.place.namespace)
        except NotFound:
            return Settled(holds=False, seen=f"{write.place.name} is gone")
        status = mapping(item, "status")
        desired, updated, ready = (
            integer(status.get(name)) or 0
            for name in ("desiredNumberScheduled", "updatedNumberScheduled", "numberReady")
        )
        current = (integer(status.get("observedGeneration")) or 0) >= (
            integer(mapping(item, "metadata").get("generation")) or 0
        )
        # Where every kubelet is silent nothing was restarted, whatever the controller wants.
        least = max(1, desired - off)
        holds = holds and current and updated >= least and ready >= least
        seen.append(f"{write.place.name}: {updated}/{desired} restarted, {ready} ready")
    return Settled(holds=holds, seen="; ".join(seen))


def _linux(target: Target) -> Iterator[Mapping[str, Any]]:
    workload = workload_of(target.snapshot.distribution, target.snapshot.cni)
    if workload is None:
        return
    try:
        yield target.downstream.get(DAEMON_SETS, workload.name, workload.namespace)
    except NotFound:
        return


def _windows(target: Target) -> Iterator[Mapping[str, Any]]:
    """By their node selector: their names differ from chart to chart."""
    for namespace in _NAMESPACES:
        listed = target.downstream.list(DAEMON_SETS, namespace).items
        for item in sorted(listed, key=lambda each: text(mapping(each, "metadata").get("name"))):
            selector = mapping(item, "spec", "template", "spec", "nodeSelector")
            name = text(mapping(item, "metadata").get("name"))
            here = any(selector.get(label) == "windows" for label in _WINDOWS) and any(
                word in name for word in _NETWORK
            )
            # A chart may bring it to a cluster without Windows nodes: there is nothing to restart, and nothing to wait for.
            if here and _desired(item):
                yield item


def _not_rolling(item: Mapping[str, Any]) -> str | None:
    """Why an annotation would not restart this DaemonSet, or would restart all of it at once."""
    name = text(mapping(item, "metadata").get("name"))
    if mapping(item, "metadata").get("deletionTimestamp"):
        return f"{name} is being deleted"
    strategy = mapping(item, "spec", "updateStrategy")
    if strategy.get("type") == "OnDelete":
        return f"{name} is updated only when its pods are deleted (OnDelete): delete them one after another by hand"
    desired = _desired(item)
    if not desired:
        return f"{name} runs on no node: a restart brings it to none"
    if desired > 1 and _at_once(item) >= desired:
        return f"{name} may replace all its {desired} pods at once (maxUnavailable): lower that first"
    return None


def _desired(item: Mapping[str, Any]) -> int:
    """On how many nodes it shall run, as its controller counts them."""
    return integer(mapping(item, "status").get("desiredNumberScheduled")) or 0


def _at_once(item: Mapping[str, Any]) -> int:
    """`maxUnavailable` as a number, as the controller rounds it: up, and at least one."""
    limit = mapping(item, "spec", "updateStrategy", "rollingUpdate").get("maxUnavailable", 1)
    desired = _desired(item)
    if isinstance(limit, str) and limit.endswith("%"):
        share = integer(limit[:-1]) or 0
        return max(1, ceil(desired * share / 100))
    return max(1, integer(limit) or 0)


ACTION = Action(
    name="restart-cni-pods",
    risk=Risk.DISRUPTIVE,
    undo=UndoKind.COMPENSATING,
    expected=timedelta(minutes=5),
    preview=preview,
    help="Restarts the CNI's pods node by node, as the DaemonSet's own update strategy allows.",
    settled=settled,
    settle_within=timedelta(minutes=20),
)
