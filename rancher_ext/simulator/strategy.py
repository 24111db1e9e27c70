"""What does an API server make of an object before it looks whether it is valid?

The strategies of the kinds: defaults that others rely on, what a client may not set at all, and which half of an object a
write is about. Facts of kube-apiserver 1.32:

- With a status subresource the main path leaves `status` as it is, `/status` leaves all but `status`, labels and annotations,
  and neither says so. A Node may be created with a status, others begin with an empty one of their kind.
- A Node's `podCIDR` and `podCIDRs` are two names of one list: the first entry is kept equal, a lone `podCIDR` makes the list,
  and a lone change of `podCIDRs` is undone by the old `podCIDR`.
- A DaemonSet counts its template's changes in an annotation; a Job gets a selector of its own uid; a Namespace a finalizer and
  a label with its name; a new Node the taint `not-ready` until a controller takes it away; a Pod two tolerations.
- A new CRD is answered without conditions; the server sets `Established` right after.
- `stringData` of a Secret is folded into `data` and never shown.
"""

import base64
from collections.abc import Mapping
from typing import Any

from rancher_ext.simulator.resources import Resource

Json = dict[str, Any]

TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
_POD_DEFAULTS: Mapping[str, Any] = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "securityContext": {},
    "schedulerName": "default-scheduler",
}
_CONTAINER_DEFAULTS: Mapping[str, Any] = {
    "resources": {},
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
    "imagePullPolicy": "Always",
}
_TOLERATIONS = [
    {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
    for key in ("not-ready", "unreachable")
]
_BEGINS: Mapping[str, Json] = {
    "DaemonSet": {
        "currentNumberScheduled": 0,
        "numberMisscheduled": 0,
        "desiredNumberScheduled": 0,
        "numberReady": 0,
    },
    "Deployment": {},
    "Job": {},
    "Namespace": {"phase": "Active"},
    "Pod": {"phase": "Pending", "qosClass": "BestEffort"},
    "CustomResourceDefinition": {
        "conditions": None,
        "acceptedNames": {"plural": "", "kind": ""},
        "storedVersions": [],
    },
}


def for_create(resource: Resource, obj: Json, uid: str) -> Json:
    if resource.custom:
        return {key: value for key, value in obj.items() if key != "status"} if resource.has_status else obj
    obj = _defaulted(resource, obj)
    metadata, kind = obj["metadata"], resource.kind
    if kind in _BEGINS:
        obj = {**obj, "status": _BEGINS[kind]}
    if kind == "Node":
        spec = dict(obj.get("spec") or {})
        taints = spec.get("taints") or []
        not_ready = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
        spec["taints"] = [*taints, not_ready] if not_ready not in taints else taints
        obj = {**obj, "spec": spec, "status": obj.get("status") or {}}
    elif kind == "Namespace":
        labels = {**(metadata.get("labels") or {}), "kubernetes.io/metadata.name": metadata["name"]}
        obj = {**obj, "metadata": {**metadata, "labels": labels}, "spec": {"finalizers": ["kubernetes"]}}
    elif kind == "DaemonSet":
        obj = _counted(obj, 1)
    elif kind == "Job":
        obj = _with_own_selector(obj, uid)
    elif kind == "CustomResourceDefinition":
        stored = [v["name"] for v in (obj.get("spec") or {}).get("versions") or [] if v.get("storage")]
        obj = {**obj, "status": {**_BEGINS[kind], "storedVersions": stored}}
    return obj


def for_update(resource: Resource, new: Json, old: Json, sub: str = "") -> Json:
    if sub == "status":
        metadata = {**old["metadata"]}
        for name in ("labels", "annotations"):
            metadata.pop(name, None)
            if name in new["metadata"]:
                metadata[name] = new["metadata"][name]
        kept = {key: value for key, value in old.items() if key != "status"}
        return {**kept, "metadata": metadata} | ({"status": new["status"]} if "status" in new else {})
    if resource.has_status:
        new = {key: value for key, value in new.items() if key != "status"}
        if "status" in old:
            new["status"] = old["status"]
    if resource.custom:
        return new
    new = _defaulted(resource, new, old)
    if resource.kind == "DaemonSet":
        count = int((old["metadata"].get("annotations") or {}).get(TEMPLATE_GENERATION) or 1)
        moved = (new.get("spec") or {}).get("template") != (old.get("spec") or {}).get("template")
        if moved or TEMPLATE_GENERATION in (old["metadata"].get("annotations") or {}):
            new = _counted(new, count + moved)
    return new


def _counted(obj: Json, count: int) -> Json:
    annotations = {**(obj["metadata"].get("annotations") or {}), TEMPLATE_GENERATION: str(count)}
    return {**obj, "metadata": {**obj["metadata"], "annotations": annotations}}


def _with_own_selector(obj: Json, uid: str) -> Json:
    name, spec = obj["metadata"]["name"], dict(obj.get("spec") or {})
    own = {
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": name,
        "controller-uid": uid,
        "job-name": name,
    }
    template = dict(spec.get("template") or {})
    inner = dict(template.get("metadata") or {})
    template["metadata"] = {**inner, "labels": {**(inner.get("labels") or {}), **own}}
    spec |= {"selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}, "template": template}
    labels = {**(obj["metadata"].get("labels") or {}), **own}
    return {**obj, "metadata": {**obj["metadata"], "labels": labels}, "spec": spec}


def _defaulted(resource: Resource, obj: Json, old: Json | None = None) -> Json:
    match resource.kind:
        case "Node":
            return {**obj, "spec": _one_list(obj.get("spec") or {}, (old or {}).get("spec") or {})}
        case "Secret":
            return _folded(obj)
        case "Pod" if old is None:
            spec = _pod(obj.get("spec") or {}, {})
            given = spec.get("tolerations") or []
            spec["tolerations"] = [*given, *(each for each in _TOLERATIONS if each not in given)]
            return {**obj, "spec": spec}
        case "DaemonSet" if old is None:
            strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}
            return _workload(obj, {"updateStrategy": strategy, "revisionHistoryLimit": 10})
        case "Deployment" if old is None:
            strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}}
            return _workload(
                obj, {"replicas": 1, "strategy": strategy, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600}
            )
        case "Job" if old is None:
            own = {
                "parallelism": 1,
                "completions": 1,
                "backoffLimit": 6,
                "completionMode": "NonIndexed",
                "suspend": False,
            }
            # Left out here: the default of a template's restart policy is not one that a Job may have.
            return _workload(obj, own, restart="")
        case "CustomResourceDefinition" if old is None:
            return _named_crd(obj)
    return obj


