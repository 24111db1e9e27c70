"""What do the rows say that `kubectl get` and the Rancher UI print?

People paste without headers, with columns cut off, with `pod/` in front. So rows are recognised by their own shape and not by
the header above them; a row of no known shape is no fact.
"""

import re
from dataclasses import replace

from rancher_ext.bundle.bundle import BundleFile
from rancher_ext.bundle.facts import ConditionFact, DaemonSetFacts, EventFact, NodeFacts, Place, PodFacts
from rancher_ext.bundle.text import excerpt, lines
from rancher_ext.evidence.readers.reading import Reading, age_seconds

_GAP = re.compile(r"\s{2,}|\t")
_AGE = r"(?:\d{1,6}[ydhms]){1,3}"

_POD = re.compile(
    r"^\s{0,8}(?:(?P<namespace>[a-z0-9][a-z0-9-]{0,62})\s+)?(?P<name>(?:pod/)?[a-z0-9][a-z0-9.-]{2,252})\s+"
    r"(?P<ready>\d{1,3})/(?P<total>\d{1,3})\s+(?P<status>[A-Z][A-Za-z:0-9/]{2,60})\s+(?P<restarts>\d{1,6})"
    rf"(?:\s+\((?P<last>{_AGE}) ago\))?(?:\s+(?P<age>{_AGE}))?(?P<rest>\s.{{0,400}})?$"
)
_DAEMONSET = re.compile(
    r"^\s{0,8}(?:(?P<namespace>[a-z0-9][a-z0-9-]{0,62})\s+)?(?P<name>(?:daemonset(?:\.apps)?/)?[a-z0-9][a-z0-9.-]{2,252})\s+"
    r"(?P<desired>\d{1,6})\s+(?P<current>\d{1,6})\s+(?P<ready>\d{1,6})\s+\d{1,6}\s+(?P<available>\d{1,6})\s+"
    rf"(?:<none>|\S+=\S*)(?:\s+(?P<age>{_AGE}))?\s*(?:\s.{{0,400}})?$"
)
_NODE = re.compile(
    r"^\s{0,8}(?:node/)?(?P<name>[a-z0-9][a-z0-9.-]{0,252})\s+(?P<status>(?:Not)?Ready|Unknown)(?:,[A-Za-z,]{1,60})?\s+"
    rf"(?P<roles>\S{{1,200}})\s+(?P<age>{_AGE})\s+(?P<version>v\d+\.\d+\.\d+\S{{0,60}})(?P<wide>\s.{{0,600}})?$"
)
_CONDITION = re.compile(r"^[A-Z][A-Za-z0-9]{2,60}$")
_STATUS = ("True", "False", "Unknown")
_EVENT_TYPES = ("Normal", "Warning")
_SEEN = re.compile(
    rf"^(?P<age>{_AGE}|<unknown>|<invalid>)(?:\s+\(x(?P<count>\d{{1,7}}) over (?P<over>{_AGE})\))?(?:\s|$)"
)
_OBJECT = re.compile(r"^(?P<kind>[A-Za-z][A-Za-z.0-9]{1,60})/(?P<name>[a-z0-9][a-z0-9.-]{0,252})$")
_KINDS = {
    "pod": "Pod",
    "node": "Node",
    "daemonset": "DaemonSet",
    "job": "Job",
    "deployment": "Deployment",
    "replicaset": "ReplicaSet",
}


def read_pods(file: BundleFile, into: Reading) -> None:
    """Rows of `kubectl get pods` and `kubectl get daemonsets`."""
    for number, line in lines(file):
        if (row := _POD.match(line)) is not None:
            into.pods.append(_pod(row, Place(file.path, number, excerpt(line))))
        elif (row := _DAEMONSET.match(line)) is not None:
            into.daemonsets.append(_daemonset(row, Place(file.path, number, excerpt(line))))


def _pod(row: re.Match[str], at: Place) -> PodFacts:
    name = row["name"].removeprefix("pod/")
    rest = [word for word in (row["rest"] or "").split() if word]
    # `-o wide` goes on with the address and the node.
    node = rest[1] if len(rest) > 1 and re.match(r"^(?:[\d.]+|[0-9a-f:]+|<none>)$", rest[0]) else None
    node = None if node == "<none>" else node
    metadata = {"name": name} | ({"namespace": row["namespace"]} if row["namespace"] else {})
    status = row["status"]
    document: dict[str, object] = {"metadata": metadata}
    if node:
        document["spec"] = {"nodeName": node}
    if status in {"Running", "Pending", "Succeeded", "Failed"}:
        document["status"] = {"phase": status}
    return PodFacts(
        name=name,
        namespace=row["namespace"],
        node=node,
        status=status,
        ready=int(row["ready"]),
        total=int(row["total"]),
        restarts=int(row["restarts"]),
        restarted=age_seconds(row["last"]),
        age=age_seconds(row["age"]),
        object=document,
        at=at,
    )


