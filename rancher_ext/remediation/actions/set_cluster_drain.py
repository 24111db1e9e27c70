"""Switch draining off where it keeps every later change from reaching the machines.

RKE2 and K3s: with two or more machines Rancher drains a machine before it restarts its service, and a drain needs the cluster's own
API. Without the agent it never ends (`draining node`), and no plan reaches any other machine. RKE1 drains through the
nodes, but pods that are evicted find no working network elsewhere, so the drain runs into its time-out on every node.

Nothing restarts by this alone. It is left off after a cure: people see it in the plan, and switch it on again when they like.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from rancher_ext.client.changes import Value
from rancher_ext.remediation.action import Action, NotNeeded, NotPossible, PlannedStep, Risk, UndoKind
from rancher_ext.remediation.change import Change, Target
from rancher_ext.remediation.diff import field_diff
from rancher_ext.remediation.rke1 import CONFIG, config_change, editable_cluster, is_rke1
from rancher_ext.remediation.spec import drain_changes, read_cluster

_OFF = Value(present=True, value=False)


def preview(target: Target, arguments: Mapping[str, Any]) -> PlannedStep | NotPossible | NotNeeded:
    """No arguments."""
    if is_rke1(target.snapshot):
        item = editable_cluster(target)
        if isinstance(item, NotPossible):
            return item
        changes = [config_change(item, (*CONFIG, "upgradeStrategy", "drain"), _OFF)]
        changes = [change for change in changes if change.before == Value(present=True, value=True)]
    else:
        item = read_cluster(target)
        if isinstance(item, NotPossible):
            return item
        changes = drain_changes(target, item)
    if not changes:
        return NotNeeded("no drain stands in the way of changes")
    return PlannedStep(
        action=ACTION.name,
        title="Switch draining off",
        writes=tuple(changes),
        diff="\n".join(_shown(item, change) for change in changes),
        effect="Restarts no longer wait for a drain. Nothing restarts by this alone; switch it on again after the cure.",
        arguments=dict(arguments),
    )


def _shown(item: Mapping[str, Any], change: Change) -> str:
    return field_diff(item, change.place.path, change.before, change.after)


ACTION = Action(
    name="set-cluster-drain",
    risk=Risk.SAFE,
    undo=UndoKind.EXACT,
    expected=timedelta(seconds=10),
    preview=preview,
    help="Switches draining off where it would keep changes from reaching the machines.",
)
