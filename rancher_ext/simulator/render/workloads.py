"""Which workloads run on a downstream cluster, and in which pods?

Names, containers, images and owners as RKE1's add-on templates, the rke2-canal and rke2-flannel charts and Rancher's
agent manifest make them. K3s has no CNI pod at all: its flannel is part of the k3s process.
"""

from dataclasses import dataclass
from typing import Any

from rancher_ext.simulator.cluster import SimCluster
from rancher_ext.simulator.identity import MachineName
from rancher_ext.simulator.render.nodes import pod_cidr
from rancher_ext.simulator.render.pods import Box, PodShape, restarts_by, short_hash
from rancher_ext.simulator.triggers import at_path

Json = dict[str, Any]

EVERYTHING: Json = {"operator": "Exists"}
AGENT_TOLERATIONS: tuple[Json, ...] = (
    {"key": "node-role.kubernetes.io/controlplane", "value": "true", "effect": "NoSchedule"},
    {"key": "node-role.kubernetes.io/control-plane", "operator": "Exists", "effect": "NoSchedule"},
    {"key": "node-role.kubernetes.io/master", "operator": "Exists", "effect": "NoSchedule"},
)


@dataclass(frozen=True, slots=True)
class CniWorkload:
    daemonset: str
    labels: dict[str, str]
    containers: tuple[tuple[str, str, str], ...]  # name, image, healthy log
    init: tuple[tuple[str, str, str], ...]
    config_map: str


_R1_FLANNEL, _R1_CALICO = "rancher/mirrored-flannel-flannel:v0.26.4", "rancher/mirrored-calico-node:v3.29.0"
_R2_FLANNEL, _R2_CALICO = (
    "rancher/hardened-flannel:v0.26.4-build20250218",
    "rancher/hardened-calico:v3.29.2-build20250218",
)

CNI: dict[tuple[str, str], CniWorkload] = {
    ("rke1", "canal"): CniWorkload(
        "canal",
        {"k8s-app": "canal"},
        (("calico-node", _R1_CALICO, "calico-healthy"), ("kube-flannel", _R1_FLANNEL, "flannel-healthy")),
        (("install-cni", "rancher/mirrored-calico-cni:v3.29.0-rancher1", "install-cni"),),
        "canal-config",
    ),
    ("rke1", "flannel"): CniWorkload(
        "kube-flannel",
        {"k8s-app": "flannel", "tier": "node"},
        (
            ("kube-flannel", _R1_FLANNEL, "flannel-healthy"),
            ("install-cni", "rancher/flannel-cni:v1.4.1-rancher1", "install-cni-flannel"),
        ),
        (),
        "kube-flannel-cfg",
    ),
    ("rke2", "canal"): CniWorkload(
        "rke2-canal",
        {"k8s-app": "canal"},
        (("calico-node", _R2_CALICO, "calico-healthy"), ("kube-flannel", _R2_FLANNEL, "flannel-healthy")),
        (("install-cni", _R2_CALICO, "install-cni"),),
        "rke2-canal-config",
    ),
    ("rke2", "flannel"): CniWorkload(
        "kube-flannel-ds",
        {"app": "flannel", "tier": "node"},
        (("kube-flannel", _R2_FLANNEL, "flannel-healthy"),),
        (
            ("install-cni-plugins", "rancher/hardened-cni-plugins:v1.6.2-build20250124", "install-cni-flannel"),
            ("install-cni", _R2_FLANNEL, "install-cni-flannel"),
        ),
        "kube-flannel-cfg",
    ),
    ("rke2", "calico"): CniWorkload(
        "calico-node",
        {"k8s-app": "calico-node"},
        (("calico-node", "rancher/mirrored-calico-node:v3.29.2", "calico-healthy"),),
        (("install-cni", "rancher/mirrored-calico-cni:v3.29.2", "install-cni"),),
        "cni-config",
    ),
}


def cni_workload(cluster: SimCluster) -> CniWorkload | None:
    return CNI.get((cluster.scenario.distribution, cluster.scenario.cni))


def cni_namespace(cluster: SimCluster) -> str:
    return "calico-system" if cluster.scenario.cni == "calico" else "kube-system"


def covered(cluster: SimCluster) -> list[MachineName]:
    """The nodes a CNI pod is wanted on."""
    wanted = [m for m in cluster.identity.machines if m.place < cluster.counts.nodes and m.os == "linux"]
    return [m for m in wanted if cluster.is_ready(m)] if cluster.facts.cni_leaves_out else wanted


