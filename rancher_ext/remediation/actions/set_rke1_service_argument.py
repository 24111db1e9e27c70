"""Set, or take away, one argument of a service of an RKE1 cluster; or add one bind mount.

`services.<service>.extraArgs` is a map of strings which RKE lays over its own arguments. The write touches our key alone, so
that whatever stands beside it stays (Norman's PUT would replace the map). RKE re-creates the service's container node by
node, as `upgradeStrategy` says. A key that somebody has set is never overwritten; taking one away names the value it must have.
The address ranges of a cluster that has nodes are never changed: every pod would have to be made anew.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from rancher_ext.client.changes import ABSENT, Value
from rancher_ext.fleet.parse import mapping, text
from rancher_ext.remediation.action import Action, NotPossible, PlannedStep, Risk, UndoKind
from rancher_ext.remediation.change import Change, Target
from rancher_ext.remediation.diff import field_diff
from rancher_ext.remediation.rke1 import CONFIG, config_change, editable_cluster, nodes_of

_SERVICES = frozenset({"kubelet", "kubeController", "kubeproxy"})
_NEVER = frozenset({"cluster-cidr", "service-cluster-ip-range", "node-cidr-mask-size"})
# In place of the value to remove: a flag that the new version no longer knows goes whatever it says.
WHATEVER = "*"

Json = Mapping[str, Any]


def preview(target: Target, arguments: Json) -> PlannedStep | NotPossible:
    """`{service, key, value}` sets, `{service, key, remove: <the value it has, or *>}` takes away, `{service, bind}` adds a mount."""
    item = editable_cluster(target)
    if isinstance(item, NotPossible):
        return item
    service = text(arguments.get("service"))
    if service not in _SERVICES:
        return NotPossible(f"{service!r} is none of the services {', '.join(sorted(_SERVICES))}")
    block = (*CONFIG, "services", service)
    change = _bind(item, block, arguments) if "bind" in arguments else _argument(item, block, arguments)
    if isinstance(change, NotPossible):
        return change
    snapshot = target.snapshot
    if arguments.get("key") in _NEVER and (snapshot.initialized or any(node.pod_cidr for node in snapshot.nodes)):
        return NotPossible(f"{arguments['key']} of a cluster that has nodes is never changed")
    what = arguments.get("key") or arguments["bind"]
    return PlannedStep(
        action=ACTION.name,
        title=f"{'Remove' if 'remove' in arguments else 'Add'} `{what}` {'from' if 'remove' in arguments else 'to'} {service}",
        writes=(change,),
        diff=field_diff(item, change.place.path, change.before, change.after),
        effect=f"Rancher re-creates the {service} container on {nodes_of(snapshot)}, node by node. Pods keep running.",
        arguments=dict(arguments),
    )


def _argument(item: Json, block: tuple[str, ...], arguments: Json) -> Change | NotPossible:
    key = text(arguments.get("key"))
    if not key or ("value" in arguments) == ("remove" in arguments):
        return NotPossible("the action wants a key, and either a value or the value to remove")
    where = f"services.{block[-1]}.extraArgs.{key}"
    wanted = arguments["remove"] if "remove" in arguments else arguments["value"]
    if not isinstance(wanted, str):
        # Rancher keeps a map of strings; another type is dropped without a word.
        return NotPossible(f"the value of {where} must be text; put {wanted!r} into quotes")
    if key in mapping(item, *block, "extraArgsArray"):
        return NotPossible(
            f"services.{block[-1]}.extraArgsArray has {key}, too: Drover does not guess which one counts"
        )
    path = (*block, "extraArgs", key)
    now = Value.of(item, path)
    if "remove" in arguments:
        if not now.present:
            return NotPossible(f"{where} is not set: nothing to remove")
        if wanted not in {now.value, WHATEVER}:
            return NotPossible(f"{where} is {now.value!r} and not {wanted!r}: it is left as it is")
        return config_change(item, path, ABSENT)
    if now.present:
        same = now.value == wanted
        return NotPossible(f"{where} is already {now.value!r}" + ("" if same else ": somebody chose that"))
    return config_change(item, path, Value(present=True, value=wanted))


def _bind(item: Json, block: tuple[str, ...], arguments: Json) -> Change | NotPossible:
    bind = text(arguments.get("bind"))
    if ":" not in bind:
        return NotPossible(f"{bind!r} is no bind mount; write for example '/opt/cni:/opt/cni'")
    path = (*block, "extraBinds")
    present = Value.of(item, path).value or []
    if not isinstance(present, list):
        return NotPossible(f"services.{block[-1]}.extraBinds is {present!r} and no list")
    if bind in present:
        return NotPossible(f"services.{block[-1]}.extraBinds already has {bind}")
    return config_change(item, path, Value(present=True, value=[*present, bind]))


ACTION = Action(
    name="set-rke1-service-argument",
    risk=Risk.DISRUPTIVE,
    undo=UndoKind.EXACT,
    expected=timedelta(minutes=8),
    preview=preview,
    help="Sets or removes one argument (or adds a bind mount) of an RKE1 service; Rancher then runs `rke up`.",
)
