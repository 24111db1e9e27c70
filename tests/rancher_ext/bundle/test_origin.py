import pytest

from rancher_ext.bundle.origin import OriginKind, origin_of, workload_of_pod


@pytest.mark.parametrize(
    ("pod", "workload"),
    [
        ("canal-4tz9k", "cni"),
        ("rke2-canal-5wq7t", "cni"),
        ("kube-flannel-ds-amd64-v8c3k", "cni"),
        ("kube-flannel-vk5x8", "cni"),
        ("pod/rke2-canal-r2x9w", "cni"),
        ("rke2-flannel-abcde", "cni"),
        ("calico-node-k7w4z", "other-cni"),
        ("cilium-w4t8k", "other-cni"),
        ("calico-kube-controllers-6b7-x", "calico-kube-controllers"),
        ("helm-install-rke2-canal-5tq8v", "helm-install"),
        ("rke-network-plugin-deploy-job-abcde", "network-deploy-job"),
        ("rke2-coredns-rke2-coredns-6b", "coredns"),
        ("kube-proxy-qa-worker-2.example.internal", "kube-proxy"),
        ("cattle-cluster-agent-6b7d9c8f54-x2vtl", "cluster-agent"),
        ("cattle-node-agent-4q9sk", "node-agent"),
        ("canalboat-7f9d", None),
        ("my-canal-app-7f9d", None),
        ("grafana-0", None),
    ],
)
def test_a_pods_name_says_which_part_of_the_cluster_it_is(pod, workload):
    assert workload_of_pod(pod) == workload


def test_container_logs_say_everything_in_their_path():
    origin = origin_of("logs/kube-system/rke2-canal-5wq7t/install-cni.previous.log")

    assert origin.kind is OriginKind.CONTAINER
    assert (origin.namespace, origin.pod, origin.container) == ("kube-system", "rke2-canal-5wq7t", "install-cni")
    assert origin.previous
    assert origin.workload == "cni"


@pytest.mark.parametrize(
    ("path", "unit", "node"),
    [
        ("logs/kubelet/pool-w11.log", "kubelet", "pool-w11"),
        ("logs/k3s/agent-2.log", "k3s", "agent-2"),
        ("logs/kube-proxy/n1.internal.log", "kube-proxy", "n1.internal"),
        ("logs/provisioning.log", "provisioning", None),
    ],
)
def test_node_logs_name_their_unit_and_node(path, unit, node):
    origin = origin_of(path)

    assert (origin.kind, origin.unit, origin.node) == (OriginKind.UNIT, unit, node)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("events.txt", OriginKind.EVENTS),
        ("helm.txt", OriginKind.HELM),
        ("manifest.json", OriginKind.NOT_TEXT),
        ("objects/downstream/nodes/w1.json", OriginKind.OBJECT),
        ("paste.log", OriginKind.UNKNOWN),
        ("some/where/events.txt", OriginKind.UNKNOWN),
        ("logs/a/b/c/d.log", OriginKind.UNKNOWN),
    ],
)
def test_the_other_files_of_the_layout(path, kind):
    assert origin_of(path).kind is kind


def test_helm_output_is_the_chart_job_speaking():
    assert origin_of("helm.txt").workload == "helm-install"
