"""What does a DELETE do, and what does it answer?

Facts of kube-apiserver 1.32, with the controllers that a living cluster has beside it:

- What goes at once is answered with a `Status` that has the uid. What does not go at once is answered with the object, marked
  with the time at which it goes: by finalizers, by a propagation policy that makes one of them, or since it is a Pod, which
  has a grace period (30 s; 0 when it is on no node or when the client says so) until its kubelet is done.
- Deleting a Job without a policy keeps its pods (finalizer `orphan`) and says so in a `Warning`; the others' default is
  `Background`. The garbage collector takes its finalizers away within moments, here before anybody can look.
- A Namespace shows `Terminating` until it is empty, and carries no grace period. A CRD takes its objects with it.
- Preconditions are checked before anything else; `gracePeriodSeconds` below zero means one second.
"""

import json
from typing import Any

from rancher_ext.simulator import status
from rancher_ext.simulator.clock import rfc3339
from rancher_ext.simulator.resources import Resource

Json = dict[str, Any]

ORPHANS = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set "
    "propagationPolicy=Orphan to suppress this warning"
)
_POLICIES = ("Foreground", "Background", "Orphan")
_FINALIZERS = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}
_CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
_BY_CONTROLLERS = frozenset({"foregroundDeletion", "orphan", _CLEANUP})


def check(resource: Resource, obj: Json, options: Json) -> None:
    policy = options.get("propagationPolicy")
    if policy is not None and options.get("orphanDependents") is not None:
        why = "orphanDependents and deletionPropagation cannot be both set"
        raise _bad_option("propagationPolicy", f"Invalid value: {json.dumps(policy)}: {why}")
    if policy is not None and policy not in _POLICIES:
        supported = ", ".join(json.dumps(each) for each in (*_POLICIES, "nil"))
        raise _bad_option(
            "propagationPolicy", f"Unsupported value: {json.dumps(policy)}: supported values: {supported}"
        )
    wanted = options.get("preconditions") or {}
    for name, what in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        found = str(obj["metadata"].get(name, ""))
        if wanted.get(name) is not None and wanted[name] != found:
            group, key = resource.group, obj["metadata"]["name"]
            raise status.precondition_failed(resource.kind, group, key, what, wanted[name], found)


def _bad_option(field: str, what: str) -> status.ApiStatus:
    return status.invalid_option("DeleteOptions", status.Cause(field, what))


def policy_of(resource: Resource, options: Json) -> str:
    if options.get("orphanDependents") is not None:
        return "Orphan" if options["orphanDependents"] else "Background"
    return str(options.get("propagationPolicy") or ("Orphan" if resource.kind == "Job" else "Background"))


def warns(resource: Resource, options: Json) -> bool:
    return resource.kind == "Job" and not {"propagationPolicy", "orphanDependents"} & set(options)


def marked(resource: Resource, obj: Json, options: Json, now: float) -> Json | None:
    """The object with the mark of its deletion (itself when it has one), or None when it goes at once with a Status."""
    metadata = obj["metadata"]
    finalizers = list(metadata.get("finalizers") or [])
    policy = _FINALIZERS.get(policy_of(resource, options))
    if policy and policy not in finalizers:
        finalizers.append(policy)
    built_in = not resource.custom
    if built_in and resource.kind == "CustomResourceDefinition" and _CLEANUP not in finalizers:
        finalizers.append(_CLEANUP)
    pod, namespace = (built_in and resource.kind == kind for kind in ("Pod", "Namespace"))
    if not finalizers and not pod and not namespace:
        return None
    if "deletionTimestamp" in metadata and not (pod and options.get("gracePeriodSeconds") == 0):
        return obj
    grace = _grace(obj, options) if pod else 0
    mark: Json = {**metadata, "deletionTimestamp": rfc3339(now + grace)}
    if not namespace and resource.kind != "CustomResourceDefinition":
        mark["deletionGracePeriodSeconds"] = grace
    if finalizers:
        mark["finalizers"] = finalizers
    found = {**obj, "metadata": mark}
    if namespace:
        found["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}
    return found


def _grace(pod: Json, options: Json) -> int:
    spec = pod.get("spec") or {}
    if not spec.get("nodeName") or (pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"}:
        return 0
    given = options.get("gracePeriodSeconds")
    if given is None:
        given = spec.get("terminationGracePeriodSeconds", 30)
    return int(given) if given >= 0 else 1


def by_controllers(obj: Json) -> bool:
    """Is it only controllers of Kubernetes itself that this deletion waits for? They are quick."""
    finalizers = set((obj.get("metadata") or {}).get("finalizers") or [])
    return bool(finalizers) and finalizers <= _BY_CONTROLLERS


def details(resource: Resource, obj: Json) -> Json:
    found: Json = {"name": obj["metadata"]["name"], "kind": resource.plural, "uid": obj["metadata"]["uid"]}
    if resource.group:
        found["group"] = resource.group
    return found
