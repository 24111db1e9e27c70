"""Which objects does an API server refuse as not valid, and in which words?

The rules of kube-apiserver 1.32 that an object of a repair could break: names, labels, finalizers, keys of ConfigMaps,
containers and restart policies of pods and templates, selectors, podCIDR, providerID and taints of Nodes, Leases, CRDs, and
what no update may change. Each function yields a `Cause` per field, in the server's order.

Simplified: of a pod's spec only what stands here is looked at, and of custom kinds only the metadata.
"""

import ipaddress
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from rancher_ext.simulator.resources import Resource
from rancher_ext.simulator.status import Cause

Json = dict[str, Any]

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_KEY = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_DATA_KEY = "[-._a-zA-Z0-9]+"
_NOT_A_SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end "
    f"with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)
_NOT_A_LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an "
    f"alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')"
)
_NOT_A_LABEL_KEY = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    f"character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_KEY}')"
)
_NOT_A_LABEL_VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    f"'({_KEY})?')"
)
_NOT_A_DATA_KEY = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or "
    f"'key-name', regex used for validation is '{_DATA_KEY}')"
)
# Names of these are path segments: anything but a slash, a percent sign and the two dots.
_FREE_NAMES = frozenset({"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"})
_STANDARD_FINALIZERS = frozenset({"kubernetes", "orphan", "foregroundDeletion"})
_TAINT_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_LARGEST_DATA = 1 << 20


def causes_of_new(resource: Resource, obj: Json) -> list[Cause]:
    return [*_metadata(resource, obj["metadata"]), *_content(resource, obj)]


def causes_of_change(resource: Resource, new: Json, old: Json) -> list[Cause]:
    """Metadata twice, as the server does it: its generic update and the kind's own strategy both look at them."""
    metadata = [*_frozen_metadata(new["metadata"], old["metadata"]), *_metadata(resource, new["metadata"], named=True)]
    node = resource.kind == "Node"
    taints = list(_taints(new)) if node else []
    rest = [] if node else list(_content(resource, new))
    template = [cause for cause in rest if cause.field == "spec.template.metadata.labels"]
    return [*metadata, *metadata, *taints, *taints, *template, *rest, *_frozen(resource, new, old)]


def _metadata(resource: Resource, metadata: Json, *, named: bool = False) -> Iterator[Cause]:
    name = metadata.get("name") or ""
    if not name:
        yield Cause("metadata.name", "Required value: name or generateName is required")
    elif not named:
        yield from _name(resource, name)
    for key, value in (metadata.get("labels") or {}).items():
        if not _is_label_key(key):
            yield Cause("metadata.labels", f'Invalid value: "{key}": {_NOT_A_LABEL_KEY}')
        if not re.fullmatch(f"({_KEY})?", value):
            yield Cause("metadata.labels", f'Invalid value: "{value}": {_NOT_A_LABEL_VALUE}')
        elif len(value) > 63:
            yield Cause("metadata.labels", f'Invalid value: "{value}": must be no more than 63 characters')
    for key in metadata.get("annotations") or {}:
        if not _is_label_key(key.lower()):
            yield Cause("metadata.annotations", f'Invalid value: "{key}": {_NOT_A_LABEL_KEY}')
    for place, finalizer in enumerate(metadata.get("finalizers") or []):
        if "/" not in finalizer and finalizer not in _STANDARD_FINALIZERS:
            why = "name is neither a standard finalizer name nor is it fully qualified"
            yield Cause(f"metadata.finalizers[{place}]", f'Invalid value: "{finalizer}": {why}')


def _name(resource: Resource, name: str) -> Iterator[Cause]:
    if resource.kind in _FREE_NAMES:
        if "/" in name or "%" in name or name in {".", ".."}:
            yield Cause("metadata.name", f"Invalid value: {json.dumps(name)}: may not contain '/'")
    elif resource.kind == "Namespace" and not resource.group:
        if "." in name:
            yield Cause("metadata.name", f"Invalid value: {json.dumps(name)}: must not contain dots")
        elif not re.fullmatch(_LABEL, name):
            yield Cause("metadata.name", f"Invalid value: {json.dumps(name)}: {_NOT_A_LABEL}")
    elif not re.fullmatch(_SUBDOMAIN, name):
        yield Cause("metadata.name", f"Invalid value: {json.dumps(name)}: {_NOT_A_SUBDOMAIN}")
    elif len(name) > 253:
        yield Cause("metadata.name", f"Invalid value: {json.dumps(name)}: must be no more than 253 characters")


def _is_label_key(key: str) -> bool:
    prefix, slash, name = key.rpartition("/")
    return bool(re.fullmatch(_KEY, name)) and len(name) <= 63 and (not slash or bool(re.fullmatch(_SUBDOMAIN, prefix)))


