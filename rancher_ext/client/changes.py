"""Which writes do we know, and what did each replace?

Every write reads first, is bound to the version that was read, and reads back what the server stored: Rancher drops unknown
keys silently. A conflict is answered by reading again and checking the same expectation again, never by writing harder.
"""

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


@dataclass(frozen=True)
class Value:
    """A field's value, or its absence: in Kubernetes an absent key and null are not the same wish."""

    present: bool
    value: Any = None

    @classmethod
    def of(cls, item: Mapping[str, Any], path: Sequence[str]) -> "Value":
        current: Any = item
        for key in path:
            if not isinstance(current, Mapping) or key not in current:
                return cls(present=False)
            current = current[key]
        return cls(present=True, value=current)

    def to_json(self) -> dict[str, Any]:
        return {"present": True, "value": self.value} if self.present else {"present": False}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Value":
        return cls(present=bool(raw["present"]), value=raw.get("value"))


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
            *_operations(item, place.path, wanted),
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


def _operations(item: Mapping[str, Any], path: Sequence[str], wanted: Value) -> list[dict[str, Any]]:
    """JSON Patch that sets the field, creating the mappings on the way that are missing."""
    if not wanted.present:
        return [{"op": "remove", "path": _pointer(path)}]
    current: Any = item
    for depth, key in enumerate(path[:-1]):
        if not isinstance(current, Mapping) or not isinstance(current.get(key), Mapping):
            nested: Any = wanted.value
            for inner in reversed(path[depth + 1 :]):
                nested = {inner: nested}
            return [{"op": "add", "path": _pointer(path[: depth + 1]), "value": nested}]
        current = current[key]
    return [{"op": "add", "path": _pointer(path), "value": wanted.value}]


def _pointer(path: Sequence[str]) -> str:
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in path)


def _show(value: Value) -> str:
    return repr(value.value) if value.present else "not set"
