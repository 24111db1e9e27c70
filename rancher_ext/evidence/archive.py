"""What is inside this folder, archive, file or stream, and is it safe to read?

Archives come from strangers: from a ticket, an issue, a chat. So nothing is extracted to the disk by name, names that lead
out of the bundle and devices are refused, links are never followed, and an archive may not grow beyond limits while it is read.
"""

import gzip
import json
import os
import stat
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from rancher_ext.bundle.bundle import MANIFEST, Bundle, BundleFile, Manifest
from rancher_ext.bundle.origin import OriginKind, origin_of
from rancher_ext.errors import BadInput
from rancher_ext.evidence.limits import DEFAULT_LIMITS, ArchiveLimits, Meter, printable, safe_name
from rancher_ext.evidence.readers.mixed import unmixed
from rancher_ext.evidence.spool import Spool
from rancher_ext.evidence.unpack import CURE_BROKEN, HEAD, Unpacker, named_like_archive, packing_of, refuse_foreign

__all__ = ["DEFAULT_LIMITS", "ArchiveLimits", "open_bundle", "open_stream", "write_archive", "write_folder"]

_COPY = 1 << 20
_TELLING = frozenset(
    {
        "podlogs", "containerlogs", "journald", "systemlogs", "systeminfo", "networking", "kubectl", "rke2", "k3s", "rke", "k8s", "kubeadm",
        "cluster-resources", "host-collectors", "yamls", "logs", "nodes", "pods", "containers", "agent-logs", "namespaces", "kube-system",
    }
)  # fmt: skip
_CURE_UNREADABLE = "Check the rights on it, or leave it out."


def open_bundle(path: Path | str, limits: ArchiveLimits = DEFAULT_LIMITS) -> Bundle:
    """A folder, one single file, or either packed: tar and zip, gzip, bzip2, xz, and Zstandard where Python has it.

    Raises BadInput for anything unsafe or broken.
    """
    path = Path(path)
    name = printable(path.name)
    try:
        status = path.stat()
    except FileNotFoundError:
        raise BadInput(f"{path}: there is no such file or folder", cure="Check the path.") from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise BadInput(f"{path}: cannot be read: {why}", cure="Check the path and the rights on it.") from error
    spool = Spool()
    if stat.S_ISDIR(status.st_mode):
        unpacker = Unpacker(spool, Meter(str(path), limits, stored=0), limits)
        return _bundle(name, _folder(path, unpacker), unpacker)
    if not stat.S_ISREG(status.st_mode):
        raise BadInput(f"{path}: is neither a file nor a folder", cure="Give a folder, an archive or a text file.")
    unpacker = Unpacker(spool, Meter(str(path), limits, stored=status.st_size), limits)
    try:
        return _bundle(name, _file(path, status.st_size, unpacker), unpacker)
    except PermissionError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}", cure="Check the rights on it.") from error


def open_stream(source: BinaryIO, limits: ArchiveLimits = DEFAULT_LIMITS, name: str = "stdin") -> Bundle:
    """What comes through a pipe: a log, or an archive of any kind. It is kept on the disk first, since its end tells what it is."""
    spool = Spool()
    taken = Unpacker(spool, Meter(name, limits, stored=0), limits).file(name, source)
    unpacker = Unpacker(spool, Meter(name, limits, stored=taken.size), limits)
    refuse_foreign(name, taken.read_bytes(HEAD))
    if packing_of(taken.read_bytes(HEAD)) is None:
        return _bundle(name, {name: taken}, unpacker)
    with taken.open() as stream:
        return _bundle(name, unpacker.unpack(name, name, stream), unpacker)


def _file(path: Path, size: int, unpacker: Unpacker) -> dict[str, BundleFile]:
    name = printable(path.name)
    with path.open("rb") as stream:
        head = stream.read(HEAD)
        stream.seek(0)
        refuse_foreign(str(path), head)
        if packing_of(head) is not None:
            return unpacker.unpack(str(path), name, stream)
    if named_like_archive(name):
        if name.lower().endswith(".tar") and head and not head.strip(b"\0"):
            return {}
        raise BadInput(f"{path}: is named like an archive, but is none", cure=CURE_BROKEN)
    unpacker.meter.grow(name, size)
    return {name: BundleFile(name, size, _opener(path))}


def _bundle(name: str, files: dict[str, BundleFile], unpacker: Unpacker) -> Bundle:
    files = unmixed(_without_common_folder(files), unpacker.spool)
    notes = []
    if unpacker.links:
        notes.append(f"{unpacker.links} links in the archive were not followed; what they point at was not read.")
    if unpacker.unfinished:
        shown = ", ".join(unpacker.unfinished[:3]) + (" …" if len(unpacker.unfinished) > 3 else "")
        notes.append(f"{len(unpacker.unfinished)} packed logs end too early and were read as far as they go: {shown}")
    if unpacker.beside:
        notes.append(f"Not opened, since it lies unpacked beside: {', '.join(unpacker.beside[:3])}")
    return Bundle(files, _manifest(files), name, tuple(notes))


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
        # `logs/…` alone is our own layout, not a wrapper, and `podlogs/…` alone still says what they are.
        if head in _TELLING or any(origin_of(path).kind is not OriginKind.UNKNOWN for path in files):
            return files
        files = {
            (below := path.removeprefix(head + "/")): BundleFile(below, file.size, file.opener, file.origin)
            for path, file in files.items()
        }
    return files


def _folder(root: Path, unpacker: Unpacker) -> dict[str, BundleFile]:
    files: dict[str, BundleFile] = {}
    for folder, folders, names in os.walk(root, onerror=_unreadable, followlinks=False):
        folders.sort()
        for name in sorted(names):
            path = Path(folder) / name
            relative = printable(path.relative_to(root).as_posix())
            status = path.lstat()
            # A folder of one's own may hold links (latest.log -> 2025.log); following them could leave the folder.
            if not stat.S_ISREG(status.st_mode):
                continue
            unpacker.meter.entry(relative)
            unpacker.meter.packed(status.st_size)
            if named_like_archive(name) and status.st_size:
                if _unpacked_beside(name, folders):
                    unpacker.beside.append(relative)
                    continue
                with _opener(path)() as stream:
                    files |= unpacker.entry(str(root), relative, stream, deep=False)
                continue
            unpacker.meter.grow(relative, status.st_size)
            files[relative] = BundleFile(relative, status.st_size, _opener(path))
    return files


def _unpacked_beside(name: str, folders: list[str]) -> bool:
    """Somebody unpacked it right here: the same lines would count twice."""
    return any(name.startswith(f"{folder}.") for folder in folders)


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


def write_folder(bundle: Bundle, path: Path | str) -> Path:
    """Write all files below a folder, which is created. Files are readable by the owner alone: evidence is not public."""
    root = Path(path)
    for name in bundle:
        safe = safe_name(str(root), name)
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
