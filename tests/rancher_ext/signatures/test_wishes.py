"""What would make one sure is said in words, with the command that brings it."""

import pytest

from rancher_ext.bundle.evidence import CollectorReport, CollectorStatus
from rancher_ext.signatures.wishes import wish
from tests.rancher_ext.signatures.asking import parsed

FLANNEL = {"log": "BAD", "from": {"workload": "cni", "container": "kube-flannel"}}
KUBELET = {"log": "BAD", "from": {"unit": "kubelet"}}


@pytest.mark.parametrize(
    ("predicate", "distribution", "said"),
    [
        (FLANNEL, "rke2", "the log of the Flannel or Canal pods, container kube-flannel (`kubectl -n kube-system logs POD -c kube-flannel`)"),
        ({"log": "BAD", "from": {"workload": "cni", "container": "kube-flannel", "previous": True}}, "", "the log of the Flannel or Canal pods, container kube-flannel, of the run before the last restart (`kubectl -n kube-system logs POD -c kube-flannel --previous`)"),
        (FLANNEL, "k3s", "the log of the Flannel or Canal pods (on the node `journalctl -u k3s -u k3s-agent`)"),
        (KUBELET, "rke1", "the kubelet's log (on the node `docker logs kubelet`)"),
        (KUBELET, "rke2", "the kubelet's log (on the node `/var/lib/rancher/rke2/agent/logs/kubelet.log`)"),
        (KUBELET, "kubeadm", "the kubelet's log (on the node `journalctl -u kubelet`)"),
        ({"log": "BAD", "from": {"unit": "provisioning"}}, "", "Rancher's provisioning log (on the cluster's page in Rancher)"),
        ({"log": "BAD", "from": {"unit": "tcpdump"}}, "", "the packets of the overlay (on the node `tcpdump -ni any udp port 8472`)"),
        ({"log": "BAD", "from": [{"unit": "kernel"}, {"unit": "containerd"}]}, "rke2", "the kernel's log (on the node `journalctl -k`) or the container runtime's log (on the node `/var/lib/rancher/rke2/agent/containerd/containerd.log`)"),
        ({"text": "BAD", "in": "events"}, "", "the events (`kubectl get events -A`)"),
        ({"event": {"kind": "Node"}}, "", "the events of Node objects (`kubectl get events -A`)"),
        ({"condition": {"of": "cluster", "type": "Ready"}}, "", "the cluster's conditions in Rancher"),
        ({"node": "true"}, "", "the nodes in full (`kubectl get nodes -o yaml`)"),
        ({"pod": "true"}, "", "the pods in full (`kubectl get pods -A -o yaml`)"),
        ({"daemonset": "true"}, "", "the DaemonSets (`kubectl get daemonsets -A -o yaml`)"),
        ({"object": {"kind": "ConfigMap"}}, "", "the ConfigMap objects (`kubectl get configmap -A -o yaml`)"),
        ({"age": {"of": "node", "more_than": "5m"}}, "", "the age of the nodes (`kubectl get nodes -A`)"),
        ({"absent": {"node": "true"}}, "", "the nodes in full (`kubectl get nodes -o yaml`)"),
        ({"count": {"of": {"event": {"reason": "X"}}, "at_least": 2}}, "", "the events (`kubectl get events -A`)"),
        ({"any": [{"node": "true"}, {"event": {"reason": "X"}}]}, "", "the nodes in full (`kubectl get nodes -o yaml`) and the events (`kubectl get events -A`)"),
    ],
)  # fmt: skip
def test_the_words_name_evidence_and_command(predicate, distribution, said):
    assert wish(parsed(predicate), distribution) == said


def test_a_collector_of_ours_that_failed_says_why():
    reports = [
        CollectorReport("cni_logs", CollectorStatus.FORBIDDEN, "403: needs pods/log in kube-system"),
        CollectorReport("events", CollectorStatus.OK),
        CollectorReport("nodes", CollectorStatus.FAILED),
        CollectorReport("helm", CollectorStatus.SKIPPED, "RKE1 has no Helm"),
    ]

    assert wish(parsed(FLANNEL), "rke2", reports).endswith(
        "; not collected (cni_logs: 403: needs pods/log in kube-system)"
    )
    assert wish(parsed({"absent": {"node": "true"}}), "", reports).endswith("; not collected (nodes: failed)")
    assert "not collected" not in wish(parsed({"event": {"reason": "X"}}), "", reports)
