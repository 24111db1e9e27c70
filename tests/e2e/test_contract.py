"""Does the simulated API answer as a real one does? Each test runs on both, with the same assertions.

They look at what a client can tell apart: codes, reasons, bodies, list metadata, watches. Where the two differ the simulator is
wrong and is mended; the fact behind it stands in the docstring of the module that was mended. Here: what is read, watched, and
who may.
"""

import time
from typing import Any

import pytest

from rancher_ext.client.kubernetes import CONFIG_MAPS, Resource
from rancher_ext.errors import Forbidden, Gone, Unauthorized
from tests.e2e.conftest import NOBODY_TOKEN, READER_TOKEN, Side
from tests.e2e.contract import (
    MERGE_PATCH,
    SNAPSHOTS,
    accepting,
    config_map,
    events,
    events_until,
    make,
    maps,
    names,
    pod,
    refusal,
    snapshot,
)

# --- lists ---


def test_an_empty_list_has_items_and_a_version(side: Side, space: str) -> None:
    found = side.json("GET", maps(space))

    assert found["items"] == []
    assert (found["kind"], found["apiVersion"]) == ("ConfigMapList", "v1")
    assert set(found["metadata"]) == {"resourceVersion"}
    assert int(found["metadata"]["resourceVersion"]) > 0


def test_an_empty_list_of_a_custom_kind(side: Side, space: str) -> None:
    found = side.json("GET", SNAPSHOTS.path(space))

    assert found["items"] == []
    assert (found["kind"], found["apiVersion"]) == ("ETCDSnapshotList", "rke.cattle.io/v1")


def test_items_of_a_list_name_their_kind_only_when_it_is_a_custom_one(side: Side, space: str) -> None:
    make(side, space, "one")
    side.json("POST", SNAPSHOTS.path(space), {**snapshot("one")})

    (plain,) = side.json("GET", maps(space))["items"]
    (custom,) = side.json("GET", SNAPSHOTS.path(space))["items"]

    assert (custom["kind"], custom["apiVersion"]) == ("ETCDSnapshot", "rke.cattle.io/v1")
    assert "kind" not in plain
    assert "apiVersion" not in plain


def test_items_come_by_namespace_and_name(side: Side, space: str) -> None:
    make(side, space, "b", "a", "c-1", "c")

    assert names(side.json("GET", maps(space))) == ["a", "b", "c", "c-1"]


def test_pages_are_counted_and_joined(side: Side, space: str) -> None:
    make(side, space, *(f"m{n}" for n in range(5)))

    first = side.json("GET", maps(space), limit="2")
    second = side.json("GET", maps(space), limit="2", **{"continue": first["metadata"]["continue"]})
    third = side.json("GET", maps(space), limit="2", **{"continue": second["metadata"]["continue"]})

    assert [len(page["items"]) for page in (first, second, third)] == [2, 2, 1]
    assert [page["metadata"].get("remainingItemCount") for page in (first, second, third)] == [3, 1, None]
    assert "continue" not in third["metadata"]
    versions = {page["metadata"]["resourceVersion"] for page in (first, second, third)}
    assert len(versions) == 1, "every page shows the instant of the first"
    assert names(first) + names(second) + names(third) == [f"m{n}" for n in range(5)]


def test_a_page_that_ends_the_list_has_no_continue(side: Side, space: str) -> None:
    make(side, space, "a", "b")

    found = side.json("GET", maps(space), limit="2")

    assert len(found["items"]) == 2
    assert set(found["metadata"]) == {"resourceVersion"}


def test_pages_with_a_selector_do_not_tell_how_many_remain(side: Side, space: str) -> None:
    make(side, space, "a", "b", "c", labels={"of": "them"})

    found = side.json("GET", maps(space), limit="1", labelSelector="of=them")

    assert found["metadata"]["continue"]
    assert "remainingItemCount" not in found["metadata"]


def test_what_is_made_between_two_pages_is_not_in_the_second(side: Side, space: str) -> None:
    make(side, space, "a", "b", "d")
    first = side.json("GET", maps(space), limit="2")
    make(side, space, "c")

    second = side.json("GET", maps(space), limit="2", **{"continue": first["metadata"]["continue"]})

    assert names(second) == ["d"]


