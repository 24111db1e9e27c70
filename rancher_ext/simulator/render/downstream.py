"""Which objects does a downstream cluster's own API serve?

Nodes, pods with statuses, DaemonSets, Deployments, Jobs, Events, the CNI's ConfigMap, HelmCharts, CRDs and a few
secrets. All of it follows from the cluster's facts; what a client deletes comes back as a controller would bring it
back (pods under a new name), except stale Node objects, which stay gone.
Simplified: counts of Events grow with time but are not spread over several objects; no ReplicaSets, Endpoints, Leases.
"""

import json
from typing import Any

from rancher_ext.simulator.clock import rfc3339
from rancher_ext.simulator.cluster import SimCluster
from rancher_ext.simulator.paging import Key
from rancher_ext.simulator.render.delivered import render_manifest, run_daemon_sets
from rancher_ext.simulator.render.events import render_events
from rancher_ext.simulator.render.nodes import node_object
from rancher_ext.simulator.render.objects import Rendering, job_status
from rancher_ext.simulator.render.plan import PLANTED_TOKEN, b64
from rancher_ext.simulator.render.pods import PodShape, pod_content, short_hash
from rancher_ext.simulator.render.workloads import (
    agent_pod,
    cni_namespace,
    cni_pod,
    cni_workload,
    covered,
    dns_pod,
    job_pod,
    system_pods,
)
from rancher_ext.simulator.resources import CALICO_PLURALS, NAMESPACED_KINDS, Resource
from rancher_ext.simulator.store import Store

Json = dict[str, Any]

NAMESPACES = ("cattle-fleet-system", "cattle-system", "default", "kube-node-lease", "kube-public", "kube-system")


def render_downstream(
    cluster: SimCluster, store: Store, before: set[tuple[Resource, Key]]
) -> set[tuple[Resource, Key]]:
    out = Rendering(store, shares=True)
    born = cluster.born + 80
    for name in NAMESPACES + (("calico-system",) if cluster.scenario.cni == "calico" else ()):
        out.add("v1", "Namespace", name, created=born, status={"phase": "Active"}, spec={"finalizers": ["kubernetes"]})
    machines = [m for m in cluster.identity.machines if m.place < cluster.counts.nodes]
    ghosts = [g for g in cluster.identity.ghosts[: cluster.facts.ghosts] if g.node not in cluster.forgotten_ghosts]
    for m in machines + ghosts:
        node = node_object(cluster, m)
        meta = node["metadata"]
        out.add(
            "v1",
            "Node",
            m.node,
            created=cluster.born + 60 if m.place >= 0 else cluster.born,
            labels=meta["labels"],
            annotations=meta["annotations"],
            manager="kubelet",
            spec=node["spec"],
            status=node["status"],
        )
    pods = _pods(cluster)
    for pod in pods:
        _add_pod(out, pod)
    _workloads(cluster, out, pods)
    _configuration(cluster, out)
    _crds(cluster, out)
    render_manifest(cluster, out)
    run_daemon_sets(cluster, store, out.seen)
    render_events(cluster, out, pods)
    return out.sweep(before)


def _pods(cluster: SimCluster) -> list[PodShape]:
    pods = [p for m in cluster.identity.machines for p in system_pods(cluster, m)]
    workload = cni_workload(cluster)
    if workload and cluster.facts.cni.state != "absent":
        pods += [cni_pod(cluster, workload, m) for m in covered(cluster)]
    return pods + [p for p in (agent_pod(cluster), dns_pod(cluster), job_pod(cluster)) if p]


def _add_pod(out: Rendering, pod: PodShape) -> None:
    kind, owner = pod.owner
    api = {"DaemonSet": "apps/v1", "ReplicaSet": "apps/v1", "Job": "batch/v1", "Node": "v1"}[kind]
    owners = [
        {
            "apiVersion": api,
            "kind": kind,
            "name": owner,
            "controller": True,
            "uid": f"{short_hash(owner, 8)}-0000-4000-8000-000000000000",
        }
    ]
    annotations = {"kubernetes.io/config.source": "file"} if kind == "Node" else None
    out.add(
        "v1",
        "Pod",
        pod.name,
        pod.namespace,
        created=pod.created,
        labels=pod.labels,
        annotations=annotations,
        owners=owners,
        manager="kubelet",
        **pod_content(pod),
    )


