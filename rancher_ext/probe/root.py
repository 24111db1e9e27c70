"""How are a node's files read from inside a pod? Below a mounted root, never through it, and never more than asked for.

The node's `/` is mounted somewhere else in the pod. A link on the node such as `/etc/alternatives/iptables` points to an absolute
path of the node: it has to be followed below the mount, else the pod's own files would be told as the node's.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from stat import S_ISREG

_LINKS = 40


@dataclass(frozen=True)
class NodeRoot:
    """The node's files below `folder`; paths are those of the node."""

    folder: Path

    def real(self, path: str) -> Path | None:
        """Where the file lies in the pod, with all links followed as the node would. None for a loop of links."""
        left = list(reversed(PurePosixPath("/", path).parts[1:]))
        done: list[str] = []
        links = 0
        while left:
            part = left.pop()
            if part in {"", "."}:
                continue
            if part == "..":
                done = done[:-1]
                continue
            here = self.folder.joinpath(*done, part)
            try:
                target = here.readlink()
            except OSError:
                done.append(part)
                continue
            links += 1
            if links > _LINKS:
                return None
            pointed = PurePosixPath(target)
            if pointed.is_absolute():
                done = []
            left.extend(reversed([each for each in pointed.parts if each != "/"]))
        return self.folder.joinpath(*done)

    def target(self, path: str) -> str:
        """The node's own path that a link finally leads to; empty when nothing is there."""
        real = self.real(path)
        if real is None or not os.path.lexists(real):
            return ""
        return f"/{real.relative_to(self.folder)}"

    def text(self, path: str, limit: int = 64 << 10) -> str | None:
        """The beginning of a file; None when there is none, or it is nothing to read."""
        data = self._read(path, limit, end=False)
        return None if data is None else data.decode("utf-8", "replace")

    def tail(self, path: str, limit: int) -> bytes | None:
        """The end of a file, beginning with a whole line."""
        data = self._read(path, limit, end=True)
        if data is None or len(data) <= limit:
            return data
        return data.partition(b"\n")[2]

    def names(self, path: str) -> list[str] | None:
        """What lies in a folder, sorted; None when there is no such folder."""
        real = self.real(path)
        try:
            return None if real is None else sorted(entry.name for entry in real.iterdir())
        except OSError:
            return None

    def _read(self, path: str, limit: int, *, end: bool) -> bytes | None:
        real = self.real(path)
        if real is None:
            return None
        try:
            # Not blocking: a pipe that somebody left there would hold us for ever.
            descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            status = os.fstat(descriptor)
            if not S_ISREG(status.st_mode):
                return None
            if end and status.st_size > limit:
                # One byte more, so that the caller sees that something stands before.
                os.lseek(descriptor, status.st_size - limit - 1, os.SEEK_SET)
                limit += 1
            return b"".join(_blocks(descriptor, limit))
        except OSError:
            return None
        finally:
            os.close(descriptor)


def _blocks(descriptor: int, limit: int) -> Iterator[bytes]:
    while limit > 0 and (block := os.read(descriptor, min(limit, 1 << 16))):
        limit -= len(block)
        yield block
