"""Is this predicate true, false or unknown for a bundle, and which lines show it?"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rancher_ext.bundle.bundle import Bundle
from rancher_ext.bundle.facts import ConditionFact, EventFact, Facts, Place
from rancher_ext.bundle.origin import K3S_UNITS, RKE2_UNITS, Origin, OriginKind, origin_of, workload_of_pod
from rancher_ext.bundle.text import Chunk, chunks
from rancher_ext.bundle.truth import Truth
from rancher_ext.signatures.patterns import found_in
from rancher_ext.signatures.scan import Hits, Scanner, Text
from rancher_ext.signatures.schema import (
    SHARE,
    AbsentPredicate,
    AgePredicate,
    AnyPredicate,
    ConditionPredicate,
    ConditionWhere,
    CountPredicate,
    DaemonSetPredicate,
    EventPredicate,
    EventWhere,
    From,
    LogPredicate,
    NodePredicate,
    ObjectPredicate,
    PodPredicate,
    Shared,
    TextPredicate,
    Workload,
    duration_seconds,
)
from rancher_ext.signatures.subjects import Asked, Questions

# Lines kept as evidence of one predicate.
KEPT = 4
_MESSAGES = "\0messages"

_LOG_KINDS = frozenset({OriginKind.CONTAINER, OriginKind.UNIT, OriginKind.HELM, OriginKind.UNKNOWN})
_PLACES = {
    OriginKind.EVENTS: "events",
    OriginKind.NODES: "nodes",
    OriginKind.PODS: "pods",
    OriginKind.CONDITIONS: "conditions",
    OriginKind.HELM: "helm",
    OriginKind.CONTAINER: "logs",
    OriginKind.UNIT: "logs",
    OriginKind.UNKNOWN: "other",
}
_MESSAGE_PLACES = frozenset({"events", "nodes", "pods", "conditions"})

# Node logs in which the words of a workload stand, where it is not a pod.
_UNITS_OF: Mapping[Workload, frozenset[str]] = {
    Workload.CNI: K3S_UNITS | {"flanneld"},
    Workload.KUBE_PROXY: K3S_UNITS | {"kube-proxy"},
    Workload.NODE_AGENT: frozenset({"rancher-agent"}),
    Workload.KUBE_APISERVER: frozenset({"kube-apiserver"}),
    Workload.KUBE_CONTROLLER_MANAGER: K3S_UNITS | {"kube-controller-manager"},
    Workload.CLOUD_CONTROLLER_MANAGER: K3S_UNITS | {"cloud-controller-manager"},
    Workload.ETCD: frozenset({"etcd"}),
}
_UNITS_ALSO: Mapping[str, frozenset[str]] = {
    "kubelet": K3S_UNITS | RKE2_UNITS,
    "kube-proxy": K3S_UNITS,
    "k3s": K3S_UNITS,
    "containerd": frozenset(),
}


@dataclass(frozen=True)
class Outcome:
    """`certain` is false when a line fits but its origin, type or object is not known."""

    truth: Truth
    evidence: tuple[Place, ...] = ()
    count: int = 0
    certain: bool = True


_UNKNOWN = Outcome(Truth.UNKNOWN)


@dataclass
class _Tally:
    """Hits of known and of doubtful origin, and whether anything could have shown more."""

    certain: int = 0
    doubtful: int = 0
    places: list[Place] = field(default_factory=list)
    perhaps: list[Place] = field(default_factory=list)
    looked: bool = False

    def add(self, fits: Truth, count: int, places: Iterable[Place]) -> None:
        if fits is Truth.TRUE:
            self.certain += count
            self.places += places
        elif fits is Truth.UNKNOWN:
            self.doubtful += count
            self.perhaps += places

    def outcome(self, needed: int) -> Outcome:
        total = self.certain + self.doubtful
        if self.certain >= needed:
            return Outcome(Truth.TRUE, tuple(self.places[:KEPT]), total)
        if total >= needed:
            return Outcome(Truth.TRUE, tuple((self.places + self.perhaps)[:KEPT]), total, certain=False)
        return Outcome(Truth.FALSE if self.looked else Truth.UNKNOWN, count=total)


class Evaluator:
    """Answers predicates about one bundle. The text is scanned once, when it is built."""

    def __init__(self, bundle: Bundle, facts: Facts, scanner: Scanner, predicates: Sequence[AnyPredicate]) -> None:
        self._facts = facts
        self._origins = {path: facts.origins.get(path) or origin_of(path) for path in bundle}
        texts = [
            Text(path, _reader(bundle, path))
            for path, origin in self._origins.items()
            if origin.kind not in {OriginKind.OBJECT, OriginKind.NOT_TEXT}
        ]
        self._scanned = {text.key for text in texts}
        if facts.messages:
            texts.append(Text(_MESSAGES, lambda: _message_chunk(facts)))
        self._hits: Hits = scanner.scan(texts)
        self._questions = Questions(facts, predicates)

    def evaluate(self, predicate: AnyPredicate) -> Outcome:
        match predicate:
            case LogPredicate():
                return self._log(predicate)
            case TextPredicate():
                return self._text(predicate)
            case ConditionPredicate():
                return self._condition(predicate)
            case EventPredicate():
                return self._event(predicate)
            case PodPredicate() | NodePredicate() | DaemonSetPredicate():
                return _shared(predicate, self._questions.answers(predicate))
            case AgePredicate():
                return self._age(predicate)
            case ObjectPredicate():
                return _counted(self._questions.objects(predicate), predicate.needed)
            case CountPredicate():
                return self._count(predicate)
            case AbsentPredicate():
                return self._absent(predicate)

    def _log(self, predicate: LogPredicate) -> Outcome:
        tally = _Tally()
        fits = {
            path: fits_from(origin, predicate.from_, self._facts.cluster.distribution)
            for path, origin in self._origins.items()
            if origin.kind in _LOG_KINDS
        }
        tally.looked = Truth.TRUE in fits.values()
        for pattern in predicate.log:
            for path, found in self._hits.of(pattern).items():
                if path in fits:
                    places = [Place(path, line.number, line.text) for line in found.lines]
                    tally.add(fits[path], found.count, places)
        return tally.outcome(predicate.needed)

    def _text(self, predicate: TextPredicate) -> Outcome:
        wanted = frozenset(predicate.in_ or ())
        tally = _Tally()
        tally.looked = any(not wanted or _PLACES[self._origins[path].kind] in wanted for path in self._scanned) or (
            bool(self._facts.messages) and (not wanted or bool(wanted & _MESSAGE_PLACES))
        )
        for pattern in predicate.text:
            for path, found in self._hits.of(pattern).items():
                if path == _MESSAGES:
                    if not wanted or wanted & _MESSAGE_PLACES:
                        places = [self._facts.messages[line.number - 1][1] for line in found.lines]
                        tally.add(Truth.TRUE, found.count, places)
                elif not wanted or _PLACES[self._origins[path].kind] in wanted:
                    places = [Place(path, line.number, line.text) for line in found.lines]
                    tally.add(Truth.TRUE, found.count, places)
        return tally.outcome(predicate.needed)

    def _condition(self, predicate: ConditionPredicate) -> Outcome:
        where, tally = predicate.condition, _Tally()
        for fact in self._facts.conditions:
            tally.looked = tally.looked or where.of in {"any", fact.of} or fact.of == "any"
            tally.add(_condition_fits(fact, where), 1, (fact.at,))
        return tally.outcome(predicate.needed)

    def _event(self, predicate: EventPredicate) -> Outcome:
        where, tally = predicate.event, _Tally(looked=bool(self._facts.events) or "Event" in self._facts.listed)
        for fact in self._facts.events:
            tally.add(_event_fits(fact, where), fact.count, (fact.at,))
        return tally.outcome(predicate.needed)

    def _age(self, predicate: AgePredicate) -> Outcome:
        age = predicate.age
        low = duration_seconds(age.more_than) if age.more_than else None
        high = duration_seconds(age.less_than) if age.less_than else None
        asked = self._questions.ages(predicate)
        tally = _Tally()
        for seconds, truth, place in asked:
            if truth is not Truth.TRUE or seconds is None:
                # Not one of those asked about, or its age is not in the evidence.
                tally.looked = tally.looked or truth is Truth.FALSE
                continue
            tally.looked = True
            if (low is None or seconds > low) and (high is None or seconds < high):
                tally.add(Truth.TRUE, 1, (place,))
        return tally.outcome(predicate.needed)

    def _count(self, predicate: CountPredicate) -> Outcome:
        bounds = predicate.count
        inner = self.evaluate(bounds.of)
        if inner.truth is Truth.UNKNOWN:
            return _UNKNOWN
        enough = bounds.at_least is None or inner.count >= bounds.at_least
        fits = enough and (bounds.at_most is None or inner.count <= bounds.at_most)
        evidence = inner.evidence if fits else ()
        return Outcome(Truth.of(fits), evidence, inner.count, certain=inner.certain)

    def _absent(self, predicate: AbsentPredicate) -> Outcome:
        inner = self.evaluate(predicate.absent)
        if inner.truth is Truth.TRUE and not inner.certain:
            return _UNKNOWN
        return Outcome(~inner.truth)


def _reader(bundle: Bundle, path: str) -> Callable[[], Iterator[Chunk]]:
    def read() -> Iterator[Chunk]:
        return chunks(bundle[path])

    return read


def _message_chunk(facts: Facts) -> Iterator[Chunk]:
    """Messages inside objects as one text: line N is message N."""
    text = "\n".join(" ".join(message.splitlines()) for message, _ in facts.messages).encode("utf-8", "replace")
    yield Chunk(1, text, re.sub(rb'\\+"', b'"', text))


def fits_from(origin: Origin, froms: Sequence[From] | None, distribution: str = "unknown") -> Truth:
    """Do lines of this origin come from there? Unknown where the origin does not tell."""
    if not froms:
        return Truth.TRUE
    return Truth.any(_fits_one(origin, wanted, distribution) for wanted in froms)


def _fits_one(origin: Origin, wanted: From, distribution: str) -> Truth:
    checks: list[Truth] = []
    in_one_process = False
    if wanted.previous is not None and origin.kind is not OriginKind.UNKNOWN:
        checks.append(Truth.of(origin.previous == wanted.previous))
    if wanted.workload is not None:
        fits = Truth.any(_fits_workload(origin, workload, distribution) for workload in wanted.workload)
        in_one_process = origin.kind is OriginKind.UNIT and fits is not Truth.FALSE
        checks.append(fits)
    if wanted.unit is not None:
        checks.append(Truth.any(_fits_unit(origin, unit) for unit in wanted.unit))
    if wanted.container is not None and not in_one_process:
        checks.append(_fits_name(origin, origin.container, wanted.container))
    if wanted.namespace is not None and not in_one_process:
        checks.append(_fits_name(origin, origin.namespace, wanted.namespace))
    if wanted.node is not None:
        checks.append(Truth.UNKNOWN if origin.node is None else Truth.of(found_in(wanted.node, origin.node)))
    return Truth.all(checks)


def _fits_workload(origin: Origin, workload: Workload, distribution: str) -> Truth:
    if origin.kind is OriginKind.UNKNOWN:
        return Truth.UNKNOWN
    if origin.kind is OriginKind.UNIT and origin.unit is not None:
        units = _UNITS_OF.get(workload, frozenset())
        if origin.unit == "kubelet" and units & K3S_UNITS:
            # A K3s journal is often kept as the kubelet's log.
            return Truth.of(None if distribution == "unknown" else distribution == "k3s")
        return Truth.of(origin.unit in units)
    return Truth.of(origin.workload == workload.value)


def _fits_unit(origin: Origin, unit: str) -> Truth:
    if origin.kind is OriginKind.UNKNOWN:
        return Truth.UNKNOWN
    if origin.kind is OriginKind.UNIT:
        return Truth.of(origin.unit == unit or origin.unit in _UNITS_ALSO.get(unit, frozenset()))
    # kube-proxy, etcd and the like are a unit here and a static pod there.
    return Truth.of(origin.workload == unit)


def _fits_name(origin: Origin, name: str | None, wanted: Sequence[str]) -> Truth:
    if origin.kind in {OriginKind.UNIT, OriginKind.HELM}:
        return Truth.of(origin.kind is OriginKind.HELM)
    return Truth.of(None if name is None else name in wanted)


def _condition_fits(fact: ConditionFact, where: ConditionWhere) -> Truth:
    checks = [
        Truth.TRUE if where.of in {"any", fact.of} else Truth.of(None if fact.of == "any" else False),
        _named(fact.type, where.type),
        _named(fact.status, (where.status,) if where.status else None),
        _named(fact.reason, where.reason),
    ]
    if where.message is not None:
        checks.append(Truth.of(found_in(where.message, fact.message)))
    elif fact.type is None:
        # A bare message says nothing about a predicate that does not ask for its words.
        return Truth.FALSE
    return Truth.all(checks)


def _event_fits(fact: EventFact, where: EventWhere) -> Truth:
    checks = [
        _named(fact.type, (where.type,) if where.type else None),
        _named(fact.reason, where.reason),
        _named(fact.kind, where.kind),
    ]
    if where.name is not None:
        checks.append(Truth.of(None if fact.name is None else found_in(where.name, fact.name)))
    if where.message is not None:
        checks.append(Truth.of(found_in(where.message, fact.message)))
    elif fact.reason is None:
        return Truth.FALSE
    return Truth.all(checks)


def _named(value: str | None, wanted: Sequence[str] | None) -> Truth:
    if wanted is None:
        return Truth.TRUE
    return Truth.of(None if value is None else value in wanted)


def _counted(asked: Asked, needed: int) -> Outcome:
    if len(asked.yes) >= needed:
        return Outcome(Truth.TRUE, tuple(asked.yes[:KEPT]), len(asked.yes))
    could_be = len(asked.yes) + asked.unknown >= needed
    could_know = asked.listed or asked.no or asked.yes
    return Outcome(
        Truth.UNKNOWN if (asked.unknown and could_be) or not could_know else Truth.FALSE, count=len(asked.yes)
    )


_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
}


def _shared(predicate: Shared, asked: Asked) -> Outcome:
    if predicate.share is None:
        return _counted(asked, predicate.needed)
    match = SHARE.fullmatch(predicate.share)
    known = len(asked.yes) + asked.no
    assert match is not None
    if not known:
        return _UNKNOWN
    fits = _COMPARE[match[1]](100 * len(asked.yes), int(match[2]) * known)
    fits = fits and len(asked.yes) >= (predicate.at_least or 0)
    return Outcome(Truth.of(fits), tuple(asked.yes[:KEPT]) if fits else (), len(asked.yes))


def workload_named(name: str, wanted: Sequence[Workload] | None) -> bool:
    """Is a pod or DaemonSet of this name one of these workloads?"""
    return wanted is None or workload_of_pod(name) in {workload.value for workload in wanted}
