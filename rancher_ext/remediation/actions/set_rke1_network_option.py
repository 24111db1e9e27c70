"""Set one option of an RKE1 cluster's network block, such as `enableBrNetfilter`.

`enableBrNetfilter: true` lets the kube-proxy container load the module (rancher/rke-tools PR 231, rancher/rke PR 3799); Rancher
has the field from 2.9.8, 2.10.4 and 2.11.0-alpha8 on.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from rancher_ext.client.changes import Value
from rancher_ext.fleet.parse import mapping
from rancher_ext.remediation.action import Action, NotPossible, PlannedStep, Risk, UndoKind
from rancher_ext.remediation.change import Target
from rancher_ext.remediation.diff import field_diff
from rancher_ext.remediation.rke1 import CONFIG, config_change, editable_cluster, nodes_of

_BLOCK = (*CONFIG, "network")
# What the option makes Rancher do; the text stands in the plan.
_EFFECTS = {
    "enableBrNetfilter": "Rancher re-creates the kube-proxy container on {nodes}; it loads br_netfilter. No workload restarts.",
}


def preview(target: Target, arguments: Mapping[str, Any]) -> PlannedStep | NotPossible:
    """`option: value`, one of the network block."""
    item = editable_cluster(target)
    if isinstance(item, NotPossible):
        return item
    if len(arguments) != 1:
        return NotPossible("the action sets one option at a time")
    ((option, wanted),) = arguments.items()
    if mapping(item, *_BLOCK).get("plugin") not in {"canal", "flannel"}:
        return NotPossible("its network plugin is neither canal nor flannel")
    change = config_change(item, (*_BLOCK, option), Value(present=True, value=wanted))
    if change.before == change.after:
        return NotPossible(f"{option} is already {str(wanted).lower()}: setting it again changes nothing")
    return PlannedStep(
        action=ACTION.name,
        title=f"Set `network.{option}` on the Rancher cluster",
        writes=(change,),
        diff=field_diff(item, change.place.path, change.before, change.after, context=("plugin",)),
        effect=_EFFECTS.get(option, "Rancher runs `rke up`.").format(nodes=nodes_of(target.snapshot)),
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
