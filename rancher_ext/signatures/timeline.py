"""What happened when? The few moments of a failure that its evidence dates, in order."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from rancher_ext.bundle.facts import Facts, NodeFacts, Place
from rancher_ext.bundle.origin import Origin, OriginKind, workload_of_pod
from rancher_ext.signatures.times import Clock, Moment, event_moments, in_one_calendar, moment_of

# A timeline that does not fit on a screen is a log.
SHOWN = 12
_TEXT = 160
# What of the cluster's conditions tells how far it came.
_TELLING = frozenset({"Waiting", "Ready", "Connected", "Provisioned", "Updated", "Reconciled", "AgentDeployed"})
# What stands before the message: runtime or journal stamp with host and unit, klog's header, logrus's keys.
_BEFORE = (
    re.compile(r"^\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d\S*\s+(?:std(?:out|err) [FP] )?"),
    re.compile(r"^[A-Z][a-z]{2} {1,2}\d{1,2} \d\d:\d\d:\d\d\S* (?:\S+ [\w@.-]+(?:\[\d+\])?: )?"),
    re.compile(r"^[IWEF]\d{4} \d\d:\d\d:\d\d\.\d+\s+\d+ (?:[\w.-]+\.go:\d+\] )?"),
    re.compile(r"^time=\"[^\"]{8,40}\" level=\w+ (?:msg=)?"),
)
# Digits, and the last part of a pod's name: what differs between a hundred pods that fail alike.
_VARIABLE = re.compile(r"(?<=-)[a-z0-9]{5}\b|\d+")


@dataclass(frozen=True)
class TimelineEntry:
    """`finding` names the signature whose evidence this is; `alike` counts entries that say the same elsewhere."""

    moment: Moment
    text: str
    source: str
    line: int
    finding: str | None = None
    alike: int = 0

    def to_json(self) -> dict[str, Any]:
        moment = self.moment
        dated = moment.year and moment.clock is not Clock.BEFORE_COLLECTION
        iso = moment.at.replace(microsecond=0, tzinfo=None).isoformat() if dated else None
        return {
            "at": f"{iso}Z" if iso and moment.clock is Clock.UTC else iso,
            "when": moment.to_text(),
            "text": self.text,
            "source": self.source,
            "line": self.line,
            "finding": self.finding,
            "alike": self.alike,
        }


def timeline(
    evidence: Iterable[tuple[str, Iterable[Place]]], facts: Facts, collected_at: datetime | None
) -> tuple[TimelineEntry, ...]:
    """Lines of the findings first, then what the cluster, its nodes and its network's pods say; at most SHOWN entries."""
    read = {(entry.source, entry.line): entry for entry in _facts(facts, collected_at)}
    entries: dict[str, TimelineEntry] = {}
    taken: set[tuple[str, int]] = set()
    for entry in (*_lines(evidence, read, facts), *(read[place] for place in read)):
        if (entry.source, entry.line) in taken:
            continue
        taken.add((entry.source, entry.line))
        alike = _VARIABLE.sub("0", entry.text)
        first = entries.get(alike)
        entries[alike] = entry if first is None else _joined(first, entry)
    chosen = list(entries.values())[:SHOWN]
    order = {id(moment): at for moment, at in in_one_calendar(entry.moment for entry in chosen)}
    # What is known as an age only cannot be sorted in; it stands last.
    return tuple(
        sorted(chosen, key=lambda e: (e.moment.clock is Clock.BEFORE_COLLECTION, order[id(e.moment)], e.source, e.line))
    )


def _joined(first: TimelineEntry, other: TimelineEntry) -> TimelineEntry:
    """The earlier of two that say the same."""
    earlier = other if other.moment.at < first.moment.at else first
    return replace(earlier, finding=first.finding, alike=first.alike + 1)


def _lines(
    evidence: Iterable[tuple[str, Iterable[Place]]], read: Mapping[tuple[str, int], TimelineEntry], facts: Facts
) -> Iterator[TimelineEntry]:
    for signature, places in evidence:
        for place in places:
            known = read.get((place.source, place.line))
            if known is not None:
                yield replace(known, finding=signature)
            elif (moment := moment_of(place.text)) is not None:
                who = _who(facts.origins.get(place.source))
                yield TimelineEntry(moment, _short(who + _words(place.text)), place.source, place.line, signature)


def _who(origin: Origin | None) -> str:
    if origin is None or origin.kind not in {OriginKind.CONTAINER, OriginKind.UNIT}:
        return ""
    if origin.kind is OriginKind.UNIT:
        return f"{origin.unit} on {origin.node}: " if origin.node else f"{origin.unit}: "
    return f"{origin.pod}/{origin.container}: " if origin.container else f"{origin.pod}: "


def _facts(facts: Facts, collected_at: datetime | None) -> Iterator[TimelineEntry]:
    for condition in facts.conditions:
        if condition.type is None or not (condition.of == "cluster" or condition.type in _TELLING):
            continue
        if condition.of in {"cluster", "any"} and (moment := moment_of(condition.at.text)) is not None:
            said = f": {condition.message}" if condition.message else ""
            text = _short(f"cluster: {condition.type} is {condition.status}{said}")
            yield TimelineEntry(moment, text, condition.at.source, condition.at.line)
    for node in facts.nodes:
        yield from _node(node)
    for event in facts.events:
        concerns = event.kind == "Node" or (event.kind == "Pod" and workload_of_pod(event.name or "") == "cni")
        first, _ = event_moments(event, collected_at)
        if event.type == "Warning" and concerns and first is not None:
            times = f" ({event.count} times)" if event.count > 1 else ""
            text = _short(f"{event.kind} {event.name}: {event.reason}{times}: {event.message}")
            yield TimelineEntry(first, text, event.at.source, event.at.line)


def _node(node: NodeFacts) -> Iterator[TimelineEntry]:
    status = node.object.get("status")
    conditions = status.get("conditions") if isinstance(status, Mapping) else None
    for condition in conditions if isinstance(conditions, list) else ():
        if not isinstance(condition, Mapping) or condition.get("type") != "Ready":
            continue
        moment = moment_of(str(condition.get("lastTransitionTime") or ""))
        if moment is not None:
            reason = f" ({condition.get('reason')})" if condition.get("reason") else ""
            text = f"node {node.name}: Ready is {condition.get('status')}{reason}"
            yield TimelineEntry(moment, _short(text), node.at.source, node.at.line)


def _words(text: str) -> str:
    """A line without the stamps that the entry's own time repeats."""
    for before in _BEFORE:
        text = before.sub("", text.lstrip(), count=1)
    return text


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _TEXT else text[: _TEXT - 1] + "…"
