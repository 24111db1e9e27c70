"""How does text from a cluster or a person get into an issue without becoming part of it?

GitHub works in two passes: Markdown first, then mentions, `#12`, commit ids and bare URLs in what was rendered. A backslash
stops only the first pass. What the second one looks for is therefore broken up: `@` and `#` before a digit become their
full-width twins, and an invisible word joiner goes into URLs and ids. It is harmless to read but bad to copy, so names and log
lines that people copy belong in `code_span` and `code_block`, where GitHub changes nothing.
"""

import re
import unicodedata

# U+2060: joins words, has no width, and is in no pattern of GitHub's.
JOINER = "\N{WORD JOINER}"
UNSHOWABLE = "\N{REPLACEMENT CHARACTER}"

_FIRST_PASS = {
    "\\": "\\\\",
    "`": "\\`",
    "*": "\\*",
    "_": "\\_",
    "[": "\\[",
    "]": "\\]",
    "~": "\\~",
    "|": "\\|",
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    "@": "\N{FULLWIDTH COMMERCIAL AT}",
    "$": "\N{FULLWIDTH DOLLAR SIGN}",  # GitHub's formulas ignore a backslash before it
}
_FIRST_PASS_TABLE = str.maketrans(_FIRST_PASS)
_REFERENCE = re.compile(r"#(?=[0-9])")
_GH_REFERENCE = re.compile(r"(?i)\b(gh-)(?=[0-9])")
_SCHEME = re.compile(r":(?=//)")
_OTHER_SCHEMES = re.compile(r"(?i)\b(mailto|xmpp):")
_WWW = re.compile(r"(?i)(www)(?=\.)")
# Seven hex digits are enough for GitHub to look for a commit of that name.
_COMMIT = re.compile(r"(?i)(?<![0-9a-z])[0-9a-f]{7,64}(?![0-9a-z])")
_BLOCK_START = re.compile(r"^(?:[-+=#]|[0-9]{1,9}(?=[.)]))")


def escape_markdown(text: str) -> str:
    """The text as one line of prose that shows what it says and does nothing else."""
    line = " ".join(_showable(text).split())
    line = _COMMIT.sub(lambda found: JOINER.join(re.findall(".{1,6}", found[0])), line)
    line = line.translate(_FIRST_PASS_TABLE)
    line = _SCHEME.sub(":" + JOINER, line)
    line = _OTHER_SCHEMES.sub(rf"\1{JOINER}:", line)
    line = _WWW.sub(rf"\1{JOINER}", line)
    line = _REFERENCE.sub("\N{FULLWIDTH NUMBER SIGN}", line)
    line = _GH_REFERENCE.sub(rf"\1{JOINER}", line)
    return _BLOCK_START.sub(_escape_last, line)


def code_span(text: str) -> str:
    """The text as inline code, on one line: for names, versions and values. Not for a table cell with a `|` in it."""
    line = " ".join(_showable(text).split()) or " "
    fence = "`" * (_longest_run(line) + 1)
    # A space keeps backticks at the edges apart from the fence; Markdown strips one on each side.
    padding = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{padding}{line}{padding}{fence}"


def table_cell(text: str) -> str:
    """The text as inline code within a table row, where `|` ends a cell even inside code."""
    # A trailing backslash would swallow the cell's border together with ours.
    return code_span(text).replace("\\|", "\\ |").replace("|", "\\|")


def code_block(text: str, language: str = "") -> str:
    """The lines as a fenced block no line of theirs can end."""
    lines = [_showable(line) for line in re.split(r"\r\n|\r|\n", text.rstrip("\r\n"))]
    body = "\n".join(lines)
    fence = "`" * max(3, _longest_run(body) + 1)
    return f"{fence}{language}\n{body}\n{fence}"


def plain_title(text: str, *, limit: int = 256) -> str:
    """One line for an issue's title: GitHub renders backticks there and nothing else, and refuses more than 256 characters."""
    line = " ".join(_showable(text).replace("`", "'").split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def _showable(text: str) -> str:
    """Tabs and line ends stay; control, bidirectional and zero-width characters would hide or reorder what follows."""
    return "".join(
        char if char in "\t\n\r" or unicodedata.category(char) not in {"Cc", "Cf", "Cs"} else UNSHOWABLE
        for char in text
    )


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall(r"`+", text)), default=0)


def _escape_last(found: re.Match[str]) -> str:
    start = found[0]
    return start + "\\" if start.isdigit() else "\\" + start
