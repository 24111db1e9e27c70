"""What is this cluster: who made it, which distribution, and how is it named?"""

from dataclasses import dataclass
from enum import StrEnum


class Distribution(StrEnum):
    RKE1 = "rke1"
    RKE2 = "rke2"
    K3S = "k3s"
    KUBEADM = "kubeadm"
    UNKNOWN = "unknown"


class Management(StrEnum):
    """Who owns the cluster's lifecycle. Only `provisioned` clusters have a write path through Rancher."""

    PROVISIONED = "provisioned"
    IMPORTED = "imported"
    HOSTED = "hosted"
    LOCAL = "local"


@dataclass(frozen=True, order=True)
class ClusterKey:
    """What a hint carries: the name of a Rancher server and the management cluster id (`c-m-8jq5fz7k`, `c-8xk2p`)."""

    rancher: str
    id: str

    def __str__(self) -> str:
        return f"{self.rancher}/{self.id}"


@dataclass(frozen=True)
class ClusterIdentity:
    """The names of one cluster.

    `namespace` and `name` are those of the provisioning object (for RKE1 its mirror), `uid` is the management
    cluster's: it is the part of an incident's id that survives a rename and never returns after a re-creation.
    """

    key: ClusterKey
    uid: str
    name: str
    namespace: str
    distribution: Distribution
    management: Management
    driver: str = ""

    @property
    def id(self) -> str:
        return self.key.id
