"""Set the Kubernetes version back to the one with which the cluster last worked, within one minor line.

Patch releases of one line read each other's etcd, so the field alone does it; Rancher installs the earlier version machine by
machine. Between minor lines etcd has to be restored with it: that is `restore-kubernetes-version`.

The earlier version is not guessed: RKE1 keeps the specification of the last good run in `status.appliedSpec`, RKE2 and K3s that
of the last complete reconcile. Where more than the version was changed since, going back to the version alone would make a
combination that nobody ever saw working.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from rancher_ext.client.changes import Value
from rancher_ext.fleet.versions import Version
from rancher_ext.remediation.action import Action, NotPossible, PlannedStep, Risk, UndoKind
from rancher_ext.remediation.change import Target
from rancher_ext.remediation.diff import field_diff
from rancher_ext.remediation.earlier_version import earlier_version


def preview(target: Target, arguments: Mapping[str, Any]) -> PlannedStep | NotPossible:
    """No arguments."""
    found = earlier_version(target)
    if isinstance(found, NotPossible):
        return found
    then, now = Version.parse(found.worked), Version.parse(found.wanted)
    if then is None or now is None or then.line != now.line:
        return NotPossible(f"from {found.wanted} back to {found.worked} etcd has to be restored, too")
    change = found.change(target, Value(present=True, value=found.worked))
    return PlannedStep(
        action=ACTION.name,
        title=f"Go back to Kubernetes {found.worked}",
        writes=(change,),
        diff=field_diff(found.item, change.place.path, change.before, change.after),
        effect="Rancher installs the earlier version machine by machine, as `upgradeStrategy` says.",
        arguments=dict(arguments),
    )


ACTION = Action(
    name="put-back-kubernetes-version",
    risk=Risk.DISRUPTIVE,
    undo=UndoKind.EXACT,
    expected=timedelta(minutes=15),
    preview=preview,
    help="Sets the Kubernetes version back to the one that last worked, within one minor line.",
)
