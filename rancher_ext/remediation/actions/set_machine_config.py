"""Set, remove or extend arguments of the distribution on an RKE2 or K3s cluster, for all machines or a pool.

The values live in `machineGlobalConfig`, and in `machineSelectorConfig` for some machines; a change restarts the service machine
by machine. Rancher passes only strings, booleans and lists on, and only keys that its release metadata lists: everything else
vanishes without a word (rancher-api 1.1), so it is refused here, and what arrived at the control plane object is read back.
Lists such as `kubelet-arg` are merged item by item. What shapes the overlay of a living cluster is never changed.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from rancher_ext.client.changes import ABSENT, Value
from rancher_ext.client.kubernetes import CONTROL_PLANES
from rancher_ext.fleet.parse import mapping, text
from rancher_ext.remediation.action import Action, NotPossible, PlannedStep, Risk, Settled, UndoKind
from rancher_ext.remediation.change import Change, Target
from rancher_ext.remediation.diff import field_diff
from rancher_ext.remediation.manifests import documents_of, key_of, present_text
from rancher_ext.remediation.spec import (
    RKE_CONFIG,
    change_of,
    configured,
    drain_changes,
    flag_of,
    items_of,
    known_arguments,
    read_cluster,
    restart_effect,
)

GLOBAL = (*RKE_CONFIG, "machineGlobalConfig")
SELECTED = (*RKE_CONFIG, "machineSelectorConfig")
_NEVER = frozenset({"cni", "cluster-cidr", "service-cidr", "cluster-dns", "cluster-domain", "flannel-backend"})
# What a restart with the former value does not bring back.
_LASTING = {
    "disable-cloud-controller": " Nodes keep the provider id that the built-in controller gives them: a cloud's own controller "
    "would not take them over later."
}
_WORDS = ("set", "unset", "add", "remove", "only_without")


def preview(target: Target, arguments: Mapping[str, Any]) -> PlannedStep | NotPossible:
    """`set: {key: value}`, `unset: [key]`, `add: {list-key: [item]}`, `remove: {list-key: [flag or flag=value]}`.

    `only_without: [key, additionalManifest=word]` leaves it to people where somebody set one of these keys, for whichever machines,
    or delivers something of such a name.
    """
    wrong = _wrong(arguments)
    if wrong:
        return wrong
    item = read_cluster(target)
    if isinstance(item, NotPossible):
        return item
    wanted = {**mapping(arguments, "set"), **mapping(arguments, "add")}
    other = next((found for key in arguments.get("only_without", []) if (found := _another_plan(item, str(key)))), None)
    if other:
        return NotPossible(f"its configuration has {other}, so somebody had another plan")
    known = known_arguments(target) if wanted else frozenset()
    lost = sorted(key for key in wanted if known and key not in known)
    if lost:
        return NotPossible(
            f"Rancher's metadata for {target.snapshot.kubernetes} does not list {lost[0]}: it would vanish"
        )
    return plan_configuration(
        target,
        item,
        arguments,
        action=ACTION.name,
        title=f"Change {_keys_of(arguments)} of the cluster's machines",
        nothing="its arguments",
    )


def plan_configuration(
    target: Target, item: Mapping[str, Any], arguments: Mapping[str, Any], *, action: str, title: str, nothing: str
) -> PlannedStep | NotPossible:
    """The step for these wishes, whoever has them."""
    config = mapping(item, *GLOBAL)
    after = _changed(config, arguments, complete=True)
    if isinstance(after, NotPossible):
        return after
    changes: list[Change] = []
    for key in sorted({*config, *after}):
        value = Value.of(after, (key,))
        if value != Value.of(config, (key,)):
            changes.append(change_of(target, item, (*GLOBAL, key), value if value.present else ABSENT))
    selected = mapping(item, *RKE_CONFIG).get("machineSelectorConfig")
    entries = selected if isinstance(selected, list) else []
    rewritten = []
    for entry in entries:
        own = _changed(mapping(entry, "config"), arguments, complete=False)
        if isinstance(own, NotPossible):
            return own
        rewritten.append({**entry, "config": own} if "config" in mapping(entry) else entry)
    if rewritten != entries:
        changes.append(change_of(target, item, SELECTED, Value(present=True, value=rewritten)))
    if not changes:
        return NotPossible(f"{nothing} already are as wanted: setting them again changes nothing")
    drains = drain_changes(target, item)
    return PlannedStep(
        action=action,
        title=title,
        writes=(*drains, *changes),
        diff="\n".join(field_diff(item, each.place.path, each.before, each.after) for each in (*drains, *changes)),
        effect=restart_effect(target, drains=len(drains))
        + "".join(_LASTING.get(key, "") for key in arguments.get("unset", [])),
        arguments=dict(arguments),
    )


def settled(target: Target, step: PlannedStep) -> Settled:
    """Has Rancher taken the values over into the object that the machines' plans are made from?"""
    identity = target.snapshot.identity
    plane = target.local.get(CONTROL_PLANES, identity.name, identity.namespace)
    for write in step.writes:
        if not isinstance(write, Change) or write.place.path[:3] not in {GLOBAL, SELECTED}:
            continue
        path = ("spec", *write.place.path[2:])
        if Value.of(plane, path) != write.after:
            return Settled(holds=False, seen=f"{write.place.path[-1]} is not yet in the plan of the machines")
    return Settled(holds=True, seen="Rancher has taken the arguments over")


