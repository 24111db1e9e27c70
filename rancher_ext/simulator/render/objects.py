"""How do rendered objects get into a store, and how do old ones leave it?

A rendering is a complete list of what should exist for one cluster in one store. What was rendered before and is not
in the list goes away; what a client made itself is never touched. Labels and annotations that a client added to a
rendered object stay.
"""

from typing import Any

from rancher_ext.simulator.clock import rfc3339
from rancher_ext.simulator.resources import Resource, resource_of
from rancher_ext.simulator.store import Key, Store

Json = dict[str, Any]


class Rendering:
    """Collects the objects of one cluster and brings a store to them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.seen: set[tuple[Resource, Key]] = set()

    def add(
        self,
        api_version: str,
        kind: str,
        name: str,
        namespace: str = "",
        *,
        created: float,
        labels: dict[str, str] | None = None,
        annotations: dict[str, str] | None = None,
        owners: list[Json] | None = None,
        finalizers: list[str] | None = None,
        deleted_at: float | None = None,
        drop_annotations: tuple[str, ...] = (),
        manager: str = "rancher",
        **content: Any,
    ) -> None:
        resource = resource_of(api_version, kind)
        key = (namespace, name)
        found = self._store.peek(resource, namespace, name)
        metadata: Json = {"name": name}
        if namespace:
            metadata["namespace"] = namespace
        old = found["metadata"] if found else {}
        all_labels = {**old.get("labels", {}), **(labels or {})}
        all_annotations = {**old.get("annotations", {}), **(annotations or {})}
        for drop in drop_annotations:
            all_annotations.pop(drop, None)
        if all_labels:
            metadata["labels"] = all_labels
        if all_annotations:
            metadata["annotations"] = all_annotations
        if owners:
            metadata["ownerReferences"] = owners
        if finalizers or old.get("finalizers"):
            metadata["finalizers"] = old.get("finalizers") or finalizers
        if deleted_at is not None:
            metadata["deletionTimestamp"] = old.get("deletionTimestamp") or rfc3339(deleted_at)
        obj = {"apiVersion": api_version, "kind": kind, "metadata": metadata, **content}
        self._store.put(resource, obj, manager=manager, created=created)
        self.seen.add((resource, key))

    def found(self, api_version: str, kind: str, namespace: str, name: str) -> Json | None:
        """The object as it is now, for what is only carried on (a stale copy)."""
        return self._store.peek(resource_of(api_version, kind), namespace, name)

    def generation(self, api_version: str, kind: str, namespace: str, name: str, spec: Json) -> int:
        """The generation the object will have once it carries this spec."""
        found = self.found(api_version, kind, namespace, name)
        if found is None:
            return 1
        return int(found["metadata"]["generation"]) + (found.get("spec") != spec)

    def sweep(self, before: set[tuple[Resource, Key]]) -> set[tuple[Resource, Key]]:
        """Removes what an earlier rendering made and this one did not; the answer is what now belongs to it."""
        for resource, (namespace, name) in before - self.seen:
            self._store.drop(resource, namespace, name)
        return self.seen
