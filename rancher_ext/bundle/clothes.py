r"""What did the program itself write, before others wrapped its lines?

Colours, Windows line ends, the time stamps of container runtimes, Docker's JSON lines, messages that a runtime cut into
parts, quotes escaped inside quotes: all of it is taken off whole blocks of lines, and the number of lines never changes.

A gigabyte leaves a fifth of a microsecond for each line. So a block is first asked whether it wears something at all, and
where lines have to be looked at one by one, the common ones are told by a comparison at the place where it was right before.
"""

import json
import re
from collections.abc import Iterator, MutableSequence, Sequence
from typing import cast

import hyperscan

# Docker cuts what a program writes into entries of 16 KB; containerd says so itself (`P`, and `F` on the last part).
DOCKER_PART = 16_384
# How far before the end of a block an open message is looked for.
_LOOK_BACK = 1 << 16

# The API server and Docker write nine digits and Z, always; other time stamps are the program's own words.
_STAMP = re.compile(
    rb"2[-0-9T:]{18}\.(?:[0-9]{1,9}(?:Z|[-+][0-9:]{5})(?P<cri> (?P<stream>stdout|stderr) (?P<part>[FP]) )|[0-9]{9}(?P<api>Z ))"
)
_WHOLE = frozenset({b" stdout F ", b" stderr F ", b"Z "})
_COLOUR = re.compile(rb"\x1b(?:\[[0-9;?]{0,32}[ -/]?[@-~]|[@-Z\\^_]|\][^\x07\n]{0,256}\x07)")
# Programs use a handful of colours; each is taken off at memory speed.
_COLOURS = 12
_QUOTES_IN_QUOTES = 16
_ENTRY = b'{"log":"'
_ENTRY_ENDS = b'\\n","stream":"'
_STREAM = b'","stream":"std'

# Whether a block wears these is asked of every block: with Hyperscan it takes a fifth of what `in` takes for `\\"` alone.
_worn = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
_STAMPED, _QUOTED = 0, 1
_worn.compile(
    expressions=[rb"\n2[-0-9T:]{18}\.([0-9]{1,9}(Z|[-+][0-9:]{5}) std(out|err) [FP] |[0-9]{9}Z )", rb'\\"'],
    ids=[_STAMPED, _QUOTED],
    flags=hyperscan.HS_FLAG_SINGLEMATCH,
)


class Wardrobe:
    """Takes the clothes off one file. Not for several threads at once: the scratch space is its own."""

    def __init__(self, *, json_lines: bool) -> None:
        self._json_lines = json_lines
        self._scratch = hyperscan.Scratch(_worn)

    def undressed(self, block: bytes) -> bytes:
        """Whole lines as their program wrote them. The same object when there is nothing to take off."""
        seen = block
        if b"\r" in seen:
            # Progress bars return to the start of the line: what follows is another line to a reader, but not to a line count.
            seen = seen.replace(b"\r\n", b"\n").replace(b"\r", b" ")
        if self._json_lines:
            seen = _without_json(seen)
        if b"\x1b" in seen:
            seen = _without_colours(seen)
        worn = self._worn(seen)
        if _STAMPED in worn:
            seen = _without_stamps(seen)
        if _QUOTED in worn:
            for _ in range(_QUOTES_IN_QUOTES):
                seen = seen.replace(b'\\"', b'"')
                if b'\\"' not in seen:
                    break
        return block if seen == block else seen

    def whole_messages(self, block: bytes, cut: int) -> int:
        """The last place up to `cut` where a line begins and no message is left in the middle; 0 when there is none."""
        if self._json_lines:
            return _before_open_entries(block, cut)
        if _STAMPED not in self._worn(block[max(cut - _LOOK_BACK, 0) : cut]):
            return cut
        place, before = cut, -1
        # To leave out one stream's open message may cut one of the other stream.
        while place != before:
            before = place
            place = min(_open_message(block, before, stream) for stream in (b"stdout", b"stderr"))
        return place

    def _worn(self, block: bytes) -> set[int]:
        """Is any line stamped by a runtime, is any quote escaped?"""
        found: set[int] = set()

        # Held in a variable for as long as the scan runs: a temporary callable crashed the process (python-hyperscan 0.7 to 0.9).
        def on_match(index: int, _from: int, _to: int, _flags: int, _context: object) -> None:
            found.add(index)

        _worn.scan(block, match_event_handler=on_match, scratch=self._scratch)
        if _STAMP.match(block):
            found.add(_STAMPED)
        return found


def _without_colours(block: bytes) -> bytes:
    for _ in range(_COLOURS):
        colour = _COLOUR.search(block)
        if colour is None:
            return block
        block = block.replace(colour[0], b"")
    return _COLOUR.sub(b"", block)


def _without_stamps(block: bytes) -> bytes:
    """Lines without their runtime's time stamps, and the parts of a message on the line of its first part.

    The lines of the other parts are left empty. Both streams of a container stand in one file, and one may speak while the
    other is in the middle of a message.
    """
    lines = block.split(b"\n")
    tag, width = _usual_stamp(lines)
    texts = [
        line[width:] if line[tag:width] in _WHOLE and line[19:20] == b"." and line[20:29].isdigit() else None
        for line in lines
    ]
    for number in _left_over(texts):
        stamp = _STAMP.match(lines[number])
        if stamp is None:
            texts[number] = lines[number]
        elif stamp["part"] == b"P":
            _join_parts(lines, texts, number, stamp["stream"])
        else:
            texts[number] = lines[number][stamp.end() :]
    return b"\n".join(cast("list[bytes]", texts))


