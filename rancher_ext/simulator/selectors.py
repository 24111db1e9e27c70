"""Does an object match a labelSelector or a fieldSelector?

Models equality and set based label selectors in full. Field selectors know `metadata.name` and `metadata.namespace`
everywhere and, for built-in kinds, the fields the API server really indexes; any other field is a 400 there and here. Which
words the 400 has depends on who looks: kinds with a conversion of their own (those with indexed fields, Services) and custom
kinds, Jobs, and all others each have a sentence (kube-apiserver 1.32).
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from rancher_ext.simulator.status import bad_request

Json = dict[str, Any]
Match = Callable[[Json], bool]

_SET = re.compile(r"^\s*(?P<key>[^\s!=,()]+)\s+(?P<op>in|notin)\s+\((?P<values>[^)]*)\)\s*$")
_EQUAL = re.compile(r"^\s*(?P<key>[^\s!=,()]+)\s*(?P<op>==|=|!=)\s*(?P<value>[^\s,()=!]*)\s*$")
_EXISTS = re.compile(r"^\s*(?P<no>!?)\s*(?P<key>[^\s!=,()]+)\s*$")

FIELDS: Mapping[str, frozenset[str]] = {
    "Pod": frozenset(
        {
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        }
    ),
    "Service": frozenset({"spec.clusterIP", "spec.type"}),
    "Secret": frozenset({"type"}),
    "Node": frozenset({"spec.unschedulable"}),
    "Namespace": frozenset({"status.phase"}),
    "Job": frozenset({"status.successful"}),
    "Event": frozenset(
        {
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        }
    ),
}


def _split(selector: str) -> list[str]:
    """At commas, but not at those inside `in (a, b)`."""
    parts, depth, start = [], 0, 0
    for i, c in enumerate(selector):
        depth += (c == "(") - (c == ")")
        if c == "," and depth == 0:
            parts.append(selector[start:i])
            start = i + 1
    return [p for p in [*parts, selector[start:]] if p.strip()]


def _label_requirement(text: str) -> Callable[[Mapping[str, str]], bool]:
    if m := _SET.match(text):
        key, values = m["key"], {v.strip() for v in m["values"].split(",")}
        if m["op"] == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if m := _EQUAL.match(text):
        key, value = m["key"], m["value"]
        if m["op"] == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if m := _EXISTS.match(text):
        key, absent = m["key"], bool(m["no"])
        return lambda labels: (key in labels) != absent
    raise bad_request(f"unable to parse requirement: {text!r}")


def label_selector(text: str) -> Match | None:
    requirements = [_label_requirement(part) for part in _split(text)]
    if not requirements:
        return None

    def match(obj: Json) -> bool:
        labels = obj["metadata"].get("labels") or {}
        return all(r(labels) for r in requirements)

    return match


def _field(obj: Json, path: str) -> str:
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _unknown_field(field: str, kind: str, *, custom: bool) -> str:
    if kind == "Job" and not custom:
        return f'field label "{field}" not supported for Job'
    if custom or kind in FIELDS:
        return f"field label not supported: {field}"
    return f'"{field}" is not a known field selector: only "metadata.name", "metadata.namespace"'


def field_selector(text: str, kind: str, *, custom: bool = False) -> Match | None:
    wanted: list[tuple[str, str, bool]] = []
    for part in _split(text):
        m = _EQUAL.match(part)
        if not m:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        known = frozenset() if custom else FIELDS.get(kind, frozenset())
        if m["key"] not in known and m["key"] not in {"metadata.name", "metadata.namespace"}:
            raise bad_request(_unknown_field(m["key"], kind, custom=custom))
        wanted.append((m["key"], m["value"], m["op"] != "!="))
    if not wanted:
        return None
    return lambda obj: all((_field(obj, key) == value) is equal for key, value, equal in wanted)
