"""What nodes and pods say now outweighs what logs said earlier, unless the failure can last beside them."""

import pytest

from rancher_ext.bundle.facts import ClusterFacts, DaemonSetFacts, Facts, NodeFacts, Place, PodFacts
from rancher_ext.signatures.match import diagnose
from rancher_ext.signatures.schema import Verdict
from rancher_ext.signatures.up import network_up
from tests.rancher_ext.signatures.builders import a_bundle, a_signature

NODES = (NodeFacts("w1", "True", at=Place("nodes.txt", 2, "w1 Ready")), NodeFacts("w2", "True"))
MINUTE = 60


def a_pod(name="canal-8hs2m", ready=2, restarts=0, restarted=None):
    return PodFacts(name, "kube-system", "w1", "Running", ready, 2, restarts, restarted=restarted)


def test_all_nodes_ready_and_all_pods_of_the_network_ready_is_up():
    assert network_up(Facts(nodes=NODES, pods=(a_pod(),)))[-2] == Place("nodes.txt", 2, "w1 Ready")


@pytest.mark.parametrize(
    "facts",
    [
        Facts(pods=(a_pod(),)),
        Facts(nodes=NODES),
        Facts(nodes=(*NODES, NodeFacts("w3", "False")), pods=(a_pod(),)),
        Facts(nodes=(*NODES, NodeFacts("w3")), pods=(a_pod(),)),
        Facts(nodes=NODES, pods=(a_pod(), a_pod("canal-zzzzz", ready=1))),
        Facts(nodes=NODES, pods=(a_pod(),), daemonsets=(DaemonSetFacts("canal", desired=3, ready=2),)),
    ],
)
def test_what_is_not_seen_to_be_up_is_not_up(facts):
    assert not network_up(facts)


def test_k3s_runs_its_network_without_pods():
    assert network_up(Facts(ClusterFacts(distribution="k3s"), nodes=NODES))


@pytest.mark.parametrize(
    ("restarts", "restarted", "calm"),
    [
        (1, 60, False),
        (1, 3 * MINUTE, True),
        (6, 3 * MINUTE, False),
        (6, 19 * MINUTE, True),
        (2, None, True),
        (3, None, False),
    ],
)
def test_a_pod_between_two_crashes_looks_ready_for_a_moment(restarts, restarted, calm):
    assert bool(network_up(Facts(nodes=NODES, pods=(a_pod(restarts=restarts, restarted=restarted),)))) is calm


class TestDiagnosis:
    facts = Facts(nodes=NODES, pods=(a_pod(),))
    bundle = a_bundle(flannel="BROKEN\n")

    def test_a_failure_that_keeps_the_network_down_is_over_when_it_is_up(self):
        diagnosis = diagnose(self.bundle, [a_signature()], self.facts)
        assert diagnosis.verdict is Verdict.HEALTHY
        assert diagnosis.best.confidence == pytest.approx(0.24)
        assert diagnosis.best.against[-1].text == "w1 Ready"

    def test_a_failure_of_new_pods_lasts(self):
        diagnosis = diagnose(self.bundle, [a_signature(lasts_while_up=True)], self.facts)
        assert (diagnosis.verdict, diagnosis.best.confidence) == (Verdict.CNI_FAILURE, 0.8)

    def test_what_is_no_failure_of_the_network_lasts(self):
        diagnosis = diagnose(self.bundle, [a_signature(cause="healthy-lookalike")], self.facts)
        assert (diagnosis.verdict, diagnosis.best.confidence) == (Verdict.OTHER_FAILURE, 0.8)
