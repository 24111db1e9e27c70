"""How does a Kubernetes API server say no?

Every refusal is a `Status` object with reason and code, as apimachinery's `errors` package builds them. The simulator
raises `ApiStatus`; the HTTP layer turns it into the body.
"""

from typing import Any

Json = dict[str, Any]


class ApiStatus(Exception):
    """A refusal on its way to the client."""

    def __init__(self, code: int, reason: str, message: str, details: Json | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.body: Json = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "code": code,
        }
        if details:
            self.body["details"] = details


def _named(plural: str, group: str) -> str:
    return f"{plural}.{group}" if group else plural


def _details(plural: str, group: str, name: str) -> Json:
    details: Json = {"name": name, "kind": plural}
    if group:
        details["group"] = group
    return details


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


def precondition_failed(plural: str, group: str, name: str, what: str, wanted: str, found: str) -> ApiStatus:
    message = (
        f'Operation cannot be fulfilled on {_named(plural, group)} "{name}": Precondition failed: '
        f"{what} in precondition: {wanted}, {what} in object meta: {found}"
    )
    return ApiStatus(409, "Conflict", message, _details(plural, group, name))


def invalid(message: str, causes: list[Json] | None = None) -> ApiStatus:
    return ApiStatus(422, "Invalid", message, {"causes": causes} if causes else None)


def failed_patch(cause: str) -> ApiStatus:
    """A JSON Patch whose `test` does not hold, or whose path does not exist: 422, the cause in the details."""
    return invalid(
        "the server rejected our request due to an error in our request",
        [{"reason": "UnexpectedServerResponse", "message": cause}],
    )


def bad_request(message: str) -> ApiStatus:
    return ApiStatus(400, "BadRequest", message)


def forbidden(user: str, verb: str, plural: str, group: str, namespace: str, name: str, where: str = "") -> ApiStatus:
    scope = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    subject = f'{_named(plural, group)} "{name}"' if name else _named(plural, group)
    message = (
        f'{subject} is forbidden: User "{user}" cannot {verb} resource "{plural}" in API group "{group}" {scope}{where}'
    )
    return ApiStatus(403, "Forbidden", message, _details(plural, group, name))


def unsupported_media_type(accepted: tuple[str, ...]) -> ApiStatus:
    message = f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}"
    return ApiStatus(415, "UnsupportedMediaType", message)


def expired(message: str = "too old resource version") -> ApiStatus:
    return ApiStatus(410, "Expired", message)


def method_not_allowed(verb: str, plural: str) -> ApiStatus:
    return ApiStatus(405, "MethodNotAllowed", f"{verb} is not supported on resources of kind {plural!r}")


def success(details: Json) -> Json:
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
