"""Does every signature find what it should, and leave alone what it should not?

A signature's samples lie in `tests/signatures/<id>/`: `hit-…` must be found as the best finding, `hit-also-…` must be found
among others, `miss-…` must not be found. A sample is a folder laid out like a bundle, or one file of unknown origin.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rancher_ext.catalogue.analyze import analyze
from rancher_ext.errors import BadInput
from rancher_ext.signatures.schema import Signature

_SUFFIXES = {".log", ".txt"}


@dataclass(frozen=True)
class Sample:
    signature: str
    path: Path
    hit: bool
    best: bool

    @property
    def name(self) -> str:
        return f"{self.signature}/{self.path.name}"


@dataclass(frozen=True)
class SampleResult:
    """`problem` is None when the sample behaves as it should."""

    sample: Sample
    problem: str | None
    found: tuple[str, ...] = ()


def find_samples(root: Path) -> tuple[Sample, ...]:
    """All samples below the folder. Raises BadInput for a name that is neither hit nor miss."""
    samples = []
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        for path in sorted(folder.iterdir()):
            if path.name.startswith((".", "README")):
                continue
            if not path.name.startswith(("hit-", "miss-")) or not (path.is_dir() or path.suffix in _SUFFIXES):
                raise BadInput(
                    f"{path}: is no sample",
                    cure="Name it hit-…, hit-also-… or miss-…: a folder like a bundle, or one .log or .txt file.",
                )
            hit = path.name.startswith("hit-")
            samples.append(Sample(folder.name, path, hit, best=hit and not path.name.startswith("hit-also-")))
    return tuple(samples)


def run_sample(sample: Sample, signatures: Sequence[Signature]) -> SampleResult:
    """Match the whole catalogue, not this signature alone: a sample also shows that no other one gets in its way."""
    if sample.signature not in {signature.id for signature in signatures}:
        return SampleResult(sample, f"there is no signature {sample.signature!r}")
    found = tuple(finding.signature for finding in analyze(sample.path, signatures).findings)
    return SampleResult(sample, problem_with(sample, found), found)


def problem_with(sample: Sample, found: Sequence[str]) -> str | None:
    """What is wrong when these signatures were found, best first; None when the sample behaves as it should."""
    if not sample.hit:
        return "was found, and should not be" if sample.signature in found else None
    if sample.signature not in found:
        return f"was not found; found: {', '.join(found) or 'nothing'}"
    if sample.best and found[0] != sample.signature:
        return f"came after {found[0]!r}"
    return None


def run_samples(root: Path, signatures: Sequence[Signature], ids: Iterable[str] = ()) -> tuple[SampleResult, ...]:
    """All samples, or those of some signatures."""
    wanted = set(ids)
    return tuple(
        run_sample(sample, signatures) for sample in find_samples(root) if not wanted or sample.signature in wanted
    )


def untested(root: Path, signatures: Sequence[Signature]) -> tuple[str, ...]:
    """Signatures that have no hit or no miss."""
    samples = find_samples(root)
    hits = {sample.signature for sample in samples if sample.hit}
    misses = {sample.signature for sample in samples if not sample.hit}
    return tuple(signature.id for signature in signatures if signature.id not in hits & misses)
