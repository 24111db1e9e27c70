"""How does an archive become files, without trusting it?

Nothing is written by name, nothing is followed. Compressed logs inside an archive are unpacked, and archives inside it once:
people put the log collections of ten nodes into one zip. What is packed is told by its first bytes, not by its name.
"""

import bz2
import errno
import gzip
import io
import lzma
import stat
import struct
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import BinaryIO, cast

from rancher_ext.bundle.bundle import BundleFile
from rancher_ext.errors import BadInput
from rancher_ext.evidence.limits import CURE_UNSAFE, ArchiveLimits, Meter, safe_name
from rancher_ext.evidence.spool import Spool, SpoolWriter

CURE_BROKEN = "Copy or download the archive again, or give the folder it was made of."
HEAD = 512
_COPY = 1 << 20
# What an .xz may ask for while it is unpacked: `xz -9` needs 65 MB.
_XZ_MEMORY = 128 << 20
_ARCHIVE_SUFFIXES = (".tar", ".tgz", ".tbz2", ".tbz", ".txz", ".tzst", ".zip")
_PACKED_SUFFIXES = (".gz", ".bz2", ".xz", ".zst")
_FOREIGN = (
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "Unpack it (7z x FILE) and give the folder."),
    (b"Rar!\x1a\x07", "a RAR archive", "Unpack it (unrar x FILE) and give the folder."),
    (b"\x04\x22\x4d\x18", "packed with LZ4", "Unpack it (lz4 -d FILE) and give what comes out."),
)


def named_like_archive(name: str) -> bool:
    return name.lower().endswith(_ARCHIVE_SUFFIXES + _PACKED_SUFFIXES)


