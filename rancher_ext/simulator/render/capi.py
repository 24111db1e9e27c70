"""Which rke.cattle.io and Cluster API objects stand behind a Rancher-made RKE2 or K3s cluster?

RKEControlPlane, RKECluster, RKEBootstrap and machine-plan secret per machine, Cluster API cluster, machine deployments,
machines and infrastructure machines, node driver jobs with their pods, Events. `nodeRef` and `NodeHealthy` need the
downstream API and are absent on a cluster that never connected.
"""

import base64
import hashlib
import json
import uuid
from typing import Any

from rancher_ext.simulator import conditions as cond
from rancher_ext.simulator.clock import rfc3339
from rancher_ext.simulator.cluster import SimCluster
from rancher_ext.simulator.config import DRIVER_KINDS
from rancher_ext.simulator.identity import MachineName
from rancher_ext.simulator.render.objects import Rendering, job_status
from rancher_ext.simulator.render.plan import cluster_spec_annotation, plan_secret_data

Json = dict[str, Any]

# Where the pods of Rancher's own cluster run.
LOCAL_NODE, LOCAL_NODE_IP = "rancher-server-0", "172.31.0.10"
CAPI = "cluster.x-k8s.io/v1beta1"
_CLUSTER_LABEL = "cluster.x-k8s.io/cluster-name"


