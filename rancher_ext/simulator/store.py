"""How does a Kubernetes API server keep its objects, number its changes and refuse what is out of date?

One `Store` is one cluster's etcd and API semantics without HTTP. Modelled: uid, one resourceVersion counter per store,
generation (moves with anything but metadata and status), managedFields times, optimistic locking, merge and JSON
patch, dry run, paging with opaque tokens, selectors, and a bounded history from which watches read; whoever is further
behind than the history gets 410. Stored objects are never changed in place: a change stores a new dict, so a reader
needs no copy, and the encoded bytes can be kept beside it.

Simplified: a page after the first shows the present, not the instant of the first page; server-side apply merges
without ownership conflicts; strategic merge replaces lists; no admission and no schema pruning.
"""

import base64
import binascii
import bisect
import json
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from rancher_ext.simulator import patching, status
from rancher_ext.simulator.clock import SimClock, rfc3339
from rancher_ext.simulator.resources import Resource
from rancher_ext.simulator.selectors import Match

Json = dict[str, Any]
Key = tuple[str, str]  # namespace ("" when there is none), name

PATCH_TYPES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)
CUSTOM_PATCH_TYPES = (PATCH_TYPES[0], PATCH_TYPES[1], PATCH_TYPES[3])
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
    def version(self) -> int:
        return int(self.obj["metadata"]["resourceVersion"])


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


