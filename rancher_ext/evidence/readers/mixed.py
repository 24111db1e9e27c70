"""Whose line is this, in a file that holds the words of many?

A system log, a journal as JSON, `kubectl cluster-info dump`, `kubectl logs --prefix` and `tail` of several files mix what
predicates need apart: the kubelet's lines from the kernel's, one container's from another's, one node's from the next one's.
Such a file becomes one view per source (`messages` becomes `messages/w1/kubelet`, `messages/w1/kernel` …). In a view the lines
of others are empty, so that line 812 of a view is line 812 of the file.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

from rancher_ext.bundle.bundle import BundleFile
from rancher_ext.bundle.origin import Origin, OriginKind, container_origin, origin_of, unit_origin
from rancher_ext.bundle.text import chunks
from rancher_ext.evidence.readers.journal import (
    export_lines,
    json_line,
    looks_like_export,
    looks_like_json,
    syslog_line,
)
from rancher_ext.evidence.readers.log_collector import foreign_origin
from rancher_ext.evidence.spool import Spool, SpoolWriter

# Two minutes of work at most; a system log beyond that is read as one text.
_LARGEST = 512 << 20
_HEAD = 64 << 10
_VIEWS = 4096
# Empty lines that stand for the lines of others. A thousand containers in one dump of 250,000 lines need so much.
_PADDING = 256 << 20
# What may wait in memory to be written, over all views.
_HELD = 16 << 20

_DUMP_START = "==== START logs for container "
_DUMP_MARK = re.compile(
    rb"^==== (START|END) logs for container ([a-z0-9.-]{1,253}) of pod ([a-z0-9-]{1,63})/([a-z0-9.-]{1,253}) ====\s*$"
)
_PREFIXED = re.compile(rb"^\[pod/([a-z0-9.-]{1,253})/([a-z0-9.-]{1,253})\] ?(.*)$", re.DOTALL)
_TAILED = re.compile(rb"^==> (\S.{0,1000}?) <==\s*$")


@dataclass(frozen=True)
class Owner:
    """Who wrote a line: the view's name below the file, and what the view then is."""

    name: str
    origin: Origin


# A line becomes its owner (None: nobody known) and what the view shows instead of it.
Sorter = Callable[[bytes], tuple[Owner | None, bytes]]


def unmixed(files: dict[str, BundleFile], spool: Spool) -> dict[str, BundleFile]:
    """The same files, mixed ones taken apart. What nobody is known to have written stays under the file's own name."""
    result: dict[str, BundleFile] = {}
    for path, file in files.items():
        views = _views(file, spool) if _may_be_mixed(path, file) else None
        if views is None:
            result[path] = file
        else:
            result |= {view.path: view for view in views if view.path not in files or view.path == path}
    return result


def _may_be_mixed(path: str, file: BundleFile) -> bool:
    if not 0 < file.size <= _LARGEST:
        return False
    origin = file.origin or origin_of(path)
    if origin.kind is not OriginKind.UNKNOWN:
        return False
    foreign = foreign_origin(path)
    if foreign is None:
        return True
    # A unit's own journal is one voice, unless it is written in a form that has to be read first. `logs.txt` of a dump has all
    # containers of its pod.
    return foreign.kind is OriginKind.UNIT or (foreign.kind is OriginKind.CONTAINER and path.endswith("/logs.txt"))


def _views(file: BundleFile, spool: Spool) -> list[BundleFile] | None:
    head = file.read_bytes(_HEAD)
    known = foreign_origin(file.path)
    if looks_like_export(head):
        with file.open() as stream:
            return _Sorting(file, spool, known).sorted(_exported(stream))
    first = next((chunk.seen[:_HEAD] for chunk in chunks(BundleFile.of(file.path, head))), b"")
    telling = [line for line in first.split(b"\n")[:60] if line.strip()]
    sorter: Sorter | None = None
    if looks_like_json(first):
        sorter = _Journalled()
    elif known is not None and known.kind is OriginKind.UNIT:
        return None
    elif _share(telling, lambda line: syslog_line(line) is not None) > 0.6:
        sorter = _Syslog()
    elif _share(telling, lambda line: _PREFIXED.match(line) is not None) > 0.6:
        sorter = _prefixed
    elif telling and _TAILED.match(telling[0]):
        sorter = _Tailed()
    elif _holds(file, head, _DUMP_START):
        sorter = _Dumped()
    return None if sorter is None else _Sorting(file, spool, known).sorted(_lines(file, sorter))


def _share(lines: list[bytes], fits: Callable[[bytes], bool]) -> float:
    return sum(fits(line) for line in lines) / len(lines) if lines else 0.0


def _holds(file: BundleFile, head: bytes, words: str) -> bool:
    """Do these words stand anywhere in the file, also in the two byte orders of PowerShell's text?"""
    needles = [words.encode(encoding) for encoding in ("utf-8", "utf-16-le", "utf-16-be")]
    if file.size <= len(head):
        return any(needle in head for needle in needles)
    kept = b""
    with file.open() as stream:
        while data := stream.read(1 << 20):
            window = kept + data
            if any(needle in window for needle in needles):
                return True
            kept = window[-len(needles[1]) :]
    return False


Sorted = Iterator[tuple[int, Owner | None, bytes]]


