"""What does a downstream Kubernetes Node look like?

Conditions, taints, addresses, nodeInfo, podCIDR and flannel's annotations. Flannel's annotations and
`NetworkUnavailable=False` appear with the first successful start of flannel on that node and stay.
"""

import hashlib
from typing import Any

from rancher_ext.simulator import conditions as cond
from rancher_ext.simulator.clock import rfc3339
from rancher_ext.simulator.cluster import SimCluster
from rancher_ext.simulator.identity import MachineName
from rancher_ext.simulator.render.capi import node_info

Json = dict[str, Any]

_ROLES = {"controlplane": ("control-plane", "master"), "etcd": ("etcd",), "worker": ("worker",)}
GHOST_GONE = 9 * 86400.0  # a machine that was deleted nine days ago left its Node behind


def pod_cidr(cluster: SimCluster, m: MachineName) -> str:
    total = len(cluster.identity.machines)
    block = m.place if m.place >= 0 else total - cluster.facts.ghosts + (-1 - m.place)
    if m.place >= cluster.counts.pod_cidrs:
        return ""
    return f"10.{42 + block // 256}.{block % 256}.0/24"


def vtep_mac(m: MachineName) -> str:
    digest = hashlib.md5(m.node.encode(), usedforsecurity=False).hexdigest()
    return ":".join(["6e", *(digest[i : i + 2] for i in range(0, 10, 2))])


def has_flannel(cluster: SimCluster, m: MachineName) -> bool:
    return m.place < 0 or m.place in cluster.ready_since


def node_object(cluster: SimCluster, m: MachineName, *, with_heartbeat: bool = True) -> Json:
    """The Node, ready to be put into the downstream store (`metadata` without what the server adds)."""
    s, scenario = cluster.standing, cluster.scenario
    ready, ghost = cluster.is_ready(m), m.place < 0
    joined = cluster.born + (60 if not ghost else 0)
    if ghost:
        lost = cluster.now // 86400 * 86400 - GHOST_GONE
        conditions = [
            {
                "type": kind,
                "status": "Unknown",
                "reason": "NodeStatusUnknown",
                "message": "Kubelet stopped posting node status.",
                "lastHeartbeatTime": rfc3339(lost),
                "lastTransitionTime": rfc3339(lost + 45),
            }
            for kind in ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready")
        ]
    else:
        stopped = not ready and s.facts.not_ready_as == "kubelet-stopped"
        beat = cluster.entered if stopped else cluster.now // 60 * 60
        if not with_heartbeat:
            beat = cluster.entered
        found = cond.node_conditions(s, ready=ready, network=has_flannel(cluster, m))
        conditions = cluster.since.kubelet("node/" + m.node, found, joined, max(beat, joined))
    labels = {
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": m.node,
        "kubernetes.io/os": m.os,
        "beta.kubernetes.io/os": m.os,
        **{f"node-role.kubernetes.io/{r}": "true" for role in m.roles for r in _ROLES.get(role, ())},
    }
    annotations = {
        "node.alpha.kubernetes.io/ttl": "0",
        "volumes.kubernetes.io/controller-managed-attach-detach": "true",
    }
    if scenario.distribution in {"rke2", "k3s"}:
        prefix = f"{scenario.distribution}.io"
        annotations[f"{prefix}/hostname"] = m.node
        annotations[f"{prefix}/internal-ip"] = m.ip
        labels["rke.cattle.io/machine"] = cluster.id
    if has_flannel(cluster, m) and scenario.cni in {"canal", "flannel"}:
        annotations |= flannel_annotations(cluster, m)
    return {
        "metadata": {"name": m.node, "labels": labels, "annotations": annotations},
        "spec": _spec(cluster, m, ready=ready),
        "status": {
            "addresses": [{"type": "InternalIP", "address": m.ip}, {"type": "Hostname", "address": m.node}],
            "allocatable": {"cpu": "4", "memory": "16113412Ki", "pods": "110"},
            "capacity": {"cpu": "4", "memory": "16113412Ki", "pods": "110"},
            "conditions": conditions,
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "nodeInfo": node_info(cluster, m),
        },
    }


def flannel_annotations(cluster: SimCluster, m: MachineName) -> dict[str, str]:
    prefix = "flannel.alpha.coreos.com"
    vni = 4096 if (cluster.scenario.distribution, cluster.scenario.cni) == ("rke2", "flannel") else 1
    return {
        f"{prefix}/backend-data": f'{{"VNI":{vni},"VtepMAC":"{vtep_mac(m)}"}}',
        f"{prefix}/backend-type": "vxlan",
        f"{prefix}/kube-subnet-manager": "true",
        f"{prefix}/public-ip": m.ip,
    }


def _spec(cluster: SimCluster, m: MachineName, *, ready: bool) -> Json:
    spec: Json = {}
    cidr = pod_cidr(cluster, m)
    if cidr:
        spec |= {"podCIDR": cidr, "podCIDRs": [cidr]}
    prefix = {"rke2": "rke2://", "k3s": "k3s://"}.get(cluster.scenario.distribution)
    if prefix and not cluster.facts.uninitialized:
        spec["providerID"] = prefix + m.node
    taints: list[Json] = []
    if not m.has("worker"):
        if m.has("controlplane"):
            taints.append({"key": "node-role.kubernetes.io/control-plane", "value": "true", "effect": "NoSchedule"})
        if m.has("etcd"):
            taints.append({"key": "node-role.kubernetes.io/etcd", "value": "true", "effect": "NoExecute"})
    if cluster.facts.uninitialized and m.place >= 0:
        taints.append(
            {"key": "node.cloudprovider.kubernetes.io/uninitialized", "value": "true", "effect": "NoSchedule"}
        )
    if not ready:
        silent = m.place < 0 or cluster.facts.not_ready_as == "kubelet-stopped"
        key = "node.kubernetes.io/unreachable" if silent else "node.kubernetes.io/not-ready"
        since = rfc3339(cluster.since.when("node/" + m.node, "Ready", cluster.born))
        taints.append({"key": key, "effect": "NoSchedule"})
        if silent or m.place in cluster.ready_since:
            taints.append({"key": key, "effect": "NoExecute", "timeAdded": since})
    if cluster.facts.draining == m.place:
        spec["unschedulable"] = True
        taints.append({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"})
    if taints:
        spec["taints"] = taints
    return spec
