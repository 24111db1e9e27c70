"""How does a Kubernetes API server keep its objects, number its changes and refuse what is out of date?

One `Store` is one cluster's etcd and API semantics without HTTP. Modelled: uid, one resourceVersion counter per store,
generation (moves with anything but metadata and status, and when a deletion begins), managedFields times, optimistic
locking, merge, strategic and JSON patch, the status subresource, dry run, validation, finalizers, preconditions of a
deletion, and a bounded history from which watches and later pages read; whoever is further behind than the history gets
410. Stored objects are never changed in place: a change stores a new dict, so a reader needs no copy, and the encoded
bytes can be kept beside it.

As in kube-apiserver 1.32:

- An object is written into a namespace that exists (404 `namespaces "x" not found`), valid or not.
- An update whose object has another uid is a conflict, a patch to another uid is not valid; another creationTimestamp,
  generation or managedFields are put back without a word.
- Items of a list of built-in kinds carry no `kind` and `apiVersion`: the list names them once. Those of custom kinds do.
- A custom object has to name its kind; of a built-in one the path tells it.
- A deleted object with finalizers stays, marked with a grace period of 0, until the last of them is taken away.
- managedFields tell apart who wrote the object and who wrote its status, under one name too.

Simplified: server-side apply merges without ownership conflicts and `fieldsV1` is empty; no quota, no webhooks.
"""

import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from rancher_ext.simulator import admission, deletion, patching, status, strategy
from rancher_ext.simulator.admission import Terms
from rancher_ext.simulator.clock import SimClock, rfc3339
from rancher_ext.simulator.paging import PRESENT, Key, Token, as_it_was, cut, key_of
from rancher_ext.simulator.records import (
    CRD,
    SERVER_OWNED,
    Change,
    Entry,
    Page,
    Written,
    generation,
    managed,
    uid_of,
    with_system,
)
from rancher_ext.simulator.resources import Resource, resource_of
from rancher_ext.simulator.selectors import Match

Json = dict[str, Any]

APPLY = "application/apply-patch+yaml"
PATCH_TYPES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    APPLY,
)
_PATCHES: dict[str, Callable[[Json, Any], Json]] = {
    PATCH_TYPES[0]: patching.json_patch,
    PATCH_TYPES[1]: patching.merge_patch,
    PATCH_TYPES[2]: patching.strategic_merge,
}
CUSTOM_PATCH_TYPES = (PATCH_TYPES[0], PATCH_TYPES[1], PATCH_TYPES[3])
NAMESPACE = resource_of("v1", "Namespace")


