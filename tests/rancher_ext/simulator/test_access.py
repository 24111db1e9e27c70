"""Who gets in, and what is told about clusters that cannot be reached."""

import pytest
import requests

from rancher_ext.simulator.fleet import READER_TOKEN
from rancher_ext.simulator.running import RunningRancher

CLUSTERS = "/k8s/clusters/local/apis/management.cattle.io/v3/clusters"


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer token-x:y"}, {"Authorization": "Bearer token-admin:wrong"}]
)
def test_no_or_a_wrong_token_is_401_in_ranchers_words(rancher, headers):
    answer = requests.get(rancher.url + CLUSTERS, headers=headers, timeout=10)
    assert (answer.status_code, answer.json()["status"]) == (401, "401")
    assert "must authenticate" in answer.json()["message"]


def test_a_token_expires_with_simulated_time(client, fleet):
    fleet.add_token("token-short:s", expires_in=60)
    client.headers["Authorization"] = "Bearer token-short:s"
    assert client.get(CLUSTERS).status_code == 200
    fleet.later(61)
    assert client.get(CLUSTERS).status_code == 401


def test_basic_authentication_and_the_session_cookie_work_too(rancher):
    name, _, secret = rancher.token.partition(":")
    assert requests.get(rancher.url + CLUSTERS, auth=(name, secret), timeout=10).status_code == 200
    assert requests.get(rancher.url + CLUSTERS, cookies={"R_SESS": rancher.token}, timeout=10).status_code == 200


@pytest.mark.parametrize(
    ("path", "text"),
    [("/ping", "pong"), ("/healthz", "ok"), ("/rancherversion", "v2.11.3"), ("/v3/settings/cacerts", "cacerts")],
)
def test_a_few_pages_need_no_login(rancher, path, text):
    answer = requests.get(rancher.url + path, timeout=10)
    assert answer.status_code == 200
    assert text in answer.text


def test_a_reader_reads_and_is_refused_every_write(client, fleet):
    cluster = fleet.add("rke1-canal-br-netfilter")
    client.headers["Authorization"] = f"Bearer {READER_TOKEN}"
    path = f"{CLUSTERS}/{cluster.id}"

    assert client.get(path).status_code == 200
    patch = client.patch(path, json={}, headers={"Content-Type": "application/merge-patch+json"})
    put = client.put(f"/v3/clusters/{cluster.id}", json={"name": "x"})

    assert (patch.status_code, patch.json()["reason"]) == (403, "Forbidden")
    assert 'User "user-reader" cannot patch resource "clusters"' in patch.json()["message"]
    assert (put.status_code, put.json()["code"]) == (403, "Forbidden")


def test_single_rights_can_be_missing(client, fleet):
    cluster = fleet.add("rke1-canal-br-netfilter")
    fleet.add_token("token-narrow:s", deny={"secrets", "pods/log"})
    client.headers["Authorization"] = "Bearer token-narrow:s"
    base = f"/k8s/clusters/{cluster.id}/api/v1/namespaces/kube-system/pods"
    pod = client.get(base).json()["items"][0]["metadata"]["name"]

    assert client.get(f"{base}/{pod}/log").status_code == 403
    assert client.get("/k8s/clusters/local/api/v1/secrets").status_code == 403
    assert client.get("/v1/secrets").status_code == 404  # Steve hides what it may not show


@pytest.mark.parametrize(
    ("verb", "resource", "allowed"), [("get", "pods", True), ("get", "secrets", False), ("patch", "clusters", False)]
)
def test_access_reviews_tell_the_same(client, fleet, verb, resource, allowed):
    fleet.add_token("token-narrow:s", deny={"secrets"}, read_only=True)
    client.headers["Authorization"] = "Bearer token-narrow:s"
    review = {"spec": {"resourceAttributes": {"verb": verb, "resource": resource}}}
    answer = client.post("/k8s/clusters/local/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", json=review)
    assert (answer.status_code, answer.json()["status"]["allowed"]) == (201, allowed)
    assert client.get("/simulator/writes").json()["writes"] == []


def test_one_verb_on_one_kind_can_be_missing_and_reviews_tell_it(client, fleet):
    """By group, as real rights are: `nodes` of Rancher are not those of a cluster."""
    fleet.add_token("token-narrow:s", deny={"delete nodes.management.cattle.io"})
    client.headers["Authorization"] = "Bearer token-narrow:s"

    def allowed(verb, group):
        review = {"spec": {"resourceAttributes": {"verb": verb, "resource": "nodes", "group": group}}}
        path = "/k8s/clusters/local/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        return client.post(path, json=review).json()["status"]["allowed"]

    assert not allowed("delete", "management.cattle.io")
    assert allowed("get", "management.cattle.io")
    assert allowed("delete", "")
    nodes = "/k8s/clusters/local/apis/management.cattle.io/v3/namespaces/c-1/nodes"
    assert client.delete(f"{nodes}/m-1").status_code == 403
    assert client.get(nodes).status_code == 200


class TestReach:
    def nodes(self, client, cluster):
        return client.get(f"/k8s/clusters/{cluster.id}/api/v1/nodes")

    def test_never_connected(self, client, fleet):
        answer = self.nodes(client, fleet.add("rke2-canal-never-connected"))
        assert answer.status_code == 500
        assert answer.text == "unable to create impersonator account: ClusterUnavailable 503: cluster not found"

    def test_not_yet_provisioned(self, client, fleet):
        answer = self.nodes(client, fleet.add("rke2-canal-slow"))
        assert answer.status_code == 503
        assert answer.headers["content-type"].startswith("text/plain")
        assert answer.json() == {
            "Code": {"Code": "ClusterUnavailable", "Status": 503},
            "Message": "cluster not provisioned",
            "Cause": None,
            "FieldName": "",
        }

    def test_a_lost_tunnel(self, client, fleet):
        cluster = fleet.add("imported-unreachable")
        assert "cluster agent disconnected" in self.nodes(client, cluster).text
        steve = client.get(f"/k8s/clusters/{cluster.id}/v1/nodes")
        assert (steve.status_code, steve.text.startswith("lost connection to cluster:")) == (500, True)

    def test_a_lost_tunnel_may_take_its_time_to_be_noticed(self, fleet):
        cluster = fleet.add("imported-unreachable")
        with RunningRancher(fleet, disconnected_delay=0.3) as running:
            headers = {"Authorization": f"Bearer {running.token}"}
            with pytest.raises(requests.ReadTimeout):
                requests.get(f"{running.url}/k8s/clusters/{cluster.id}/api/v1/nodes", headers=headers, timeout=0.1)

    def test_rke1_answers_through_a_node_although_its_network_is_dead(self, client, fleet):
        cluster = fleet.add("rke1-canal-br-netfilter")
        assert not cluster.facts.connected
        assert self.nodes(client, cluster).status_code == 200

    def test_rke1_does_not_before_rke_up_is_done(self, client, fleet):
        answer = self.nodes(client, fleet.add("rke1-canal-br-netfilter", age="1m"))
        assert (answer.status_code, answer.json()["Message"]) == (503, "cluster not provisioned")

    def test_a_connected_cluster_is_simply_reached(self, client, fleet):
        answer = self.nodes(client, fleet.add("rke2-canal-healthy"))
        assert (answer.status_code, len(answer.json()["items"])) == (200, 3)

    def test_an_unknown_cluster(self, client):
        answer = client.get("/k8s/clusters/c-m-nobody42/api/v1/nodes")
        assert (answer.status_code, answer.json()["Message"]) == (503, "cluster not found")
