"""Whose words are in this file?

Our own layout says it in the path. Which pod is which part of the cluster is read from its name, since distributions
name the same thing differently: Canal's pods are `canal-…` on RKE1 and `rke2-canal-…` on RKE2.
"""

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache


class OriginKind(StrEnum):
    CONTAINER = "container"
    UNIT = "unit"
    EVENTS = "events"
    NODES = "nodes"
    PODS = "pods"
    CONDITIONS = "conditions"
    HELM = "helm"
    OBJECT = "object"
    NOT_TEXT = "not-text"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Origin:
    """Where the lines of a file come from; None is what the path does not tell."""

    kind: OriginKind
    namespace: str | None = None
    pod: str | None = None
    container: str | None = None
    previous: bool = False
    unit: str | None = None
    node: str | None = None
    workload: str | None = None


# What follows the workload's name in a pod's name: ReplicaSet hash, then the pod's own five letters; static pods end in the node's name.
_TAIL = r"(-[a-z0-9.-]+)?$"
_WORKLOADS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (workload, re.compile(pattern + _TAIL))
    for workload, pattern in (
        ("helm-install", r"^helm-(?:install|delete)-[a-z0-9-]+"),
        ("network-deploy-job", r"^rke-network-plugin-deploy-job"),
        ("calico-kube-controllers", r"^(?:rke2-canal-)?calico-kube-controllers"),
        ("cni", r"^(?:rke2-)?(?:kube-)?flannel(?:-ds)?(?:-(?:amd64|arm64|arm|ppc64le|s390x|windows))?"),
        ("cni", r"^(?:rke2-)?canal"),
        (
            "other-cni",
            r"^(?:calico-(?:node|typha|apiserver)|tigera-operator|cilium(?:-operator|-envoy)?|weave-net|kube-router)",
        ),
        (
            "other-cni",
            r"^(?:rke2-cilium|rke2-calico|kube-ovn|ovs-ovn|antrea-(?:agent|controller)|aws-node|hubble-relay)",
        ),
        ("kube-proxy", r"^kube-proxy"),
        ("cluster-agent", r"^cattle-cluster-agent(?:-bootstrap)?"),
        ("node-agent", r"^cattle-node-agent"),
        ("kube-apiserver", r"^kube-apiserver"),
        ("kube-controller-manager", r"^kube-controller-manager"),
        (
            "cloud-controller-manager",
            r"^(?:cloud-controller-manager|[a-z]+-cloud-controller-manager|rancher-vsphere-cpi)",
        ),
        ("coredns", r"^(?:rke2-)?(?:rke2-)?(?:coredns|kube-dns)"),
        ("etcd", r"^etcd"),
        ("ingress", r"^(?:rke2-)?(?:nginx-ingress-controller|ingress-nginx|traefik)"),
    )
)

# Units whose one process also runs what other distributions run beside it.
K3S_UNITS = frozenset({"k3s", "k3s-agent", "k3s-server"})
RKE2_UNITS = frozenset({"rke2-server", "rke2-agent", "rke2"})
UNITS = K3S_UNITS | RKE2_UNITS | frozenset(
    {
        "kubelet", "kube-proxy", "containerd", "docker", "cri-dockerd", "kernel", "dmesg", "rancher-system-agent", "rancher-agent",
        "rancher-wins", "provisioning", "tcpdump", "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler",
        "cloud-controller-manager", "networkmanager", "firewalld", "audit", "flanneld",
    }
)  # fmt: skip

_TEXT_FILES = {
    "events": OriginKind.EVENTS,
    "nodes": OriginKind.NODES,
    "pods": OriginKind.PODS,
    "conditions": OriginKind.CONDITIONS,
    "helm": OriginKind.HELM,
}


@lru_cache(maxsize=65536)
def workload_of_pod(name: str) -> str | None:
    """Which part of the cluster a pod of this name is, or None for pods that are nobody's network."""
    name = name.removeprefix("pod/")
    return next((workload for workload, pattern in _WORKLOADS if pattern.match(name)), None)


def container_origin(namespace: str | None, pod: str, container: str | None, *, previous: bool = False) -> Origin:
    return Origin(
        OriginKind.CONTAINER,
        namespace=namespace,
        pod=pod,
        container=container,
        previous=previous,
        workload=workload_of_pod(pod),
    )


def unit_origin(unit: str, node: str | None = None) -> Origin:
    unit = {"dmesg": "kernel", "k3s-server": "k3s"}.get(unit.lower(), unit.lower())
    return Origin(OriginKind.UNIT, unit=unit, node=node)


def origin_of(path: str) -> Origin:
    """What the path says in our own layout; kind UNKNOWN for anything else."""
    parts = path.split("/")
    stem, _, suffix = parts[-1].rpartition(".")
    if parts[0] == "objects" and suffix == "json":
        return Origin(OriginKind.OBJECT)
    if len(parts) == 1:
        if path in {"manifest.json", "case.json"}:
            return Origin(OriginKind.NOT_TEXT)
        if suffix == "txt" and stem in _TEXT_FILES:
            kind = _TEXT_FILES[stem]
            return Origin(kind, workload="helm-install") if kind is OriginKind.HELM else Origin(kind)
        return Origin(OriginKind.UNKNOWN)
    if parts[0] != "logs" or suffix != "log":
        return Origin(OriginKind.UNKNOWN)
    return _log_origin(parts[1:-1], stem)


def _log_origin(folders: list[str], stem: str) -> Origin:
    previous = stem.endswith(".previous")
    stem = stem.removesuffix(".previous")
    if not folders:
        return unit_origin(stem)
    if len(folders) == 2:
        return container_origin(folders[0], folders[1], stem, previous=previous)
    if len(folders) > 2:
        return Origin(OriginKind.UNKNOWN)
    if folders[0].lower() in UNITS:
        return replace(unit_origin(folders[0], stem), previous=previous)
    # `logs/<namespace>/<pod>.log`: the container was not named.
    if workload_of_pod(stem):
        return container_origin(folders[0], stem, None, previous=previous)
    return replace(unit_origin(folders[0], stem), previous=previous)
