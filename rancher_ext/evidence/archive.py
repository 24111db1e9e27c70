"""What is inside this folder, archive or file, and is it safe to read?

Archives come from strangers: from a ticket, an issue, a chat. So nothing is extracted to the disk by name, names that lead
out of the bundle, links and devices are refused, and an archive may not grow beyond limits while it is read.
"""

import gzip
import io
import json
import os
import stat
import tarfile
import tempfile
import weakref
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from rancher_ext.bundle.bundle import MANIFEST, Bundle, BundleFile, Manifest
from rancher_ext.bundle.origin import OriginKind, origin_of
from rancher_ext.errors import BadInput


@dataclass(frozen=True)
class ArchiveLimits:
    """How much a bundle may hold. A support bundle of 1,000 nodes has some 20,000 files and 2 GB of text."""

    entries: int = 50_000
    total_bytes: int = 4 << 30
    # Text of logs shrinks to a tenth, seldom to a hundredth. A bomb shrinks to a thousandth.
    ratio: int = 400
    # The ratio says nothing about small files: a log of one repeated line is no bomb.
    ratio_from: int = 64 << 20
    path_characters: int = 1024


DEFAULT_LIMITS = ArchiveLimits()
_COPY = 1 << 20
_CURE_UNSAFE = "Make the archive anew from the plain files (tar -czf bundle.tar.gz -C FOLDER .), or unpack it by hand and give the folder."
_CURE_UNREADABLE = "Check the rights on it, or leave it out."
_CURE_BROKEN = "Copy or download the archive again, or give the folder it was made of."


def open_bundle(path: Path | str, limits: ArchiveLimits = DEFAULT_LIMITS) -> Bundle:
    """A folder, `.tar`, `.tar.gz`, `.tgz`, `.zip`, `.gz`, or one single file. Raises BadInput for anything unsafe or broken."""
    path = Path(path)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise BadInput(f"{path}: there is no such file or folder", cure="Check the path.") from None
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}", cure="Check the rights on it.") from error
    if stat.S_ISDIR(mode):
        return _named(path.name, _folder(path, limits))
    if not stat.S_ISREG(mode):
        raise BadInput(f"{path}: is neither a file nor a folder", cure="Give a folder, an archive or a text file.")
    try:
        return _named(path.name, _file(path, limits))
    except PermissionError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}", cure="Check the rights on it.") from error


def _file(path: Path, limits: ArchiveLimits) -> dict[str, BundleFile]:
    with path.open("rb") as stream:
        magic = stream.read(512)
    if magic[:4] in {b"PK\x03\x04", b"PK\x05\x06"}:
        return _zip(path, limits)
    if magic[:2] == b"\x1f\x8b":
        return _gzip(path, limits)
    if magic[257:262] == b"ustar":
        return _tar(path, limits)
    if path.name.lower().endswith((".tar", ".tgz", ".tar.gz", ".zip", ".gz")):
        raise BadInput(f"{path}: is named like an archive, but is none", cure=_CURE_BROKEN)
    return {path.name: BundleFile(path.name, path.stat().st_size, _opener(path))}


def _named(name: str, files: dict[str, BundleFile]) -> Bundle:
    files = _without_common_folder(files)
    return Bundle(files, _manifest(files), name)


def _manifest(files: dict[str, BundleFile]) -> Manifest | None:
    file = files.get(MANIFEST)
    if file is None or file.size > 16 << 20:
        return None
    try:
        return Manifest.from_json(json.loads(file.read_bytes()))
    except (ValueError, RecursionError):
        return None


def _without_common_folder(files: dict[str, BundleFile]) -> dict[str, BundleFile]:
    """Archives often wrap everything into one folder of their own name."""
    while files:
        heads = {path.partition("/")[0] for path in files}
        if len(heads) != 1 or any("/" not in path for path in files):
            return files
        head = next(iter(heads))
        # `logs/…` alone is our own layout, not a wrapper.
        if any(origin_of(path).kind is not OriginKind.UNKNOWN for path in files):
            return files
        files = {
            path.removeprefix(head + "/"): BundleFile(path.removeprefix(head + "/"), file.size, file.opener)
            for path, file in files.items()
        }
    return files


def _folder(root: Path, limits: ArchiveLimits) -> dict[str, BundleFile]:
    files: dict[str, BundleFile] = {}
    meter = _Meter(str(root), limits, stored=0)
    for folder, folders, names in os.walk(root, onerror=_unreadable, followlinks=False):
        folders.sort()
        for name in sorted(names):
            path = Path(folder) / name
            relative = path.relative_to(root).as_posix()
            status = path.lstat()
            # A folder of one's own may hold links (latest.log -> 2025.log); following them could leave the folder.
            if not stat.S_ISREG(status.st_mode):
                continue
            meter.entry(relative)
            meter.grow(relative, status.st_size)
            files[relative] = BundleFile(relative, status.st_size, _opener(path))
    return files


