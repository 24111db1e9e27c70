"""How much may a bundle hold, and which names may stand in it?

Archives come from strangers: from a ticket, an issue, a chat. Names that lead out of the bundle are refused, names that would
spoil a terminal or a page are made harmless, and an archive may not grow beyond limits while it is read.
"""

from dataclasses import dataclass
from pathlib import PurePosixPath

from rancher_ext.errors import BadInput


@dataclass(frozen=True)
class ArchiveLimits:
    """What one bundle may hold. Rancher's log collector writes some 300 files a node, a support bundle of 1,000 nodes some
    20,000 files and 2 GB of text.
    """

    entries: int = 200_000
    total_bytes: int = 4 << 30
    # Text of logs shrinks to a tenth, seldom to a hundredth. A bomb shrinks to a thousandth.
    ratio: int = 400
    # The ratio says nothing about small files: a log of one repeated line is no bomb.
    ratio_from: int = 64 << 20
    path_characters: int = 1024


DEFAULT_LIMITS = ArchiveLimits()
CURE_UNSAFE = "Make the archive anew from the plain files (tar -czf bundle.tar.gz -C FOLDER .), or unpack it by hand and give the folder."


class Meter:
    """Counts what an archive turns into, and stops it in time."""

    def __init__(self, name: str, limits: ArchiveLimits, stored: int) -> None:
        self._name, self._limits, self._stored = name, limits, stored
        self._entries = 0
        self._bytes = 0

    def packed(self, size: int) -> None:
        """So much more is stored: what a folder's files weigh becomes known one by one."""
        self._stored += size

    def entry(self, path: str) -> None:
        self._entries += 1
        if self._entries > self._limits.entries:
            raise BadInput(
                f"{self._name}: has more than {self._limits.entries} entries (at {path[:200]!r})",
                cure="Give only the files of one cluster.",
            )

    def grow(self, path: str, size: int) -> None:
        self._bytes += size
        if self._bytes > self._limits.total_bytes:
            raise BadInput(
                f"{self._name}: holds more than {self._limits.total_bytes >> 20} MB (at {path[:200]!r})",
                cure="Leave out logs of other nodes or cut them to the hours that matter.",
            )
        allowed = max(self._stored * self._limits.ratio, self._limits.ratio_from)
        if self._stored and self._bytes > allowed:
            raise BadInput(
                f"{self._name}: unpacks to more than {self._limits.ratio} times its size (at {path[:200]!r})",
                cure=CURE_UNSAFE,
            )


def safe_name(archive: str, name: str, limits: ArchiveLimits = DEFAULT_LIMITS) -> str | None:
    """The entry's path inside the bundle, None for the root itself; raises for a name that leads elsewhere."""
    plain = name.replace("\\", "/")
    pure = PurePosixPath(plain)
    if pure.is_absolute() or (len(plain) > 1 and plain[1] == ":"):
        raise BadInput(f"{archive}: entry {name[:200]!r} has an absolute name", cure=CURE_UNSAFE)
    if ".." in pure.parts:
        raise BadInput(f"{archive}: entry {name[:200]!r} leads out of the archive", cure=CURE_UNSAFE)
    if "\0" in plain or len(plain) > limits.path_characters:
        raise BadInput(f"{archive}: entry {name[:80]!r} has a name that no file can have", cure=CURE_UNSAFE)
    return printable(pure.as_posix()) if pure.parts else None


def printable(name: str) -> str:
    r"""The name as one line that any output can hold: `a\nb` for a line feed, `\udcff` for a byte that is no text."""
    if name.isprintable():
        return name
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in name
    )
