"""How does a Kubernetes API server say no?

Every refusal is a `Status` object with reason and code, as apimachinery's `errors` package builds them. The simulator
raises `ApiStatus`; the HTTP layer turns it into the body. Read from kube-apiserver 1.32:

- An object that is not valid is named by its *kind* (`DaemonSet.apps "x" is invalid`), everything else by its resource
  (`daemonsets.apps "x" not found`). A conflict over a precondition of a deletion names the kind, too.
- `details` have no `name` where there is none, and are `{}` where the server's routing says no (405, an unknown kind of a
  built-in group) and where a patch cannot be applied: which `test` of it failed is never told.
- Metadata of an update are validated twice, so that a cause about them stands twice in `details` and once in the message.
- Query options are checked as objects of the group `meta.k8s.io` without a name (`CreateOptions.meta.k8s.io "" is invalid`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

# The API server's own words for a patch that cannot be applied, whatever the reason.
REJECTED = "the server rejected our request due to an error in our request"


class ApiStatus(Exception):
    """A refusal on its way to the client."""

    def __init__(
        self, code: int, reason: str, message: str, details: Json | None = None, *, retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after
        self.body: Json = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "code": code,
        }
        if reason:
            self.body["reason"] = reason
        if details is not None:
            self.body["details"] = details


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing that is wrong with one field."""

    field: str
    what: str  # Invalid value: …, Required value, Forbidden: …, Duplicate value: …, Unsupported value: …, Too long: …

    @property
    def body(self) -> Json:
        reason = _REASONS[self.what.split(":")[0]]
        return {"reason": reason, "message": self.what, "field": self.field}


_REASONS = {
    "Invalid value": "FieldValueInvalid",
    "Required value": "FieldValueRequired",
    "Forbidden": "FieldValueForbidden",
    "Duplicate value": "FieldValueDuplicate",
    "Unsupported value": "FieldValueNotSupported",
    "Too long": "FieldValueTooLong",
}


def _named(plural: str, group: str) -> str:
    return f"{plural}.{group}" if group else plural


def _details(plural: str, group: str, name: str) -> Json:
    details: Json = {"name": name} if name else {}
    if group:
        details["group"] = group
    return {**details, "kind": plural}


def not_found(plural: str, group: str, name: str) -> ApiStatus:
    return ApiStatus(404, "NotFound", f'{_named(plural, group)} "{name}" not found', _details(plural, group, name))


def already_exists(plural: str, group: str, name: str) -> ApiStatus:
    message = f'{_named(plural, group)} "{name}" already exists'
    return ApiStatus(409, "AlreadyExists", message, _details(plural, group, name))


def conflict(plural: str, group: str, name: str) -> ApiStatus:
    message = (
        f'Operation cannot be fulfilled on {_named(plural, group)} "{name}": '
        "the object has been modified; please apply your changes to the latest version and try again"
    )
    return ApiStatus(409, "Conflict", message, _details(plural, group, name))


def precondition_failed(kind: str, group: str, name: str, what: str, wanted: str, found: str) -> ApiStatus:
    """A deletion bound to a `UID` or a `ResourceVersion` that the object does not have."""
    might = "deleted and then recreated" if what == "UID" else "modified"
    message = (
        f'Operation cannot be fulfilled on {_named(kind, group)} "{name}": the {what} in the precondition ({wanted}) '
        f"does not match the {what} in record ({found}). The object might have been {might}"
    )
    return ApiStatus(409, "Conflict", message, _details(kind, group, name))


def uid_mismatch(plural: str, group: str, key: str, name: str, wanted: str, found: str) -> ApiStatus:
    """An update whose object has another uid: the storage says so, with its own key in the message."""
    message = (
        f'Operation cannot be fulfilled on {_named(plural, group)} "{name}": StorageError: invalid object, Code: 4, '
        f"Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {wanted}, "
        f"UID in object meta: {found}"
    )
    return ApiStatus(409, "Conflict", message, _details(plural, group, name))


