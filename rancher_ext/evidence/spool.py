"""Where do unpacked files live while a bundle is read?

In one temporary file without a name: it is gone when the process is, nothing in an archive can choose where it is written,
and a bundle of a gigabyte takes disk instead of memory. Files of the bundle are slices of it, readable from any thread.
"""

import io
import os
import tempfile
import weakref
from collections.abc import Sequence
from itertools import accumulate
from typing import BinaryIO, cast

from rancher_ext.errors import BadInput

_COPY = 1 << 20
# Lines of one view that wait to be written; many views may be open at once.
_HELD = 64 << 10

Extent = tuple[int, int]


class Spool:
    """Append-only. Closed when nobody refers to it or to one of its files any more."""

    def __init__(self) -> None:
        self._descriptor, name = tempfile.mkstemp(prefix="drover-bundle-")
        os.unlink(name)  # noqa: PTH108
        weakref.finalize(self, os.close, self._descriptor)
        self._end = 0

    def append(self, data: bytes) -> Extent:
        start, size = self._end, len(data)
        view = memoryview(data)
        while view:
            try:
                written = os.pwrite(self._descriptor, view, self._end)
            except OSError as error:
                raise BadInput(
                    f"{tempfile.gettempdir()}: cannot hold the unpacked evidence: {error.strerror}",
                    cure="Free some space there, or name another folder with the environment variable TMPDIR.",
                ) from error
            self._end += written
            view = view[written:]
        return start, size

    def open(self, extents: Sequence[Extent]) -> BinaryIO:
        """A fresh seekable stream over these pieces, one after the other."""
        return io.BufferedReader(_Slices(self, extents), _HELD)

    def read_at(self, position: int, size: int) -> bytes:
        return os.pread(self._descriptor, size, position)


class _Slices(io.RawIOBase):
    def __init__(self, spool: Spool, extents: Sequence[Extent]) -> None:
        self._spool, self._extents = spool, extents
        self._ends = list(accumulate(size for _, size in extents))
        self._position = 0
        self._piece = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        end = self._ends[-1] if self._ends else 0
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: end}[whence]
        if base + offset < 0:
            raise ValueError(f"negative position {base + offset}")
        self._position, self._piece = base + offset, 0
        return self._position

    def readinto(self, buffer: object) -> int:
        view = memoryview(cast("bytearray", buffer))
        while self._piece < len(self._ends) and self._position >= self._ends[self._piece]:
            self._piece += 1
        if self._piece == len(self._ends):
            return 0
        start, size = self._extents[self._piece]
        within = self._position - (self._ends[self._piece] - size)
        data = self._spool.read_at(start + within, min(len(view), size - within))
        view[: len(data)] = data
        self._position += len(data)
        return len(data)


class SpoolWriter:
    """Collects one file in a spool to which others write at the same time."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._held: list[bytes] = []
        self._waiting = 0
        self.extents: list[Extent] = []
        self.size = 0

    def write(self, data: bytes) -> None:
        self._held.append(data)
        self._waiting += len(data)
        self.size += len(data)
        if self._waiting >= _HELD:
            self.flush()

    def flush(self) -> None:
        if self._held:
            self.extents.append(self._spool.append(b"".join(self._held)))
            self._held, self._waiting = [], 0
