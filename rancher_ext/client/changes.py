"""Which writes do we know, and what did each replace?

Every write reads first, is bound to the version that was read, and reads back what the server stored: Rancher drops unknown
keys silently. A conflict is answered by reading again and checking the same expectation again, never by writing harder.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rancher_ext.client.kubernetes import KubernetesApi, Resource
from rancher_ext.errors import Conflict, Invalid, NotFound

# A busy cluster's status moves its resourceVersion every few seconds; five looks in a row get through.
CONFLICT_TRIES = 5
# How much of a value a message tells.
_SHOWN, _LONG = 8, 80


@dataclass(frozen=True)
class Place:
    """One field of one object. `path` has the keys from the object's root; without any it is the object itself."""

    resource: Resource
    namespace: str
    name: str
    path: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join(filter(None, [self.object, ".".join(self.path)]))

    @property
    def object(self) -> str:
        """Kind and name, without the field."""
        where = f"{self.namespace}/{self.name}" if self.namespace else self.name
        kind = f"{self.resource.plural}.{self.resource.group}" if self.resource.group else self.resource.plural
        return f"{kind} {where}"


@dataclass(frozen=True, eq=False)
class Value:
    """A field's value, or its absence: in Kubernetes an absent key and null are not the same wish.

    Of an absent field it is also noted how much of the way to it was missing, so that an undo can take the mappings away
    again that the write had to make: `missing_from` is the index of the first key of the path that was absent (or null:
    `was_null`), None when not known. Two absences are equal whatever is known of the way.
    """

    present: bool
    value: Any = None
    missing_from: int | None = None
    was_null: bool = False

    def __eq__(self, other: object) -> bool:
        # By JSON's types: Python takes True for 1, and Kubernetes does not.
        if not isinstance(other, Value) or self.present != other.present:
            return False
        return not self.present or json.dumps(self.value, sort_keys=True) == json.dumps(other.value, sort_keys=True)

    def __hash__(self) -> int:
        return hash(json.dumps(self.value, sort_keys=True) if self.present else None)

    @classmethod
    def of(cls, item: Mapping[str, Any], path: Sequence[str]) -> "Value":
        current: Any = item
        for depth, key in enumerate(path):
            if current is None:
                return cls(present=False, missing_from=depth - 1, was_null=True)
            if not isinstance(current, Mapping) or key not in current:
                return cls(present=False, missing_from=depth)
            current = current[key]
        return cls(present=True, value=current)

    def to_json(self) -> dict[str, Any]:
        if self.present:
            return {"present": True, "value": self.value}
        return {"present": False, "missing_from": self.missing_from, "was_null": self.was_null}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Value":
        return cls(
            present=bool(raw["present"]),
            value=raw.get("value"),
            missing_from=raw.get("missing_from"),
            was_null=bool(raw.get("was_null")),
        )


ABSENT = Value(present=False)


@dataclass(frozen=True)
class Replaced:
    """What a write did. `wrote` is False when the field already had the wanted value (a repeated step)."""

    place: Place
    before: Value
    after: Value
    wrote: bool
    resource_version: str


class FieldMoved(Conflict):
    """The field has neither the value it should have before the write nor the one after it: somebody else changed it."""


def read_field(api: KubernetesApi, place: Place) -> tuple[Value, str, str]:
    """The field's value, the object's uid and its resourceVersion."""
    item = api.get(place.resource, place.name, place.namespace)
    metadata = item.get("metadata") or {}
    return Value.of(item, place.path), str(metadata.get("uid") or ""), str(metadata.get("resourceVersion") or "")


