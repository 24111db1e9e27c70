"""How do templates and values become Markdown? One environment: nothing may be undefined, everything foreign passes a filter."""

from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from bot.reports import prose
from bot.reports.durations import clock, moment, spoken


def render(template: str, **values: Any) -> str:
    """The template's text, without blank lines at its ends and without runs of them."""
    text = _environment().get_template(template).render(**values)
    return _single_blank_lines(text)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=jinja2.StrictUndefined,
        # Markdown, not HTML: the filters below make foreign text inert there.
        autoescape=False,  # noqa: S701
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )
    environment.filters.update(
        plain=prose.plain,
        code=prose.code,
        cell=prose.cell,
        prose=prose.prose,
        fence=prose.fence,
        indented=prose.indented,
        link=prose.link,
        place=prose.place,
        moment=moment,
        clock=clock,
        spoken=spoken,
    )
    return environment


def _single_blank_lines(text: str) -> str:
    """Blank lines that optional parts left behind; those inside a fence are somebody's text and stay."""
    lines: list[str] = []
    fence = ""
    for line in text.split("\n"):
        stripped = line.strip()
        if fence:
            if stripped == fence:
                fence = ""
        elif stripped.startswith("```"):
            fence = stripped[: len(stripped) - len(stripped.lstrip("`"))]
        if fence or stripped or (lines and lines[-1].strip()):
            lines.append(line)
    return "\n".join(lines).strip("\n")
