"""Which network plugin does a cluster use, and which workloads must run where for it to be up?"""

from dataclasses import dataclass
from enum import StrEnum

from rancher_ext.fleet.cluster import Distribution


class Cni(StrEnum):
    FLANNEL = "flannel"
    CANAL = "canal"
    CALICO = "calico"
    CILIUM = "cilium"
    OTHER = "other"
    NONE = "none"
    UNKNOWN = "unknown"


class CniSource(StrEnum):
    """How the CNI was found out: what the specification says outranks defaults and guesses."""

    SPEC = "spec"
    DEFAULT = "default"
    WORKLOADS = "workloads"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class CniWorkload:
    """A DaemonSet that carries the CNI. `containers` are those whose crash keeps the node without network."""

    namespace: str
    name: str
    containers: tuple[str, ...]
    os: str = "linux"


# RKE1: templates of kontainer-driver-metadata; RKE2: charts rke2-canal, rke2-flannel. K3s runs flannel inside its own process.
_WORKLOADS: dict[tuple[Distribution, Cni], CniWorkload] = {
    (Distribution.RKE1, Cni.FLANNEL): CniWorkload("kube-system", "kube-flannel", ("kube-flannel", "install-cni")),
    (Distribution.RKE1, Cni.CANAL): CniWorkload("kube-system", "canal", ("kube-flannel", "calico-node", "install-cni")),
    (Distribution.RKE2, Cni.FLANNEL): CniWorkload("kube-system", "kube-flannel-ds", ("kube-flannel", "install-cni")),
    (Distribution.RKE2, Cni.CANAL): CniWorkload(
        "kube-system", "rke2-canal", ("kube-flannel", "calico-node", "install-cni")
    ),
}

# Names by which a running DaemonSet gives the CNI away, where no specification can be read (imported clusters).
_BY_DAEMONSET: dict[str, Cni] = {
    "canal": Cni.CANAL,
    "rke2-canal": Cni.CANAL,
    "kube-flannel": Cni.FLANNEL,
    "kube-flannel-ds": Cni.FLANNEL,
    "calico-node": Cni.CALICO,
    "cilium": Cni.CILIUM,
    "weave-net": Cni.OTHER,
    "aws-node": Cni.OTHER,
    "antrea-agent": Cni.OTHER,
    "kube-router": Cni.OTHER,
}


def workload_of(distribution: Distribution, cni: Cni) -> CniWorkload | None:
    """The DaemonSet to look at, or None where the CNI has none (K3s) or none that we know."""
    return _WORKLOADS.get((distribution, cni))


def cni_of_daemonset(name: str) -> Cni | None:
    """The CNI that a DaemonSet of this name belongs to, or None when the name says nothing."""
    return _BY_DAEMONSET.get(name)


def cni_named(text: object) -> Cni:
    """The CNI that a `cni` or `network.plugin` value names.

    RKE2 accepts a string, a comma list, a JSON list and `calico+multus`; multus is an addition and never the network.
    """
    if isinstance(text, list):
        words = [str(word) for word in text]
    else:
        words = str(text or "").strip("[]").replace('"', "").replace("+", ",").split(",")
    names = [word.strip().lower() for word in words if word.strip() and word.strip().lower() != "multus"]
    if not names:
        return Cni.UNKNOWN
    return Cni(names[0]) if names[0] in {"flannel", "canal", "calico", "cilium", "none"} else Cni.OTHER
