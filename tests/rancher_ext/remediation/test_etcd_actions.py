"""Are copies of etcd taken when there is something to save, waited for, and restored only where that helps?"""

import base64
import copy
import gzip
import json

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from rancher_ext.client.kubernetes import MANAGEMENT_CLUSTERS, PROVISIONING_CLUSTERS
from rancher_ext.remediation.action import NotNeeded, NotPossible, PlannedStep
from rancher_ext.remediation.actions import put_back_kubernetes_version as put_back
from rancher_ext.remediation.actions import restore_kubernetes_version as restore
from rancher_ext.remediation.actions import take_etcd_snapshot as take
from rancher_ext.remediation.control_plane import version_in_snapshot
from rancher_ext.remediation.etcd import etcd_copies
from rancher_ext.remediation.plan import Plan, make_plan
from rancher_ext.remediation.playbook import Playbook
from rancher_ext.simulator.clock import rfc3339
from rancher_ext.simulator.resources import resource_of

PLANE = resource_of("rke.cattle.io/v1", "RKEControlPlane")
SNAPSHOT = resource_of("rke.cattle.io/v1", "ETCDSnapshot")
BACKUP = resource_of("management.cattle.io/v3", "EtcdBackup")
OLD = "v1.31.9+rke2r1"


def planned(module, look, **arguments):
    step = module.preview(look(), arguments)
    assert isinstance(step, PlannedStep), step
    return step


def plane(look, *, spec=None, **status):
    """What Rancher's planner would have written by now."""
    identity = look.cluster.identity
    item = copy.deepcopy(look.fleet.local.peek(PLANE, identity.namespace, identity.name))
    item["status"] |= status
    item["spec"] |= spec or {}
    look.fleet.local.put(PLANE, item)


def metadata(version):
    spec = base64.b64encode(gzip.compress(json.dumps({"kubernetesVersion": version}).encode())).decode()
    return base64.b64encode(json.dumps({"provisioning-cluster-spec": spec}).encode()).decode()


def snapshot(look, age, name="s1", version=OLD, **file):
    """An ETCDSnapshot as Rancher writes it back from the cluster, `age` seconds old."""
    identity = look.cluster.identity
    now = look.fleet.clock.seconds()
    obj = {
        "apiVersion": "rke.cattle.io/v1",
        "kind": "ETCDSnapshot",
        "metadata": {"name": name, "namespace": identity.namespace},
        "spec": {"clusterName": identity.name},
        "snapshotFile": {
            "name": name,
            "nodeName": identity.machines[0].node,
            "location": f"file:///{name}",
            "createdAt": rfc3339(now - age),
            "metadata": metadata(version),
            "status": "successful",
        }
        | file,
        "status": {"missing": False},
    }
    look.fleet.local.put(SNAPSHOT, obj)


def without_snapshots(look):
    for item in look.fleet.local.objects(SNAPSHOT):
        look.fleet.local.drop(SNAPSHOT, item["metadata"]["namespace"], item["metadata"]["name"])


def backup(look, name, version="v1.31.6-rancher1-1", completed="True", **spec):
    obj = {
        "apiVersion": "management.cattle.io/v3",
        "kind": "EtcdBackup",
        "metadata": {"name": name, "namespace": look.cluster.id},
        "spec": {"clusterId": look.cluster.id, **spec},
        "status": {
            "kubernetesVersion": version,
            "conditions": [
                {"type": "Created", "status": "True"},
                {"type": "Completed", "status": completed, "message": "disk full" if completed == "False" else ""},
            ],
        },
    }
    look.fleet.local.put(BACKUP, obj)


def spec_of(look):
    identity = look.cluster.identity
    return look().local.get(PROVISIONING_CLUSTERS, identity.name, identity.namespace)["spec"]