class Store:
    """The objects of one cluster. Every public method may be called from any thread."""

    def __init__(
        self, name: str, clock: SimClock, resources: Iterable[Resource], *, lock: threading.RLock, history: int = 8192
    ) -> None:
        self.name = name
        self.lock = lock
        self.resources = {(r.group, r.version, r.plural): r for r in resources}
        self.clock = clock
        self._version = 1000
        self._objects: dict[Resource, dict[Key, Entry]] = {r: {} for r in self.resources.values()}
        self._sorted: dict[Resource, list[Key] | None] = {}
        self._history: deque[Change] = deque(maxlen=history)
        self._forgotten = 1000  # the newest version that is no longer in the history
        self._listeners: list[Callable[[], None]] = []
        self._erased: dict[tuple[Resource, Key], int] = {}
        self.on_write: Callable[[Written], None] | None = None

    # -- reading ---------------------------------------------------------------------------------------------------

    @property
    def version(self) -> int:
        return self._version

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        return self.resources.get((group, version, plural))

    def entry(self, resource: Resource, key: Key) -> Entry | None:
        return self._objects[resource].get(key)

    def peek(self, resource: Resource, namespace: str, name: str) -> Json | None:
        entry = self._objects[resource].get((namespace, name))
        return entry.obj if entry else None

    def get(self, resource: Resource, key: Key) -> Entry:
        entry = self._objects[resource].get(key)
        if entry is None:
            raise status.not_found(resource.plural, resource.group, key[1])
        return entry

    def keys(self, resource: Resource) -> list[Key]:
        keys = self._sorted.get(resource)
        if keys is None:
            keys = self._sorted[resource] = sorted(self._objects[resource])
        return keys

    def objects(self, resource: Resource, namespace: str = "") -> list[Json]:
        with self.lock:
            return [self._objects[resource][k].obj for k in self.keys(resource) if not namespace or k[0] == namespace]

    def page(
        self,
        resource: Resource,
        namespace: str = "",
        matches: list[Match] | None = None,
        limit: int = 0,
        token: str = "",
    ) -> Page:
        with self.lock:
            objects, keys = self._objects[resource], self.keys(resource)
            version = self._version
            start = bisect.bisect_left(keys, (namespace, "")) if namespace else 0
            stop = bisect.bisect_left(keys, (namespace + "\0", "")) if namespace else len(keys)
            if token:
                version, after = self._read_token(token)
                start = max(start, bisect.bisect_right(keys, after))
            entries: list[Entry] = []
            for at in range(start, stop):
                entry = objects[keys[at]]
                if matches and not all(match(entry.obj) for match in matches):
                    continue
                entries.append(entry)
                if limit and len(entries) == limit:
                    if at + 1 < stop:
                        return Page(entries, version, self._make_token(version, keys[at]), stop - at - 1)
                    break
            return Page(entries, version, "", 0)

    def _make_token(self, version: int, key: Key) -> str:
        return base64.urlsafe_b64encode(encode({"v": "meta.k8s.io/v1", "rv": version, "start": key})).decode()

    def _read_token(self, token: str) -> tuple[int, Key]:
        try:
            content = json.loads(base64.urlsafe_b64decode(token))
            version, start = int(content["rv"]), (str(content["start"][0]), str(content["start"][1]))
        except (ValueError, KeyError, TypeError, IndexError, binascii.Error):
            raise status.bad_request("continue key is not valid") from None
        if version < self._forgotten:
            raise status.expired(
                "The provided continue parameter is too old to display a consistent list result. "
                "You can start a new list without the continue parameter."
            )
        return version, start

    def since(self, version: int, resource: Resource) -> list[Change] | None:
        """The changes of one resource after a version; None when the history does not reach back that far."""
        with self.lock:
            if version < self._forgotten:
                return None
            found: list[Change] = []
            for change in reversed(self._history):
                if change.version <= version:
                    break
                if change.resource is resource:
                    found.append(change)
            found.reverse()
            return found

    @property
    def oldest(self) -> int:
        return self._forgotten

    def forget_history(self) -> None:
        """As after a compaction: every watch that starts from an earlier version gets 410."""
        with self.lock:
            self._history.clear()
            self._forgotten = self._version

    def listen(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Calls back after each change; the answer ends it."""
        with self.lock:
            self._listeners.append(callback)
        return lambda: self._listeners.remove(callback) if callback in self._listeners else None

    # -- the simulator's own hand ----------------------------------------------------------------------------------

    def put(self, resource: Resource, obj: Json, *, manager: str = "rancher", created: float | None = None) -> bool:
        """Makes the object what is given, as a controller would; says whether that changed anything."""
        with self.lock:
            metadata = obj["metadata"]
            key = (metadata.get("namespace", ""), metadata["name"])
            entry = self._objects[resource].get(key)
            if entry is None:
                if created is not None:
                    obj = {**obj, "metadata": {**metadata, "creationTimestamp": rfc3339(created)}}
                self._store(resource, key, obj, None, manager)
                return True
            old = entry.obj
            system = {k: old["metadata"][k] for k in _SERVER_OWNED if k in old["metadata"]}
            new = {**obj, "metadata": {**metadata, **system}}
            if new == old:
                return False
            self._store(resource, key, new, old, manager)
            return True

    def drop(self, resource: Resource, namespace: str, name: str) -> bool:
        with self.lock:
            entry = self._objects[resource].get((namespace, name))
            if entry is None:
                return False
            self._erase(resource, (namespace, name), entry)
            return True

    # -- clients' verbs --------------------------------------------------------------------------------------------

    def create(self, resource: Resource, namespace: str, body: Json, *, manager: str, dry_run: bool = False) -> Json:
        with self.lock:
            body = self._shape(resource, namespace, "", body)
            metadata = body["metadata"]
            if not metadata.get("name") and metadata.get("generateName"):
                metadata["name"] = metadata["generateName"] + uuid.uuid4().hex[:5]
            if not metadata.get("name"):
                raise status.invalid(f'{resource.kind} "" is invalid: metadata.name: Required value: name is required')
            key = (metadata.get("namespace", ""), metadata["name"])
            if key in self._objects[resource]:
                raise status.already_exists(resource.plural, resource.group, key[1])
            if metadata.get("resourceVersion"):
                raise status.bad_request("resourceVersion should not be set on objects to be created")
            return self._write("create", resource, key, body, None, manager, dry_run)

    def update(self, resource: Resource, key: Key, body: Json, *, manager: str, dry_run: bool = False) -> Json:
        with self.lock:
            old = self.get(resource, key).obj
            body = self._shape(resource, key[0], key[1], body)
            version = body["metadata"].get("resourceVersion", "")
            if not version and resource.custom:
                raise status.invalid(
                    f'{resource.plural}.{resource.group} "{key[1]}" is invalid: metadata.resourceVersion: '
                    "Invalid value: 0x0: must be specified for an update"
                )
            if version and version != old["metadata"]["resourceVersion"]:
                raise status.conflict(resource.plural, resource.group, key[1])
            return self._write("update", resource, key, body, old, manager, dry_run)

    def patch(
        self, resource: Resource, key: Key, content_type: str, patch: Any, *, manager: str, dry_run: bool = False
    ) -> Json:
        accepted = CUSTOM_PATCH_TYPES if resource.custom else PATCH_TYPES
        if content_type not in accepted:
            raise status.unsupported_media_type(accepted)
        with self.lock:
            if content_type == "application/apply-patch+yaml" and key not in self._objects[resource]:
                return self.create(resource, key[0], patch, manager=manager, dry_run=dry_run)
            old = self.get(resource, key).obj
            if content_type == "application/json-patch+json":
                new = patching.json_patch(old, patch)
            else:
                new = patching.merge_patch(old, patch)
            new = self._shape(resource, key[0], key[1], new)
            version = new["metadata"].get("resourceVersion", "")
            if version and version != old["metadata"]["resourceVersion"]:
                raise status.conflict(resource.plural, resource.group, key[1])
            return self._write("patch", resource, key, new, old, manager, dry_run)

    def delete(self, resource: Resource, key: Key, options: Json, *, dry_run: bool = False) -> Json:
        with self.lock:
            entry = self.get(resource, key)
            metadata = entry.obj["metadata"]
            for what, wanted in (options.get("preconditions") or {}).items():
                found = str(metadata.get("uid" if what == "uid" else "resourceVersion", ""))
                if wanted != found:
                    label = "UID" if what == "uid" else "ResourceVersion"
                    raise status.precondition_failed(resource.plural, resource.group, key[1], label, wanted, found)
            if dry_run:
                return entry.obj
            if metadata.get("finalizers"):
                marked = {**metadata, "deletionTimestamp": rfc3339(self.clock.seconds())}
                obj = {**entry.obj, "metadata": marked}
                if "deletionTimestamp" not in metadata:
                    obj = self._store(resource, key, obj, entry.obj, "")
                self._tell(Written("delete", resource, key, obj, entry.obj))
                return obj
            self._erase(resource, key, entry)
            self._tell(Written("delete", resource, key, entry.obj, entry.obj))
            details = {"name": key[1], "kind": resource.plural, "uid": metadata["uid"]}
            if resource.group:
                details["group"] = resource.group
            return status.success(details)

    # -- inside ----------------------------------------------------------------------------------------------------

    def _shape(self, resource: Resource, namespace: str, name: str, body: Any) -> Json:
        """Refuses what is not an object of this resource at this path, and fills in what a client may leave out."""
        if not isinstance(body, dict) or not isinstance(body.get("metadata", {}), dict):
            raise status.bad_request("the object provided is unrecognized (must be of type Object with metadata)")
        metadata = dict(body.get("metadata") or {})
        if body.get("kind", resource.kind) != resource.kind or body.get("apiVersion", resource.api_version) != (
            resource.api_version
        ):
            raise status.bad_request(
                f"the API version or kind in the data ({body.get('apiVersion')}, Kind={body.get('kind')}) does not "
                f"match the expected ({resource.api_version}, Kind={resource.kind})"
            )
        if name and metadata.get("name", name) != name:
            raise status.bad_request(
                f"the name of the object ({metadata.get('name')}) does not match the name on the URL ({name})"
            )
        if resource.namespaced and metadata.get("namespace", namespace) != namespace:
            raise status.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        if name:
            metadata["name"] = name
        if resource.namespaced:
            metadata["namespace"] = namespace
        return {**body, "apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}

    def _write(
        self, verb: str, resource: Resource, key: Key, new: Json, old: Json | None, manager: str, dry_run: bool
    ) -> Json:
        if resource.custom:
            # The status subresource: a client's status is ignored on the main path.
            new = {k: v for k, v in new.items() if k != "status"}
            if old and "status" in old:
                new["status"] = old["status"]
        if old:
            system = {k: old["metadata"][k] for k in _SERVER_OWNED if k in old["metadata"]}
            new = {**new, "metadata": {**new["metadata"], **system}}
            if new == old:
                return old
        stored = self._store(resource, key, new, old, manager, dry_run=dry_run)
        if not dry_run:
            self._tell(Written(verb, resource, key, stored, old))
        return stored

    def _store(
        self, resource: Resource, key: Key, new: Json, old: Json | None, manager: str, *, dry_run: bool = False
    ) -> Json:
        now = self.clock.seconds()
        metadata = dict(new["metadata"])
        metadata["resourceVersion"] = str(self._version if dry_run else self._version + 1)
        if old is None:
            metadata["uid"] = metadata.get("uid") or _uid(
                self.name, resource, key, self._erased.get((resource, key), 0)
            )
            metadata.setdefault("creationTimestamp", rfc3339(now))
        if resource.has_generation:
            generation = old["metadata"].get("generation", 1) if old else metadata.get("generation", 1)
            metadata["generation"] = (
                generation + 1 if old is not None and _content(old) != _content(new) else generation
            )
        if manager:
            metadata["managedFields"] = _managed(old, manager, resource.api_version, rfc3339(now))
        obj = {**new, "metadata": metadata}
        if dry_run:
            return obj
        self._version += 1
        self._objects[resource][key] = Entry(obj, old, now)
        if old is None:
            self._sorted[resource] = None
        self._remember(Change(self._version, "ADDED" if old is None else "MODIFIED", resource, obj, old))
        return obj

    def _erase(self, resource: Resource, key: Key, entry: Entry) -> None:
        self._version += 1
        del self._objects[resource][key]
        self._erased[resource, key] = self._erased.get((resource, key), 0) + 1
        self._sorted[resource] = None
        gone = {**entry.obj, "metadata": {**entry.obj["metadata"], "resourceVersion": str(self._version)}}
        self._remember(Change(self._version, "DELETED", resource, gone, entry.obj))

    def _remember(self, change: Change) -> None:
        if len(self._history) == self._history.maxlen:
            self._forgotten = self._history[0].version
        self._history.append(change)
        for callback in self._listeners:
            callback()

    def _tell(self, written: Written) -> None:
        if self.on_write:
            self.on_write(written)


_SERVER_OWNED = ("uid", "creationTimestamp", "resourceVersion", "generation", "managedFields", "deletionTimestamp")


def _content(obj: Json) -> Json:
    return {k: v for k, v in obj.items() if k not in {"metadata", "status", "apiVersion", "kind"}}


def _managed(old: Json | None, manager: str, api_version: str, at: str) -> list[Json]:
    fields = [f for f in (old["metadata"].get("managedFields") or [] if old else []) if f["manager"] != manager]
    update = {"manager": manager, "operation": "Update", "apiVersion": api_version, "time": at}
    return [*fields, {**update, "fieldsType": "FieldsV1", "fieldsV1": {}}]


def _uid(store: str, resource: Resource, key: Key, life: int) -> str:
    """Stable for a name, so that two runs of one seed have the same ids; new when an object is made again."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{store}/{resource.plural}.{resource.group}/{key[0]}/{key[1]}/{life}"))
