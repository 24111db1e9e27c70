"""Is this predicate true, false or unknown for a bundle, and which lines show it?"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rancher_ext.bundle.bundle import Bundle
from rancher_ext.bundle.evidence import CollectorReport
from rancher_ext.bundle.facts import Facts, Place
from rancher_ext.bundle.origin import OriginKind, origin_of
from rancher_ext.bundle.text import Chunk, chunks
from rancher_ext.bundle.truth import Truth
from rancher_ext.signatures.predicate_schema import (
    SHARE,
    AbsentPredicate,
    AgePredicate,
    AllOfPredicate,
    AnyOfPredicate,
    AnyPredicate,
    ConditionPredicate,
    CountPredicate,
    DaemonSetPredicate,
    EventPredicate,
    LogPredicate,
    NeverSincePredicate,
    NodePredicate,
    ObjectPredicate,
    PodPredicate,
    SeenSincePredicate,
    Shared,
    TextPredicate,
    TogetherPredicate,
    duration_seconds,
)
from rancher_ext.signatures.scan import Hits, Scanner, Text
from rancher_ext.signatures.seen import Answers, Seen, never_since, seen_since
from rancher_ext.signatures.sources import condition_fits, event_fits
from rancher_ext.signatures.subjects import Asked, Questions

# Lines kept as evidence of one predicate.
KEPT = 4
_MESSAGES = "\0messages"

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
        self._seen = Seen(bundle, facts, self._origins, self._hits, self._questions)
        self._collectors = tuple(bundle.collectors)
        self._answers: dict[AnyPredicate, Outcome] = {}

    @property
    def collectors(self) -> Sequence[CollectorReport]:
        """What our own collectors brought, when this is a bundle of ours."""
        return self._collectors

    @property
    def seen(self) -> Seen:
        """Where and when things were seen: by node, by pod, in time."""
        return self._seen

    def evaluate(self, predicate: AnyPredicate) -> Outcome:
        """True, false or unknown; asked twice, it is answered once."""
        outcome = self._answers.get(predicate)
        if outcome is None:
            outcome = self._answers[predicate] = self._evaluate(predicate)
        return outcome

    def _evaluate(self, predicate: AnyPredicate) -> Outcome:
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
            case AnyOfPredicate():
                return self._any_of(predicate)
            case AllOfPredicate():
                return self._all_of(predicate)
            case TogetherPredicate():
                return self._together(predicate)
            case NeverSincePredicate():
                return _in_time(predicate, never_since(self._seen, predicate.never_since))
            case SeenSincePredicate():
                return _in_time(predicate, seen_since(self._seen, predicate.seen_since))

    def _log(self, predicate: LogPredicate) -> Outcome:
        tally = _Tally()
        fits = self._seen.fitting(predicate)
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
            tally.add(condition_fits(fact, where), 1, (fact.at,))
        return tally.outcome(predicate.needed)

    def _event(self, predicate: EventPredicate) -> Outcome:
        where, tally = predicate.event, _Tally(looked=bool(self._facts.events) or "Event" in self._facts.listed)
        for fact in self._facts.events:
            tally.add(event_fits(fact, where), fact.count, (fact.at,))
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

    def _any_of(self, predicate: AnyOfPredicate) -> Outcome:
        inner = [self.evaluate(each) for each in predicate.any]
        fitting = [outcome for outcome in inner if outcome.truth is Truth.TRUE]
        open_ = sum(outcome.truth is Truth.UNKNOWN for outcome in inner)
        if len(fitting) >= predicate.needed:
            sure = sum(outcome.certain for outcome in fitting) >= predicate.needed
            return Outcome(Truth.TRUE, _places(fitting), len(fitting), certain=sure)
        return Outcome(Truth.UNKNOWN if len(fitting) + open_ >= predicate.needed else Truth.FALSE, count=len(fitting))

    def _all_of(self, predicate: AllOfPredicate) -> Outcome:
        inner = [self.evaluate(each) for each in predicate.all]
        truth = Truth.all(outcome.truth for outcome in inner)
        if truth is not Truth.TRUE:
            return Outcome(truth)
        return Outcome(truth, _places(inner), len(inner), certain=all(outcome.certain for outcome in inner))

    def _together(self, predicate: TogetherPredicate) -> Outcome:
        where = predicate.together
        answers = self._seen.all_of(where.all, where.by)
        asked = Asked(listed=bool(answers))
        for name in sorted(answers):
            asked.note(name, answers[name].truth, answers[name].places)
        return _shared(predicate, asked)


def _in_time(predicate: Shared, answers: Answers) -> Outcome:
    asked = Asked()
    for name, answer in answers.items():
        asked.note(name, answer.truth, answer.places)
    asked.listed = asked.no > 0 or asked.yes > 0
    return _shared(predicate, asked)


def _places(outcomes: Iterable[Outcome]) -> tuple[Place, ...]:
    """A line or two of each, so that none goes unseen."""
    each = [outcome.evidence for outcome in outcomes if outcome.evidence]
    share = max(1, KEPT // max(1, len(each)))
    return tuple(place for evidence in each for place in evidence[:share])


def _reader(bundle: Bundle, path: str) -> Callable[[], Iterator[Chunk]]:
    def read() -> Iterator[Chunk]:
        return chunks(bundle[path])

    return read


def _message_chunk(facts: Facts) -> Iterator[Chunk]:
    """Messages inside objects as one text: line N is message N."""
    text = "\n".join(" ".join(message.splitlines()) for message, _ in facts.messages).encode("utf-8", "replace")
    yield Chunk(1, text, re.sub(rb'\\+"', b'"', text))


def _counted(asked: Asked, needed: int) -> Outcome:
    if asked.yes >= needed:
        return Outcome(Truth.TRUE, _shown(asked), asked.yes)
    could_be = asked.yes + asked.unknown >= needed
    could_know = asked.listed or asked.no or asked.yes
    return Outcome(Truth.UNKNOWN if (asked.unknown and could_be) or not could_know else Truth.FALSE, count=asked.yes)


def _shown(asked: Asked) -> tuple[Place, ...]:
    """One line of each that says yes; when there is one only, all its lines."""
    if len(asked.places) == 1:
        return asked.places[0][:KEPT]
    return tuple(places[0] for places in asked.places if places)[:KEPT]


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
    known = asked.yes + asked.no
    assert match is not None
    if not known:
        return _UNKNOWN
    fits = _COMPARE[match[1]](100 * asked.yes, int(match[2]) * known)
    fits = fits and asked.yes >= (predicate.at_least or 0)
    return Outcome(Truth.of(fits), _shown(asked) if fits else (), asked.yes)