def render_capi(cluster: SimCluster, out: Rendering) -> None:
    ns, name = cluster.identity.namespace, cluster.name
    _render_control_plane(cluster, out)
    standing = cluster.standing
    out.add(
        CAPI,
        "Cluster",
        name,
        ns,
        created=cluster.born + 2,
        labels={_CLUSTER_LABEL: name},
        spec={
            "controlPlaneEndpoint": {"host": "localhost", "port": 6443},
            "controlPlaneRef": _ref("rke.cattle.io/v1", "RKEControlPlane", name, ns),
            "infrastructureRef": _ref("rke.cattle.io/v1", "RKECluster", name, ns),
        },
        status={
            "phase": "Deleting"
            if cluster.facts.deleting
            else "Provisioned"
            if cluster.facts.provisioned
            else "Provisioning",
            "infrastructureReady": True,
            "controlPlaneReady": cluster.was_active,
            "conditions": [],
        },
    )
    out.add("rke.cattle.io/v1", "RKECluster", name, ns, created=cluster.born + 2, spec={}, status={"ready": True})
    for pool in cluster.scenario.pools:
        _render_pool(cluster, out, pool.name)
    beat = int(cluster.now // 60) % 1_000_000
    for m in cluster.identity.machines:
        _render_machine(cluster, out, standing, m, beat)
    if cluster.was_active:
        _render_snapshot(cluster, out)


def _ref(api_version: str, kind: str, name: str, namespace: str) -> Json:
    return {"apiVersion": api_version, "kind": kind, "name": name, "namespace": namespace}


def _spec(cluster: SimCluster, config: Json) -> Json:
    rke = config.get("rkeConfig") or {}
    keys = (
        "machineGlobalConfig",
        "machineSelectorConfig",
        "chartValues",
        "additionalManifest",
        "upgradeStrategy",
        "etcd",
        "provisionGeneration",
    )
    return {
        "clusterName": cluster.name,
        "managementClusterName": cluster.id,
        "kubernetesVersion": config.get("kubernetesVersion", ""),
        "unmanagedConfig": False,
        "agentEnvVars": config.get("agentEnvVars") or [],
        "localClusterAuthEndpoint": {"enabled": False},
        **{k: rke[k] for k in keys if k in rke},
    }


def _render_control_plane(cluster: SimCluster, out: Rendering) -> None:
    spec = _spec(cluster, cluster.wanted)
    generation = out.generation("rke.cattle.io/v1", "RKEControlPlane", cluster.identity.namespace, cluster.name, spec)
    status: Json = {
        "observedGeneration": generation - (not cluster.accepted),
        "initialized": cluster.was_active,
        "ready": cluster.was_active,
        "agentConnected": cluster.facts.connected,
        "configGeneration": 0,
        "conditions": cluster.since.rancher("control-plane", cond.control_plane(cluster.standing), cluster.born),
    }
    if cluster.applied is not None:
        status["appliedSpec"] = _spec(cluster, cluster.applied)
    status |= cluster.operations.status(cluster.now, connected=cluster.facts.connected)
    out.add(
        "rke.cattle.io/v1",
        "RKEControlPlane",
        cluster.name,
        cluster.identity.namespace,
        created=cluster.born + 2,
        labels={_CLUSTER_LABEL: cluster.name},
        annotations={"rke.cattle.io/cluster-spec": cluster_spec_annotation(cluster.wanted)},
        spec=spec,
        status=status,
    )


def _render_pool(cluster: SimCluster, out: Rendering, pool: str) -> None:
    members = [m for m in cluster.identity.machines if m.pool == pool]
    if cluster.scenario.driver == "custom" or not members:
        return
    name = f"{cluster.name}-{pool}"
    ready = sum(cluster.is_ready(m) for m in members) if cluster.was_connected else 0
    out.add(
        CAPI,
        "MachineDeployment",
        name,
        cluster.identity.namespace,
        created=cluster.born + 2,
        labels={_CLUSTER_LABEL: cluster.name, "rke.cattle.io/rke-machine-pool-name": pool},
        spec={"clusterName": cluster.name, "replicas": len(members), "paused": False},
        status={
            "phase": "Running" if ready == len(members) else "ScalingUp",
            "replicas": len(members),
            "readyReplicas": ready,
            "unavailableReplicas": len(members) - ready,
            "updatedReplicas": len(members),
        },
    )
    wanted: Json = next(
        (p for p in (cluster.wanted.get("rkeConfig") or {}).get("machinePools") or [] if p.get("name") == pool), {}
    )
    timeout = wanted.get("unhealthyNodeTimeout") or "0s"
    if timeout != "0s":
        # Cluster API deletes nodes that stay NotReady this long: with a dead CNI that is all of them.
        out.add(
            CAPI,
            "MachineHealthCheck",
            name,
            cluster.identity.namespace,
            created=cluster.born + 2,
            labels={_CLUSTER_LABEL: cluster.name},
            spec={
                "clusterName": cluster.name,
                "maxUnhealthy": "100%",
                "selector": {"matchLabels": {"rke.cattle.io/rke-machine-pool-name": pool}},
                "unhealthyConditions": [
                    {"type": "Ready", "status": status, "timeout": timeout} for status in ("Unknown", "False")
                ],
            },
            status={"expectedMachines": len(members), "currentHealthy": ready},
        )


def _render_machine(cluster: SimCluster, out: Rendering, s: cond.Standing, m: MachineName, beat: int) -> None:
    ns, name = cluster.identity.namespace, cluster.name
    created = cluster.born + 5
    labels = {
        _CLUSTER_LABEL: name,
        "rke.cattle.io/cluster-name": name,
        "rke.cattle.io/machine-id": m.id,
        "cattle.io/os": m.os,
    }
    for role, label in (("controlplane", "control-plane-role"), ("etcd", "etcd-role"), ("worker", "worker-role")):
        if m.has(role):
            labels[f"rke.cattle.io/{label}"] = "true"
    if cluster.scenario.driver != "custom":
        labels["rke.cattle.io/rke-machine-pool-name"] = m.pool
        labels["cluster.x-k8s.io/deployment-name"] = f"{name}-{m.pool}"
    up, applied = m.place < cluster.counts.machines, m.place < cluster.counts.checked_in
    kind = DRIVER_KINDS.get(cluster.scenario.driver)
    infra_api = "rke-machine.cattle.io/v1" if kind else "rke.cattle.io/v1"
    infra_kind = f"{kind}Machine" if kind else "CustomMachine"
    exists = m.place < cluster.counts.nodes
    node_ready = cluster.is_ready(m) if exists and cluster.was_connected else None
    failed = cluster.facts.infra_error
    conditions = cond.machine_conditions(s, m, node_ready=node_ready, failed=failed)
    status: Json = {
        "phase": "Failed"
        if failed and not up
        else "Running"
        if node_ready is not None
        else "Provisioned"
        if up
        else "Provisioning",
        "bootstrapReady": True,
        "infrastructureReady": up,
        "conditions": cluster.since.capi(m.name, conditions, created),
        "observedGeneration": 1,
    }
    if failed and not up:
        status |= {"failureReason": "CreateError", "failureMessage": failed}
    if up:
        status["addresses"] = [{"type": "InternalIP", "address": m.ip}, {"type": "Hostname", "address": m.node}]
    if node_ready is not None:
        status["nodeRef"] = {"apiVersion": "v1", "kind": "Node", "name": m.node}
        # The kind's schema wants all ten fields of it.
        status["nodeInfo"] = node_info(cluster, m)
    out.add(
        CAPI,
        "Machine",
        m.name,
        ns,
        created=created,
        labels=labels,
        spec={
            "clusterName": name,
            "bootstrap": {
                "configRef": _ref("rke.cattle.io/v1", "RKEBootstrap", m.bootstrap, ns),
                "dataSecretName": f"{m.bootstrap}-machine-bootstrap",
            },
            "infrastructureRef": _ref(infra_api, infra_kind, m.name, ns),
        },
        status=status,
    )
    out.add(
        "rke.cattle.io/v1",
        "RKEBootstrap",
        m.bootstrap,
        ns,
        created=created,
        labels=labels,
        spec={"clusterName": name},
        status={"ready": True, "dataSecretName": f"{m.bootstrap}-machine-bootstrap"},
    )
    infra_labels = {k: v for k, v in labels.items() if not k.startswith("rke.cattle.io/machine-id")}
    infra_status: Json = {
        "ready": up,
        "conditions": [
            {"type": "CreateJob", "status": "True"},
            {"type": "Ready", "status": "True" if up else "Unknown"},
        ],
    }
    if up:
        infra_status["addresses"] = status["addresses"]
    if failed and not up:
        infra_status |= {"failureReason": "CreateError", "failureMessage": failed}
    if kind:
        infra_status["jobName"] = f"{m.name}-machine-provision"
    out.add(infra_api, infra_kind, m.name, ns, created=created, labels=infra_labels, spec={}, status=infra_status)
    if kind and not up:
        _render_job(cluster, out, m, infra_kind, failed)
    if up and (applied or m.place == 0 or cluster.counts.checked_in):
        _render_plan(cluster, out, m, labels, beat, applied=applied)


def node_info(cluster: SimCluster, m: MachineName) -> Json:
    """What a kubelet tells of its machine."""
    scenario, linux = cluster.scenario, m.os == "linux"
    machine = hashlib.md5(m.id.encode(), usedforsecurity=False).hexdigest()
    return {
        "architecture": "amd64",
        "bootID": machine,
        "containerRuntimeVersion": scenario.runtime,
        "kernelVersion": scenario.kernel if linux else "10.0.20348.3207",
        "kubeProxyVersion": kubelet_version(cluster, m),
        "kubeletVersion": kubelet_version(cluster, m),
        "machineID": machine,
        "operatingSystem": m.os,
        "osImage": scenario.os_image if linux else "Windows Server 2022 Datacenter",
        "systemUUID": str(uuid.UUID(machine)),
    }


def kubelet_version(cluster: SimCluster, m: MachineName) -> str:
    s = cluster.scenario
    version = s.was if s.was and m.place >= cluster.counts.upgraded else s.kubernetes
    return version.split("-rancher")[0]


def _render_plan(
    cluster: SimCluster, out: Rendering, m: MachineName, labels: dict[str, str], beat: int, *, applied: bool
) -> None:
    has_plan = m.place == 0 or applied
    own = {"rke.cattle.io/machine-name": m.name, "resources.cattle.io/backup": "true"}
    if m.place == 0:
        own["rke.cattle.io/init-node"] = "true"
    annotations = {"rke.cattle.io/join-url": f"https://{m.ip}:9345"} if m.has("controlplane") or m.has("etcd") else {}
    if m.place:
        annotations["rke.cattle.io/joined-to"] = f"https://{cluster.identity.first.ip}:9345"
    passed = cluster.probes_passed if not (cluster.facts.probes_bad and m.place == 0) else None
    if has_plan:
        annotations["rke.cattle.io/plan-last-updated"] = rfc3339(cluster.plan_updated)
        annotations["rke.cattle.io/plan-probes-passed"] = rfc3339(passed) if passed and applied else ""
    if cluster.facts.draining == m.place:
        annotations["rke.cattle.io/drain-options"] = (
            '{"enabled":true,"force":false,"ignoreDaemonSets":true,"timeout":120}'
        )
        annotations["rke.cattle.io/pre-drain"] = annotations["rke.cattle.io/drain-options"]
    out.add(
        "v1",
        "Secret",
        f"{m.bootstrap}-machine-plan",
        cluster.identity.namespace,
        created=cluster.born + 5,
        labels={k: v for k, v in labels.items() if k.startswith("rke.cattle.io/")} | own,
        annotations=annotations,
        manager="system-agent" if applied else "rancher",
        type="rke.cattle.io/machine-plan",
        data=plan_secret_data(cluster, m, beat=beat) if has_plan else {},
    )


def _render_job(cluster: SimCluster, out: Rendering, m: MachineName, infra_kind: str, failed: str) -> None:
    """The node driver's job, and its pod, whose log is the only word from the cloud."""
    ns, job = cluster.identity.namespace, f"{m.name}-machine-provision"
    labels = {
        "rke.cattle.io/infra-machine-kind": infra_kind,
        "rke.cattle.io/infra-machine-name": m.name,
        "job-name": job,
    }
    created = cluster.born + 8
    pod_spec: Json = {
        "containers": [{"name": "machine", "image": f"rancher/machine:{cluster.rancher_version}"}],
        "restartPolicy": "Never",
    }
    out.add(
        "batch/v1",
        "Job",
        job,
        ns,
        created=created,
        labels=labels,
        spec={
            "backoffLimit": 3,
            "completions": 1,
            "parallelism": 1,
            "template": {"metadata": {"labels": labels}, "spec": pod_spec},
        },
        status=job_status(created, failed_at=created + 45, failed=4) if failed else job_status(created),
    )
    state: Json = (
        {
            "terminated": {
                "exitCode": 1,
                "reason": "Error",
                "startedAt": rfc3339(created + 4),
                "finishedAt": rfc3339(created + 40),
            }
        }
        if failed
        else {"running": {"startedAt": rfc3339(created + 4)}}
    )
    out.add(
        "v1",
        "Pod",
        f"{job}-{m.id[-5:]}",
        ns,
        created=created,
        labels=labels,
        spec={**pod_spec, "nodeName": LOCAL_NODE},
        status={
            "phase": "Failed" if failed else "Running",
            "hostIP": LOCAL_NODE_IP,
            "message": failed,
            "containerStatuses": [{"name": "machine", "ready": not failed, "restartCount": 0, "state": state}],
        },
    )
    if failed:
        _event(cluster, out, "BackoffLimitExceeded", "Job has reached the specified backoff limit", job)


def _event(cluster: SimCluster, out: Rendering, reason: str, message: str, job: str) -> None:
    ns, at = cluster.identity.namespace, cluster.born + 60
    out.add(
        "v1",
        "Event",
        f"{job}.{int(at * 1e9) & 0xFFFFFFFFFFFF:016x}",
        ns,
        created=at,
        involvedObject={"apiVersion": "batch/v1", "kind": "Job", "name": job, "namespace": ns},
        reason=reason,
        message=message,
        type="Warning",
        count=1,
        firstTimestamp=rfc3339(at),
        lastTimestamp=rfc3339(at),
        source={"component": "job-controller"},
        reportingComponent="job-controller",
    )


def _render_snapshot(cluster: SimCluster, out: Rendering) -> None:
    """The newest scheduled etcd snapshot: every five hours while the cluster is up."""
    at = (
        (cluster.since.when("control-plane", "Ready", cluster.now) if not cluster.standing.active else cluster.now)
        // 18000
        * 18000
    )
    if at < cluster.born or cluster.scenario.distribution != "rke2":
        return
    m = cluster.identity.first
    file = f"etcd-snapshot-{m.node}-{int(at)}"
    out.add(
        "rke.cattle.io/v1",
        "ETCDSnapshot",
        f"{cluster.name}-{file}-local"[:253],
        cluster.identity.namespace,
        created=at + 5,
        labels={
            "rke.cattle.io/cluster-name": cluster.name,
            "rke.cattle.io/machine-id": m.id,
            "rke.cattle.io/node-name": m.node,
        },
        annotations={"etcdsnapshot.rke.io/snapshot-name": f"local-{file}", "etcdsnapshot.rke.io/storage": "local"},
        spec={"clusterName": cluster.name},
        snapshotFile={
            "name": file,
            "nodeName": m.node,
            "location": f"file:///var/lib/rancher/rke2/server/db/snapshots/{file}",
            "metadata": _snapshot_metadata(cluster),
            "createdAt": rfc3339(at + 3),
            "size": 12910624,
            "status": "successful",
            "message": "",
        },
        status={"missing": False},
    )


def _snapshot_metadata(cluster: SimCluster) -> str:
    """base64 of JSON that holds the specification at that time, packed as in the control plane's annotation."""
    then = cluster.applied or cluster.delivered
    return base64.b64encode(json.dumps({"provisioning-cluster-spec": cluster_spec_annotation(then)}).encode()).decode()
