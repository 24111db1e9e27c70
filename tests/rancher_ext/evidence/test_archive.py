import bz2
import gzip
import io
import json
import lzma
import os
import sys
import tarfile
import zipfile
import zlib
from importlib.util import find_spec

import pytest

from rancher_ext.bundle.bundle import Bundle, Manifest
from rancher_ext.errors import BadInput
from rancher_ext.evidence.archive import ArchiveLimits, open_bundle, open_stream, write_archive, write_folder

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


MODES = {"b.tar": "w", "b.tar.gz": "w:gz", "b.tgz": "w:gz", "b.tar.bz2": "w:bz2", "b.tar.xz": "w:xz"}


@pytest.mark.parametrize("name", [*MODES, "b.zip"])
def test_every_kind_of_archive_reads_the_same(tmp_path, name):
    path = tmp_path / name
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as archive:
            for file, text in FILES.items():
                archive.writestr(file, text)
    else:
        a_tar(path, [(file, text.encode()) for file, text in FILES.items()], MODES[name])

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
    pods_only = a_tar(tmp_path / "z.tgz", [("x/podlogs/kube-system-canal-x5wq7", b"k")])
    assert list(open_bundle(pods_only)) == ["podlogs/kube-system-canal-x5wq7"]


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
        (special("evil", tarfile.CHRTYPE), "device or a pipe"),
        (special("evil", tarfile.FIFOTYPE), "device or a pipe"),
    ],
)
def test_entries_that_lead_elsewhere_are_refused_by_name(tmp_path, entry, said):
    assert said in refused(a_tar(tmp_path / "x.tar.gz", ["events.txt", entry]))


def test_zip_entries_are_judged_alike(tmp_path):
    for number, (name, attribute) in enumerate([("../x", 0), ("/abs", 0), ("dev", 0o020666 << 16)]):
        path = tmp_path / f"{number}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            info = zipfile.ZipInfo(name)
            info.external_attr = attribute
            archive.writestr(info, "x")
        assert name.strip("/.") in refused(path)


def test_links_are_counted_and_never_followed(tmp_path):
    """Support bundles and log collections hold links by the dozen. What they point at is nobody's evidence."""
    entries = [
        ("events.txt", b"e"),
        special("passwd", tarfile.SYMTYPE, "/etc/passwd"),
        special("up", tarfile.SYMTYPE, "../../.."),
        special("hard", tarfile.LNKTYPE, "nothing"),
        ("up/below.txt", b"not written through the link"),
    ]
    bundle = open_bundle(a_tar(tmp_path / "x.tar.gz", entries))

    assert contents(bundle) == {"events.txt": "e", "up/below.txt": "not written through the link"}
    assert bundle.notes == ("3 links in the archive were not followed; what they point at was not read.",)
    zipped = tmp_path / "x.zip"
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("events.txt", "e")
        info = zipfile.ZipInfo("link")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    assert contents(open_bundle(zipped)) == {"events.txt": "e"}


def test_a_hard_link_is_the_file_it_repeats(tmp_path):
    """tar stores a file of two names once; the second entry is a link to the first."""
    entries = [("a.log", b"words"), special("b.log", tarfile.LNKTYPE, "a.log")]

    assert contents(open_bundle(a_tar(tmp_path / "x.tar", entries, "w"))) == {"a.log": "words", "b.log": "words"}
    assert "leads out" in refused(a_tar(tmp_path / "y.tar", [special("b", tarfile.LNKTYPE, "../../etc/shadow")], "w"))


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