def test_a_continue_token_of_before_a_compaction_is_gone(side: Side, space: str) -> None:
    make(side, space, "a", "b", "c")
    first = side.json("GET", maps(space), limit="1")
    make(side, space, "d")
    side.forget_history()

    said = refusal(side, "GET", maps(space), limit="1", **{"continue": first["metadata"]["continue"]})

    assert (said["code"], said["reason"]) == (410, "Expired")


def test_the_client_lists_once_more_when_its_token_expires(side: Side, space: str) -> None:
    make(side, space, "a", "b", "c")
    client = side.client()
    plain, asked = client.transport.get_json, []

    def forgetful(path: str, params: dict[str, Any], **options: Any) -> dict[str, Any]:
        if asked:
            make(side, space, f"new-{len(asked)}")
            side.forget_history()
        asked.append(dict(params))
        return plain(path, params, **options)

    client.transport.get_json = forgetful  # type: ignore[method-assign]

    found = client.list(CONFIG_MAPS, space, page=1)

    assert ["continue" in params for params in asked] == [False, True, False]
    assert {"a", "b", "c"} <= set(names({"items": found.items}))


def test_a_continue_token_that_is_none_is_refused(side: Side, space: str) -> None:
    said = refusal(side, "GET", maps(space), limit="1", **{"continue": "rubbish"})

    assert (said["code"], said["reason"]) == (400, "BadRequest")
    assert "continue key is not valid" in said["message"]


def test_a_limit_that_is_no_number_is_refused(side: Side, space: str) -> None:
    said = refusal(side, "GET", maps(space), limit="many")

    assert (said["code"], said["reason"]) == (400, "BadRequest")
    assert 'parsing "many": invalid syntax' in said["message"]


# --- selectors ---


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("app=web", ["a", "b"]),
        ("app==web,tier=front", ["a"]),
        ("app!=web", ["c", "d"]),
        ("app in (web, db)", ["a", "b", "c"]),
        ("app notin (web,db)", ["d"]),
        ("tier", ["a", "c"]),
        ("!tier", ["b", "d"]),
        ("tier!=front,tier", ["c"]),
        ("app=", []),
    ],
)
def test_label_selectors(side: Side, request: pytest.FixtureRequest, selector: str, found: list[str]) -> None:
    space = f"labels-{abs(hash((side.name, selector))) % 10**8}"
    side.json("POST", "/api/v1/namespaces", {"metadata": {"name": space}})
    for name, labels in {
        "a": {"app": "web", "tier": "front"},
        "b": {"app": "web"},
        "c": {"app": "db", "tier": "back"},
        "d": {},
    }.items():
        make(side, space, name, labels=labels)

    assert names(side.json("GET", maps(space), labelSelector=selector)) == found


@pytest.mark.parametrize("selector", ["app in web", "=x", "a=b=c", "app in (web"])
def test_label_selectors_that_are_none(side: Side, selector: str) -> None:
    said = refusal(side, "GET", "/api/v1/configmaps", labelSelector=selector)

    assert (said["code"], said["reason"]) == (400, "BadRequest")