def _daemonset(row: re.Match[str], at: Place) -> DaemonSetFacts:
    name = row["name"].rpartition("/")[2]
    return DaemonSetFacts(
        name=name,
        namespace=row["namespace"],
        desired=int(row["desired"]),
        current=int(row["current"]),
        ready=int(row["ready"]),
        available=int(row["available"]),
        object={"metadata": {"name": name}},
        at=at,
    )


def read_nodes(file: BundleFile, into: Reading) -> None:
    """Rows of `kubectl get nodes`, wide or not."""
    for number, line in lines(file):
        row = _NODE.match(line)
        if row is None:
            continue
        ready = {"Ready": "True", "NotReady": "False"}.get(row["status"], "Unknown")
        wide = [column.strip() for column in _GAP.split((row["wide"] or "").strip()) if column.strip()]
        info: dict[str, str] = {"kubeletVersion": row["version"]}
        internal_ip = os_image = kernel = None
        if len(wide) >= 5:
            internal_ip, os_image, kernel = wide[0], wide[2], wide[3]
            info |= {"osImage": os_image, "kernelVersion": kernel, "containerRuntimeVersion": wide[4]}
        into.nodes.append(
            NodeFacts(
                name=row["name"],
                ready=ready,
                os_image=os_image,
                kernel=kernel,
                os="windows" if os_image and os_image.startswith("Windows") else None,
                kubelet=row["version"],
                internal_ip=internal_ip,
                age=age_seconds(row["age"]),
                object={"metadata": {"name": row["name"]}, "status": {"nodeInfo": info}},
                at=Place(file.path, number, excerpt(line)),
            )
        )


def read_events(file: BundleFile, into: Reading, *, bare: bool) -> None:
    """Rows of `kubectl get events`, wide or not, and of the Events part of a description.

    With `bare`, a line of no known shape is an event's message, as in a file that holds nothing but events.
    """
    columns: dict[str, tuple[int, int | None]] = {}
    described = _Described()
    for number, line in lines(file):
        described.note(line)
        text = line.strip()
        if text.startswith(("LAST SEEN", "NAMESPACE")):
            columns = _wide_columns(line)
            continue
        if not text or text.startswith(("Type ", "----", "Events:", "No resources found")):
            continue
        at = Place(file.path, number, excerpt(line))
        event = (_wide_event(line, columns, at) if columns else None) or _event(text, at)
        if event is not None:
            into.events.append(described.named(event))
        elif bare:
            into.events.append(EventFact(message=text, at=at))


class _Described:
    """Whose description is being read: its events do not repeat the name."""

    def __init__(self) -> None:
        self._name: str | None = None
        self._namespace: str | None = None
        self._kind: str | None = None
        self._events = False

    def note(self, line: str) -> None:
        if not line[:1].isupper():
            return
        key, colon, value = line.partition(":")
        if not colon:
            return
        if key == "Name":
            self._name, self._namespace, self._kind = value.strip() or None, None, None
        elif key == "Namespace":
            self._namespace = value.strip() or None
        elif self._kind is None:
            self._kind = _TELLING_FIELDS.get(key)
        self._events = key == "Events"

    def named(self, event: EventFact) -> EventFact:
        if event.kind is not None or event.name is not None or not self._events or self._name is None:
            return event
        return replace(event, kind=self._kind, name=self._name, namespace=event.namespace or self._namespace)


_TELLING_FIELDS = {
    "Taints": "Node",
    "Unschedulable": "Node",
    "PodCIDR": "Node",
    "System Info": "Node",
    "Containers": "Pod",
    "Init Containers": "Pod",
    "QoS Class": "Pod",
    "Desired Number of Nodes Scheduled": "DaemonSet",
    "StrategyType": "Deployment",
    "Completions": "Job",
}
_WIDE = (
    "NAMESPACE",
    "LAST SEEN",
    "TYPE",
    "REASON",
    "OBJECT",
    "SUBOBJECT",
    "SOURCE",
    "MESSAGE",
    "FIRST SEEN",
    "COUNT",
    "NAME",
)
_COLUMN = re.compile(r"(?:^|(?<=\s))(?:" + "|".join(_WIDE) + r")(?=\s|$)")


def _wide_columns(header: str) -> dict[str, tuple[int, int | None]]:
    """Where the columns of `-o wide` begin and end; nothing for other headers, whose rows tell their columns themselves."""
    found = [(match[0], match.start()) for match in _COLUMN.finditer(header.rstrip())]
    if not {"LAST SEEN", "OBJECT", "SUBOBJECT", "MESSAGE"} <= {name for name, _ in found}:
        return {}
    ends = [start for _, start in found[1:]]
    return {name: (start, end) for (name, start), end in zip(found, [*ends, None], strict=True)}