def _workloads(cluster: SimCluster, out: Rendering, pods: list[PodShape]) -> None:
    ready: dict[str, list[bool]] = {}
    for pod in pods:
        fine = not pod.pending and not pod.node_lost and all(b.ready for b in pod.boxes)
        ready.setdefault(f"{pod.owner[0]}/{pod.owner[1]}", []).append(fine)
    created = cluster.born + 100
    daemonsets = {o.split("/")[1] for o in ready if o.startswith("DaemonSet/")}
    workload = cni_workload(cluster)
    if workload and covered(cluster) and cluster.facts.cni.state != "absent":
        daemonsets.add(workload.daemonset)
    for name in sorted(daemonsets):
        states = ready.get(f"DaemonSet/{name}", [])
        cni = workload is not None and name == workload.daemonset
        template: Json = {"metadata": {"labels": {"app": name}}}
        if not (cni and workload):
            template["spec"] = _template(next(pod for pod in pods if pod.owner == ("DaemonSet", name)))["spec"]
        else:
            template["metadata"] = {"labels": workload.labels}
            template["spec"] = {
                "containers": [{"name": n, "image": image} for n, image, _ in workload.containers],
                "initContainers": [{"name": n, "image": image} for n, image, _ in workload.init],
                "hostNetwork": True,
                "tolerations": [{"operator": "Exists"}],
            }
        out.add(
            "apps/v1",
            "DaemonSet",
            name,
            cni_namespace(cluster) if cni else "cattle-system",
            created=created,
            labels=workload.labels if cni and workload else {"app": name},
            spec={
                "selector": {"matchLabels": template["metadata"]["labels"]},
                "template": template,
                "updateStrategy": {"type": "RollingUpdate"},
            },
            status={
                "currentNumberScheduled": len(states),
                "desiredNumberScheduled": len(states),
                "numberAvailable": sum(states),
                "numberMisscheduled": 0,
                "numberReady": sum(states),
                "numberUnavailable": len(states) - sum(states),
                "observedGeneration": 1,
                "updatedNumberScheduled": len(states),
            },
        )
    for owner, states in sorted(ready.items()):
        kind, name = owner.split("/")
        template = _template(next(pod for pod in pods if pod.owner == (kind, name)))
        if kind == "ReplicaSet":
            _deployment(cluster, out, name.rsplit("-", 1)[0], states, template["spec"])
        if kind == "Job":
            begun = max(created, cluster.rerun_jobs.get(name, 0.0))
            out.add(
                "batch/v1",
                "Job",
                name,
                "kube-system",
                created=begun,
                labels={"helmcharts.helm.cattle.io/chart": name.removeprefix("helm-install-")},
                spec={
                    "backoffLimit": 1000,
                    "template": {**template, "spec": {**template["spec"], "restartPolicy": "Never"}},
                },
                status=job_status(begun, failed_at=begun + 300, failed=6)
                if cluster.facts.job == "crash-loop"
                else job_status(begun, done=begun + 6),
            )


def _template(pod: PodShape) -> Json:
    """The template of a workload, as its pods show it: the API server takes none without containers."""
    containers = [{"name": box.name, "image": box.image} for box in pod.boxes if not box.init]
    spec: Json = {"containers": containers, "tolerations": list(pod.tolerations)}
    if pod.host_network:
        spec["hostNetwork"] = True
    return {"metadata": {"labels": pod.labels}, "spec": spec}


def _deployment(cluster: SimCluster, out: Rendering, name: str, states: list[bool], pod_spec: Json) -> None:
    up = all(states)
    stamp = rfc3339(cluster.connected_at or cluster.born) if up else rfc3339(cluster.born + 100)
    out.add(
        "apps/v1",
        "Deployment",
        name,
        "cattle-system" if name.startswith("cattle") else "kube-system",
        created=cluster.born + 100,
        labels={"app": name},
        spec={
            "replicas": len(states),
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": pod_spec},
        },
        status={
            "replicas": len(states),
            "readyReplicas": sum(states),
            "availableReplicas": sum(states),
            "unavailableReplicas": len(states) - sum(states),
            "observedGeneration": 1,
            "conditions": [
                {
                    "type": "Available",
                    "status": str(up),
                    "reason": "MinimumReplicasAvailable" if up else "MinimumReplicasUnavailable",
                    "message": "Deployment has minimum availability."
                    if up
                    else "Deployment does not have minimum availability.",
                    "lastTransitionTime": stamp,
                    "lastUpdateTime": stamp,
                }
            ],
        },
    )


