"""What does a request to the simulated GitHub look like, and an answer? Also: how lists are filtered, ordered and paged."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlencode

from bot.simulator import render
from bot.simulator.access import DOCS, Refused
from bot.simulator.state import Comment, Invalid, Issue, Problem

Dated = TypeVar("Dated", Issue, Comment)


@dataclass(frozen=True)
class Call:
    method: str
    path: str  # without /api/v3
    query: Mapping[str, str]
    headers: Mapping[str, str]  # keys in lower case
    body: bytes
    links: render.Links

    def fields(self) -> dict[str, Any]:
        try:
            parsed = json.loads(self.body or b"{}")
        except ValueError:
            raise Refused(400, "Problems parsing JSON") from None
        if not isinstance(parsed, dict):
            raise Refused(400, "Body should be a JSON object")
        return parsed


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any = None  # None: no content
    headers: Mapping[str, str] = field(default_factory=dict)


def message(status: int, text: str) -> dict[str, str]:
    return {"message": text, "documentation_url": DOCS, "status": str(status)}


def changed_since(call: Call) -> datetime | None:
    text = call.query.get("since")
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(Problem("Search", "since", "invalid")) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def in_order(items: list[Dated], call: Call, *, default: str, default_direction: str) -> list[Dated]:
    by = "updated_at" if call.query.get("sort", default) == "updated" else "created_at"
    descending = call.query.get("direction", default_direction) == "desc"
    return sorted(items, key=lambda item: (getattr(item, by), item.id), reverse=descending)


def page(call: Call, items: Sequence[Any]) -> Answer:
    size = min(max(_number(call.query.get("per_page"), 30), 1), 100)
    number = max(_number(call.query.get("page"), 1), 1)
    last = max((len(items) + size - 1) // size, 1)
    links = []
    for relation, target, shown in (
        ("prev", number - 1, number > 1),
        ("next", number + 1, number < last),
        ("last", last, number < last),
        ("first", 1, number > 1),
    ):
        if shown:
            query = urlencode({**call.query, "page": target})
            links.append(f'<{call.links.api}{call.path}?{query}>; rel="{relation}"')
    headers = {"Link": ", ".join(links)} if links else {}
    return Answer(200, list(items[(number - 1) * size : number * size]), headers)


def _number(text: str | None, default: int) -> int:
    return int(text) if text is not None and text.isdigit() else default
