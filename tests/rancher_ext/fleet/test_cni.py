"""Which network does a value name, and which workload carries it?"""

import pytest

from rancher_ext.fleet.cluster import Distribution
from rancher_ext.fleet.cni import Cni, cni_named, cni_of_daemonset, workload_of


@pytest.mark.parametrize(
    ("value", "cni"),
    [
        ("canal", Cni.CANAL),
        ("flannel", Cni.FLANNEL),
        ("calico", Cni.CALICO),
        ("cilium", Cni.CILIUM),
        ("none", Cni.NONE),
        (["canal"], Cni.CANAL),
        (["multus", "canal"], Cni.CANAL),
        (["canal", "multus"], Cni.CANAL),
        ("multus,canal", Cni.CANAL),
        ("multus, canal", Cni.CANAL),
        ('["multus","flannel"]', Cni.FLANNEL),
        ("calico+multus", Cni.CALICO),
        ("Canal", Cni.CANAL),
        ("weave", Cni.OTHER),
        ("multus", Cni.UNKNOWN),
        ("", Cni.UNKNOWN),
        ([], Cni.UNKNOWN),
        (None, Cni.UNKNOWN),
        ({"cni": "canal"}, Cni.OTHER),
        (7, Cni.OTHER),
    ],
)
def test_every_accepted_shape_names_its_network(value: object, cni: Cni) -> None:
    assert cni_named(value) is cni


@pytest.mark.parametrize(
    ("distribution", "cni", "daemonset"),
    [
        (Distribution.RKE1, Cni.CANAL, "canal"),
        (Distribution.RKE1, Cni.FLANNEL, "kube-flannel"),
        (Distribution.RKE2, Cni.CANAL, "rke2-canal"),
        (Distribution.RKE2, Cni.FLANNEL, "kube-flannel-ds"),
    ],
)
def test_each_workload_is_known_by_its_name_again(distribution: Distribution, cni: Cni, daemonset: str) -> None:
    workload = workload_of(distribution, cni)

    assert workload is not None
    assert workload.name == daemonset
    assert "kube-flannel" in workload.containers
    assert cni_of_daemonset(daemonset) is cni


def test_k3s_has_no_workload_for_its_network() -> None:
    assert workload_of(Distribution.K3S, Cni.FLANNEL) is None


def test_a_name_that_says_nothing_is_no_network() -> None:
    assert cni_of_daemonset("node-exporter") is None
