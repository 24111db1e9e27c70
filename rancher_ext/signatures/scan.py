r"""Which patterns are found in which files, on which lines?

All patterns of all signatures go over the text once, with Hyperscan. A pattern is given to it in a form that ends with its
line, so that a line is reported once however often it fits, and counting is all there is left to do. Where that form is not
sure (a user's pattern with odd flags), it only proposes, and RE2 decides about each line.

Figures and corpora: `make bench`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import hyperscan

from rancher_ext.bundle.text import OVERLAP, SHOWN_CHARACTERS, Chunk, excerpt, shown
from rancher_ext.signatures.patterns import SCAN_FLAGS, compiled, scanning_form

# Lines kept of each pattern and file; all are counted.
KEPT = 8
# Counting from here, a pattern never has enough lines: each one is looked at.
_UNSURE = -(1 << 60)


@dataclass(frozen=True)
class Line:
    number: int
    text: str


@dataclass
class Found:
    """A pattern in one file: how many lines hit, the first of them, and the last where more hit than are kept."""

    count: int = 0
    lines: list[Line] = field(default_factory=list)
    last: Line | None = None


@dataclass(frozen=True)
class Text:
    """Something to scan. `key` is what the result calls it."""

    key: str
    chunks: Callable[[], Iterator[Chunk]]


class Hits:
    """What a scan found. Immutable for its readers."""

    def __init__(self, found: Mapping[str, Mapping[str, Found]]) -> None:
        self._found = found

    def of(self, pattern: str) -> Mapping[str, Found]:
        """The files in which the pattern was found."""
        return self._found.get(pattern, {})


class Scanner:
    """A set of patterns, compiled once. Safe to use from several threads: each scan has its own scratch space."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self.patterns: Sequence[str] = tuple(dict.fromkeys(patterns))
        forms = [scanning_form(pattern) for pattern in self.patterns]
        self._counts_at_first = [0 if form.sure else _UNSURE for form in forms]
        self._database = None
        if self.patterns:
            self._database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
            self._database.compile(
                expressions=[form.expression.encode() for form in forms],
                ids=list(range(len(forms))),
                elements=len(forms),
                flags=[SCAN_FLAGS] * len(forms),
            )

    def scan(self, texts: Iterable[Text]) -> Hits:
        """One pass over all texts."""
        found: dict[str, dict[str, Found]] = {}
        if self._database is None:
            return Hits(found)
        scratch = hyperscan.Scratch(self._database)
        for text in texts:
            for index, entry in self._scan(text, self._database, scratch).items():
                found.setdefault(self.patterns[index], {})[text.key] = entry
        return Hits(found)

    def _scan(self, text: Text, database: hyperscan.Database, scratch: hyperscan.Scratch) -> dict[int, Found]:
        total = len(self.patterns)
        counts = self._counts_at_first.copy()
        noted: list[int] = []
        note = noted.append
        last: dict[int, int] = {}

        # Both are held in variables for as long as the scan runs: a temporary callable crashed the process (python-hyperscan 0.7 to 0.9).
        # This is the inner loop of text in which every line hits; nothing but counting happens here.
        def on_match(index: int, _from: int, to: int, _flags: int, _context: object) -> None:
            counts[index] = count = counts[index] + 1
            if count <= KEPT:
                note(to * total + index)
            else:
                last[index] = to

        def on_doubtful(index: int, _from: int, to: int, _flags: int, _context: object) -> None:
            note(to * total + index)

        file = _File(self.patterns, self._counts_at_first)
        for chunk in text.chunks():
            data = chunk.before + chunk.seen if chunk.before else chunk.seen
            if not data.endswith(b"\n"):
                data += b"\n"
            noted.clear()
            if chunk.before or chunk.continues:
                database.scan(data, match_event_handler=on_doubtful, scratch=scratch)
                file.note_pieces(chunk, data, sorted(noted), counts)
            else:
                database.scan(data, match_event_handler=on_match, scratch=scratch)
                file.note(chunk, data, sorted(noted))
                if last:
                    file.note_last(chunk, data, last)
                    last.clear()
        return file.result(counts)


