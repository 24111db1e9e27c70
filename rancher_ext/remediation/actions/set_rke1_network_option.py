"""Set one option of an RKE1 cluster's network block, such as `enableBrNetfilter`.

RKE1 is managed until Rancher 2.11. The option lives in the management cluster's `spec.rancherKubernetesEngineConfig.network`;
any change of the spec makes Rancher run `rke up`. `enableBrNetfilter: true` lets the kube-proxy container load the module
(rancher/rke-tools PR 231, rancher/rke PR 3799); Rancher has the field from 2.9.8, 2.10.4 and 2.11.0-alpha8 on.
The write goes through the raw proxy: Norman's PUT has no lock.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from rancher_ext.client.changes import Place, Value
from rancher_ext.client.kubernetes import MANAGEMENT_CLUSTERS
from rancher_ext.fleet.cluster import Distribution, Management
from rancher_ext.fleet.parse import mapping, text
from rancher_ext.remediation.action import Action, NotPossible, PlannedStep, Risk, UndoKind
from rancher_ext.remediation.change import Change, Target
from rancher_ext.remediation.diff import field_diff

_BLOCK = ("spec", "rancherKubernetesEngineConfig", "network")
# What the option makes Rancher do; the text stands in the plan.
_EFFECTS = {
    "enableBrNetfilter": "Rancher re-creates the kube-proxy container on {nodes}; it loads br_netfilter. No workload restarts.",
}


def preview(target: Target, arguments: Mapping[str, Any]) -> PlannedStep | NotPossible:
    snapshot = target.snapshot
    if snapshot.distribution is not Distribution.RKE1 or snapshot.management is not Management.PROVISIONED:
        return NotPossible("it is not an RKE1 cluster made by this Rancher")
    if len(arguments) != 1:
        return NotPossible("the action sets one option at a time")
    ((option, wanted),) = arguments.items()
    item = target.local.get(MANAGEMENT_CLUSTERS, snapshot.identity.id)
    if mapping(item, "spec").get("clusterTemplateRevisionId"):
        return NotPossible(
            "it follows a cluster template, and Rancher refuses edits of template fields: change the template"
        )
    if mapping(item, *_BLOCK).get("plugin") not in {"canal", "flannel"}:
        return NotPossible("its network plugin is neither canal nor flannel")
    place = Place(MANAGEMENT_CLUSTERS, "", snapshot.identity.id, (*_BLOCK, option))
    before = Value.of(item, place.path)
    after = Value(present=True, value=wanted)
    if before == after:
        return NotPossible(f"{option} is already {str(wanted).lower()}: setting it again changes nothing")
    count = snapshot.node_count or len(snapshot.nodes) or len(snapshot.machines)
    return PlannedStep(
        action=ACTION.name,
        title=f"Set `network.{option}` on the Rancher cluster",
        writes=(Change(place, text(mapping(item, "metadata").get("uid")), before, after),),
        diff=field_diff(item, place.path, before, after, context=("plugin",)),
        effect=_EFFECTS.get(option, "Rancher runs `rke up`.").format(
            nodes=f"{count} nodes" if count != 1 else "1 node"
        ),
        arguments={option: wanted},
    )


ACTION = Action(
    name="set-rke1-network-option",
    risk=Risk.SAFE,
    undo=UndoKind.EXACT,
    expected=timedelta(minutes=6),
    preview=preview,
    help="Sets one option of an RKE1 cluster's network block; Rancher then runs `rke up`.",
)
