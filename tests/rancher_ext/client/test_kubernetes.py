"""How are Kubernetes' lists, watches and patches read through Rancher, and what when they are none?"""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from rancher_ext.client.kubernetes import (
    MANAGEMENT_CLUSTERS,
    NODES,
    PROVISIONING_CLUSTERS,
    SECRETS,
    KubernetesApi,
    Resource,
)
from rancher_ext.client.transport import Transport
from rancher_ext.errors import Conflict, Gone, Invalid, NotRancher, RancherUnreachable
from tests.rancher_ext.client.servers import Server, hang_up, lines, say

Connect = Callable[..., Transport]
PREFIX = "/k8s/clusters/local"


def a_page(*names: str, then: str = "", version: str = "7") -> Callable[..., None]:
    metadata: dict[str, Any] = {"resourceVersion": version} | ({"continue": then} if then else {})
    return say(
        200, json.dumps({"kind": "List", "metadata": metadata, "items": [{"metadata": {"name": n}} for n in names]})
    )


EXPIRED = say(
    410, json.dumps({"kind": "Status", "reason": "Expired", "code": 410, "message": "continue token expired"})
)


def queries(server: Server) -> list[dict[str, str]]:
    return [
        {key: values[0] for key, values in parse_qs(urlsplit(asked.split()[1]).query).items()} for asked in server.asked
    ]


def names(items: list[dict[str, Any]]) -> list[str]:
    return [item["metadata"]["name"] for item in items]


@pytest.mark.parametrize(
    ("resource", "namespace", "name", "path"),
    [
        (MANAGEMENT_CLUSTERS, "", "", "/apis/management.cattle.io/v3/clusters"),
        (MANAGEMENT_CLUSTERS, "ignored", "c-1", "/apis/management.cattle.io/v3/clusters/c-1"),
        (
            PROVISIONING_CLUSTERS,
            "fleet-default",
            "",
            "/apis/provisioning.cattle.io/v1/namespaces/fleet-default/clusters",
        ),
        (SECRETS, "fleet-default", "x", "/api/v1/namespaces/fleet-default/secrets/x"),
        (SECRETS, "", "", "/api/v1/secrets"),
        (NODES, "", "n1", "/api/v1/nodes/n1"),
    ],
)
def test_each_kind_has_its_path(resource: Resource, namespace: str, name: str, path: str) -> None:
    assert resource.path(namespace, name) == path


# --- lists ---


def test_a_list_is_read_page_by_page(serve, connect: Connect) -> None:
    server = serve(a_page("a", "b", then="t1"), a_page("c", then="t2"), a_page("d", version="9"))

    listing = KubernetesApi(connect(server)).list(SECRETS, "ns", labels="x=y", fields="type=z", page=2)

    assert names(listing.items) == ["a", "b", "c", "d"]
    assert listing.resource_version == "9"
    assert [query.get("continue") for query in queries(server)] == [None, "t1", "t2"]
    assert all(
        (query["limit"], query["labelSelector"], query["fieldSelector"]) == ("2", "x=y", "type=z")
        for query in queries(server)
    )


def test_a_token_that_expires_half_way_begins_the_list_once_more_in_one_piece(serve, connect: Connect) -> None:
    """No object may be missing, and none may be there twice."""
    server = serve(a_page("a", "b", then="t1"), EXPIRED, a_page("a", "b", "c"))

    listing = KubernetesApi(connect(server)).list(NODES)

    assert names(listing.items) == ["a", "b", "c"]
    assert queries(server)[-1] == {}


def test_a_list_that_is_gone_even_in_one_piece_is_gone(serve, connect: Connect) -> None:
    server = serve(EXPIRED)

    with pytest.raises(Gone):
        KubernetesApi(connect(server)).list(NODES)

    assert len(server.asked) == 2