def _opener(path: Path) -> Callable[[], BinaryIO]:
    def opened() -> BinaryIO:
        try:
            return path.open("rb")
        except OSError as error:
            raise BadInput(f"{path}: cannot be read: {error.strerror}", cure=_CURE_UNREADABLE) from error

    return opened


def _unreadable(error: OSError) -> None:
    """A folder that cannot be listed would otherwise be a folder without evidence."""
    raise BadInput(f"{error.filename}: cannot be read: {error.strerror}", cure=_CURE_UNREADABLE) from error


class _Meter:
    """Counts what an archive turns into, and stops it in time."""

    def __init__(self, name: str, limits: ArchiveLimits, stored: int) -> None:
        self._name, self._limits, self._stored = name, limits, stored
        self._entries = 0
        self._bytes = 0

    def entry(self, path: str) -> None:
        self._entries += 1
        if self._entries > self._limits.entries:
            raise BadInput(
                f"{self._name}: has more than {self._limits.entries} entries (at {path!r})",
                cure="Give only the files of one cluster.",
            )

    def grow(self, path: str, size: int) -> None:
        self._bytes += size
        if self._bytes > self._limits.total_bytes:
            raise BadInput(
                f"{self._name}: holds more than {self._limits.total_bytes >> 20} MB (at {path!r})",
                cure="Leave out logs of other nodes or cut them to the hours that matter.",
            )
        allowed = max(self._stored * self._limits.ratio, self._limits.ratio_from)
        if self._stored and self._bytes > allowed:
            raise BadInput(
                f"{self._name}: unpacks to more than {self._limits.ratio} times its size (at {path!r})",
                cure=_CURE_UNSAFE,
            )


def _safe_name(archive: str, name: str, limits: ArchiveLimits) -> str | None:
    """The entry's path inside the bundle, None for the root itself; raises for a name that leads elsewhere."""
    plain = name.replace("\\", "/")
    pure = PurePosixPath(plain)
    if pure.is_absolute() or (len(plain) > 1 and plain[1] == ":"):
        raise BadInput(f"{archive}: entry {name!r} has an absolute name", cure=_CURE_UNSAFE)
    if ".." in pure.parts:
        raise BadInput(f"{archive}: entry {name!r} leads out of the archive", cure=_CURE_UNSAFE)
    if "\0" in plain or len(plain) > limits.path_characters:
        raise BadInput(f"{archive}: entry {name[:80]!r} has a name that no file can have", cure=_CURE_UNSAFE)
    return pure.as_posix() if pure.parts else None


class _Spool:
    """Holds unpacked entries in one unlinked temporary file; the bundle's files read slices of it, from any thread."""

    def __init__(self) -> None:
        self._descriptor, name = tempfile.mkstemp(prefix="drover-bundle-")
        os.unlink(name)  # noqa: PTH108
        weakref.finalize(self, os.close, self._descriptor)
        self._end = 0

    def add(self, path: str, source: BinaryIO, meter: _Meter) -> BundleFile:
        start = self._end
        while data := source.read(_COPY):
            meter.grow(path, len(data))
            while data:
                written = os.pwrite(self._descriptor, data, self._end)
                self._end += written
                data = data[written:]
        size = self._end - start
        return BundleFile(path, size, lambda: self.slice(start, size))

    def slice(self, start: int, size: int) -> BinaryIO:
        return io.BufferedReader(_Slice(self, start, size))

    def read_at(self, position: int, size: int) -> bytes:
        return os.pread(self._descriptor, size, position)


class _Slice(io.RawIOBase):
    def __init__(self, spool: _Spool, start: int, size: int) -> None:
        self._spool, self._position, self._end = spool, start, start + size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(cast("bytearray", buffer))
        data = self._spool.read_at(self._position, min(len(view), self._end - self._position))
        view[: len(data)] = data
        self._position += len(data)
        return len(data)


@contextmanager
def _broken_becomes_bad_input(path: Path) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, gzip.BadGzipFile, NotImplementedError) as error:
        raise BadInput(f"{path}: the archive is truncated or damaged: {error}", cure=_CURE_BROKEN) from error
    except RuntimeError as error:
        # zipfile says "password required" with a RuntimeError.
        raise BadInput(f"{path}: the archive cannot be opened: {error}", cure="Give it without a password.") from error


