"""Register the definitions that the CNI needs as soon as the API server takes them, and wait until it serves them.

calico-node of Canal keeps its data in kinds of `crd.projectcalico.org`; without them Felix never ends its first sync. Only what
is missing is made, with open schemas that fit every Calico version, and in RKE2 marked as the chart's own, so that helm takes them
over instead of refusing. Where Rancher does not reach the cluster, they go into `additionalManifest`, and the control plane node
applies them itself. A definition is never taken away again: all objects of its kind would go with it.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from rancher_ext.client.kubernetes import CRDS
from rancher_ext.client.snapshot import is_reachable
from rancher_ext.errors import NotFound
from rancher_ext.fleet.cluster import Distribution
from rancher_ext.fleet.cni import Cni
from rancher_ext.fleet.parse import mapping, text
from rancher_ext.remediation.action import Action, NotNeeded, NotPossible, PlannedStep, Risk, Settled, UndoKind
from rancher_ext.remediation.change import Change, Target
from rancher_ext.remediation.inside import refusal
from rancher_ext.remediation.manifests import (
    PATH,
    Manifest,
    append_changes,
    apply_block,
    block_diff,
    creation,
    for_chart,
    named,
    shipped,
)
from rancher_ext.remediation.spec import read_cluster

SETS = ("calico-crds", "policy-crds")


def preview(target: Target, arguments: Mapping[str, Any]) -> PlannedStep | NotPossible | NotNeeded:
    """`sets: [calico-crds, policy-crds]`; without it the first."""
    sets = arguments.get("sets", SETS[:1])
    if set(arguments) - {"sets"} or not set(sets) <= set(SETS):
        return NotPossible(f"the action understands sets: {', '.join(SETS)}")
    if target.snapshot.cni is not Cni.CANAL:
        return NotPossible("only Canal keeps its data in definitions of its own")
    manifests = [_owned(target, shipped(name)) for name in SETS if name in sets]
    if is_reachable(target.snapshot):
        return refusal(target) or _directly(target, manifests, arguments)
    if target.snapshot.distribution is Distribution.RKE1:
        return NotPossible("Rancher does not reach the cluster's API")
    return _by_the_node(target, manifests, arguments)


def settled(target: Target, step: PlannedStep) -> Settled:
    """Does the API server serve every kind? Out of reach nobody can see it; calico-node tries again by itself there."""
    wanted = sorted(_names(step))
    if not wanted or not is_reachable(target.snapshot):
        return Settled(holds=True, seen="whether the node has applied them can be seen when the cluster connects")
    waiting = []
    for name in wanted:
        try:
            found = target.downstream.get(CRDS, name)
        except NotFound:
            waiting.append(name)
            continue
        if not _is_served(found):
            waiting.append(name)
    if waiting:
        return Settled(holds=False, seen=f"{len(wanted) - len(waiting)} of {len(wanted)} definitions established")
    return Settled(holds=True, seen=f"all {len(wanted)} definitions established")


def _directly(
    target: Target, manifests: Sequence[Manifest], arguments: Mapping[str, Any]
) -> PlannedStep | NotPossible | NotNeeded:
    present = {text(mapping(each, "metadata").get("name")): each for each in target.downstream.list(CRDS).items}
    documents = [document for manifest in manifests for document in manifest.documents]
    missing = [each for each in documents if mapping(each, "metadata")["name"] not in present]
    leaving = [name for name, each in present.items() if mapping(each, "metadata").get("deletionTimestamp")]
    stuck = sorted(set(leaving) & {mapping(each, "metadata")["name"] for each in documents})
    if stuck:
        return NotPossible(f"{stuck[0]} is being deleted, with all its objects: wait until that is over")
    if not missing:
        return NotNeeded("the cluster has all the definitions")
    return PlannedStep(
        action=ACTION.name,
        title=f"Register {len(missing)} missing definition{'s' if len(missing) != 1 else ''}",
        writes=tuple(creation(each) for each in missing),
        diff="\n".join(f"+CustomResourceDefinition {mapping(each, 'metadata')['name']}" for each in missing),
        effect=f"The API server serves {named(missing)} at once. They are never taken away again.",
        arguments=dict(arguments),
    )


def _by_the_node(
    target: Target, manifests: Sequence[Manifest], arguments: Mapping[str, Any]
) -> PlannedStep | NotPossible | NotNeeded:
    item = read_cluster(target)
    if isinstance(item, NotPossible):
        return item
    changes = append_changes(target, item, manifests)
    if isinstance(changes, NotPossible):
        return changes
    if not changes:
        return NotNeeded("additionalManifest has all the definitions")
    return PlannedStep(
        action=ACTION.name,
        title="Let the control plane node register the definitions of Calico",
        writes=changes,
        diff=block_diff(manifests),
        effect=(
            "The control plane node applies them with its next plan; nothing restarts. Definitions that are there get an open "
            "schema until the chart is applied again. They are never taken away."
        ),
        arguments=dict(arguments),
    )


def _owned(target: Target, manifest: Manifest) -> Manifest:
    return for_chart(manifest, "rke2-canal") if target.snapshot.distribution is Distribution.RKE2 else manifest


def _names(step: PlannedStep) -> set[str]:
    """The definitions that a step makes, whichever way."""
    names: set[str] = set()
    for write in step.writes:
        assert isinstance(write, Change)
        if write.place.path != PATH:
            names.add(write.place.name)
    if not names:
        sets = step.arguments.get("sets", SETS[:1])
        names = {text(mapping(each, "metadata").get("name")) for one in sets for each in shipped(str(one)).documents}
    return names


def _is_served(item: Mapping[str, Any]) -> bool:
    conditions = mapping(item, "status").get("conditions")
    return any(
        mapping(each).get("type") == "Established" and mapping(each).get("status") == "True"
        for each in (conditions if isinstance(conditions, list) else ())
    )


ACTION = Action(
    name="register-crds",
    risk=Risk.SAFE,
    undo=UndoKind.NONE,
    expected=timedelta(minutes=1),
    preview=preview,
    help="Registers the definitions that calico-node lacks and waits until they are served; never removes one.",
    settled=settled,
    settle_within=timedelta(minutes=5),
    apply=apply_block,
)
