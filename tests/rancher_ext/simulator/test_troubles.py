"""Do the troubles of `library/troubles.yaml` begin as they say, go away by the right deed alone, and do deeds have their effects?"""

import pytest
import yaml

from rancher_ext.simulator.cluster import DAEMON_SET, NODE
from rancher_ext.simulator.operations import CREATE, RESTORE, Operations
from rancher_ext.simulator.records import CRD
from rancher_ext.simulator.resources import resource_of
from rancher_ext.simulator.scenario import ScenarioError, load_scenario
from rancher_ext.simulator.troubles import SHAPES, known_troubles, trouble_ids

MACHINE = resource_of("cluster.x-k8s.io/v1beta1", "Machine")
ROLE = resource_of("rbac.authorization.k8s.io/v1", "ClusterRole")
MERGE = "application/merge-patch+json"


def configure(fleet, cluster, **rke_config):
    """A client writes the specification; the nodes get it."""
    with fleet.lock:
        wanted = {**cluster.wanted, "rkeConfig": {**cluster.wanted["rkeConfig"], **rke_config}}
        cluster.write_config(wanted, fleet.clock.seconds())
        fleet.cluster_changed(cluster)
    fleet.later(30)


@pytest.mark.parametrize("scenario_id", trouble_ids())
def test_a_trouble_begins_stuck_and_names_its_cause(scenario_id, fleet):
    cluster = fleet.add(scenario_id)
    assert (cluster.state.name, cluster.truth.verdict) == ("broken", "stuck")
    assert cluster.truth.cause
    assert cluster.downstream.objects(NODE)


@pytest.mark.parametrize("name", sorted(known_troubles())[:6])
def test_by_itself_none_goes_away(name, fleet):
    cluster = fleet.add(f"{name}@{next(iter(known_troubles()[name]['clusters']))}")
    fleet.later(3 * 3600)
    assert cluster.state.name == "broken"


@pytest.mark.parametrize("wrong", ["no-such@rke2-canal", "canal-rbac-forbidden@k3s-flannel", "canal-rbac-forbidden"])
def test_another_one_is_not_known(wrong):
    with pytest.raises(ScenarioError, match="there is no scenario"):
        load_scenario(wrong)


@pytest.mark.parametrize("shape", SHAPES)
def test_it_comes_in_several_shapes(shape):
    pools = load_scenario(f"canal-rbac-forbidden@rke2-canal-{shape}").pools
    assert sum(pool.quantity for pool in pools) == {"many": 120, "mixed": 4}.get(shape, 3)
    assert any(pool.os == "windows" for pool in pools) is (shape == "mixed")


@pytest.mark.parametrize(
    ("how", "ends"),
    [({}, "healthy"), ({"no_effect": True}, "broken"), ({"worse": True}, "worse"), ({"late": True}, "late")],
)
def test_the_cure_turns_out_as_the_parameter_says(how, ends, fleet):
    cluster = fleet.add("flannel-no-ip-stack@rke2-canal", **how)
    configure(fleet, cluster, chartValues={"rke2-canal": {"podCidr": "10.42.0.0/16"}})
    fleet.later(120)
    assert cluster.state.name == ends


def test_a_relapse_comes_after_a_few_good_minutes(fleet):
    cluster = fleet.add("flannel-no-ip-stack@rke2-canal", relapse=True)
    configure(fleet, cluster, chartValues={"rke2-canal": {"podCidr": "10.42.0.0/16"}})
    fleet.later(120)
    assert cluster.state.name == "healthy"
    fleet.later(240)
    assert cluster.state.name == "again"