def packing_of(head: bytes) -> str | None:
    """gzip, bzip2, xz, zstd, zip, tar, or None for a plain file."""
    if head[:4] in {b"PK\x03\x04", b"PK\x05\x06"}:
        return "zip"
    if head[257:262] == b"ustar":
        return "tar"
    for magic, packing in (
        (b"\x1f\x8b", "gzip"),
        (b"BZh", "bzip2"),
        (b"\xfd7zXZ\x00", "xz"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
    ):
        if head.startswith(magic) and (packing != "bzip2" or head[4:10] in {b"1AY&SY", b"\x17rE8P\x90"}):
            return packing
    return None


def refuse_foreign(label: str, head: bytes) -> None:
    """Packings that nothing here can open are named, instead of being read as a text of noise."""
    for magic, what, cure in _FOREIGN:
        if head.startswith(magic):
            raise BadInput(f"{label}: is {what}, which cannot be read", cure=cure)


class Unpacker:
    """Fills `files` from one archive. One for all of a bundle, so that its limits are those of the bundle."""

    def __init__(self, spool: Spool, meter: Meter, limits: ArchiveLimits) -> None:
        self.spool, self.meter, self.limits = spool, meter, limits
        self.links = 0
        self.unfinished: list[str] = []
        self.beside: list[str] = []

    def unpack(self, label: str, name: str, source: BinaryIO, *, deep: bool = False) -> dict[str, BundleFile]:
        """The files of one archive or packed file, by path below it. `deep`: this one lies inside an archive already."""
        with _broken_becomes_bad_input(label):
            stream = _Peeked(source)
            packing = packing_of(stream.peek())
            packed = packing in {"gzip", "bzip2", "xz", "zstd"}
            if packed and packing is not None:
                stream = _Peeked(_decompressed(label, packing, cast("BinaryIO", stream)))
                name, packing = _bare(name), packing_of(stream.peek())
                # A zip is read from its end; nobody packs one once more.
                packing = None if packing == "zip" else packing
            if packing == "tar":
                return self._tar(label, cast("BinaryIO", stream), deep=deep, packed=packed)
            if packing == "zip":
                return self._zip(label, source, deep=deep)
            if name.lower().endswith(_ARCHIVE_SUFFIXES):
                if name.lower().endswith(".tar") and stream.peek() and not stream.peek().strip(b"\0"):
                    return {}
                raise BadInput(f"{label}: is named like an archive, but is none", cure=CURE_BROKEN)
            return {name: self.file(name, cast("BinaryIO", stream))}

    def file(self, path: str, source: BinaryIO) -> BundleFile:
        writer = SpoolWriter(self.spool)
        while data := source.read(_COPY):
            self.meter.grow(path, len(data))
            writer.write(data)
        writer.flush()
        extents, spool = tuple(writer.extents), self.spool
        return BundleFile(path, writer.size, lambda: spool.open(extents))

    def entry(self, label: str, path: str, source: BinaryIO, *, deep: bool) -> dict[str, BundleFile]:
        """An entry of an archive, unpacked once more when it is packed itself."""
        stream = _Peeked(source)
        packing = packing_of(stream.peek())
        plain = cast("BinaryIO", stream)
        if packing is None or not named_like_archive(path):
            return {path: self.file(path, plain)}
        if (
            packing in {"tar", "zip"}
            or path.lower().endswith((".tgz", ".tbz2", ".tbz", ".txz", ".tzst"))
            or ".tar." in path.lower()
        ):
            if deep:
                return {path: self.file(path, plain)}
            # A zip is read from its end, so it has to lie on the disk first.
            held = self.file(path, plain).open() if packing == "zip" else plain
            below = self.unpack(f"{label}: {path}", path, held, deep=True)
            return {f"{_stem(path)}/{inner}": _moved(file, f"{_stem(path)}/{inner}") for inner, file in below.items()}
        # A log rotated while it was copied may end early. Logs are cut somewhere anyway: what there is, is read.
        name, writer = _bare(path), SpoolWriter(self.spool)
        try:
            with _broken_becomes_bad_input(f"{label}: {path}"):
                # What comes at a time: `read` would hold back the last piece before the break.
                text = cast("io.BufferedReader", _decompressed(f"{label}: {path}", packing, plain))
                while data := text.read1(64 << 10):
                    self.meter.grow(name, len(data))
                    writer.write(data)
        except _Broken:
            self.unfinished.append(path)
        writer.flush()
        extents, spool = tuple(writer.extents), self.spool
        return {name: BundleFile(name, writer.size, lambda: spool.open(extents))}

    def _tar(self, label: str, stream: BinaryIO, *, deep: bool, packed: bool) -> dict[str, BundleFile]:
        files: dict[str, BundleFile] = {}
        counted = _Tail(stream)
        with tarfile.open(fileobj=cast("BinaryIO", counted), mode="r|", tarinfo=_BoundedInfo) as archive:
            for member in archive:
                self.meter.entry(member.name)
                name = safe_name(label, member.name, self.limits)
                if member.isdir() or name is None:
                    continue
                if member.issym():
                    # /var/log/containers is nothing but links, and a collector copies it. They are counted, never followed.
                    self.links += 1
                    continue
                if member.islnk():
                    target = safe_name(label, member.linkname, self.limits)
                    if target in files:
                        files[name] = _moved(files[target], name)
                    else:
                        self.links += 1
                    continue
                if not member.isfile():
                    raise BadInput(f"{label}: entry {member.name[:200]!r} is a device or a pipe", cure=CURE_UNSAFE)
                source = archive.extractfile(member)
                assert source is not None
                files |= self.entry(label, name, cast("BinaryIO", source), deep=deep)
            # tarfile takes a damaged header for the end, and is content without an end. Half a bundle would be diagnosed as if
            # the other half said nothing, so what follows has to be padding, and there has to be some.
            rest = cast("BinaryIO", archive.fileobj)
            while data := rest.read(_COPY):
                self.meter.grow("", len(data))
                if data.strip(b"\0"):
                    raise _Broken(f"{label}: the archive is damaged: something follows its end", cure=CURE_BROKEN)
        if not packed and counted.last.strip(b"\0"):
            raise BadInput(f"{label}: the archive is truncated: its end is missing", cure=CURE_BROKEN)
        return files

    def _zip(self, label: str, source: BinaryIO, *, deep: bool) -> dict[str, BundleFile]:
        files: dict[str, BundleFile] = {}
        with zipfile.ZipFile(source) as archive:
            for entry in archive.infolist():
                self.meter.entry(entry.filename)
                name = safe_name(label, entry.filename, self.limits)
                kind = stat.S_IFMT(entry.external_attr >> 16)
                if kind == stat.S_IFLNK:
                    self.links += 1
                    continue
                if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
                    raise BadInput(f"{label}: entry {entry.filename[:200]!r} is a device or a pipe", cure=CURE_UNSAFE)
                # Not `is_dir()`: before Python 3.12 it fails for an entry without a name.
                if name is None or entry.filename.endswith("/"):
                    continue
                with archive.open(entry) as stream:
                    files |= self.entry(label, name, cast("BinaryIO", stream), deep=deep)
        return files


class _Broken(BadInput):
    """The packing itself is damaged, as opposed to a limit or an unsafe name."""


@contextmanager
def _broken_becomes_bad_input(label: str) -> Iterator[None]:
    try:
        yield
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        NotImplementedError,
        struct.error,
        OverflowError,
        UnicodeError,
    ) as error:
        raise _Broken(f"{label}: the archive is truncated or damaged: {error}", cure=CURE_BROKEN) from error
    except (OSError, ValueError) as error:
        # gzip and bz2 raise a bare OSError for data that is none of theirs; zipfile seeks to negative positions, which is a
        # ValueError of some streams and EINVAL of others. Other errors are the disk's.
        if isinstance(error, OSError) and error.errno not in {None, errno.EINVAL}:
            raise
        raise _Broken(f"{label}: the archive is truncated or damaged: {error}", cure=CURE_BROKEN) from error
    except RuntimeError as error:
        # zipfile says "password required" with a RuntimeError.
        raise BadInput(f"{label}: the archive cannot be opened: {error}", cure="Give it without a password.") from error


