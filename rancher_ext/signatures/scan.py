r"""Which patterns are found in which files, on which lines?

All patterns of all signatures go over the text once: Hyperscan finds where a match may end, RE2 confirms it on that one
line. Hyperscan works on whole buffers, where `[^"]+` and `\s` would run across line ends; RE2, which gets a single line, is why a
pattern sees one line and nothing else.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import hyperscan

from rancher_ext.bundle.text import Chunk, excerpt, shown
from rancher_ext.signatures.patterns import SCAN_FLAGS, compiled, for_scanning, stays_on_its_line

# Lines kept of each pattern and file; all are counted.
KEPT = 8
# How much of a very long line is looked at around a candidate, to either side.
WINDOW = 32 * 1024


@dataclass(frozen=True)
class Line:
    number: int
    text: str


@dataclass
class Found:
    """A pattern in one file: how many lines hit, and the first of them."""

    count: int = 0
    lines: list[Line] = field(default_factory=list)


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
        self._programs = [compiled(pattern) for pattern in self.patterns]
        self._exact = [stays_on_its_line(pattern) for pattern in self.patterns]
        self._database = None
        if self.patterns:
            self._database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
            self._database.compile(
                expressions=[for_scanning(pattern).encode() for pattern in self.patterns],
                ids=list(range(len(self.patterns))),
                elements=len(self.patterns),
                flags=[SCAN_FLAGS] * len(self.patterns),
            )

    def scan(self, texts: Iterable[Text]) -> Hits:
        """One pass over all texts."""
        found: dict[str, dict[str, Found]] = {}
        if self._database is None:
            return Hits(found)
        scratch = hyperscan.Scratch(self._database)
        for text in texts:
            entries: dict[int, Found] = {}
            for chunk in text.chunks():
                self._confirm(chunk, self._candidates(chunk.seen, scratch), entries)
            for index, entry in entries.items():
                found.setdefault(self.patterns[index], {})[text.key] = entry
        return Hits(found)

    def _confirm(self, chunk: Chunk, candidates: list[tuple[int, int, int]], entries: dict[int, Found]) -> None:
        """Let RE2 decide about each candidate, in line order, and note what it confirms."""
        data = chunk.seen
        newline, counted = 0, 0
        last_hit: dict[int, int] = {}
        candidates.sort()
        for start, end, index in candidates:
            entry = entries.get(index)
            whole_line = not start or data[start - 1] == 10
            if entry is not None and whole_line and len(entry.lines) == KEPT and self._exact[index]:
                # Nothing but the count is wanted of a log that repeats itself, and the scan alone is sure of it.
                entry.count += 1
                continue
            line_start = start if whole_line else data.rfind(b"\n", 0, start) + 1
            if last_hit.get(index) == line_start:
                continue
            match = self._programs[index].search(data[start:end])
            if match is None:
                continue
            last_hit[index] = line_start
            if entry is None:
                entry = entries[index] = Found()
            entry.count += 1
            if len(entry.lines) < KEPT:
                newline += data.count(b"\n", counted, start)
                counted = start
                line_end = data.find(b"\n", end)
                line_end = len(data) if line_end < 0 else line_end
                text = _shown(chunk, newline, start - line_start + match.start(), line_start, line_end)
                entry.lines.append(Line(chunk.first + newline, text))

    def _candidates(self, data: bytes, scratch: hyperscan.Scratch) -> list[tuple[int, int, int]]:
        """(start, end, pattern) of the lines, or windows of very long lines, in which a match may be."""
        seen_to = [-1] * len(self.patterns)
        candidates: list[tuple[int, int, int]] = []
        find, rfind, total = data.find, data.rfind, len(data)

        # Held in a variable for as long as the scan runs: a temporary callable crashed the process (hyperscan 0.9).
        def on_match(index: int, _from: int, to: int, _flags: int, _context: object) -> None:
            if to <= seen_to[index]:
                return
            last = to - 1
            start = rfind(b"\n", max(0, last - WINDOW), last) + 1 or max(0, last - WINDOW)
            end = find(b"\n", last, last + WINDOW)
            if end < 0:
                end = min(total, last + WINDOW)
            seen_to[index] = max(end, to)
            candidates.append((start, end, index))

        assert self._database is not None
        self._database.scan(data, match_event_handler=on_match, scratch=scratch)
        return candidates


def _shown(chunk: Chunk, line: int, offset: int, start: int, end: int) -> str:
    if chunk.raw is chunk.seen:
        return excerpt(shown(chunk.seen[start:end]), offset)
    # Cleaning kept the number of lines, not their length: look the stored line up by its number.
    position = 0
    for _ in range(line):
        position = chunk.raw.find(b"\n", position) + 1
    stop = chunk.raw.find(b"\n", position)
    raw = chunk.raw[position : stop if stop >= 0 else len(chunk.raw)]
    readable = shown(chunk.seen[start:end])
    # Colours and runtime stamps help no reader; the words of the stored line stay as they are.
    return excerpt(readable if b"\x1b" in raw or raw.startswith(b'{"log"') else shown(raw), offset)
