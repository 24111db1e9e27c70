"""What does a cluster show at one instant, in few words?

`Facts` is the vocabulary in which scenario files describe a state; the renderers turn it into Rancher and Kubernetes
objects. The default value is a healthy, settled cluster: a state names only what is different. Counts are of nodes in
pool order; `all` is every node, a negative count is all but so many.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

ALL = 1_000_000


@dataclass(frozen=True, slots=True)
class Ramp:
    """A count that climbs by `by` every `every` seconds after the state was entered."""

    start: int
    stop: int
    every: float
    by: int = 1

    def at(self, age: float, total: int) -> int:
        stop, by = count(self.stop, total), self.step(total)
        return min(stop, self.start + int(max(age, 0.0) / self.every) * by)

    def step(self, total: int) -> int:
        # A thousand nodes come in about twenty steps, as a whole pool boots together.
        return max(self.by, total // 20)

    def lasts(self, total: int) -> float:
        steps = -(-(count(self.stop, total) - self.start) // self.step(total))
        return max(0, steps) * self.every

    def next_step(self, age: float, total: int) -> float | None:
        """Seconds after entry at which the count moves next; None when it has arrived."""
        if age >= self.lasts(total):
            return None
        return (int(max(age, 0.0) / self.every) + 1) * self.every


Count = int | Ramp


def count(value: int, total: int) -> int:
    return max(0, min(total, value if value >= 0 else total + value))


@dataclass(frozen=True, slots=True)
class EventFact:
    """A Kubernetes Event. `about` is node, cni-pod, agent-pod, dns-pod or machine; `{node}` and `{pod}` may stand in the message."""

    about: str
    reason: str
    message: str
    type: str = "Warning"
    source: str = "kubelet"
    nodes: str = "not-ready"  # or all, first, last
    every: float = 60.0


@dataclass(frozen=True, slots=True)
class CniFact:
    """How the pods of the CNI's DaemonSet do, on which nodes, and what their containers last said."""

    state: str = "ready"  # ready, crash-loop, not-ready, starting, absent
    at: str = "not-ready"  # or all, first
    container: str = "kube-flannel"
    exit_code: int = 1
    reason: str = "Error"
    log: str = ""  # a name in library/logs.yaml or in the scenario's own `logs`
    restart_every: float = 300.0  # the kubelet's back-off settles at five minutes


@dataclass(frozen=True, slots=True)
class Facts:
    text: str = ""  # what Rancher waits for; empty = nothing
    error: bool = False  # the planner failed instead of waiting
    condition: str = ""  # RKE1: the condition that carries the text: Provisioned, Updated, Waiting
    provisioned: bool = True
    connected: bool = True
    machines: Count = ALL  # with running infrastructure
    checked_in: Count = ALL  # whose system-agent applied a plan
    nodes: Count = ALL  # Node objects downstream
    ready: Count = ALL  # of those, Ready
    not_ready: tuple[int, ...] = ()  # rather these, by place
    not_ready_as: str = "network"  # network, kubelet-stopped
    pod_cidrs: Count = ALL
    ghosts: int = 0  # Node objects whose machine is gone
    uninitialized: bool = False  # every node keeps the cloud provider's taint
    probes_bad: tuple[str, ...] = ()
    probes_bad_on: str = "first"  # first, all
    cni: CniFact = field(default_factory=CniFact)
    agent: str = "running"  # running, pending, crash-loop, absent
    job: str = "completed"  # the job that installs the CNI: completed, crash-loop (its log is `trouble-job`)
    cni_leaves_out: str = ""  # not-ready: the CNI's DaemonSet wants no pod on nodes that are not ready
    upgraded: Count = ALL  # nodes that run the wanted Kubernetes version
    crds_missing: tuple[str, ...] = ()
    infra_error: str = ""
    draining: int = -1  # place of the machine being drained
    proxies: int = 0  # how often kube-proxy was recreated
    deleting: bool = False
    events: tuple[EventFact, ...] = ()

    def counts(self, age: float, total: int) -> "Counts":
        """The counts at that age of the state, as plain numbers."""
        values = {}
        for name in COUNTS:
            value = getattr(self, name)
            values[name] = value.at(age, total) if isinstance(value, Ramp) else count(value, total)
        return Counts(**values)

    def ramps(self) -> list[Ramp]:
        return [v for name in COUNTS if isinstance(v := getattr(self, name), Ramp)]


@dataclass(frozen=True, slots=True)
class Counts:
    """How many nodes have got how far."""

    machines: int
    checked_in: int
    nodes: int
    ready: int
    pod_cidrs: int
    upgraded: int


COUNTS = ("machines", "checked_in", "nodes", "ready", "pod_cidrs", "upgraded")


def parse_facts(raw: Mapping[str, Any], seconds: Any) -> Facts:
    """From YAML; a wrong key raises ValueError that names it. `seconds` turns `90s` into a number."""
    known = {f.name for f in fields(Facts)}
    values: dict[str, Any] = {}
    for key, value in raw.items():
        if key not in known:
            raise ValueError(f"a state does not know {key!r}; it knows: {', '.join(sorted(known))}")
        if key in COUNTS:
            values[key] = _count(key, value, seconds)
        elif key == "cni":
            values[key] = CniFact(**{k: seconds(v) if k == "restart_every" else v for k, v in value.items()})
        elif key == "events":
            values[key] = tuple(
                EventFact(**{k: seconds(v) if k == "every" else v for k, v in e.items()}) for e in value
            )
        elif isinstance(value, list):
            values[key] = tuple(value)
        else:
            values[key] = value
    return Facts(**values)


def _count(key: str, value: Any, seconds: Any) -> Count:
    if value == "all":
        return ALL
    if value == "none":
        return 0
    if isinstance(value, Mapping):
        start, stop = _count(key, value.get("from", 0), seconds), _count(key, value.get("to", "all"), seconds)
        if isinstance(start, Ramp) or isinstance(stop, Ramp):
            raise TypeError(f"{key}: a ramp goes from a number to a number")
        return Ramp(start, stop, seconds(value["every"]), int(value.get("by", 1)))
    if not isinstance(value, int):
        raise TypeError(f"{key}: expected a number, all, none or a ramp, found {value!r}")
    return value
