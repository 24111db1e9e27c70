"""How fast is the text of a bundle scanned, against plain loops over `re` and against RE2's set, and in how much memory?

    python -m tests.bench.scan [--large]

Speed is that of `drover analyze` from a file to hits with line numbers: read, taken out of its clothes, all patterns of the
catalogue, one thread. It is given per second of processor time, so that a busy machine does not show; the best of three counts.
Memory is that of the whole program in a process of its own, over bundles of 256 MB, or 1 GB with --large.
"""

import re
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import re2

from rancher_ext.bundle.text import chunks
from rancher_ext.evidence.archive import open_bundle
from rancher_ext.signatures.patterns import scanning_form
from rancher_ext.signatures.scan import Hits, Scanner, Text
from tests.bench.corpora import CORPORA, Corpus, blocks, catalogue_patterns, known_lines, pattern_set

MB = 1 << 20
# What the slow ways are given of each corpus.
SAMPLE = 1 * MB


@dataclass(frozen=True)
class Speed:
    """Megabytes per second of a core, and what was found: lines times patterns."""

    rate: float
    hits: int


def scan_file(scanner: Scanner, path: Path) -> Hits:
    bundle = open_bundle(path)
    return scanner.scan(Text(name, lambda name=name: chunks(bundle[name])) for name in bundle)  # type: ignore[misc]


def ours(scanner: Scanner, path: Path) -> Speed:
    seconds, found = [], None
    for _ in range(3):
        started = time.process_time()
        found = scan_file(scanner, path)
        seconds.append(time.process_time() - started)
    assert found is not None
    hits = sum(entry.count for pattern in scanner.patterns for entry in found.of(pattern).values())
    return Speed(path.stat().st_size / MB / min(seconds), hits)


def one_by_one(programs: Iterable[re.Pattern[bytes]], data: bytes) -> Speed:
    """The way of a short script: each pattern over the whole text, with the number of each line that hits."""
    started = time.process_time()
    hits = 0
    for program in programs:
        number, counted, last = 1, 0, -1
        for match in program.finditer(data):
            start = data.rfind(b"\n", 0, match.start()) + 1
            number += data.count(b"\n", counted, start)
            counted = start
            hits += number != last
            last = number
    return Speed(len(data) / MB / (time.process_time() - started), hits)


def as_set(every: re2.Set, data: bytes) -> Speed:
    """RE2's own way to run many patterns at once: a set, asked line by line."""
    # The automaton is built while it runs: the first round is not counted.
    for line in data.split(b"\n"):
        every.Match(line)
    started = time.process_time()
    hits = sum(len(every.Match(line) or ()) for line in data.split(b"\n"))
    return Speed(len(data) / MB / (time.process_time() - started), hits)


def compare(scanner: Scanner, folder: Path) -> bool:
    every = pattern_set(scanner.patterns)
    healthy, telling = known_lines(every)
    # `re` sees whole lines only where nothing can run over their end; the rewritten classes take care of that here as well.
    programs = [re.compile(line_bound(pattern).encode(), re.MULTILINE) for pattern in scanner.patterns]
    print(f"{len(scanner.patterns)} patterns, {len(healthy)} healthy and {len(telling)} telling lines to draw from")
    print(f"{'text':36}{'MB':>5}{'lines':>9}{'hits':>9}{'MB/s':>7}{'re':>7}{'times':>7}{'re2.Set':>9}{'times':>7}")
    agreed = True
    for corpus in CORPORA:
        path = folder / "corpus.log"
        lines = write(path, corpus, healthy, telling)
        speed = ours(scanner, path)
        with path.open("rb") as file:
            sample = file.read(SAMPLE)
        sample = sample[: sample.rfind(b"\n") + 1]
        slow, middle = one_by_one(programs, sample), as_set(every, sample)
        print(
            f"{corpus.name:36}{corpus.megabytes:5}{lines:9}{speed.hits:9}{speed.rate:7.0f}{slow.rate:7.2f}"
            f"{speed.rate / slow.rate:7.0f}{middle.rate:9.1f}{speed.rate / middle.rate:7.1f}"
        )
        if corpus.dress.__name__ == "_plain":
            agreed = agreed and same_hits(scanner, folder, sample, slow, middle)
    return agreed


