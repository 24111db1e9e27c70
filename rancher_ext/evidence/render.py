"""How do objects look as kubectl prints them?

People know these listings, and so do the readers of foreign bundles: a bundle of ours is read by the same code as one that
somebody pasted. Only what a diagnosis needs is printed; the objects themselves are in the bundle, too.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from rancher_ext.fleet.parse import integer, mapping, text, timestamp

Json = Mapping[str, Any]

_NONE = "<none>"
_GAP = 3
_ROLE = "node-role.kubernetes.io/"


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns padded to their widest cell, three blanks between. The last column is not padded."""
    lines = [list(headers)] if headers else []
    lines += [[one_line(cell) for cell in row] for row in rows]
    if not lines:
        return ""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]) - 1)]
    return "".join(
        "".join(cell.ljust(width + _GAP) for cell, width in zip(line, widths, strict=False)) + line[-1] + "\n"
        for line in lines
    )


def one_line(value: str) -> str:
    return " ".join(value.split())


def sequence(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def mappings(value: object) -> list[Json]:
    return [item for item in sequence(value) if isinstance(item, Mapping)]


def age(since: object, now: datetime) -> str:
    """How long ago, in kubectl's short form; `<unknown>` without a time."""
    when = timestamp(since)
    return "<unknown>" if when is None else short_duration(now - when)


def short_duration(duration: timedelta) -> str:
    """kubectl's HumanDuration: two units while the bigger one is small, one afterwards."""
    seconds = max(0, int(duration.total_seconds()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return f"{minutes}m" + (f"{seconds % 60}s" if seconds % 60 else "")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h" + (f"{minutes % 60}m" if minutes % 60 else "")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return f"{days}d" + (f"{hours % 24}h" if hours % 24 else "")
    return f"{days}d" if days < 730 else f"{days // 365}y"


# -- nodes -------------------------------------------------------------------------------------------------------------


def node_ready(node: Json) -> str:
    """The node's own word: `True`, `False`, `Unknown`, or empty when it has not said anything."""
    for condition in mappings(mapping(node, "status").get("conditions")):
        if condition.get("type") == "Ready":
            return text(condition.get("status"))
    return ""


def node_table(nodes: Iterable[Json], now: datetime) -> str:
    headers = ("NAME", "STATUS", "ROLES", "AGE", "VERSION", "INTERNAL-IP", "EXTERNAL-IP", "OS-IMAGE", "KERNEL-VERSION", "CONTAINER-RUNTIME")  # fmt: skip
    rows = []
    for node in nodes:
        metadata, spec, status = mapping(node, "metadata"), mapping(node, "spec"), mapping(node, "status")
        info = mapping(status, "nodeInfo")
        ready = {"True": "Ready", "False": "NotReady", "Unknown": "NotReady"}.get(node_ready(node), "Unknown")
        rows.append(
            (
                text(metadata.get("name")),
                ready + (",SchedulingDisabled" if spec.get("unschedulable") is True else ""),
                _roles(metadata),
                age(metadata.get("creationTimestamp"), now),
                text(info.get("kubeletVersion")) or _NONE,
                _address(status, "InternalIP"),
                _address(status, "ExternalIP"),
                text(info.get("osImage")) or "<unknown>",
                text(info.get("kernelVersion")) or "<unknown>",
                text(info.get("containerRuntimeVersion")) or "<unknown>",
            )
        )
    return table(headers, rows)


def node_description(node: Json) -> str:
    """The parts of `kubectl describe node` that concern its network."""
    metadata, spec, status = mapping(node, "metadata"), mapping(node, "spec"), mapping(node, "status")
    info = mapping(status, "nodeInfo")
    taints = [
        f"{text(taint.get('key'))}{'=' + text(taint.get('value')) if taint.get('value') else ''}:{text(taint.get('effect'))}"
        for taint in mappings(spec.get("taints"))
    ]
    lines = [
        f"{'Name:':<20}{text(metadata.get('name'))}",
        f"{'Roles:':<20}{_roles(metadata)}",
        *_column("Labels:", [f"{key}={value}" for key, value in sorted(mapping(metadata, "labels").items())]),
        *_column("Annotations:", [f"{key}: {one_line(str(value))}" for key, value in sorted(mapping(metadata, "annotations").items())]),
        f"{'CreationTimestamp:':<20}{_long_time(metadata.get('creationTimestamp'))}",
        *_column("Taints:", taints),
        f"{'Unschedulable:':<20}{'true' if spec.get('unschedulable') is True else 'false'}",
        "Conditions:",
    ]  # fmt: skip
    headers = ("Type", "Status", "LastHeartbeatTime", "LastTransitionTime", "Reason", "Message")
    rows = [
        (
            text(condition.get("type")),
            text(condition.get("status")),
            _long_time(condition.get("lastHeartbeatTime")),
            _long_time(condition.get("lastTransitionTime")),
            text(condition.get("reason")),
            text(condition.get("message")),
        )
        for condition in mappings(status.get("conditions"))
    ]
    rules = tuple("-" * len(header) for header in headers)
    lines += ["  " + line for line in table(headers, [rules, *rows]).splitlines()]
    lines.append("Addresses:")
    lines += [
        f"  {text(address.get('type'))}:  {text(address.get('address'))}"
        for address in mappings(status.get("addresses"))
    ]
    lines.append("System Info:")
    for title, key in (
        ("Kernel Version", "kernelVersion"),
        ("OS Image", "osImage"),
        ("Operating System", "operatingSystem"),
        ("Architecture", "architecture"),
        ("Container Runtime Version", "containerRuntimeVersion"),
        ("Kubelet Version", "kubeletVersion"),
        ("Kube-Proxy Version", "kubeProxyVersion"),
    ):
        if info.get(key):
            lines.append(f"  {title + ':':<28}{text(info.get(key))}")
    if spec.get("podCIDR"):
        cidrs = ",".join(str(cidr) for cidr in sequence(spec.get("podCIDRs"))) or text(spec.get("podCIDR"))
        lines += [f"{'PodCIDR:':<30}{text(spec.get('podCIDR'))}", f"{'PodCIDRs:':<30}{cidrs}"]
    if spec.get("providerID"):
        lines.append(f"{'ProviderID:':<30}{text(spec.get('providerID'))}")
    return "\n".join(lines) + "\n"


def _column(title: str, values: Sequence[str]) -> list[str]:
    return [f"{title if not index else '':<20}{value}" for index, value in enumerate(values or [_NONE])]


def _roles(metadata: Json) -> str:
    roles = sorted(key.removeprefix(_ROLE) for key in mapping(metadata, "labels") if str(key).startswith(_ROLE))
    return ",".join(role for role in roles if role) or _NONE


def _address(status: Json, kind: str) -> str:
    found = [text(each.get("address")) for each in mappings(status.get("addresses")) if each.get("type") == kind]
    return found[0] if found and found[0] else _NONE


def _long_time(value: object) -> str:
    when = timestamp(value)
    return when.strftime("%a, %d %b %Y %H:%M:%S +0000") if when else "Mon, 01 Jan 0001 00:00:00 +0000"


# -- pods --------------------------------------------------------------------------------------------------------------


def container_state(entry: Json, key: str = "state") -> tuple[str, Json]:
    """`waiting`, `running` or `terminated` with its details; an empty name when nothing is known."""
    state = mapping(entry, key)
    for name in ("waiting", "running", "terminated"):
        if isinstance(state.get(name), Mapping):
            return name, mapping(state, name)
    return "", {}


def pod_status(pod: Json) -> str:
    """The STATUS column: the phase, or what a container waits for, as kubectl composes it."""
    metadata, spec, status = mapping(pod, "metadata"), mapping(pod, "spec"), mapping(pod, "status")
    printed = text(status.get("reason")) or text(status.get("phase")) or "Unknown"
    init = _init_status(spec, status)
    if init:
        printed = init
    else:
        running = False
        for entry in reversed(mappings(status.get("containerStatuses"))):
            name, state = container_state(entry)
            reason = text(state.get("reason"))
            if name == "waiting" and reason:
                printed = reason
            elif name == "terminated":
                printed = reason or _exit_text(state)
            elif name == "running" and entry.get("ready") is True:
                running = True
        if printed == "Completed" and running:
            printed = "Running"
    return "Terminating" if metadata.get("deletionTimestamp") else printed


def _init_status(spec: Json, status: Json) -> str:
    entries = mappings(status.get("initContainerStatuses"))
    for done, entry in enumerate(entries):
        name, state = container_state(entry)
        reason = text(state.get("reason"))
        if name == "terminated" and state.get("exitCode") == 0:
            continue
        if name == "running" and entry.get("started") is True and entry.get("ready") is True:
            continue
        if name == "terminated":
            return f"Init:{reason or _exit_text(state)}"
        if reason and reason != "PodInitializing":
            return f"Init:{reason}"
        return f"Init:{done}/{len(sequence(spec.get('initContainers'))) or len(entries)}"
    return ""


def _exit_text(state: Json) -> str:
    signal = integer(state.get("signal"))
    return f"Signal:{signal}" if signal else f"ExitCode:{integer(state.get('exitCode')) or 0}"


def pod_readiness(pod: Json) -> tuple[int, int]:
    """Ready containers and all containers."""
    entries = mappings(mapping(pod, "status").get("containerStatuses"))
    total = len(sequence(mapping(pod, "spec").get("containers"))) or len(entries)
    return sum(entry.get("ready") is True for entry in entries), total


def pod_restarts(pod: Json) -> int:
    status = mapping(pod, "status")
    return sum(
        integer(entry.get("restartCount")) or 0
        for key in ("initContainerStatuses", "containerStatuses")
        for entry in mappings(status.get(key))
    )


def pod_table(pods: Iterable[Json], now: datetime) -> str:
    headers = ("NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE")
    rows = []
    for pod in pods:
        metadata, status = mapping(pod, "metadata"), mapping(pod, "status")
        ready, total = pod_readiness(pod)
        rows.append(
            (
                text(metadata.get("namespace")),
                text(metadata.get("name")),
                f"{ready}/{total}",
                pod_status(pod),
                _restarts(pod, now),
                age(metadata.get("creationTimestamp"), now),
                text(status.get("podIP")) or _NONE,
                text(mapping(pod, "spec").get("nodeName")) or _NONE,
            )
        )
    return table(headers, rows)


def _restarts(pod: Json, now: datetime) -> str:
    count = pod_restarts(pod)
    ends = [
        ended
        for key in ("initContainerStatuses", "containerStatuses")
        for entry in mappings(mapping(pod, "status").get(key))
        if (ended := timestamp(container_state(entry, "lastState")[1].get("finishedAt"))) is not None
    ]
    return f"{count} ({short_duration(now - max(ends))} ago)" if count and ends else str(count)


# -- events ------------------------------------------------------------------------------------------------------------


def event_times(event: Json) -> tuple[datetime | None, datetime | None]:
    """When it was first and last seen; core/v1 and the newer fields of events.k8s.io are both in use."""
    series = mapping(event, "series")
    first = timestamp(event.get("firstTimestamp")) or timestamp(event.get("eventTime"))
    last = timestamp(event.get("lastTimestamp")) or timestamp(series.get("lastObservedTime")) or first
    created = timestamp(mapping(event, "metadata").get("creationTimestamp"))
    return first or created, last or created


def event_count(event: Json) -> int:
    return integer(event.get("count")) or integer(mapping(event, "series").get("count")) or 1


def event_table(events: Iterable[Json], now: datetime) -> str:
    """As `kubectl events -A` prints them, the oldest first."""
    headers = ("NAMESPACE", "LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE")
    rows = []
    for event in events:
        involved = mapping(event, "involvedObject") or mapping(event, "regarding")
        kind, name = text(involved.get("kind")), text(involved.get("name"))
        rows.append(
            (
                text(mapping(event, "metadata").get("namespace")) or "default",
                _seen(event, now),
                text(event.get("type")) or "Normal",
                text(event.get("reason")) or "Unknown",
                f"{kind or 'Object'}/{name or 'unknown'}",
                text(event.get("message")) or text(event.get("note")) or "-",
            )
        )
    return table(headers, rows)


def _seen(event: Json, now: datetime) -> str:
    first, last = event_times(event)
    if last is None:
        return "<unknown>"
    seen, count = short_duration(now - last), event_count(event)
    return f"{seen} (x{count} over {short_duration(now - first)})" if count > 1 and first else seen


# -- conditions --------------------------------------------------------------------------------------------------------


def condition_rows(owner: str, conditions: object) -> str:
    """One line per condition: whose, type, status, since when, reason, message. Rancher's UI shows the same columns."""
    rows = []
    for condition in mappings(conditions):
        kind = text(condition.get("type"))
        if not re.fullmatch(r"[A-Za-z0-9./_-]{1,120}", kind):
            continue
        rows.append(
            (
                owner,
                kind,
                text(condition.get("status")) or "Unknown",
                text(condition.get("lastTransitionTime")) or text(condition.get("lastUpdateTime")) or "-",
                text(condition.get("reason")) or "-",
                text(condition.get("message")) or "-",
            )
        )
    return table((), rows)
