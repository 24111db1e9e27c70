"""Which facts are in this bundle?

API objects are read whole; listings and descriptions as kubectl prints them are read as far as they go; everything else is
text for the patterns. Files of unknown origin are tried as everything, since people paste.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from rancher_ext.bundle.bundle import Bundle
from rancher_ext.bundle.facts import ConditionFact, EventFact, Facts, NodeFacts, PodFacts
from rancher_ext.bundle.origin import Origin, OriginKind, origin_of
from rancher_ext.evidence.readers.cluster import cluster_facts
from rancher_ext.evidence.readers.describe import read_description
from rancher_ext.evidence.readers.log_collector import foreign_origin
from rancher_ext.evidence.readers.objects import read_objects
from rancher_ext.evidence.readers.reading import Reading
from rancher_ext.evidence.readers.tables import read_conditions, read_events, read_nodes, read_pods

_Fact = TypeVar("_Fact", ConditionFact, EventFact)

# A listing longer than this is a log that somebody renamed.
LISTING_BYTES = 32 << 20
# Of unknown origin it is tried as everything, which takes some seconds for so much.
PASTE_BYTES = 4 << 20


def read_facts(bundle: Bundle) -> Facts:
    """Everything the files say as values. Unreadable parts are simply not facts; the patterns still see their text."""
    collected_at = bundle.manifest.collected_at if bundle.manifest else None
    origins = {path: origin for path in bundle if (origin := _origin(path)).kind is not OriginKind.NOT_TEXT}
    readings = [_read(bundle, path, origin, collected_at) for path, origin in origins.items()]
    whole = Reading.joined(readings)
    pods, nodes = _merged_pods(whole.pods), _merged_nodes(whole.nodes)
    facts = Facts(
        nodes=nodes,
        pods=pods,
        daemonsets=tuple(whole.daemonsets),
        conditions=_once([*whole.conditions, *(c for node in nodes for c in node.conditions)], _condition_key),
        events=_once(whole.events, _event_key),
        objects=tuple(whole.objects),
        listed=frozenset(whole.listed),
        messages=tuple(whole.messages),
        origins=origins,
    )
    return replace(facts, cluster=cluster_facts(bundle, facts))


def _origin(path: str) -> Origin:
    origin = origin_of(path)
    return foreign_origin(path) or origin if origin.kind is OriginKind.UNKNOWN else origin


def _read(bundle: Bundle, path: str, origin: Origin, collected_at: datetime | None) -> Reading:
    file = bundle[path]
    reading = Reading()
    if file.size > (PASTE_BYTES if origin.kind is OriginKind.UNKNOWN else LISTING_BYTES):
        return reading
    match origin.kind:
        case OriginKind.OBJECT:
            read_objects(file, reading, collected_at)
        case OriginKind.EVENTS:
            read_events(file, reading, bare=True)
        case OriginKind.NODES:
            read_nodes(file, reading)
            read_description(file, reading, nameless="node")
        case OriginKind.PODS:
            read_pods(file, reading)
            read_description(file, reading, nameless="pod")
        case OriginKind.CONDITIONS:
            read_conditions(file, reading, bare=True)
        case OriginKind.UNKNOWN:
            if path.endswith((".json", ".yaml", ".yml")):
                read_objects(file, reading, collected_at)
            read_events(file, reading, bare=False)
            read_nodes(file, reading)
            read_pods(file, reading)
            read_description(file, reading, nameless=None)
        case _:
            pass
    return reading


def _once(found: Iterable[_Fact], key: Callable[[_Fact], object]) -> tuple[_Fact, ...]:
    """A row that repeats an object of the bundle is left out. Rows that repeat each other happened as often as they stand there."""
    facts = list(found)
    objects = {key(fact) for fact in facts if origin_of(fact.at.source).kind is OriginKind.OBJECT}
    return tuple(f for f in facts if origin_of(f.at.source).kind is OriginKind.OBJECT or key(f) not in objects)


def _condition_key(fact: ConditionFact) -> object:
    if fact.type is None:
        # Bare messages are told apart by their line: each was written for itself.
        return fact.at
    # A cluster goes by its id here and by its name there, and a bundle is about one cluster.
    return (
        fact.of,
        None if fact.of == "cluster" else fact.name or fact.at,
        fact.type,
        fact.status,
        " ".join(fact.message.split()),
    )


def _event_key(fact: EventFact) -> object:
    if fact.name is None:
        return fact.at
    return fact.type, fact.reason, fact.kind, fact.name, " ".join(fact.message.split()), fact.count


def _merged_pods(found: Iterable[PodFacts]) -> tuple[PodFacts, ...]:
    """One fact per pod: the API object first, a listing where there is none."""
    merged: dict[tuple[str, str | None], PodFacts] = {}
    for pod in found:
        key = (pod.name, pod.namespace)
        # A row without namespace is the same pod as one with it: pod names do not repeat in practice.
        known = key if key in merged else next((k for k in ((pod.name, None),) if k in merged), None)
        if known is None and pod.namespace is None:
            known = next((k for k in merged if k[0] == pod.name), None)
        if known is None:
            merged[key] = pod
            continue
        merged[known] = _richer(merged[known], pod)
    return tuple(merged.values())


def _richer(one: PodFacts, other: PodFacts) -> PodFacts:
    first, second = (other, one) if other.complete or (other.containers and not one.complete) else (one, other)
    known = {
        name: value
        for name in ("namespace", "node", "status", "ready", "total", "restarts", "age")
        if getattr(first, name) is None and (value := getattr(second, name)) is not None
    }
    # The STATUS column says CrashLoopBackOff where a description says only Running.
    if not first.complete and second.status and second.total is not None:
        known["status"] = second.status
    return replace(first, **known)


def _merged_nodes(found: Iterable[NodeFacts]) -> tuple[NodeFacts, ...]:
    merged: dict[str, NodeFacts] = {}
    for node in found:
        before = merged.get(node.name)
        if before is None:
            merged[node.name] = node
            continue
        first, second = (node, before) if node.complete and not before.complete else (before, node)
        known = {
            name: value
            for name in (
                "ready", "taints", "annotations", "labels", "pod_cidr", "os", "os_image", "kernel", "kubelet", "internal_ip", "age"
            )
            if getattr(first, name) is None and (value := getattr(second, name)) is not None
        }  # fmt: skip
        if not first.complete:
            known["conditions"] = (*first.conditions, *second.conditions)
            known["object"] = _deep({}, first.object, second.object)
        merged[node.name] = replace(first, **known)
    return tuple(merged.values())


def _deep(into: dict[str, object], *layers: object) -> dict[str, object]:
    for layer in layers:
        if not isinstance(layer, dict):
            continue
        for key, value in layer.items():
            present = into.get(key)
            if isinstance(value, dict):
                into[key] = _deep(dict(present) if isinstance(present, dict) else {}, value)
            elif present is None:
                into[key] = value
    return into
