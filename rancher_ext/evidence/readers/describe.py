"""What does a `kubectl describe` of a node, pod or DaemonSet say, whole or in part?

A description is cut into blocks at its `Name:` lines. What a block describes is told by the fields that only one kind has.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from rancher_ext.bundle.bundle import BundleFile
from rancher_ext.bundle.facts import ConditionFact, ContainerFacts, DaemonSetFacts, NodeFacts, Place, PodFacts, Taint
from rancher_ext.bundle.text import excerpt, lines
from rancher_ext.evidence.readers.reading import Reading
from rancher_ext.evidence.readers.tables import condition_row

_FIELD = re.compile(r"^(?P<indent> *)(?P<key>[A-Z][A-Za-z-]*(?: [A-Z]?[A-Za-z-]+){0,7}):\s*(?P<value>.*)$")
_NODE_FIELDS = {
    "Taints",
    "PodCIDR",
    "PodCIDRs",
    "Kernel Version",
    "OS Image",
    "Kubelet Version",
    "System Info",
    "Unschedulable",
}
_POD_FIELDS = {"Containers", "Init Containers", "Controlled By", "QoS Class", "Last State", "Restart Count", "IPs"}
_DAEMONSET_FIELDS = {"Desired Number of Nodes Scheduled", "Current Number of Nodes Scheduled", "Pods Status"}
_CONTAINER_NAME = re.compile(r"^ {1,4}(?P<name>[a-z0-9][a-z0-9-]{0,62}):\s*$")
_KEYED = re.compile(r"^(?:\s*)(?P<key>[a-z0-9A-Z][\w./-]{0,250}/?[\w.-]{0,63})(?P<by>[:=])\s?(?P<value>.*)$")


@dataclass
class _Block:
    lines: list[tuple[int, str]] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)


def read_description(file: BundleFile, into: Reading, nameless: str | None) -> None:
    """`nameless` is what a block without name and without telling fields describes; None for nothing."""
    for block in _blocks(file):
        if block.keys & _DAEMONSET_FIELDS:
            into.daemonsets.append(_daemonset(file.path, block))
        elif block.keys & _POD_FIELDS:
            if (pod := _pod(file.path, block)) is not None:
                into.pods.append(pod)
        elif (block.keys & _NODE_FIELDS or nameless == "node") and (node := _node(file.path, block)) is not None:
            into.nodes.append(node)


def _blocks(file: BundleFile) -> Iterator[_Block]:
    block = _Block()
    for number, line in lines(file):
        found = _FIELD.match(line)
        if found is not None and found["key"] == "Name" and not found["indent"] and block.lines:
            yield block
            block = _Block()
        block.lines.append((number, line))
        if found is not None:
            block.keys.add(found["key"])
    if block.lines:
        yield block


def _fields(block: _Block) -> dict[str, tuple[int, str]]:
    """Every `Key: value` of the block, the first of each."""
    found: dict[str, tuple[int, str]] = {}
    for number, line in block.lines:
        if (entry := _FIELD.match(line)) is not None:
            found.setdefault(entry["key"], (number, entry["value"].strip()))
    return found


def _node(path: str, block: _Block) -> NodeFacts | None:
    fields = _fields(block)
    name = fields.get("Name", (0, ""))[1]
    conditions = tuple(
        condition
        for number, line in block.lines
        if (condition := condition_row(line, Place(path, number, excerpt(line)), of="node")) is not None
    )
    conditions = tuple(
        ConditionFact(
            of="node", name=name or None, type=c.type, status=c.status, reason=c.reason, message=c.message, at=c.at
        )
        for c in conditions
    )
    values = {key: fields[key][1] for key in fields}
    keyed = {key: _keyed(block, key) for key in ("Labels", "Annotations")}
    if not name and not conditions and not (set(values) & (_NODE_FIELDS | {"Annotations", "Labels"})):
        return None
    taints = _taints(block)
    ready = next((c.status for c in conditions if c.type == "Ready"), None)
    info = {
        json_key: values[key]
        for key, json_key in (
            ("OS Image", "osImage"),
            ("Kernel Version", "kernelVersion"),
            ("Kubelet Version", "kubeletVersion"),
            ("Container Runtime Version", "containerRuntimeVersion"),
            ("Operating System", "operatingSystem"),
            ("Architecture", "architecture"),
        )
        if values.get(key)
    }
    spec: dict[str, object] = {}
    if values.get("PodCIDR"):
        spec["podCIDR"] = values["PodCIDR"]
    if taints is not None:
        spec["taints"] = [{"key": t.key, "value": t.value, "effect": t.effect} for t in taints]
    status: dict[str, object] = {"nodeInfo": info} if info else {}
    if conditions:
        status["conditions"] = [
            {"type": c.type, "status": c.status, "reason": c.reason, "message": c.message} for c in conditions
        ]
    telling = next((fields[key] for key in ("Name", "OS Image", "Taints", "PodCIDR") if key in fields), None)
    at = conditions[0].at if conditions else Place(path, *(telling or block.lines[0]))
    whole = next((line for number, line in block.lines if number == at.line), at.text)
    return NodeFacts(
        name=name,
        ready=ready,
        conditions=conditions,
        taints=taints,
        annotations=keyed["Annotations"],
        labels=keyed["Labels"],
        pod_cidr=values.get("PodCIDR") or None,
        os=values.get("Operating System") or None,
        os_image=values.get("OS Image") or None,
        kernel=values.get("Kernel Version") or None,
        kubelet=values.get("Kubelet Version") or None,
        internal_ip=values.get("InternalIP") or None,
        object={
            "metadata": {"name": name} | {k.lower(): v for k, v in keyed.items() if v is not None},
            "spec": spec,
            "status": status,
        },
        at=Place(path, at.line, excerpt(whole)),
    )


def _section(block: _Block, key: str) -> list[str] | None:
    """A field's own value and the lines that continue it, or None when the block has no such field."""
    values: list[str] = []
    for _, line in block.lines:
        found = _FIELD.match(line)
        if values:
            # Continuations are indented as deep as the value; the next field is not.
            if (found is not None and not found["indent"]) or not line.startswith("   "):
                break
            values.append(line.strip())
        elif found is not None and found["key"] == key and not found["indent"]:
            values.append(found["value"].strip())
    return values or None


