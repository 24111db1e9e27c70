"""Does the simulated Rancher refresh its release metadata, and restore a backup, as the real one does?"""

import pytest
import requests

from rancher_ext.simulator import metadata
from rancher_ext.simulator.fleet import ADMIN_TOKEN, READER_TOKEN, Fleet
from rancher_ext.simulator.running import RunningRancher

NEWER = "v1.32.8-rancher1-1"


@pytest.fixture
def server():
    fleet = Fleet(rancher_version="v2.10.3")
    fleet.add("rke1-canal-1-31-healthy", "old")
    with RunningRancher(fleet) as running:
        yield running


def ask(server, method, path, token=ADMIN_TOKEN, **options):
    headers = {"Authorization": f"Bearer {token}"}
    return requests.request(method, f"{server.url}{path}", headers=headers, timeout=10, **options)


def images(server, version):
    return server.fleet.local.peek(metadata.IMAGES, metadata.NAMESPACE, version)


@pytest.mark.parametrize("plural", ["kontainerDrivers", "kontainerdrivers"])
def test_a_refresh_of_the_whole_kind_brings_newer_versions(server, plural):
    offered = ask(server, "GET", f"/v3/{plural}").json()["actions"]
    assert list(offered) == ["refresh"]
    assert images(server, NEWER) is None
    assert ask(server, "POST", f"/v3/{plural}?action=refresh").status_code == 200
    assert images(server, NEWER)["systemImages"]["kubernetesServicesSidecar"].startswith("rancher/rke-tools:v0.1.11")


def test_who_may_only_read_is_not_offered_it(server):
    assert ask(server, "GET", "/v3/kontainerdrivers", READER_TOKEN).json()["actions"] == {}
    assert ask(server, "POST", "/v3/kontainerdrivers?action=refresh", READER_TOKEN).status_code == 404
    assert images(server, NEWER) is None


def test_no_other_kind_and_no_other_action(server):
    assert ask(server, "POST", "/v3/clusters?action=refresh").status_code == 404
    assert ask(server, "POST", "/v3/kontainerdrivers?action=activate").status_code == 404


@pytest.mark.parametrize(("rancher", "tools"), [("v2.10.3", "v0.1.110"), ("v2.10.4", "v0.1.111")])
def test_the_entry_point_that_knows_the_variable_came_with_the_field(rancher, tools):
    found = Fleet(rancher_version=rancher).local.peek(metadata.IMAGES, metadata.NAMESPACE, "v1.32.2-rancher1-1")
    assert found["systemImages"]["kubernetesServicesSidecar"] == f"rancher/rke-tools:{tools}"


def test_a_backup_knows_its_version_and_brings_it_back(server):
    (cluster,) = [each for each in server.fleet.clusters.values() if each.name == "old"]
    path = f"/v3/clusters/{cluster.id}"
    made = ask(server, "POST", f"{path}?action=backupEtcd", json={}).json()
    assert made["status"]["kubernetesVersion"] == "v1.31.6-rancher1-1"
    raw = f"/k8s/clusters/local/apis/management.cattle.io/v3/clusters/{cluster.id}"
    patch = {"spec": {"rancherKubernetesEngineConfig": {"kubernetesVersion": "v1.32.2-rancher1-1"}}}
    merge = {"Content-Type": "application/merge-patch+json", "Authorization": f"Bearer {ADMIN_TOKEN}"}
    requests.patch(f"{server.url}{raw}", json=patch, headers=merge, timeout=10).raise_for_status()
    restore = f"{path}?action=restoreFromEtcdBackup"
    assert ask(server, "POST", restore, json={"etcdBackupId": "c-other:x"}).status_code == 404
    body = {"etcdBackupId": made["id"], "restoreRkeConfig": "kubernetesVersion"}
    assert ask(server, "POST", restore, json=body).status_code == 201
    config = ask(server, "GET", raw).json()["spec"]["rancherKubernetesEngineConfig"]
    assert config["kubernetesVersion"] == "v1.31.6-rancher1-1"
    assert config["restore"] == {"restore": True, "snapshotName": made["id"]}
