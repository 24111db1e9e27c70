"""What does a cluster wait for? Each text of Rancher's planner, and each look of a cluster without one."""

import pytest

from rancher_ext.detection import Stage
from rancher_ext.detection.classify import waiting_for
from rancher_ext.fleet.cluster import Distribution
from tests.builders import WAITING_FOR_AGENT, a_cluster, a_condition, a_dead_cni, a_machine, a_node

ON = "configuring bootstrap node(s) edge-7-cp-1: "


@pytest.mark.parametrize(
    ("text", "stage"),
    [
        # nothing to run Kubernetes on
        ("waiting for infrastructure ready", Stage.MACHINES),
        ("CAPI cluster does not exist", Stage.MACHINES),
        ("fleet-default/edge-7: KDM release data is empty for v1.32.99+rke2r1", Stage.MACHINES),
        ("waiting for at least one control plane, etcd, and worker node to be registered", Stage.MACHINES),
        ("waiting for at least one bootstrap node", Stage.MACHINES),
        ("waiting for viable init node", Stage.MACHINES),
        (
            ON
            + "creating server [fleet-default/x] of kind (Amazonec2Machine) for machine y in infrastructure provider",
            Stage.MACHINES,
        ),
        (
            (
                "failing bootstrap machine(s) edge-7-cp-1: failed creating server [fleet-default/x] of kind (Amazonec2Machine) "
                "for machine y in infrastructure provider: CreateError: no such subnet"
            ),
            Stage.MACHINES,
        ),
        # a node that does not do what it is told
        (ON + "waiting for agent to check in and apply initial plan", Stage.PLAN),
        (ON + "failure while applying plan", Stage.PLAN),
        (ON + "waiting for plan to be applied", Stage.PLAN),
        (
            (
                "failing bootstrap machine(s) edge-7-cp-1: error applying plan -- check rancher-system-agent.service and "
                "rke2-server.service logs on node for more information"
            ),
            Stage.PLAN,
        ),
        # Kubernetes itself
        (ON + "waiting for probes: etcd", Stage.CONTROL_PLANE),
        (
            ON + "waiting for probes: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubelet",
            Stage.CONTROL_PLANE,
        ),
        (ON + "waiting for probes: kube-apiserver, kubelet", Stage.CONTROL_PLANE),
        (ON + "waiting for probes: calico, etcd", Stage.CONTROL_PLANE),
        (
            (
                "rkecontrolplane was already initialized but no etcd machines exist that have plans, indicating the etcd plane has "
                "been entirely replaced. Restoration from etcd snapshot is required."
            ),
            Stage.CONTROL_PLANE,
        ),
        # what a network that does not come up looks like
        (ON + "waiting for probes: kubelet", Stage.KUBELET),
        (ON + "waiting for probes: calico", Stage.KUBELET),
        (WAITING_FOR_AGENT, Stage.AGENT),
        ("configuring control plane node(s) edge-7-cp-2: waiting for cluster agent to connect", Stage.AGENT),
        # texts that leave the question open: the agent is missing, and that is what can be seen
        ("non-ready bootstrap machine(s) edge-7-cp-1", Stage.AGENT),
        ("configuring control plane node(s) edge-7-cp-1,edge-7-cp-2", Stage.AGENT),
        (ON + "draining node", Stage.AGENT),
        (ON + "waiting for cluster pre-bootstrap to complete", Stage.AGENT),
        ("", Stage.AGENT),
        # operations: the servers are down on purpose
        ("starting etcd restore", Stage.OTHER),
        ("waiting for etcd restore", Stage.OTHER),
        ("waiting for etcd restore probes", Stage.OTHER),
        ("operation etcd restore failed", Stage.OTHER),
        ("shutting down cluster", Stage.OTHER),
        ("cluster shutdown complete, running etcd restore", Stage.OTHER),
        ("stopping rke2 services on control plane and etcd machines/nodes", Stage.OTHER),
        ("waiting to stop rke2 services on node [edge-7-cp-1]", Stage.OTHER),
        ("waiting for suitable etcd nodes for etcd restore continuation", Stage.OTHER),
        ("waiting for etcd snapshot on node edge-7-cp-1", Stage.OTHER),
        ("waiting for etcd snapshot creation management plane restart", Stage.OTHER),
        ("refreshing etcd create state", Stage.OTHER),
        ("waiting for all etcd machines to be deleted", Stage.OTHER),
        ("uninitializing rkecontrolplane fleet-default/edge-7", Stage.OTHER),
        ("certificate rotation done", Stage.OTHER),
        ("unpausing CAPI cluster", Stage.OTHER),
    ],
)
def test_each_text_of_the_planner_has_its_stage(text: str, stage: Stage) -> None:
    server = a_machine()
    waiting = waiting_for(a_dead_cni(planner=text, machines=[server]))

    assert waiting.stage is stage
    assert waiting.reason == (text or "Cluster agent is not connected")


def test_a_restore_that_is_back_at_its_servers_waits_for_the_agent_like_any_bring_up() -> None:
    """In the last phases of a restore the planner says again which machine it waits for."""
    assert waiting_for(a_dead_cni(planner=WAITING_FOR_AGENT)).stage is Stage.AGENT