def _keyed(block: _Block, key: str) -> dict[str, str] | None:
    section = _section(block, key)
    if section is None:
        return None
    found = (_KEYED.match(line) for line in section)
    return {entry["key"]: entry["value"].strip() for entry in found if entry is not None}


def _taints(block: _Block) -> tuple[Taint, ...] | None:
    section = _section(block, "Taints")
    if section is None:
        return None
    taints = []
    for line in section:
        key, colon, effect = line.rpartition(":")
        if colon and effect in {"NoSchedule", "NoExecute", "PreferNoSchedule"}:
            name, _, value = key.partition("=")
            taints.append(Taint(name, value, effect))
    return tuple(taints)


def _number(text: str) -> int | None:
    digits = re.match(r"-?\d{1,9}", text)
    return int(digits[0]) if digits else None


def _daemonset(path: str, block: _Block) -> DaemonSetFacts:
    fields = _fields(block)

    def count(key: str) -> int | None:
        return _number(fields[key][1]) if key in fields else None

    name = fields.get("Name", (0, ""))[1]
    number = fields.get("Desired Number of Nodes Scheduled", fields.get("Name", block.lines[0]))[0]
    available = count("Number of Nodes Scheduled with Available Pods")
    return DaemonSetFacts(
        name=name,
        namespace=fields.get("Namespace", (0, ""))[1] or None,
        desired=count("Desired Number of Nodes Scheduled"),
        current=count("Current Number of Nodes Scheduled"),
        ready=available,
        available=available,
        misscheduled=count("Number of Nodes Misscheduled"),
        object={"metadata": {"name": name}},
        at=Place(path, number, excerpt(next(line for n, line in block.lines if n == number))),
    )


def _pod(path: str, block: _Block) -> PodFacts | None:
    fields = _fields(block)
    name = fields.get("Name", (0, ""))[1]
    containers = tuple(_containers(block))
    if not name and not containers:
        return None
    node = fields.get("Node", (0, ""))[1].partition("/")[0]
    regular = [container for container in containers if not container.init]
    status = fields.get("Status", (0, ""))[1]
    waiting = next((c.reason for c in containers if c.state == "waiting" and c.reason), None)
    known = {"metadata": {"name": name}, "spec": {"nodeName": node} if node and node != "<none>" else {}}
    number = fields.get("Name", block.lines[0])[0]
    return PodFacts(
        name=name,
        namespace=fields.get("Namespace", (0, ""))[1] or None,
        node=node if node and node != "<none>" else None,
        status=waiting or status or None,
        ready=sum(bool(c.ready) for c in regular) if regular and all(c.ready is not None for c in regular) else None,
        total=len(regular) or None,
        restarts=sum(c.restarts or 0 for c in containers) if containers else None,
        containers=containers,
        object=known,
        at=Place(path, number, excerpt(next(line for n, line in block.lines if n == number))),
    )


def _containers(block: _Block) -> Iterator[ContainerFacts]:
    section, name = "", ""
    values: dict[str, str] = {}
    state = ""
    for _, line in block.lines:
        found = _FIELD.match(line)
        if found is not None and not found["indent"]:
            if name:
                yield _container(name, values, init=section == "Init Containers")
            section, name, values = found["key"], "", {}
            continue
        if section not in {"Containers", "Init Containers"}:
            continue
        if (start := _CONTAINER_NAME.match(line)) is not None:
            if name:
                yield _container(name, values, init=section == "Init Containers")
            name, values, state = start["name"], {}, ""
            continue
        if found is None:
            continue
        key = found["key"]
        if key in {"State", "Last State"}:
            state = "" if key == "State" else "Last "
            values[key] = found["value"].strip()
        elif key in {"Reason", "Exit Code", "Message"}:
            values.setdefault(state + key, found["value"].strip())
        else:
            state = ""
            values.setdefault(key, found["value"].strip())
    if name:
        yield _container(name, values, init=section == "Init Containers")


def _container(name: str, values: dict[str, str], *, init: bool) -> ContainerFacts:
    ready = values.get("Ready")
    return ContainerFacts(
        name=name,
        init=init,
        image=values.get("Image"),
        ready=None if ready is None else ready == "True",
        restarts=_number(values.get("Restart Count", "")),
        state=values["State"].lower() if values.get("State") else None,
        reason=values.get("Reason"),
        message=values.get("Message"),
        exit_code=_number(values.get("Exit Code", "")),
        last_reason=values.get("Last Reason"),
        last_message=values.get("Last Message"),
        last_exit_code=_number(values.get("Last Exit Code", "")),
    )
