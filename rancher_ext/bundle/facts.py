"""What do objects and text say about the cluster, as values?

`None` means *unknown*: nothing in the evidence tells. A fact read from text knows a few fields, one read from an API
object knows all of them (`complete`), so that a missing field there really is missing.
Every fact remembers where it was read: findings quote that place.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rancher_ext.bundle.origin import Origin


@dataclass(frozen=True)
class Place:
    """A line of a file of the bundle. `line` counts from 1."""

    source: str
    line: int
    text: str


NOWHERE = Place("", 0, "")


@dataclass(frozen=True)
class ClusterFacts:
    """Who the cluster is. Empty strings are what is not known."""

    id: str = ""
    name: str = ""
    distribution: str = "unknown"
    cni: str = "unknown"
    kubernetes: str = ""
    rancher: str = ""


@dataclass(frozen=True)
class ContainerFacts:
    name: str
    init: bool = False
    image: str | None = None
    ready: bool | None = None
    restarts: int | None = None
    state: str | None = None
    reason: str | None = None
    message: str | None = None
    exit_code: int | None = None
    last_reason: str | None = None
    last_message: str | None = None
    last_exit_code: int | None = None


@dataclass(frozen=True)
class PodFacts:
    """A pod as `kubectl get pods` sees it, with its containers where the evidence has them.

    `restarted` and `age` are seconds before the evidence was collected: since the last restart, and since it was made.
    """

    name: str
    namespace: str | None = None
    node: str | None = None
    status: str | None = None
    ready: int | None = None
    total: int | None = None
    restarts: int | None = None
    age: int | None = None
    containers: tuple[ContainerFacts, ...] = ()
    object: Mapping[str, Any] = field(default_factory=dict)
    complete: bool = False
    at: Place = NOWHERE
    restarted: int | None = None

    @property
    def all_ready(self) -> bool | None:
        if self.ready is None or self.total is None:
            return None
        return self.ready == self.total > 0

    def container(self, name: str) -> ContainerFacts | None:
        return next((container for container in self.containers if container.name == name), None)


@dataclass(frozen=True)
class ConditionFact:
    """`of` is cluster, machine, node or object. A bare message has neither type nor status."""

    of: str
    name: str | None = None
    type: str | None = None
    status: str | None = None
    reason: str | None = None
    message: str = ""
    at: Place = NOWHERE


@dataclass(frozen=True)
class Taint:
    key: str
    value: str = ""
    effect: str = ""


@dataclass(frozen=True)
class NodeFacts:
    """`ready` is "True", "False" or "Unknown" (the node's own unknown), None where evidence does not say."""

    name: str
    ready: str | None = None
    conditions: tuple[ConditionFact, ...] = ()
    taints: tuple[Taint, ...] | None = None
    annotations: Mapping[str, str] | None = None
    labels: Mapping[str, str] | None = None
    pod_cidr: str | None = None
    os: str | None = None
    os_image: str | None = None
    kernel: str | None = None
    kubelet: str | None = None
    internal_ip: str | None = None
    age: int | None = None
    object: Mapping[str, Any] = field(default_factory=dict)
    complete: bool = False
    at: Place = NOWHERE


@dataclass(frozen=True)
class DaemonSetFacts:
    name: str
    namespace: str | None = None
    desired: int | None = None
    current: int | None = None
    ready: int | None = None
    available: int | None = None
    misscheduled: int | None = None
    object: Mapping[str, Any] = field(default_factory=dict)
    complete: bool = False
    at: Place = NOWHERE


@dataclass(frozen=True)
class EventFact:
    """An event. A bare message has nothing but its message."""

    message: str
    type: str | None = None
    reason: str | None = None
    kind: str | None = None
    name: str | None = None
    namespace: str | None = None
    count: int = 1
    age: int | None = None
    at: Place = NOWHERE


@dataclass(frozen=True)
class ObjectFact:
    """An API object that has no facts of its own here: ConfigMaps, CRDs, HelmCharts, machine plans …"""

    kind: str
    name: str
    namespace: str | None
    object: Mapping[str, Any]
    at: Place = NOWHERE


@dataclass(frozen=True)
class Facts:
    """Everything that was read. `listed` are the kinds of which the evidence holds API objects (by kind, as in the API)."""

    cluster: ClusterFacts = ClusterFacts()
    nodes: tuple[NodeFacts, ...] = ()
    pods: tuple[PodFacts, ...] = ()
    daemonsets: tuple[DaemonSetFacts, ...] = ()
    conditions: tuple[ConditionFact, ...] = ()
    events: tuple[EventFact, ...] = ()
    objects: tuple[ObjectFact, ...] = ()
    listed: frozenset[str] = frozenset()
    messages: tuple[tuple[str, Place], ...] = ()
    origins: Mapping[str, Origin] = field(default_factory=dict)