def test_field_selectors(side: Side, space: str) -> None:
    make(side, space, "a", "b")
    secrets = f"/api/v1/namespaces/{space}/secrets"
    for name, kind in {"plan": "rke.cattle.io/machine-plan", "other": "Opaque"}.items():
        side.json("POST", secrets, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": kind})

    assert names(side.json("GET", maps(space), fieldSelector="metadata.name=b")) == ["b"]
    assert names(side.json("GET", maps(space), fieldSelector="metadata.name!=b,metadata.namespace=" + space)) == ["a"]
    assert names(side.json("GET", secrets, fieldSelector="type=rke.cattle.io/machine-plan")) == ["plan"]


@pytest.mark.parametrize("path", ["/api/v1/pods", "/apis/rke.cattle.io/v1/etcdsnapshots"])
def test_a_field_that_is_not_indexed_is_refused(side: Side, path: str) -> None:
    said = refusal(side, "GET", path, fieldSelector="spec.x=1")

    assert (said["code"], said["reason"]) == (400, "BadRequest")
    assert said["message"] == "field label not supported: spec.x"


@pytest.mark.parametrize("path", ["/api/v1/configmaps", "/apis/apps/v1/daemonsets"])
def test_a_kind_without_indexed_fields_names_the_two_that_all_have(side: Side, path: str) -> None:
    said = refusal(side, "GET", path, fieldSelector="spec.x=1")

    assert (said["code"], said["reason"]) == (400, "BadRequest")
    assert said["message"] == '"spec.x" is not a known field selector: only "metadata.name", "metadata.namespace"'


# --- watches ---


def test_a_watch_from_a_list_tells_every_change_in_order(side: Side, space: str) -> None:
    version = side.json("GET", maps(space))["metadata"]["resourceVersion"]
    make(side, space, "a", x="1")
    side.client().merge_patch(CONFIG_MAPS, "a", space, {"data": {"x": "2"}})
    side.json("DELETE", maps(space, "a"))
    make(side, space, "the-end")

    seen = events_until(side, maps(space), "the-end", resourceVersion=version)

    assert [event["type"] for event in seen] == ["ADDED", "MODIFIED", "DELETED"]
    assert [event["object"]["kind"] for event in seen] == ["ConfigMap"] * 3
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in seen]
    assert versions == sorted(set(versions))


def test_a_watch_ends_when_its_time_is_over(side: Side, space: str) -> None:
    began = time.monotonic()

    assert list(events(side, maps(space), timeoutSeconds="1")) == []

    # The other end of it has no bound: the machine may be busy.
    assert time.monotonic() - began > 0.5


def test_a_watch_gets_a_bookmark_before_it_ends(side: Side, space: str) -> None:
    """Also of a kind in which nothing happens, as long as something happens anywhere."""
    version = side.json("GET", maps(space))["metadata"]["resourceVersion"]
    side.json("POST", SNAPSHOTS.path(space), snapshot("a"))

    seen = list(events(side, maps(space), resourceVersion=version, timeoutSeconds="6", allowWatchBookmarks="true"))

    assert {event["type"] for event in seen} == {"BOOKMARK"}
    assert int(seen[-1]["object"]["metadata"]["resourceVersion"]) > int(version)
    last = seen[-1]["object"]
    assert (last["kind"], last["apiVersion"]) == ("ConfigMap", "v1")
    assert int(last["metadata"]["resourceVersion"]) >= int(version)
    assert set(last) <= {"kind", "apiVersion", "metadata"}


def test_a_watch_without_a_version_begins_with_what_is_there(side: Side, space: str) -> None:
    make(side, space, "a", "b", "the-end")

    seen = events_until(side, maps(space), "the-end")

    assert [(event["type"], event["object"]["metadata"]["name"]) for event in seen] == [("ADDED", "a"), ("ADDED", "b")]


def test_a_watch_with_a_selector_sees_objects_come_and_go(side: Side, space: str) -> None:
    version = side.json("GET", maps(space))["metadata"]["resourceVersion"]
    make(side, space, "a")
    for label in ("yes", "no"):
        side.client().merge_patch(CONFIG_MAPS, "a", space, {"metadata": {"labels": {"mine": label}}})
    make(side, space, "the-end", labels={"mine": "yes"})

    seen = events_until(side, maps(space), "the-end", resourceVersion=version, labelSelector="mine=yes")

    assert [event["type"] for event in seen] == ["ADDED", "DELETED"]


def test_a_watch_from_before_the_history_is_gone(side: Side, space: str) -> None:
    """As an event in an answer of 200, not as a refusal."""
    side.json("POST", SNAPSHOTS.path(space), snapshot("a"))
    side.forget_history()

    (event,) = events(side, SNAPSHOTS.path(space), resourceVersion="1", timeoutSeconds="60")

    assert event["type"] == "ERROR"
    status = event["object"]
    assert (status["kind"], status["code"], status["reason"]) == ("Status", 410, "Expired")
    assert status["message"].startswith("too old resource version: 1 (")
    with pytest.raises(Gone):
        list(side.client().watch(SNAPSHOTS, "1", timeout=60))