@pytest.mark.parametrize("body", [{"items": None, "metadata": {}}, {"metadata": {"resourceVersion": "3"}}])
def test_an_empty_list_is_written_in_several_ways(serve, connect: Connect, body: dict[str, Any]) -> None:
    assert KubernetesApi(connect(serve(say(200, json.dumps(body))))).list(NODES).items == []


@pytest.mark.parametrize(
    "body",
    [
        {"type": "collection", "data": []},
        {"items": {}, "metadata": {}},
        {"items": [], "metadata": None},
        {"message": "welcome"},
    ],
)
def test_what_is_no_list_of_kubernetes_says_so(serve, connect: Connect, body: dict[str, Any]) -> None:
    """Another API at this address would otherwise look like an empty fleet."""
    with pytest.raises(NotRancher, match="not a Kubernetes list"):
        KubernetesApi(connect(serve(say(200, json.dumps(body))))).list(NODES)


# --- patches ---


def test_a_json_patch_goes_out_as_one(serve, connect: Connect) -> None:
    server = serve(say(200, '{"metadata": {"name": "edge-7"}}'))
    operations = [{"op": "add", "path": "/spec/a", "value": 1}]

    KubernetesApi(connect(server)).json_patch(
        PROVISIONING_CLUSTERS, "edge-7", "fleet-default", operations, dry_run=True
    )

    assert server.asked[0].startswith(
        f"PATCH {PREFIX}/apis/provisioning.cattle.io/v1/namespaces/fleet-default/clusters/edge-7?"
    )
    assert queries(server) == [{"fieldManager": "drover", "dryRun": "All"}]
    assert server.headers[0]["Content-Type"] == "application/json-patch+json"
    assert json.loads(server.bodies[0]) == operations


def test_a_merge_patch_goes_out_as_one(serve, connect: Connect) -> None:
    server = serve(say())

    KubernetesApi(connect(server)).merge_patch(MANAGEMENT_CLUSTERS, "c-1", "", {"spec": {"a": None}})

    assert server.headers[0]["Content-Type"] == "application/merge-patch+json"
    assert queries(server) == [{"fieldManager": "drover"}]
    assert json.loads(server.bodies[0]) == {"spec": {"a": None}}


REFUSED = "the server rejected our request due to an error in our request"


@pytest.mark.parametrize(
    ("message", "operations", "error"),
    [
        (REFUSED, [{"op": "test", "path": "/metadata/uid", "value": "x"}], Conflict),
        # An object may be called `testing`; that its result is not valid is no conflict.
        (
            'Cluster "testing" is invalid: spec.rkeConfig: Invalid value',
            [{"op": "test", "path": "/a", "value": 1}],
            Invalid,
        ),
        (REFUSED, [{"op": "remove", "path": "/a"}], Invalid),
        (
            'Cluster "edge-7" is invalid: spec.rkeConfig: Invalid value',
            [{"op": "test", "path": "/a", "value": 1}],
            Invalid,
        ),
    ],
)
def test_a_failed_test_of_a_patch_is_a_conflict(
    serve, connect: Connect, message: str, operations: list[dict[str, Any]], error: type[Exception]
) -> None:
    """Kubernetes says 422 Invalid for both; only one of them is worth another look."""
    server = serve(say(422, json.dumps({"kind": "Status", "reason": "Invalid", "code": 422, "message": message})))

    with pytest.raises((Conflict, Invalid)) as caught:
        KubernetesApi(connect(server)).json_patch(NODES, "n", "", operations)

    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("status", "allowed"), [({"allowed": True}, True), ({"allowed": False}, False), ({}, False), (None, False)]
)
def test_a_right_is_asked_for_without_using_it(serve, connect: Connect, status: object, allowed: bool) -> None:
    server = serve(say(201, json.dumps({"status": status})))

    assert KubernetesApi(connect(server)).may("patch", PROVISIONING_CLUSTERS, "fleet-default") is allowed
    assert json.loads(server.bodies[0])["spec"]["resourceAttributes"] == {
        "verb": "patch",
        "group": "provisioning.cattle.io",
        "resource": "clusters",
        "namespace": "fleet-default",
    }