def _lines(file: BundleFile, sorter: Sorter) -> Sorted:
    for chunk in chunks(file):
        for offset, line in enumerate(chunk.seen.removesuffix(b"\n").split(b"\n")):
            owner, text = sorter(line)
            yield chunk.first + offset, owner, text


class _Sorting:
    """Writes every line to its view, with line ends for the lines of others in between."""

    def __init__(self, file: BundleFile, spool: Spool, known: Origin | None) -> None:
        self._file, self._spool, self._known = file, spool, known
        self._writers: dict[str, SpoolWriter] = {}
        self._at: dict[str, int] = {}
        self._origins: dict[str, Origin | None] = {}
        self._padding = 0
        self._held = 0

    def sorted(self, lines: Sorted) -> list[BundleFile] | None:
        for number, owner, text in lines:
            if text.strip():
                self._write(owner, number, text)
        if not any(self._writers):
            return None
        return [self._view(name) for name in self._writers]

    def _write(self, owner: Owner | None, number: int, text: bytes) -> None:
        name = owner.name if owner is not None else ""
        gap = number - self._at.get(name, 1)
        new = name not in self._writers
        if name and ((new and len(self._writers) >= _VIEWS) or self._padding + gap > _PADDING):
            owner, name = None, ""
            gap, new = number - self._at.get(name, 1), name not in self._writers
        if new:
            self._writers[name] = SpoolWriter(self._spool)
            self._origins[name] = owner.origin if owner is not None else self._known
        self._padding += gap
        # A line longer than a chunk comes in pieces under one number: then there is no gap, and it goes on.
        self._writers[name].write(b"\n" * gap + text)
        self._at[name] = number
        self._held += gap + len(text)
        if self._held > _HELD:
            self._held = 0
            for writer in self._writers.values():
                writer.flush()

    def _view(self, name: str) -> BundleFile:
        writer = self._writers[name]
        writer.write(b"\n")
        writer.flush()
        extents, spool = tuple(writer.extents), self._spool
        path = f"{self._file.path}/{name}" if name else self._file.path
        return BundleFile(path, writer.size, lambda: spool.open(extents), self._origins[name])


# Journals and system logs


def _unit_owner(host: str, unit: str, cache: dict[tuple[str, str], Owner]) -> Owner:
    owner = cache.get((host, unit))
    if owner is None:
        owner = cache[host, unit] = Owner(f"{host}/{unit}" if host else unit, unit_origin(unit, host or None))
    return owner


class _Syslog:
    """`Mar  4 10:00:00 w1 kubelet[812]: …`; indented lines go on with what stands before."""

    def __init__(self) -> None:
        self._cache: dict[tuple[str, str], Owner] = {}
        self._last: Owner | None = None

    def __call__(self, line: bytes) -> tuple[Owner | None, bytes]:
        found = syslog_line(line)
        if found is None:
            return (self._last, line) if line[:1] in {b" ", b"\t"} else (None, line)
        host, unit = found
        self._last = _unit_owner(host, unit, self._cache) if unit else None
        return self._last, line


class _Journalled:
    """`journalctl -o json`: one entry a line."""

    def __init__(self) -> None:
        self._cache: dict[tuple[str, str], Owner] = {}

    def __call__(self, line: bytes) -> tuple[Owner | None, bytes]:
        found = json_line(line)
        if found is None:
            return None, line
        host, unit, text = found
        return (_unit_owner(host, unit, self._cache) if unit else None), text


def _exported(stream: BinaryIO) -> Sorted:
    cache: dict[tuple[str, str], Owner] = {}
    for number, host, unit, text in export_lines(stream):
        yield number, _unit_owner(host, unit, cache) if unit else None, text


# Containers


class _Dumped:
    """`kubectl cluster-info dump`: API objects and, between marks, the log of each container."""

    def __init__(self) -> None:
        self._owner: Owner | None = None

    def __call__(self, line: bytes) -> tuple[Owner | None, bytes]:
        mark = _DUMP_MARK.match(line) if line.startswith(b"==== ") else None
        if mark is None:
            return self._owner, line
        if mark[1] == b"END":
            self._owner = None
        else:
            container, namespace, pod = mark[2].decode(), mark[3].decode(), mark[4].decode()
            self._owner = Owner(f"{namespace}/{pod}/{container}", container_origin(namespace, pod, container))
        return None, b""


def _prefixed(line: bytes) -> tuple[Owner | None, bytes]:
    found = _PREFIXED.match(line)
    if found is None:
        return None, line
    pod, container = found[1].decode(), found[2].decode()
    return Owner(f"{pod}/{container}", container_origin(None, pod, container)), found[3]


class _Tailed:
    """`==> /var/log/… <==`, as `head` and `tail` print them."""

    def __init__(self) -> None:
        self._owner: Owner | None = None
        self._seen: dict[str, int] = {}

    def __call__(self, line: bytes) -> tuple[Owner | None, bytes]:
        title = _TAILED.match(line) if line.startswith(b"==> ") else None
        if title is None:
            return self._owner, line
        name = title[1].decode("utf-8", "replace").strip("/")
        origin = foreign_origin(name) or origin_of(name)
        harmless = "/".join(part for part in name.split("/") if part not in {"", ".", ".."})
        known = origin.kind in {OriginKind.CONTAINER, OriginKind.UNIT}
        self._owner = Owner(harmless[:500], replace(origin)) if known and harmless.isprintable() else None
        return None, b""