def cni_pod(cluster: SimCluster, workload: CniWorkload, m: MachineName) -> PodShape:
    manner = cluster.cni_manner(m)
    since = cluster.cni_since.get(m.place, cluster.born)
    born = max(cluster.born + 120 if manner == "ready" else since, cluster.born)
    name, begun = pod_name(cluster, f"{workload.daemonset}-", m.node)
    since = max(since, begun)
    born = max(born, begun)
    fact = cluster.facts.cni
    boxes: list[Box] = []
    if manner.startswith("starting"):
        boxes += [Box(n, image, "creating", reason="init", log=log, init=True) for n, image, log in workload.init]
        boxes += [Box(n, image, "creating", reason="init", log=log) for n, image, log in workload.containers]
    else:
        boxes += [
            Box(n, image, "completed", started=born + 2, finished=born + 4, log=log, init=True)
            for n, image, log in workload.init
        ]
        for n, image, log in workload.containers:
            if n == fact.container and manner != "ready":
                boxes.append(_sick(cluster, n, image, since))
            else:
                boxes.append(Box(n, image, started=max(born + 5, since if n == fact.container else 0.0), log=log))
    return PodShape(
        name,
        cni_namespace(cluster),
        m.node,
        tuple(boxes),
        born,
        {**workload.labels, "controller-revision-hash": "5d9f8c7b6d", "pod-template-generation": "1"},
        ("DaemonSet", workload.daemonset),
        host_network=True,
        host_ip=m.ip,
        tolerations=(EVERYTHING,),
        node_lost=not cluster.is_ready(m) and cluster.facts.not_ready_as == "kubelet-stopped",
    )


def _sick(cluster: SimCluster, name: str, image: str, since: float) -> Box:
    fact = cluster.facts.cni
    if fact.state == "not-ready":
        return Box(name, image, "not-ready", started=since + 5, log=fact.log)
    count, started = restarts_by(cluster.now - since, fact.restart_every)
    return Box(
        name,
        image,
        "crash-loop",
        restarts=count,
        started=since + started,
        finished=since + started + (1.2 if fact.restart_every >= 300 else fact.restart_every / 2),
        exit_code=fact.exit_code,
        reason=fact.reason,
        log=fact.log,
        back_off=300.0 if count > 4 else min(300.0, 10.0 * 2**count),
    )


def pod_name(cluster: SimCluster, prefix: str, node: str, *, replica: int = 0) -> tuple[str, float]:
    """Generated and stable, until the pod is taken away: then its successor has another name, and begins to live then."""
    life, since = 0, 0.0
    while True:
        name = prefix + short_hash(f"{cluster.id}/{prefix}/{node}/{replica}/{life}")
        if name not in cluster.ended_pods:
            return name, since
        life, since = life + 1, cluster.ended_pods[name]


def agent_pod(cluster: SimCluster) -> PodShape | None:
    """cattle-cluster-agent: not on the host network and without toleration for not-ready nodes."""
    fact = cluster.facts.agent
    if fact == "absent" or not cluster.counts.nodes:
        return None
    template = short_hash(cluster.id + "agent", 10)
    hosts = [m for m in cluster.identity.machines if cluster.is_ready(m) and m.has("controlplane")]
    hosts = hosts or [m for m in cluster.identity.machines if cluster.is_ready(m)]
    host = hosts[0] if hosts else cluster.identity.first
    started = max(cluster.connected_at or cluster.born, cluster.born)
    image = f"rancher/rancher-agent:{cluster.rancher_version}"
    state = {"running": "running", "crash-loop": "crash-loop", "pending": "creating"}[fact]
    name, begun = pod_name(cluster, f"cattle-cluster-agent-{template}-", "agent")
    box = Box("cluster-register", image, state, started=max(started, begun), log="agent-connected")
    if state == "crash-loop":
        count, at = restarts_by(cluster.now - cluster.entered, 300.0)
        box = Box("cluster-register", image, state, count, cluster.entered + at, exit_code=1, log="agent-connected")
    return PodShape(
        name,
        "cattle-system",
        host.node,
        (box,),
        max(cluster.born + 100, begun),
        {"app": "cattle-cluster-agent", "pod-template-hash": template},
        ("ReplicaSet", f"cattle-cluster-agent-{template}"),
        ip=pod_ip(cluster, host, 5),
        host_ip=host.ip,
        pending=unschedulable(cluster) if fact == "pending" and (not hosts or cluster.facts.uninitialized) else "",
        tolerations=AGENT_TOLERATIONS,
    )


def dns_pod(cluster: SimCluster) -> PodShape | None:
    names = {"rke2": "rke2-coredns-rke2-coredns", "rke1": "coredns", "k3s": "coredns"}
    deployment = names.get(cluster.scenario.distribution)
    if not deployment or not cluster.counts.nodes:
        return None
    template = short_hash(cluster.id + "dns", 10)
    hosts = [m for m in cluster.identity.machines if cluster.is_ready(m)]
    host = hosts[0] if hosts else cluster.identity.first
    name, begun = pod_name(cluster, f"{deployment}-{template}-", "dns")
    started = max(cluster.born + 150, begun)
    return PodShape(
        name,
        "kube-system",
        host.node,
        (Box("coredns", "rancher/hardened-coredns:v1.12.0-build20241126", started=started, log="coredns"),),
        max(cluster.born + 100, begun),
        {"k8s-app": "kube-dns", "pod-template-hash": template},
        ("ReplicaSet", f"{deployment}-{template}"),
        ip=pod_ip(cluster, host, 4),
        host_ip=host.ip,
        pending="" if hosts else unschedulable(cluster),
    )


