"""The Kubernetes API over HTTP: paths, lists, watches, logs, refusals."""

import json
import threading
import time

import pytest
import requests

LOCAL = "/k8s/clusters/local"
PROV = LOCAL + "/apis/provisioning.cattle.io/v1"
MERGE = {"Content-Type": "application/merge-patch+json"}
JSON_PATCH = {"Content-Type": "application/json-patch+json"}


def watch(client, path, **params):
    response = client.get(path, params={"watch": "1", **params}, stream=True)
    assert response.status_code == 200
    return (json.loads(line) for line in response.iter_lines())


def test_lists_come_with_kind_version_and_pages(client, fleet):
    for _ in range(5):
        fleet.add("rke2-canal-healthy", nodes=1)

    names, token = [], ""
    while True:
        page = client.get(PROV + "/clusters", params={"limit": 2, "continue": token}).json()
        assert (page["kind"], page["apiVersion"]) == ("ClusterList", "provisioning.cattle.io/v1")
        names += [i["metadata"]["name"] for i in page["items"]]
        token = page["metadata"].get("continue", "")
        if not token:
            break

    assert names == [f"shop-{n:02d}" for n in range(1, 6)] + ["local"]


def test_plan_secrets_are_found_by_type_and_label(client, fleet):
    cluster = fleet.add("rke2-canal-never-connected")
    fleet.add("rke2-canal-healthy")
    params = {
        "fieldSelector": "type=rke.cattle.io/machine-plan",
        "labelSelector": f"rke.cattle.io/cluster-name={cluster.name}",
    }

    found = client.get(LOCAL + "/api/v1/namespaces/fleet-default/secrets", params=params).json()["items"]

    assert {s["type"] for s in found} == {"rke.cattle.io/machine-plan"}
    assert cluster.identity.first.name in {s["metadata"]["labels"]["rke.cattle.io/machine-name"] for s in found}


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/apis/provisioning.cattle.io/v9/clusters", 404, "404 page not found"),
        ("/api/v1/unicorns", 404, '"message":"the server could not find the requested resource"'),
        ("/apis/provisioning.cattle.io/v1/namespaces/fleet-default/clusters/nobody", 404, '"reason":"NotFound"'),
        ("/apis/provisioning.cattle.io/v1/clusters?fieldSelector=spec.x=1", 400, "field label not supported"),
        ("/api/v1/pods?continue=rubbish", 400, "continue key is not valid"),
        ("/api/v1/pods?limit=many", 400, "invalid syntax"),
    ],
)
def test_refusals(client, path, status, text):
    answer = client.get(LOCAL + path)
    assert answer.status_code == status
    assert text in answer.text


def test_a_locked_merge_patch_conflicts_after_somebody_else_wrote(client, fleet):
    cluster = fleet.add("rke2-canal-never-connected")
    path = f"{PROV}/namespaces/fleet-default/clusters/{cluster.name}"
    version = client.get(path).json()["metadata"]["resourceVersion"]
    patch = {"metadata": {"resourceVersion": version}, "spec": {"rkeConfig": {"chartValues": {"rke2-canal": {"a": 1}}}}}

    first = client.patch(path, data=json.dumps(patch), headers=MERGE)
    second = client.patch(path, data=json.dumps(patch), headers=MERGE)

    assert (first.status_code, second.status_code) == (200, 409)
    assert second.json()["reason"] == "Conflict"


def test_a_json_patch_test_that_fails_is_422(client, fleet):
    cluster = fleet.add("rke2-canal-never-connected")
    path = f"{PROV}/namespaces/fleet-default/clusters/{cluster.name}"
    steps = [{"op": "test", "path": "/spec/rkeConfig/machineGlobalConfig/cni", "value": "flannel"}]

    answer = client.patch(path, data=json.dumps(steps), headers=JSON_PATCH)

    assert (answer.status_code, answer.json()["reason"]) == (422, "Invalid")
    assert answer.json()["details"] == {}


def test_dry_run_and_field_manager(client, fleet):
    cluster = fleet.add("rke2-canal-never-connected")
    path = f"{PROV}/namespaces/fleet-default/clusters/{cluster.name}"
    patch = json.dumps({"spec": {"rkeConfig": {"provisionGeneration": 1}}})

    dry = client.patch(path, data=patch, headers=MERGE, params={"dryRun": "All", "fieldManager": "drover"})
    assert dry.json()["spec"]["rkeConfig"]["provisionGeneration"] == 1
    assert "provisionGeneration" not in client.get(path).json()["spec"]["rkeConfig"]
    wet = client.patch(path, data=patch, headers=MERGE, params={"fieldManager": "drover"})
    assert "drover" in {f["manager"] for f in wet.json()["metadata"]["managedFields"]}

    journal = client.get("/simulator/writes").json()["writes"]
    assert [(w["dryRun"], w["tookEffect"]) for w in journal] == [(True, False), (False, True)]


