"""Take the DaemonSet of a host fix out again, once it has done its work.

It stands after `host-fix` in a plan, with the same arguments: privileged pods do not stay. Only a DaemonSet that bears Drover's labels
is deleted; from `additionalManifest` exactly our block goes, whatever people wrote around it meanwhile. There is nothing to undo.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from rancher_ext.client.changes import set_field
from rancher_ext.remediation.action import Action, NotPossible, PlannedStep, Risk, UndoKind
from rancher_ext.remediation.actions.host_fix import writes_for
from rancher_ext.remediation.change import Change, StepResult, Target, Write
from rancher_ext.remediation.host_fix import taken_out


def preview(target: Target, arguments: Mapping[str, Any]) -> PlannedStep | NotPossible:
    """As `host-fix`, after which it stands."""
    writes = writes_for(target, arguments)
    if isinstance(writes, NotPossible):
        return writes
    # The same writes backwards. The object's uid is not known before it is made.
    back = [
        Change(each.place, each.uid, each.after, each.before, downstream=each.downstream, stays=True) for each in writes
    ]
    return PlannedStep(
        action=ACTION.name,
        title=f"Take the host fix `{arguments['fix']}` out again",
        writes=tuple(reversed(back)),
        diff=f"-DaemonSet kube-system/drover-host-fix-{arguments['fix']}",
        effect="The privileged pods end. What the fix did on the nodes stays.",
        arguments=dict(arguments),
    )


def apply(target: Target, write: Write) -> StepResult:
    assert isinstance(write, Change)
    if write.place.path:
        replaced = set_field(
            target.local, write.place, write.after, expected=write.before, uid=write.uid, keep_others=True
        )
        seen = "taken out" if replaced.wrote else "it was out already"
        return StepResult(replaced.wrote, f"{write.place}: {seen}", replaced.resource_version)
    return taken_out(target, write, write.before.value)


ACTION = Action(
    name="end-host-fix",
    risk=Risk.SAFE,
    undo=UndoKind.COMPENSATING,
    expected=timedelta(minutes=1),
    preview=preview,
    help="Takes the DaemonSet of a host fix out again; what it did on the nodes stays.",
    apply=apply,
)
