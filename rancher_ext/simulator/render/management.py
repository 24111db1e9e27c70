"""Which objects does Rancher's own cluster hold for one downstream cluster?

Here: the management cluster, the provisioning cluster, Rancher's copies of nodes, the provisioning log. The Cluster API
and rke.cattle.io side is in `capi.py`. As on a real server `status.provider`, the version and the node copies stay
empty until the downstream API has answered once; RKE1 is the exception, its nodes exist from registration and are
synced through the node tunnel.
"""

from typing import Any

from rancher_ext.simulator import conditions as cond
from rancher_ext.simulator.clock import rfc3339
from rancher_ext.simulator.cluster import SimCluster
from rancher_ext.simulator.config import DRIVER_KINDS
from rancher_ext.simulator.identity import MachineName
from rancher_ext.simulator.render.capi import render_capi
from rancher_ext.simulator.render.nodes import node_object
from rancher_ext.simulator.render.objects import Rendering
from rancher_ext.simulator.render.plan import b64
from rancher_ext.simulator.store import Store

Json = dict[str, Any]

AGENT_ANNOTATION = "provisioning.cattle.io/administrated"
_MANAGEMENT_FINALIZERS = [
    "wrangler.cattle.io/mgmt-cluster-remove",
    "controller.cattle.io/cluster-agent-controller-cleanup",
]
_PROVISIONING_FINALIZERS = ["wrangler.cattle.io/provisioning-cluster-remove", "wrangler.cattle.io/rke-cluster-remove"]
FORCE_UPDATE = "rke.cattle.io/force-update"
_CA = b64("-----BEGIN CERTIFICATE-----\nMIIBsimulated\n-----END CERTIFICATE-----\n")


def render_management(cluster: SimCluster, store: Store) -> Rendering:
    """Everything in `local` that belongs to one cluster."""
    out = Rendering(store)
    created = cluster.born
    deleted_at = cluster.entered if cluster.facts.deleting else None
    standing = cluster.standing
    management = cond.management_cluster(standing)
    ns = cluster.identity.namespace
    out.add(
        "v1", "Namespace", cluster.id, created=created, status={"phase": "Active"}, spec={"finalizers": ["kubernetes"]}
    )
    found = out.found("management.cattle.io/v3", "Cluster", "", cluster.id)
    out.add(
        "management.cattle.io/v3",
        "Cluster",
        cluster.id,
        created=created,
        labels=_labels(cluster, found),
        annotations=_annotations(cluster),
        drop_annotations=() if cluster.running_rke_up else (FORCE_UPDATE,),
        finalizers=_MANAGEMENT_FINALIZERS,
        deleted_at=deleted_at,
        spec=_management_spec(cluster, found),
        status=_management_status(cluster, management),
    )
    found = out.found("provisioning.cattle.io/v1", "Cluster", ns, cluster.name)
    spec = cluster.wanted if cluster.provisioned_v2 else (found or {}).get("spec") or {"localClusterAuthEndpoint": {}}
    generation = out.generation("provisioning.cattle.io/v1", "Cluster", ns, cluster.name, spec)
    out.add(
        "provisioning.cattle.io/v1",
        "Cluster",
        cluster.name,
        ns,
        created=created,
        labels={} if found else dict(cluster.scenario.labels),
        annotations={"field.cattle.io/creatorId": "user-x2f7k"},
        finalizers=_PROVISIONING_FINALIZERS,
        deleted_at=deleted_at,
        spec=spec,
        status=_provisioning_status(cluster, management, generation),
    )
    if cluster.log:
        lines = [f"{rfc3339(at)} [{'ERROR' if error else 'INFO '}] {text}" for at, text, error in cluster.log]
        out.add(
            "v1",
            "ConfigMap",
            "provisioning-log",
            cluster.id,
            created=cluster.log[0][0],
            data={"log": "\n".join(lines) + "\n", "last": cluster.log[-1][1]},
        )
    _render_nodes(cluster, out)
    if cluster.provisioned_v2:
        render_capi(cluster, out)
    return out


