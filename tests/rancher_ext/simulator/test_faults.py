"""Faults strike on the wire, not only in a status code."""

import json
import ssl
import subprocess

import pytest
import requests

from rancher_ext.simulator.faults import refused_by_webhook, right_taken_away
from rancher_ext.simulator.running import RunningRancher

CLUSTERS = "/k8s/clusters/local/apis/management.cattle.io/v3/clusters"


def test_a_dropped_socket_gives_no_answer_at_all(client, fleet):
    fleet.faults.add("drop", path="clusters$", count=1)

    with pytest.raises(requests.ConnectionError):
        client.get(CLUSTERS)
    assert client.get(CLUSTERS).status_code == 200


def test_a_write_may_have_happened_although_the_socket_was_dropped(client, fleet):
    cluster = fleet.add("rke1-canal-br-netfilter")
    path, patch = f"{CLUSTERS}/{cluster.id}", {"metadata": {"labels": {"x": "y"}}}
    headers = {"Content-Type": "application/merge-patch+json"}
    fleet.faults.add("drop", method="PATCH", count=1)
    with pytest.raises(requests.ConnectionError):
        client.patch(path, json=patch, headers=headers)
    assert "x" not in client.get(path).json()["metadata"].get("labels", {})

    fleet.faults.add("drop", method="PATCH", count=1, after_handling=True)
    with pytest.raises(requests.ConnectionError):
        client.patch(path, json=patch, headers=headers)

    assert client.get(path).json()["metadata"]["labels"]["x"] == "y"
    assert [w["tookEffect"] for w in client.get("/simulator/writes").json()["writes"]] == [False, True]


def test_a_truncated_body_breaks_off(client, fleet):
    fleet.faults.add("truncate", count=1)
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.ConnectionError)):
        client.get(CLUSTERS)


@pytest.mark.parametrize(
    ("fault", "status", "text"),
    [
        ({"kind": "status", "status": 429, "retry_after": 2}, 429, "TooManyRequests"),
        ({"kind": "status", "status": 500}, 500, "Internal Server Error"),
        ({"kind": "status", "status": 502}, 502, "Bad Gateway"),
        ({"kind": "html"}, 200, "<!DOCTYPE html>"),
        ({"kind": "unauthorized"}, 401, "must authenticate"),
    ],
)
def test_answers_of_things_in_between(client, fault, status, text):
    assert client.post("/simulator/faults", json=fault | {"count": 1}).status_code == 201
    answer = client.get(CLUSTERS)
    assert (answer.status_code, text in answer.text) == (status, True)
    if status == 429:
        assert answer.headers["Retry-After"] == "2"
    assert client.get(CLUSTERS).json()["kind"] == "ClusterList"


def test_a_fault_waits_for_its_time_and_keeps_to_its_path(client, fleet):
    fleet.faults.add("unauthorized", after=60, path="^/k8s/")
    assert client.get(CLUSTERS).status_code == 200
    fleet.later(61)
    assert client.get(CLUSTERS).status_code == 401
    assert client.get("/v3/clusters").status_code == 200


def test_a_probability_is_kept_roughly(client, fleet):
    fleet.faults.add("status", probability=0.5)
    seen = [client.get("/ping").status_code for _ in range(60)]
    assert 10 < seen.count(503) < 50


def test_a_stale_read_shows_what_was(client, fleet):
    cluster = fleet.add("rke1-canal-br-netfilter")
    path = f"{CLUSTERS}/{cluster.id}"
    client.patch(
        path, json={"metadata": {"labels": {"x": "y"}}}, headers={"Content-Type": "application/merge-patch+json"}
    )
    fleet.faults.add("stale", count=2)

    assert "x" not in client.get(path).json()["metadata"].get("labels", {})
    listed = client.get(CLUSTERS).json()["items"]
    assert "x" not in next(i for i in listed if i["metadata"]["name"] == cluster.id)["metadata"].get("labels", {})
    assert client.get(path).json()["metadata"]["labels"]["x"] == "y"