def test_a_watch_from_a_version_that_is_none_is_refused(side: Side, space: str) -> None:
    """With 500 and without a reason, of all things."""
    said = refusal(side, "GET", maps(space), watch="1", resourceVersion="yesterday")

    assert said["code"] == 500
    assert "reason" not in said
    assert said["message"].startswith('resourceVersion: Invalid value: "yesterday"')


def test_the_client_follows_a_list_by_a_watch(side: Side, space: str) -> None:
    client = side.client()
    listing = client.list(CONFIG_MAPS, space)
    make(side, space, "a", "the-end")

    seen = []
    for event in client.watch(CONFIG_MAPS, listing.resource_version, timeout=60):
        if event.object["metadata"].get("namespace") == space:
            seen.append((event.type, event.object["metadata"]["name"]))
        if ("ADDED", "the-end") in seen:
            break

    assert seen == [("ADDED", "a"), ("ADDED", "the-end")]


# --- versions, representations, many at once ---


def test_a_list_of_an_exact_version(side: Side, space: str) -> None:
    make(side, space, "a", x="1")
    version = side.json("GET", maps(space))["metadata"]["resourceVersion"]
    side.client().merge_patch(CONFIG_MAPS, "a", space, {"data": {"x": "2"}})
    make(side, space, "b")

    then = side.json("GET", maps(space), resourceVersion=version, resourceVersionMatch="Exact")
    now = side.json("GET", maps(space), resourceVersion=version, resourceVersionMatch="NotOlderThan")

    assert [item["data"] for item in then["items"]] == [{"x": "1"}]
    assert then["metadata"]["resourceVersion"] == version
    assert names(now) == ["a", "b"]


@pytest.mark.parametrize(
    ("params", "text"),
    [
        (
            {"resourceVersionMatch": "Exact"},
            "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
        ),
        (
            {"resourceVersionMatch": "Exact", "resourceVersion": "0"},
            'Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"',
        ),
        (
            {"resourceVersionMatch": "Roughly", "resourceVersion": "1"},
            'Unsupported value: "Roughly": supported values: "Exact", "NotOlderThan", ""',
        ),
    ],
)
def test_words_on_a_version_that_make_no_sense(side: Side, params: dict[str, str], text: str) -> None:
    said = refusal(side, "GET", "/api/v1/configmaps", **params)

    assert (said["code"], said["reason"]) == (422, "Invalid")
    assert said["message"] == f'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: {text}'


