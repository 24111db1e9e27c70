"""Is this the object that a client may write here, and what becomes of it on the way in?

The path of a write through an API server: decode (does it belong to this path, does its kind have these fields), let the
kind's strategy complete it, validate. The order counts, since it decides which refusal a client gets to see: kube-apiserver
1.32 looks for the namespace before it validates, and for another object of that name after.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from rancher_ext.simulator import schema, status, strategy, validation
from rancher_ext.simulator.resources import Resource

Json = dict[str, Any]

_FIELD_VALIDATION = ("", "Ignore", "Strict", "Warn")
_SET_BY_SERVER = frozenset(
    {
        "uid",
        "creationTimestamp",
        "generation",
        "managedFields",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
    }
)
_OPTIONS = {"POST": "CreateOptions", "PUT": "UpdateOptions", "PATCH": "PatchOptions", "DELETE": "DeleteOptions"}


@dataclass(frozen=True)
class Terms:
    """What a write asks for beside its body. `warnings` is filled while it is handled."""

    sub: str = ""
    field_validation: str = "Warn"
    operation: str = "Update"
    warnings: list[str] = field(default_factory=list)


def terms_of(method: str, sub: str, dry_run: list[str], field_validation: str, *, apply: bool, manager: str) -> Terms:
    """Refuses query options that do not exist; they are 422 like a bad object, of a kind of their own."""
    causes = []
    if any(each != "All" for each in dry_run):
        given = ", ".join(json.dumps(each) for each in dry_run)
        causes.append(status.Cause("dryRun", f'Unsupported value: []string{{{given}}}: supported values: "All"'))
    if method != "DELETE" and field_validation not in _FIELD_VALIDATION:
        supported = ", ".join(json.dumps(each) for each in _FIELD_VALIDATION)
        what = f"Unsupported value: {json.dumps(field_validation)}: supported values: {supported}"
        causes.append(status.Cause("fieldValidation", what))
    if apply and not manager:
        causes.append(status.Cause("fieldManager", "Required value: is required for apply patch"))
    if causes:
        raise status.invalid_option(_OPTIONS[method], *causes)
    return Terms(sub, field_validation or "Warn", "Apply" if apply else "Update")


def decoded(resource: Resource, namespace: str, name: str, body: Any, terms: Terms, *, patched: bool = False) -> Json:
    """Refuses what is not an object of this resource at this path, drops what its kind does not have."""
    if not isinstance(body, dict) or not isinstance(body.get("metadata", {}), dict | None):
        raise status.bad_request(f"the object provided is unrecognized (must be of type {resource.kind})")
    _check_kind(resource, body)
    metadata = dict(body.get("metadata") or {})
    if name and metadata.get("name", name) != name:
        raise status.bad_request(
            f"the name of the object ({metadata.get('name')}) does not match the name on the URL ({name})"
        )
    if resource.namespaced and (metadata.get("namespace") or namespace) != namespace:
        raise status.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    body = {**body, "metadata": metadata}
    kept, unknown = schema.pruned(body, schema.fields_of(resource.group, resource.kind))
    if unknown and terms.field_validation == "Strict":
        said = ", ".join(f'unknown field "{each}"' for each in unknown)
        raise _undecodable(resource, body, f"strict decoding error: {said}", patched)
    if unknown and terms.field_validation == "Warn":
        terms.warnings.extend(f'unknown field "{each}"' for each in unknown)
    _check_types(resource, kept, patched)
    metadata = dict(kept["metadata"])
    if name:
        metadata["name"] = name
    if resource.namespaced:
        metadata["namespace"] = namespace
    metadata = {key: value for key, value in metadata.items() if value is not None}
    return {**kept, "apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}


def _check_kind(resource: Resource, body: Json) -> None:
    given = (body.get("apiVersion"), body.get("kind"))
    if resource.custom and not all(given):
        text = json.dumps(body)
        missing = "apiVersion" if given[1] else "Kind"
        raise status.bad_request(
            f"the object provided is unrecognized (must be of type {resource.kind}): Object '{missing}' is missing in "
            f"'{text}' ({text})"
        )
    if resource.custom and given[0] != resource.api_version:
        raise status.bad_request(
            f"the API version in the data ({given[0]}) does not match the expected API version ({resource.api_version})"
        )
    if resource.custom and given[1] != resource.kind:
        cause = status.Cause("kind", f"Invalid value: {json.dumps(given[1])}: must be {resource.kind}")
        name = str((body.get("metadata") or {}).get("name") or "")
        raise status.invalid_object(str(given[1]), resource.group, name, [cause])
    version = str(given[0] or resource.api_version)
    kind = str(given[1] or resource.kind)
    if (version, kind) != (resource.api_version, resource.kind):
        short = json.dumps(version.rpartition("/")[2])
        if version != resource.api_version:
            why = f'no kind "{kind}" is registered for version "{version}" in scheme "pkg/runtime/scheme.go:100"'
        else:
            why = f"converting ({resource.version}.{kind}) to (core.{resource.kind}): unknown conversion"
        raise status.bad_request(f"{kind} in version {short} cannot be handled as a {resource.kind}: {why}")


def _check_types(resource: Resource, body: Json, patched: bool) -> None:
    if why := schema.not_texts(body, resource.kind, custom=resource.custom):
        raise _undecodable(resource, body, why, patched)
    if resource.kind == "Lease":
        for name in ("acquireTime", "renewTime"):
            stamp = (body.get("spec") or {}).get(name)
            if stamp and "." not in stamp:
                why = f'parsing time "{stamp}" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "Z" as ".000000"'
                raise _undecodable(resource, body, why, patched)
    for name in ("spec", "status"):
        if not isinstance(body.get(name), dict | None):
            why = f"json: cannot unmarshal {type(body[name]).__name__} into Go struct field {resource.kind}.{name}"
            raise _undecodable(resource, body, why, patched)


def _undecodable(resource: Resource, body: Json, why: str, patched: bool) -> status.ApiStatus:
    if patched:
        return status.undecodable_patch(json.dumps(body, separators=(",", ":")), why)
    return status.bad_request(
        f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: {why}'
    )


def created(resource: Resource, body: Json, uid: str) -> Json:
    """A new object: what only the server may set is not taken from the client."""
    own = {key: value for key, value in body["metadata"].items() if key not in _SET_BY_SERVER}
    body = {**body, "metadata": {"name": "", **own}}
    new = strategy.for_create(resource, body, uid)
    if causes := validation.causes_of_new(resource, new):
        raise status.invalid_object(resource.kind, resource.group, new["metadata"]["name"], causes)
    return new


def changed(resource: Resource, new: Json, old: Json, terms: Terms) -> Json:
    asked = new["metadata"]
    new = strategy.for_update(resource, new, old, terms.sub)
    # The strategy of a status write takes most metadata from what is stored; a foreign uid is refused there, too.
    looked_at = {**new, "metadata": {**new["metadata"], "uid": asked.get("uid", "")}}
    if causes := validation.causes_of_change(resource, looked_at, old):
        raise status.invalid_object(resource.kind, resource.group, old["metadata"]["name"], causes)
    return new
