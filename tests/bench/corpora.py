"""Which text is the scan measured on?

Lines are those of the project's own samples and cases, in an order drawn with a fixed seed: healthy ones, in which no pattern of
the catalogue is found, and telling ones, in which one is. Each corpus says how many of its lines are telling and in which
clothes they come.
"""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import re2

from rancher_ext.bundle.bundle import BundleFile
from rancher_ext.bundle.text import chunks
from rancher_ext.catalogue import known_signatures

ROOT = Path(__file__).resolve().parent.parent
_LONGEST = 2000


@dataclass(frozen=True)
class Corpus:
    """`telling` is the share of lines in which a pattern is found."""

    name: str
    telling: float
    dress: Callable[[bytes, random.Random], bytes]
    megabytes: int = 48


def _plain(line: bytes, draw: random.Random) -> bytes:
    return line


def _time(draw: random.Random) -> bytes:
    return b"2026-03-%02dT%02d:%02d:%02d.%09d" % (
        draw.randrange(1, 29),
        draw.randrange(24),
        draw.randrange(60),
        draw.randrange(60),
        draw.randrange(10**9),
    )


def _cri(line: bytes, draw: random.Random) -> bytes:
    # Go drops zeros at the end of a fraction; here and there the runtime cuts a message.
    stamp = _time(draw).rstrip(b"0") + b"+02:00"
    if len(line) > 300 and draw.random() < 0.05:
        return b"%s stderr P %s\n%s stderr F %s" % (stamp, line[:150], stamp, line[150:])
    return b"%s %s F %s" % (stamp, draw.choice((b"stdout", b"stderr")), line)


def _api(line: bytes, draw: random.Random) -> bytes:
    return _time(draw) + b"Z " + line


def _docker(line: bytes, draw: random.Random) -> bytes:
    entry = {"log": line.decode("utf-8", "replace") + "\n", "stream": "stderr", "time": _time(draw).decode() + "Z"}
    return json.dumps(entry, separators=(",", ":"), ensure_ascii=False).encode()


def _coloured(line: bytes, draw: random.Random) -> bytes:
    head, space, rest = line.partition(b" ")
    return b"\x1b[36m" + head + b"\x1b[0m" + space + rest + b"\r"


def _quoted(line: bytes, draw: random.Random) -> bytes:
    return b'time="%s" level=info msg="%s"' % (_time(draw), line.replace(b"\\", b"\\\\").replace(b'"', b'\\"'))


CORPORA = (
    Corpus("1 line in 2,000 tells", 0.0005, _plain),
    Corpus("every line tells", 1, _plain, 24),
    Corpus("1 in 2,000, containerd's stamps", 0.0005, _cri),
    Corpus("1 in 2,000, time stamps of the API", 0.0005, _api),
    Corpus("1 in 2,000, Docker's JSON lines", 0.0005, _docker),
    Corpus("1 in 2,000, colours and CRLF", 0.0005, _coloured),
    Corpus("1 in 2,000, quoted by logrus", 0.0005, _quoted),
    Corpus("every line, containerd's stamps", 1, _cri, 24),
    Corpus("every line, Docker's JSON lines", 1, _docker, 24),
)


def catalogue_patterns() -> list[str]:
    """All patterns that are looked for in text."""
    found: list[str] = []
    for loaded in known_signatures():
        for predicate in loaded.signature.predicates():
            found += getattr(predicate, "log", ())
            found += getattr(predicate, "text", ())
    return list(dict.fromkeys(found))


def pattern_set(patterns: Sequence[str]) -> re2.Set:
    """All patterns as a set of RE2, which says of one line which of them are found in it."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.never_nl = True
    options.max_mem = 512 << 20
    every = re2.Set.SearchSet(options)
    for pattern in patterns:
        every.Add(pattern.encode())
    every.Compile()
    return every


def known_lines(every: re2.Set) -> tuple[list[bytes], list[bytes]]:
    """Healthy and telling lines without clothes, as RE2 alone judges them."""
    files = [
        path for folder in ("signatures", "cases") for path in sorted((ROOT / folder).rglob("*")) if path.is_file()
    ]
    texts = [BundleFile.of(path.name, path.read_bytes()) for path in files if path.suffix in {".log", ".txt"}]
    seen = b"".join(chunk.seen + b"\n" for text in texts for chunk in chunks(text))
    lines = sorted({line for line in seen.split(b"\n") if line.strip() and len(line) < _LONGEST})
    healthy = [line for line in lines if not every.Match(line)]
    return healthy, [line for line in lines if every.Match(line)]


def blocks(corpus: Corpus, healthy: Sequence[bytes], telling: Sequence[bytes], size: int) -> Iterator[bytes]:
    """`size` bytes or a little more, in pieces of whole lines; the same for the same lines."""
    draw = random.Random(corpus.name)
    written = 0
    while written < size:
        lines = [
            corpus.dress(draw.choice(telling if draw.random() < corpus.telling else healthy), draw) for _ in range(5000)
        ]
        block = b"\n".join(lines) + b"\n"
        written += len(block)
        yield block
