"""What can go wrong between Drover and a Rancher server, and what should a person do about it?

DroverError                 has `cure`: one sentence that says what to do next
├── BadInput                a file, argument or payload that cannot be read as what it claims to be
│   └── ConfigError         YAML of ours or of the user, with file:line
└── RancherError            talking to Rancher failed
    ├── RancherUnreachable  no answer: DNS, refused, reset, time-out
    ├── CertificateRefused  TLS: expired, unknown authority, wrong host
    ├── NotRancher          something answered that is not Rancher (HTML, truncated or foreign JSON)
    ├── Unauthorized        401
    ├── Forbidden           403, says which right is missing
    ├── NotFound            404
    │   └── UnknownPath     404 that says nothing about an object
    ├── Gone                410, a watch must list again
    ├── Conflict            409 or a failed JSON Patch test: somebody else changed the object
    ├── Invalid             422, the object is not acceptable
    ├── TooManyRequests     429, with `retry_after`
    ├── ClusterUnavailable  the downstream cluster cannot be reached through Rancher
    ├── ShellRefused        no shell may be opened on its machines at this moment
    └── ServerFailed        5xx
"""


class DroverError(Exception):
    """The root. `str(error)` says what was tried and what was seen; `cure` says what to do next."""

    def __init__(self, message: str, *, cure: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure

    # Durable steps pickle or re-raise errors; keyword-only arguments need help there.
    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.message, self.__dict__.copy()))


def _rebuild(cls: type[DroverError], message: str, state: dict[str, object]) -> DroverError:
    error = cls.__new__(cls)
    Exception.__init__(error, message)
    error.__dict__.update(state)
    return error


class BadInput(DroverError):
    """A file, argument or payload is not what it claims to be."""


class ConfigError(BadInput):
    """YAML of ours or of the user is wrong; the message begins with file:line."""


class RancherError(DroverError):
    """Talking to Rancher failed. `status` is the HTTP status, or None when there was no answer."""

    def __init__(self, message: str, *, cure: str = "", status: int | None = None) -> None:
        super().__init__(message, cure=cure)
        self.status = status


class RancherUnreachable(RancherError):
    """No answer at all. Unless `never_sent`, it is not known whether a write happened."""

    def __init__(self, message: str, *, cure: str = "", never_sent: bool = False) -> None:
        super().__init__(message, cure=cure)
        self.never_sent = never_sent


class CertificateRefused(RancherError):
    """TLS failed before any request was sent."""


class NotRancher(RancherError):
    """The answer is not what a Rancher server says."""


class Unauthorized(RancherError):
    """401: the token is unknown or expired."""


class Forbidden(RancherError):
    """403: the token's user lacks a right."""


class NotFound(RancherError):
    """404: there is no such object (Steve also says so where the right to read is missing)."""


class UnknownPath(NotFound):
    """404 without a word about an object: an unknown kind, or an answer of something before Rancher. Proves nothing gone."""


class Gone(RancherError):
    """410: the resourceVersion is too old; list again."""


class Conflict(RancherError):
    """409, or 422 from a failed JSON Patch `test`: the object changed since it was read."""


class Invalid(RancherError):
    """400 or 422: Rancher does not accept the object."""


class TooManyRequests(RancherError):
    """429. `retry_after` is in seconds, None when the server did not say."""

    def __init__(
        self, message: str, *, cure: str = "", status: int | None = 429, retry_after: float | None = None
    ) -> None:
        super().__init__(message, cure=cure, status=status)
        self.retry_after = retry_after


class ClusterUnavailable(RancherError):
    """Rancher has no tunnel to the downstream cluster."""


class ShellRefused(RancherError):
    """No shell may be opened on the cluster's machines now: a pause, a label, somebody else at work there."""


class ServerFailed(RancherError):
    """5xx from Rancher or a proxy before it."""
