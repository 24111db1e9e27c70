"""Which writes do we know, and what did each replace?

Every write reads first, is bound to the version that was read, and reads back what the server stored: Rancher drops unknown
keys silently. A conflict is answered by reading again and checking the same expectation again, never by writing harder.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rancher_ext.client.kubernetes import KubernetesApi, Resource
from rancher_ext.errors import Conflict, Invalid

# A busy cluster's status moves its resourceVersion every few seconds; five looks in a row get through.
CONFLICT_TRIES = 5


@dataclass(frozen=True)
class Place:
    """One field of one object. `path` has the keys from the object's root."""

    resource: Resource
    namespace: str
    name: str
    path: tuple[str, ...]

    def __str__(self) -> str:
        where = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.resource.plural}.{self.resource.group} {where} {'.'.join(self.path)}"


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
    api: KubernetesApi, place: Place, wanted: Value, *, expected: Value, uid: str, dry_run: bool = False
) -> Replaced:
    """Give one field a value, or take it away. Raises FieldMoved when it is neither as expected nor as wanted.

    Bound by JSON Patch `test` to the uid (a cluster created anew under the same name is another one) and to the
    resourceVersion that was read.
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
        if found != expected:
            raise FieldMoved(
                f"{place} is {_show(found)}; the plan expected {_show(expected)}",
                cure="Somebody changed it meanwhile. Drover leaves it as it is; make a new plan.",
                status=409,
            )
        operations = [
            {"op": "test", "path": "/metadata/uid", "value": uid},
            {"op": "test", "path": "/metadata/resourceVersion", "value": version},
            *_operations(item, place, wanted),
        ]
        try:
            stored = api.json_patch(place.resource, place.name, place.namespace, operations, dry_run=dry_run)
        except Conflict as error:
            conflict = error
            continue
        after = Value.of(stored, place.path)
        if after != wanted:
            raise Invalid(
                f"{place}: Rancher accepted the change but stored {_show(after)} instead of {_show(wanted)}",
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
    return repr(value.value) if value.present else "not set"