def set_field(
    api: KubernetesApi,
    place: Place,
    wanted: Value,
    *,
    expected: Value,
    uid: str,
    keep_others: bool = False,
    dry_run: bool = False,
) -> Replaced:
    """Give one field a value, or take it away. Raises FieldMoved when it is neither as expected nor as wanted.

    Bound by JSON Patch `test` to the uid (a cluster created anew under the same name is another one) and to the
    resourceVersion that was read. With `keep_others` a value that others changed meanwhile is merged: ours is taken out of
    it and theirs stays, or FieldMoved where both touched the same.
    """
    conflict: Conflict | None = None
    for _ in range(CONFLICT_TRIES):
        item = api.get(place.resource, place.name, place.namespace)
        metadata = item.get("metadata") or {}
        found = Value.of(item, place.path)
        version = str(metadata.get("resourceVersion") or "")
        if str(metadata.get("uid") or "") != uid:
            raise FieldMoved(
                f"{place}: this is another object than the one the plan was made for",
                cure="Make a new plan.",
                status=409,
            )
        if found == wanted:
            return Replaced(place, expected, found, wrote=False, resource_version=version)
        goal = wanted
        if found != expected:
            merged = merge(expected, found, wanted) if keep_others else None
            if merged == found and merged is not None:
                return Replaced(place, expected, found, wrote=False, resource_version=version)
            goal = merged or found
        if goal == found:
            raise FieldMoved(
                f"{place} is {_show(found)}; the plan expected {_show(expected)}",
                cure="Somebody changed it meanwhile. Drover leaves it as it is; make a new plan.",
                status=409,
            )
        operations = [
            {"op": "test", "path": "/metadata/uid", "value": uid},
            {"op": "test", "path": "/metadata/resourceVersion", "value": version},
            *_operations(item, place, goal),
        ]
        try:
            stored = api.json_patch(place.resource, place.name, place.namespace, operations, dry_run=dry_run)
        except Conflict as error:
            conflict = error
            continue
        after = Value.of(stored, place.path)
        if after != goal:
            raise Invalid(
                f"{place}: Rancher accepted the change but stored {_show(after)} instead of {_show(goal)}",
                cure="This Rancher version does not know the field, or something else rewrites it.",
            )
        return Replaced(
            place,
            found,
            after,
            wrote=not dry_run,
            resource_version=str((stored.get("metadata") or {}).get("resourceVersion") or ""),
        )
    assert conflict is not None
    raise conflict


def create_object(api: KubernetesApi, place: Place, manifest: Mapping[str, Any], *, dry_run: bool = False) -> str:
    """Make an object; its resourceVersion, or nothing when an object of this name with this content is there already."""
    try:
        made = api.create(place.resource, manifest, place.namespace, dry_run=dry_run)
    except Conflict:
        found = api.get(place.resource, place.name, place.namespace)
        if contains(found, manifest):
            return ""
        raise FieldMoved(
            f"{place} exists already and is another than the plan's",
            cure="Somebody made it meanwhile. Drover leaves it as it is; make a new plan.",
            status=409,
        ) from None
    return str((made.get("metadata") or {}).get("resourceVersion") or "")


def delete_object(api: KubernetesApi, place: Place, uid: str, *, dry_run: bool = False) -> bool:
    """Delete the object of this uid. False when it is gone already, also when another one has its name by now."""
    try:
        api.delete(place.resource, place.name, place.namespace, uid=uid, dry_run=dry_run)
    except NotFound:
        return False
    except Conflict:
        metadata = api.get(place.resource, place.name, place.namespace).get("metadata") or {}
        if str(metadata.get("uid") or "") == uid:
            raise
        return False
    return True


def contains(found: Any, wanted: Any) -> bool:
    """Does an object have everything that was asked for? Servers add defaults; lists must be equal, item by item."""
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(
            key in found and contains(found[key], value) for key, value in wanted.items()
        )
    if isinstance(wanted, list | tuple):
        return (
            isinstance(found, list | tuple)
            and len(found) == len(wanted)
            and all(contains(*pair) for pair in zip(found, wanted, strict=True))
        )
    return Value(present=True, value=found) == Value(present=True, value=wanted)


def merge(ours: Value, theirs: Value, back: Value) -> Value | None:
    """The value that takes our change (`back` → `ours`) out of what is there by now (`theirs`); None where they collide.

    Mappings merge key by key; lists of plain values as what was added and what was taken away; texts of several lines (a
    manifest) as the block of lines that we added. Everything else is one piece.
    """
    if theirs == ours:
        return back
    if back in (theirs, ours):
        return theirs
    if not (ours.present and theirs.present):
        return None
    if isinstance(ours.value, Mapping) and isinstance(theirs.value, Mapping):
        return _merged_mapping(ours, theirs, back)
    if not back.present:
        # The whole field was ours. What others added inside it cannot stay without it.
        empty = type(ours.value)() if isinstance(ours.value, list | str) else None
        rest = merge(ours, theirs, Value(present=True, value=empty)) if empty is not None else None
        return rest if rest is None or rest.value else back
    if isinstance(ours.value, list) and isinstance(theirs.value, list) and isinstance(back.value, list):
        return _merged_list(ours.value, theirs.value, back.value)
    if isinstance(ours.value, str) and isinstance(theirs.value, str) and isinstance(back.value, str):
        return _merged_text(ours.value, theirs.value, back.value)
    return None