class Store:
    """The objects of one cluster. Every public method may be called from any thread."""

    def __init__(
        self,
        name: str,
        clock: SimClock,
        resources: Iterable[Resource],
        *,
        lock: threading.RLock,
        history: int = 8192,
        crds_decide: bool = False,
    ) -> None:
        self.name = name
        self.lock = lock
        self.crds_decide = crds_decide
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
        # What the simulator's own hand put last, where a client's change is to outlive the next time.
        self.rendered: dict[tuple[Resource, Key], Json] = {}
        # Whose deletion waits for somebody who is away, as a pod's does for its kubelet.
        self.lingers: Callable[[Resource, Json], bool] | None = None

    # -- reading ---------------------------------------------------------------------------------------------------

    @property
    def version(self) -> int:
        return self._version

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        return self.resources.get((group, version, plural))

    def serves(self, resource: Resource) -> bool:
        """Where the store keeps the CRDs of its custom kinds, a kind is served once its CRD is there."""
        if not self.crds_decide or not resource.custom:
            return True
        return ("", f"{resource.plural}.{resource.group}") in self._objects[CRD]

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
        *,
        exactly: int | None = None,
    ) -> Page:
        """`exactly` is the version to show; a token brings that of its first page."""
        with self.lock:
            going_on = Token.decoded(token) if token else None
            version = going_on.version if going_on else self._version if exactly is None else exactly
            version = self._version if version == PRESENT else version
            objects, keys = self._objects[resource], self.keys(resource)
            if version < self._version:
                changes = self.since(version, resource)
                if changes is None:
                    raise going_on.too_old() if going_on else status.expired(f"too old resource version: {version}")
                if changes:
                    was = as_it_was(objects, changes)
                    objects = {k: e if isinstance(e, Entry) else Entry(e, None, 0.0) for k, e in was.items()}
                    keys = sorted(objects)
            after = going_on.after if going_on else None
            found, rest, remaining = cut(keys, objects, namespace, matches or [], limit, after)
            return Page(found, version, Token(version, rest).encoded() if rest else "", remaining)

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
            new = {**obj, "metadata": {**metadata, **{k: v for k, v in old["metadata"].items() if k in SERVER_OWNED}}}
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

    def create(
        self,
        resource: Resource,
        namespace: str,
        body: Json,
        *,
        manager: str,
        dry_run: bool = False,
        terms: Terms | None = None,
    ) -> Json:
        terms = terms or Terms()
        with self.lock:
            body = admission.decoded(resource, namespace, "", body, terms)
            metadata = body["metadata"]
            if metadata.get("resourceVersion"):
                raise status.ApiStatus(500, "", "resourceVersion should not be set on objects to be created")
            self._need_namespace(resource, namespace)
            if not metadata.get("name") and metadata.get("generateName"):
                metadata["name"] = metadata["generateName"] + uuid.uuid4().hex[:5]
            key = (namespace if resource.namespaced else "", metadata.get("name", ""))
            uid = uid_of(self.name, resource, key, self._erased.get((resource, key), 0))
            body = admission.created(resource, body, uid)
            if key in self._objects[resource]:
                raise status.already_exists(resource.plural, resource.group, key[1])
            return self._write("create", resource, key, body, None, manager, dry_run, terms)

    def update(
        self,
        resource: Resource,
        key: Key,
        body: Json,
        *,
        manager: str,
        dry_run: bool = False,
        terms: Terms | None = None,
    ) -> Json:
        terms = terms or Terms()
        with self.lock:
            old = self.get(resource, key).obj
            body = admission.decoded(resource, key[0], key[1], body, terms)
            metadata = body["metadata"]
            if metadata.get("uid") and metadata["uid"] != old["metadata"]["uid"]:
                where = "/".join(["", "registry", resource.plural, *(part for part in key if part)])
                found = old["metadata"]["uid"]
                raise status.uid_mismatch(resource.plural, resource.group, where, key[1], metadata["uid"], found)
            version = metadata.get("resourceVersion", "")
            if not version and resource.custom:
                raise status.invalid(
                    f'{resource.plural}.{resource.group} "{key[1]}" is invalid: metadata.resourceVersion: '
                    "Invalid value: 0x0: must be specified for an update"
                )
            return self._change("update", resource, key, body, old, manager, dry_run, terms)

    def patch(
        self,
        resource: Resource,
        key: Key,
        content_type: str,
        patch: Any,
        *,
        manager: str,
        dry_run: bool = False,
        terms: Terms | None = None,
    ) -> Json:
        terms = terms or Terms()
        if content_type not in (CUSTOM_PATCH_TYPES if resource.custom else PATCH_TYPES):
            raise status.unsupported_media_type(CUSTOM_PATCH_TYPES if resource.custom else ())
        with self.lock:
            if content_type == APPLY:
                if key not in self._objects[resource]:
                    return self.create(resource, key[0], patch, manager=manager, dry_run=dry_run, terms=terms)
                old = self.get(resource, key).obj
                new = (patching.merge_patch if resource.custom else patching.strategic_merge)(old, patch)
            else:
                old = self.get(resource, key).obj
                new = _PATCHES[content_type](old, patch)
            new = admission.decoded(resource, key[0], key[1], new, terms, patched=True)
            return self._change("patch", resource, key, new, old, manager, dry_run, terms)

    def delete(self, resource: Resource, key: Key, options: Json, *, dry_run: bool = False) -> Json:
        """Answers with a Status, or with the object where it does not go at once (or is a Pod)."""
        with self.lock:
            entry = self.get(resource, key)
            deletion.check(resource, entry.obj, options)
            forced = options.get("gracePeriodSeconds") == 0
            lingers = not forced and self.lingers is not None and self.lingers(resource, entry.obj)
            answer = deletion.marked(resource, entry.obj, options, self.clock.seconds())
            if dry_run or answer is None:
                answer = answer or status.success(deletion.details(resource, entry.obj))
            elif answer is not entry.obj:
                answer = self._store(resource, key, answer, entry.obj, "")
            if dry_run:
                return answer
            held = (answer.get("metadata") or {}).get("finalizers") and not deletion.by_controllers(answer)
            if not held and not lingers:
                self._erase(resource, key, self._objects[resource][key])
                self._empty(resource, entry.obj)
            self._tell(Written("delete", resource, key, entry.obj, entry.obj))
            return answer

    def delete_all(
        self, resource: Resource, namespace: str, matches: list[Match], options: Json, *, dry_run: bool = False
    ) -> Page:
        """One deletion after the other; the answer shows what was there."""
        with self.lock:
            page = self.page(resource, namespace, matches)
            for entry in page.entries:
                self.delete(resource, key_of(entry.obj), options, dry_run=dry_run)
            return page

    # -- inside ----------------------------------------------------------------------------------------------------

    def _need_namespace(self, resource: Resource, namespace: str) -> None:
        spaces = self._objects.get(NAMESPACE)
        if resource.namespaced and spaces is not None and ("", namespace) not in spaces:
            raise status.not_found("namespaces", "", namespace)

    def _empty(self, resource: Resource, gone: Json) -> None:
        """What goes with a Namespace, or with a CRD."""
        spec = gone.get("spec") or {}
        kind = (spec.get("group"), (spec.get("names") or {}).get("plural"))
        for other, objects in self._objects.items():
            for key in list(objects):
                if (resource is NAMESPACE and other.namespaced and key[0] == gone["metadata"]["name"]) or (
                    resource is CRD and (other.group, other.plural) == kind
                ):
                    self._erase(other, key, objects[key])

    def _change(
        self, verb: str, resource: Resource, key: Key, new: Json, old: Json, manager: str, dry_run: bool, terms: Terms
    ) -> Json:
        version = str(new["metadata"].get("resourceVersion") or "")
        if version and not version.isdigit():
            raise status.ApiStatus(500, "", f'strconv.ParseUint: parsing "{version}": invalid syntax')
        if version and version != old["metadata"]["resourceVersion"]:
            raise status.conflict(resource.plural, resource.group, key[1])
        new = admission.changed(resource, new, old, terms)
        return self._write(verb, resource, key, new, old, manager, dry_run, terms)

    def _write(
        self,
        verb: str,
        resource: Resource,
        key: Key,
        new: Json,
        old: Json | None,
        manager: str,
        dry_run: bool,
        terms: Terms,
    ) -> Json:
        if old:
            new = with_system(new, old)
            if new == old:
                return old
        stored = self._store(resource, key, new, old, manager, dry_run=dry_run, terms=terms)
        if not dry_run:
            going = "deletionTimestamp" in stored["metadata"] and old and old["metadata"].get("finalizers")
            if going and (not stored["metadata"].get("finalizers") or deletion.by_controllers(stored)):
                self._erase(resource, key, self._objects[resource][key])
            self._tell(Written(verb, resource, key, stored, old))
            if verb == "create" and resource is CRD:
                self.put(CRD, {**stored, "status": strategy.established(stored, rfc3339(self.clock.seconds()))})
        return stored

    def _store(
        self,
        resource: Resource,
        key: Key,
        new: Json,
        old: Json | None,
        manager: str,
        *,
        dry_run: bool = False,
        terms: Terms | None = None,
    ) -> Json:
        now = self.clock.seconds()
        metadata = dict(new["metadata"])
        metadata["resourceVersion"] = str(self._version if dry_run else self._version + 1)
        if old is None:
            metadata["uid"] = metadata.get("uid") or uid_of(
                self.name, resource, key, self._erased.get((resource, key), 0)
            )
            metadata.setdefault("creationTimestamp", rfc3339(now))
        if resource.has_generation:
            metadata["generation"] = generation(new, old, metadata)
        if manager:
            metadata["managedFields"] = managed(old, manager, resource.api_version, rfc3339(now), terms or Terms())
        rest = {k: v for k, v in new.items() if k not in {"apiVersion", "kind", "metadata"}}
        obj = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, **rest}
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
