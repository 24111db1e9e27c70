"""What counts as cured? Positive proof, and what cannot be seen is said."""

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest

from rancher_ext.errors import RancherUnreachable
from rancher_ext.fleet.cluster import Distribution
from rancher_ext.remediation.cure import prove
from tests.builders import NOON, a_cluster, a_node, minutes

ALL = ("cni-ready-everywhere", "nodes-ready", "fresh-pod-has-address", "agent-connected", "cluster-active")


def target(snapshot, pods=(), fails=None):
    def listed(*_):
        if fails:
            raise fails
        yield list(pods)

    return SimpleNamespace(snapshot=snapshot, downstream=SimpleNamespace(pages=listed))


SINCE = NOON + minutes(1)


def a_pod(*, started=SINCE, ip="10.42.0.9", host=False):
    stamp = started.strftime("%Y-%m-%dT%H:%M:%SZ") if started else None
    status = {
        "podIP": ip,
        "containerStatuses": [{"state": {"running": {"startedAt": stamp}} if stamp else {"waiting": {}}}],
    }
    return {"spec": {"hostNetwork": True} if host else {}, "status": status}


def item(name, given, changed_at=NOON):
    return prove([name], given, changed_at).items[0]


def two_nodes(ready=(True, True)):
    return [a_node(f"n{number}", ready=each) for number, each in enumerate(ready)]


def test_a_machine_that_was_off_before_the_change_does_not_make_the_cure_fail():
    """
    One dead machine among many says nothing about the network; the proof names it.
    """
    nodes = [a_node("up-1"), a_node("up-2"), a_node("dead", ready=None, ready_for=minutes(90))]
    proof = prove(ALL, target(a_cluster(nodes=nodes, pods=(2, 3)), [a_pod()]), NOON)
    assert proof.holds
    assert "nodes 2/3 (dead off since before the change)" in proof.text


def test_a_node_that_went_down_after_the_change_does():
    nodes = [a_node("up-1"), a_node("down", ready=None, ready_for=-minutes(2))]
    assert not prove(ALL, target(a_cluster(nodes=nodes, pods=(1, 2)), [a_pod()]), NOON).holds


def test_a_cluster_that_is_up_is_proved_and_says_what_was_seen():
    proof = prove(ALL, target(a_cluster(nodes=two_nodes(), pods=(2, 2)), [a_pod()]), NOON)
    assert proof.holds
    assert proof.text == "rke2-canal 2/2, nodes 2/2, new pod 10.42.0.9, agent connected, cluster Active"


@pytest.mark.parametrize(
    ("snapshot", "missing"),
    [
        (a_cluster(nodes=two_nodes(), pods=(1, 2)), "rke2-canal 1/2"),
        (a_cluster(nodes=two_nodes((True, False)), pods=(2, 2)), "nodes 1/2"),
        (a_cluster(nodes=[a_node("n0"), a_node("n1", ready=None, ready_for=-minutes(1))], pods=(2, 2)), "nodes 1/2"),
        (a_cluster(nodes=[], pods=(2, 2)), "nodes 0/0"),
        (a_cluster(nodes=two_nodes(), pods=(1, 1)), "rke2-canal 1/2"),
        (a_cluster(nodes=two_nodes(), pods=(2, 2), connected=False), "agent not connected"),
        (a_cluster(nodes=two_nodes(), pods=(2, 2), connected=None), "agent not connected"),
        (a_cluster(nodes=two_nodes(), pods=(2, 2), ready=None), "Rancher says: not ready"),
        (a_cluster(nodes=two_nodes(), pods=(2, 2), planner="waiting for etcd"), "Rancher says: waiting for etcd"),
    ],
)
def test_one_thing_that_is_not_there_is_no_cure(snapshot, missing):
    proof = prove(ALL, target(snapshot, [a_pod()]), NOON)
    assert not proof.holds
    assert missing in proof.text


class TestWhatCannotBeSeen:
    def test_is_said_and_does_not_stand_in_the_way(self):
        proof = prove(ALL, target(a_cluster(nodes=two_nodes()), fails=RancherUnreachable("x")), NOON)
        assert proof.holds
        assert "the CNI's DaemonSet cannot be read" in proof.text
        assert "pods cannot be read (RancherUnreachable)" in proof.text

    def test_but_nodes_and_the_cluster_must_be_seen(self):
        assert not prove(ALL, target(a_cluster(nodes=[])), NOON).holds

    def test_flannel_inside_k3s_has_no_workload(self):
        found = item("cni-ready-everywhere", target(a_cluster(distribution=Distribution.K3S)))
        assert found.holds is None
        assert "inside K3s" in found.seen


