"""How does a sample become an input that nobody thought of?

By a few edits. Hypothesis draws them with care, and cuts down what fails to what is needed for it; `havoc` draws them a hundred times
as fast.
"""

from collections.abc import Callable
from random import Random

from hypothesis import strategies as st

LARGEST = 64_000
_KINDS = ("insert", "replace", "cut", "repeat", "flip", "swap", "splice")

# What parsers stumble over: ends of lines and of texts, brackets, marks of formats, lengths and signs.
TOKENS = (
    b"\n", b"\r\n", b"\r", b"\0", b"\t", b" ", b"\xff", b"\xfe\xff", b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xc3", b"\x1b[", b"\x1b]", b"{", b"}", b"[", b"]",
    b"[[[[[[[[", b'{"a":', b"- - - - ", b"? ", b"<<: *a", b"&a ", b"*a", b"!!", b"|", b">-", b"---\n", b"...", b'"', b"\\", b'\\"', b"\\ud800", b"\\u0000", b"'", b"`", b"```", b"~~~",
    b"<!--", b"-->", b"> ", b"/drover ", b"#", b":", b"::", b"=", b"==", b"==> ", b" <==", b"==== START logs for container ", b"-1", b"0", b"1e999", b"9" * 25, b"9" * 5000, b"0x", b"NaN",
    b"null", b"true", b"kind: ", b'"kind":', b'"items": [', b"items:\n", b"Name: ", b"Events:\n", b"Conditions:\n", b"LAST SEEN", b"Warning  ", b"True  ", b"Ready", b"1/1 ", b"pod/", b"v1.32.2",
    b"../", b"/", b"C:\\", b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b", b"BZh9", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"ustar", b"00000000000\0", b"\x7f" * 8, b"\xff" * 8,
    b"MESSAGE\n", b"__CURSOR=", b'{"log":"', b"2025-03-04T10:08:11.123456789Z stderr F ", b"Apr 12 07:31:40 w1 kubelet[1]: ", "\u2028".encode(), "\u0130".encode(), "\u00df".encode(), "\U0001f4a5".encode(), "\u0661".encode(),
)  # fmt: skip


@st.composite
def _edit(draw: st.DrawFn) -> tuple[str, float, float, bytes]:
    kind = draw(st.sampled_from(_KINDS))
    payload = draw(st.one_of(st.sampled_from(TOKENS), st.binary(max_size=8)))
    where = draw(st.floats(0, 1, allow_nan=False))
    much = draw(st.floats(0, 1, allow_nan=False))
    return kind, where, much, payload


def _applied(data: bytes, edit: tuple[str, float, float, bytes], other: bytes) -> bytes:
    kind, where, much, payload = edit
    at = int(where * len(data))
    size = int(much * min(len(data) - at, 200))
    match kind:
        case "insert":
            return data[:at] + payload + data[at:]
        case "replace":
            return data[:at] + payload + data[at + len(payload) :]
        case "cut":
            return data[:at] + data[at + max(1, size) :]
        case "repeat":
            piece = data[at : at + max(1, size)] or payload
            return data[:at] + piece * (1 + int(much * 200)) + data[at:]
        case "flip":
            return (
                data[:at] + bytes(byte ^ (payload[0] if payload else 1) for byte in data[at : at + 1]) + data[at + 1 :]
            )
        case "swap":
            return data[at:] + data[:at]
        case _:
            return data[:at] + other[int(much * len(other)) :]


@st.composite
def mutated(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A seed with up to a dozen edits; now and then bytes of no seed at all."""
    if draw(st.integers(0, 19)) == 0:
        return draw(st.binary(max_size=300))
    data, other = draw(st.sampled_from(seeds)), draw(st.sampled_from(seeds))
    for edit in draw(st.lists(_edit(), max_size=12)):
        data = _applied(data, edit, other)[:LARGEST]
    return data


def havoc(chosen: Random, seeds: list[bytes]) -> bytes:
    """The same kinds of edits, drawn without a record of how."""
    data, other = chosen.choice(seeds), chosen.choice(seeds)
    for _ in range(chosen.randrange(1, 10)):
        payload = chosen.choice(TOKENS) if chosen.random() < 0.7 else chosen.randbytes(chosen.randrange(1, 9))
        data = _applied(data, (chosen.choice(_KINDS), chosen.random(), chosen.random(), payload), other)[:LARGEST]
    return data


def cut_down(data: bytes, fails: Callable[[bytes], bool], tries: int = 400) -> bytes:
    """A shorter input that still fails: pieces are left out as long as that is so."""
    size = max(1, len(data) // 2)
    while size and tries > 0:
        at = 0
        while at < len(data) and tries > 0:
            tries -= 1
            shorter = data[:at] + data[at + size :]
            if fails(shorter):
                data = shorter
            else:
                at += size
        size //= 2
    return data
