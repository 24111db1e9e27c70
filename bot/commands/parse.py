"""Which commands does a comment hold?

A command is a line that begins with `/drover`, where GitHub shows it as plain text. Quoted text, code (fenced, indented or
inline), HTML comments and raw HTML are not commands: people show each other commands without meaning them. In doubt a line is
not a command, since a missed one is typed again and a wrong one may change a cluster.

One pass over the lines and one over each paragraph: linear in the comment, whatever it holds.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from difflib import get_close_matches

# Nobody types more by hand; each may cause a write.
MAX_COMMANDS = 20
LONGEST_NAME = 40

_LINE_END = re.compile(r"\r\n|\r|\n")
_COMMAND = re.compile(r" {0,3}/drover(?:[ \t]+(.*))?[ \t]*", re.IGNORECASE | re.DOTALL)
_QUOTE = re.compile(r" {0,3}>")
_HEADING = re.compile(r" {0,3}#{1,6}(?:[ \t]|$)")
_LIST_ITEM = re.compile(r" {0,3}(?:[-+*]|[0-9]{1,9}[.)])(?:[ \t]|$)")
_INDENTED = re.compile(r" {0,3}\t| {4}")
# Also after list markers, and at any depth: a fence in a list is a fence.
_FENCE = re.compile(r"([ \t]*(?:(?:[-+*]|[0-9]{1,9}[.)])[ \t]+)*)(`{3,}|~{3,})(.*)", re.DOTALL)
_HTML = re.compile(r" {0,3}<(?:[A-Za-z/]|!--|[!?])")
_HTML_UNTIL_CLOSED = re.compile(r" {0,3}<(pre|script|style|textarea|blockquote|code)\b", re.IGNORECASE)
_BACKTICKS = re.compile(r"`+")
_OPENER = re.compile(r"\\.|`+|<!--", re.DOTALL)  # a backslash takes away the meaning of what follows


@dataclass(frozen=True)
class ParsedCommand:
    """`name` is in lower case and perhaps unknown; then `did_you_mean` is the nearest known one, if any is near."""

    name: str
    args: tuple[str, ...]
    text: str  # what follows the name, as typed
    line: int  # 1 is the comment's first
    known: bool
    did_you_mean: str | None = None


def parse(body: str, known: Collection[str] | None = None) -> list[ParsedCommand]:
    """The comment's commands in order, the first twenty. `known` defaults to the commands there are."""
    if known is None:
        from bot.commands.gather import commands

        known = commands().keys()
    found = []
    for number, rest in _command_lines(body):
        found.append(_parsed(rest, number, known))
        if len(found) == MAX_COMMANDS:
            break
    return found


def _parsed(rest: str, line: int, known: Collection[str]) -> ParsedCommand:
    words = rest.split(maxsplit=1)
    name = words[0].lower() if words else "help"
    text = words[1].strip() if len(words) > 1 else ""
    if name in known:
        return ParsedCommand(name, tuple(text.split()), text, line, known=True)
    near = get_close_matches(name[:LONGEST_NAME], sorted(known), n=1)
    return ParsedCommand(name, tuple(text.split()), text, line, known=False, did_you_mean=near[0] if near else None)


def _command_lines(body: str) -> Iterator[tuple[int, str]]:
    """Line number and what follows `/drover`, for lines that are plain text."""
    for paragraph in _paragraphs(_LINE_END.split(body)):
        hidden = _hidden("\n".join(line for _, line in paragraph))
        start = 0
        for number, line in paragraph:
            match = _COMMAND.fullmatch(line)
            if match is not None and not _within(hidden, start + line.index("/")):
                yield number, (match[1] or "").strip()
            start += len(line) + 1


def _paragraphs(lines: list[str]) -> Iterator[list[tuple[int, str]]]:
    """Runs of lines that are neither code blocks, nor quotes, nor raw HTML."""
    paragraph: list[tuple[int, str]] = []
    skipping: _Skip | None = None
    for number, line in enumerate(lines, start=1):
        if skipping is not None:
            if skipping.ends_with(line):
                skipping = None
            continue
        skipping = _skip_from(line)
        alone = _HEADING.match(line) is not None
        ends_here = skipping is not None or alone or not line.strip() or _LIST_ITEM.match(line) is not None
        if paragraph and ends_here:
            yield paragraph
            paragraph = []
        if skipping is not None:
            skipping = None if skipping.only_this_line else skipping
        # An indented line is code, or goes on with the paragraph before it.
        elif line.strip() and not alone and (paragraph or not _INDENTED.match(line)):
            paragraph.append((number, line))
    if paragraph:
        yield paragraph


@dataclass(frozen=True)
class _Skip:
    """A block that is not for us, and what ends it. Exactly one of the fields says so; with none, a blank line does."""

    fence: str = ""
    indent: int = 0
    closing: str = ""
    only_this_line: bool = False

    def ends_with(self, line: str) -> bool:
        if self.fence:
            bare = line.strip(" \t")
            deep = len(line) - len(line.lstrip(" \t"))
            return len(bare) >= len(self.fence) and set(bare) == {self.fence[0]} and deep <= self.indent + 3
        if self.closing:
            return self.closing in line.lower()
        # A line after a quote without a mark of its own still belongs to it, until a blank one.
        return not line.strip()


def _skip_from(line: str) -> _Skip | None:
    """The block that this line begins, if it is one to skip."""
    if _QUOTE.match(line):
        return _Skip()
    fence = _FENCE.fullmatch(line)
    if fence is not None and not (fence[2].startswith("`") and "`" in fence[3]):
        return _Skip(fence=fence[2], indent=len(fence[1]))
    if not _HTML.match(line):
        return None
    if line.lstrip().startswith("<!--"):
        closing = "-->"
    elif (tag := _HTML_UNTIL_CLOSED.match(line)) is not None:
        closing = f"</{tag[1].lower()}>"
    else:
        return _Skip()
    return _Skip(closing=closing, only_this_line=closing in line.lower())


def _hidden(text: str) -> list[tuple[int, int]]:
    """Where inline code and HTML comments are within a paragraph, in order and apart from each other."""
    runs: dict[int, list[re.Match[str]]] = {}  # by length: code ends at the next run as long as the one that began it
    for run in _BACKTICKS.finditer(text):
        runs.setdefault(len(run[0]), []).append(run)
    last_comment_end = text.rfind("-->")
    hidden: list[tuple[int, int]] = []
    position = 0
    for opener in _OPENER.finditer(text):
        if opener.start() < position or opener[0].startswith("\\"):
            continue
        if opener[0] == "<!--":
            end = text.index("-->", opener.end()) + 3 if opener.end() <= last_comment_end else None
        else:
            same_length = runs.get(len(opener[0]), [])
            closer = bisect_left(same_length, opener.end(), key=lambda run: run.start())
            end = same_length[closer].end() if closer < len(same_length) else None
        if end is not None:
            hidden.append((opener.start(), end))
            position = end
    return hidden


def _within(ranges: list[tuple[int, int]], position: int) -> bool:
    before = bisect_right(ranges, position, key=lambda span: span[0]) - 1
    return before >= 0 and position < ranges[before][1]
