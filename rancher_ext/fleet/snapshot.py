"""All facts about one cluster at one instant: what `classify` judges and nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from rancher_ext.fleet.cluster import ClusterIdentity, ClusterKey, Distribution, Management
from rancher_ext.fleet.cni import Cni, CniSource
from rancher_ext.fleet.node import Condition, Machine, Node
from rancher_ext.fleet.versions import Version


@dataclass(frozen=True)
class WorkloadStatus:
    """The CNI DaemonSet as its controller counts it, and since when all its ready pods are ready (None = not known).

    `updated` counts the pods made from the present template; None where the controller did not say.
    """

    name: str
    desired: int
    ready: int
    ready_since: datetime | None = None
    updated: int | None = None

    @property
    def rolling(self) -> bool:
        """A new template is on its way to the nodes."""
        return self.updated is not None and self.updated < self.desired


@dataclass(frozen=True)
class ClusterSnapshot:
    """Facts, never conclusions. None means "not known", an empty tuple means "there are none".

    `connected` is Rancher's `Connected` condition: None before the first attempt. `planner` is the message Rancher shows
    (RKEControlPlane Ready for RKE2 and K3s; Waiting, Updated or Provisioned of the management cluster for RKE1).
    `initialized` tells whether the control plane ever was up. `api_reached` is True when `nodes` come from the cluster's own
    API, and None when they are Rancher's copies.
    """

    identity: ClusterIdentity
    taken_at: datetime
    created: datetime
    cni: Cni = Cni.UNKNOWN
    cni_source: CniSource = CniSource.UNKNOWN
    kubernetes: Version | None = None
    rancher: Version | None = None
    connected: bool | None = None
    connected_since: datetime | None = None
    ready: bool | None = None
    updated: bool | None = None
    initialized: bool = False
    deleting: bool = False
    paused: bool = False
    planner: str = ""
    conditions: tuple[Condition, ...] = ()
    machines: tuple[Machine, ...] = ()
    nodes: tuple[Node, ...] = ()
    node_count: int | None = None
    workload: WorkloadStatus | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    plans_readable: bool = True
    api_reached: bool | None = None

    @property
    def key(self) -> ClusterKey:
        return self.identity.key

    @property
    def distribution(self) -> Distribution:
        return self.identity.distribution

    @property
    def management(self) -> Management:
        return self.identity.management

    def condition(self, kind: str) -> Condition | None:
        return next((condition for condition in self.conditions if condition.type == kind), None)
