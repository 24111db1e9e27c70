"""What is one request here, and how is it answered?

Small values between the ASGI edge and the three APIs (Kubernetes, Steve, Norman). Bodies are read before anything is
decided; answers are bytes, so that an object's stored encoding is sent as it is.
"""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from rancher_ext.simulator.fleet import Token
from rancher_ext.simulator.records import encode
from rancher_ext.simulator.status import ApiStatus

Json = dict[str, Any]


@dataclass(frozen=True)
class Ask:
    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes
    base_url: str
    client: tuple[str, int]
    token: Token | None = None
    stale: bool = False

    @property
    def user(self) -> str:
        return self.token.user if self.token else "system:unauthenticated"

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "").split(";")[0].strip().lower()

    def one(self, name: str, default: str = "") -> str:
        values = self.query.get(name)
        return values[0] if values else default

    def flag(self, name: str) -> bool:
        return self.one(name).lower() in {"1", "true", "t"}

    def number(self, name: str) -> int | None:
        text = self.one(name)
        try:
            return int(text) if text else None
        except ValueError:
            message = f"strconv.ParseInt: parsing {json.dumps(text)}: invalid syntax"
            raise ApiStatus(400, "BadRequest", message) from None

    def json(self) -> Any:
        try:
            return json.loads(self.body or b"null")
        except ValueError as e:
            raise ApiStatus(400, "BadRequest", f"the object provided is unrecognized: {e}") from None

    @property
    def manager(self) -> str:
        """Kubernetes names the field manager after the client's program when it does not say."""
        return self.one("fieldManager") or self.headers.get("user-agent", "unknown").split("/")[0]


@dataclass
class Answer:
    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    stream: AsyncIterator[bytes] | None = None


def query_of(raw: bytes) -> dict[str, list[str]]:
    return parse_qs(raw.decode("latin-1"), keep_blank_values=True)


def as_json(value: Any, status: int = 200) -> Answer:
    return Answer(status, encode(value))


def as_text(text: str, status: int = 200) -> Answer:
    return Answer(status, text.encode(), "text/plain; charset=utf-8")


def refusal(status: ApiStatus) -> Answer:
    retry = {} if status.retry_after is None else {"Retry-After": str(status.retry_after)}
    return Answer(status.code, encode(status.body), headers=retry)


def norman_error(status: int, code: str, message: str, field_name: str = "") -> Answer:
    body: Json = {"baseType": "error", "code": code, "message": message, "status": status, "type": "error"}
    if field_name:
        body["fieldName"] = field_name
    return as_json(body, status)
