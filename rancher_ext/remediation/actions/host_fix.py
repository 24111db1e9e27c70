"""Run one fix of a fixed list on every Linux node, by a short-lived privileged DaemonSet.

Never by default: the Rancher cluster must carry the label `drover.io/host-fix: allow`. The fixes and their scripts stand in
`rancher_ext/remediation/host_fix.py`; the whole DaemonSet is in the plan that a person approves. An undo takes the DaemonSet out;
what the script did on the nodes stays, and each fix says what that is. `end-host-fix` takes the DaemonSet out after success.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from rancher_ext.client.changes import Value
from rancher_ext.client.kubernetes import DAEMON_SETS
from rancher_ext.client.snapshot import is_reachable
from rancher_ext.errors import NotFound
from rancher_ext.fleet.cluster import Distribution, Management
from rancher_ext.fleet.parse import integer, mapping, text
from rancher_ext.remediation.action import Action, NotPossible, PlannedStep, Risk, Settled, UndoKind
from rancher_ext.remediation.change import Change, StepResult, Target, Write
from rancher_ext.remediation.change import take_back as take_back_plainly
from rancher_ext.remediation.diff import object_diff
from rancher_ext.remediation.host_fix import FIXES, NAMESPACE, daemon_set, fix_of, image_for, opted_in, taken_out
from rancher_ext.remediation.manifests import PATH, append_changes, apply_block, creation
from rancher_ext.remediation.spec import read_cluster


def writes_for(target: Target, arguments: Mapping[str, Any]) -> tuple[Change, ...] | NotPossible:
    """What brings the DaemonSet to the nodes; `end-host-fix` takes back the same."""
    name = fix_of(arguments)
    if isinstance(name, NotPossible):
        return name
    refused = opted_in(target)
    if refused:
        return refused
    if target.snapshot.management is not Management.PROVISIONED:
        return NotPossible("it was not made by this Rancher")
    if target.snapshot.deleting:
        return NotPossible("it is being deleted")
    if is_reachable(target.snapshot):
        item: Mapping[str, Any] = {}
        if target.snapshot.distribution is not Distribution.RKE1:
            found = read_cluster(target)
            if isinstance(found, NotPossible):
                return found
            item = found
        (document,) = daemon_set(name, image_for(target, item, arguments)).documents
        try:
            target.downstream.get(DAEMON_SETS, text(mapping(document, "metadata")["name"]), NAMESPACE)
        except NotFound:
            return (creation(document),)
        return NotPossible(f"a DaemonSet drover-host-fix-{name} is there already: take it out first")
    if target.snapshot.distribution is Distribution.RKE1:
        return NotPossible("Rancher does not reach the cluster's API")
    read = read_cluster(target)
    if isinstance(read, NotPossible):
        return read
    changes = append_changes(target, read, [daemon_set(name, image_for(target, read, arguments))])
    if not isinstance(changes, NotPossible) and not changes:
        return NotPossible(f"additionalManifest already has the host fix {name}: take it out first")
    return changes


def preview(target: Target, arguments: Mapping[str, Any]) -> PlannedStep | NotPossible:
    """`fix: name` (below), and `image: name` for one with a shell and `chroot`; the cluster's annotation goes before it."""
    writes = writes_for(target, arguments)
    if isinstance(writes, NotPossible):
        return writes
    name = str(fix_of(arguments))
    item = {}
    if target.snapshot.distribution is not Distribution.RKE1:
        read = read_cluster(target)
        item = {} if isinstance(read, NotPossible) else read
    (document,) = daemon_set(name, image_for(target, item, arguments)).documents
    fix = FIXES[name]
    way = "" if writes[0].place.path != PATH else " The control plane node delivers it (additionalManifest)."
    return PlannedStep(
        action=ACTION.name,
        title=f"Run the host fix `{name}` on every Linux node",
        writes=writes,
        diff=object_diff(Value(present=False), Value(present=True, value=document)),
        effect=f"A privileged DaemonSet {fix.does}.{way} Whatever comes after: {fix.remains}.",
        arguments=dict(arguments),
    )


def settled(target: Target, step: PlannedStep) -> Settled:
    """Has the script succeeded on every node? Out of reach that can be seen once the cluster connects."""
    if not is_reachable(target.snapshot):
        return Settled(holds=False, seen="whether the fix has run can be seen when the cluster connects")
    name = f"drover-host-fix-{step.arguments['fix']}"
    try:
        item = target.downstream.get(DAEMON_SETS, name, NAMESPACE)
    except NotFound:
        return Settled(holds=False, seen=f"{name} is not there yet")
    status = mapping(item, "status")
    desired, ready = integer(status.get("desiredNumberScheduled")) or 0, integer(status.get("numberReady")) or 0
    off = sum(node.ready is None for node in target.snapshot.nodes)
    return Settled(
        holds=desired > 0 and ready >= max(1, desired - off), seen=f"the fix has run on {ready} of {desired} nodes"
    )


def take_back(target: Target, write: Write) -> StepResult:
    assert isinstance(write, Change)
    return take_back_plainly(target, write) if write.place.path else taken_out(target, write, write.after.value)


ACTION = Action(
    name="host-fix",
    risk=Risk.DISRUPTIVE,
    undo=UndoKind.NONE,
    expected=timedelta(minutes=5),
    preview=preview,
    help="Runs a fix of a fixed list on every Linux node, where the label drover.io/host-fix=allow permits it.",
    settled=settled,
    settle_within=timedelta(minutes=15),
    apply=apply_block,
    take_back=take_back,
)
