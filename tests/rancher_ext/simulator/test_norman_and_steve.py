"""Norman with Rancher's own Python client, and Steve by hand."""

import json

import pytest
import rancher as rancher_client

from rancher_ext.simulator.fleet import Fleet
from rancher_ext.simulator.running import RunningRancher


@pytest.fixture
def norman(rancher):
    return rancher_client.Client(url=rancher.url + "/v3", token=rancher.token)


def test_ranchers_client_lists_clusters_with_their_computed_state(norman, fleet):
    stuck, well = fleet.add("rke1-canal-br-netfilter"), fleet.add("rke2-canal-healthy")
    found = {c.id: c for c in norman.list_cluster()}

    assert (found[stuck.id].state, found[stuck.id].transitioning) == ("waiting", "yes")
    assert found[stuck.id].transitioningMessage.startswith("Waiting for API to be available")
    assert found[stuck.id].rancherKubernetesEngineConfig.network.plugin == "canal"
    assert (found[well.id].state, found[well.id].transitioning, found[well.id].provider) == ("active", "no", "rke2")


def test_it_filters_finds_one_and_misses_none(norman, fleet):
    cluster = fleet.add("rke1-canal-healthy", name="legacy-3")

    assert [c.id for c in norman.list_cluster(name="legacy-3")] == [cluster.id]
    assert norman.by_id_cluster(cluster.id).name == "legacy-3"
    assert norman.by_id_cluster("c-nobody") is None
    assert len(norman.list_node(clusterId=cluster.id)) == 3
    assert norman.by_id_cluster(cluster.id).nodes().data[0].clusterId == cluster.id


def test_it_reads_settings_and_when_its_own_token_expires(norman):
    assert norman.by_id_setting("server-version").value == "v2.11.3"
    mine = next(t for t in norman.list_token() if t.current)
    assert mine.expiresAt == "2026-06-01T12:00:00Z"


def test_it_asks_for_a_backup_that_completes(norman, fleet):
    cluster = fleet.add("rke1-canal-br-netfilter")
    backup = norman.action(norman.by_id_cluster(cluster.id), "backupEtcd")
    assert backup.status.conditions[1].status == "Unknown"
    fleet.later(20)
    assert norman.by_id_etcd_backup(backup.id).status.conditions[1].status == "True"


def test_a_kubeconfig_leads_back_through_rancher(norman, fleet, rancher):
    cluster = fleet.add("rke2-canal-healthy")
    config = norman.action(norman.by_id_cluster(cluster.id), "generateKubeconfig").config
    assert f"{rancher.url}/k8s/clusters/{cluster.id}" in config


def test_put_merges_deeply_replaces_string_maps_and_knows_no_lock(client, fleet):
    cluster = fleet.add("rke1-canal-br-netfilter")
    path = f"/v3/clusters/{cluster.id}"
    old = client.get(path).json()
    body = {"name": old["name"], "rancherKubernetesEngineConfig": {"network": {"options": {"canal_iface": "eth1"}}}}

    assert client.put(path, json=body).status_code == 200
    body["rancherKubernetesEngineConfig"]["network"] = {"enableBrNetfilter": True}
    answer = client.put(path, json=body)  # nothing says that the object changed meanwhile

    network = answer.json()["rancherKubernetesEngineConfig"]["network"]
    assert network["options"] == {"canal_iface": "eth1"}
    assert (network["plugin"], network["enableBrNetfilter"]) == ("canal", True)
    fleet.later(200)
    assert client.get(path).json()["state"] == "active"


def test_put_needs_a_name_and_ignores_protected_annotations(client, fleet):
    cluster = fleet.add("rke1-canal-br-netfilter")
    path = f"/v3/clusters/{cluster.id}"

    refused = client.put(path, json={"labels": {}})
    assert (refused.status_code, refused.json()["code"], refused.json()["fieldName"]) == (
        422,
        "MissingRequired",
        "name",
    )
    kept = client.put(
        path, json={"name": "edge-01", "annotations": {"rke.cattle.io/force-update": "true", "mine": "1"}}
    )
    assert kept.json()["annotations"]["mine"] == "1"
    assert "rke.cattle.io/force-update" not in kept.json()["annotations"]
    assert "field.cattle.io/creatorId" in kept.json()["annotations"]


@pytest.mark.parametrize(
    ("version", "known"), [("v2.11.3", True), ("v2.11.0-alpha7", False), ("v2.10.3", False), ("v2.10.4", True)]
)
def test_an_old_rancher_does_not_know_the_field_and_drops_it(version, known):
    with RunningRancher(Fleet(rancher_version=version)) as running:
        cluster = running.fleet.add("rke1-canal-br-netfilter")
        found = rancher_client.Client(url=running.url + "/v3", token=running.token)
        assert hasattr(found.schema.types["networkConfig"].resourceFields, "enableBrNetfilter") is known
        change = {"network": {"enableBrNetfilter": True}}
        after = found.update(found.by_id_cluster(cluster.id), name="edge-01", rancherKubernetesEngineConfig=change)
        assert hasattr(after.rancherKubernetesEngineConfig.network, "enableBrNetfilter") is known


def test_an_action_that_is_not_there_is_said_so(client, fleet):
    cluster = fleet.add("rke2-canal-healthy")
    answer = client.post(f"/v3/clusters/{cluster.id}", params={"action": "backupEtcd"})
    assert (answer.status_code, answer.json()["code"]) == (404, "ActionNotAvailable")


def test_steve_lists_in_its_own_shape(client, fleet):
    cluster = fleet.add("rke2-canal-never-connected")
    body = client.get("/v1/provisioning.cattle.io.clusters/fleet-default").json()

    assert (body["type"], body["resourceType"], body["count"]) == ("collection", "provisioning.cattle.io.cluster", 1)
    found = body["data"][0]
    assert found["id"] == f"fleet-default/{cluster.name}"
    state = found["metadata"]["state"]
    assert (state["name"], state["transitioning"]) == ("provisioning", True)
    assert state["message"].startswith("configuring bootstrap node(s)")


def test_steve_takes_json_patch_alone_and_never_writes_management_clusters(client, fleet):
    cluster = fleet.add("rke2-canal-never-connected")
    path = f"/v1/provisioning.cattle.io.clusters/fleet-default/{cluster.name}"
    steps = json.dumps([{"op": "add", "path": "/spec/rkeConfig/provisionGeneration", "value": 1}])

    merge = client.patch(path, data="{}", headers={"Content-Type": "application/merge-patch+json"})
    patched = client.patch(path, data=steps, headers={"Content-Type": "application/json-patch+json"})
    management = client.put(f"/v1/management.cattle.io.clusters/{cluster.id}", json={})

    assert (merge.status_code, patched.status_code, management.status_code) == (415, 200, 405)
    assert patched.json()["spec"]["rkeConfig"]["provisionGeneration"] == 1


def test_steve_put_carries_a_version_and_conflicts_in_its_own_words(client, fleet):
    cluster = fleet.add("rke2-canal-never-connected")
    path = f"/v1/provisioning.cattle.io.clusters/fleet-default/{cluster.name}"
    old = client.get(path).json()

    assert client.put(path, json={**old, "metadata": {**old["metadata"], "resourceVersion": ""}}).status_code == 422
    assert (
        client.put(path, json={**old, "spec": {**old["spec"], "cloudCredentialSecretName": "cc:1"}}).status_code == 200
    )
    stale = client.put(path, json={**old, "spec": {**old["spec"], "cloudCredentialSecretName": "cc:2"}})
    assert (stale.status_code, stale.json()["type"], stale.json()["code"]) == (409, "error", "Conflict")