def _another_plan(item: Mapping[str, Any], key: str) -> str:
    """What somebody has for this key, for whichever machines; empty where nobody has.

    `additionalManifest=word` looks for a document in the additional manifest whose name has that word.
    """
    name, _, word = key.partition("=")
    if not word:
        values = [value for value in configured(item, name) if value]
        return f"{name}: {values[0]}" if values else ""
    documents = documents_of(present_text(item))
    if isinstance(documents, NotPossible):
        return ""
    found = next((key_of(each)[3] for each in documents if word in key_of(each)[3]), "")
    return f"{found} in its {name}" if found else ""


def _keys_of(arguments: Mapping[str, Any]) -> str:
    keys = {key for word in ("set", "add", "remove") for key in mapping(arguments, word)} | {
        *arguments.get("unset", [])
    }
    return ", ".join(f"`{key}`" for key in sorted(keys))


def _wrong(arguments: Mapping[str, Any]) -> NotPossible | None:
    if not arguments or set(arguments) - set(_WORDS):
        return NotPossible(f"the action understands {', '.join(_WORDS)}")
    keys = [
        *mapping(arguments, "set"),
        *mapping(arguments, "add"),
        *mapping(arguments, "remove"),
        *arguments.get("unset", []),
    ]
    never = sorted(set(keys) & _NEVER)
    if never:
        return NotPossible(f"{never[0]} of a living cluster is never changed")
    for key, value in mapping(arguments, "set").items():
        plain = isinstance(value, str | bool) or (
            isinstance(value, list) and all(isinstance(each, str) for each in value)
        )
        if not plain:
            return NotPossible(
                f"{key} must be a string, a boolean or a list of strings: Rancher drops {type(value).__name__} values silently"
            )
    return None


def _changed(
    config: Mapping[str, Any], arguments: Mapping[str, Any], *, complete: bool
) -> dict[str, Any] | NotPossible:
    """The configuration as it shall be. One of some machines (not `complete`) only loses and gains what it has itself."""
    after = dict(config)
    for key, value in mapping(arguments, "set").items():
        if complete or key in after:
            after[key] = value
    for key in arguments.get("unset", []):
        after.pop(key, None)
    for key, wanted in mapping(arguments, "remove").items():
        if key not in after:
            continue
        items = items_of(after[key])
        kept = [each for each in items if not any(_is_meant(each, str(one)) for one in wanted)]
        if kept != items:
            after[key] = kept
        if not kept:
            del after[key]
    for key, wanted in mapping(arguments, "add").items():
        if not complete and key not in after:
            continue
        items = items_of(after.get(key))
        for one in map(str, wanted):
            same = [each for each in items if flag_of(each)[0] == flag_of(one)[0]]
            if same and flag_of(same[0]) != flag_of(one):
                return NotPossible(f"{key} already says {same[0]}: whether that is meant, a person knows")
            if not same:
                items = [*items, one]
        if items != items_of(after.get(key)):
            after[key] = items
    return after


def _is_meant(item: str, wanted: str) -> bool:
    name, value = flag_of(item)
    wanted_name, wanted_value = flag_of(wanted)
    return name == wanted_name and ("=" not in wanted or value == wanted_value)


def described(arguments: Mapping[str, Any]) -> str:
    """The wishes for a title."""
    removed = [text(each) or str(each) for items in mapping(arguments, "remove").values() for each in items]
    return ", ".join(f"`{each}`" for each in removed)


ACTION = Action(
    name="set-machine-config",
    risk=Risk.DISRUPTIVE,
    undo=UndoKind.EXACT,
    expected=timedelta(minutes=15),
    preview=preview,
    help="Sets, removes or extends arguments of RKE2 or K3s; the service restarts machine by machine.",
    settled=settled,
    settle_within=timedelta(minutes=5),
)
