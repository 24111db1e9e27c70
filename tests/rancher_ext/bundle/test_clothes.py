"""Blocks are undressed in bulk; here line by line, by the plainest code that can be thought of, and both have to agree."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rancher_ext.bundle.bundle import BundleFile
from rancher_ext.bundle.clothes import DOCKER_PART, Wardrobe
from rancher_ext.bundle.text import chunks

CRI = re.compile(
    rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,9}(?:Z|[+-]\d\d:\d\d)) (stdout|stderr) ([PF]) (.*)", re.DOTALL
)
API = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z ")


def bare(line: bytes) -> bytes:
    """One line of a file that is not stamped with its parts."""
    line = re.sub(rb"\x1b\[[0-9;]*m", b"", line)
    return re.sub(rb'\\+"', b'"', API.sub(b"", line, count=1) if API.match(line) else line)


def one_by_one(lines: list[bytes]) -> list[bytes]:
    texts: list[bytes] = []
    open_on: dict[bytes, int] = {}
    for line in lines:
        cri = CRI.fullmatch(re.sub(rb"\x1b\[[0-9;]*m", b"", line))
        if cri is None:
            texts.append(bare(line))
            continue
        stream, part, text = cri[2], cri[3], re.sub(rb'\\+"', b'"', cri[4])
        if stream in open_on:
            texts[open_on[stream]] += text
            texts.append(b"")
        else:
            texts.append(text)
        if part == b"P":
            open_on.setdefault(stream, len(texts) - 1)
        else:
            open_on.pop(stream, None)
    return texts


def undressed(data: bytes, *, size: int, longest: int = 1 << 20) -> list[bytes]:
    return b"".join(chunk.seen for chunk in chunks(BundleFile.of("x", data), size, longest)).split(b"\n")


WORDS = st.sampled_from(
    [
        b"error",
        b'"flannel"',
        b'\\"quoted\\"',
        b'\\\\\\"twice\\\\\\"',
        b"C:\\next",
        b"2026",
        b"\xff\xfe",
        "é".encode(),
        b"Z F",
        b"std",
    ]
)
COLOURED = st.sampled_from([b"", b"", b"\x1b[0m", b"\x1b[36m", b"\x1b[1;31m"])
MESSAGES = st.lists(st.tuples(COLOURED, WORDS).map(b"".join), max_size=5).map(b" ".join)
TIMES = st.builds(
    b"2026-03-01T10:%02d:09.%s".__mod__,
    st.tuples(st.integers(0, 59), st.sampled_from([b"1", b"120", b"123456789", b"000000001"])),
)
STAMPED = st.builds(
    lambda time, zone, stream, part, text: b"%s%s %s %s %s" % (time, zone, stream, part, text),
    TIMES,
    st.sampled_from([b"Z", b"Z", b"+02:00"]),
    st.sampled_from([b"stdout", b"stderr"]),
    st.sampled_from([b"F", b"F", b"P"]),
    MESSAGES,
)
FROM_API = st.builds(lambda time, text: time + b"Z " + text, TIMES, MESSAGES)
LINES = st.lists(st.one_of(MESSAGES, STAMPED, STAMPED, STAMPED, FROM_API), max_size=30)


@given(LINES, st.integers(20, 400), st.sampled_from([b"\n", b"\r\n"]), st.booleans())
def test_a_file_is_undressed_as_its_lines_would_be_one_by_one(lines, size, ending, ended):
    data = ending.join(lines) + (ending if ended else b"")
    if b"\0" in data or data.startswith((b"\xff\xfe", b"\xef\xbb\xbf")):
        return

    assert undressed(data, size=size) == one_by_one(data.replace(b"\r\n", b"\n").split(b"\n"))


def test_a_message_that_containerd_cut_stands_whole_on_its_first_line():
    """The other stream may speak in between, and the reader may stop in the middle."""
    stamp = b"2026-03-01T10:00:00.123456789Z"
    lines = [
        stamp + b" stderr P E0301 failed to",
        stamp + b" stdout F meanwhile",
        stamp + b" stderr P  check br_net",
        stamp + b" stderr F filter",
        stamp + b" stderr F next",
    ]

    for size in (30, 64, 100, 1 << 18):
        seen = undressed(b"\n".join(lines) + b"\n", size=size)
        assert seen == [b"E0301 failed to check br_netfilter", b"meanwhile", b"", b"", b"next", b""]


def test_a_message_without_an_end_holds_nothing_up():
    """Rotated files end in the middle of a message: what follows is read all the same, in bounded pieces."""
    stamp = b"2026-03-01T10:00:00.123456789Z"
    lines = [stamp + b" stderr P begun"] + [stamp + b" stdout F line %d" % number for number in range(500)]
    pieces = list(chunks(BundleFile.of("x", b"\n".join(lines)), 1000, 4000))

    assert max(len(piece.raw) for piece in pieces) <= 5000
    assert b"\n".join(undressed(b"\n".join(lines), size=1000, longest=4000)).count(b"line") == 500


def entry(text: str, stream: str = "stderr", **more: str) -> bytes:
    value = {"log": text, "stream": stream, **more, "time": "2026-03-01T10:00:00.123456789Z"}
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


TEXTS = st.lists(
    st.sampled_from(
        ["error", '"flannel"', "\\", '\\"', "\t", "<&>", "é", "\u2028", "\x1b[0m", "\r", "\n", "\\n", "\ud83d", "\\\\"]
    ),
    max_size=6,
).map(" ".join)


@given(
    st.lists(st.tuples(TEXTS, st.sampled_from(["\n", "\r\n", ""]), st.booleans()), min_size=1, max_size=12),
    st.integers(30, 400),
)
def test_dockers_entries_are_undressed_as_a_parser_would(entries, size):
    def dump(text: str, *, ascii_only: bool) -> bytes:
        value = {"log": text, "stream": "stdout", "time": "2026-03-01T10:00:00.1Z"}
        return json.dumps(value, separators=(",", ":"), ensure_ascii=ascii_only).encode("utf-8", "replace")

    lines = [
        dump("first\n", ascii_only=True),
        *(dump(text + end, ascii_only=ascii_only) for text, end, ascii_only in entries),
    ]
    logs = [json.loads(line)["log"].rstrip("\r\n").replace("\r", " ").replace("\n", " ") for line in lines]
    wanted = [bare(log.encode("utf-8", "replace")) for log in logs]

    assert undressed(b"\n".join(lines) + b"\n", size=size) == [*wanted, b""]


def test_an_entry_that_docker_cut_goes_on_in_the_next():
    long = "x" * (DOCKER_PART - 10)
    lines = [
        entry("first\n"),
        entry(long + " no such"),
        entry("meanwhile\n", stream="stdout"),
        entry(" device\n"),
        entry("next\n"),
    ]

    for size in (1000, 20_000, 1 << 18):
        seen = undressed(b"\n".join(lines), size=size)
        assert [line.decode()[-14:] for line in seen] == ["first", "no such device", "meanwhile", "", "next"]


@pytest.mark.parametrize(
    "line",
    [
        b'{"log":"broken',
        b'{"log":"no stream","time":"t"}',
        b'{"log":17,"stream":"stdout"}',
        b'{"log":"bad escape \\x","stream":"stdout","time":"t"}',
        b'{"log":"\xff\xfe broken\\n","stream":"stdout","time":"t"}',
    ],
)
def test_odd_entries_lose_no_word(line):
    seen = undressed(entry("first\n") + b"\n" + line + b"\n" + entry("last\n"), size=1 << 18)

    assert seen[0] == b"first"
    assert seen[2] == b"last"
    assert re.search(rb"broken|no stream|17|bad escape", seen[1])


def test_bytes_that_are_no_utf_8_stay_what_they_were():
    line = b'{"log":"a\xffb \\\\ c\\n","stream":"stdout","time":"t"}'

    assert undressed(entry("first\n") + b"\n" + line, size=1 << 18) == [b"first", b"a\xffb \\ c"]


def test_text_without_clothes_is_not_copied():
    block = b"E0301 10:00:00.1 1 main.go:1] plain\n" * 100

    assert Wardrobe(json_lines=False).undressed(block) is block


@given(st.binary(max_size=300))
def test_whatever_comes_keeps_its_number_of_lines(block):
    for json_lines in (False, True):
        assert Wardrobe(json_lines=json_lines).undressed(block).count(b"\n") == block.count(b"\n")
