"""Is every predicate of a signature needed, and does a sample prove it?

One predicate of `when` is removed at a time. A sample that was right has to go wrong; where none does, the predicate is a
*survivor*: either it is needless, or the sample that shows why it is there has not been written.

Only `when` is looked at. `supports` and `contradicts` move confidence and decide nothing by themselves, and `applies` says
which clusters a signature is about, which is no observation.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rancher_ext.bundle.facts import Facts
from rancher_ext.catalogue.samples import Sample, find_samples, problem_with
from rancher_ext.catalogue.signatures import LoadedSignature
from rancher_ext.catalogue.yaml_lines import YamlFile, read_yaml
from rancher_ext.evidence.archive import open_bundle
from rancher_ext.evidence.readers import read_facts
from rancher_ext.signatures.match import Finding, match, ranked, read_once
from rancher_ext.signatures.predicate_schema import (
    AllOfPredicate,
    AnyOfPredicate,
    AnyPredicate,
    LogPredicate,
    TextPredicate,
    TogetherPredicate,
)
from rancher_ext.signatures.predicates import Evaluator
from rancher_ext.signatures.schema import Signature, When

Location = tuple[str | int, ...]


@dataclass(frozen=True)
class Mutant:
    """A signature with one part of its `when` taken away. `location` is the way to that part in the YAML file."""

    signature: Signature
    location: Location
    removed: str


@dataclass(frozen=True)
class Survivor:
    """Nobody noticed that this part was gone."""

    file: str
    line: int
    signature: str
    location: Location
    removed: str

    def __str__(self) -> str:
        where = ".".join(str(step) for step in self.location)
        return f"{self.file}:{self.line}: {where}: no sample of {self.signature!r} needs {self.removed}"


@dataclass(frozen=True)
class MutationReport:
    """How many parts were taken away in turn, who survived, and signatures that have no right sample at all."""

    tried: int
    survivors: tuple[Survivor, ...]
    untested: tuple[str, ...] = ()


@dataclass
class _Prepared:
    """A sample that was read once; every mutant of its signature is tried on it."""

    sample: Sample
    evaluator: Evaluator
    facts: Facts
    found: Mapping[str, Finding]


def mutants(signature: Signature, *, each_pattern: bool = False) -> Iterator[Mutant]:
    """Every way to take one predicate out of `when`; with `each_pattern` also one pattern out of a list of patterns."""
    for section in ("all", "any", "none"):
        listed: tuple[AnyPredicate, ...] = getattr(signature.when, section)
        for index, predicate in enumerate(listed):
            for location, smaller, removed in _smaller(predicate, each_pattern=each_pattern):
                kept = () if smaller is None else (smaller,)
                changed = {section: (*listed[:index], *kept, *listed[index + 1 :])}
                yield Mutant(_with(signature, changed), ("when", section, index, *location), removed)


def _smaller(predicate: AnyPredicate, *, each_pattern: bool) -> Iterator[tuple[Location, AnyPredicate | None, str]]:
    yield (), None, "this predicate"
    match predicate:
        case LogPredicate() | TextPredicate():
            key = "log" if isinstance(predicate, LogPredicate) else "text"
            patterns: tuple[str, ...] = getattr(predicate, key)
            for index, pattern in enumerate(patterns if each_pattern and len(patterns) > 1 else ()):
                fewer = patterns[:index] + patterns[index + 1 :]
                yield (key, index), predicate.model_copy(update={key: fewer}), f"the pattern {pattern!r}"
        case AnyOfPredicate() | AllOfPredicate():
            key = "any" if isinstance(predicate, AnyOfPredicate) else "all"
            for location, fewer_members, removed in _fewer(getattr(predicate, key), each_pattern=each_pattern):
                yield (key, *location), predicate.model_copy(update={key: fewer_members}), removed
        case TogetherPredicate():
            for location, fewer_members, removed in _fewer(predicate.together.all, each_pattern=each_pattern):
                where = predicate.together.model_copy(update={"all": fewer_members})
                yield ("together", "all", *location), predicate.model_copy(update={"together": where}), removed


def _fewer(
    members: tuple[AnyPredicate, ...], *, each_pattern: bool
) -> Iterator[tuple[Location, tuple[AnyPredicate, ...], str]]:
    """The members of a group with one of them, or a part of one, taken away. The last one left goes with its group."""
    for index, member in enumerate(members):
        for location, smaller, removed in _smaller(member, each_pattern=each_pattern):
            kept = () if smaller is None else (smaller,)
            fewer = (*members[:index], *kept, *members[index + 1 :])
            if fewer:
                yield (index, *location), fewer, removed


def _with(signature: Signature, changed: Mapping[str, tuple[AnyPredicate, ...]]) -> Signature:
    # model_copy does not validate: a `when` that is left with nothing positive is fine here, it finds nothing.
    when: When = signature.when.model_copy(update=dict(changed))
    return signature.model_copy(update={"when": when})


def survivors(
    root: Path, loaded: Sequence[LoadedSignature], ids: Iterable[str] = (), *, each_pattern: bool = False
) -> MutationReport:
    """Try every mutant of the signatures (or of those named) on the signature's own samples below the folder.

    Samples that are wrong to begin with prove nothing and are left out; `run_samples` tells about them.
    """
    signatures = tuple(entry.signature for entry in loaded)
    by_id = {signature.id: signature for signature in signatures}
    by_signature: dict[str, list[Sample]] = {}
    for sample in find_samples(root):
        by_signature.setdefault(sample.signature, []).append(sample)
    wanted = set(ids) or set(by_id)
    tried, found, untested = 0, [], []
    for entry in loaded:
        if entry.signature.id not in wanted:
            continue
        samples = by_signature.get(entry.signature.id, ())
        right = [ready for sample in samples if (ready := _prepared(sample, signatures, by_id)) is not None]
        if not right:
            untested.append(entry.signature.id)
        document = read_yaml(entry.path)
        for mutant in mutants(entry.signature, each_pattern=each_pattern):
            tried += 1
            if not any(_notices(ready, mutant, by_id) for ready in right):
                line = document.line(mutant.location) if isinstance(document, YamlFile) else document.line
                found.append(
                    Survivor(str(entry.path), line, entry.signature.id, mutant.location, mutant.removed),
                )
    return MutationReport(tried, tuple(found), tuple(untested))


def _prepared(sample: Sample, signatures: Sequence[Signature], by_id: Mapping[str, Signature]) -> _Prepared | None:
    bundle = open_bundle(sample.path)
    facts = read_facts(bundle)
    evaluator = read_once(bundle, signatures, facts)
    findings = {each.id: found for each in signatures if (found := match(each, evaluator, facts)) is not None}
    ready = _Prepared(sample, evaluator, facts, findings)
    return None if _problem(ready, findings.values(), by_id) else ready


def _notices(ready: _Prepared, mutant: Mutant, by_id: Mapping[str, Signature]) -> bool:
    others = [finding for name, finding in ready.found.items() if name != mutant.signature.id]
    own = match(mutant.signature, ready.evaluator, ready.facts)
    return _problem(ready, [*others, own] if own is not None else others, by_id) is not None


def _problem(ready: _Prepared, findings: Iterable[Finding], by_id: Mapping[str, Signature]) -> str | None:
    return problem_with(ready.sample, [finding.signature for finding in ranked(tuple(findings), by_id)])
