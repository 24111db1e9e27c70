"""What do the contract tests share: bodies of objects, and how a refusal is looked at?"""

import json
from collections.abc import Iterator
from typing import Any

import requests

from rancher_ext.client.kubernetes import CONFIG_MAPS, Resource
from rancher_ext.simulator.fleet import ADMIN_TOKEN
from tests.e2e.conftest import LOCAL, Side

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
SNAPSHOTS = Resource("rke.cattle.io", "v1", "etcdsnapshots")
SETTINGS = "/apis/management.cattle.io/v3/settings"


def maps(space: str, name: str = "") -> str:
    return CONFIG_MAPS.path(space, name)


def config_map(name: str, labels: dict[str, str] | None = None, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels or {}}, "data": data}


def make(side: Side, space: str, *names: str, **options: Any) -> list[dict[str, Any]]:
    return [side.json("POST", maps(space), config_map(name, **options)) for name in names]


def refusal(side: Side, method: str, path: str, body: object | None = None, **options: Any) -> dict[str, Any]:
    """A `Status` that says no, with what every refusal has in common checked."""
    answer = side.call(method, path, body, **options)
    assert answer.headers["Content-Type"].startswith("application/json"), answer.text
    said: dict[str, Any] = answer.json()
    assert (said["kind"], said["apiVersion"], said["status"]) == ("Status", "v1", "Failure")
    assert set(said["metadata"]) <= {"continue"}
    assert said["code"] == answer.status_code
    return said


def events(side: Side, path: str, **params: str) -> Iterator[dict[str, Any]]:
    answer = side.call("GET", path, stream=True, watch="1", **params)
    assert answer.status_code == 200, answer.text
    with answer:
        for line in answer.iter_lines():
            yield json.loads(line)


def events_until(side: Side, path: str, last: str, **params: str) -> list[dict[str, Any]]:
    """What a watch tells before the event of the object of this name: the test makes it last."""
    seen = []
    for event in events(side, path, timeoutSeconds="60", **params):
        if event["object"]["metadata"]["name"] == last:
            return seen
        seen.append(event)
    raise AssertionError(f"the watch of {path} ended without {last}: {seen}")


def pod(name: str, **spec: Any) -> dict[str, Any]:
    containers = [{"name": "main", "image": "registry.example/main"}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": containers, **spec}}


def node(side: Side, name: str, **spec: Any) -> dict[str, Any]:
    return side.json("POST", "/api/v1/nodes", {"metadata": {"name": name}, "spec": spec})


def daemon_sets(space: str, name: str = "") -> str:
    return f"/apis/apps/v1/namespaces/{space}/daemonsets" + (f"/{name}" if name else "")


def daemon_set(name: str) -> dict[str, Any]:
    containers = [{"name": "main", "image": "registry.example/main", "command": ["run"]}]
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": containers}}
    return {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": {"app": name}}, "template": template}}


def accepting(side: Side, path: str, kind: str) -> requests.Response:
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}", "Accept": kind}
    with requests.Session() as session:
        session.trust_env = False
        return session.get(f"{side.url}{LOCAL}{path}", headers=headers, timeout=120)


def names(listing: dict[str, Any]) -> list[str]:
    return [item["metadata"]["name"] for item in listing["items"]]


def op(kind: str, path: str, value: Any) -> dict[str, Any]:
    return {"op": kind, "path": path, "value": value}


def snapshot(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "rke.cattle.io/v1",
        "kind": "ETCDSnapshot",
        "metadata": {"name": name},
        "spec": {"clusterName": "edge"},
    }