def _configuration(cluster: SimCluster, out: Rendering) -> None:
    s, born = cluster.scenario, cluster.born + 100
    workload = cni_workload(cluster)
    if workload and s.cni in {"canal", "flannel"} and cluster.counts.nodes:
        vni = (
            {"VNI": 4096, "Port": 4789} if (s.distribution, s.cni) == ("rke2", "flannel") else {"VNI": 1, "Port": 8472}
        )
        net = {"Network": cluster_cidr(cluster), "Backend": {"Type": "vxlan", **vni}}
        out.add(
            "v1",
            "ConfigMap",
            workload.config_map,
            "kube-system",
            created=born,
            data={"net-conf.json": json.dumps(net, indent=2), "canal_iface": "", "masquerade": "true"},
        )
    out.add("v1", "ConfigMap", "cluster-dns", "kube-system", created=born, data={"clusterDNS": "10.43.0.10"})
    out.add(
        "v1",
        "Secret",
        f"cattle-credentials-{short_hash(cluster.id, 7)}",
        "cattle-system",
        created=born,
        type="Opaque",
        data={"token": b64(PLANTED_TOKEN), "url": b64("https://rancher.example")},
    )
    if s.distribution == "rke1" and s.cni and cluster.counts.nodes:
        out.add(
            "v1",
            "ConfigMap",
            "rke-network-plugin",
            "kube-system",
            created=born,
            data={"rke-network-plugin": f"# manifest of {s.cni}"},
        )
    if s.distribution == "rke2" and cluster.counts.nodes:
        _charts(cluster, out, born)


def _charts(cluster: SimCluster, out: Rendering, born: float) -> None:
    s = cluster.scenario
    for chart in (f"rke2-{s.cni}", "rke2-coredns", "rke2-metrics-server"):
        out.add(
            "helm.cattle.io/v1",
            "HelmChart",
            chart,
            "kube-system",
            created=born,
            annotations={"helm.cattle.io/chart-url": f"https://rke2-charts.rancher.io/assets/{chart}"},
            spec={
                "bootstrap": chart == f"rke2-{s.cni}",
                "chartContent": "",
                "set": {"global.clusterCIDR": cluster_cidr(cluster), "global.clusterDNS": "10.43.0.10"},
            },
            status={
                "jobName": f"helm-install-{chart}",
                "conditions": [{"type": "JobCreated", "status": "True"}, {"type": "Failed", "status": "False"}],
            },
        )
    for chart, values in ((cluster.delivered.get("rkeConfig") or {}).get("chartValues") or {}).items():
        out.add(
            "helm.cattle.io/v1",
            "HelmChartConfig",
            chart,
            "kube-system",
            created=born,
            spec={"valuesContent": json.dumps({**values, "global": {"cattle": {"clusterId": cluster.id}}})},
        )
    out.add(
        "v1",
        "Secret",
        f"sh.helm.release.v1.rke2-{s.cni}.v1",
        "kube-system",
        created=born,
        labels={"name": f"rke2-{s.cni}", "owner": "helm", "status": "deployed", "version": "1"},
        type="helm.sh/release.v1",
        data={"release": b64("simulated")},
    )


def cluster_cidr(cluster: SimCluster) -> str:
    if cluster.rke1:
        return str(
            ((cluster.delivered.get("services") or {}).get("kubeController") or {}).get("clusterCidr", "10.42.0.0/16")
        )
    config = (cluster.delivered.get("rkeConfig") or {}).get("machineGlobalConfig") or {}
    return str(config.get("cluster-cidr", "10.42.0.0/16"))


def _crds(cluster: SimCluster, out: Rendering) -> None:
    s = cluster.scenario
    names: list[tuple[str, str, str]] = []
    if s.cni in {"canal", "calico"} and cluster.counts.nodes:
        names += [(plural, kind, "crd.projectcalico.org") for plural, kind in CALICO_PLURALS.items()]
    if s.distribution in {"rke2", "k3s"}:
        names += [
            ("helmcharts", "HelmChart", "helm.cattle.io"),
            ("helmchartconfigs", "HelmChartConfig", "helm.cattle.io"),
        ]
    for plural, kind, group in names:
        name = f"{plural}.{group}"
        named = {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()}
        if name in cluster.facts.crds_missing:
            continue
        out.add(
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            name,
            created=cluster.born + 100,
            spec={
                "group": group,
                "names": named,
                "scope": "Namespaced" if kind in NAMESPACED_KINDS else "Cluster",
                # No version is taken without a schema; this one lets everything through.
                "versions": [
                    {
                        "name": "v1",
                        "served": True,
                        "storage": True,
                        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                        **({"subresources": {"status": {}}} if group == "helm.cattle.io" else {}),
                    }
                ],
            },
            status={
                "conditions": [
                    {"type": t, "status": "True", "lastTransitionTime": rfc3339(cluster.born + 101)}
                    for t in ("NamesAccepted", "Established")
                ],
                "acceptedNames": named,
                "storedVersions": ["v1"],
            },
        )