def test_several_waiting_machines_tell_their_details_themselves() -> None:
    """With more than one machine the planner's message has no detail."""
    machines = [
        a_machine("edge-7-cp-1", says="waiting for probes: etcd, kubelet"),
        a_machine("edge-7-cp-2", says="waiting for cluster agent to connect"),
    ]

    waiting = waiting_for(
        a_dead_cni(planner="configuring control plane node(s) edge-7-cp-1,edge-7-cp-2", machines=machines)
    )

    assert (waiting.stage, waiting.nodes) == (Stage.CONTROL_PLANE, ("edge-7-cp-1",))


def test_workers_that_wait_for_the_control_plane_explain_nothing() -> None:
    machines = [
        a_machine("edge-7-cp-1", says="waiting for cluster agent to connect"),
        *(
            a_machine(f"edge-7-w-{n}", roles=["worker"], says="waiting for control plane to be available")
            for n in range(3)
        ),
    ]

    waiting = waiting_for(a_dead_cni(machines=machines))

    assert (waiting.stage, waiting.nodes) == (Stage.AGENT, ("edge-7-cp-1",))


@pytest.mark.parametrize(
    "worker_says",
    [
        "waiting for infrastructure ready",
        "failed creating server [fleet-default/w] of kind (Amazonec2Machine): CreateError: quota exceeded",
        "waiting for agent to check in and apply initial plan",
    ],
)
@pytest.mark.parametrize("planner", [WAITING_FOR_AGENT, "configuring bootstrap node(s) edge-7-cp-1"])
def test_a_worker_that_the_cloud_refuses_does_not_hide_a_control_plane_without_network(
    planner: str, worker_says: str
) -> None:
    machines = [
        a_machine("edge-7-cp-1", says="waiting for cluster agent to connect"),
        a_machine("edge-7-w-1", roles=["worker"], registered=False, says=worker_says),
    ]

    assert waiting_for(a_dead_cni(planner=planner, machines=machines)).stage is Stage.AGENT


@pytest.mark.parametrize(
    "probes", ["kube-apiserver, kubelet", "kube-apiserver, kube-controller-manager, kube-scheduler, kubelet"]
)
def test_on_k3s_every_probe_dies_with_flannel(probes: str) -> None:
    """Flannel runs inside the k3s process, which ends when flannel fails to start."""
    planner = ON + f"waiting for probes: {probes}"

    assert (
        waiting_for(a_dead_cni(distribution=Distribution.K3S, planner=planner, machines=[a_machine()])).stage
        is Stage.KUBELET
    )


def test_a_connected_cluster_names_the_nodes_without_network() -> None:
    nodes = [a_node("a"), a_node("b", no_network=True), a_node("c", ready=None)]

    waiting = waiting_for(a_cluster(ready=False, nodes=nodes))

    assert (waiting.stage, waiting.nodes) == (Stage.NODES, ("b",))
    assert waiting.reason == "1 of 3 nodes are NotReady: the network plugin is not ready"


def test_a_node_that_is_down_for_another_reason_is_not_the_network() -> None:
    waiting = waiting_for(a_cluster(ready=False, nodes=[a_node("a"), a_node("b", ready=None)]))

    assert (waiting.stage, waiting.nodes) == (Stage.OTHER, ("b",))


def test_cni_pods_that_are_not_ready_are_the_network() -> None:
    waiting = waiting_for(a_cluster(ready=False, pods=(1, 3)))

    assert waiting.stage is Stage.NODES
    assert waiting.reason == "DaemonSet rke2-canal: 1 of 3 ready"


def an_rke1(*, provisioned: bool | None = True, connected: bool | None = False, planner: str = "", **rest: object):
    conditions = [a_condition("Provisioned", provisioned)]
    return a_dead_cni(
        distribution=Distribution.RKE1, connected=connected, planner=planner, conditions=conditions, **rest
    )


@pytest.mark.parametrize(
    ("provisioned", "text", "stage"),
    [
        (True, "Waiting for API to be available", Stage.API),
        (
            False,
            "Failed to get job complete status for job rke-network-plugin-deploy-job in namespace kube-system",
            Stage.ADDON,
        ),
        (None, "waiting for etcd, controlplane and worker nodes to be registered", Stage.MACHINES),
        (None, "[network] Checking for port listeners", Stage.CONTROL_PLANE),
        (False, "[controlPlane] Failed to bring up Control Plane: Failed to verify healthcheck", Stage.CONTROL_PLANE),
        (None, "", Stage.CONTROL_PLANE),
    ],
)
def test_rke1_tells_its_stage_by_the_texts_of_rke_up(provisioned: bool | None, text: str, stage: Stage) -> None:
    assert waiting_for(an_rke1(provisioned=provisioned, planner=text)).stage is stage


def test_rke1_names_the_nodes_whose_network_is_missing() -> None:
    nodes = [a_node("legacy-1", no_network=True), a_node("legacy-2", no_network=True)]

    waiting = waiting_for(an_rke1(planner="Waiting for API to be available", nodes=nodes))

    assert (waiting.stage, waiting.nodes) == (Stage.API, ("legacy-1", "legacy-2"))
