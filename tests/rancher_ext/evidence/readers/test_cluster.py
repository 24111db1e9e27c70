import json

import pytest

from rancher_ext.bundle.bundle import Bundle, Manifest
from rancher_ext.evidence.readers import read_facts


def cluster(files, manifest=None):
    facts = read_facts(Bundle.of(files, manifest)).cluster
    return facts.distribution, facts.cni, facts.kubernetes


RKE1 = {"kind": "Cluster", "apiVersion": "management.cattle.io/v3", "metadata": {"name": "c-8xk2p"}, "spec": {"displayName": "edge-07", "rancherKubernetesEngineConfig": {"kubernetesVersion": "v1.32.2-rancher1-1", "network": {"plugin": "canal"}}}}  # fmt: skip
RKE2 = {"kind": "Cluster", "apiVersion": "provisioning.cattle.io/v1", "metadata": {"name": "prod"}, "spec": {"kubernetesVersion": "v1.32.2+rke2r1", "rkeConfig": {"machineGlobalConfig": {"cni": "multus,flannel"}}}}  # fmt: skip
K3S = {"kind": "Cluster", "apiVersion": "provisioning.cattle.io/v1", "metadata": {"name": "k"}, "spec": {"kubernetesVersion": "v1.32.2+k3s1", "rkeConfig": {"machineGlobalConfig": {}}}}  # fmt: skip


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, ("unknown", "unknown", "")),
        ({"objects/management/clusters/a.json": json.dumps(RKE1)}, ("rke1", "canal", "v1.32.2-rancher1-1")),
        ({"objects/management/clusters/a.json": json.dumps(RKE2)}, ("rke2", "flannel", "v1.32.2+rke2r1")),
        ({"objects/management/clusters/a.json": json.dumps(K3S)}, ("k3s", "flannel", "v1.32.2+k3s1")),
        ({"pods.txt": "kube-system  rke2-canal-5wq7t  0/2  Init:Error  9  2h\n"}, ("rke2", "canal", "")),
        ({"pods.txt": "kube-system  canal-5wq7t  0/2  Init:Error  9  2h\n"}, ("unknown", "canal", "")),
        ({"logs/kube-system/calico-node-x/calico-node.log": "x"}, ("unknown", "calico", "")),
        ({"pods.txt": "tigera-operator  tigera-operator-5b8c-x2k  1/1  Running  0  11m\n"}, ("unknown", "calico", "")),
        ({"logs/kube-flannel/kube-flannel-ds-x/kube-flannel.log": "x"}, ("unknown", "flannel", "")),
        ({"logs/k3s/agent.log": "x"}, ("k3s", "unknown", "")),
        ({"nodes.txt": "a  Ready  worker  2d  v1.31.9+rke2r1\nb  NotReady  worker  2d  v1.32.2+rke2r1\n"}, ("rke2", "unknown", "v1.32.2+rke2r1")),
        ({"helm.txt": "which is incompatible with Kubernetes v1.26.15+rke2r1\n"}, ("rke2", "unknown", "v1.26.15+rke2r1")),
        ({"pods.txt": "x  canal-a  1/1  Running  0  1d\nx  calico-node-a  1/1  Running  0  1d\n"}, ("unknown", "unknown", "")),
        ({"a.txt": "v1.26.15+rke2r1 and v1.26.15+k3s1\n"}, ("unknown", "unknown", "")),
    ],
)  # fmt: skip
def test_what_evidence_tells_about_the_cluster(files, expected):
    assert cluster(files) == expected


def test_the_manifest_knows_better_than_guesses():
    manifest = Manifest(distribution="rke1", cni="flannel", kubernetes="v1.32.2-rancher1-1")

    assert cluster({"pods.txt": "x  rke2-canal-a  1/1  Running  0  1d\n"}, manifest) == (
        "rke1",
        "flannel",
        "v1.32.2-rancher1-1",
    )


def test_the_server_version_is_ranchers():
    setting = {
        "kind": "Setting",
        "apiVersion": "management.cattle.io/v3",
        "metadata": {"name": "server-version"},
        "value": "v2.10.3",
    }

    assert (
        read_facts(Bundle.of({"objects/management/settings/a.json": json.dumps(setting)})).cluster.rancher == "v2.10.3"
    )