def test_a_watch_without_version_lists_first_and_then_tells_of_changes(client, fleet):
    cluster = fleet.add("rke1-canal-br-netfilter")
    events = watch(client, LOCAL + "/apis/management.cattle.io/v3/clusters")

    assert {next(events)["object"]["metadata"]["name"] for _ in range(2)} == {"local", cluster.id}
    other = fleet.add("rke2-canal-healthy")
    event = next(events)
    assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", other.id)
    fleet.remove(other.id)
    while event["type"] != "DELETED":
        event = next(events)
    assert event["object"]["metadata"]["name"] == other.id


def test_a_watch_from_a_version_misses_nothing_in_between(client, fleet):
    version = client.get(LOCAL + "/apis/management.cattle.io/v3/clusters").json()["metadata"]["resourceVersion"]
    cluster = fleet.add("rke2-canal-healthy")

    event = next(watch(client, LOCAL + "/apis/management.cattle.io/v3/clusters", resourceVersion=version))

    assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", cluster.id)


def test_a_version_from_before_the_history_is_told_410_in_the_stream(client, fleet):
    version = client.get(LOCAL + "/apis/management.cattle.io/v3/clusters").json()["metadata"]["resourceVersion"]
    fleet.add("rke2-canal-healthy")
    fleet.local.forget_history()

    events = list(watch(client, LOCAL + "/apis/management.cattle.io/v3/clusters", resourceVersion=version))

    assert [e["type"] for e in events] == ["ERROR"]
    assert (events[0]["object"]["code"], events[0]["object"]["reason"]) == (410, "Expired")
    assert "too old resource version" in events[0]["object"]["message"]


def test_bookmarks_carry_the_version_on_and_the_timeout_ends_the_watch(client):
    events = list(
        watch(
            client,
            LOCAL + "/apis/management.cattle.io/v3/clusters",
            resourceVersion="0",
            allowWatchBookmarks="true",
            timeoutSeconds=1,
        )
    )
    assert events[0]["type"] == "ADDED"
    assert {e["type"] for e in events[1:]} == {"BOOKMARK"}
    assert int(events[-1]["object"]["metadata"]["resourceVersion"]) >= int(
        events[0]["object"]["metadata"]["resourceVersion"]
    )


def test_a_watch_with_a_selector_sees_an_object_leave_it(client, fleet, rancher):
    cluster = fleet.add("rke2-canal-healthy", labels={"env": "prod"})
    events = watch(client, PROV + "/clusters", labelSelector="env=prod")
    assert next(events)["object"]["metadata"]["name"] == cluster.name

    path = f"{PROV}/namespaces/fleet-default/clusters/{cluster.name}"
    client_two = requests.Session()
    client_two.trust_env = False
    client_two.patch(
        rancher.url + path,
        data=json.dumps({"metadata": {"labels": {"env": "test"}}}),
        headers={**MERGE, "Authorization": f"Bearer {rancher.token}"},
        timeout=10,
    )
    assert next(events)["type"] == "DELETED"


def test_a_watch_that_its_client_leaves_is_forgotten(client, fleet):
    response = client.get(LOCAL + "/apis/management.cattle.io/v3/clusters", params={"watch": "1"}, stream=True)
    lines = response.iter_lines()
    next(lines)
    assert len(fleet.local._listeners) == 1
    response.close()
    for _ in range(200):
        if not fleet.local._listeners:
            break
        time.sleep(0.01)
    assert fleet.local._listeners == []


def test_time_alone_makes_watch_events(client, fleet):
    cluster = fleet.add("rke2-canal-slow")
    version = client.get(LOCAL + "/apis/rke.cattle.io/v1/rkecontrolplanes").json()["metadata"]["resourceVersion"]
    events = watch(client, LOCAL + "/apis/rke.cattle.io/v1/rkecontrolplanes", resourceVersion=version)
    threading.Timer(0.05, lambda: fleet.later(300)).start()

    event = next(events)

    assert (event["type"], event["object"]["metadata"]["name"]) == ("MODIFIED", cluster.name)


