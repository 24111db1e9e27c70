"""What is one stored object, one change and one page, and which metadata does the server keep by itself?

uid, generation, resourceVersion, managedFields: whatever a client says of them, the server's own word stands. A uid follows
from the name here, so that two runs of one seed have the same ids.
"""

import json
import uuid
from dataclasses import dataclass
from typing import Any

from rancher_ext.simulator.admission import Terms
from rancher_ext.simulator.paging import Key
from rancher_ext.simulator.resources import Resource, resource_of

Json = dict[str, Any]

CRD = resource_of("apiextensions.k8s.io/v1", "CustomResourceDefinition")
STALE_FOR = 30.0  # simulated seconds for which a stale read still shows what was before


class Entry:
    """One stored object with its encoded form and what it was before the last change."""

    __slots__ = ("_raw", "changed_at", "obj", "previous")

    def __init__(self, obj: Json, previous: Json | None, changed_at: float) -> None:
        self.obj = obj
        self.previous = previous
        self.changed_at = changed_at
        self._raw: bytes | None = None

    @property
    def raw(self) -> bytes:
        if self._raw is None:
            self._raw = encode(self.obj)
        return self._raw

    @property
    def item(self) -> bytes:
        """As it stands in a list of a built-in kind."""
        kind = encode({"apiVersion": self.obj["apiVersion"], "kind": self.obj["kind"]})[:-1] + b","
        if self.raw.startswith(kind):
            return b"{" + self.raw[len(kind) :]
        return encode({k: v for k, v in self.obj.items() if k not in {"apiVersion", "kind"}})


@dataclass(frozen=True, slots=True)
class Change:
    """One line of a store's history."""

    version: int
    kind: str  # ADDED, MODIFIED, DELETED
    resource: Resource
    obj: Json
    previous: Json | None


@dataclass(frozen=True, slots=True)
class Page:
    entries: list[Entry]
    version: int
    token: str
    remaining: int


@dataclass(frozen=True, slots=True)
class Written:
    """What a store tells its owner after a client's write (never after the simulator's own)."""

    verb: str
    resource: Resource
    key: Key
    obj: Json
    previous: Json | None


def encode(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


SERVER_OWNED = (
    "uid",
    "creationTimestamp",
    "resourceVersion",
    "generation",
    "managedFields",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)


def with_system(new: Json, old: Json) -> Json:
    own = {k: old["metadata"][k] for k in SERVER_OWNED if k in old["metadata"]}
    rest = {k: v for k, v in new["metadata"].items() if k not in SERVER_OWNED}
    return {**new, "metadata": {**rest, **own}}


def generation(new: Json, old: Json | None, metadata: Json) -> int:
    if old is None:
        return int(metadata.get("generation", 1))
    begins_to_go = (
        new["kind"] != CRD.kind and "deletionTimestamp" in metadata and "deletionTimestamp" not in old["metadata"]
    )
    return int(old["metadata"].get("generation", 1)) + (begins_to_go or _content(old) != _content(new))


def _content(obj: Json) -> Json:
    return {k: v for k, v in obj.items() if k not in {"metadata", "status", "apiVersion", "kind"}}


def managed(old: Json | None, manager: str, api_version: str, at: str, terms: Terms) -> list[Json]:
    entry: Json = {"manager": manager, "operation": terms.operation, "apiVersion": api_version, "time": at}
    entry |= {"fieldsType": "FieldsV1", "fieldsV1": {}}
    if terms.sub:
        entry["subresource"] = terms.sub
    same = ("manager", "operation", "subresource")
    fields = (old["metadata"].get("managedFields") or []) if old else []
    return [*(f for f in fields if any(f.get(k) != entry.get(k) for k in same)), entry]


def uid_of(store: str, resource: Resource, key: Key, life: int) -> str:
    """Stable for a name, so that two runs of one seed have the same ids; new when an object is made again."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{store}/{resource.plural}.{resource.group}/{key[0]}/{key[1]}/{life}"))