class TestWhatNodesApply:
    WHOLE = yaml.safe_dump_all(
        [
            {"apiVersion": ROLE.api_version, "kind": "ClusterRole", "metadata": {"name": "ours"}, "rules": []},
            {
                "apiVersion": "apps/v1",
                "kind": "DaemonSet",
                "metadata": {"name": "fix", "namespace": "kube-system"},
                "spec": {"selector": {}, "template": {"spec": {"containers": []}}},
            },
        ]
    )

    def test_documents_of_the_manifest_appear_also_where_rancher_does_not_reach(self, fleet):
        cluster = fleet.add("rke2-canal-never-connected")
        configure(fleet, cluster, additionalManifest=self.WHOLE)
        store = cluster.downstream
        assert store.peek(ROLE, "", "ours")
        fleet.later(120)
        assert store.peek(DAEMON_SET, "kube-system", "fix")["status"]["numberReady"] == 1

    def test_what_leaves_the_manifest_is_deleted(self, fleet):
        cluster = fleet.add("rke2-canal-healthy")
        assert cluster.downstream.objects(NODE)
        configure(fleet, cluster, additionalManifest=self.WHOLE)
        fleet.later(120)
        assert cluster.downstream.peek(ROLE, "", "ours")
        configure(fleet, cluster, additionalManifest="")
        fleet.later(400)
        assert cluster.downstream.peek(ROLE, "", "ours") is None

    def test_a_definition_is_established_with_the_document(self, fleet):
        cluster = fleet.add("canal-crd-missing@rke2-canal")
        name = "ippools.crd.projectcalico.org"
        assert cluster.downstream.peek(CRD, "", name) is None
        spec = {"group": "crd.projectcalico.org", "names": {"plural": "ippools", "kind": "IPPool"}, "versions": []}
        document = {"apiVersion": CRD.api_version, "kind": CRD.kind, "metadata": {"name": name}, "spec": spec}
        configure(fleet, cluster, additionalManifest=yaml.safe_dump(document))
        fleet.later(120)
        conditions = cluster.downstream.peek(CRD, "", name)["status"]["conditions"]
        assert ("Established", "True") in {(each["type"], each["status"]) for each in conditions}


class TestMachines:
    def test_a_deleted_machine_has_a_successor(self, fleet):
        cluster = fleet.add("flannel-link-addresses@rke2-canal")
        old = cluster.identity.machines[2]
        fleet.local.delete(MACHINE, ("fleet-default", old.name), {})
        fleet.later(60)
        new = cluster.identity.machines[2]
        assert new.name != old.name
        assert fleet.local.peek(MACHINE, "fleet-default", old.name) is None
        assert fleet.local.peek(MACHINE, "fleet-default", new.name)
        assert {each["metadata"]["name"] for each in cluster.downstream.objects(NODE)} == {
            machine.node for machine in cluster.identity.machines
        }
        assert cluster.state.name == "healthy"

    def test_a_custom_machine_has_none(self, fleet):
        cluster = fleet.add("k3s-flannel-cloud-uninitialized")
        names = [machine.name for machine in cluster.identity.machines]
        cluster.replace_machine(names[1], fleet.clock.seconds())
        assert [machine.name for machine in cluster.identity.machines] == names


class TestOperations:
    @staticmethod
    def asked(kind, request):
        operations = Operations()
        operations.note({"rkeConfig": {}}, {"rkeConfig": {kind: request}}, 100.0)
        return operations

    def test_a_snapshot_goes_through_its_phases(self):
        operations = self.asked(CREATE, {"generation": 1})
        assert operations.status(101.0, connected=True) == {}
        assert operations.due(100.0) == 103.0
        for now, phase in ((103.0, "Started"), (118.0, "RestartCluster"), (133.0, "Finished")):
            assert operations.status(now, connected=True) == {CREATE: {"generation": 1}, f"{CREATE}Phase": phase}

    @pytest.mark.parametrize(("connected", "phase"), [(True, "Finished"), (False, "RestartCluster")])
    def test_a_restore_ends_only_with_an_agent(self, connected, phase):
        operations = self.asked(RESTORE, {"generation": 1, "name": "x"})
        assert operations.phase(RESTORE, 1000.0, connected=connected) == phase

    def test_what_it_restored_is_told_once(self):
        operations = self.asked(RESTORE, {"generation": 1, "name": "x"})
        assert not operations.restored(150.0)
        assert operations.restored(155.0)
        assert not operations.restored(156.0)

    def test_the_same_request_is_no_new_one(self):
        operations = Operations()
        config = {"rkeConfig": {CREATE: {"generation": 1}}}
        operations.note(config, config, 100.0)
        assert operations.status(500.0, connected=True) == {}
