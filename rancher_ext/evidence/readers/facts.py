"""Which facts are in this bundle?

API objects are read whole; listings and descriptions as kubectl prints them are read as far as they go; everything else is
text for the patterns. Files of unknown origin are tried as everything, since people paste.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from rancher_ext.bundle.bundle import Bundle, BundleFile
from rancher_ext.bundle.facts import ConditionFact, EventFact, Facts, NodeFacts, ObjectFact, Place, PodFacts
from rancher_ext.bundle.origin import Origin, OriginKind, origin_of
from rancher_ext.bundle.text import lines
from rancher_ext.evidence.readers.ascribe import ascribed, collected_at, collection_hosts, joined_to_nodes, node_names
from rancher_ext.evidence.readers.cluster import cluster_facts
from rancher_ext.evidence.readers.describe import read_description
from rancher_ext.evidence.readers.documents import holds_objects
from rancher_ext.evidence.readers.host import read_host
from rancher_ext.evidence.readers.objects import read_objects
from rancher_ext.evidence.readers.reading import Reading
from rancher_ext.evidence.readers.tables import read_conditions, read_events, read_nodes, read_pods

_Fact = TypeVar("_Fact", ConditionFact, EventFact)

# A listing longer than this is a log that somebody renamed.
LISTING_BYTES = 32 << 20
# Of unknown origin it is tried as everything, which takes some seconds for so much.
PASTE_BYTES = 4 << 20
# What the first bytes of API objects must lie within: `items` of a list come before its kind.
_HEAD = 16 << 10
_CRD_TABLE = re.compile(r"(?:^|/)kubectl/(?:crds?|customresourcedefinitions?)(?:\.txt)?$")
_CRD_ROW = re.compile(r"^(?P<name>[a-z0-9-]{1,63}\.[a-z0-9.-]{1,253})\s+\d{4}-\d\d-\d\dT[\d:]{8}Z\s*$")

# A reader is asked only where its words stand: most files of an archive are logs.
_NODE_WORDS = (b"Ready", b"Unknown")
_POD_WORDS = (b"0/", b"1/", b"2/", b"3/", b"4/", b"5/", b"6/", b"7/", b"8/", b"9/", b"kubernetes.io/", b"<none>")
_EVENT_WORDS = (b"Normal", b"Warning")
_DESCRIBED = re.compile(
    rb"^ *(?:Name|Conditions|Taints|Annotations|Labels|PodCIDRs?|Containers|Init Containers|System Info|Kernel Version|OS Image"
    rb"|Kubelet Version|Unschedulable|Controlled By|QoS Class|Last State|Restart Count|IPs|Pods Status|[A-Z][a-z]+ Number of Nodes.{0,20}):",
    re.MULTILINE,
)


def read_facts(bundle: Bundle) -> Facts:
    """Everything the files say as values. Unreadable parts are simply not facts; the patterns still see their text."""
    taken_at = collected_at(bundle)
    origins = ascribed(bundle)
    whole = Reading()
    for path, origin in origins.items():
        origins[path] = _read(bundle[path], origin, taken_at, whole)
    pods, nodes = _merged_pods(whole.pods), _merged_nodes(whole.nodes)
    nodes = _with_hosts(bundle, nodes)
    facts = Facts(
        nodes=nodes,
        pods=pods,
        daemonsets=tuple(whole.daemonsets),
        conditions=_once([*whole.conditions, *(c for node in nodes for c in node.conditions)], _condition_key, origins),
        events=_once(whole.events, _event_key, origins),
        objects=tuple(whole.objects),
        listed=frozenset(whole.listed),
        messages=tuple(whole.messages),
        origins=joined_to_nodes(origins, pods, nodes),
    )
    return replace(facts, cluster=cluster_facts(bundle, facts))


def _read(file: BundleFile, origin: Origin, taken_at: datetime | None, into: Reading) -> Origin:
    """Read one file into `into`; the origin again, or what the content shows it to be."""
    if file.size > (PASTE_BYTES if origin.kind is OriginKind.UNKNOWN else LISTING_BYTES):
        if origin.kind is not OriginKind.UNKNOWN or file.size > LISTING_BYTES:
            return origin
        if not holds_objects(file.read_bytes(_HEAD), file.path):
            return origin
    if _CRD_TABLE.search(file.path):
        _read_crds(file, into)
        return origin
    match origin.kind:
        case OriginKind.OBJECT:
            read_objects(file, into, taken_at)
        case OriginKind.EVENTS:
            read_events(file, into, bare=True)
        case OriginKind.NODES:
            read_nodes(file, into)
            read_events(file, into, bare=False)
            read_description(file, into, nameless="node")
        case OriginKind.PODS:
            read_pods(file, into)
            read_events(file, into, bare=False)
            read_description(file, into, nameless="pod")
        case OriginKind.CONDITIONS:
            read_conditions(file, into, bare=True)
        case OriginKind.UNKNOWN:
            return _read_anything(file, origin, taken_at, into)
        case _:
            pass
    return origin


def _read_anything(file: BundleFile, origin: Origin, taken_at: datetime | None, into: Reading) -> Origin:
    if holds_objects(file.read_bytes(_HEAD), file.path):
        before = len(into.objects) + len(into.events) + len(into.listed)
        read_objects(file, into, taken_at)
        if len(into.objects) + len(into.events) + len(into.listed) > before:
            return Origin(OriginKind.OBJECT)
    raw = file.read_bytes()
    if b"\0" in raw:
        # UTF-16 in the end is text, too; the words look different there.
        raw = raw.replace(b"\0", b"")
    if any(word in raw for word in _EVENT_WORDS):
        read_events(file, into, bare=False)
    if any(word in raw for word in _NODE_WORDS):
        read_nodes(file, into)
    if any(word in raw for word in _POD_WORDS):
        read_pods(file, into)
    if _DESCRIBED.search(raw):
        read_description(file, into, nameless=None)
    return origin


def _read_crds(file: BundleFile, into: Reading) -> None:
    """The names of all definitions, as a table. One error line instead of a table says nothing."""
    rows = [(number, line, _CRD_ROW.match(line)) for number, line in lines(file)]
    kind = "CustomResourceDefinition"
    for number, line, row in rows:
        if row is not None:
            named = {"kind": kind, "metadata": {"name": row["name"]}}
            into.objects.append(ObjectFact(kind, row["name"], None, named, Place(file.path, number, line)))
    if rows and rows[0][1].startswith("NAME ") and any(row is not None for _, _, row in rows):
        into.listed.add(kind)


def _with_hosts(bundle: Bundle, nodes: tuple[NodeFacts, ...]) -> tuple[NodeFacts, ...]:
    """What log collections tell of their hosts, for nodes that no listing told it of."""
    hosts = [read_host(bundle, root, name) for root, name in sorted(collection_hosts(bundle).items())]
    if not nodes:
        return _merged_nodes(host for host in hosts if host is not None)
    known = node_names(nodes)
    of_nodes = [
        replace(host, name=name)
        for host in hosts
        if host is not None and (name := known.get(host.name.lower()) or known.get(host.name.lower().partition(".")[0]))
    ]
    return _merged_nodes([*nodes, *of_nodes])


def _once(found: Iterable[_Fact], key: Callable[[_Fact], object], origins: Mapping[str, Origin]) -> tuple[_Fact, ...]:
    """A row that repeats an object of the bundle is left out, and so is one that another file has already: three nodes' log
    collections hold one list of events three times. Rows of one file that repeat each other happened as often as they stand there.
    """
    facts = list(found)

    def from_object(fact: _Fact) -> bool:
        return origins.get(fact.at.source, origin_of(fact.at.source)).kind is OriginKind.OBJECT

    objects = {key(fact) for fact in facts if from_object(fact)}
    source_of: dict[object, str] = {}
    kept = []
    for fact in facts:
        named = key(fact)
        if from_object(fact) or (
            named not in objects and source_of.setdefault(named, fact.at.source) == fact.at.source
        ):
            kept.append(fact)
    return tuple(kept)


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
        for name in ("namespace", "node", "status", "ready", "total", "restarts", "restarted", "age")
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