def _wide_event(line: str, columns: dict[str, tuple[int, int | None]], at: Place) -> EventFact | None:
    cells = {}
    for name, (start, end) in columns.items():
        # A row that does not keep to the columns (it was pasted, or wrapped) is read by its shape.
        if start and line[start - 1 : start].strip():
            return None
        cells[name] = line[start:end].strip()
    seen, named = _SEEN.match(cells["LAST SEEN"]), _OBJECT.match(cells["OBJECT"])
    if seen is None or named is None or cells.get("TYPE") not in _EVENT_TYPES:
        return None
    count = cells.get("COUNT", "")
    first = cells.get("FIRST SEEN")
    return EventFact(
        type=cells["TYPE"],
        reason=cells.get("REASON") or None,
        kind=_KINDS.get(named["kind"].lower().split(".")[0], named["kind"]),
        name=named["name"],
        namespace=cells.get("NAMESPACE") or None,
        message=cells["MESSAGE"],
        count=int(count) if count.isdigit() and len(count) < 8 else 1,
        age=age_seconds(first) or age_seconds(seen["age"]),
        at=at,
    )


def _event(text: str, at: Place) -> EventFact | None:
    columns = [column for column in _GAP.split(text) if column]
    kind_at = next((index for index, column in enumerate(columns[:4]) if column in _EVENT_TYPES), None)
    if kind_at is None or len(columns) < kind_at + 3:
        return None
    before, after = columns[:kind_at], columns[kind_at:]
    if kind_at and (seen := _SEEN.match(before[-1])) is not None:
        # LAST SEEN  TYPE  REASON  OBJECT  [SUBOBJECT  SOURCE]  MESSAGE
        named = _OBJECT.match(after[2]) if len(after) > 3 else None
        return EventFact(
            type=after[0],
            reason=after[1],
            kind=_KINDS.get(named["kind"].lower().split(".")[0], named["kind"]) if named else None,
            name=named["name"] if named else None,
            namespace=before[0] if kind_at > 1 else None,
            message="  ".join(after[3 if named else 2 :]),
            count=int(seen["count"] or 1),
            age=age_seconds(seen["over"] or seen["age"]),
            at=at,
        )
    if kind_at:
        return None
    # Type  Reason  Age  From  Message
    seen = _SEEN.match(after[2])
    if seen is None:
        return EventFact(type=after[0], reason=after[1], message="  ".join(after[2:]), at=at)
    rest = after[3:]
    if seen.end() < len(after[2]):
        rest = [after[2][seen.end() :].strip(), *rest]
    message = "  ".join(rest[1:]) if len(rest) > 1 else "".join(rest)
    return EventFact(
        type=after[0],
        reason=after[1],
        message=message,
        count=int(seen["count"] or 1),
        age=age_seconds(seen["over"] or seen["age"]),
        at=at,
    )


def read_conditions(file: BundleFile, into: Reading, *, bare: bool) -> None:
    """Conditions of the cluster and its machines: rows, `type=… status=…` lines, and bare messages."""
    for number, line in lines(file):
        text = line.strip()
        if not text or re.match(r"^(TYPE|Type)\s+(STATUS|Status)\b", text):
            continue
        at = Place(file.path, number, excerpt(line))
        condition = condition_row(text, at) or _keyed_condition(text, at)
        if condition is not None:
            into.conditions.append(condition)
        elif bare:
            into.conditions.append(ConditionFact(of="any", message=text, at=at))


def condition_row(text: str, at: Place, of: str = "any") -> ConditionFact | None:
    """`Ready  False  <times>  KubeletNotReady  message`: type, status, then reason and message among the columns."""
    columns = [column for column in _GAP.split(text.strip()) if column]
    if len(columns) < 2:
        columns = text.split(None, 2)
    # `cluster/edge-07  Waiting  False  …`: our own listing begins with the object.
    owner, name = "", None
    if columns and (named := re.match(r"^(cluster|machine|node|object)/(\S+)$", columns[0])):
        owner, name, columns = named[1], named[2], columns[1:]
    if len(columns) < 2 or not _CONDITION.match(columns[0]) or columns[1] not in _STATUS:
        return None
    rest = [column for column in columns[2:] if not re.match(r"^(?:\w{3}, )?\d{1,4}[- ].*\d\d:\d\d", column)]
    rest = [column for column in rest if column != "-" and not re.fullmatch(_AGE, column)]
    reason = rest.pop(0) if rest and _CONDITION.match(rest[0]) and (len(rest) > 1 or " " not in rest[0]) else None
    return ConditionFact(
        of=owner or of, name=name, type=columns[0], status=columns[1], reason=reason, message="  ".join(rest), at=at
    )


def _keyed_condition(text: str, at: Place) -> ConditionFact | None:
    found: dict[str, str] = {}
    for key in ("type", "status", "reason"):
        if (match := re.search(rf"\b{key}\s*[=:]\s*\"?([A-Za-z0-9]+)", text)) is not None:
            found[key] = match[1]
    if "type" not in found or found.get("status") not in _STATUS:
        return None
    message = re.search(r"\bmessage\s*[=:]\s*\"?([^\"]{0,4000})", text)
    return ConditionFact(
        of="any",
        type=found["type"],
        status=found["status"],
        reason=found.get("reason"),
        message=message[1].strip() if message else "",
        at=at,
    )
