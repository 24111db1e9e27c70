"""Does any parser of foreign bytes crash, hang, swell or slow down? `make fuzz`, or `python -m tests.fuzz.run [TARGET …]`.

Each target runs in a process of its own, for FUZZ_SECONDS (600), FUZZ_JOBS (1) of them at a time. It is fed with samples that were
changed at random and by Hypothesis in turns; where Atheris is installed, half of the time is libFuzzer's, which follows the branches
of our code. What is watched besides exceptions: the seconds and
the memory that one input takes, and whether twice the input is more than twice the work. An input that fails is kept in FUZZ_DIR
(.fuzz), cut down where that was possible, and the exit status is 1.
"""

import faulthandler
import hashlib
import io
import itertools
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stderr
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from random import Random

from hypothesis import HealthCheck, given, seed, settings

from tests.fuzz.inputs import LARGEST, cut_down, havoc, mutated

# An input of 64 kB at ten times the time that the slowest reader of ours needs.
INPUT_SECONDS = 5.0
HANG_SECONDS = 60
# What one input may leave behind or take at its height, after everything is loaded.
SWELLING = 300 << 20
# Twice the input is twice the work; up to this it is taken for noise.
DOUBLING = 3.5
_MEASURABLE = 0.2

FOLDER = Path(os.environ.get("FUZZ_DIR", ".fuzz"))
SECONDS = float(os.environ.get("FUZZ_SECONDS", "600"))
JOBS = int(os.environ.get("FUZZ_JOBS", "1"))
# In CI a red build has to be about the change, not about the draw; 0 draws anew each time.
SEED = int(os.environ.get("FUZZ_SEED", "0"))


class Found(Exception):
    """Not an exception of a parser, but a promise it broke."""


def main(names: list[str]) -> int:
    from tests.fuzz.targets import TARGETS

    unknown = [name for name in names if name not in TARGETS]
    if unknown:
        print(f"There is no target {unknown[0]!r}. Targets: {', '.join(TARGETS)}", file=sys.stderr)
        return 2
    FOLDER.mkdir(parents=True, exist_ok=True)
    engines = ("hypothesis", "atheris") if find_spec("atheris") is not None else ("hypothesis",)
    jobs = [(name, engine) for name in names or TARGETS for engine in engines]
    with ThreadPoolExecutor(JOBS) as pool:
        results = pool.map(lambda job: _in_a_process(*job, SECONDS / len(engines)), jobs)
        failed = [f"{name} ({engine})" for (name, engine), status in zip(jobs, results, strict=True) if status]
    print(f"Failed: {', '.join(failed)}" if failed else "No crash, no hang, no swelling, no slowing down.")
    return 1 if failed else 0


def _in_a_process(name: str, engine: str, seconds: float) -> int:
    command = [sys.executable, "-m", "tests.fuzz.run", f"--{engine}", name, str(seconds)]
    status = subprocess.run(command, check=False).returncode
    if status:
        print(f"{name:12} {engine:10} FAILED with status {status}; the input is {FOLDER / name}-last", flush=True)
    return status


class Watched:
    """Runs a target and looks at what it costs. The input lies on the disk before it is tried, since a crash leaves nothing else."""

    def __init__(self, name: str) -> None:
        from tests.fuzz.targets import TARGETS, refused_or_done

        self._target, self._run = TARGETS[name], refused_or_done
        self._last = FOLDER / f"{name}-last"
        self.tried = 0
        self._slowest: tuple[float, bytes] = (0.0, b"")
        for data in self._target.seeds()[:50]:
            refused_or_done(self._target, data)
        self._base = _peak()

    def __call__(self, data: bytes) -> None:
        self.tried += 1
        self._last.write_bytes(data)
        started = time.process_time()
        with _no_hang():
            self._run(self._target, data)
        took = time.process_time() - started
        if took / (len(data) + 500) > self._slowest[0] / (len(self._slowest[1]) + 500):
            self._slowest = took, data
        if took > INPUT_SECONDS:
            raise Found(f"{took:.1f} s for {len(data)} bytes")
        if _peak() - self._base > SWELLING:
            raise Found(f"{(_peak() - self._base) >> 20} MB more than before, at an input of {len(data)} bytes")

    def fails_with(self, kind: type[BaseException], data: bytes) -> bool:
        try:
            self(data)
        except kind:
            return True
        return False

    def keep(self, data: bytes) -> None:
        self._last.write_bytes(data)

    def grows_evenly(self, chosen: Random) -> float:
        """The worst factor by which work grew when input doubled; the slowest input of the run is among those measured."""
        if not self._target.grows:
            return 0.0
        seeds = self._target.seeds()
        samples = [self._slowest[1], *chosen.sample(seeds, min(4, len(seeds)))]
        return max(self._factor(data) for data in samples if data)

    def _factor(self, data: bytes) -> float:
        times = 1
        while (before := self._seconds(data * times)) < _MEASURABLE:
            times *= 2
            if len(data) * times > 16 << 20:
                return 0.0
        # A busy machine makes one measurement worse, hardly three of them.
        factors = [self._seconds(data * times * 2) / before]
        while factors[-1] > DOUBLING and len(factors) < 3:
            factors.append(self._seconds(data * times * 2) / self._seconds(data * times))
        if min(factors) > DOUBLING:
            self._last.write_bytes(data)
            raise Found(f"twice the input is {min(factors):.1f} times the work: {data[:60]!r} × {times}")
        return min(factors)

    def _seconds(self, data: bytes) -> float:
        started = time.process_time()
        with _no_hang():
            self._run(self._target, data)
        return time.process_time() - started


