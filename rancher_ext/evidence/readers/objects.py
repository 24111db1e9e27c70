"""What do API objects say? JSON or YAML, one object or a list, as the API returned them (after redaction)."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from rancher_ext.bundle.bundle import BundleFile
from rancher_ext.bundle.facts import (
    ConditionFact,
    ContainerFacts,
    DaemonSetFacts,
    EventFact,
    NodeFacts,
    ObjectFact,
    Place,
    PodFacts,
    Taint,
)
from rancher_ext.bundle.text import excerpt
from rancher_ext.evidence.readers.documents import Item, items_of
from rancher_ext.evidence.readers.reading import Reading

_PARTS = 300

# troubleshoot.sh wrote items without their kind for years, in files named after it.
_KIND_OF_FILE = (
    (re.compile(r"cluster-resources/pods/[^/]+\.json$"), "Pod"),
    (re.compile(r"cluster-resources/nodes\.json$"), "Node"),
    (re.compile(r"cluster-resources/events/[^/]+\.json$"), "Event"),
    (re.compile(r"cluster-resources/daemonsets/[^/]+\.json$"), "DaemonSet"),
    (re.compile(r"cluster-resources/deployments/[^/]+\.json$"), "Deployment"),
    (re.compile(r"cluster-resources/jobs/[^/]+\.json$"), "Job"),
    (re.compile(r"cluster-resources/configmaps/[^/]+\.json$"), "ConfigMap"),
    (re.compile(r"cluster-resources/custom-resource-definitions\.json$"), "CustomResourceDefinition"),
)


def read_objects(file: BundleFile, into: Reading, collected_at: datetime | None) -> None:
    """Objects of one file. What is not an API object is no fact, and no error either."""
    kind = next((kind for form, kind in _KIND_OF_FILE if form.search(file.path)), None)
    for item in items_of(file, kind):
        if item.listed is not None:
            into.listed.add(item.listed)
        if item.text:
            _read_object(item.value, _Finder(file.path, item), into, collected_at)


class _Finder:
    """Where in the file is this value? Lines are what people look for."""

    def __init__(self, path: str, item: Item) -> None:
        self.path = path
        self._text, self._first = item.text, item.first

    def place(self, text: str, *needles: str) -> Place:
        for needle in needles:
            # Messages are quoted in JSON, and often in YAML: look for their beginning, as it stands there.
            for form in (json.dumps(needle)[1:-1][:80], json.dumps(needle, ensure_ascii=False)[1:-1][:80], needle[:60]):
                position = self._text.find(form) if form else -1
                if position >= 0:
                    return Place(self.path, self._first + self._text.count("\n", 0, position), excerpt(text))
        return Place(self.path, self._first, excerpt(text))


def _read_object(item: Mapping[str, Any], finder: _Finder, into: Reading, collected_at: datetime | None) -> None:
    kind = item["kind"]
    metadata = _map(item.get("metadata"))
    name = _text(metadata.get("name")) or ""
    namespace = _text(metadata.get("namespace"))
    if kind == "Event" and "audit" in str(item.get("apiVersion")):
        # The API server's audit log has events of its own kind, which are none of these.
        return
    into.listed.add(kind)
    if kind == "Event":
        event = _event(item, finder, collected_at)
        into.events.append(event)
        into.messages.append((event.message, event.at))
        return
    at = finder.place(f"{kind} {namespace + '/' if namespace else ''}{name}", name)
    into.objects.append(ObjectFact(kind, name, namespace, item, at))
    match kind:
        case "Node" if "management.cattle.io" not in str(item.get("apiVersion")):
            node = _node(item, metadata, finder, collected_at)
            into.nodes.append(node)
            into.messages += [(c.message, c.at) for c in node.conditions if c.message]
        case "Pod":
            pod = _pod(item, metadata, finder, collected_at)
            into.pods.append(pod)
            for container in pod.containers:
                into.messages += [
                    (message, finder.place(f"{name}/{container.name}: {message}", message))
                    for message in (container.message, container.last_message)
                    if message
                ]
        case "DaemonSet":
            into.daemonsets.append(_daemonset(item, metadata, finder))
        case _:
            conditions = tuple(_conditions(item, _owner(kind, item), name, finder))
            into.conditions += conditions
            into.messages += [(c.message, c.at) for c in conditions if c.message]


def _owner(kind: str, item: Mapping[str, Any]) -> str:
    if kind in {"Machine", "CustomMachine", "Node", "NodePool"} or kind.endswith("Machine"):
        return "machine"
    group = str(item.get("apiVersion") or "")
    if kind in {"Cluster", "RKEControlPlane", "RKECluster"} and ("cattle.io" in group or "cluster.x-k8s.io" in group):
        return "cluster"
    return "object"


def _conditions(item: Mapping[str, Any], of: str, name: str, finder: _Finder) -> Iterator[ConditionFact]:
    for condition in _list(_map(item.get("status")).get("conditions")):
        if not isinstance(condition, dict) or not condition.get("type"):
            continue
        message = _text(condition.get("message")) or ""
        kind, status, reason = (_text(condition.get(key)) for key in ("type", "status", "reason"))
        shown = f"{of} {name}: {kind}={status} {reason or ''} {message}".rstrip()
        yield ConditionFact(
            of=of,
            name=name,
            type=kind,
            status=status,
            reason=reason,
            message=message,
            at=finder.place(shown, message, kind or ""),
        )


def _node(item: Mapping[str, Any], metadata: Mapping[str, Any], finder: _Finder, now: datetime | None) -> NodeFacts:
    name = _text(metadata.get("name")) or ""
    spec, status = _map(item.get("spec")), _map(item.get("status"))
    info = _map(status.get("nodeInfo"))
    conditions = tuple(_conditions(item, "node", name, finder))
    ready = next((c.status for c in conditions if c.type == "Ready"), None)
    labels = {str(k): str(v) for k, v in _map(metadata.get("labels")).items()}
    addresses = [_map(address) for address in _list(status.get("addresses"))]
    summary = f"node {name}: Ready={ready}, {_text(info.get('osImage')) or 'OS unknown'}, kernel {_text(info.get('kernelVersion'))}, podCIDR {_text(spec.get('podCIDR')) or 'none'}"
    return NodeFacts(
        name=name,
        ready=ready,
        conditions=conditions,
        taints=tuple(
            Taint(_text(taint.get("key")) or "", _text(taint.get("value")) or "", _text(taint.get("effect")) or "")
            for taint in map(_map, _list(spec.get("taints")))
        ),
        annotations={str(k): str(v) for k, v in _map(metadata.get("annotations")).items()},
        labels=labels,
        pod_cidr=_text(spec.get("podCIDR")),
        os=_text(info.get("operatingSystem")) or labels.get("kubernetes.io/os"),
        os_image=_text(info.get("osImage")),
        kernel=_text(info.get("kernelVersion")),
        kubelet=_text(info.get("kubeletVersion")),
        internal_ip=next((_text(a.get("address")) for a in addresses if a.get("type") == "InternalIP"), None),
        age=_age(metadata.get("creationTimestamp"), now),
        object=item,
        complete=True,
        at=finder.place(summary, name),
    )


def _pod(item: Mapping[str, Any], metadata: Mapping[str, Any], finder: _Finder, now: datetime | None) -> PodFacts:
    name = _text(metadata.get("name")) or ""
    spec, status = _map(item.get("spec")), _map(item.get("status"))
    containers = tuple(_containers(status))
    regular = [container for container in containers if not container.init]
    wanted = len(_list(spec.get("containers"))) or len(regular)
    ready = sum(bool(container.ready) for container in regular)
    restarts = sum(container.restarts or 0 for container in containers)
    printed = _printed_status(spec, status, metadata)
    summary = f"pod {_text(metadata.get('namespace'))}/{name}: {ready}/{wanted} {printed}, {restarts} restarts, node {_text(spec.get('nodeName')) or 'none'}"
    return PodFacts(
        name=name,
        namespace=_text(metadata.get("namespace")),
        node=_text(spec.get("nodeName")),
        status=printed,
        ready=ready,
        total=wanted,
        restarts=restarts,
        restarted=_since_restart(status, now),
        age=_age(metadata.get("creationTimestamp"), now),
        containers=containers,
        object=item,
        complete=True,
        at=finder.place(summary, name),
    )


def _since_restart(status: Mapping[str, Any], now: datetime | None) -> int | None:
    """Seconds since the last time a container of the pod ended and was started again."""
    entries = [_map(entry) for entry in _list(status.get("containerStatuses"))]
    ends = [_map(_map(entry.get("lastState")).get("terminated")).get("finishedAt") for entry in entries]
    ages = [age for end in ends if (age := _age(end, now)) is not None]
    return min(ages, default=None)


def _containers(status: Mapping[str, Any]) -> Iterator[ContainerFacts]:
    for key, init in (("initContainerStatuses", True), ("containerStatuses", False)):
        for entry in map(_map, _list(status.get(key))):
            state_name, state = _state(entry.get("state"))
            _, last = _state(entry.get("lastState"))
            yield ContainerFacts(
                name=_text(entry.get("name")) or "",
                init=init,
                image=_text(entry.get("image")),
                ready=bool(entry.get("ready")),
                restarts=_int(entry.get("restartCount")),
                state=state_name,
                reason=_text(state.get("reason")),
                message=_text(state.get("message")),
                exit_code=_int(state.get("exitCode")),
                last_reason=_text(last.get("reason")),
                last_message=_text(last.get("message")),
                last_exit_code=_int(last.get("exitCode")),
            )


def _state(value: Any) -> tuple[str | None, Mapping[str, Any]]:
    state = _map(value)
    return next(
        ((name, _map(state[name])) for name in ("waiting", "running", "terminated") if name in state), (None, {})
    )


def _printed_status(spec: Mapping[str, Any], status: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
    """The STATUS column of `kubectl get pods`, which is what people quote and expressions compare with."""
    init = [_map(entry) for entry in _list(status.get("initContainerStatuses"))]
    done = 0
    for entry in init:
        name, state = _state(entry.get("state"))
        if name == "terminated" and state.get("exitCode") == 0:
            done += 1
            continue
        if name == "running" and entry.get("started") and entry.get("ready"):
            # A side container that was declared as an init container runs on.
            done += 1
            continue
        reason = _text(state.get("reason"))
        if name == "terminated":
            return f"Init:{reason or 'ExitCode:' + str(state.get('exitCode'))}"
        if reason and reason != "PodInitializing":
            return f"Init:{reason}"
        return f"Init:{done}/{len(_list(spec.get('initContainers'))) or len(init)}"
    printed = _text(status.get("reason")) or _text(status.get("phase")) or "Unknown"
    running = False
    for entry in reversed([_map(entry) for entry in _list(status.get("containerStatuses"))]):
        name, state = _state(entry.get("state"))
        reason = _text(state.get("reason"))
        if name == "waiting" and reason:
            printed = reason
        elif name == "terminated":
            printed = reason or f"ExitCode:{state.get('exitCode')}"
        elif name == "running" and entry.get("ready"):
            running = True
    if printed == "Completed" and running:
        printed = "Running"
    if metadata.get("deletionTimestamp"):
        return "Terminating"
    return printed


def _daemonset(item: Mapping[str, Any], metadata: Mapping[str, Any], finder: _Finder) -> DaemonSetFacts:
    name, status = _text(metadata.get("name")) or "", _map(item.get("status"))
    desired, ready = _int(status.get("desiredNumberScheduled")), _int(status.get("numberReady"))
    return DaemonSetFacts(
        name=name,
        namespace=_text(metadata.get("namespace")),
        desired=desired,
        current=_int(status.get("currentNumberScheduled")),
        ready=ready,
        # The API leaves zero out.
        available=_int(status.get("numberAvailable")) or (0 if desired is not None else None),
        misscheduled=_int(status.get("numberMisscheduled")),
        object=item,
        complete=True,
        at=finder.place(f"daemonset {name}: {ready} of {desired} ready", name),
    )


def _event(item: Mapping[str, Any], finder: _Finder, now: datetime | None) -> EventFact:
    # core/v1 has involvedObject and message, events.k8s.io/v1 has regarding and note.
    involved = _map(item.get("involvedObject") or item.get("regarding"))
    message = _text(item.get("message")) or _text(item.get("note")) or ""
    series = _map(item.get("series") or {})
    kind, name = _text(involved.get("kind")), _text(involved.get("name"))
    reason = _text(item.get("reason"))
    seen = item.get("lastTimestamp") or series.get("lastObservedTime") or item.get("eventTime")
    return EventFact(
        message=message,
        type=_text(item.get("type")),
        reason=reason,
        kind=kind,
        name=name,
        namespace=_text(involved.get("namespace")),
        count=_int(item.get("count")) or _int(series.get("count")) or 1,
        age=_age(seen, now),
        at=finder.place(f"{reason} {kind or ''}/{name or ''}: {message}", message, name or ""),
    )


def _age(stamp: Any, now: datetime | None) -> int | None:
    if now is None or not isinstance(stamp, str):
        return None
    try:
        return max(0, int((now - datetime.fromisoformat(re.sub(r"Z$", "+00:00", stamp))).total_seconds()))
    except (ValueError, TypeError):
        return None


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> Sequence[Any]:
    """At most a few hundred: real objects have dozens of conditions, and each is looked for in the text."""
    return value[:_PARTS] if isinstance(value, list) else ()


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _int(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