def _content(resource: Resource, obj: Json) -> Iterator[Cause]:
    if resource.custom:
        return
    match resource.kind:
        case "ConfigMap":
            yield from _data(obj, ("data", "binaryData"))
        case "Secret":
            yield from _data(obj, ("data",))
        case "Pod":
            yield from _pod(obj.get("spec") or {}, "spec")
        case "DaemonSet" | "Deployment":
            yield from _workload(resource.kind, obj.get("spec") or {})
        case "Job":
            template = _at(obj, "spec", "template", "spec")
            yield from _pod(template, "spec.template.spec")
            yield from _job_policy(template)
        case "Node":
            yield from _pod_cidrs(obj.get("spec") or {})
            yield from _taints(obj)
        case "Lease":
            yield from _lease(obj.get("spec") or {})
        case "CustomResourceDefinition":
            yield from _crd(obj)


def _data(obj: Json, maps: tuple[str, ...]) -> Iterator[Cause]:
    size = 0
    for name in maps:
        for key, value in (obj.get(name) or {}).items():
            size += len(str(value).encode())
            if not re.fullmatch(_DATA_KEY, key):
                yield Cause(f"{name}[{key}]", f"Invalid value: {json.dumps(key)}: {_NOT_A_DATA_KEY}")
    if size > _LARGEST_DATA:
        field = "[]" if obj["kind"] == "ConfigMap" else "data"
        yield Cause(field, f"Too long: may not be more than {_LARGEST_DATA} bytes")


def _pod(spec: Json, path: str) -> Iterator[Cause]:
    if not spec.get("containers"):
        yield Cause(f"{path}.containers", "Required value")
    for key in ("containers", "initContainers"):
        seen: set[str] = set()
        for place, container in enumerate(spec.get(key) or []):
            where, name = f"{path}.{key}[{place}]", container.get("name") or ""
            if not name:
                yield Cause(f"{where}.name", "Required value")
            elif not re.fullmatch(_LABEL, name):
                yield Cause(f"{where}.name", f"Invalid value: {json.dumps(name)}: {_NOT_A_LABEL}")
            elif name in seen:
                yield Cause(f"{where}.name", f"Duplicate value: {json.dumps(name)}")
            seen.add(name)
            if not container.get("image"):
                yield Cause(f"{where}.image", "Required value")


def _workload(kind: str, spec: Json) -> Iterator[Cause]:
    labels = _at(spec, "template", "metadata").get("labels") or {}
    selector = spec.get("selector") or {}
    if "selector" in spec and not selector.get("matchLabels") and not selector.get("matchExpressions"):
        yield Cause(
            "spec.selector", f"Invalid value: {_go_selector(selector)}: empty selector is invalid for {kind.lower()}"
        )
    elif not selector or any(labels.get(k) != v for k, v in (selector.get("matchLabels") or {}).items()):
        yield Cause(
            "spec.template.metadata.labels",
            f"Invalid value: {_go_map(labels)}: `selector` does not match template `labels`",
        )
    template = _at(spec, "template", "spec")
    yield from _pod(template, "spec.template.spec")
    policy = template.get("restartPolicy") or "Always"
    if policy != "Always":
        what = f'Unsupported value: {json.dumps(policy)}: supported values: "Always"'
        yield Cause("spec.template.spec.restartPolicy", what)


def _job_policy(template: Json) -> Iterator[Cause]:
    policy = template.get("restartPolicy") or ""
    if policy in {"", "Always"}:
        # The default of a template is Always, which a Job cannot have; the server takes it for left out.
        yield Cause("spec.template.spec.restartPolicy", 'Required value: valid values: "OnFailure", "Never"')
    elif policy not in {"OnFailure", "Never"}:
        what = f'Unsupported value: {json.dumps(policy)}: supported values: "OnFailure", "Never"'
        yield Cause("spec.template.spec.restartPolicy", what)


def _pod_cidrs(spec: Json) -> Iterator[Cause]:
    for place, cidr in enumerate(spec.get("podCIDRs") or []):
        try:
            ipaddress.ip_network(cidr, strict=False)
        except ValueError:
            why = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
            yield Cause(f"spec.podCIDRs[{place}]", f"Invalid value: {json.dumps(cidr)}: {why}")


