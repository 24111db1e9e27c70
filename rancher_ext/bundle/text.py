"""What would a person read in this file?

Logs arrive in the encodings and clothes of whoever carried them. Both are taken off here (see clothes.py), in bounded memory
and without touching line numbers: line 12 stays line 12.
"""

import codecs
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, cast

from rancher_ext.bundle.bundle import BundleFile
from rancher_ext.bundle.clothes import Wardrobe

# How much is looked at in one go: what fits into a core's cache is scanned fastest.
CHUNK = 1 << 18
# A line, or a message in parts, longer than this comes in pieces.
LONGEST = 1 << 20
# Of a line in pieces, how much of one piece is seen again with the next.
OVERLAP = 1 << 16
_WORD = 256
# A line that is shown to people; more of it helps nobody.
SHOWN_CHARACTERS = 600


@dataclass(frozen=True)
class Chunk:
    """Lines, beginning with line number `first`. `raw` is as stored, `seen` as patterns see it; same line count.

    All lines are whole, but for those longer than LONGEST: `before` is the end of what stood on the first line in the chunk
    before, and `continues` says that the last line goes on in the next chunk.
    """

    first: int
    raw: bytes
    seen: bytes
    before: bytes = b""
    continues: bool = False


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


def chunks(file: BundleFile, size: int = CHUNK, longest: int = LONGEST) -> Iterator[Chunk]:
    """The file's text in pieces of about `size` bytes that end where a line ends, and no message of a container is open.

    A line longer than `longest` comes in several pieces under one number. Nothing comes of a file that is not text.
    """
    with file.open() as stream:
        head = stream.read(4096)
        encoding = text_encoding(head)
        if encoding is None:
            return
        source = _Replayed(head, stream)
        if encoding.startswith("utf-16"):
            read = _transcoded(cast("BinaryIO", source), encoding, size)
        else:
            if encoding == "utf-8-sig":
                source.read(len(codecs.BOM_UTF8))
            read = iter(lambda: source.read(size), b"")
        yield from _cut(read, longest, Wardrobe(json_lines=head.startswith(b'{"log":"')))


def _cut(read: Iterator[bytes], longest: int, clothes: Wardrobe) -> Iterator[Chunk]:
    line, carry, before = 1, b"", b""
    for data in read:
        if len(carry) >= longest and b"\n" not in carry:
            # Not within a word, nor within what stands for one character.
            cut = carry.rfind(b" ", -_WORD) + 1 or len(carry)
            piece, carry = carry[:cut], carry[cut:]
            seen = clothes.undressed(piece)
            yield Chunk(line, piece, seen, before, continues=True)
            before = (before + seen)[-OVERLAP:]
        block = carry + data if carry else data
        end = block.rfind(b"\n") + 1
        cut = clothes.whole_messages(block, end) if end else 0
        if cut == 0 and len(block) >= longest:
            cut = end
        if cut == 0:
            carry = block
            continue
        whole, carry = block[:cut], block[cut:]
        yield Chunk(line, whole, clothes.undressed(whole), before)
        line += whole.count(b"\n")
        before = b""
    if carry:
        yield Chunk(line, carry, clothes.undressed(carry), before)


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


def _transcoded(stream: BinaryIO, encoding: str, size: int) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    while data := stream.read(size):
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