class TestEveryNode:
    """The DaemonSet may be ready where the network is not."""

    LEASE = (("flannel.alpha.coreos.com/backend-data", '{"VNI":1}'),)

    def found(self, nodes, *, pods=(2, 2), daemon_sets=(), fails=None):
        given = target(a_cluster(nodes=nodes, pods=pods))

        def listed(_, namespace):
            if fails:
                raise fails
            return SimpleNamespace(items=list(daemon_sets) if namespace == "kube-system" else [])

        given.downstream.list = listed
        return item("cni-ready-everywhere", given)

    def test_a_linux_node_without_a_lease_is_not_on_the_network(self):
        with_one, without = replace(a_node("n0"), annotations=self.LEASE), a_node("n1")
        found = self.found([with_one, without])
        assert (found.holds, found.seen) == (False, "rke2-canal 2/2, no lease on n1")
        assert self.found([with_one, replace(without, annotations=self.LEASE)]).holds

    def test_one_that_was_off_before_needs_none(self):
        off = a_node("n1", ready=None, ready_for=minutes(90))
        assert self.found([replace(a_node("n0"), annotations=self.LEASE), off]).holds

    def test_where_no_node_shows_a_lease_nothing_is_concluded(self):
        assert self.found([a_node("n0"), a_node("n1")]).holds

    def windows(self, ready):
        selector = {"nodeSelector": {"kubernetes.io/os": "windows"}}
        return {
            "metadata": {"name": "kube-flannel-windows"},
            "spec": {"template": {"spec": selector}},
            "status": {"desiredNumberScheduled": 1, "numberReady": ready},
        }

    def test_windows_nodes_count_apart(self):
        nodes = [a_node("n0"), replace(a_node("w0", ready=False), os="windows")]
        found = self.found(nodes, pods=(1, 1))
        assert (found.holds, found.seen) == (False, "rke2-canal 1/1, Windows nodes 0/1")

    @pytest.mark.parametrize(("ready", "holds"), [(1, True), (0, False)])
    def test_and_so_does_their_daemon_set(self, ready, holds):
        nodes = [a_node("n0"), replace(a_node("w0"), os="windows")]
        linux = {"metadata": {"name": "kube-proxy"}, "status": {"desiredNumberScheduled": 2}}
        found = self.found(nodes, pods=(1, 1), daemon_sets=[linux, self.windows(ready)])
        assert found.holds is holds
        assert found.seen == f"rke2-canal 1/1, Windows nodes 1/1, kube-flannel-windows {ready}/1"

    def test_what_cannot_be_read_of_them_is_said(self):
        nodes = [a_node("n0"), replace(a_node("w0"), os="windows")]
        found = self.found(nodes, pods=(1, 1), fails=RancherUnreachable("x"))
        assert found.holds
        assert found.seen.endswith("their DaemonSets cannot be read (RancherUnreachable)")


class TestFreshPod:
    @pytest.mark.parametrize(
        "pods",
        [
            [],
            [a_pod(started=NOON - timedelta(seconds=1))],
            [a_pod(started=None)],
            [a_pod(ip="")],
            [a_pod(host=True)],
        ],
        ids=["none", "older than the change", "not running", "without an address", "on the host's network"],
    )
    def test_what_proves_nothing(self, pods):
        found = item("fresh-pod-has-address", target(a_cluster(), pods))
        assert (found.holds, found.seen) == (None, "no pod on the pod network has started since")

    def test_one_that_started_since_proves_it(self):
        pods = [a_pod(host=True), a_pod(started=NOON - minutes(9)), a_pod(started=NOON, ip="10.42.1.2")]
        assert item("fresh-pod-has-address", target(a_cluster(), pods)).seen == "new pod 10.42.1.2"

    @pytest.mark.parametrize("pod", [{}, {"status": None}, {"status": {"podIP": "x", "containerStatuses": None}}])
    def test_odd_pods_are_no_crash(self, pod):
        assert item("fresh-pod-has-address", target(a_cluster(), [pod])).holds is None

    def test_an_unreachable_cluster_is_not_asked(self):
        found = item("fresh-pod-has-address", target(a_cluster(connected=False), fails=AssertionError()))
        assert (found.holds, found.seen) == (None, "pods cannot be read")
