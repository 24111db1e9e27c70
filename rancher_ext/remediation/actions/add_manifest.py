"""Put shipped documents into a cluster's `additionalManifest`: the nodes apply them themselves, whoever reaches the cluster.

The control plane nodes get the text as `addons.yaml` with their next plan; nothing restarts (rancher-api 1.5, 4.3). Ours is
appended between marker lines and never touches what people wrote. An undo takes the block out, and the node then deletes its
objects; custom resource definitions stay, because their objects would go with them. RKE1 has no such text: there the objects are
made directly, since Rancher reaches the API of an RKE1 cluster through its nodes.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from rancher_ext.fleet.cluster import Distribution
from rancher_ext.remediation.action import Action, NotNeeded, NotPossible, PlannedStep, Risk, UndoKind
from rancher_ext.remediation.change import Target, is_applied
from rancher_ext.remediation.diff import object_diff
from rancher_ext.remediation.inside import refusal
from rancher_ext.remediation.manifests import (
    Manifest,
    append_changes,
    apply_block,
    block_diff,
    creation,
    for_chart,
    has_block,
    named,
    present_text,
    shipped,
)
from rancher_ext.remediation.spec import read_cluster


def preview(target: Target, arguments: Mapping[str, Any]) -> PlannedStep | NotPossible | NotNeeded:
    """`manifests: [name]` of `config/manifests/`."""
    names = arguments.get("manifests")
    if not isinstance(names, list) or not names:
        return NotPossible("the action needs the names of the manifests to add")
    manifests = sorted((_fitting(target, str(name)) for name in names), key=lambda each: not each.stays)
    if target.snapshot.distribution is Distribution.RKE1:
        return _directly(target, manifests, arguments)
    item = read_cluster(target)
    if isinstance(item, NotPossible):
        return item
    changes = append_changes(target, item, manifests)
    if isinstance(changes, NotPossible):
        return changes
    if not changes:
        return NotNeeded(f"additionalManifest already has {', '.join(map(str, names))}")
    added = [manifest for manifest in manifests if not has_block(present_text(item), manifest)]
    documents = [document for manifest in added for document in manifest.documents]
    stays = " Definitions stay when the rest is taken back." if any(each.stays for each in added) else ""
    return PlannedStep(
        action=ACTION.name,
        title=f"Add {', '.join(f'`{each.name}`' for each in added)} to the cluster's additional manifest",
        writes=changes,
        diff=block_diff(added),
        effect=f"The control plane nodes apply {named(documents)}. Nothing restarts.{stays}",
        arguments=dict(arguments),
    )


def _fitting(target: Target, name: str) -> Manifest:
    """Definitions carry the mark of the chart that will own them; other documents are Drover's."""
    manifest = shipped(name)
    is_rke2 = target.snapshot.distribution is Distribution.RKE2
    return for_chart(manifest, "rke2-canal") if is_rke2 and manifest.stays else manifest


def _directly(
    target: Target, manifests: Sequence[Manifest], arguments: Mapping[str, Any]
) -> PlannedStep | NotPossible | NotNeeded:
    refused = refusal(target)
    if refused:
        return refused
    changes = [creation(document) for manifest in manifests for document in manifest.documents]
    missing = [change for change in changes if not is_applied(target, change)]
    if not missing:
        return NotNeeded("the cluster already has these objects")
    return PlannedStep(
        action=ACTION.name,
        title=f"Make {len(missing)} object{'s' if len(missing) != 1 else ''} in the cluster",
        writes=tuple(missing),
        diff="\n".join(object_diff(change.before, change.after) for change in missing),
        effect=f"{named(change.after.value for change in missing)} are made. Nothing restarts.",
        arguments=dict(arguments),
    )


ACTION = Action(
    name="add-manifest",
    risk=Risk.SAFE,
    undo=UndoKind.COMPENSATING,
    expected=timedelta(minutes=5),
    preview=preview,
    help="Appends shipped documents to the additional manifest of an RKE2 or K3s cluster; the nodes apply them.",
    apply=apply_block,
)
