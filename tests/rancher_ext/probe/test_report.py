"""The report is read as if a stranger had sent it, and a token opens one door."""

import gzip
import json

import pytest

from rancher_ext.probe.node import fitted
from rancher_ext.probe.report import PACKED, UNPACKED, BadReport, Report, is_token, read_token, token_of, unpacked

KEY, OTHER = b"k" * 32, b"o" * 32
RUN = "0123456789abcdef"


def body(**changes):
    document = {"schema": 1, "node": "w1", "files": {"host/w1.txt": "x\n"}, "notes": [], "masked": 0} | changes
    return gzip.compress(json.dumps(document).encode(), mtime=0)


def test_what_was_packed_is_unpacked():
    report = Report("w1", {"host/w1.txt": "kernel: 6.12\n", "logs/kubelet/w1.log": "ü\n"}, ("a note",), 3)

    assert unpacked(report.packed()) == report


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"not gzip",
        gzip.compress(b"not json", mtime=0),
        gzip.compress(b"[]", mtime=0),
        gzip.compress(b"[" * 100_000, mtime=0),
        body()[:-9],
        body() + b"more",
        body(schema=2),
        body(node="W1/../x"),
        body(node=7),
        body(files={}),
        body(files=[]),
        body(files={"host/w1.txt": 7}),
        body(files={"../etc/passwd": "x"}),
        body(files={"logs/../../x.log": "x"}),
        body(files={"logs/kube-system/../p/c.log": "x"}),
        body(files={"manifest.json": "{}"}),
        body(files={"objects/management/clusters/a/b.json": "{}"}),
        body(files={"objects/downstream/secrets/a/b.json": "{}"}),
        body(files={"host/w1.txt": "\ud800"}),
        body(files={f"host/{number}.txt": "" for number in range(500)}),
        body(notes="one"),
        body(notes=[1]),
    ],
)  # fmt: skip
def test_anything_else_is_refused(sent):
    with pytest.raises(BadReport):
        unpacked(sent)


def test_a_bomb_is_not_unpacked_beyond_the_limit():
    with pytest.raises(BadReport, match="larger than"):
        unpacked(gzip.compress(b" " * (UNPACKED * 8), mtime=0))


def test_a_token_is_of_one_run_one_node_and_one_key():
    token = token_of(RUN, KEY, "w1.edge.example")

    assert read_token(token) == (RUN, "w1.edge.example")
    assert is_token(token, KEY)
    assert not is_token(token, OTHER)
    assert not is_token(token.replace("w1.", "w2."), KEY)
    assert not is_token("f" + token[1:], KEY)
    assert not is_token("nonsense", KEY)


def test_a_report_that_is_too_large_loses_its_largest_logs():
    import random

    noise = random.Random(1)
    files = {f"logs/kubelet/{n}.log": f"{noise.randbytes(n * 300_000).hex()}\n" for n in range(1, 5)}
    sent = unpacked(fitted(Report("w1", {"host/w1.txt": "facts\n", **files})))

    assert len(fitted(Report("w1", {"host/w1.txt": "facts\n", **files}))) <= PACKED
    assert sent.files["host/w1.txt"] == "facts\n"
    assert "logs/kubelet/1.log" in sent.files
    assert "logs/kubelet/4.log did not fit any more" in sent.notes
