import pytest

from rancher_ext.bundle.bundle import Bundle
from rancher_ext.bundle.origin import OriginKind
from rancher_ext.evidence.readers import read_facts
from rancher_ext.evidence.readers.log_collector import foreign_origin

HEX = "c41f90d7be2658a30c9f1e7d4ab86253f0d9c7e1b54a8632d17f0e95cb683a24"


@pytest.mark.parametrize(
    ("path", "workload", "container"),
    [
        (
            "var/log/pods/kube-system_rke2-canal-x5wq7_7e2c91d4-5b06-4a8f-9d13-c0f4728ab561/kube-flannel/3.log",
            "cni",
            "kube-flannel",
        ),
        (f"var/log/containers/rke2-canal-x5wq7_kube-system_install-cni-{HEX}.log", "cni", "install-cni"),
        ("dump/kube-system/canal-x5wq7/logs.txt", "cni", None),
        ("rke2/podlogs/kube-system-rke2-canal-x5wq7", "cni", None),
        ("rke2/podlogs/cattle-system-cattle-cluster-agent-6b-x", "cluster-agent", None),
        ("rke2-canal-x5wq7.log", "cni", None),
        ("cluster-7/logs/kube-system/canal-x5wq7/kube-flannel.log", "cni", "kube-flannel"),
    ],
)
def test_pod_logs_of_other_tools(path, workload, container):
    origin = foreign_origin(path)

    assert (origin.kind, origin.workload, origin.container) == (OriginKind.CONTAINER, workload, container)


@pytest.mark.parametrize(
    ("path", "unit"),
    [("journald/rke2-server", "rke2-server"), ("journald/k3s-agent.log", "k3s-agent"), ("k8s/containerlogs/kubelet", "kubelet"), ("kubelet.log", "kubelet"), ("node1/systemlogs/containerd.log", "containerd"), ("k3s-journal.txt", "k3s")],
)  # fmt: skip
def test_node_logs_of_other_tools(path, unit):
    assert foreign_origin(path).unit == unit


@pytest.mark.parametrize(
    "path", ["paste.log", "messages", "notes/canal.txt", "app/logs/shop/w1.log", "notes/nginx", "x.json"]
)
def test_a_path_that_tells_nothing(path):
    assert foreign_origin(path) is None


def test_previous_logs_and_event_listings():
    assert foreign_origin("rke2/podlogs/kube-system-rke2-canal-x5wq7-previous").previous
    assert foreign_origin("rke2/kubectl/events").kind is OriginKind.EVENTS


def test_an_archive_of_another_tool_is_read_as_facts():
    bundle = Bundle.of(
        {
            "rke2/kubectl/nodes": "w1  NotReady  worker  2d  v1.32.2+rke2r1\n",
            "rke2/kubectl/pods": "kube-system  rke2-canal-x5wq7  1/2  CrashLoopBackOff  9  2d\n",
            "rke2/podlogs/kube-system-rke2-canal-x5wq7": "E0304 Failed to check br_netfilter\n",
        }
    )

    facts = read_facts(bundle)

    assert [n.ready for n in facts.nodes] == ["False"]
    assert [p.status for p in facts.pods] == ["CrashLoopBackOff"]
    assert facts.cluster.cni == "canal"
