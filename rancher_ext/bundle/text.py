"""What would a person read in this file?

Logs arrive in the clothes of whoever carried them: colours, Windows line ends, UTF-16 from PowerShell, the time stamps of
container runtimes, Docker's JSON lines, quotes escaped inside quotes. All of that is taken off here, in bounded memory and
without touching line numbers: line 12 stays line 12.
"""

import codecs
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, cast

from rancher_ext.bundle.bundle import BundleFile

CHUNK = 1 << 20
# A line that is shown to people; more of it helps nobody.
SHOWN_CHARACTERS = 600

_COLOURS = re.compile(rb"\x1b(?:\[[0-9;?]{0,32}[ -/]?[@-~]|[@-Z\\^_]|\][^\x07\n]{0,256}\x07)")
_RUNTIME_STAMP = re.compile(
    rb"^(?:\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,9}(?:Z|[+-]\d\d:\d\d) stdout [FP] "
    rb"|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,9}(?:Z|[+-]\d\d:\d\d) stderr [FP] "
    rb"|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z )",
    re.MULTILINE,
)
_ESCAPED_QUOTE = re.compile(rb'\\{1,16}"')


@dataclass(frozen=True)
class Chunk:
    """Whole lines, beginning with line number `first`. `raw` is as stored, `seen` as patterns see it; same line count."""

    first: int
    raw: bytes
    seen: bytes


def text_encoding(head: bytes) -> str | None:
    """The encoding that the first bytes of a file give away, or None when it is not text."""
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" not in head:
        return "utf-8"
    even, odd = head[0::2].count(0), head[1::2].count(0)
    half = max(len(head) // 2, 1)
    # Latin text in UTF-16 has a zero in every other byte, and hardly one in between.
    if odd > half * 0.6 and even < half * 0.1:
        return "utf-16-le"
    if even > half * 0.6 and odd < half * 0.1:
        return "utf-16-be"
    return None


def chunks(file: BundleFile, size: int = CHUNK) -> Iterator[Chunk]:
    """The file's text in pieces of about `size` bytes that end where a line ends.

    A line longer than that comes in several pieces under one number. Nothing comes of a file that is not text.
    """
    with file.open() as stream:
        head = stream.read(4096)
        encoding = text_encoding(head)
        if encoding is None:
            return
        source = _Replayed(head, stream)
        if encoding.startswith("utf-16"):
            read = _transcoded(cast("BinaryIO", source), encoding)
        else:
            if encoding == "utf-8-sig":
                source.read(len(codecs.BOM_UTF8))
            read = iter(lambda: source.read(size), b"")
        json_lines = head.startswith(b'{"log":"')
        line, carry = 1, b""
        for data in read:
            block = carry + data
            cut = block.rfind(b"\n") + 1
            if cut == 0 and len(block) < size:
                carry = block
                continue
            whole, carry = (block[:cut], block[cut:]) if cut else (block, b"")
            yield _chunk(line, whole, json_lines=json_lines)
            line += whole.count(b"\n")
        if carry:
            yield _chunk(line, carry, json_lines=json_lines)


def lines(file: BundleFile, limit: int = 2_000_000) -> Iterator[tuple[int, str]]:
    """The first `limit` lines with their numbers, as a person reads them."""
    for chunk in chunks(file):
        for offset, line in enumerate(chunk.seen.removesuffix(b"\n").split(b"\n")):
            number = chunk.first + offset
            if number > limit:
                return
            yield number, shown(line)


def shown(line: bytes) -> str:
    """A line as text, UTF-8 where it is that and Latin-1 where it is not."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("latin-1")


def excerpt(text: str, around: int = 0) -> str:
    """A line short enough to be shown, cut around the character that matters."""
    text = text.strip("\r\n")
    if len(text) <= SHOWN_CHARACTERS:
        return text
    start = max(0, min(around - SHOWN_CHARACTERS // 2, len(text) - SHOWN_CHARACTERS))
    piece = text[start : start + SHOWN_CHARACTERS]
    return ("… " if start else "") + piece + (" …" if start + SHOWN_CHARACTERS < len(text) else "")


def _chunk(first: int, raw: bytes, *, json_lines: bool) -> Chunk:
    seen = raw
    if b"\r" in seen:
        # Progress bars return to the start of the line: what follows is another line to a reader, but not to a line count.
        seen = seen.replace(b"\r\n", b"\n").replace(b"\r", b" ")
    if json_lines:
        seen = b"\n".join(_json_line(line) for line in seen.split(b"\n"))
    if b"\x1b" in seen:
        seen = _COLOURS.sub(b"", seen)
    if b"Z " in seen or b" std" in seen:
        seen = _RUNTIME_STAMP.sub(b"", seen)
    if b'\\"' in seen:
        seen = _ESCAPED_QUOTE.sub(b'"', seen)
    return Chunk(first, raw, seen)


def _json_line(line: bytes) -> bytes:
    """The text inside a line of Docker's json-file driver, or the line itself."""
    if not line.startswith(b'{"log":"'):
        return line
    try:
        entry = json.loads(line)
    except ValueError:
        return line
    text = entry.get("log") if isinstance(entry, dict) else None
    if not isinstance(text, str):
        return line
    return text.rstrip("\n").replace("\n", " ").encode("utf-8", "replace")


def _transcoded(stream: BinaryIO, encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    while data := stream.read(CHUNK):
        yield decoder.decode(data).encode("utf-8", "replace")
    if rest := decoder.decode(b"", final=True):
        yield rest.encode("utf-8", "replace")


class _Replayed:
    """A stream whose first bytes were already read."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head = io.BytesIO(head)
        self._rest = rest

    def read(self, size: int) -> bytes:
        return self._head.read(size) or self._rest.read(size)
