import gzip
import io
import json
import os
import tarfile
import zipfile

import pytest

from rancher_ext.bundle.bundle import Bundle, Manifest
from rancher_ext.errors import BadInput
from rancher_ext.evidence.archive import ArchiveLimits, open_bundle, write_archive, write_folder

FILES = {"events.txt": "one\n", "logs/kubelet/w1.log": "two\n" * 1000, "objects/downstream/pods/a.json": "{}"}


def contents(bundle):
    return {path: bundle[path].read_bytes().decode() for path in bundle}


def a_tar(path, entries, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for entry in entries:
            info, data = entry if isinstance(entry, tuple) else (entry, b"")
            if isinstance(info, str):
                info = tarfile.TarInfo(info)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def refused(path, limits=None):
    with pytest.raises(BadInput) as caught:
        open_bundle(path, limits) if limits else open_bundle(path)
    assert caught.value.cure
    return str(caught.value)


@pytest.mark.parametrize("name", ["b.tar", "b.tar.gz", "b.tgz", "b.zip"])
def test_every_kind_of_archive_reads_the_same(tmp_path, name):
    path = tmp_path / name
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as archive:
            for file, text in FILES.items():
                archive.writestr(file, text)
    else:
        a_tar(path, [(file, text.encode()) for file, text in FILES.items()], "w" if name == "b.tar" else "w:gz")

    bundle = open_bundle(path)
    assert contents(bundle) == FILES
    assert bundle["logs/kubelet/w1.log"].size == 4000
    assert bundle["logs/kubelet/w1.log"].read_bytes(4) == b"two\n"


def test_a_folder_a_single_file_and_a_packed_one(tmp_path):
    root = write_folder(Bundle.of(FILES), tmp_path / "folder")
    (tmp_path / "one.log").write_text("hello\n")
    (tmp_path / "packed.log.gz").write_bytes(gzip.compress(b"hello\n"))

    assert contents(open_bundle(root)) == FILES
    assert contents(open_bundle(str(tmp_path / "one.log"))) == {"one.log": "hello\n"}
    assert contents(open_bundle(tmp_path / "packed.log.gz")) == {"packed.log": "hello\n"}


def test_writing_and_reading_gives_the_same_bundle_and_the_same_bytes(tmp_path):
    bundle = Bundle.of(FILES, Manifest(cluster_id="c-1", cni="canal"))

    one = write_archive(bundle, tmp_path / "a.tar.gz")
    two = write_archive(bundle, tmp_path / "b" / "b.tar.gz")

    assert open_bundle(one).manifest == bundle.manifest
    assert contents(open_bundle(one)) == contents(bundle)
    assert one.read_bytes() == two.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tar.gz", "b"]


def test_evidence_on_disk_is_for_its_owner_alone(tmp_path):
    root = write_folder(Bundle.of(FILES), tmp_path / "f")
    archive = write_archive(Bundle.of(FILES), tmp_path / "a.tar.gz")

    assert (root / "events.txt").stat().st_mode & 0o077 == 0
    assert archive.stat().st_mode & 0o077 == 0


def test_a_folder_around_everything_is_no_part_of_the_paths(tmp_path):
    path = a_tar(tmp_path / "x.tgz", [("cluster-1/2025/events.txt", b"e"), ("cluster-1/2025/logs/kubelet/a.log", b"k")])

    assert list(open_bundle(path)) == ["events.txt", "logs/kubelet/a.log"]
    logs_only = a_tar(tmp_path / "y.tgz", [("logs/kubelet/a.log", b"k")])
    assert list(open_bundle(logs_only)) == ["logs/kubelet/a.log"]


def test_rotated_logs_inside_are_unpacked(tmp_path):
    path = a_tar(tmp_path / "x.tgz", [("logs/kubelet/w1.log.gz", gzip.compress(b"inner\n")), ("events.txt", b"e")])

    assert contents(open_bundle(path)) == {"events.txt": "e", "logs/kubelet/w1.log": "inner\n"}


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("../../etc/passwd", "leads out"),
        ("logs/../../x", "leads out"),
        ("/etc/passwd", "absolute"),
        ("C:\\windows\\x", "absolute"),
        ("..\\x", "leads out"),
        ("a" * 2000, "no file can have"),
        (special("evil", tarfile.SYMTYPE, "/etc/passwd"), "link to '/etc/passwd'"),
        (special("evil", tarfile.LNKTYPE, "events.txt"), "link"),
        (special("evil", tarfile.CHRTYPE), "device or a pipe"),
        (special("evil", tarfile.FIFOTYPE), "device or a pipe"),
    ],
)
def test_entries_that_lead_elsewhere_are_refused_by_name(tmp_path, entry, said):
    assert said in refused(a_tar(tmp_path / "x.tar.gz", ["events.txt", entry]))