@pytest.mark.parametrize("packed", [gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("inner", ["tar", "log"])
def test_what_is_packed_is_told_by_its_bytes_and_not_by_its_name(tmp_path, packed, inner):
    tar = a_tar(tmp_path / "t.tar", [("events.txt", b"e"), ("pods.txt", b"p")], "w").read_bytes()
    path = tmp_path / "download"
    path.write_bytes(packed(tar if inner == "tar" else b"words\n"))

    assert contents(open_bundle(path)) == (
        {"events.txt": "e", "pods.txt": "p"} if inner == "tar" else {"download": "words\n"}
    )


def test_what_comes_through_a_pipe(tmp_path):
    tar = a_tar(tmp_path / "t.tgz", [("events.txt", b"e"), ("pods.txt", b"p")]).read_bytes()

    assert contents(open_stream(io.BytesIO(b"one line\n"))) == {"stdin": "one line\n"}
    assert contents(open_stream(io.BytesIO(tar))) == {"events.txt": "e", "pods.txt": "p"}
    assert contents(open_stream(io.BytesIO())) == {"stdin": ""}
    with pytest.raises(BadInput, match="holds more than"):
        open_stream(io.BytesIO(b"x" * 3_000_000), ArchiveLimits(total_bytes=1 << 20))


def test_archives_inside_are_opened_once_and_not_twice(tmp_path):
    """Ten nodes' collections in one zip are read; an archive in an archive in an archive is a file."""
    innermost = a_tar(tmp_path / "3.tgz", [("deep.log", b"d")]).read_bytes()
    node = a_tar(
        tmp_path / "2.tgz",
        [("w1/kubelet.log", b"k"), ("w1/old.log.gz", gzip.compress(b"o")), ("w1/more.tgz", innermost)],
    )
    path = tmp_path / "1.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("all/w1.tar.gz", node.read_bytes())
        archive.writestr("all/readme.txt", "r")

    bundle = open_bundle(path)
    assert list(bundle) == ["readme.txt", "w1/kubelet.log", "w1/more.tgz", "w1/old.log"] or list(bundle) == [
        "readme.txt",
        "w1/w1/kubelet.log",
        "w1/w1/more.tgz",
        "w1/w1/old.log",
    ]
    assert bundle[next(path for path in bundle if path.endswith("old.log"))].read_bytes() == b"o"


def test_archives_in_a_folder_are_opened_but_not_beside_what_they_hold(tmp_path):
    root = tmp_path / "case"
    (root / "w1").mkdir(parents=True)
    (root / "w1" / "kubelet.log").write_text("k")
    a_tar(root / "w1.tar.gz", [("kubelet.log", b"k")])
    a_tar(root / "w2.tar.gz", [("kubelet.log", b"k2")])
    (root / "syslog.1.gz").write_bytes(gzip.compress(b"s"))

    bundle = open_bundle(root)
    assert contents(bundle) == {"syslog.1": "s", "w1/kubelet.log": "k", "w2/kubelet.log": "k2"}
    assert bundle.notes == ("Not opened, since it lies unpacked beside: w1.tar.gz",)


def test_a_rotated_log_that_ends_early_is_read_as_far_as_it_goes(tmp_path):
    """A collector copies logs while they are being packed. An archive that ends early is refused, a log is not."""
    log = gzip.compress(os.urandom(50_000) + b"\n", 0)
    bundle = open_bundle(a_tar(tmp_path / "x.tgz", [("a.log.gz", log[:30_000]), ("b.log", b"b")]))

    assert 20_000 < bundle["a.log"].size < 30_000
    assert bundle.notes == ("1 packed logs end too early and were read as far as they go: a.log.gz",)
    damaged = a_tar(tmp_path / "inner.tgz", [("big.log", os.urandom(40_000))]).read_bytes()[:20_000]
    assert "inner.tgz" in refused(a_tar(tmp_path / "y.tgz", [("inner.tgz", damaged), ("b.log", b"b")]))


def test_a_damaged_header_in_the_middle_is_no_end(tmp_path):
    data = bytearray(a_tar(tmp_path / "x.tar", [("a.log", b"a" * 600), ("b.log", b"b" * 600)], "w").read_bytes())
    data[1536 + 150] ^= 0xFF  # the checksum of the second entry
    path = tmp_path / "y.tar"
    path.write_bytes(bytes(data))

    assert "damaged" in refused(path)


def test_an_xz_that_asks_for_gigabytes_of_memory_is_refused(tmp_path):
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 20}]
    packed = bytearray(lzma.compress(b"x" * 100, lzma.FORMAT_XZ, filters=filters))
    place = packed.index(b"\x21\x01") + 2
    packed[place] = 39  # 3 GB of dictionary; the block header's checksum follows it
    header = 12
    size = (packed[header] + 1) * 4
    packed[header + size - 4 : header + size] = zlib.crc32(bytes(packed[header : header + size - 4])).to_bytes(
        4, "little"
    )
    path = tmp_path / "x.log.xz"
    path.write_bytes(bytes(packed))

    assert "emory" in refused(path)