def _merged_mapping(ours: Value, theirs: Value, back: Value) -> Value | None:
    if back.present and not isinstance(back.value, Mapping):
        return None
    earlier = back.value if back.present else {}
    merged: dict[str, Any] = {}
    for key in dict.fromkeys([*theirs.value, *ours.value, *earlier]):
        piece = merge(Value.of(ours.value, (key,)), Value.of(theirs.value, (key,)), Value.of(earlier, (key,)))
        if piece is None:
            return None
        if piece.present:
            merged[key] = piece.value
    return Value(present=True, value=merged) if merged or back.present else back


def _merged_list(ours: list[Any], theirs: list[Any], back: list[Any]) -> Value | None:
    added = [item for item in ours if item not in back]
    taken = [item for item in back if item not in ours]
    plain = all(isinstance(item, str | int | bool) for item in [*ours, *theirs, *back])
    if not plain or any(theirs.count(item) > 1 for item in added):
        return None
    kept = [item for item in theirs if item not in added]
    return Value(present=True, value=kept + [item for item in taken if item not in kept])


def _merged_text(ours: str, theirs: str, back: str) -> Value | None:
    """Our block, wherever it stands by now, is replaced by what stood there before."""
    start = 0
    while start < min(len(ours), len(back)) and ours[start] == back[start]:
        start += 1
    end = 0
    while end < min(len(ours), len(back)) - start and ours[-1 - end] == back[-1 - end]:
        end += 1
    # Whole lines: half a line of ours could be found where it means something else.
    start = ours.rfind("\n", 0, start) + 1
    stop = len(ours) - end
    stop = len(ours) if (line := ours.find("\n", max(stop - 1, start))) < 0 else line + 1
    block, earlier = ours[start:stop], back[start : len(back) - (len(ours) - stop)]
    if theirs.count(block) == 1:
        return Value(present=True, value=theirs.replace(block, earlier))
    lines = {line for line in block.splitlines() if len(line.strip()) > 3} - set(earlier.splitlines())
    # Nothing of ours is left: somebody took it out before us. A part of it is somebody's work by now.
    gone = bool(lines) and not lines & set(theirs.splitlines()) and not earlier.strip()
    return Value(present=True, value=theirs) if gone else None


def _operations(item: Mapping[str, Any], place: Place, wanted: Value) -> list[dict[str, Any]]:
    """JSON Patch that sets the field, creating the mappings on the way that are missing, or takes it away with those."""
    path = place.path
    if not wanted.present:
        return [_removal(item, path, wanted)]
    current: Any = item
    for depth, key in enumerate(path[:-1]):
        inside = current.get(key)
        if inside is None:
            nested: Any = wanted.value
            for inner in reversed(path[depth + 1 :]):
                nested = {inner: nested}
            return [{"op": "add", "path": _pointer(path[: depth + 1]), "value": nested}]
        if not isinstance(inside, Mapping):
            raise Invalid(
                f"{place}: {'.'.join(path[: depth + 1])} is {inside!r}, which cannot hold {path[depth + 1]!r}",
                cure="Look at this object: Drover does not replace what it does not understand.",
            )
        current = inside
    return [{"op": "add", "path": _pointer(path), "value": wanted.value}]


def _removal(item: Mapping[str, Any], path: Sequence[str], wanted: Value) -> dict[str, Any]:
    """Removes the field and the mappings above it that were missing once, as far as nothing else lives in them by now."""
    first = len(path) - 1 if wanted.missing_from is None else max(0, min(wanted.missing_from, len(path) - 1))
    for depth in range(first, len(path) - 1):
        made = Value.of(item, path[: depth + 1]).value
        chain = path[depth + 1 :]
        while chain and isinstance(made, Mapping) and set(made) == {chain[0]}:
            made, chain = made[chain[0]], chain[1:]
        if not chain:
            if depth == first and wanted.was_null:
                return {"op": "add", "path": _pointer(path[: depth + 1]), "value": None}
            return {"op": "remove", "path": _pointer(path[: depth + 1])}
    return {"op": "remove", "path": _pointer(path)}


def _pointer(path: Sequence[str]) -> str:
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in path)


def _show(value: Value) -> str:
    """For a message that goes into logs and issues. Of what is long, or has parts, only the shape: it may hold secrets of others."""
    if not value.present:
        return "not set"
    found = value.value
    if isinstance(found, Mapping):
        return f"a mapping of {', '.join(sorted(map(str, found))[:_SHOWN]) or 'nothing'}"
    if isinstance(found, list):
        return f"a list of {len(found)}"
    if isinstance(found, str) and ("\n" in found or len(found) > _LONG):
        return f"a text of {len(found.splitlines())} lines and {len(found)} characters"
    return repr(found)