def invalid(message: str, details: Json | None = None) -> ApiStatus:
    return ApiStatus(422, "Invalid", message, details)


def invalid_object(kind: str, group: str, name: str, causes: Sequence[Cause]) -> ApiStatus:
    said = list(dict.fromkeys(f"{cause.field}: {cause.what}" for cause in causes))
    text = said[0] if len(said) == 1 else f"[{', '.join(said)}]"
    details = {**_details(kind, group, name), "causes": [cause.body for cause in causes]}
    return ApiStatus(422, "Invalid", f'{_named(kind, group)} "{name}" is invalid: {text}', details)


def invalid_option(kind: str, *causes: Cause) -> ApiStatus:
    """A query parameter (or a field of DeleteOptions) with a value it cannot have."""
    return invalid_object(kind, "meta.k8s.io", "", causes)


def undecodable_patch(document: str, why: str) -> ApiStatus:
    """The result of a patch is not an object of its kind (a number in a ConfigMap, a field that Strict refuses)."""
    what = f"Invalid value: {_quoted(document)}: {why}"
    details = {"causes": [{"reason": "FieldValueInvalid", "message": what, "field": "patch"}]}
    return ApiStatus(422, "Invalid", f' "" is invalid: patch: {what}', details)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def failed_patch() -> ApiStatus:
    """A JSON Patch whose `test` does not hold, whose path does not exist, whose operation is none."""
    return ApiStatus(422, "Invalid", REJECTED, {})


def bad_version(text: str) -> ApiStatus:
    """The only refusal with a code of 500 that is the client's fault, and one without a reason."""
    why = f'strconv.ParseUint: parsing "{text}": invalid syntax'
    return ApiStatus(500, "", f'resourceVersion: Invalid value: "{text}": {why}')


def too_large_version(wanted: int, current: int) -> ApiStatus:
    """A version from the future: the server waits for it for a while, and then says to come back."""
    details: Json = {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    }
    message = f"Timeout: Too large resource version: {wanted}, current: {current}"
    return ApiStatus(504, "Timeout", message, details, retry_after=1)


def bad_request(message: str) -> ApiStatus:
    return ApiStatus(400, "BadRequest", message)


def forbidden(
    user: str, verb: str, plural: str, group: str, namespace: str, name: str, where: str = "", *, sub: str = ""
) -> ApiStatus:
    scope = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    subject = f'{_named(plural, group)} "{name}"' if name else _named(plural, group)
    what = f"{plural}/{sub}" if sub else plural
    message = (
        f'{subject} is forbidden: User "{user}" cannot {verb} resource "{what}" in API group "{group}" {scope}{where}'
    )
    return ApiStatus(403, "Forbidden", message, _details(plural, group, name))


def unsupported_media_type(accepted: tuple[str, ...]) -> ApiStatus:
    """Custom kinds tell what they take; for built-in ones the router answers, and does not."""
    if not accepted:
        return ApiStatus(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})
    message = f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}"
    return ApiStatus(415, "UnsupportedMediaType", message)


def expired(message: str = "too old resource version", *, go_on: str = "") -> ApiStatus:
    """`go_on` is a token with which a client may have the rest of its list, at the price of a mixture of two instants."""
    gone = ApiStatus(410, "Expired", message)
    if go_on:
        gone.body["metadata"] = {"continue": go_on}
    return gone


def no_such_resource() -> ApiStatus:
    """A built-in group that lacks the kind, or a kind that lacks the subresource. Custom groups answer in plain text."""
    return ApiStatus(404, "NotFound", "the server could not find the requested resource", {})


def method_not_allowed() -> ApiStatus:
    message = "the server does not allow this method on the requested resource"
    return ApiStatus(405, "MethodNotAllowed", message, {})


def not_acceptable(available: Sequence[str]) -> ApiStatus:
    message = f"406: Not Acceptable\n\nAvailable representations: {', '.join(available)}"
    return ApiStatus(406, "NotAcceptable", message, {})


def success(details: Json) -> Json:
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
