"""How do rendered objects get into a store, and how do old ones leave it?

A rendering is a complete list of what should exist for one cluster in one store. What was rendered before and is not
in the list goes away; what a client made itself is never touched. Labels and annotations that a client added to a
rendered object stay. So does what a client changed in the workloads, Nodes and configuration of a downstream cluster, as
long as the cluster itself wants nothing else there: their controllers look at their own fields only.
"""

from typing import Any

from rancher_ext.simulator.clock import rfc3339
from rancher_ext.simulator.paging import Key
from rancher_ext.simulator.resources import Resource, resource_of
from rancher_ext.simulator.store import Store

Json = dict[str, Any]


# Kinds whose content, once written, is left to clients.
_SHARED = frozenset(
    {
        "ConfigMap",
        "CustomResourceDefinition",
        "DaemonSet",
        "Deployment",
        "HelmChart",
        "HelmChartConfig",
        "Node",
        "Secret",
    }
)
_ABSENT: Any = object()


class Rendering:
    """Collects the objects of one cluster and brings a store to them. With `shares` the clients' changes are kept."""

    def __init__(self, store: Store, *, shares: bool = False) -> None:
        self._store = store
        self._shares = shares
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
        if self._shares and kind in _SHARED:
            content = self._merged(resource, key, content, found)
        status = content.get("status")
        if resource.has_generation and not resource.custom and status and "observedGeneration" in status:
            generation = self.generation(api_version, kind, namespace, name, content["spec"])
            content = {**content, "status": {**status, "observedGeneration": generation}}
        obj = {"apiVersion": api_version, "kind": kind, "metadata": metadata, **content}
        self._store.put(resource, obj, manager=manager, created=created)
        self.seen.add((resource, key))

    def _merged(self, resource: Resource, key: Key, content: Json, found: Json | None) -> Json:
        wanted = {name: value for name, value in content.items() if name != "status"}
        last = self._store.rendered.get((resource, key))
        self._store.rendered[resource, key] = wanted
        if last is None or found is None:
            return content
        there = {k: v for k, v in found.items() if k not in {"apiVersion", "kind", "metadata", "status"}}
        merged: Json = three_way(last, wanted, there)
        return merged | ({"status": content["status"]} if "status" in content else {})

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


def three_way(last: Any, wanted: Any, found: Any) -> Any:
    """`found` with what changed from `last` to `wanted`: of mappings key by key, of lists item by item."""
    if wanted in (last, found):
        return found
    if found == last:
        return wanted
    if all(isinstance(each, dict) for each in (last, wanted, found)):
        keys = [*wanted, *(key for key in found if key not in wanted)]
        merged = {k: three_way(last.get(k, _ABSENT), wanted.get(k, _ABSENT), found.get(k, _ABSENT)) for k in keys}
        return {key: value for key, value in merged.items() if value is not _ABSENT}
    if all(isinstance(each, list) for each in (last, wanted, found)):
        gone = [each for each in last if each not in wanted]
        new = [each for each in wanted if each not in last and each not in found]
        return [each for each in found if each not in gone] + new
    return wanted


def job_status(started: float, *, done: float | None = None, failed_at: float | None = None, failed: int = 0) -> Json:
    """A Job's status at work, done or failed. Before its last condition the controller sets one that tells why the end is
    near (since Kubernetes 1.31), and the API server takes no end without it and without a start.
    """
    status: Json = {"startTime": rfc3339(started)}
    if done is not None:
        reason = {"reason": "CompletionsReached", "message": "Reached expected number of succeeded pods"}
        status |= {"succeeded": 1, "completionTime": rfc3339(done)}
        status["conditions"] = _ends(("SuccessCriteriaMet", "Complete"), done, reason)
    elif failed_at is not None:
        reason = {"reason": "BackoffLimitExceeded", "message": "Job has reached the specified backoff limit"}
        status |= {"failed": failed, "conditions": _ends(("FailureTarget", "Failed"), failed_at, reason)}
    else:
        status["active"] = 1
    return status


def _ends(kinds: tuple[str, ...], at: float, reason: Json) -> list[Json]:
    times = {"lastProbeTime": rfc3339(at), "lastTransitionTime": rfc3339(at)}
    return [{"type": kind, "status": "True", **times, **reason} for kind in kinds]