def test_a_right_on_a_subresource_or_on_one_object_is_asked_for_as_such(serve, connect: Connect) -> None:
    server = serve(say(201, "{}"))

    KubernetesApi(connect(server)).may("get", Resource("", "v1", "pods/log"), "x", "canal")

    assert json.loads(server.bodies[0])["spec"]["resourceAttributes"] == {
        "verb": "get",
        "group": "",
        "resource": "pods",
        "subresource": "log",
        "namespace": "x",
        "name": "canal",
    }


def test_a_log_is_text_whatever_its_bytes(serve, connect: Connect) -> None:
    server = serve(say(200, b"caf\xe9 \xf0\x9f\x90\x82\n", "text/plain"))

    text = KubernetesApi(connect(server), "c-1").log(
        "kube-system", "canal-x", "kube-flannel", previous=True, tail=5, limit_bytes=99
    )

    assert text == "caf\ufffd \U0001f402\n"
    assert queries(server) == [
        {"container": "kube-flannel", "tailLines": "5", "limitBytes": "99", "timestamps": "true", "previous": "true"}
    ]


# --- watches ---


def an_event(kind: str, **body: Any) -> bytes:
    return json.dumps({"type": kind, "object": body}).encode() + b"\n"


def watch(server: Server, connect: Connect) -> list[Any]:
    return list(KubernetesApi(connect(server)).watch(MANAGEMENT_CLUSTERS, "41", idle=2))


def test_events_come_in_order_until_the_server_ends_the_watch(serve, connect: Connect) -> None:
    added = an_event("ADDED", metadata={"name": "c-1", "resourceVersion": "42"})
    bookmark = an_event("BOOKMARK", metadata={"resourceVersion": "60"})
    # A chunk ends where it likes, in the middle of a line too.
    server = serve(lines(added[:20], added[20:] + b"\n\n" + bookmark))

    events = watch(server, connect)

    assert [(event.type, event.resource_version) for event in events] == [("ADDED", "42"), ("BOOKMARK", "60")]
    assert queries(server) == [
        {"watch": "1", "allowWatchBookmarks": "true", "resourceVersion": "41", "timeoutSeconds": "120"}
    ]


@pytest.mark.parametrize("answer", [lines(an_event("ERROR", code=410, reason="Expired", message="too old")), EXPIRED])
def test_a_version_that_is_too_old_is_gone_in_the_stream_and_before_it(
    serve, connect: Connect, answer: Callable[..., None]
) -> None:
    with pytest.raises(Gone):
        watch(serve(answer), connect)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"<html>gateway</html>\n", "not a watch event"),
        (b"[1]\n", "not a watch event"),
        (b'{"kind": "Status"}\n', "not a watch event"),
        (b'{"type": "ADDED", "object": "text"}\n', "not a watch event"),
        (b'{"type": "ADDED", "object": null}\n', "not a watch event"),
        (b"[" * 100_000 + b"\n", "not a watch event"),
        (an_event("ERROR", code=500, message="etcd went away"), "etcd went away"),
        (b'{"type": "ERROR", "object": null}\n', "an error without text"),
    ],
)
def test_a_line_that_is_no_event_says_so(serve, connect: Connect, line: bytes, says: str) -> None:
    with pytest.raises(NotRancher, match=says):
        watch(serve(lines(line)), connect)


def test_a_watch_that_breaks_is_lost_after_what_arrived(serve, connect: Connect) -> None:
    server = serve(lines(an_event("ADDED", metadata={}), then=hang_up))
    stream = KubernetesApi(connect(server)).watch(MANAGEMENT_CLUSTERS, "1", idle=2)

    assert next(stream).type == "ADDED"
    with pytest.raises(RancherUnreachable):
        next(stream)