def test_a_watch_is_cut_in_the_middle(client, fleet):
    fleet.faults.add("watch-drop", delay=0.05)
    response = client.get(CLUSTERS, params={"watch": "1"}, stream=True)
    lines = response.iter_lines()
    assert json.loads(next(lines))["type"] == "ADDED"
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.ConnectionError)):
        list(lines)


def test_a_watch_falls_silent_and_stays_open(client, fleet):
    response = client.get(CLUSTERS, params={"watch": "1", "allowWatchBookmarks": "1"}, stream=True, timeout=(5, 0.5))
    lines = response.iter_lines()
    next(lines)
    fleet.faults.add("watch-hang")
    with pytest.raises(requests.ConnectionError, match="timed out"):
        list(lines)


def test_a_watch_is_told_to_list_again(client, fleet):
    fleet.faults.add("expired-watch", count=1)
    events = [json.loads(line) for line in client.get(CLUSTERS, params={"watch": "1"}, stream=True).iter_lines()]
    assert (events[0]["type"], events[0]["object"]["code"]) == ("ERROR", 410)


def test_an_unknown_fault_is_refused_with_the_known_ones(client):
    answer = client.post("/simulator/faults", json={"kind": "gremlin"})
    assert (answer.status_code, "watch-hang" in answer.json()["error"]) == (400, True)


def test_tls_is_real(tmp_path, fleet):
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )  # fmt: skip
    with RunningRancher(fleet, tls=(certificate, key)) as running:
        session = requests.Session()
        session.trust_env = False
        with pytest.raises(requests.exceptions.SSLError):
            session.get(running.url + "/ping", timeout=10)
        answer = session.get(running.url + "/v3/settings/cacerts", timeout=10, verify=str(certificate))
        assert ssl.PEM_cert_to_DER_cert(answer.json()["value"])


def test_a_webhooks_refusal_reaches_the_client_as_the_api_server_words_it(client, fleet):
    cluster = fleet.add("rke1-canal-br-netfilter")
    path, patch = f"{CLUSTERS}/{cluster.id}", {"metadata": {"labels": {"x": "y"}}}
    headers = {"Content-Type": "application/merge-patch+json"}
    webhook = "rancher.cattle.io.clusters.management.cattle.io"
    fleet.faults.add("deny", skip=1, count=1, **refused_by_webhook(webhook, "clusters are frozen"))

    assert client.patch(path, json=patch, headers=headers).status_code == 200
    refused = client.patch(path, json={"metadata": {"labels": {"x": "z"}}}, headers=headers, params={"dryRun": "All"})
    assert (refused.status_code, refused.json()["reason"]) == (422, "Invalid")
    assert refused.json()["message"] == f'admission webhook "{webhook}" denied the request: clusters are frozen'
    assert client.get(path).json()["metadata"]["labels"]["x"] == "y"
    assert client.patch(path, json=patch, headers=headers).status_code == 200


def test_a_right_that_was_taken_away_ends_writes_and_neither_reads_nor_questions(client, fleet):
    cluster = fleet.add("rke1-canal-br-netfilter")
    words = right_taken_away("user-admin", "patch", "clusters", "management.cattle.io", "", cluster.id)
    fleet.faults.add("deny", **words)

    answer = client.delete(f"{CLUSTERS}/{cluster.id}")
    assert (answer.status_code, answer.json()["reason"]) == (403, "Forbidden")
    assert 'User "user-admin" cannot patch resource "clusters"' in answer.json()["message"]
    assert client.post(f"/v3/clusters/{cluster.id}?action=backupEtcd").json()["code"] == "Forbidden"
    assert client.get(f"{CLUSTERS}/{cluster.id}").status_code == 200
    review = {"spec": {"resourceAttributes": {"verb": "get", "resource": "clusters", "group": "management.cattle.io"}}}
    questions = "/k8s/clusters/local/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    assert client.post(questions, json=review).status_code == 201