def same_hits(scanner: Scanner, folder: Path, sample: bytes, *others: Speed) -> bool:
    """Speed without the right answer is none: on undressed text all three ways have to find the same."""
    path = folder / "sample.log"
    path.write_bytes(sample)
    found = ours(scanner, path)
    for other in others:
        if other.hits != found.hits:
            print(f"  not the same: {found.hits} hits here, {other.hits} there", file=sys.stderr)
            return False
    return True


def line_bound(pattern: str) -> str:
    form = scanning_form(pattern).expression
    return form.removeprefix("(?:").removesuffix(r").*\n") if form.endswith(r").*\n") else form


def write(path: Path, corpus: Corpus, healthy: list[bytes], telling: list[bytes]) -> int:
    lines = 0
    with path.open("wb") as file:
        for block in blocks(corpus, healthy, telling, corpus.megabytes * MB):
            file.write(block)
            lines += block.count(b"\n")
    return lines


def analyzed(path: Path) -> tuple[float, int]:
    """Seconds of processor time of `drover analyze` as a process, and its megabytes at the peak."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    # What wait4 calls the peak of a child begins with that of its parent; the kernel's own mark does not.
    program = (
        "import atexit, pathlib, sys\n"
        "atexit.register(lambda: print(pathlib.Path('/proc/self/status').read_text(), file=sys.stderr))\n"
        "from bot.cli.main import main; main()"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, "analyze", str(path)], capture_output=True, text=True, check=False
    )
    if ran.returncode not in {0, 10, 14, 15}:
        raise SystemExit(f"drover analyze {path} ended with {ran.returncode}:\n{ran.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    peak = re.search(r"^VmHWM:\s+(\d+) kB", ran.stderr, re.MULTILINE)
    assert peak is not None, ran.stderr
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, int(peak[1]) // 1024


def bundles(scanner: Scanner, folder: Path, megabytes: int) -> Iterator[tuple[str, Path]]:
    """The same text as one file, as many, and as an archive; each is removed before the next."""
    healthy, telling = known_lines(pattern_set(scanner.patterns))
    block = b"".join(blocks(CORPORA[2], healthy, telling, 16 * MB))
    small = folder / "small.log"
    small.write_bytes(block[:MB])
    yield "1 MB, one file", small
    one = folder / "one.log"
    with one.open("wb") as file:
        for _ in range(megabytes // 16):
            file.write(block)
    yield f"{megabytes} MB, one file", one
    one.unlink()
    many = folder / "many"
    for number in range(megabytes):
        path = many / f"logs/kube-system/rke2-canal-{number:05}/kube-flannel.log"
        path.parent.mkdir(parents=True)
        start = number % 16 * MB
        path.write_bytes(block[start : start + MB])
    yield f"{megabytes} MB, {megabytes} files", many
    packed = folder / "many.tar.gz"
    with tarfile.open(packed, "w:gz", compresslevel=1) as archive:
        archive.add(many, "bundle")
    yield f"{megabytes} MB, {megabytes} files in a .tar.gz", packed


def main() -> int:
    scanner = Scanner(catalogue_patterns())
    with tempfile.TemporaryDirectory(prefix="drover-bench-") as name:
        folder = Path(name)
        agreed = compare(scanner, folder)
        print(f"\n{'drover analyze':44}{'seconds':>8}{'MB at the peak':>16}")
        for title, path in bundles(scanner, folder, 1024 if "--large" in sys.argv else 256):
            seconds, memory = analyzed(path)
            print(f"{title:44}{seconds:8.1f}{memory:16}", flush=True)
    return 0 if agreed else 1


if __name__ == "__main__":
    sys.exit(main())
