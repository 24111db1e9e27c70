"""Is this a pattern that may run on any input, and what does it find in one line?

Patterns are RE2: linear in the input, whatever they say. The scan over whole files uses Hyperscan to find candidate lines,
and RE2 has the last word on each of them, so a pattern has to compile in both. Both see bytes, one character each, so that
broken UTF-8 hides nothing.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import hyperscan
import re2

# No `^` of our own: MULTILINE makes ^ and $ mean the ends of a line.
SCAN_FLAGS = hyperscan.HS_FLAG_MULTILINE

# Ordinary lines of healthy clusters. A pattern that finds these finds everything.
_ORDINARY = (
    "I0301 10:08:40.330308       1 main.go:211] Running backend.",
    'time="2024-06-11T09:22:14+08:00" level=info msg="Starting /v1, Kind=Secret controller"',
    "2020-06-04 09:31:05.706 [INFO][9] startup.go 369: Checking datastore connection",
    "kube-system   coredns-64897985d-7hj4t   1/1   Running   0   39h",
    "x",
)
_FORBIDDEN = {
    "\n": "a line end (a pattern sees one line)",
    r"\n": r"\n (a pattern sees one line)",
    r"\A": r"\A (write ^)",
    r"\z": r"\z (write $)",
    r"\C": r"\C (it splits characters)",
    r"\Q": r"\Q (write a backslash before each special character)",
}


def _options() -> Any:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    options.never_nl = True
    return options


@lru_cache(maxsize=4096)
def compiled(pattern: str) -> Any:
    """The RE2 program for a pattern that `problem_with_pattern` has nothing against."""
    return re2.compile(pattern.encode(), _options())


def found_in(pattern: str, text: str) -> bool:
    """Is the pattern somewhere in this text? Line ends inside the text do not hide or join anything."""
    return any(compiled(pattern).search(line.encode("utf-8", "replace")) is not None for line in text.split("\n"))


@lru_cache(maxsize=4096)
def problem_with_pattern(pattern: str) -> str | None:
    """What is wrong with a pattern, and what to write instead; None when it is fine."""
    for forbidden, name in _FORBIDDEN.items():
        if forbidden in pattern.replace("\\\\", ""):
            return f"the pattern contains {name}"
    if "(?i" in pattern and not pattern.isascii():
        return (
            "the pattern has letters beyond ASCII under (?i), which leaves those as they are; write both forms: (ä|Ä)"
        )
    if problem := syntax_problem(pattern):
        return f"the pattern does not compile: {problem} (RE2 syntax: no look-around, no back-references)"
    program = compiled(pattern)
    if program.search(b"") is not None:
        return "the pattern matches the empty string, hence every line; name the words it has to find"
    if sum(program.search(line.encode()) is not None for line in _ORDINARY) >= 2:
        return "the pattern matches ordinary log lines; name the words it has to find"
    if pattern.endswith((".*", ".+", ".*$", ".+$")):
        return "the pattern ends in .* or .+, which finds nothing more and costs time; leave it out"
    try:
        _check_database(pattern)
    except hyperscan.error as error:
        return f"the pattern does not compile for scanning: {error} (make repeats smaller)"
    return None


def syntax_problem(pattern: str) -> str | None:
    """What RE2 has against a pattern, in its words; None when it compiles."""
    try:
        compiled(pattern)
    except re2.error as error:
        said = error.args[0] if error.args else error
        return said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    return None


@dataclass(frozen=True)
class ScanForm:
    """A pattern as the scan over whole files runs it. `sure`: it reports each line that RE2 would find once, and no other."""

    expression: str
    sure: bool


# What RE2 means, said so that it cannot run across a line end and Hyperscan means the same: `\s` has no vertical tab.
_OUTSIDE = {r"\s": r"[\t\f\r ]", r"\S": r"[^\t\n\f\r ]", r"\D": r"[^\d\n]", r"\W": r"[^\w\n]", r"\v": r"\x0b"}
_INSIDE = {
    r"\s": r"\t\f\r ",
    r"\S": r"\x00-\x08\x0b\x0e-\x1f!-\xff",
    r"\D": r"\x00-\x09\x0b-/:-\xff",
    r"\W": r"\x00-\x09\x0b-/:-@\[-\^`{-\xff",
    r"\v": r"\x0b",
}
# Escapes that both engines read alike and that stand for no line end.
_PLAIN_ESCAPES = frozenset("sSdDwWbBtfr") | frozenset("\\.+*?()|[]{}^$/-\"'`,:;=<>@#%&!~_ ")
_PLAIN_GROUPS = ("(?:", "(?i)", "(?i:", "(?P<")


@lru_cache(maxsize=4096)
def scanning_form(pattern: str) -> ScanForm:
    r"""The same pattern for a whole buffer: what could run across a line end (`[^"]`, `\s`, `\D`, `\W`) stops there.

    A sure form also swallows the rest of its line, so that every match in a line ends at the same place and is reported once.
    """
    written: list[str] = []
    inside, sure = False, True
    ends_of_line: list[int] = []
    position = 0
    while position < len(pattern):
        at = position
        piece = pattern[position : position + 2] if pattern[position] == "\\" else pattern[position]
        position += len(piece)
        if len(piece) == 2:
            sure = sure and piece[1] in _PLAIN_ESCAPES and not (inside and piece[1] in "bBtfr")
            piece = (_INSIDE if inside else _OUTSIDE).get(piece, piece)
        elif piece < " ":
            sure = False
        elif inside and pattern.startswith("[:", at):
            # A named class like [:alpha:] has a bracket of its own.
            sure = False
            end = pattern.find(":]", position) + 2
            piece, position = pattern[at:end], max(end, position)
        elif inside:
            inside = piece != "]"
        elif piece == "[":
            inside = True
            if pattern.startswith("^", position):
                piece, position = r"[^\n", position + 1
            # A bracket that comes first in a class is an ordinary character.
            if pattern.startswith("]", position):
                piece, position = piece + r"\]", position + 1
        elif piece == "$":
            ends_of_line.append(at)
        elif piece == "(" and pattern.startswith("?", position):
            sure = sure and pattern.startswith(_PLAIN_GROUPS, at)
        written.append(piece)
    expression = "".join(written)
    if ends_of_line and (ends_of_line != [len(pattern) - 1] or "|" in pattern):
        return ScanForm(expression, sure=False)
    if not sure or ends_of_line:
        return ScanForm(expression, sure)
    return ScanForm(rf"(?:{expression}).*\n", sure=True)


def _check_database(pattern: str) -> None:
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(expressions=[scanning_form(pattern).expression.encode()], ids=[0], flags=SCAN_FLAGS)