def test_packings_that_cannot_be_opened_are_named_with_a_way_out(tmp_path):
    for name, magic, said in (
        ("a.7z", b"7z\xbc\xaf\x27\x1c", "7-Zip"),
        ("a.rar", b"Rar!\x1a\x07\x01\x00", "RAR"),
        ("a.lz4", b"\x04\x22\x4d\x18", "LZ4"),
    ):
        (tmp_path / name).write_bytes(magic + b"x" * 600)
        assert said in refused(tmp_path / name)


def test_zstandard_is_read_where_python_can_and_named_where_not(tmp_path, monkeypatch):
    path = tmp_path / "a.log.zst"
    # A frame with one raw block: magic, no options, window of 1 kB, last block of five bytes.
    path.write_bytes(b"\x28\xb5\x2f\xfd" + b"\x20\x05" + (5 << 3 | 1).to_bytes(3, "little") + b"words")
    if sys.version_info >= (3, 14) or find_spec("zstandard") is not None:
        assert contents(open_bundle(path)) == {"a.log": "words"}
        monkeypatch.setattr("rancher_ext.evidence.unpack._zstd", no_zstandard)
    with pytest.raises(BadInput, match="Zstandard") as caught:
        open_bundle(path)
    assert "zstd -d" in caught.value.cure


def no_zstandard(label):
    raise BadInput(f"{label}: is packed with Zstandard", cure="zstd -d")


def test_names_that_would_spoil_a_terminal_or_a_page_are_made_harmless(tmp_path):
    bundle = open_bundle(
        a_tar(tmp_path / "x.tgz", [("a\nb\x1b[31m.log", b"x"), ("c\udcff.log", b"y"), ("é.log", b"z")])
    )

    assert sorted(bundle) == ["a\\nb\\x1b[31m.log", "c\\udcff.log", "é.log"]
    assert bundle["a\\nb\\x1b[31m.log"].read_bytes() == b"x"
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "a\nb.log").write_text("x")
    assert contents(open_bundle(tmp_path / "f")) == {"a\\nb.log": "x"}


def test_a_hundred_thousand_entries_are_no_trouble_and_a_limit_stops_more(tmp_path):
    path = tmp_path / "many.tar"
    block = tarfile.TarInfo("x").tobuf()
    with path.open("wb") as sink:
        for number in range(2_000):
            sink.write(tarfile.TarInfo(f"d/{number}.log").tobuf())
        sink.write(b"\0" * 1024)
    assert len(block) == 512

    assert len(open_bundle(path)) == 2_000
    assert "more than 1000 entries" in refused(path, ArchiveLimits(entries=1000))


def test_files_of_the_spool_are_read_from_many_places_at_once(tmp_path):
    path = a_tar(tmp_path / "x.tgz", [("a.log", b"0123456789" * 50_000), ("b.log", b"b")])
    file = open_bundle(path)["a.log"]

    with file.open() as one, file.open() as two:
        one.seek(-5, io.SEEK_END)
        assert two.read(3) == b"012"
        assert one.read() == b"56789"
        one.seek(7)
        assert one.read(2) == b"78"
        assert two.read(2) == b"34"


def test_a_zip_whose_entries_point_before_its_beginning(tmp_path):
    """zipfile seeks there, and what comes of that differs between files on a disk and streams."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("events.txt", "e")
    # zipfile moves every entry by as much as the directory is away from where the end record says.
    path = tmp_path / "x.zip"
    moved = bytearray(data.getvalue())
    end = moved.rindex(b"PK\x05\x06")
    moved[end + 16 : end + 20] = (int.from_bytes(moved[end + 16 : end + 20], "little") + 100).to_bytes(4, "little")
    path.write_bytes(bytes(moved))

    assert "truncated or damaged" in refused(path)


def test_a_zip_entry_without_a_name_is_passed_over(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        with archive.open(zipfile.ZipInfo(""), "w") as entry:
            entry.write(b"nameless")
        archive.writestr("events.txt", "e")

    assert contents(open_bundle(path)) == {"events.txt": "e"}