class TestSnapshotOfRke2:
    @pytest.fixture
    def look(self, rancher):
        look = rancher("v2.11.3", "rke2-canal-healthy", still=True)
        without_snapshots(look)
        return look

    def test_the_number_goes_up_by_one_and_is_never_taken_back(self, look):
        plane(look, etcdSnapshotCreate={"generation": 4}, etcdSnapshotCreatePhase="Finished")
        step = planned(take, look)
        assert step.diff == " rkeConfig:\n   etcdSnapshotCreate:\n+    generation: 5"
        (write,) = step.writes
        assert take.ACTION.apply(look(), write).wrote
        assert not take.ACTION.apply(look(), write).wrote
        assert "stays as it is" in take.ACTION.take_back(look(), write).seen
        assert spec_of(look)["rkeConfig"]["etcdSnapshotCreate"] == {"generation": 5}

    @pytest.mark.parametrize(
        ("status", "holds"),
        [
            ({}, False),
            ({"etcdSnapshotCreate": {"generation": 1}, "etcdSnapshotCreatePhase": "Started"}, False),
            ({"etcdSnapshotCreate": {"generation": 1}, "etcdSnapshotCreatePhase": "Failed"}, False),
            # The files are saved then, and the rest waits for an agent that may never connect.
            ({"etcdSnapshotCreate": {"generation": 1}, "etcdSnapshotCreatePhase": "RestartCluster"}, True),
            ({"etcdSnapshotCreate": {"generation": 1}, "etcdSnapshotCreatePhase": "Finished"}, True),
        ],
    )
    def test_it_is_settled_when_the_files_are_saved(self, look, status, holds):
        step = planned(take, look)
        plane(look, **status)
        assert take.settled(look(), step).holds is holds

    def test_a_fresh_one_makes_it_needless(self, look):
        snapshot(look, 3600)
        answer = take.preview(look(), {})
        assert isinstance(answer, NotNeeded)
        assert "s1" in answer.why
        assert planned(take, look, fresh_within="30m")

    def test_one_on_a_machine_that_is_gone_saves_nobody(self, look):
        snapshot(look, 3600, nodeName="a-machine-that-is-gone")
        assert planned(take, look)

    def test_one_on_the_broken_machine_alone_does_not_count(self, rancher):
        """The plan may be to delete just that machine."""
        look = rancher("v2.11.3", "rke2-flannel-kubelet-flag", still=True)
        without_snapshots(look)
        nodes = look().snapshot.nodes
        broken, well = (next(node.name for node in nodes if bool(node.ready) is ready) for ready in (False, True))
        snapshot(look, 3600, "there", nodeName=broken)
        assert not isinstance(take.preview(look(), {}), NotNeeded)
        snapshot(look, 3600, "here", nodeName=well)
        assert "here" in take.preview(look(), {}).why

    @pytest.mark.parametrize("file", [{"status": "failed"}, {"createdAt": ""}])
    def test_a_failed_one_does_not(self, look, file):
        snapshot(look, 3600, **file)
        assert planned(take, look)

    def test_one_whose_file_is_gone_does_not(self, look):
        snapshot(look, 3600)
        item = copy.deepcopy(look.fleet.local.peek(SNAPSHOT, look.cluster.identity.namespace, "s1"))
        look.fleet.local.put(SNAPSHOT, item | {"status": {"missing": True}})
        assert planned(take, look)

    def test_of_a_cluster_that_was_never_up_nothing_is_saved(self, rancher):
        look = rancher("v2.11.3", "rke2-canal-never-connected", still=True)
        assert take.preview(look(), {}) == NotNeeded("the cluster was never up: its etcd holds nothing to save")

    def test_not_after_a_change_of_the_version(self, rancher):
        look = rancher("v2.11.3", "rke2-canal-crd-missing-upgrade", still=True)
        without_snapshots(look)
        answer = take.preview(look(), {})
        assert isinstance(answer, NotPossible)
        assert "would install the new version on every etcd node first" in answer.why

    @pytest.mark.parametrize("phase", ["Started", "RestartCluster"])
    def test_not_while_another_one_runs(self, look, phase):
        plane(look, etcdSnapshotCreatePhase=phase)
        assert "phase" in take.preview(look(), {}).why

    def test_not_while_a_request_waits(self, look):
        take.ACTION.apply(look(), planned(take, look).writes[0])
        assert take.preview(look(), {}) == NotPossible("snapshot request 1 is not carried out yet")


class TestBackupOfRke1:
    @pytest.fixture
    def look(self, rancher):
        return rancher("v2.11.3", "rke1-canal-1-31-healthy", still=True)

    def test_rancher_is_asked_and_what_it_made_is_waited_for(self, look):
        backup(look, "earlier", completed="False")
        step = planned(take, look)
        assert not take.settled(look(), step).holds
        (write,) = step.writes
        assert take.ACTION.apply(look(), write).wrote
        assert take.settled(look(), step).seen == "the etcd backup is being made"
        (made,) = [each for each in etcd_copies(look()) if each.name != "earlier"]
        backup(look, made.name, completed="False")
        assert take.settled(look(), step).seen == "etcd backup failed: disk full"
        backup(look, made.name)
        assert take.settled(look(), step).holds
        assert isinstance(take.preview(look(), {}), NotNeeded)

    def test_without_a_backup_configuration_rancher_does_not_offer_it(self, look):
        url = f"{look.server.url}/k8s/clusters/local/apis/management.cattle.io/v3/clusters/{look.cluster.id}"
        headers = {"Authorization": f"Bearer {look.server.token}", "Content-Type": "application/merge-patch+json"}
        patch = {"spec": {"rancherKubernetesEngineConfig": {"services": {"etcd": {"backupConfig": None}}}}}
        requests.patch(url, json=patch, headers=headers, timeout=10).raise_for_status()
        assert "Rancher offers no etcd backup here" in take.preview(look(), {}).why

    def test_the_plan_of_an_unchanged_cluster_is_the_same(self, look):
        assert planned(take, look) == planned(take, look)