@contextmanager
def _no_hang() -> Iterator[None]:
    """After a minute of work (not of waiting for a busy machine) on one input, say where it is and end the process."""
    signal.setitimer(signal.ITIMER_PROF, HANG_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def by_hypothesis(name: str, seconds: float) -> None:
    watched, seeds = Watched(name), _target_seeds(name)
    inputs = mutated(seeds)
    ends = time.monotonic() + seconds
    first = SEED or random.SystemRandom().randrange(1 << 32)
    for number in itertools.count(first):
        if time.monotonic() > ends:
            break
        _havoc(watched, seeds, Random(number), min(ends, time.monotonic() + seconds / 10))
        _round(watched, inputs, number, min(ends, time.monotonic() + seconds / 10))
    factor = watched.grows_evenly(Random(first))
    print(f"{name:12} hypothesis {watched.tried:8} inputs, at twice the input {factor:.1f} times the work", flush=True)


def _havoc(watched: Watched, seeds: list[bytes], chosen: Random, ends: float) -> None:
    while time.monotonic() < ends:
        data = havoc(chosen, seeds)
        try:
            watched(data)
        except BaseException as error:
            shorter = cut_down(data, partial(watched.fails_with, type(error)))
            print(f"cut down to {shorter!r}", file=sys.stderr)
            watched.keep(shorter)
            raise


def _round(watched: Watched, inputs: object, number: int, ends: float) -> None:
    @seed(number)
    @settings(max_examples=300, deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=False)
    @given(inputs)
    def attempt(data: bytes) -> None:
        if time.monotonic() < ends:
            watched(data)

    run: Callable[[], None] = attempt
    run()


def by_atheris(name: str, seconds: float) -> None:
    import atheris

    # It names every module that it instruments; failures are told elsewhere.
    with redirect_stderr(io.StringIO()), atheris.instrument_imports(include=["rancher_ext", "bot"]):
        watched = Watched(name)
    corpus = FOLDER / "corpus" / name
    corpus.mkdir(parents=True, exist_ok=True)
    for data in _target_seeds(name):
        (corpus / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data[:LARGEST])
    limits = [
        f"-max_total_time={int(seconds)}",
        f"-max_len={LARGEST}",
        f"-timeout={HANG_SECONDS}",
        "-rss_limit_mb=3000",
        f"-seed={SEED}",
    ]
    kept = f"-artifact_prefix={FOLDER}/{name}-"
    atheris.Setup([sys.argv[0], *limits, kept, "-verbosity=0", "-print_final_stats=0", str(corpus)], watched)
    atheris.Fuzz()


def _target_seeds(name: str) -> list[bytes]:
    from tests.fuzz.targets import TARGETS

    return TARGETS[name].seeds()


if __name__ == "__main__":
    faulthandler.enable()
    # The handler prints and passes on to the default, which ends the process: also within a library that never returns to Python.
    faulthandler.register(signal.SIGPROF, chain=True)
    match sys.argv[1:]:
        case ["--hypothesis", name, seconds]:
            by_hypothesis(name, float(seconds))
        case ["--atheris", name, seconds]:
            by_atheris(name, float(seconds))
        case names:
            sys.exit(main(names))