def _labels(cluster: SimCluster, found: Json | None) -> dict[str, str]:
    """The scenario's labels are there from the beginning and belong to the clients from then on."""
    labels = {} if found else dict(cluster.scenario.labels)
    if cluster.was_connected or cluster.scenario.management == "local":
        labels["provider.cattle.io"] = provider(cluster)
    return labels


def _annotations(cluster: SimCluster) -> dict[str, str]:
    found = {
        "field.cattle.io/creatorId": "user-x2f7k",
        "lifecycle.cattle.io/create.cluster-agent-controller-cleanup": "true",
    }
    if cluster.provisioned_v2:
        found[AGENT_ANNOTATION] = "true"
        found["objectset.rio.cattle.io/owner-name"] = cluster.name
    return found


def provider(cluster: SimCluster) -> str:
    s = cluster.scenario
    if s.management == "hosted":
        return "eks"
    return {"rke1": "rke", "rke2": "rke2", "k3s": "k3s"}.get(s.distribution, "")


def driver(cluster: SimCluster) -> str:
    s = cluster.scenario
    if s.management == "hosted":
        return "EKS"
    if cluster.rke1:
        return "rancherKubernetesEngine"
    if s.management == "local" or (
        s.management == "imported" and s.distribution in {"rke2", "k3s"} and cluster.was_connected
    ):
        return s.distribution
    return "imported"


def _management_spec(cluster: SimCluster, found: Json | None) -> Json:
    spec: Json = (
        dict(found["spec"])
        if found
        else {
            "displayName": cluster.name,
            "description": "",
            "internal": cluster.scenario.management == "local",
            "fleetWorkspaceName": cluster.identity.namespace,
            "enableNetworkPolicy": False,
            "dockerRootDir": "/var/lib/docker",
            "desiredAgentImage": "",
            "windowsPreferedCluster": False,
            "localClusterAuthEndpoint": {"enabled": False},
            "clusterSecrets": {},
        }
    )
    if cluster.rke1:
        spec["rancherKubernetesEngineConfig"] = cluster.wanted
    elif cluster.scenario.management == "hosted" and not found:
        spec["eksConfig"] = {
            "kubernetesVersion": cluster.scenario.kubernetes.removeprefix("v").rsplit(".", 1)[0],
            "displayName": cluster.name,
            "region": "eu-central-1",
            "imported": False,
        }
    elif cluster.scenario.management == "imported" and not found:
        spec["importedConfig"] = {"kubeConfig": ""}
        if cluster.scenario.distribution in {"rke2", "k3s"}:
            spec[f"{cluster.scenario.distribution}Config"] = {"kubernetesVersion": cluster.scenario.kubernetes}
    return spec


def _management_status(cluster: SimCluster, management: list[cond.Cond]) -> Json:
    reached = cluster.was_connected or cluster.scenario.management == "local"
    answered = reached or (cluster.rke1 and cluster.facts.provisioned)
    status: Json = {
        "driver": driver(cluster),
        "provider": provider(cluster) if reached else "",
        "agentImage": f"rancher/rancher-agent:{cluster.rancher_version}" if reached else "",
        "agentFeatures": {},
        "apiEndpoint": cluster.identity.api_server if answered else "",
        "caCert": _CA if answered else "",
        "authImage": "",
        "appliedAgentEnvVars": None,
        "conditions": cluster.since.rancher("management", management, cluster.born),
        "istioEnabled": False,
        "nodeCount": _node_count(cluster),
    }
    if answered:
        status["version"] = {
            "gitVersion": _server_version(cluster),
            "major": "1",
            "minor": _server_version(cluster).split(".")[1],
            "platform": "linux/amd64",
        }
        status["serviceAccountTokenSecret"] = "cluster-serviceaccounttoken-" + cluster.id[-5:]
    if cluster.rke1:
        status["appliedSpec"] = {"displayName": cluster.name, "rancherKubernetesEngineConfig": cluster.applied or {}}
        if cluster.facts.error:
            status["failedSpec"] = {"displayName": cluster.name, "rancherKubernetesEngineConfig": cluster.wanted}
    return status