def _usual_stamp(lines: Sequence[bytes]) -> tuple[int, int]:
    """Where most stamps have their tag. Go drops zeros at the end of a fraction, so the longest stamp is the usual one."""
    stamps = [stamp for line in lines[:20] if (stamp := _STAMP.match(line))]
    return max(((stamp.start("api" if stamp["api"] else "cri"), stamp.end()) for stamp in stamps), default=(0, 0))


def _left_over(texts: Sequence[bytes | None]) -> Iterator[int]:
    """The lines that the quick look did not settle, as far as nothing has settled them since."""
    number = -1
    try:
        while True:
            number = texts.index(None, number + 1)
            yield number
    except ValueError:
        return


def _join_parts(lines: Sequence[bytes], texts: MutableSequence[bytes | None], first: int, stream: bytes) -> None:
    parts: list[bytes] = []
    for number in range(first, len(lines)):
        stamp = _STAMP.match(lines[number])
        if stamp is None or stamp["stream"] != stream:
            continue
        parts.append(lines[number][stamp.end() :])
        texts[number] = b""
        if stamp["part"] == b"F":
            break
    texts[first] = b"".join(parts)


def _without_json(block: bytes) -> bytes:
    """The text inside the lines of Docker's json-file driver; lines that are none stay as they are."""
    lines = block.split(b"\n")
    tail = _usual_tail(lines)
    ends = len(_ENTRY_ENDS) - tail
    texts = [
        text
        if line[-tail:ends] == _ENTRY_ENDS and line[:8] == _ENTRY and b"\\" not in (text := line[8:-tail])
        else None
        for line in lines
    ]
    for number in _left_over(texts):
        line = lines[number]
        end = line.rfind(_STREAM)
        if end < 0 or not line.startswith(_ENTRY):
            texts[number] = _odd_entry(line)
        elif _goes_on(line, text := _unescaped(line[8:end])):
            _join_entries(lines, texts, number, line[end:][: len(_STREAM) + 3])
        else:
            texts[number] = _one_line(text)
    return b"\n".join(cast("list[bytes]", texts))


def _usual_tail(lines: Sequence[bytes]) -> int:
    """How long most entries are after their text; the longest, as with time stamps."""
    ends = [(line, line.rfind(_ENTRY_ENDS)) for line in lines[:20]]
    return max((len(line) - end for line, end in ends if end >= 0), default=len(_ENTRY_ENDS))


def _join_entries(lines: Sequence[bytes], texts: MutableSequence[bytes | None], first: int, stream: bytes) -> None:
    parts: list[bytes] = []
    for number in range(first, len(lines)):
        line = lines[number]
        end = line.rfind(stream)
        if end < 0 or not line.startswith(_ENTRY):
            continue
        text = _unescaped(line[8:end])
        parts.append(_one_line(text))
        texts[number] = b""
        if not _goes_on(line, text):
            break
    texts[first] = b"".join(parts)


def _goes_on(line: bytes, text: bytes) -> bool:
    """Docker cuts what a program writes; an entry that is cut is full and has no line end at its end."""
    return len(line) >= DOCKER_PART and not text.endswith(b"\n")


def _open_message(block: bytes, cut: int, stream: bytes) -> int:
    """Where the message begins that this stream has not ended at `cut`; `cut` when there is none."""
    part, last = b" %s P " % stream, b" %s F " % stream
    latest = block.rfind(part, max(cut - _LOOK_BACK, 0), cut)
    if latest < 0 or block.rfind(last, latest, cut) >= 0:
        return cut
    first = block.find(part, max(block.rfind(last, 0, latest), 0))
    start = block.rfind(b"\n", 0, first) + 1
    return start if _STAMP.match(block, start) else cut


def _before_open_entries(block: bytes, cut: int) -> int:
    """Docker's entries without a line end at their end go on in the next entry."""
    place = cut
    while place:
        start = block.rfind(b"\n", 0, place - 1) + 1
        line = block[start : place - 1]
        end = line.rfind(_STREAM)
        if end < 0 or not line.startswith(_ENTRY) or not _goes_on(line, _unescaped(line[8:end])):
            return place
        place = start
    return 0


def _one_line(text: bytes) -> bytes:
    return text.rstrip(b"\r\n").replace(b"\r", b" ").replace(b"\n", b" ")


def _unescaped(text: bytes) -> bytes:
    """The inside of a JSON string. Most of them hold a few escaped quotes; only the rest is worth a parser."""
    if b"\\\\" not in text:
        plain = text.replace(b'\\"', b'"').replace(b"\\n", b"\n")
        if b"\\" in plain:
            plain = plain.replace(b"\\t", b"\t").replace(b"\\r", b"\r").replace(b"\\u001b", b"\x1b")
            plain = plain.replace(b"\\u003c", b"<").replace(b"\\u003e", b">").replace(b"\\u0026", b"&")
        if b"\\" not in plain:
            return plain
    try:
        return _encoded(json.loads('"' + text.decode("utf-8", "surrogateescape") + '"', strict=False))
    except ValueError:
        return text


def _encoded(text: str) -> bytes:
    """Bytes that were no UTF-8 stay what they were; half a character pair is shown as a question mark."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


def _odd_entry(line: bytes) -> bytes:
    """A JSON line whose keys stand in another order, or no such line at all."""
    if not line.startswith(_ENTRY):
        return line
    try:
        entry = json.loads(line)
    except ValueError:
        return line
    text = entry.get("log") if isinstance(entry, dict) else None
    return _one_line(_encoded(text)) if isinstance(text, str) else line