def test_zip_entries_are_judged_alike(tmp_path):
    for number, (name, attribute) in enumerate(
        [("../x", 0), ("/abs", 0), ("link", 0o120777 << 16), ("dev", 0o020666 << 16)]
    ):
        path = tmp_path / f"{number}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            info = zipfile.ZipInfo(name)
            info.external_attr = attribute
            archive.writestr(info, "x")
        assert name.strip("/.") in refused(path)


def test_bombs_are_stopped_while_they_grow(tmp_path):
    bomb = a_tar(tmp_path / "bomb.tar.gz", [("zeros.log", b"\0" * 3_000_000)])
    limits = ArchiveLimits(ratio=10, ratio_from=1000)

    assert "10 times its size" in refused(bomb, limits)
    assert "more than 1 MB" in refused(bomb, ArchiveLimits(total_bytes=1 << 20))
    nested = a_tar(tmp_path / "nested.tar.gz", [("a.log.gz", gzip.compress(b"\0" * 3_000_000))])
    assert "10 times its size" in refused(nested, limits)
    many = a_tar(tmp_path / "many.tar.gz", [f"f{n}" for n in range(30)])
    assert "more than 20 entries" in refused(many, ArchiveLimits(entries=20))
    packed = tmp_path / "bomb.gz"
    packed.write_bytes(gzip.compress(b"\0" * 3_000_000))
    assert "10 times its size" in refused(packed, limits)
    zipped = tmp_path / "bomb.zip"
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.log", b"\0" * 3_000_000)
    assert "10 times its size" in refused(zipped, limits)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XGLTYPE])
def test_a_header_that_wants_all_memory_is_refused(tmp_path, kind):
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, 1 << 30
    path = tmp_path / "x.tar.gz"
    path.write_bytes(gzip.compress(info.tobuf() + b"\0" * 10_000))

    assert "claims 1073741824 bytes" in refused(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_truncated_archive_is_no_small_archive(tmp_path, mode, share):
    """Half a bundle would be diagnosed as if the other half said nothing."""
    noise = os.urandom(40_000)
    whole = a_tar(tmp_path / "whole", [("events.txt", noise), ("pods.txt", noise)], mode).read_bytes()
    path = tmp_path / ("cut.tar" if mode == "w" else "cut.tar.gz")
    # A tar is padded with empty blocks at its end; cut within what counts.
    used = len(whole.rstrip(b"\0")) if mode == "w" else len(whole)
    path.write_bytes(whole[: int(used * share)])

    assert "truncated or damaged" in refused(path) or "its end is missing" in refused(path)


def test_truncated_and_locked_zips(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("events.txt", os.urandom(5000))
    path.write_bytes(path.read_bytes()[:3000])

    assert "truncated or damaged" in refused(path)


def test_what_is_named_like_an_archive_and_is_none(tmp_path):
    path = tmp_path / "x.tar.gz"
    path.write_text("Error 404: not found")

    assert "is named like an archive, but is none" in refused(path)


def test_missing_files_and_pipes(tmp_path):
    os.mkfifo(tmp_path / "pipe")

    assert "no such file" in refused(tmp_path / "nothing")
    assert "neither a file nor a folder" in refused(tmp_path / "pipe")


def test_links_inside_a_folder_are_not_followed(tmp_path):
    (tmp_path / "f").mkdir()
    (tmp_path / "secret.txt").write_text("outside")
    (tmp_path / "f" / "events.txt").write_text("e")
    (tmp_path / "f" / "latest.log").symlink_to(tmp_path / "secret.txt")

    assert list(open_bundle(tmp_path / "f")) == ["events.txt"]


def test_a_broken_manifest_is_as_none(tmp_path):
    for number, text in enumerate(["{", json.dumps({"schema": 9}), "[" * 9999]):
        root = write_folder(Bundle.of({"manifest.json": text, "events.txt": ""}), tmp_path / str(number))
        assert open_bundle(root).manifest is None


def test_a_bundle_cannot_be_written_outside_its_folder(tmp_path):
    with pytest.raises(BadInput, match="leads out"):
        write_folder(Bundle.of({"../x": "y"}), tmp_path / "f")


def test_a_file_that_cannot_be_opened_any_more_is_named(tmp_path):
    (tmp_path / "events.txt").write_text("e")
    (tmp_path / "nodes.txt").write_text("n")
    bundle = open_bundle(tmp_path)
    (tmp_path / "events.txt").unlink()

    with pytest.raises(BadInput, match=r"events\.txt: cannot be read: No such file"):
        bundle["events.txt"].read_bytes()
