"""Is one machine replaced only where a new one comes and the cluster can do without the old, and draining switched off only where it blocks?"""

import copy
import dataclasses

import pytest
import requests

from rancher_ext.client.changes import FieldMoved
from rancher_ext.client.kubernetes import MACHINES, MANAGEMENT_CLUSTERS, MANAGEMENT_NODES, PROVISIONING_CLUSTERS
from rancher_ext.fleet.node import Machine, Node
from rancher_ext.remediation.action import NotNeeded, NotPossible, PlannedStep
from rancher_ext.remediation.actions import replace_machine as replace
from rancher_ext.remediation.actions import set_cluster_drain as drain
from rancher_ext.simulator.resources import resource_of
from tests.builders import a_cluster

NODE = resource_of("management.cattle.io/v3", "Node")
NODE_POOL = resource_of("management.cattle.io/v3", "NodePool")
MACHINE = resource_of("cluster.x-k8s.io/v1beta1", "Machine")


def patch(look, plural, namespace, name, body, group="provisioning.cattle.io/v1"):
    middle = f"namespaces/{namespace}/" if namespace else ""
    url = f"{look.server.url}/k8s/clusters/local/apis/{group}/{middle}{plural}/{name}"
    headers = {"Authorization": f"Bearer {look.server.token}", "Content-Type": "application/merge-patch+json"}
    requests.patch(url, json=body, headers=headers, timeout=10).raise_for_status()


