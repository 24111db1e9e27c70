"""On which node, in which pod, and when was something seen?

Predicates are answered for the whole bundle. What concerns one node or pod at a time, and what concerns time, is answered
here: `together`, `never_since`, and the nodes that a finding names.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from rancher_ext.bundle.bundle import Bundle
from rancher_ext.bundle.facts import Facts, Place
from rancher_ext.bundle.origin import Origin
from rancher_ext.bundle.truth import Truth
from rancher_ext.signatures.places import Places
from rancher_ext.signatures.predicate_schema import (
    AbsentPredicate,
    AllOfPredicate,
    AnyOfPredicate,
    AnyPredicate,
    ConditionPredicate,
    EventPredicate,
    From,
    LogPredicate,
    NeverSincePredicate,
    NeverSinceWhere,
    NodePredicate,
    PodPredicate,
    SeenSincePredicate,
    SinceWhere,
    TextPredicate,
    TogetherPredicate,
    duration_seconds,
)
from rancher_ext.signatures.scan import Found, Hits
from rancher_ext.signatures.sources import LOG_KINDS, condition_fits, event_fits, fits_from
from rancher_ext.signatures.subjects import Questions
from rancher_ext.signatures.times import Moment, after, difference, event_moments, moment_of

_WHOLE = ""


@dataclass(frozen=True)
class Answer:
    """What one node or pod says."""

    truth: Truth
    places: tuple[Place, ...] = ()


Answers = dict[str, Answer]
_UNKNOWN = Answer(Truth.UNKNOWN)


@dataclass(frozen=True)
class Occurrence:
    """Something happened: on which node or in which pod, where it stands, and from when to when, as far as that is known."""

    key: str
    place: Place
    first: Moment | None
    last: Moment | None
    certain: bool


class Seen:
    """What was found in a bundle, by node, by pod and in time."""

    def __init__(
        self, bundle: Bundle, facts: Facts, origins: Mapping[str, Origin], hits: Hits, questions: Questions
    ) -> None:
        self._facts = facts
        self._origins = origins
        self._places = Places(facts, origins)
        self._hits = hits
        self._questions = questions
        self._fits: dict[tuple[From, ...] | None, Mapping[str, Truth]] = {}
        self.collected_at = bundle.manifest.collected_at if bundle.manifest else None

    @property
    def nodes(self) -> tuple[str, ...]:
        """Every node that the evidence names."""
        return self._places.nodes

    # -- by node or pod ------------------------------------------------------------------------------------------------

    def by(self, predicate: AnyPredicate, on: str) -> Answers:
        """The answer for each node or pod that the predicate can be ascribed to; empty when it cannot."""
        match predicate:
            case LogPredicate():
                return self._by_lines(predicate.log, predicate, on)
            case TextPredicate():
                return self._by_lines(predicate.text, predicate, on)
            case EventPredicate():
                return self._by_event(predicate, on)
            case ConditionPredicate():
                return self._by_condition(predicate, on)
            case PodPredicate():
                return self._by_pod(predicate, on)
            case NodePredicate():
                return self._by_node(predicate, on)
            case AbsentPredicate():
                return {key: Answer(~each.truth) for key, each in self.by(predicate.absent, on).items()}
            case AnyOfPredicate():
                return self._some_of(predicate, on)
            case AllOfPredicate():
                return self.all_of(predicate.all, on)
            case TogetherPredicate() if predicate.together.by == on:
                return self.all_of(predicate.together.all, on)
            case NeverSincePredicate() if predicate.never_since.by == on:
                return never_since(self, predicate.never_since)
            case SeenSincePredicate() if predicate.seen_since.by == on:
                return seen_since(self, predicate.seen_since)
        return {}

    def all_of(self, predicates: Iterable[AnyPredicate], on: str) -> Answers:
        """Those for which all hold."""
        each = [self.by(predicate, on) for predicate in predicates]
        names = dict.fromkeys(name for answers in each for name in answers)
        joined: Answers = {}
        for name in names:
            own = [answers.get(name, _UNKNOWN) for answers in each]
            joined[name] = Answer(Truth.all(a.truth for a in own), tuple(p for a in own for p in a.places[:1]))
        return joined

    def _some_of(self, predicate: AnyOfPredicate, on: str) -> Answers:
        each = [self.by(inner, on) for inner in predicate.any]
        joined: Answers = {}
        for name in dict.fromkeys(name for answers in each for name in answers):
            own = [answers.get(name, _UNKNOWN) for answers in each]
            yes = [a for a in own if a.truth is Truth.TRUE]
            open_ = sum(a.truth is Truth.UNKNOWN for a in own)
            enough = len(yes) >= predicate.needed
            could = len(yes) + open_ >= predicate.needed
            truth = Truth.TRUE if enough else Truth.UNKNOWN if could else Truth.FALSE
            joined[name] = Answer(truth, tuple(p for a in yes for p in a.places[:1]))
        return joined

    def _by_lines(self, patterns: Sequence[str], predicate: LogPredicate | TextPredicate, on: str) -> Answers:
        counts: dict[str, int] = {}
        doubtful: set[str] = set()
        looked: set[str] = set()
        places: dict[str, list[Place]] = {}
        fits = self.fitting(predicate)
        for path, truth in fits.items():
            if truth is Truth.TRUE and (key := self._places.of_log(path, on)) is not None:
                looked.add(key)
        for pattern in patterns:
            for path, found in self._hits.of(pattern).items():
                key = self._places.of_log(path, on) if path in fits else None
                if key is None or fits[path] is Truth.FALSE:
                    continue
                if fits[path] is Truth.UNKNOWN:
                    doubtful.add(key)
                    continue
                counts[key] = counts.get(key, 0) + found.count
                places.setdefault(key, []).extend(Place(path, line.number, line.text) for line in found.lines)
        answers: Answers = {}
        for key in looked | doubtful:
            if counts.get(key, 0) >= predicate.needed:
                answers[key] = Answer(Truth.TRUE, tuple(places[key]))
            else:
                answers[key] = Answer(Truth.UNKNOWN if key in doubtful else Truth.FALSE)
        return answers

    def fitting(self, predicate: LogPredicate | TextPredicate) -> Mapping[str, Truth]:
        """Which logs lines of this predicate may come from. Asked for every finding, computed once for each `from`."""
        wanted = predicate.from_ if isinstance(predicate, LogPredicate) else None
        fits = self._fits.get(wanted)
        if fits is None:
            distribution = self._facts.cluster.distribution
            fits = self._fits[wanted] = {
                path: fits_from(origin, wanted, distribution)
                for path, origin in self._origins.items()
                if origin.kind in LOG_KINDS
            }
        return fits

    def _by_event(self, predicate: EventPredicate, on: str) -> Answers:
        counts: dict[str, int] = {}
        open_: set[str] = set()
        places: dict[str, list[Place]] = {}
        for fact in self._facts.events:
            key = self._places.of_event(fact, on)
            fits = event_fits(fact, predicate.event)
            if key is None or fits is Truth.FALSE:
                continue
            if fits is Truth.UNKNOWN:
                open_.add(key)
            else:
                counts[key] = counts.get(key, 0) + fact.count
                places.setdefault(key, []).append(fact.at)
        if not self._events_listed:
            return {}
        answers: Answers = {}
        for name in dict.fromkeys([*self._places.names(on), *counts, *open_]):
            if counts.get(name, 0) >= predicate.needed:
                answers[name] = Answer(Truth.TRUE, tuple(places[name]))
            else:
                answers[name] = Answer(Truth.UNKNOWN if name in open_ else Truth.FALSE)
        return answers

    @property
    def _events_listed(self) -> bool:
        """An empty listing is an answer, too."""
        return bool(self._facts.events) or "Event" in self._facts.listed

    def _by_condition(self, predicate: ConditionPredicate, on: str) -> Answers:
        if on == "pod" or predicate.condition.of not in {"node", "any"}:
            return {}
        answers: Answers = {}
        for node in self._facts.nodes:
            fitting = [c for c in node.conditions if condition_fits(c, predicate.condition) is Truth.TRUE]
            if len(fitting) >= predicate.needed:
                answers[node.name] = Answer(Truth.TRUE, tuple(c.at for c in fitting))
            elif node.conditions:
                answers[node.name] = Answer(Truth.FALSE)
        return answers

    def _by_pod(self, predicate: PodPredicate, on: str) -> Answers:
        own = {
            name: Answer(truth, places if truth is Truth.TRUE else ())
            for name, (truth, places) in self._questions.answers(predicate).by_name.items()
        }
        if on == "pod":
            return own
        by_node: dict[str, list[Answer]] = {}
        for name, each in own.items():
            if (node := self._places.node_of.get(name)) is not None:
                by_node.setdefault(node, []).append(each)
        answers: Answers = {}
        for node, here in by_node.items():
            yes = [each for each in here if each.truth is Truth.TRUE]
            enough = len(yes) >= predicate.needed
            could = len(yes) + sum(each.truth is Truth.UNKNOWN for each in here) >= predicate.needed
            truth = Truth.TRUE if enough else Truth.UNKNOWN if could else Truth.FALSE
            answers[node] = Answer(truth, tuple(place for each in yes for place in each.places))
        return answers

    def _by_node(self, predicate: NodePredicate, on: str) -> Answers:
        own = {
            name: Answer(truth, places if truth is Truth.TRUE else ())
            for name, (truth, places) in self._questions.answers(predicate).by_name.items()
        }
        if on == "node":
            return own
        return {pod: own[node] for pod, node in self._places.node_of.items() if node in own}

    # -- in time -------------------------------------------------------------------------------------------------------

    def occurrences(self, predicate: AnyPredicate, on: str) -> Iterator[Occurrence]:
        """When a log line or an event was seen: of lines that repeat, the first ones and the last one of each file."""
        match predicate:
            case LogPredicate():
                fits = self.fitting(predicate)
                for pattern in predicate.log:
                    for path, found in self._hits.of(pattern).items():
                        if path in fits and fits[path] is not Truth.FALSE:
                            yield from self._lines(path, found, on, certain=fits[path] is Truth.TRUE)
            case EventPredicate():
                for fact in self._facts.events:
                    fitting = event_fits(fact, predicate.event)
                    key = self._places.of_event(fact, on) if on != "cluster" else _WHOLE
                    if fitting is not Truth.FALSE and key is not None:
                        first, last = event_moments(fact, self.collected_at)
                        yield Occurrence(key, fact.at, first, last, fitting is Truth.TRUE)
            case AnyOfPredicate():
                for each in predicate.any:
                    yield from self.occurrences(each, on)

    def _lines(self, path: str, found: Found, on: str, *, certain: bool) -> Iterator[Occurrence]:
        key = self._places.of_log(path, on) if on != "cluster" else _WHOLE
        if key is None:
            return
        places = [Place(path, line.number, line.text) for line in found.lines]
        if found.last is not None:
            places.append(Place(path, found.last.number, found.last.text))
        for place in places:
            moment = moment_of(place.text)
            yield Occurrence(key, place, moment, moment, certain)

    def could_show(self, predicate: AnyPredicate, on: str, key: str) -> bool:
        """Is there evidence in which such a thing would stand, had it happened?"""
        match predicate:
            case LogPredicate():
                return any(
                    truth is Truth.TRUE and (on == "cluster" or self._places.of_log(path, on) == key)
                    for path, truth in self.fitting(predicate).items()
                )
            case EventPredicate():
                return self._events_listed
            case AnyOfPredicate():
                return all(self.could_show(each, on, key) for each in predicate.any)
        return False


def never_since(seen: Seen, where: NeverSinceWhere) -> Answers:
    """For the cluster, or for each node or pod that failed: was there no success after the first failure?"""
    failures, successes = _both(seen, where)
    answers: Answers = {}
    for key, failed in failures.items():
        checks = [~_worked_later(failed, successes.get(key, ())), _lasted(failed, where.lasting)]
        if not any(failure.certain for failure in failed) or not seen.could_show(where.of, where.by, key):
            checks.append(Truth.UNKNOWN)
        answers[key] = Answer(Truth.all(checks), tuple(failure.place for failure in failed))
    return answers or _no_failure(seen, where)


def seen_since(seen: Seen, where: SinceWhere) -> Answers:
    """For the cluster, or for each node or pod that failed: was there a success after the first failure?"""
    failures, successes = _both(seen, where)
    answers: Answers = {}
    for key, failed in failures.items():
        worked = [each for each in successes.get(key, ()) if _worked_later(failed, [each]) is Truth.TRUE]
        later = _worked_later(failed, successes.get(key, ()))
        if later is Truth.FALSE and not seen.could_show(where.of, where.by, key):
            later = Truth.UNKNOWN
        answers[key] = Answer(later, (failed[0].place, *(each.place for each in worked)))
    return answers or _no_failure(seen, where)


def _both(seen: Seen, where: SinceWhere) -> tuple[dict[str, list[Occurrence]], dict[str, list[Occurrence]]]:
    """Failures and successes by node or pod."""
    sorted_: tuple[dict[str, list[Occurrence]], dict[str, list[Occurrence]]] = ({}, {})
    for found, predicate in zip(sorted_, (where.since, where.of), strict=True):
        for occurrence in seen.occurrences(predicate, where.by):
            found.setdefault(occurrence.key, []).append(occurrence)
    return sorted_


def _no_failure(seen: Seen, where: SinceWhere) -> Answers:
    """Nothing failed: known where it would have been seen."""
    known = where.by == "cluster" and seen.could_show(where.since, where.by, _WHOLE)
    return {_WHOLE: Answer(Truth.FALSE)} if known else {}


def _worked_later(failed: Sequence[Occurrence], successes: Iterable[Occurrence]) -> Truth:
    return Truth.any(
        _later(failure, success) if success.certain else Truth.all([Truth.UNKNOWN, _later(failure, success)])
        for success in successes
        for failure in failed
    )


def _later(failure: Occurrence, success: Occurrence) -> Truth:
    """Did the success come after the failure had begun? In one file, lines tell where times do not."""
    told = after(failure.first, success.last)
    if told is Truth.UNKNOWN and failure.place.source == success.place.source and success.last is None:
        return Truth.of(success.place.line > failure.place.line)
    return told


def _lasted(failed: Sequence[Occurrence], wanted: str | None) -> Truth:
    if wanted is None:
        return Truth.TRUE
    spans = [
        apart
        for one in failed
        for other in failed
        if one.first is not None and other.last is not None and (apart := difference(one.first, other.last)) is not None
    ]
    return Truth.of(max(spans) >= timedelta(seconds=duration_seconds(wanted)) if spans else None)
