"""What does Drover read of nodes and pods that a real API server holds and that kubelets of KWOK report?"""

import time
from collections.abc import Iterator

import pytest

from rancher_ext.client.kubernetes import NODES, KubernetesApi
from rancher_ext.client.transport import TokenSource, Transport
from rancher_ext.simulator.fleet import ADMIN_TOKEN
from tests.e2e.cluster import MASTERS, ApiServer, User, running_cluster
from tests.e2e.kwok import ContainerLog, KwokNodes, NodeState, PodState
from tests.e2e.proxy import Rancher, RunningProxy

FLANNEL = 'E0303 12:00:00.1 main.go:359] Error registering network: failed to acquire lease: node "edge-1" pod cidr not assigned'
LOGS = [ContainerLog("kube-system", "canal-x", "kube-flannel", f"I0303 starting\n{FLANNEL}\n", "the run before\n")]


@pytest.fixture(scope="module")
def server(servers_built: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with running_cluster(tmp_path_factory.mktemp("kwok-cluster")) as running:
        yield running


@pytest.fixture(scope="module")
def kubelets(server: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KwokNodes]:
    with KwokNodes(tmp_path_factory.mktemp("kwok"), server, LOGS) as running:
        yield running


@pytest.fixture(scope="module")
def api(server: ApiServer) -> Iterator[KubernetesApi]:
    with RunningProxy(Rancher(server, {ADMIN_TOKEN: User("user-admin", (MASTERS,))})) as proxy:
        yield KubernetesApi(Transport(proxy.url, TokenSource(ADMIN_TOKEN)))


def ready_of(node: dict) -> tuple[str, str]:
    (found,) = [each for each in node["status"]["conditions"] if each["type"] == "Ready"]
    return found["status"], found["message"]


def test_a_node_shows_the_state_that_was_chosen_and_changes_with_it(kubelets: KwokNodes) -> None:
    kubelets.add_node("edge-1", NodeState.NETWORK_NOT_READY)
    path = "/api/v1/nodes/edge-1"

    status, message = ready_of(kubelets.wait_for(path, "KubeletNotReady"))
    assert status == "False"
    assert "reason:NetworkPluginNotReady" in message
    for state, shown in ((NodeState.SILENT, "NodeStatusUnknown"), (NodeState.READY, "KubeletReady")):
        kubelets.turn(path, state)
        kubelets.wait_for(path, shown)


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        (PodState.RUNNING, "running"),
        (PodState.CRASH_LOOP, "CrashLoopBackOff"),
        (PodState.IMAGE_PULL, "ImagePullBackOff"),
    ],
)
def test_a_pod_shows_the_state_that_was_chosen(kubelets: KwokNodes, state: PodState, shown: str) -> None:
    node = f"node-of-{state}"
    kubelets.add_node(node)
    kubelets.add_pod("default", f"pod-{state}", node, state)

    pod = kubelets.wait_for(f"/api/v1/namespaces/default/pods/pod-{state}", shown)

    (container,) = pod["status"]["containerStatuses"]
    assert container["ready"] is (state is PodState.RUNNING)


def test_logs_come_through_the_api_server_from_the_kubelet(kubelets: KwokNodes, api: KubernetesApi) -> None:
    kubelets.add_node("edge-2")
    kubelets.wait_for("/api/v1/nodes/edge-2", "KubeletReady")
    kubelets.add_pod("kube-system", "canal-x", "edge-2", PodState.CRASH_LOOP, ["calico-node", "kube-flannel"])
    kubelets.wait_for("/api/v1/namespaces/kube-system/pods/canal-x", "CrashLoopBackOff")

    text = api.log("kube-system", "canal-x", "kube-flannel", previous=False, tail=1, limit_bytes=10_000)
    before = api.log("kube-system", "canal-x", "kube-flannel", previous=True, tail=100, limit_bytes=10_000)

    assert text == f"2026-03-03T12:00:01.000000000Z {FLANNEL}\n"
    assert before == "2026-03-03T12:00:00.000000000Z the run before\n"


def test_many_nodes_are_listed_page_by_page(kubelets: KwokNodes, api: KubernetesApi) -> None:
    count, prefix = 400, "many-"
    for number in range(count):
        kubelets.add_node(f"{prefix}{number:04d}", NodeState.READY if number % 10 else NodeState.NETWORK_NOT_READY)
    deadline = time.monotonic() + 120
    while True:
        found = [node for node in api.list(NODES, page=150).items if node["metadata"]["name"].startswith(prefix)]
        ready = [ready_of(node)[0] for node in found if "conditions" in node["status"]]
        if len(ready) == count or time.monotonic() > deadline:
            break
        time.sleep(0.2)

    assert len(found) == len({node["metadata"]["uid"] for node in found}) == count
    assert (ready.count("False"), ready.count("True")) == (count // 10, count - count // 10)