class TestReplace:
    @pytest.fixture
    def look(self, rancher):
        """Three servers, the kubelet of one is silent."""
        return rancher("v2.11.3", "rke2-flannel-kubelet-flag", still=True)

    def planned(self, look):
        step = replace.preview(look(), {})
        assert isinstance(step, PlannedStep), step
        return step

    def test_the_machine_of_the_broken_node_is_deleted_once(self, look):
        step = self.planned(look)
        (write,) = step.writes
        broken = next(node.name for node in look().snapshot.nodes if not node.ready)
        assert write.place.name == broken
        assert step.diff == f"-Machine fleet-default/{broken}   # node {broken}, pool all"
        assert step == self.planned(look)
        assert replace.ACTION.apply(look(), write).wrote
        assert "stays as it is" in replace.ACTION.take_back(look(), write).seen
        assert not replace.settled(look(), step).holds

    def test_a_machine_that_is_being_deleted_is_left_alone(self, look):
        (write,) = self.planned(look).writes
        item = copy.deepcopy(look.fleet.local.peek(MACHINE, "fleet-default", write.place.name))
        item["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["machine.cluster.x-k8s.io"]}
        look.fleet.local.put(MACHINE, item)
        assert "is being deleted already" in replace.preview(look(), {}).why

    def test_a_second_broken_etcd_machine_stops_the_deletion(self, look):
        (write,) = self.planned(look).writes
        target = look()
        others = [node.name for node in target.snapshot.nodes if node.name != write.place.name]
        nodes = [
            dataclasses.replace(node, ready=False) if node.name == others[0] else node for node in target.snapshot.nodes
        ]
        worse = dataclasses.replace(target, snapshot=dataclasses.replace(target.snapshot, nodes=tuple(nodes)))
        with pytest.raises(FieldMoved, match="only 1 of the other 2 etcd machines are well"):
            replace.ACTION.apply(worse, write)
        assert look().local.get(MACHINES, write.place.name, "fleet-default")["metadata"]["uid"] == write.uid

    def test_a_custom_machine_has_nobody_who_would_make_it_again(self, look):
        (write,) = self.planned(look).writes
        item = copy.deepcopy(look.fleet.local.peek(MACHINE, "fleet-default", write.place.name))
        item["spec"]["infrastructureRef"]["kind"] = "CustomMachine"
        look.fleet.local.put(MACHINE, item)
        assert "nobody would make another one" in replace.preview(look(), {}).why

    def test_not_beside_a_health_check_that_replaces_machines_itself(self, look):
        pools = copy.deepcopy(look().local.get(PROVISIONING_CLUSTERS, look.cluster.name, "fleet-default"))["spec"]
        pools = pools["rkeConfig"]["machinePools"]
        pools[0]["unhealthyNodeTimeout"] = "10m0s"
        patch(look, "clusters", "fleet-default", look.cluster.name, {"spec": {"rkeConfig": {"machinePools": pools}}})
        assert "unhealthyNodeTimeout 10m0s" in replace.preview(look(), {}).why

    def test_not_where_several_nodes_are_broken(self, rancher):
        look = rancher("v2.11.3", "rke2-canal-cidr-exhausted", still=True)
        assert "the cause is not that of one machine" in replace.preview(look(), {}).why

    def test_not_while_rancher_does_not_reach_the_cluster(self, rancher):
        look = rancher("v2.11.3", "rke2-canal-never-connected", still=True)
        assert replace.preview(look(), {}) == NotPossible(
            "Rancher does not reach the cluster: draining the machine would never end"
        )

    @pytest.mark.parametrize(
        ("others", "why"),
        [
            ([], "it is the only etcd machine"),
            ([("b", True)], "only 1 of the other 1 etcd machines are well"),
            ([("b", True), ("c", False)], "only 1 of the other 2 etcd machines are well"),
            ([("b", True), ("c", True)], ""),
        ],
    )
    def test_etcd_keeps_its_majority(self, others, why):
        roles = frozenset({"etcd"})
        machines = (Machine("a", None, roles, node="a"), *(Machine(name, None, roles, node=name) for name, _ in others))
        nodes = (Node("a", ready=False), *(Node(name, ready=ready) for name, ready in others))
        cluster = a_cluster(machines=machines, nodes=nodes)
        assert replace._needed(cluster, machines[0]) == why

    def test_the_only_control_plane_stays(self):
        machine = Machine("a", None, frozenset({"controlplane"}), node="a")
        cluster = a_cluster(machines=(machine,), nodes=(Node("a", ready=False),))
        assert replace._needed(cluster, machine) == "it is the only control plane machine"


class TestReplaceOnRke1:
    @pytest.fixture
    def look(self, rancher):
        return rancher("v2.11.3", "rke1-canal-healthy", still=True)

    def with_a_broken_worker(self, look):
        target = look()
        nodes = [
            dataclasses.replace(node, ready=False) if node.name.endswith("worker1") else node
            for node in target.snapshot.nodes
        ]
        return dataclasses.replace(target, snapshot=dataclasses.replace(target.snapshot, nodes=tuple(nodes)))

    def test_the_node_of_its_pool_is_deleted_once(self, look):
        step = replace.preview(self.with_a_broken_worker(look), {})
        (write,) = step.writes
        (item,) = [
            node
            for node in look().local.list(MANAGEMENT_NODES, look.cluster.id).items
            if node["metadata"]["name"] == write.place.name
        ]
        assert item["status"]["nodeName"].endswith("worker1")
        assert replace.ACTION.apply(self.with_a_broken_worker(look), write).wrote
        assert not replace.ACTION.apply(look(), write).wrote

    def test_a_node_that_is_ready_again_keeps_its_machine(self, look):
        """Between plan and deletion an etcd snapshot is taken, which may last half an hour."""
        (write,) = replace.preview(self.with_a_broken_worker(look), {}).writes
        with pytest.raises(FieldMoved, match="worker1 is ready again"):
            replace.ACTION.apply(look(), write)
        assert look().local.get(MANAGEMENT_NODES, write.place.name, look.cluster.id)["metadata"]["uid"] == write.uid

    def test_a_pool_that_replaces_nodes_itself_needs_no_hand(self, look):
        step = replace.preview(self.with_a_broken_worker(look), {})
        name = step.writes[0].place.name
        pool = look().local.get(MANAGEMENT_NODES, name, look.cluster.id)["spec"]["nodePoolName"]
        obj = {
            "apiVersion": "management.cattle.io/v3",
            "kind": "NodePool",
            "metadata": {"namespace": look.cluster.id, "name": pool.partition(":")[2]},
            "spec": {"deleteNotReadyAfterSecs": 300},
        }
        look.fleet.local.put(NODE_POOL, obj)
        why = replace.preview(self.with_a_broken_worker(look), {}).why
        assert "deletes nodes that are not ready for 300 s by itself" in why

    def test_a_custom_node_has_nobody_who_would_make_it_again(self, look):
        name = replace.preview(self.with_a_broken_worker(look), {}).writes[0].place.name
        item = copy.deepcopy(look.fleet.local.peek(NODE, look.cluster.id, name))
        item["spec"] |= {"nodePoolName": "", "customConfig": {"address": "10.0.0.1"}}
        look.fleet.local.put(NODE, item)
        assert "nobody would make another one" in replace.preview(self.with_a_broken_worker(look), {}).why


class TestDrain:
    def test_on_rke2_it_is_switched_off_where_it_cannot_end(self, rancher):
        look = rancher("v2.11.3", "rke2-canal-never-connected", still=True)
        assert isinstance(drain.preview(look(), {}), NotNeeded)
        on = {"spec": {"rkeConfig": {"upgradeStrategy": {"controlPlaneDrainOptions": {"enabled": True}}}}}
        patch(look, "clusters", "fleet-default", look.cluster.name, on)
        before = look().local.get(PROVISIONING_CLUSTERS, look.cluster.name, "fleet-default")["spec"]
        step = drain.preview(look(), {})
        assert step.diff.endswith("-      enabled: true\n+      enabled: false")
        for write in step.writes:
            assert drain.ACTION.apply(look(), write).wrote
        assert isinstance(drain.preview(look(), {}), NotNeeded)
        for write in step.writes:
            drain.ACTION.take_back(look(), write)
        assert look().local.get(PROVISIONING_CLUSTERS, look.cluster.name, "fleet-default")["spec"] == before

    def test_on_rke1_too(self, rancher):
        look = rancher(still=True)
        assert isinstance(drain.preview(look(), {}), NotNeeded)
        on = {"spec": {"rancherKubernetesEngineConfig": {"upgradeStrategy": {"drain": True}}}}
        patch(look, "clusters", "", look.cluster.id, on, "management.cattle.io/v3")
        (write,) = drain.preview(look(), {}).writes
        drain.ACTION.apply(look(), write)
        config = look().local.get(MANAGEMENT_CLUSTERS, look.cluster.id)["spec"]["rancherKubernetesEngineConfig"]
        assert config["upgradeStrategy"]["drain"] is False
