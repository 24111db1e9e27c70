"""What do machines and nodes say about themselves, and since when?

A *machine* is Rancher's or Cluster API's object: it exists before Kubernetes runs on it. A *node* is the Kubernetes
object, read downstream or from the copy that Rancher keeps (which is stale while the cluster is disconnected).
"""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class Condition:
    """One condition. `status` is True, False, or None for `Unknown`; `since` is the last change Rancher recorded, if any."""

    type: str
    status: bool | None
    reason: str = ""
    message: str = ""
    since: datetime | None = None


@dataclass(frozen=True)
class MachinePlan:
    """What the machine-plan secret tells without its secrets (rancher-api 3.4).

    `last_seen` is when the node's system-agent last wrote: it works without a CNI, so it tells a dead node from a dead
    network. None where the secret could not be read or carries no such time.
    """

    applied: bool
    failed: bool
    probes: tuple[tuple[str, bool], ...]
    updated: datetime | None
    probes_passed: datetime | None
    last_seen: datetime | None

    @property
    def healthy(self) -> bool:
        return bool(self.probes) and all(passed for _, passed in self.probes)


@dataclass(frozen=True)
class Machine:
    """A Cluster API machine (RKE2, K3s) or a Rancher node (RKE1), before and beside its Kubernetes node."""

    name: str
    created: datetime | None
    roles: frozenset[str] = frozenset()
    os: str = "linux"
    pool: str = ""
    registered: bool = False
    registered_since: datetime | None = None
    plan: MachinePlan | None = None
    conditions: tuple[Condition, ...] = ()
    node: str = ""

    def condition(self, kind: str) -> Condition | None:
        return next((condition for condition in self.conditions if condition.type == kind), None)


@dataclass(frozen=True)
class Taint:
    key: str
    effect: str
    value: str = ""


@dataclass(frozen=True)
class Node:
    """A Kubernetes node. `ready` is None when nobody knows (kubelet stopped reporting, or no condition at all)."""

    name: str
    ready: bool | None
    ready_since: datetime | None = None
    reason: str = ""
    message: str = ""
    created: datetime | None = None
    os: str = "linux"
    os_image: str = ""
    kernel: str = ""
    kubelet: str = ""
    pod_cidr: str = ""
    internal_ip: str = ""
    roles: frozenset[str] = frozenset()
    taints: tuple[Taint, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()
    conditions: tuple[Condition, ...] = field(default=())

    @property
    def waits_for_network(self) -> bool:
        """NotReady because of the network, as the kubelet or the runtime words it."""
        if self.ready is not False:
            return False
        said = f"{self.reason} {self.message}".lower()
        return any(
            word in said for word in ("networkpluginnotready", "network plugin", "cni", "networkunavailable")
        ) or any(condition.type == "NetworkUnavailable" and condition.status for condition in self.conditions)