def _pod(spec: Json, skip: Mapping[str, Any]) -> Json:
    found: Json = {**{k: v for k, v in _POD_DEFAULTS.items() if k not in skip}, **spec}
    for key in ("containers", "initContainers"):
        if isinstance(found.get(key), list):
            found[key] = [{**_CONTAINER_DEFAULTS, **each} if isinstance(each, dict) else each for each in found[key]]
    return found


def _workload(obj: Json, own: Mapping[str, Any], *, restart: str = "Always") -> Json:
    spec = {**own, **(obj.get("spec") or {})}
    template = dict(spec.get("template") or {})
    template["spec"] = _pod(template.get("spec") or {}, {} if restart else {"restartPolicy": ""})
    return {**obj, "spec": {**spec, "template": template}}


def _one_list(spec: Json, before: Json) -> Json:
    """`podCIDR` decides, except that a list given alone where there was nothing decides."""
    first, many = spec.get("podCIDR") or "", spec.get("podCIDRs") or []
    if first and (not many or many[0] != first):
        many = [first]
    elif many and not first and not before.get("podCIDR"):
        first = many[0]
    rest = {key: value for key, value in spec.items() if key not in {"podCIDR", "podCIDRs"}}
    if not first:
        return rest
    return {"podCIDR": first, "podCIDRs": many, **rest}


def _folded(obj: Json) -> Json:
    texts = obj.get("stringData") or {}
    rest = {key: value for key, value in obj.items() if key != "stringData"}
    if texts:
        packed = {key: base64.b64encode(str(value).encode()).decode() for key, value in texts.items()}
        rest["data"] = {**(rest.get("data") or {}), **packed}
    return {"type": "Opaque", **rest} if "type" not in rest else rest


def _named_crd(obj: Json) -> Json:
    spec = dict(obj.get("spec") or {})
    names = dict(spec.get("names") or {})
    kind = names.get("kind", "")
    spec["names"] = {"singular": kind.lower(), "listKind": f"{kind}List", **names}
    return {**obj, "spec": {"conversion": {"strategy": "None"}, **spec}}


def established(crd: Json, now: str) -> Json:
    """The status that a CRD has within moments of its creation, when the server has begun to serve its kind."""
    names = crd["spec"]["names"]
    ready = (
        ("NamesAccepted", "NoConflicts", "no conflicts found"),
        ("Established", "InitialNamesAccepted", "the initial names have been accepted"),
    )
    return {
        "conditions": [
            {"type": kind, "status": "True", "lastTransitionTime": now, "reason": reason, "message": message}
            for kind, reason, message in ready
        ],
        "acceptedNames": names,
        "storedVersions": crd["status"]["storedVersions"],
    }
