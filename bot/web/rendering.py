"""How does a page come to be? Jinja2 with autoescape, relative links only, and a few filters that read times and code."""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from fastapi import Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup, escape

from bot.reports import words
from bot.reports.durations import compact, moment, spoken

_CODE = re.compile(r"`([^`\n]{1,400})`")


def page(
    request: Request, template: str, *, status: int = 200, headers: Mapping[str, str] | None = None, **values: Any
) -> HTMLResponse:
    """The template as a response. `root` leads to `/` whatever prefix a proxy puts before us."""
    # The path as it was sent: an escaped slash within an id is no level to a browser.
    depth = bytes(request.scope.get("raw_path") or request.scope["path"].encode()).partition(b"?")[0].count(b"/") - 1
    text = _environment().get_template(template).render(root="../" * depth or "./", **values)
    # What cannot be encoded came from a broken name; it shows as a question mark.
    return HTMLResponse(text.encode("utf-8", "replace"), status_code=status, headers=dict(headers or {}))


def code_text(text: object) -> Markup:
    """Text with `code` in backticks, as the catalogue writes it."""
    parts = _CODE.split(str(text or ""))
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else escape(part) for index, part in enumerate(parts)
    )


def value_text(value: object, limit: int = 4_000) -> str:
    """A value of the audit record as people read it; a whole object is cut, and its rest is counted."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, default=str)
    left = len(text) - limit
    return text if left <= 0 else f"{text[:limit]}\n… {left} more characters: `drover incidents audit` has them all"


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        code_text=code_text,
        value_text=value_text,
        moment=moment,
        spoken=spoken,
        compact=compact,
        iso=datetime.isoformat,
    )
    environment.globals.update(words=words)
    return environment