class TestPodLogs:
    @pytest.fixture
    def pods(self, client, fleet):
        self.cluster = fleet.add("rke1-canal-br-netfilter")
        self.base = f"/k8s/clusters/{self.cluster.id}/api/v1/namespaces"
        found = client.get(self.base + "/kube-system/pods", params={"labelSelector": "k8s-app=canal"}).json()["items"]
        return [p["metadata"]["name"] for p in found]

    def log(self, client, pod, namespace="kube-system", **params):
        return client.get(f"{self.base}/{namespace}/pods/{pod}/log", params=params)

    def test_the_crashing_container_says_why(self, client, pods):
        answer = self.log(client, pods[0], container="kube-flannel", tailLines=1)
        assert "Failed to check br_netfilter: stat /proc/sys/net/bridge/bridge-nf-call-iptables" in answer.text
        assert len(answer.text.splitlines()) == 1
        assert self.log(client, pods[0], container="kube-flannel", previous="true").status_code == 200

    def test_timestamps_and_byte_limit(self, client, pods):
        answer = self.log(client, pods[0], container="kube-flannel", timestamps="true", limitBytes=40)
        assert answer.text.startswith("2026-03-03T1")
        assert len(answer.content) == 40

    @pytest.mark.parametrize(
        ("params", "text"),
        [
            ({}, "a container name must be specified for pod"),
            ({"container": "nginx"}, "container nginx is not valid for pod"),
            ({"container": "calico-node", "previous": "true"}, 'previous terminated container "calico-node" in pod'),
        ],
    )
    def test_refusals(self, client, pods, params, text):
        answer = self.log(client, pods[0], **params)
        assert (answer.status_code, text in answer.json()["message"]) == (400, True)

    def test_a_pod_without_a_node_has_no_log(self, client, pods):
        found = client.get(
            self.base + "/cattle-system/pods", params={"labelSelector": "app=cattle-cluster-agent"}
        ).json()
        answer = self.log(client, found["items"][0]["metadata"]["name"], "cattle-system")
        assert (answer.status_code, answer.text) == (204, "")

    def test_a_container_that_is_being_created_has_none_yet(self, client, fleet):
        cluster = fleet.add("rke1-canal-healthy", age="4m")
        assert cluster.state.name == "come-up-nodes"
        self.base = f"/k8s/clusters/{cluster.id}/api/v1/namespaces"
        pods = client.get(self.base + "/kube-system/pods", params={"labelSelector": "k8s-app=canal"}).json()["items"]
        waiting = next(p for p in pods if p["status"]["phase"] == "Pending")
        answer = self.log(client, waiting["metadata"]["name"], container="kube-flannel")
        assert (answer.status_code, "is waiting to start: PodInitializing" in answer.text) == (400, True)


def test_a_stuck_node_says_what_the_runtime_says(client, fleet):
    cluster = fleet.add("rke1-canal-br-netfilter")
    nodes = client.get(f"/k8s/clusters/{cluster.id}/api/v1/nodes").json()["items"]
    ready = [next(c for c in n["status"]["conditions"] if c["type"] == "Ready") for n in nodes]

    assert {(c["status"], c["reason"]) for c in ready} == {("False", "KubeletNotReady")}
    assert "docker: network plugin is not ready: cni config uninitialized" in ready[0]["message"]
    assert not any("flannel.alpha.coreos.com/backend-data" in n["metadata"]["annotations"] for n in nodes)


def test_what_a_diagnosis_reads_is_there(client, fleet):
    cluster = fleet.add("rke2-canal-cidr-exhausted")
    base = f"/k8s/clusters/{cluster.id}"
    daemonset = client.get(base + "/apis/apps/v1/namespaces/kube-system/daemonsets/rke2-canal").json()["status"]
    events = client.get(base + "/api/v1/events", params={"fieldSelector": "involvedObject.kind=Node"}).json()["items"]
    config = client.get(base + "/api/v1/namespaces/kube-system/configmaps/rke2-canal-config").json()["data"]
    crds = client.get(base + "/apis/apiextensions.k8s.io/v1/customresourcedefinitions").json()["items"]
    charts = client.get(base + "/apis/helm.cattle.io/v1/helmcharts").json()["items"]
    jobs = client.get(base + "/apis/batch/v1/jobs").json()["items"]

    assert (daemonset["desiredNumberScheduled"], daemonset["numberReady"]) == (8, 6)
    assert {e["reason"] for e in events} == {"CIDRNotAvailable"}
    assert json.loads(config["net-conf.json"])["Network"] == "10.42.0.0/21"
    assert "ippools.crd.projectcalico.org" in {c["metadata"]["name"] for c in crds}
    assert {c["metadata"]["name"] for c in charts} >= {"rke2-canal"}
    assert {j["metadata"]["name"] for j in jobs} == {"helm-install-rke2-canal"}