def system_pods(cluster: SimCluster, m: MachineName) -> list[PodShape]:
    """RKE2's static pods; RKE1 runs these as plain containers and K3s inside its own process."""
    if m.place >= cluster.counts.nodes:
        return []
    found: list[PodShape] = []
    if cluster.scenario.distribution == "rke1":
        name, begun = pod_name(cluster, "cattle-node-agent-", m.node)
        started = max(cluster.born + 110, begun)
        box = Box("agent", f"rancher/rancher-agent:{cluster.rancher_version}", started=started, log="agent-node")
        owner = ("DaemonSet", "cattle-node-agent")
        found.append(_static(cluster, m, name, box, "cattle-system", {"app": "cattle-agent"}, owner))
    if cluster.scenario.distribution == "rke2":
        boxes = ["kube-proxy"] if m.os == "linux" else []
        if m.has("etcd"):
            boxes.append("etcd")
        if m.has("controlplane"):
            boxes += ["kube-apiserver", "kube-controller-manager", "kube-scheduler"]
            if at_path(cluster.delivered, "rkeConfig.machineGlobalConfig.disable-cloud-controller") is not True:
                boxes.append("cloud-controller-manager")
        version = cluster.scenario.kubernetes.replace("+", "-")
        for n in boxes:
            log = "kube-proxy" if n == "kube-proxy" else "control-plane"
            box = Box(n, f"rancher/hardened-kubernetes:{version}", started=cluster.born + 90, log=log)
            labels = {"component": n, "tier": "control-plane"}
            found.append(_static(cluster, m, f"{n}-{m.node}", box, "kube-system", labels, ("Node", m.node)))
    return found


def _static(
    cluster: SimCluster,
    m: MachineName,
    name: str,
    box: Box,
    namespace: str,
    labels: dict[str, str],
    owner: tuple[str, str],
) -> PodShape:
    return PodShape(
        name,
        namespace,
        m.node,
        (box,),
        cluster.born + 90,
        labels,
        owner,
        host_network=True,
        host_ip=m.ip,
        tolerations=(EVERYTHING,),
    )


def job_pod(cluster: SimCluster) -> PodShape | None:
    """The chart job (RKE2) or the network add-on job (RKE1) that deployed the CNI."""
    s = cluster.scenario
    if not cluster.counts.nodes or s.cni not in {"canal", "flannel"} or s.distribution not in {"rke1", "rke2"}:
        return None
    rke2 = s.distribution == "rke2"
    job = f"helm-install-rke2-{s.cni}" if rke2 else "rke-network-plugin-deploy-job"
    first = cluster.identity.first
    started = cluster.born + 100
    container = "helm" if rke2 else "rke-network-plugin-pod"
    image = "rancher/klipper-helm:v0.9.4-build20250113" if rke2 else "rancher/hyperkube:v1.32.2-rancher1"
    log = "helm-install" if rke2 else "network-plugin-job"
    name, begun = pod_name(cluster, f"{job}-", "job")
    started = max(started, begun + 2)
    box = Box(container, image, "completed", started=started, finished=started + 5, log=log)
    if cluster.facts.job == "crash-loop":
        begun = max(cluster.entered, begun)
        count, at = restarts_by(cluster.now - begun, 300.0)
        box = Box(container, image, "crash-loop", count, begun + at, exit_code=1, log="trouble-job")
    return PodShape(
        name,
        "kube-system",
        first.node,
        (box,),
        started - 2,
        {"job-name": job, "batch.kubernetes.io/job-name": job},
        ("Job", job),
        host_network=True,
        host_ip=first.ip,
        tolerations=(EVERYTHING,),
    )


def pod_ip(cluster: SimCluster, m: MachineName, n: int) -> str:
    cidr = pod_cidr(cluster, m)
    return cidr.rsplit(".", 1)[0] + f".{n}" if cidr else ""


def unschedulable(cluster: SimCluster) -> str:
    """The scheduler's sentence about every node that does not fit."""
    total = cluster.counts.nodes
    if cluster.facts.uninitialized:
        taint = "node.cloudprovider.kubernetes.io/uninitialized: true"
    else:
        taint = "node.kubernetes.io/not-ready: "
    return (
        f"0/{total} nodes are available: {total} node(s) had untolerated taint {{{taint}}}. "
        f"preemption: 0/{total} nodes are available: {total} Preemption is not helpful for scheduling."
    )
