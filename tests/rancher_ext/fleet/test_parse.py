"""Does the JSON that Rancher really gives become the right values?"""

import base64
import copy
import json
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rancher_ext.fleet.cluster import Distribution, Management
from rancher_ext.fleet.cni import Cni, CniSource
from rancher_ext.fleet.parse import (
    ClusterObjects,
    cluster_identity,
    cluster_snapshot,
    integer,
    kubernetes_node,
    machine_plan,
    timestamp,
)
from rancher_ext.fleet.versions import Version
from tests.builders import NO_NETWORK, NOON, WAITING_FOR_AGENT

Json = dict[str, Any]
RANCHER = Version.parse("v2.13.8")


def b64(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def a_management(*, spec: Json | None = None, status: Json | None = None, **metadata: Any) -> Json:
    return {
        "apiVersion": "management.cattle.io/v3",
        "kind": "Cluster",
        "metadata": {
            "name": "c-m-8jq5fz7k",
            "uid": "b0a7",
            "creationTimestamp": "2026-10-02T09:00:00Z",
            "annotations": {"provisioning.cattle.io/administrated": "true"},
            **metadata,
        },
        "spec": {"displayName": "edge-7", "fleetWorkspaceName": "fleet-default", **(spec or {})},
        "status": {"driver": "imported", "conditions": [], **(status or {})},
    }


def a_provisioning(rke_config: Json | None, version: str = "v1.32.8+rke2r1") -> Json:
    spec: Json = {"kubernetesVersion": version}
    if rke_config is not None:
        spec["rkeConfig"] = rke_config
    return {
        "metadata": {"name": "edge-7", "namespace": "fleet-default", "labels": {"env": "prod"}},
        "spec": spec,
        "status": {"clusterName": "c-m-8jq5fz7k", "conditions": []},
    }


def a_control_plane(**status: Any) -> Json:
    return {"metadata": {"name": "edge-7", "namespace": "fleet-default"}, "status": status}


def snapshot_of(management: Json, provisioning: Json | None = None, **more: Any) -> Any:
    return cluster_snapshot("default", ClusterObjects(management, provisioning, **more), RANCHER, NOON)


# --- which kind of cluster (in the order in which it has to be asked) ---


@pytest.mark.parametrize(
    ("management", "provisioning", "distribution", "kind"),
    [
        pytest.param(
            a_management(spec={"internal": True}, status={"driver": "rke2", "provider": "rke2"}),
            None,
            Distribution.RKE2,
            Management.LOCAL,
            id="local",
        ),
        pytest.param(
            a_management(), a_provisioning({}), Distribution.RKE2, Management.PROVISIONED, id="rke2, empty rkeConfig"
        ),
        pytest.param(
            a_management(),
            a_provisioning({}, "v1.32.8+k3s1"),
            Distribution.K3S,
            Management.PROVISIONED,
            id="k3s",
        ),
        pytest.param(
            a_management(
                spec={"rancherKubernetesEngineConfig": {"kubernetesVersion": "v1.32.6-rancher1-1"}},
                status={"driver": ""},
            ),
            a_provisioning(None, ""),
            Distribution.RKE1,
            Management.PROVISIONED,
            id="rke1, before the driver is set",
        ),
        pytest.param(
            a_management(status={"driver": "rancherKubernetesEngine"}),
            None,
            Distribution.RKE1,
            Management.PROVISIONED,
            id="rke1 by its driver",
        ),
        pytest.param(
            a_management(
                status={"driver": "imported", "version": {"gitVersion": "v1.32.6"}},
                labels={"provider.cattle.io": "rke"},
            ),
            None,
            Distribution.RKE1,
            Management.IMPORTED,
            id="rke1 imported",
        ),
        pytest.param(
            a_management(spec={"eksConfig": {"region": "eu-west-1"}}, status={"driver": "EKS", "provider": "eks"}),
            None,
            Distribution.UNKNOWN,
            Management.HOSTED,
            id="eks",
        ),
        pytest.param(
            a_management(status={"driver": "AKS"}),
            None,
            Distribution.UNKNOWN,
            Management.HOSTED,
            id="aks by its driver",
        ),
        pytest.param(
            a_management(
                spec={"rke2Config": {"kubernetesVersion": "v1.32.8+rke2r1"}},
                status={"driver": "rke2", "provider": "rke2"},
            ),
            a_provisioning(None, ""),
            Distribution.RKE2,
            Management.IMPORTED,
            id="rke2 imported",
        ),
        pytest.param(
            a_management(status={"driver": "k3s", "provider": "k3s", "version": {"gitVersion": "v1.32.8+k3s1"}}),
            None,
            Distribution.K3S,
            Management.IMPORTED,
            id="k3s imported",
        ),
        pytest.param(
            a_management(status={"version": {"gitVersion": "v1.32.1"}}),
            None,
            Distribution.UNKNOWN,
            Management.IMPORTED,
            id="kubeadm or anything else imported",
        ),
        pytest.param(a_management(), None, Distribution.UNKNOWN, Management.IMPORTED, id="imported, agent never ran"),
    ],
)
def test_each_kind_of_cluster_is_told_apart(
    management: Json, provisioning: Json | None, distribution: Distribution, kind: Management
) -> None:
    identity = cluster_identity("default", management, provisioning)

    assert (identity.distribution, identity.management) == (distribution, kind)


def test_the_provider_of_a_stuck_cluster_is_empty_and_not_needed() -> None:
    """Rancher fills `status.provider` only after the downstream API has answered once."""
    snapshot = snapshot_of(
        a_management(status={"provider": ""}), a_provisioning({"machineGlobalConfig": {"cni": "canal"}})
    )

    assert snapshot.identity.distribution is Distribution.RKE2
    assert snapshot.cni is Cni.CANAL


def test_names_come_from_both_objects() -> None:
    pools = [{"name": "cp", "machineConfigRef": {"kind": "Amazonec2Config", "name": "nc-edge-7-cp"}}]

    identity = cluster_identity("main", a_management(), a_provisioning({"machinePools": pools}))

    assert str(identity.key) == "main/c-m-8jq5fz7k"
    assert (identity.name, identity.namespace, identity.uid) == ("edge-7", "fleet-default", "b0a7")
    assert identity.driver == "amazonec2"


# --- the CNI ---


def provisioned(global_config: Json, selectors: list[Any] | None = None, version: str = "v1.32.8+rke2r1") -> Any:
    config: Json = {"machineGlobalConfig": global_config}
    if selectors is not None:
        config["machineSelectorConfig"] = selectors
    return snapshot_of(a_management(), a_provisioning(config, version))


POOL_B = {"matchLabels": {"rke.cattle.io/rke-machine-pool-name": "pool-b"}}


@pytest.mark.parametrize(
    ("global_config", "selectors", "cni", "source"),
    [
        ({"cni": "canal"}, None, Cni.CANAL, CniSource.SPEC),
        ({"cni": ["multus", "canal"]}, None, Cni.CANAL, CniSource.SPEC),
        ({"cni": "multus,flannel"}, None, Cni.FLANNEL, CniSource.SPEC),
        ({"cni": "calico+multus"}, None, Cni.CALICO, CniSource.SPEC),
        ({}, None, Cni.CALICO, CniSource.DEFAULT),
        # An empty value is pruned on its way to the node, whose own default is canal.
        ({"cni": ""}, None, Cni.CANAL, CniSource.DEFAULT),
        ({}, [{"config": {"cni": "flannel"}}], Cni.FLANNEL, CniSource.SPEC),
        ({"cni": "calico"}, [{"config": {"cni": "canal"}}], Cni.CANAL, CniSource.SPEC),
        ({"cni": "canal"}, [{"machineLabelSelector": POOL_B, "config": {"cni": "calico"}}], Cni.CANAL, CniSource.SPEC),
        ({"cni": "calico"}, [{"machineLabelSelector": {}, "config": {"cni": "canal"}}], Cni.CANAL, CniSource.SPEC),
        (
            {"cni": "calico"},
            [{"machineLabelSelector": {"matchLabels": {}, "matchExpressions": None}, "config": {"cni": "canal"}}],
            Cni.CANAL,
            CniSource.SPEC,
        ),
        ({"cni": "canal"}, [None, "odd", {"config": None}], Cni.CANAL, CniSource.SPEC),
    ],
)
def test_rke2_takes_its_network_from_the_effective_configuration(
    global_config: Json, selectors: list[Any] | None, cni: Cni, source: CniSource
) -> None:
    snapshot = provisioned(global_config, selectors)

    assert (snapshot.cni, snapshot.cni_source) == (cni, source)


@pytest.mark.parametrize(
    ("config", "cni", "source"),
    [
        ({}, Cni.FLANNEL, CniSource.DEFAULT),
        ({"flannel-backend": "host-gw"}, Cni.FLANNEL, CniSource.SPEC),
        ({"flannel-backend": "none"}, Cni.NONE, CniSource.SPEC),
    ],
)
def test_k3s_has_flannel_unless_it_is_switched_off(config: Json, cni: Cni, source: CniSource) -> None:
    snapshot = provisioned(config, version="v1.32.8+k3s1")

    assert (snapshot.cni, snapshot.cni_source) == (cni, source)


@pytest.mark.parametrize(
    ("network", "cni", "source"),
    [
        ({"plugin": "flannel"}, Cni.FLANNEL, CniSource.SPEC),
        ({"plugin": "canal"}, Cni.CANAL, CniSource.SPEC),
        ({}, Cni.CANAL, CniSource.DEFAULT),
        ({"plugin": "weave"}, Cni.OTHER, CniSource.SPEC),
    ],
)
def test_rke1_takes_its_network_from_the_plugin(network: Json, cni: Cni, source: CniSource) -> None:
    config = {"kubernetesVersion": "v1.32.6-rancher1-1", "network": network}
    snapshot = snapshot_of(a_management(spec={"rancherKubernetesEngineConfig": config}))

    assert (snapshot.cni, snapshot.cni_source) == (cni, source)


def test_an_imported_cluster_has_the_network_that_runs() -> None:
    daemonsets = [
        {"metadata": {"name": "node-exporter"}, "status": {}},
        {"metadata": {"name": "kube-flannel-ds"}, "status": {"desiredNumberScheduled": 3, "numberReady": 2}},
    ]

    snapshot = snapshot_of(a_management(), daemonsets=daemonsets)

    assert (snapshot.cni, snapshot.cni_source) == (Cni.FLANNEL, CniSource.WORKLOADS)
    assert (snapshot.workload.ready, snapshot.workload.desired) == (2, 3)


def test_an_imported_cluster_nobody_asked_has_an_unknown_network() -> None:
    assert snapshot_of(a_management()).cni is Cni.UNKNOWN


@pytest.mark.parametrize(
    ("status", "rolling"),
    [
        ({"desiredNumberScheduled": 3, "numberReady": 2, "updatedNumberScheduled": 3}, False),
        ({"desiredNumberScheduled": 3, "numberReady": 2, "updatedNumberScheduled": 1}, True),
        ({"desiredNumberScheduled": 3, "numberReady": 3}, True),  # Go leaves out the zero of a roll-out's first moment
        ({}, False),
    ],
)
def test_a_roll_out_is_seen_by_the_pods_of_the_new_template(status: Json, rolling: bool) -> None:
    daemonset = {"metadata": {"name": "rke2-canal"}, "status": status}

    assert snapshot_of(a_management(), daemonsets=[daemonset]).workload.rolling is rolling


# --- conditions and the message ---


def test_what_rancher_waits_for_is_read_where_it_is_earliest() -> None:
    """RKEControlPlane Ready has the planner's text before any copy of it arrives elsewhere."""
    plane = a_control_plane(
        initialized=False,
        conditions=[
            {"type": "Ready", "status": "Unknown", "reason": "Waiting", "message": WAITING_FOR_AGENT},
            {"type": "Bootstrapped", "status": "True"},
        ],
    )
    owner = a_provisioning({})
    owner["status"]["conditions"] = [{"type": "Updated", "status": "Unknown", "message": "an older text"}]

    snapshot = snapshot_of(a_management(), owner, control_plane=plane)

    assert snapshot.planner == WAITING_FOR_AGENT
    assert snapshot.initialized is False


def test_without_a_control_plane_object_the_provisioning_cluster_speaks() -> None:
    owner = a_provisioning({})
    owner["status"]["conditions"] = [{"type": "Updated", "status": "Unknown", "message": WAITING_FOR_AGENT}]

    assert snapshot_of(a_management(), owner).planner == WAITING_FOR_AGENT


def test_the_message_of_a_fulfilled_condition_is_not_waited_for() -> None:
    plane = a_control_plane(conditions=[{"type": "Ready", "status": "True", "message": "provisioning done"}])

    assert snapshot_of(a_management(), a_provisioning({}), control_plane=plane).planner == ""


def test_conditions_keep_three_states_and_their_time() -> None:
    conditions = [
        {"type": "Connected", "status": "False", "lastUpdateTime": "2026-10-02T09:14:03Z"},
        {"type": "Ready", "status": "Unknown"},
        {"type": "Updated", "status": "True", "lastTransitionTime": "2026-10-02T10:00:00+02:00"},
    ]

    snapshot = snapshot_of(a_management(status={"conditions": conditions}), a_provisioning({}))

    assert (snapshot.connected, snapshot.ready, snapshot.updated) == (False, None, True)
    assert snapshot.connected_since == datetime(2026, 10, 2, 9, 14, 3, tzinfo=UTC)
    assert snapshot.condition("Updated").since == datetime(2026, 10, 2, 8, 0, tzinfo=UTC)
    assert snapshot.condition("Stalled") is None


@pytest.mark.parametrize("status", [{"initialized": True}, {"initialization": {"controlPlaneInitialized": True}}])
def test_both_spellings_of_initialized_are_read(status: Json) -> None:
    """Rancher 2.14 moved the field."""
    snapshot = snapshot_of(a_management(), a_provisioning({}), control_plane=a_control_plane(**status))

    assert snapshot.initialized


def test_bootstrapped_does_not_mean_that_it_came_up() -> None:
    plane = a_control_plane(initialized=False, conditions=[{"type": "Bootstrapped", "status": "True"}])

    assert not snapshot_of(a_management(), a_provisioning({}), control_plane=plane).initialized


def test_labels_of_both_objects_count_and_pause_and_deletion_are_seen() -> None:
    plane = a_control_plane()
    plane["metadata"]["annotations"] = {"cluster.x-k8s.io/paused": ""}
    management = a_management(labels={"drover.io/limit": "30m"}, deletionTimestamp="2026-10-02T11:59:00Z")

    snapshot = snapshot_of(management, a_provisioning({}), control_plane=plane)

    assert snapshot.labels == {"drover.io/limit": "30m", "env": "prod"}
    assert snapshot.deleting
    assert snapshot.paused


# --- machines and their plans ---

PLAN = '{"instructions": [{"name": "install"}]}'


def a_plan_secret(**data: str) -> Json:
    return {
        "metadata": {
            "name": "edge-7-bootstrap-x2-machine-plan",
            "labels": {"rke.cattle.io/machine-name": "edge-7-cp-1"},
            "annotations": {
                "rke.cattle.io/plan-last-updated": "2026-10-02T09:01:00Z",
                "rke.cattle.io/plan-probes-passed": "2026-10-02T09:06:12Z",
            },
            "managedFields": [
                {"manager": "rancher", "time": "2026-10-02T09:01:00Z"},
                {"manager": "rancher-system-agent", "time": "2026-10-02T11:59:40Z"},
            ],
        },
        "data": {
            key.replace("_", "-"): b64(value) for key, value in ({"plan": PLAN, "appliedPlan": PLAN} | data).items()
        },
    }


def test_a_plan_in_sync_has_passed_and_was_seen() -> None:
    plan = machine_plan(
        a_plan_secret(probe_statuses='{"kubelet":{"healthy":true,"successCount":1},"etcd":{"healthy":true}}')
    )

    assert (plan.applied, plan.failed, plan.healthy) == (True, False, True)
    assert plan.probes == (("etcd", True), ("kubelet", True))
    assert plan.updated == datetime(2026, 10, 2, 9, 1, tzinfo=UTC)
    assert plan.probes_passed == datetime(2026, 10, 2, 9, 6, 12, tzinfo=UTC)
    assert plan.last_seen == datetime(2026, 10, 2, 11, 59, 40, tzinfo=UTC)


def test_what_rancher_wrote_is_no_sign_of_life_of_the_node() -> None:
    """When Rancher is upgraded it writes the plans of all clusters anew, of those that are switched off as well."""
    secret = a_plan_secret()
    secret["metadata"]["managedFields"].append({"manager": "rancher", "time": "2026-10-02T11:59:59Z"})
    alone = a_plan_secret()
    alone["metadata"]["managedFields"] = [{"manager": "rancher", "time": "2026-10-02T11:59:59Z"}, "odd", {}]

    assert machine_plan(secret).last_seen == datetime(2026, 10, 2, 11, 59, 40, tzinfo=UTC)
    assert machine_plan(alone).last_seen is None


def test_a_missing_healthy_is_false() -> None:
    """Go leaves out false and zero."""
    plan = machine_plan(a_plan_secret(probe_statuses='{"kubelet":{"failureCount":2},"etcd":{"healthy":true}}'))

    assert plan.probes == (("etcd", True), ("kubelet", False))
    assert not plan.healthy


def test_a_plan_without_probe_results_is_not_healthy() -> None:
    assert not machine_plan(a_plan_secret()).healthy


CHECKSUM = sha256(PLAN.encode()).hexdigest()


@pytest.mark.parametrize(
    ("data", "failed"),
    [
        ({"failed_checksum": CHECKSUM, "failure_count": "1", "failure_threshold": "1"}, True),
        ({"failed_checksum": CHECKSUM, "failure_count": "1"}, True),
        ({"failed_checksum": CHECKSUM, "failure_count": "9", "failure_threshold": "-1"}, False),
        ({"failed_checksum": CHECKSUM, "failure_count": "4", "failure_threshold": "5"}, False),
        ({"failed_checksum": CHECKSUM, "failure_count": "5", "failure_threshold": "5"}, True),
        ({"failed_checksum": CHECKSUM, "failure_count": "0", "failure_threshold": "1"}, False),
        ({"failed_checksum": "of another plan", "failure_count": "3", "failure_threshold": "1"}, False),
        ({"failed_checksum": "", "failure_count": "1", "failure_threshold": "1"}, False),
    ],
)
def test_a_plan_has_failed_when_rancher_calls_it_so(data: dict[str, str], failed: bool) -> None:
    assert machine_plan(a_plan_secret(**data)).failed is failed


def test_a_newer_plan_is_not_applied_yet() -> None:
    assert not machine_plan(a_plan_secret(plan=PLAN + " ")).applied


def test_an_empty_secret_is_a_plan_that_was_never_written() -> None:
    plan = machine_plan({"metadata": {}, "data": {}})

    assert (plan.applied, plan.failed, plan.probes, plan.last_seen) == (False, False, (), None)


MACHINE: Json = {
    "metadata": {
        "name": "edge-7-cp-1",
        "creationTimestamp": "2026-10-02T09:00:10Z",
        "labels": {
            "cluster.x-k8s.io/cluster-name": "edge-7",
            "rke.cattle.io/control-plane-role": "true",
            "rke.cattle.io/etcd-role": "true",
            "rke.cattle.io/rke-machine-pool-name": "cp",
            "cattle.io/os": "linux",
        },
    },
    "status": {
        "infrastructureReady": True,
        "conditions": [
            {"type": "InfrastructureReady", "status": "True", "lastTransitionTime": "2026-10-02T09:02:00Z"},
            {"type": "Reconciled", "status": "Unknown", "message": "waiting for cluster agent to connect"},
        ],
        "nodeRef": {"name": "ip-10-0-4-11"},
    },
}


def test_a_machine_brings_its_roles_state_and_plan() -> None:
    other = a_plan_secret()
    other["metadata"]["labels"] = {"rke.cattle.io/machine-name": "edge-7-cp-2"}
    (machine,) = snapshot_of(
        a_management(), a_provisioning({}), machines=[MACHINE], plans=[other, a_plan_secret()]
    ).machines

    assert machine.roles == {"controlplane", "etcd"}
    assert (machine.registered, machine.pool, machine.os, machine.node) == (True, "cp", "linux", "ip-10-0-4-11")
    assert machine.registered_since == datetime(2026, 10, 2, 9, 2, tzinfo=UTC)
    assert machine.plan is not None
    assert machine.plan.applied
    assert machine.condition("Reconciled").status is None


def test_a_machine_of_a_later_cluster_api_keeps_its_conditions_under_deprecated() -> None:
    old = MACHINE["status"]["conditions"]
    machine = MACHINE | {
        "status": {
            "conditions": [{"type": "Available", "status": "True"}],
            "deprecated": {"v1beta1": {"conditions": old}},
        }
    }

    (found,) = snapshot_of(a_management(), a_provisioning({}), machines=[machine]).machines

    assert found.registered
    assert found.condition("Reconciled").message == "waiting for cluster agent to connect"


def test_unreadable_plans_are_not_the_same_as_none() -> None:
    machines = [MACHINE]

    assert not snapshot_of(a_management(), a_provisioning({}), machines=machines, plans=None).plans_readable
    assert snapshot_of(a_management(), a_provisioning({}), machines=machines, plans=[]).plans_readable


# --- nodes ---

NODE: Json = {
    "metadata": {
        "name": "ip-10-0-4-11",
        "creationTimestamp": "2026-10-02T09:05:00Z",
        "labels": {"node-role.kubernetes.io/control-plane": "true", "kubernetes.io/os": "linux"},
        "annotations": {"flannel.alpha.coreos.com/backend-type": "vxlan"},
    },
    "spec": {
        "podCIDR": "10.42.0.0/24",
        "taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}, "odd"],
    },
    "status": {
        "addresses": [{"type": "Hostname", "address": "ip-10-0-4-11"}, {"type": "InternalIP", "address": "10.0.4.11"}],
        "nodeInfo": {
            "kubeletVersion": "v1.32.2+rke2r1",
            "operatingSystem": "linux",
            "osImage": "Ubuntu 24.04",
            "kernelVersion": "6.8.0",
        },
        "conditions": [
            {
                "type": "Ready",
                "status": "False",
                "reason": "KubeletNotReady",
                "message": NO_NETWORK,
                "lastTransitionTime": "2026-10-02T09:05:10Z",
                "lastHeartbeatTime": "2026-10-02T11:59:00Z",
            }
        ],
    },
}


def test_a_node_that_waits_for_its_network_says_so() -> None:
    node = kubernetes_node(NODE)

    assert (node.ready, node.waits_for_network) == (False, True)
    assert node.ready_since == datetime(2026, 10, 2, 9, 5, 10, tzinfo=UTC)
    assert (node.pod_cidr, node.internal_ip, node.kubelet) == ("10.42.0.0/24", "10.0.4.11", "v1.32.2+rke2r1")
    assert node.roles == {"control-plane"}
    assert [taint.key for taint in node.taints] == ["node.kubernetes.io/not-ready"]


@pytest.mark.parametrize(
    ("status", "reason", "message", "waits"),
    [
        ("False", "KubeletNotReady", "PLEG is not healthy: pleg was last seen active 3m0s ago", False),
        (
            "False",
            "KubeletNotReady",
            "runtime network not ready: docker: network plugin is not ready: cni config uninitialized",
            True,
        ),
        ("Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.", False),
        ("True", "KubeletReady", "kubelet is posting ready status", False),
    ],
)
def test_only_a_reporting_kubelet_can_blame_the_network(status: str, reason: str, message: str, waits: bool) -> None:
    condition = {"type": "Ready", "status": status, "reason": reason, "message": message}

    assert kubernetes_node(NODE | {"status": {"conditions": [condition]}}).waits_for_network is waits


def test_flannel_s_own_condition_blames_the_network_too() -> None:
    conditions = [
        {"type": "Ready", "status": "False", "message": "not yet"},
        {"type": "NetworkUnavailable", "status": "True"},
    ]

    assert kubernetes_node(NODE | {"status": {"conditions": conditions}}).waits_for_network


RKE1_NODE: Json = {
    "metadata": {"name": "m-abcde", "namespace": "c-7x2kd", "creationTimestamp": "2026-10-02T09:00:00Z"},
    "spec": {
        "requestedHostname": "legacy-3-1",
        "controlPlane": True,
        "etcd": True,
        "nodePoolName": "c-7x2kd:np-1",
        "internalNodeSpec": {"podCIDR": "10.42.0.0/24"},
    },
    "status": {
        "nodeName": "legacy-3-1",
        "nodeLabels": {"node-role.kubernetes.io/etcd": "true"},
        "conditions": [{"type": "Registered", "status": "True", "lastUpdateTime": "2026-10-02T09:03:00Z"}],
        "internalNodeStatus": NODE["status"],
    },
}
RKE1 = a_management(spec={"rancherKubernetesEngineConfig": {"kubernetesVersion": "v1.32.6-rancher1-1"}})


def test_an_rke1_node_is_machine_and_node_in_one_object() -> None:
    snapshot = snapshot_of(RKE1, nodes=[RKE1_NODE])

    (machine,), (node,) = snapshot.machines, snapshot.nodes
    assert (machine.name, machine.roles, machine.registered) == ("legacy-3-1", {"controlplane", "etcd"}, True)
    assert machine.registered_since == datetime(2026, 10, 2, 9, 3, tzinfo=UTC)
    assert (node.name, node.ready, node.pod_cidr) == ("legacy-3-1", False, "10.42.0.0/24")
    assert node.created == datetime(2026, 10, 2, 9, 0, tzinfo=UTC)


def test_an_rke1_node_that_only_registered_is_no_kubernetes_node_yet() -> None:
    young = RKE1_NODE | {"status": {"conditions": RKE1_NODE["status"]["conditions"]}}

    snapshot = snapshot_of(RKE1, nodes=[young])

    assert (len(snapshot.machines), snapshot.nodes) == (1, ())


def test_rke1_tells_what_it_waits_for_in_the_order_of_a_bring_up() -> None:
    conditions = [
        {"type": "Provisioned", "status": "True"},
        {"type": "Updated", "status": "True"},
        {"type": "Waiting", "status": "Unknown", "message": "Waiting for API to be available"},
        {"type": "Ready", "status": "False", "message": "Cluster agent is not connected"},
    ]

    snapshot = snapshot_of(RKE1 | {"status": {"conditions": conditions}})

    assert snapshot.planner == "Waiting for API to be available"
    assert snapshot.initialized is False


def test_nodes_of_the_cluster_itself_replace_rancher_s_copies() -> None:
    snapshot = snapshot_of(RKE1, nodes=[RKE1_NODE], downstream_nodes=[NODE, NODE | {"metadata": {"name": "other"}}])

    assert [node.name for node in snapshot.nodes] == ["ip-10-0-4-11", "other"]
    assert snapshot.api_reached is True
    assert snapshot_of(RKE1, nodes=[RKE1_NODE]).api_reached is None


# --- small values ---


@pytest.mark.parametrize(
    "value",
    ["", None, "yesterday", 7, "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"],
)
def test_what_is_no_time_is_none(value: object) -> None:
    """Go writes year 1 for "never"; near the ends of the calendar a zone leads out of it."""
    assert timestamp(value) is None


def test_a_time_without_zone_is_utc() -> None:
    assert timestamp("2026-10-02T12:00:00") == NOON


@pytest.mark.parametrize(
    ("value", "number"), [(3, 3), ("4", 4), (True, None), ("x", None), (None, None), ("9" * 30, None), (1.5, None)]
)
def test_counts_are_numbers_or_not_known(value: object, number: int | None) -> None:
    assert integer(value) == number


# --- nothing makes it raise ---

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=True)
    | st.text(max_size=12)
    | st.sampled_from(
        ["True", "False", "2026-10-02T09:00:00Z", "0001-01-01T00:00:00+14:00", "canal", "+k3s", "Ready", "Registered"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


def paths_of(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value, the value itself included."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [here, *(path for key, part in inside for path in paths_of(part, (*here, key)))]


def replaced(value: Any, path: tuple[Any, ...], odd: Any) -> Any:
    if not path:
        return odd
    changed = copy.copy(value)
    changed[path[0]] = replaced(value[path[0]], path[1:], odd)
    return changed


PROVISIONING = a_provisioning(
    {
        "machineGlobalConfig": {"cni": ["multus", "canal"], "flannel-backend": "vxlan"},
        "machineSelectorConfig": [
            {"machineLabelSelector": POOL_B, "config": {"cni": "x"}},
            {"config": {"cni": "canal"}},
        ],
        "machinePools": [{"machineConfigRef": {"kind": "Amazonec2Config"}}],
    }
)
FULL_MANAGEMENT = a_management(
    status={
        "conditions": [
            {"type": "Connected", "status": "False", "message": "x", "lastUpdateTime": "2026-10-02T09:00:00Z"}
        ],
        "nodeCount": 3,
    },
    labels={"a": "b"},
)
PLANE = a_control_plane(
    initialized=True, conditions=[{"type": "Ready", "status": "Unknown", "message": WAITING_FOR_AGENT}]
)
DAEMONSET: Json = {"metadata": {"name": "rke2-canal"}, "status": {"desiredNumberScheduled": 3, "numberReady": 1}}


@given(st.data())
def test_no_damage_to_any_object_makes_the_parser_raise(data: st.DataObject) -> None:
    def damaged(example: Any) -> Any:
        """Real shapes with real damage: up to three parts, at any depth, are something odd."""
        for odd in data.draw(st.lists(json_values, max_size=3)):
            example = replaced(example, data.draw(st.sampled_from(paths_of(example))), odd)
        return example

    objects = ClusterObjects(
        management=damaged(data.draw(st.sampled_from([FULL_MANAGEMENT, RKE1]))),
        provisioning=damaged(PROVISIONING),
        control_plane=damaged(PLANE),
        machines=[damaged(MACHINE)],
        plans=[damaged(a_plan_secret(probe_statuses='{"kubelet":{"healthy":true}}'))],
        nodes=[damaged(RKE1_NODE)],
        downstream_nodes=data.draw(st.sampled_from([None, [damaged(NODE)]])),
        daemonsets=[damaged(DAEMONSET)],
    )

    snapshot = cluster_snapshot("default", objects, None, NOON)

    assert isinstance(snapshot.labels, dict)
    assert snapshot.taken_at == NOON


@given(json_values)
def test_any_json_at_all_is_a_cluster_of_which_little_is_known(value: Any) -> None:
    snapshot = cluster_snapshot("default", ClusterObjects(value, value, value), None, NOON)

    assert isinstance(snapshot.management, Management)


@given(st.binary(max_size=200))
def test_no_bytes_in_a_plan_secret_make_it_raise(raw: bytes) -> None:
    keys = ("plan", "appliedPlan", "probe-statuses", "failure-count", "failure-threshold", "failed-checksum")

    plan = machine_plan({"data": dict.fromkeys(keys, b64(raw))})

    assert plan.failed is False


@pytest.mark.parametrize("raw", ["[" * 200_000, '{"a":' * 200_000, "1" * 5000, '"kubelet"', "[1, 2]", "null"])
def test_hostile_probe_results_are_no_probe_results(raw: str) -> None:
    assert machine_plan(a_plan_secret(probe_statuses=raw)).probes == ()


def test_a_thousand_machines_find_their_plans_by_name() -> None:
    """Each machine gets its own plan, whatever the order of the two lists."""
    names = [f"edge-7-w-{number}" for number in range(1000)]
    machines = [{"metadata": {"name": name}, "status": {}} for name in names]
    plans = [
        {
            "metadata": {"labels": {"rke.cattle.io/machine-name": name}},
            "data": {"probe-statuses": b64(json.dumps({name: {"healthy": True}}))},
        }
        for name in reversed(names)
    ]

    snapshot = snapshot_of(a_management(), a_provisioning({}), machines=machines, plans=plans)

    assert [machine.plan.probes for machine in snapshot.machines] == [((name, True),) for name in names]