class _File:
    """What was found in one file so far."""

    def __init__(self, patterns: Sequence[str], counts_at_first: Sequence[int]) -> None:
        self._patterns = patterns
        self._sure = counts_at_first
        self._found: dict[int, Found] = {}
        self._last: dict[int, _Stored] = {}
        self._latest: tuple[Chunk, bytes, Mapping[int, int]] | None = None
        # Patterns that hit on the line that goes on in the next chunk.
        self._on_open_line: set[int] = set()

    def result(self, counts: Sequence[int]) -> dict[int, Found]:
        self.settle({})
        for index, entry in self._found.items():
            if counts[index] >= 0:
                entry.count = counts[index]
            if index in self._last:
                entry.last = self._last[index].told(self._patterns[index])
        return self._found

    def note(self, chunk: Chunk, data: bytes, noted: Sequence[int]) -> None:
        """Look at places in whole lines: the first ones of each sure pattern, and all of the others."""
        lines = _Lines(chunk, data)
        tried: dict[int, int] = {}
        for place in noted:
            to, index = divmod(place, len(self._patterns))
            start, end = lines.around(to)
            if self._sure[index] >= 0:
                self._keep(index, lines, start, end)
            elif tried.get(index) != start:
                tried[index] = start
                if compiled(self._patterns[index]).search(data[start:end]) is not None:
                    self._found.setdefault(index, Found()).count += 1
                    self._keep(index, lines, start, end)

    def note_pieces(self, chunk: Chunk, data: bytes, noted: Sequence[int], counts: list[int]) -> None:
        """Look at all places in a chunk that begins or ends inside a line.

        Such a line counts once, and neither its pieces' beginning nor their end is its own.
        """
        self.settle({})
        lines = _Lines(chunk, data)
        tried: set[tuple[int, int]] = set()
        on_open_line: set[int] = set()
        for place in noted:
            to, index = divmod(place, len(self._patterns))
            start, end = lines.around(to)
            if (index, start) in tried:
                continue
            tried.add((index, start))
            begun, goes_on = bool(chunk.before) and start == 0, chunk.continues and end == len(data) - 1
            if begun and index in self._on_open_line:
                on_open_line.add(index)
                continue
            # One byte to either side is seen by RE2, but not as part of the line: `^` and `$` do not fit there.
            program = compiled(self._patterns[index])
            from_ = int(begun and len(chunk.before) == OVERLAP)
            if program.search(data[start:end], from_, end - start - int(goes_on)) is None:
                continue
            if goes_on:
                on_open_line.add(index)
            entry = self._found.setdefault(index, Found())
            if self._sure[index] >= 0:
                counts[index] += 1
            else:
                entry.count += 1
            self._keep(index, lines, start, end)
        self._on_open_line = on_open_line

    def note_last(self, chunk: Chunk, data: bytes, ends: Mapping[int, int]) -> None:
        """The last places in this chunk of patterns of which enough lines are kept.

        In a log that repeats itself the next chunk has later ones. So they are looked up one chunk late, where they still count.
        """
        self.settle(ends)
        self._latest = (chunk, data, dict(ends))

    def settle(self, later: Mapping[int, int]) -> None:
        """Look up the lines noted last, but for those of which there are later ones."""
        if self._latest is None:
            return
        chunk, data, ends = self._latest
        lines = _Lines(chunk, data)
        for to, index in sorted((to, index) for index, to in ends.items() if index not in later):
            self._last[index] = lines.stored(*lines.around(to))
        self._latest = None

    def _keep(self, index: int, lines: "_Lines", start: int, end: int) -> None:
        entry = self._found.get(index)
        if entry is None:
            entry = self._found[index] = Found()
        stored = lines.stored(start, end)
        if len(entry.lines) < KEPT:
            entry.lines.append(stored.told(self._patterns[index]))
        else:
            self._last[index] = stored


@dataclass(frozen=True, slots=True)
class _Stored:
    """A line as patterns see it and as it is stored."""

    number: int
    seen: bytes
    raw: bytes

    def told(self, pattern: str) -> Line:
        offset = 0
        if len(self.seen) > SHOWN_CHARACTERS:
            match = compiled(pattern).search(self.seen)
            offset = match.start() if match else 0
        # Escaped quotes and a stamp stay as they are stored. Colours and JSON help no reader, and of a message in parts the
        # stored line has only the first.
        plain = self.raw.rstrip(b"\r").replace(b"\\", b"")
        best = self.raw if plain.endswith(self.seen.replace(b"\\", b"")) else self.seen
        return Line(self.number, excerpt(shown(best), offset))


class _Lines:
    """The lines of one chunk by their place, asked for from the first to the last."""

    def __init__(self, chunk: Chunk, data: bytes) -> None:
        self._chunk, self._data = chunk, data
        self._number, self._counted = 0, 0
        self._raw: list[bytes] = []

    def around(self, to: int) -> tuple[int, int]:
        """Where the line begins and ends in which a match ended, before or after the line's end."""
        return self._data.rfind(b"\n", 0, to - 1) + 1, self._data.find(b"\n", to - 1)

    def stored(self, start: int, end: int) -> _Stored:
        self._number += self._data.count(b"\n", self._counted, start)
        self._counted = start
        chunk, seen = self._chunk, self._data[start:end]
        if chunk.raw is chunk.seen or chunk.before:
            return _Stored(chunk.first + self._number, seen, seen)
        # Cleaning kept the number of lines, not their length: the stored line is found by its number.
        self._raw = self._raw or chunk.raw.split(b"\n")
        return _Stored(chunk.first + self._number, seen, self._raw[self._number])