class _BoundedInfo(tarfile.TarInfo):
    """Long names and extended headers are read into memory whole; a header of a gigabyte compresses to nothing."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        header = not self.isreg() and not self.isdir() and self.type not in {tarfile.SYMTYPE, tarfile.LNKTYPE}
        if header and self.size > 1 << 20:
            raise tarfile.ReadError(f"the header of an entry claims {self.size} bytes")
        return super()._proc_member(archive)  # type: ignore[misc, no-any-return]


def _tar(path: Path, limits: ArchiveLimits) -> dict[str, BundleFile]:
    with _broken_becomes_bad_input(path), path.open("rb") as raw:
        files = _tar_entries(path, raw, "r:", limits)
        # A tar ends in empty blocks. tarfile is content without them, so that an archive cut between two entries looks whole.
        raw.seek(-512, os.SEEK_END)
        if raw.read(512).strip(b"\0"):
            raise BadInput(f"{path}: the archive is truncated: its end is missing", cure=_CURE_BROKEN)
        return files


def _tar_entries(path: Path, raw: BinaryIO, mode: str, limits: ArchiveLimits) -> dict[str, BundleFile]:
    files: dict[str, BundleFile] = {}
    spool, meter = _Spool(), _Meter(str(path), limits, stored=path.stat().st_size)
    with tarfile.open(fileobj=raw, mode=mode, tarinfo=_BoundedInfo) as archive:  # type: ignore[call-overload]
        for member in archive:
            meter.entry(member.name)
            name = _safe_name(str(path), member.name, limits)
            if member.isdir() or name is None:
                continue
            if member.issym() or member.islnk():
                raise BadInput(f"{path}: entry {member.name!r} is a link to {member.linkname!r}", cure=_CURE_UNSAFE)
            if not member.isfile():
                raise BadInput(f"{path}: entry {member.name!r} is a device or a pipe", cure=_CURE_UNSAFE)
            source = archive.extractfile(member)
            assert source is not None
            _add(files, spool, name, cast("BinaryIO", source), meter)
    return files


def _add(files: dict[str, BundleFile], spool: _Spool, name: str, source: BinaryIO, meter: _Meter) -> None:
    """An entry, unpacked once more when it is a rotated log (`kubelet.log.1.gz`)."""
    if name.endswith(".gz") and not name.endswith((".tar.gz",)):
        with gzip.GzipFile(fileobj=source) as plain:
            files[name.removesuffix(".gz")] = spool.add(name.removesuffix(".gz"), cast("BinaryIO", plain), meter)
        return
    files[name] = spool.add(name, source, meter)


def _gzip(path: Path, limits: ArchiveLimits) -> dict[str, BundleFile]:
    with _broken_becomes_bad_input(path):
        with gzip.open(path) as stream:
            head = stream.read(512)
        if head[257:262] == b"ustar" or path.name.lower().endswith((".tar.gz", ".tgz")):
            with gzip.open(path) as stream:
                return _tar_entries(path, cast("BinaryIO", stream), "r|", limits)
        name = path.name.removesuffix(".gz") or "log"
        spool, meter = _Spool(), _Meter(str(path), limits, stored=path.stat().st_size)
        with gzip.open(path) as stream:
            return {name: spool.add(name, cast("BinaryIO", stream), meter)}


def _zip(path: Path, limits: ArchiveLimits) -> dict[str, BundleFile]:
    files: dict[str, BundleFile] = {}
    spool, meter = _Spool(), _Meter(str(path), limits, stored=path.stat().st_size)
    with _broken_becomes_bad_input(path), zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            meter.entry(entry.filename)
            name = _safe_name(str(path), entry.filename, limits)
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if kind == stat.S_IFLNK:
                raise BadInput(f"{path}: entry {entry.filename!r} is a link", cure=_CURE_UNSAFE)
            if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
                raise BadInput(f"{path}: entry {entry.filename!r} is a device or a pipe", cure=_CURE_UNSAFE)
            if entry.is_dir() or name is None:
                continue
            with archive.open(entry) as source:
                _add(files, spool, name, cast("BinaryIO", source), meter)
    return files


def write_folder(bundle: Bundle, path: Path | str) -> Path:
    """Write all files below a folder, which is created. Files are readable by the owner alone: evidence is not public."""
    root = Path(path)
    for name in bundle:
        safe = _safe_name(str(root), name, DEFAULT_LIMITS)
        assert safe is not None
        target = root / safe
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as sink, bundle[name].open() as source:
            while data := source.read(_COPY):
                sink.write(data)
    root.mkdir(parents=True, exist_ok=True)
    return root


def write_archive(bundle: Bundle, path: Path | str) -> Path:
    """Write a `.tar.gz` of all files. The same bundle gives the same bytes. The target appears whole or not at all."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    collected = bundle.manifest.collected_at if bundle.manifest else None
    moment = int(collected.timestamp()) if collected else 0
    descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with (
            os.fdopen(descriptor, "wb") as raw,
            gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            for name in bundle:
                file = bundle[name]
                entry = tarfile.TarInfo(name)
                entry.size, entry.mtime, entry.mode = file.size, moment, 0o600
                with file.open() as source:
                    archive.addfile(entry, source)
        Path(temporary).replace(target)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return target
