"""What did GitHub just tell us, and was it GitHub?

`verify_signature` answers the second question over the raw bytes, before anything is parsed. `parse_delivery` answers the
first. Like every event, a delivery only hints: what counts is read back from GitHub before anybody acts on it. No error and
no value here quotes a signature or a secret.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rancher_ext.errors import BadInput

COMMENT_ACTIONS = frozenset({"created", "edited", "deleted"})
ISSUE_ACTIONS = frozenset({"closed", "reopened"})
_PREFIX = "sha256="


class MalformedDelivery(BadInput):
    """The payload lacks something that every event of its kind has."""


@dataclass(frozen=True)
class CommentEvent:
    """A comment on an issue was created, edited or deleted."""

    action: str
    repository: str
    issue: int
    comment_id: int
    author: str
    author_is_bot: bool
    sender: str  # who did it; on an edit perhaps somebody else than the author
    sender_is_bot: bool
    body: str
    created_at: datetime
    updated_at: datetime
    url: str

    @property
    def key(self) -> str:
        """The same for the same text, whichever way it reached us."""
        return f"comment:{self.comment_id}:{self.updated_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


@dataclass(frozen=True)
class IssueEvent:
    """An issue was closed or reopened."""

    action: str
    repository: str
    issue: int
    sender: str
    sender_is_bot: bool
    state_reason: str | None


@dataclass(frozen=True)
class Ignored:
    reason: str


def verify_signature(body: bytes, header: str | None, secrets: Sequence[str]) -> bool:
    """Whether `X-Hub-Signature-256` fits the body under one of the live secrets (two while one is being replaced).

    SHA-1 signatures are not looked at. All secrets are tried in constant time, so the answer's timing tells nothing.
    """
    if header is None or not header.startswith(_PREFIX):
        return False
    given = header.removeprefix(_PREFIX).encode("utf-8", "surrogateescape")
    fits = False
    for secret in secrets:
        if not secret:
            continue  # an empty secret would let anybody sign
        expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest().encode()
        fits |= hmac.compare_digest(given, expected)
    return fits


def parse_delivery(event: str, payload: object) -> CommentEvent | IssueEvent | Ignored:
    """`event` is the `X-GitHub-Event` header. Raises MalformedDelivery; what is not for us is an `Ignored` with its reason."""
    if not isinstance(payload, Mapping):
        raise MalformedDelivery(
            f"the {_named(event)} delivery is not a JSON object",
            cure="Set the webhook's content type to application/json.",
        )
    if event == "ping":
        return Ignored("ping: the webhook is connected")
    action = payload.get("action")
    if event == "issue_comment":
        if not isinstance(action, str) or action not in COMMENT_ACTIONS:
            return Ignored(f"issue_comment with the action {_named(action)}")
        if isinstance(payload.get("issue"), Mapping) and payload["issue"].get("pull_request") is not None:
            return Ignored("a comment on a pull request")
        return _comment(action, payload)
    if event == "issues":
        if not isinstance(action, str) or action not in ISSUE_ACTIONS:
            return Ignored(f"issues with the action {_named(action)}")
        return _issue(action, payload)
    return Ignored(f"no use for the event {_named(event)}")


def _comment(action: str, payload: Mapping[str, Any]) -> CommentEvent:
    comment = _object(payload, "comment")
    author, author_is_bot = _account(comment, "comment.user", "user")
    sender, sender_is_bot = _account(payload, "sender", "sender")
    created = _time(comment, "created_at")
    return CommentEvent(
        action=action,
        repository=_text(_object(payload, "repository"), "full_name", "repository.full_name"),
        issue=_number(_object(payload, "issue"), "number", "issue.number"),
        comment_id=_number(comment, "id", "comment.id"),
        author=author,
        author_is_bot=author_is_bot,
        sender=sender,
        sender_is_bot=sender_is_bot,
        body=comment["body"] if isinstance(comment.get("body"), str) else "",
        created_at=created,
        updated_at=_time(comment, "updated_at") if comment.get("updated_at") is not None else created,
        url=comment["html_url"] if isinstance(comment.get("html_url"), str) else "",
    )


def _issue(action: str, payload: Mapping[str, Any]) -> IssueEvent:
    issue = _object(payload, "issue")
    sender, sender_is_bot = _account(payload, "sender", "sender")
    reason = issue.get("state_reason")
    return IssueEvent(
        action=action,
        repository=_text(_object(payload, "repository"), "full_name", "repository.full_name"),
        issue=_number(issue, "number", "issue.number"),
        sender=sender,
        sender_is_bot=sender_is_bot,
        state_reason=reason if isinstance(reason, str) else None,
    )


def _object(holder: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = holder.get(name)
    if not isinstance(value, Mapping):
        raise _missing(name, "an object")
    return value


def _text(holder: Mapping[str, Any], name: str, path: str) -> str:
    value = holder.get(name)
    if not isinstance(value, str) or not value:
        raise _missing(path, "a text")
    return value


def _number(holder: Mapping[str, Any], name: str, path: str) -> int:
    value = holder.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise _missing(path, "a positive number")
    return value


def _account(holder: Mapping[str, Any], path: str, name: str) -> tuple[str, bool]:
    """Login and whether it is a bot. A deleted account is null: nobody may then be taken for its owner."""
    if holder.get(name) is None:
        return "ghost", False
    account = _object(holder, name)
    login = _text(account, "login", f"{path}.login")
    return login, account.get("type") == "Bot" or login.endswith("[bot]")


def _time(holder: Mapping[str, Any], name: str) -> datetime:
    value = holder.get(name)
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None:
        raise _missing(f"comment.{name}", "a time such as 2025-03-04T09:12:00Z")
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _missing(path: str, wanted: str) -> MalformedDelivery:
    return MalformedDelivery(
        f"the delivery's {path} is missing or is not {wanted}", cure="Redeliver it from the webhook's page at GitHub."
    )


def _named(value: object) -> str:
    """A foreign word, short and harmless in a log."""
    return ascii(value if isinstance(value, str) else type(value).__name__)[:60]