class TestEarlierVersion:
    @pytest.fixture
    def look(self, rancher):
        """On the way from 1.31 to 1.32, half-way."""
        look = rancher("v2.11.3", "rke2-canal-crd-missing-upgrade", still=True)
        without_snapshots(look)
        return look

    def within_a_line(self, look):
        """The same cluster, had it come from the patch release before."""
        applied = copy.deepcopy(
            look.fleet.local.peek(PLANE, "fleet-default", look.cluster.name)["status"]["appliedSpec"]
        )
        plane(look, appliedSpec=applied | {"kubernetesVersion": "v1.32.4+rke2r1"})

    def test_within_a_minor_line_the_field_is_put_back_and_the_undo_is_exact(self, look):
        self.within_a_line(look)
        step = planned(put_back, look)
        assert step.diff == "-kubernetesVersion: v1.32.5+rke2r1\n+kubernetesVersion: v1.32.4+rke2r1"
        before = spec_of(look)
        (write,) = step.writes
        assert put_back.ACTION.apply(look(), write).wrote
        assert spec_of(look)["kubernetesVersion"] == "v1.32.4+rke2r1"
        put_back.ACTION.take_back(look(), write)
        assert spec_of(look) == before

    def test_between_minor_lines_the_field_alone_is_never_put_back(self, look):
        assert "etcd has to be restored, too" in put_back.preview(look(), {}).why

    def test_the_newest_snapshot_of_exactly_that_version_is_restored(self, look):
        snapshot(look, 9000, "older")
        snapshot(look, 7000, "right")
        snapshot(look, 100, "after-the-upgrade-began", version="v1.32.5+rke2r1")
        plane(look, etcdSnapshotRestore={"name": "x", "generation": 3}, etcdSnapshotRestorePhase="Finished")
        step = planned(restore, look)
        (write,) = step.writes
        assert write.after.value == {"name": "right", "generation": 4, "restoreRKEConfig": "kubernetesVersion"}
        assert "is lost" in step.effect
        assert restore.ACTION.apply(look(), write).wrote
        assert not restore.ACTION.apply(look(), write).wrote
        assert "stays as it is" in restore.ACTION.take_back(look(), write).seen
        assert not restore.settled(look(), step).holds
        plane(look, etcdSnapshotRestore=write.after.value, etcdSnapshotRestorePhase="RestartCluster")
        assert not restore.settled(look(), step).holds
        plane(look, etcdSnapshotRestorePhase="Finished")
        assert restore.settled(look(), step).holds

    @pytest.mark.parametrize(
        "file",
        [
            {"status": "failed"},
            {"nodeName": "a-machine-that-is-gone"},
            {"metadata": ""},
            {"metadata": metadata("v1.31.8+rke2r1")},
        ],
        ids=["failed", "on a machine that is gone", "of an unknown version", "of another version"],
    )
    def test_a_snapshot_that_cannot_help_is_not_restored(self, look, file):
        snapshot(look, 100, **file)
        assert "there is no complete etcd snapshot of v1.31.9+rke2r1" in restore.preview(look(), {}).why

    def test_one_in_s3_can_be_read_by_any_server(self, look):
        snapshot(look, 100, nodeName="s3", location="s3://backups/x")
        assert planned(restore, look)

    def test_not_when_more_than_the_version_was_changed(self, look):
        snapshot(look, 100)
        plane(look, spec={"chartValues": {"rke2-canal": {"flannel": {"iface": "eth9"}}}})
        for module in (restore, put_back):
            assert "more than the version was changed (chartValues)" in module.preview(look(), {}).why

    def test_not_on_a_cluster_that_never_worked(self, rancher):
        look = rancher("v2.11.3", "rke2-canal-never-connected", still=True)
        assert restore.preview(look(), {}) == NotPossible("the cluster was never up: there is nothing to go back to")
        assert put_back.preview(look(), {}) == NotPossible("the cluster never came up with any version")

    def test_not_when_the_version_is_the_one_that_worked(self, rancher):
        look = rancher("v2.11.3", "rke2-canal-healthy", still=True)
        for module in (restore, put_back):
            assert "last worked with the version it has" in module.preview(look(), {}).why