def test_a_version_that_is_still_to_come(side: Side, space: str) -> None:
    for path in (maps(space), maps(space, "a")):
        answer = side.call("GET", path, resourceVersion="99999999")

        assert answer.status_code == 504
        assert answer.headers["Retry-After"] == "1"
        said = answer.json()
        assert said["reason"] == "Timeout"
        assert said["message"].startswith("Timeout: Too large resource version: 99999999, current: ")
        assert said["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


def test_an_expired_token_brings_one_for_the_rest_as_it_is_now(side: Side, space: str) -> None:
    make(side, space, "a", "b")
    first = side.json("GET", maps(space), limit="1")
    make(side, space, "c")
    side.forget_history()

    said = refusal(side, "GET", maps(space), limit="5", **{"continue": first["metadata"]["continue"]})
    rest = side.json("GET", maps(space), limit="5", **{"continue": said["metadata"]["continue"]})

    assert said["message"].startswith("The provided continue parameter is too old to display a consistent list result.")
    assert names(rest) == ["b", "c"]


@pytest.mark.parametrize("limit", ["0", "-1"])
def test_no_limit(side: Side, request: pytest.FixtureRequest, limit: str) -> None:
    space = f"limit-{abs(int(limit))}"
    side.json("POST", "/api/v1/namespaces", {"metadata": {"name": space}})
    make(side, space, "a", "b")

    found = side.json("GET", maps(space), limit=limit)

    assert names(found) == ["a", "b"]
    assert set(found["metadata"]) == {"resourceVersion"}


def test_metadata_alone(side: Side, space: str) -> None:
    make(side, space, "a", x="1")
    kind = "application/json;as=PartialObjectMetadata{};v=v1;g=meta.k8s.io"

    many = accepting(side, maps(space), kind.format("List")).json()
    one = accepting(side, maps(space, "a"), kind.format("")).json()

    assert (many["kind"], many["apiVersion"]) == ("PartialObjectMetadataList", "meta.k8s.io/v1")
    for item in (*many["items"], one):
        assert (item["kind"], item["apiVersion"]) == ("PartialObjectMetadata", "meta.k8s.io/v1")
        assert set(item) == {"kind", "apiVersion", "metadata"}
        assert item["metadata"]["name"] == "a"


def test_a_client_that_takes_no_json(side: Side, space: str) -> None:
    answer = accepting(side, maps(space), "text/html")

    assert (answer.status_code, answer.json()["reason"], answer.json()["details"]) == (406, "NotAcceptable", {})
    assert answer.json()["message"].startswith("406: Not Acceptable")


def test_many_are_deleted_at_once(side: Side, space: str) -> None:
    make(side, space, "a", labels={"of": "them"})
    make(side, space, "b")

    gone = side.json("DELETE", maps(space), labelSelector="of=them")

    assert (gone["kind"], names(gone)) == ("ConfigMapList", ["a"])
    assert names(side.json("GET", maps(space))) == ["b"]


def test_who_may_not_delete_many_or_write_a_status(side: Side, space: str) -> None:
    many = refusal(side, "DELETE", maps(space), token=READER_TOKEN)
    status = refusal(side, "PATCH", "/api/v1/nodes/a/status", {}, token=READER_TOKEN, content_type=MERGE_PATCH)

    assert 'cannot deletecollection resource "configmaps"' in many["message"]
    assert status["message"] == (
        'nodes "a" is forbidden: User "user-reader" cannot patch resource "nodes/status" in API group "" at the cluster scope'
    )
    assert status["details"] == {"name": "a", "kind": "nodes"}


# --- who may ---


def test_an_unknown_token_gets_the_word_of_rancher(side: Side) -> None:
    answer = side.call("GET", "/api/v1/namespaces", token=NOBODY_TOKEN)

    assert answer.status_code == 401
    assert answer.json() == {"type": "error", "status": "401", "message": "Unauthorized 401: must authenticate"}
    with pytest.raises(Unauthorized):
        side.client(NOBODY_TOKEN).list(CONFIG_MAPS)


def test_a_right_that_is_missing(side: Side, space: str) -> None:
    listed = refusal(side, "GET", f"/api/v1/namespaces/{space}/secrets", token=READER_TOKEN)
    one = refusal(side, "GET", f"/api/v1/namespaces/{space}/secrets/x", token=READER_TOKEN)
    written = refusal(side, "POST", maps(space), config_map("a"), token=READER_TOKEN)

    for said in (listed, one, written):
        assert (said["code"], said["reason"]) == (403, "Forbidden")
    assert listed["message"] == (
        f'secrets is forbidden: User "user-reader" cannot list resource "secrets" in API group "" in the namespace "{space}"'
    )
    assert listed["details"] == {"kind": "secrets"}
    assert one["message"].startswith('secrets "x" is forbidden: User "user-reader" cannot get resource "secrets"')
    assert one["details"] == {"name": "x", "kind": "secrets"}
    assert 'cannot create resource "configmaps"' in written["message"]
    with pytest.raises(Forbidden):
        side.client(READER_TOKEN).get(Resource("", "v1", "secrets"), "x", space)


def test_a_right_that_is_missing_at_the_cluster_scope(side: Side) -> None:
    said = refusal(side, "GET", "/api/v1/nodes", token=READER_TOKEN)

    assert said["message"].endswith('cannot list resource "nodes" in API group "" at the cluster scope')


def test_the_server_tells_what_one_may(side: Side, space: str) -> None:
    admin, reader = side.client(), side.client(READER_TOKEN)

    assert admin.may("patch", CONFIG_MAPS, space)
    assert reader.may("list", CONFIG_MAPS, space)
    assert not reader.may("patch", CONFIG_MAPS, space)
    assert not reader.may("get", Resource("", "v1", "secrets"), space)


# --- pods ---


def test_the_log_of_a_pod_that_is_on_no_node(side: Side, space: str) -> None:
    side.json("POST", f"/api/v1/namespaces/{space}/pods", pod("a"))

    answer = side.call("GET", f"/api/v1/namespaces/{space}/pods/a/log")

    assert (answer.status_code, answer.text) == (204, "")
    assert side.client().log(space, "a", "main", previous=False, tail=10, limit_bytes=1000) == ""


def test_the_log_of_a_pod_that_is_not_there(side: Side, space: str) -> None:
    said = refusal(side, "GET", f"/api/v1/namespaces/{space}/pods/nobody/log")

    assert (said["code"], said["message"]) == (404, 'pods "nobody" not found')


def test_the_log_of_a_container_that_is_not_there(side: Side, space: str) -> None:
    side.json("POST", f"/api/v1/namespaces/{space}/pods", pod("a"))

    said = refusal(side, "GET", f"/api/v1/namespaces/{space}/pods/a/log", container="other")

    assert (said["code"], said["reason"]) == (400, "BadRequest")
    assert said["message"] == "container other is not valid for pod a"


def test_the_log_of_one_of_several_containers_must_name_it(side: Side, space: str) -> None:
    several = [{"name": name, "image": "registry.example/main"} for name in ("first", "second")]
    init = [{"name": "before", "image": "registry.example/main"}]
    side.json("POST", f"/api/v1/namespaces/{space}/pods", pod("a", containers=several, initContainers=init))

    said = refusal(side, "GET", f"/api/v1/namespaces/{space}/pods/a/log")

    assert (said["code"], said["reason"]) == (400, "BadRequest")
    assert said["message"] == ("a container name must be specified for pod a, choose one of: [before first second]")


def test_a_pod_without_containers_is_refused(side: Side, space: str) -> None:
    said = refusal(side, "POST", f"/api/v1/namespaces/{space}/pods", pod("a", containers=[]))

    assert (said["code"], said["reason"]) == (422, "Invalid")
    assert said["message"] == 'Pod "a" is invalid: spec.containers: Required value'


def test_log_options_out_of_range(side: Side, space: str) -> None:
    side.json("POST", f"/api/v1/namespaces/{space}/pods", pod("a"))

    said = refusal(side, "GET", f"/api/v1/namespaces/{space}/pods/a/log", container="main", tailLines="-1")

    assert (said["code"], said["reason"]) == (422, "Invalid")
    assert (
        said["message"]
        == 'PodLogOptions "a" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0'
    )


def test_a_deleted_pod_is_answered_with_itself(side: Side, space: str) -> None:
    """On no node it has no grace period, and is gone."""
    side.json("POST", f"/api/v1/namespaces/{space}/pods", pod("a"))

    gone = side.json("DELETE", f"/api/v1/namespaces/{space}/pods/a")

    assert (gone["kind"], gone["metadata"]["deletionGracePeriodSeconds"]) == ("Pod", 0)
    assert side.call("GET", f"/api/v1/namespaces/{space}/pods/a").status_code == 404


def test_a_deleted_pod_on_a_node_has_a_grace_period(side: Side, space: str) -> None:
    side.json("POST", f"/api/v1/namespaces/{space}/pods", pod("a", nodeName="nobody"))

    gone = side.json("DELETE", f"/api/v1/namespaces/{space}/pods/a")

    assert (gone["kind"], gone["metadata"]["deletionGracePeriodSeconds"]) == ("Pod", 30)
    assert gone["metadata"]["deletionTimestamp"] > gone["metadata"]["creationTimestamp"]


def test_an_eviction(side: Side, space: str) -> None:
    path = f"/api/v1/namespaces/{space}/pods"
    side.json("POST", path, pod("a"))
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "a"}}

    answer = side.call("POST", f"{path}/a/eviction", body)

    assert (answer.status_code, answer.json()["status"]) == (201, "Success")
    assert side.call("GET", f"{path}/a").status_code == 404
    assert refusal(side, "POST", f"{path}/a/eviction", body)["message"] == 'pods "a" not found'


def test_a_new_pod_is_pending_and_tolerates_a_while(side: Side, space: str) -> None:
    made = side.json("POST", f"/api/v1/namespaces/{space}/pods", {**pod("a"), "status": {"phase": "Running"}})

    assert made["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    assert {each["key"] for each in made["spec"]["tolerations"]} == {
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    }
    assert made["spec"]["containers"][0]["terminationMessagePolicy"] == "File"