def _server_version(cluster: SimCluster) -> str:
    """RKE1 nodes report the upstream version, without Rancher's suffix."""
    version = cluster.scenario.kubernetes
    if cluster.scenario.was and not cluster.counts.upgraded:
        version = cluster.scenario.was
    return version.split("-rancher")[0]


def _node_count(cluster: SimCluster) -> int:
    if cluster.rke1:
        return cluster.counts.machines
    return (cluster.counts.nodes + cluster.facts.ghosts - len(cluster.forgotten_ghosts)) if cluster.was_connected else 0


def _provisioning_status(cluster: SimCluster, management: list[cond.Cond], generation: int) -> Json:
    standing = cluster.standing
    status: Json = {
        "clusterName": cluster.id,
        "fleetWorkspaceName": cluster.identity.namespace,
        "ready": standing.active and cluster.facts.connected,
        "agentDeployed": cluster.was_connected,
        "observedGeneration": generation - (not cluster.accepted),
        "conditions": cluster.since.rancher(
            "provisioning", cond.provisioning_cluster(standing, management), cluster.born
        ),
    }
    if cluster.facts.provisioned:
        status["clientSecretName"] = f"{cluster.name}-kubeconfig"
    return status


def _render_nodes(cluster: SimCluster, out: Rendering) -> None:
    """RKE1: from registration on. Others: only a sync from downstream makes them; stale when the agent is lost."""
    if not cluster.rke1 and not cluster.was_connected:
        return
    s = cluster.standing
    for m in cluster.identity.machines:
        if cluster.rke1:
            if m.place < cluster.counts.machines:
                _add_node(cluster, out, s, m, m.id)
        elif m.place < cluster.counts.nodes:
            _add_node(cluster, out, s, m, "machine-" + m.id[-5:])
    for ghost in cluster.identity.ghosts[: cluster.facts.ghosts]:
        if ghost.node not in cluster.forgotten_ghosts:
            _add_node(cluster, out, s, ghost, "machine-" + ghost.id[-5:])


def _add_node(cluster: SimCluster, out: Rendering, s: cond.Standing, m: MachineName, name: str) -> None:
    exists = m.place < cluster.counts.nodes
    status: Json = {"conditions": cluster.since.rancher(m.name, cond.rke1_machine(s, m), cluster.born)}
    spec: Json = {
        "controlPlane": m.has("controlplane"),
        "etcd": m.has("etcd"),
        "worker": m.has("worker"),
        "requestedHostname": m.name,
        "imported": not cluster.rke1,
        "desiredNodeUnschedulable": "",
        "internalNodeSpec": {},
    }
    if cluster.rke1:
        spec["nodePoolName"] = f"{cluster.id}:np-{m.pool}"
        spec["nodeTemplateName"] = f"cattle-global-nt:nt-{DRIVER_KINDS.get(cluster.scenario.driver, 'custom').lower()}"
        status["rkeNode"] = {"address": m.ip, "hostnameOverride": m.name, "user": "ubuntu", "role": list(m.roles)}
        status["dockerInfo"] = {"ServerVersion": cluster.scenario.runtime.removeprefix("docker://")}
    if exists and cluster.reachable():
        node = node_object(cluster, m, with_heartbeat=False)
        spec["internalNodeSpec"] = node["spec"]
        status |= {
            "internalNodeStatus": node["status"],
            "nodeName": m.node,
            "nodeLabels": node["metadata"]["labels"],
            "nodeAnnotations": node["metadata"]["annotations"],
        }
        status["conditions"] = status["conditions"] + [
            c
            for c in node["status"]["conditions"]
            if c["type"] in {"Ready", "DiskPressure", "MemoryPressure", "PIDPressure"}
        ]
    elif exists:
        old = out.found("management.cattle.io/v3", "Node", cluster.id, name)
        if old:
            spec, status = old["spec"], old["status"]
    out.add(
        "management.cattle.io/v3",
        "Node",
        name,
        cluster.id,
        created=cluster.born + 30,
        labels={"cattle.io/creator": "norman", "management.cattle.io/nodename": m.node},
        spec=spec,
        status=status,
    )