class TestEarlierVersionOfRke1:
    WORKED = "v1.31.6-rancher1-1"

    def on_the_way(self, rancher, version, **config):
        look = rancher("v2.11.3", "rke1-canal-1-31-healthy", still=True)
        self.edit(look, {"kubernetesVersion": version, **config})
        return look

    def edit(self, look, config):
        url = f"{look.server.url}/k8s/clusters/local/apis/management.cattle.io/v3/clusters/{look.cluster.id}"
        headers = {"Authorization": f"Bearer {look.server.token}", "Content-Type": "application/merge-patch+json"}
        patch = {"spec": {"rancherKubernetesEngineConfig": config}}
        requests.patch(url, json=patch, headers=headers, timeout=10).raise_for_status()

    def version(self, look):
        item = look().local.get(MANAGEMENT_CLUSTERS, look.cluster.id)
        return item["spec"]["rancherKubernetesEngineConfig"]["kubernetesVersion"]

    def test_rancher_restores_the_backup_of_that_version(self, rancher):
        look = self.on_the_way(rancher, "v1.32.2-rancher1-1")
        assert "there is no complete etcd snapshot" in restore.preview(look(), {}).why
        backup(look, "of-another", version="v1.31.5-rancher1-1")
        backup(look, "in-s3", version=self.WORKED, backupConfig={"s3BackupConfig": {"bucketName": "b"}})
        backup(look, "broken", version=self.WORKED, completed="False")
        assert "there is no complete etcd snapshot" in restore.preview(look(), {}).why
        backup(look, "right", version=self.WORKED)
        step = planned(restore, look)
        (write,) = step.writes
        wanted = {"etcdBackupId": f"{look.cluster.id}:right", "restoreRkeConfig": "kubernetesVersion"}
        assert (write.action, write.body) == ("restoreFromEtcdBackup", wanted)
        assert f"+  etcdBackupId: {look.cluster.id}:right" in step.diff
        assert not restore.settled(look(), step).holds
        assert restore.ACTION.apply(look(), write).wrote
        assert self.version(look) == self.WORKED
        self.edit(look, {"kubernetesVersion": "v1.32.2-rancher1-1"})
        assert not restore.ACTION.apply(look(), write).wrote
        assert self.version(look) == "v1.32.2-rancher1-1"
        assert "there is no complete etcd snapshot" in restore.preview(look(), {}).why

    def test_within_a_minor_line_the_field_is_put_back(self, rancher):
        look = self.on_the_way(rancher, "v1.31.12-rancher1-1")
        (write,) = planned(put_back, look).writes
        put_back.ACTION.apply(look(), write)
        assert self.version(look) == self.WORKED
        put_back.ACTION.take_back(look(), write)
        assert self.version(look) == "v1.31.12-rancher1-1"

    def test_not_when_the_network_was_changed_too(self, rancher):
        look = self.on_the_way(rancher, "v1.31.12-rancher1-1", network={"mtu": 1400})
        assert "more than the version was changed (network)" in put_back.preview(look(), {}).why


def test_a_fresh_snapshot_leaves_the_step_out_and_the_plan_says_so(rancher):
    look = rancher("v2.11.3", "rke2-canal-crd-missing-upgrade", still=True)
    without_snapshots(look)
    book = Playbook.model_validate(
        {
            "id": "go-back",
            "title": "Go back",
            "for": ["x"],
            "variants": [{"steps": [{"action": take.ACTION.name}, {"action": restore.ACTION.name}]}],
            "explain": ["by hand"],
            "cure": {"proof": ["nodes-ready"]},
        }
    )
    actions = {module.ACTION.name: module.ACTION for module in (take, restore)}
    assert "would install the new version" in make_plan(book, "x", look(), actions).why
    snapshot(look, 100)
    plan = make_plan(book, "x", look(), actions)
    assert isinstance(plan, Plan)
    assert [step.action for step in plan.steps] == ["restore-kubernetes-version"]
    assert plan.done[0][0] == "take-etcd-snapshot"
    assert plan.etcd_saved
    assert (plan.risk, plan.undo) == ("destructive", "none")
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


class TestMetadata:
    def test_the_version_is_read(self):
        assert version_in_snapshot(metadata(OLD)) == OLD

    @given(st.text() | st.binary().map(lambda raw: base64.b64encode(raw).decode()))
    def test_anything_else_tells_no_version(self, text):
        assert version_in_snapshot(text) == ""

    @pytest.mark.parametrize(
        "outer", [[], {"provisioning-cluster-spec": "AAAA"}, {"provisioning-cluster-spec": 1}, "x"]
    )
    def test_half_of_it_tells_no_version(self, outer):
        assert version_in_snapshot(base64.b64encode(json.dumps(outer).encode()).decode()) == ""
