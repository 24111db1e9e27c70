"""How does text of the catalogue, of a cluster or of a person get into a report readable and inert?

Everything foreign goes through `escape_markdown`, `code_span`, `table_cell` or `code_block`. Signatures and playbooks put code
in backticks and name files and kernel modules; `prose` keeps those as code, which also keeps GitHub from reading `_` as
emphasis. It treats all text alike, so nothing depends on where a text came from.
"""

import re
from collections.abc import Callable, Sequence

from bot.reports.escape import JOINER, code_block, code_span, escape_markdown, table_cell

__all__ = [
    "cell",
    "clip",
    "code",
    "fence",
    "indented",
    "keep",
    "link",
    "page_link",
    "place",
    "plain",
    "prose",
    "prose_cell",
]

_CODE = re.compile(r"(?<!`)`([^`\n]{1,400})`(?!`)")
# Kernel modules, files, fields and addresses: what people copy, and what Markdown or GitHub would take for markup.
_NAME = re.compile(r"(?<!\S)(\(?)((?:/[A-Za-z]|[^\s`/]*_|[a-z]+://)[^\s`]*?)([.,:;)?!]*)(?!\S)")
_LINK = re.compile(r"https?://[A-Za-z0-9.-]+(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~/%#?&=+:-]*)?")
_GITHUB = re.compile(r"https://github\.com/([A-Za-z0-9-]+/[A-Za-z0-9._-]+)/(?:issues|pull)/([0-9]+)")
_LOG = re.compile(r"logs/(?P<namespace>[^/]+)/(?P<pod>[^/]+)/(?P<container>[^/]+?)(?P<previous>\.previous)?\.log")


def clip(text: object, limit: int) -> str:
    """At most `limit` characters; a cut shows as an ellipsis."""
    line = str(text)
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def plain(text: object, limit: int = 200) -> str:
    return _bounded(escape_markdown, text, limit)


def code(text: object, limit: int = 200) -> str:
    return code_span(clip(text, limit))


def cell(text: object, limit: int = 200) -> str:
    return table_cell(clip(text, limit))


def prose(text: object, limit: int = 600, *, span: Callable[[str], str] = code_span) -> str:
    """One line of prose in which code in backticks and names with `_` or `/` are code, and nothing else is markup."""

    def shown(line: str) -> str:
        return _pieces(" ".join(line.split()), _CODE, lambda found: span(found[1]), lambda rest: _names(rest, span))

    return _bounded(shown, text, limit)


def prose_cell(text: object, limit: int = 300) -> str:
    """As `prose`, within a table row."""
    return prose(text, limit, span=table_cell)


def fence(text: object, language: str = "", *, lines: int = 12, width: int = 400) -> str:
    """A fenced block of at most so many lines, each cut at `width`; what is left out is counted."""
    kept, left_out = keep(str(text).splitlines(), lines)
    shown = [clip(line, width) for line in kept]
    if left_out:
        shown.append(f"… {left_out} more lines")
    return code_block("\n".join(shown), language)


def keep(items: Sequence[str], limit: int) -> tuple[Sequence[str], int]:
    """The first `limit` items, and how many are left out."""
    return items[:limit], max(0, len(items) - limit)


def indented(block: str, by: int) -> str:
    """Every line moved right, so that the block stays within its list item whatever its lines are."""
    return "\n".join(" " * by + line for line in block.split("\n"))


def link(url: str) -> str:
    """A reference of the catalogue as a link; anything that is not plainly a web address as code.

    `redirect.github.com` leads to the same page without leaving "mentioned this" in the timeline of somebody else's issue,
    once for each of our incidents.
    """
    if not _LINK.fullmatch(url) or len(url) > 300:
        return code(url)
    github = _GITHUB.fullmatch(url)
    if github:
        return f"[`{github[1]}#{github[2]}`]({url.replace('github.com', 'redirect.github.com', 1)})"
    return f"[{escape_markdown(clip(url.split('//', 1)[1], 60))}]({url})"


def page_link(text: str, url: str) -> str:
    """A link of ours (a constant text) to an address of the settings; only the text when the address is no plain one."""
    return f"[{text}]({url})" if _LINK.fullmatch(url) else text


def place(source: str) -> str:
    """Where an evidence line stands: pod and container for a container's log, otherwise the file within the bundle."""
    log = _LOG.fullmatch(source)
    if log is None:
        return code(source)
    run = ", its previous run" if log["previous"] else ""
    return f"{code(log['namespace'] + '/' + log['pod'])} container {code(log['container'])}{run}"


def _bounded(render: Callable[[str], str], text: object, limit: int) -> str:
    """Rendered, at most twice as long as `limit`: escaping makes `&` five characters long, and a report has its own limit."""
    rendered = render(clip(text, limit))
    return rendered if len(rendered) <= 2 * limit else render(clip(text, limit // 3))


def _names(text: str, span: Callable[[str], str]) -> str:
    return _pieces(text, _NAME, lambda found: _piece(found[1]) + span(found[2]) + _piece(found[3]), _piece)


def _piece(text: str) -> str:
    """`escape_markdown` for a piece of a line: the spaces at its ends stay."""
    if not text.strip():
        return " " if text else ""
    return " " * text.startswith(" ") + escape_markdown(text) + " " * text.endswith(" ")


def _pieces(
    text: str, pattern: re.Pattern[str], hit: Callable[[re.Match[str]], str], rest: Callable[[str], str]
) -> str:
    parts: list[str] = []
    end = 0
    for found in pattern.finditer(text):
        parts += [rest(text[end : found.start()]), hit(found)]
        end = found.end()
    parts.append(rest(text[end:]))
    line = ""
    for part in filter(None, parts):
        # Two runs of backticks that touch would become one fence.
        line += JOINER + part if line.endswith("`") and part.startswith("`") else part
    return line
