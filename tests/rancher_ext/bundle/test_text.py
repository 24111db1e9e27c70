import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rancher_ext.bundle.bundle import BundleFile
from rancher_ext.bundle.text import chunks, excerpt, lines, text_encoding


def read(content, size=1 << 20):
    file = BundleFile.of("x.log", content)
    return [line for chunk in chunks(file, size) for line in chunk.seen.decode("utf-8", "replace").splitlines()]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_every_usual_encoding_reads_the_same(encoding):
    """PowerShell writes UTF-16; people attach what it wrote."""
    assert read("Failed to check br_netfilter\nsecond line\n".encode(encoding)) == [
        "Failed to check br_netfilter",
        "second line",
    ]


def test_latin_1_is_shown_as_such():
    assert list(lines(BundleFile.of("x", "Größe\n".encode("latin-1")))) == [(1, "Größe")]


def test_binary_files_have_no_lines():
    assert read(b"\x7fELF\x02\x01\x01\0\0\0\0\0\xff\xfe" * 50) == []
    assert text_encoding(b"\0" * 512) is None


def test_carriage_returns_colours_and_runtime_stamps_are_taken_off():
    assert read("\x1b[31merror\x1b[0m here\r\n") == ["error here"]
    assert read("2024-08-06T10:12:44.207118330Z stderr F E0806 failed\n") == ["E0806 failed"]
    assert read("2024-08-06T10:12:44.207118330Z Upgrading rke2-canal\n") == ["Upgrading rke2-canal"]
    # Time stamps that a program wrote itself are its words.
    assert read("2024-02-05 17:22:03.449 [ERROR][1] cni-installer\n") == [
        "2024-02-05 17:22:03.449 [ERROR][1] cni-installer"
    ]


def test_dockers_json_lines_are_unwrapped_and_stay_one_line_each():
    entries = [{"log": 'E1 node "a" pod cidr\n', "stream": "stderr"}, {"log": "two\nin one\n", "stream": "stdout"}]
    text = "\n".join(json.dumps(entry, separators=(",", ":")) for entry in entries) + '\n{"log":"broken'

    assert read(text) == ['E1 node "a" pod cidr', "two in one", '{"log":"broken']


def test_quotes_inside_quotes_are_seen_as_quotes():
    assert read('err="plugin type=\\"flannel\\" failed: \\\\\\"x\\\\\\""') == [
        'err="plugin type="flannel" failed: "x""'
    ]


def test_a_line_longer_than_a_chunk_comes_in_pieces_under_its_own_number():
    file = BundleFile.of("x", b"first\n" + b"a" * 5000 + b"\nlast\n")
    numbered = [(chunk.first, len(chunk.seen)) for chunk in chunks(file, 500, longest=1000)]

    assert numbered[0][0] == 1
    assert {first for first, _ in numbered[1:-1]} == {2}
    assert list(lines(file))[-1] == (3, "last")


@given(
    st.lists(st.binary(max_size=60).filter(lambda b: b"\n" not in b and b"\0" not in b), min_size=1, max_size=30),
    st.integers(8, 64),
)
def test_cleaning_never_changes_the_number_of_lines(content, size):
    """Line 12 has to stay line 12, or the evidence points at the wrong one."""
    data = b"\n".join(content)
    file = BundleFile.of("x", data)
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        return

    for chunk in chunks(file, size):
        assert chunk.raw.count(b"\n") == chunk.seen.count(b"\n")
    assert b"".join(chunk.raw for chunk in chunks(file, size)) == data


def test_an_excerpt_is_cut_around_what_matters():
    text = "a" * 3000 + "HERE" + "b" * 3000

    assert "HERE" in excerpt(text, 3000)
    assert len(excerpt(text, 3000)) < 620
    assert excerpt("short\n") == "short"