def _taints(obj: Json) -> Iterator[Cause]:
    """The path says `metadata.taints`, although they are in the spec: a slip of the original."""
    seen: set[tuple[str, str]] = set()
    for place, taint in enumerate((obj.get("spec") or {}).get("taints") or []):
        key, effect = taint.get("key") or "", taint.get("effect") or ""
        where = f"metadata.taints[{place}]"
        if not effect:
            yield Cause(f"{where}.effect", "Required value")
            continue
        if effect not in _TAINT_EFFECTS:
            supported = ", ".join(json.dumps(each) for each in _TAINT_EFFECTS)
            yield Cause(f"{where}.effect", f"Unsupported value: {json.dumps(effect)}: supported values: {supported}")
        elif (key, effect) in seen:
            value = json.dumps(taint.get("value") or "")
            go = f'core.Taint{{Key:"{key}", Value:{value}, Effect:"{effect}", TimeAdded:<nil>}}'
            yield Cause(where, f"Duplicate value: {go}: taints must be unique by key and effect pair")
        seen.add((key, effect))


def _lease(spec: Json) -> Iterator[Cause]:
    lasts = spec.get("leaseDurationSeconds")
    if lasts is not None and lasts <= 0:
        yield Cause("spec.leaseDurationSeconds", f"Invalid value: {lasts}: must be greater than 0")


def _crd(obj: Json) -> Iterator[Cause]:
    spec = obj.get("spec") or {}
    plural = (spec.get("names") or {}).get("plural", "")
    if obj["metadata"].get("name") != f"{plural}.{spec.get('group', '')}":
        name = json.dumps(obj["metadata"].get("name"))
        yield Cause("metadata.name", f'Invalid value: {name}: must be spec.names.plural+"."+spec.group')
    for place, version in enumerate(spec.get("versions") or []):
        if not (version.get("schema") or {}).get("openAPIV3Schema"):
            yield Cause(f"spec.versions[{place}].schema.openAPIV3Schema", "Required value: schemas are required")


def _frozen_metadata(new: Json, old: Json) -> Iterator[Cause]:
    if new.get("uid") and new["uid"] != old["uid"]:
        yield Cause("metadata.uid", f'Invalid value: "{new["uid"]}": field is immutable')
    if new.get("deletionTimestamp") and new["deletionTimestamp"] != old.get("deletionTimestamp"):
        stamp = str(new["deletionTimestamp"]).replace("T", " ").replace("Z", "")
        yield Cause("metadata.deletionTimestamp", f"Invalid value: {stamp} +0000 UTC: field is immutable")
    if "deletionTimestamp" in old:
        held = old.get("finalizers") or []
        if added := [each for each in new.get("finalizers") or [] if each not in held]:
            shown = ", ".join(json.dumps(each) for each in added)
            why = "no new finalizers can be added if the object is being deleted"
            yield Cause("metadata.finalizers", f"Forbidden: {why}, found new finalizers []string{{{shown}}}")


def _frozen(resource: Resource, new: Json, old: Json) -> Iterator[Cause]:
    """What may be given once and never changed."""
    if resource.custom:
        return
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    match resource.kind:
        case "Node":
            yield from _frozen_node(spec, before)
        case "DaemonSet" | "Deployment" if spec.get("selector") != before.get("selector"):
            yield Cause(
                "spec.selector", f"Invalid value: {_go_selector(spec.get('selector') or {})}: field is immutable"
            )
        case "Job" if spec.get("template") != before.get("template"):
            # The original prints the whole template in Go's notation here.
            yield Cause("spec.template", "Invalid value: core.PodTemplateSpec{…}: field is immutable")
        case "ConfigMap" | "Secret" if old.get("immutable"):
            for field in ("data", "binaryData"):
                if new.get(field) != old.get(field):
                    yield Cause(field, "Forbidden: field is immutable when `immutable` is set")
        case "Secret" if new.get("type") != old.get("type"):
            yield Cause("type", f"Invalid value: {json.dumps(new.get('type'))}: field is immutable")


def _frozen_node(spec: Json, before: Json) -> Iterator[Cause]:
    if before.get("podCIDRs") and spec.get("podCIDRs") != before["podCIDRs"]:
        yield Cause("spec.podCIDRs", 'Forbidden: node updates may not change podCIDR except from "" to valid')
    else:
        yield from _pod_cidrs(spec)
    if before.get("providerID") and spec.get("providerID") != before["providerID"]:
        yield Cause("spec.providerID", 'Forbidden: node updates may not change providerID except from "" to valid')


def _at(value: Mapping[str, Any], *path: str) -> Json:
    found: Any = value
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return dict(found) if isinstance(found, Mapping) else {}


def _go_map(labels: Mapping[str, str]) -> str:
    if not labels:
        return "map[string]string(nil)"
    inner = ", ".join(f"{json.dumps(k)}:{json.dumps(v)}" for k, v in sorted(labels.items()))
    return f"map[string]string{{{inner}}}"


def _go_selector(selector: Json) -> str:
    return f"v1.LabelSelector{{MatchLabels:{_go_map(selector.get('matchLabels') or {})}, MatchExpressions:[]v1.LabelSelectorRequirement(nil)}}"