class _BoundedInfo(tarfile.TarInfo):
    """Long names and extended headers are read into memory whole; a header of a gigabyte compresses to nothing."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        header = not self.isreg() and not self.isdir() and self.type not in {tarfile.SYMTYPE, tarfile.LNKTYPE}
        if header and self.size > 1 << 20:
            raise tarfile.ReadError(f"the header of an entry claims {self.size} bytes")
        return super()._proc_member(archive)  # type: ignore[misc, no-any-return]


class _Peeked:
    """A stream whose first bytes may be looked at before they are read."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._head = b""
        while len(self._head) < HEAD and (data := source.read(HEAD - len(self._head))):
            self._head += data
        self._rest = io.BytesIO(self._head)

    def peek(self) -> bytes:
        return self._head

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            return self._rest.read() + self._source.read()
        return self._rest.read(size) or self._source.read(size)


class _Tail:
    """Remembers the last block that went through."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self.last = b""

    def read(self, size: int) -> bytes:
        data = self._source.read(size)
        if data:
            self.last = (self.last + data)[-512:] if len(data) < 512 else data[-512:]
        return data


class _Xz(io.RawIOBase):
    """Like lzma.LZMAFile, but an archive cannot ask for a dictionary of four gigabytes."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._decompressor = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
        self._finished = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(cast("bytearray", buffer))
        while not self._finished:
            if self._decompressor.eof:
                rest = (self._decompressor.unused_data or self._source.read(_COPY)).lstrip(b"\0")
                if not rest:
                    self._finished = True
                    return 0
                self._decompressor = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
                data = self._decompressor.decompress(rest, len(view))
            elif self._decompressor.needs_input:
                packed = self._source.read(64 << 10)
                if not packed:
                    raise EOFError("the packed data end too early")
                data = self._decompressor.decompress(packed, len(view))
            else:
                data = self._decompressor.decompress(b"", len(view))
            if data:
                view[: len(data)] = data
                return len(data)
        return 0


def _decompressed(label: str, packing: str, source: BinaryIO) -> BinaryIO:
    match packing:
        case "gzip":
            return cast("BinaryIO", gzip.GzipFile(fileobj=source))
        case "bzip2":
            return cast("BinaryIO", bz2.BZ2File(source))
        case "xz":
            return io.BufferedReader(_Xz(source), _COPY)
        case _:
            return _zstd(label)(source)


def _zstd(label: str) -> Callable[[BinaryIO], BinaryIO]:
    """Python has Zstandard from 3.14 on; before, the `zstandard` package may be there."""
    if sys.version_info >= (3, 14):
        opened: Callable[[BinaryIO], BinaryIO] = import_module("compression.zstd").ZstdFile
        return opened
    if find_spec("zstandard") is not None:
        reader: Callable[[BinaryIO], BinaryIO] = (
            import_module("zstandard").ZstdDecompressor(max_window_size=_XZ_MEMORY).stream_reader
        )
        return reader
    raise BadInput(
        f"{label}: is packed with Zstandard, which this Python cannot unpack",
        cure="Unpack it first: zstd -d FILE, or tar --zstd -xf FILE for an archive, and give what comes out.",
    )


def _bare(name: str) -> str:
    """`kubelet.log.1.gz` without its packing; `bundle.tgz` becomes `bundle.tar`."""
    lower = name.lower()
    for suffix in _PACKED_SUFFIXES:
        if lower.endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    for suffix in (".tgz", ".tbz2", ".tbz", ".txz", ".tzst"):
        if lower.endswith(suffix):
            return name[: -len(suffix)] + ".tar"
    return name


def _stem(path: str) -> str:
    """`nodes/w1.tar.gz` as a folder: `nodes/w1`."""
    path = _bare(path)
    lower = path.lower()
    return path[:-4] if lower.endswith((".tar", ".zip")) and not lower.endswith(("/.tar", "/.zip")) else path


def _moved(file: BundleFile, path: str) -> BundleFile:
    return BundleFile(path, file.size, file.opener, file.origin)
