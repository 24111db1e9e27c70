"""Does the simulated API answer as a real one does? Each test runs on both, with the same assertions.

They look at what a client can tell apart: codes, reasons, bodies, list metadata, watches. A difference that is known and not
mended yet is in `DIFFERENCES`: that test must fail on the simulator, and its entry goes when the simulator is mended.
"""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from rancher_ext.client.kubernetes import CONFIG_MAPS, Resource
from rancher_ext.errors import Conflict, Forbidden, Gone, Invalid, NotFound, Unauthorized
from tests.e2e.conftest import NOBODY_TOKEN, READER_TOKEN, Side

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
SNAPSHOTS = Resource("rke.cattle.io", "v1", "etcdsnapshots")
SETTINGS = "/apis/management.cattle.io/v3/settings"

# Where the simulator is wrong: the test, and what it does instead.
DIFFERENCES = {
    "test_items_of_a_list_name_their_kind_only_when_it_is_a_custom_one": "items of built-in kinds carry kind and apiVersion",
    "test_what_is_made_between_two_pages_is_not_in_the_second": "a page after the first shows the present",
    "test_a_limit_that_is_no_number_is_refused": "quotes the number as Python does",
    "test_a_kind_without_indexed_fields_names_the_two_that_all_have": "has the text of kinds with indexed fields",
    "test_a_path_that_a_built_in_group_does_not_have_is_a_status": "answers with plain text",
    "test_creating_in_a_namespace_that_is_not_there": "creates the object",
    "test_a_name_that_kubernetes_does_not_allow": "does not look at names",
    "test_a_method_that_a_path_does_not_have": "has another message",
    "test_a_json_patch_whose_test_fails": "names the failed test in details.causes",
    "test_a_test_of_a_value_that_is_not_there": "names the failed test in details.causes",
    "test_removing_what_is_not_there": "names the path in details.causes",
    "test_a_patch_whose_result_is_invalid_says_which_field": "does not validate",
    "test_an_operation_that_is_none": "answers 400",
    "test_a_merge_patch_that_names_another_uid_is_invalid": "drops the uid silently",
    "test_the_status_subresource_changes_status_alone": "has no status subresource",
    "test_unknown_fields_of_a_built_in_kind_are_dropped": "keeps them",
    "test_unknown_fields_can_be_refused": "does not know fieldValidation",
    "test_a_dry_run_that_is_none_is_refused": "answers 400",
    "test_a_finalizer_holds_an_object": "sets no deletionGracePeriodSeconds",
    "test_a_deletion_bound_to_another_uid_is_a_conflict": "has another message",
    "test_a_watch_from_a_version_that_is_none_is_refused": "cuts the connection",
    "test_a_right_that_is_missing": "puts an empty name into details",
    "test_the_log_of_a_pod_that_is_on_no_node": "answers 400",
    "test_the_log_of_one_of_several_containers_must_name_it": "lists init containers apart, as older releases did",
    "test_a_pod_without_containers_is_refused": "does not validate",
}


@pytest.fixture(autouse=True)
def known_difference(request: pytest.FixtureRequest, side: Side) -> None:
    """Fails when the simulator is mended and its entry still stands."""
    name = request.node.originalname
    if name in DIFFERENCES and not side.real:
        request.applymarker(pytest.mark.xfail(reason=f"the simulator {DIFFERENCES[name]}", strict=True))


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


# --- objects and what is not there ---


@pytest.mark.parametrize(
    "path",
    [
        "/apis/provisioning.cattle.io/v9/clusters",
        "/apis/provisioning.cattle.io/v1/unicorns",
        "/apis/nobody.example/v1/things",
        "/nothing",
    ],
)
def test_a_path_that_no_kind_has_is_plain_text(side: Side, path: str) -> None:
    answer = side.call("GET", path)

    assert (answer.status_code, answer.text) == (404, "404 page not found\n")
    assert answer.headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize("path", ["/api/v1/unicorns", "/apis/apps/v1/unicorns", "/apis/apps/v9/daemonsets"])
def test_a_path_that_a_built_in_group_does_not_have_is_a_status(side: Side, path: str) -> None:
    """The only NotFound without a name: the kind is missing, not the object."""
    answer = side.call("GET", path)

    assert answer.headers["Content-Type"] == "application/json", answer.text
    said = refusal(side, "GET", path)
    assert (said["code"], said["reason"], said["details"]) == (404, "NotFound", {})
    assert said["message"] == "the server could not find the requested resource"


def test_an_object_that_is_not_there(side: Side, space: str) -> None:
    plain = refusal(side, "GET", maps(space, "nobody"))
    custom = refusal(side, "GET", SNAPSHOTS.path(space, "nobody"))

    assert (plain["code"], plain["reason"]) == (404, "NotFound")
    assert plain["message"] == 'configmaps "nobody" not found'
    assert plain["details"] == {"name": "nobody", "kind": "configmaps"}
    assert custom["message"] == 'etcdsnapshots.rke.cattle.io "nobody" not found'
    assert custom["details"] == {"name": "nobody", "group": "rke.cattle.io", "kind": "etcdsnapshots"}
    with pytest.raises(NotFound):
        side.client().get(CONFIG_MAPS, "nobody", space)


def test_a_list_of_a_namespace_that_is_not_there_is_empty(side: Side) -> None:
    assert side.json("GET", maps("no-such-namespace"))["items"] == []


def test_creating_in_a_namespace_that_is_not_there(side: Side) -> None:
    said = refusal(side, "POST", maps("no-such-namespace"), config_map("a"))

    assert (said["code"], said["reason"]) == (404, "NotFound")
    assert said["message"] == 'namespaces "no-such-namespace" not found'


def test_a_namespace_in_the_path_of_a_kind_that_has_none(side: Side, space: str) -> None:
    assert side.call("GET", f"/apis/management.cattle.io/v3/namespaces/{space}/settings").status_code == 404


def test_creating_what_is_there_already(side: Side, space: str) -> None:
    make(side, space, "a")

    said = refusal(side, "POST", maps(space), config_map("a"))

    assert (said["code"], said["reason"]) == (409, "AlreadyExists")
    assert said["message"] == 'configmaps "a" already exists'


def test_a_created_object_has_what_the_server_owns(side: Side, space: str) -> None:
    (made,) = make(side, space, "a", x="1")

    metadata = made["metadata"]
    assert {"uid", "resourceVersion", "creationTimestamp", "managedFields", "namespace", "name"} <= set(metadata)
    assert "generation" not in metadata
    assert metadata["managedFields"][0]["operation"] == "Update"
    custom = side.json("POST", SNAPSHOTS.path(space), snapshot("a"))
    assert custom["metadata"]["generation"] == 1


def test_the_second_of_two_equal_writes_changes_nothing(side: Side, space: str) -> None:
    make(side, space, "a", x="1")
    options = {"content_type": MERGE_PATCH, "fieldManager": "drover"}

    first = side.json("PATCH", maps(space, "a"), {"data": {"x": "2"}}, **options)
    second = side.json("PATCH", maps(space, "a"), {"data": {"x": "2"}}, **options)

    assert first["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]


def test_a_name_that_kubernetes_does_not_allow(side: Side, space: str) -> None:
    said = refusal(side, "POST", maps(space), config_map("Not_A_Name"))

    assert (said["code"], said["reason"]) == (422, "Invalid")
    assert said["message"].startswith('ConfigMap "Not_A_Name" is invalid: metadata.name: Invalid value')
    assert [cause["field"] for cause in said["details"]["causes"]] == ["metadata.name"]


def test_a_body_that_is_no_json(side: Side, space: str) -> None:
    answer = side.call("POST", maps(space), "just text")

    assert answer.status_code == 400
    assert answer.json()["reason"] == "BadRequest"


def test_a_kind_that_does_not_belong_to_the_path(side: Side, space: str) -> None:
    said = refusal(side, "POST", maps(space), {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}})

    assert (said["code"], said["reason"]) == (400, "BadRequest")


def test_a_method_that_a_path_does_not_have(side: Side, space: str) -> None:
    said = refusal(side, "PUT", maps(space), config_map("a"))

    assert (said["code"], said["reason"]) == (405, "MethodNotAllowed")
    assert said["message"] == "the server does not allow this method on the requested resource"


# --- JSON patch, merge patch ---


def test_a_json_patch_whose_test_holds(side: Side, space: str) -> None:
    make(side, space, "a", x="1")

    patched = side.json(
        "PATCH", maps(space, "a"), [op("test", "/data/x", "1"), op("replace", "/data/x", "2")], content_type=JSON_PATCH
    )

    assert patched["data"] == {"x": "2"}


@pytest.mark.parametrize("resource", [CONFIG_MAPS, SNAPSHOTS], ids=["built-in", "custom"])
def test_a_json_patch_whose_test_fails(side: Side, resource: Resource, request: pytest.FixtureRequest) -> None:
    space = f"patch-{resource.plural}"
    side.json("POST", "/api/v1/namespaces", {"metadata": {"name": space}})
    side.json("POST", resource.path(space), snapshot("a") if resource is SNAPSHOTS else config_map("a", x="1"))

    said = refusal(
        side, "PATCH", resource.path(space, "a"), [op("test", "/metadata/name", "b")], content_type=JSON_PATCH
    )

    assert (said["code"], said["reason"]) == (422, "Invalid")
    assert said["message"] == "the server rejected our request due to an error in our request"
    assert said["details"] == {}, "the server does not say which test failed"
    with pytest.raises(Conflict) as caught:
        side.client().json_patch(resource, "a", space, [op("test", "/metadata/name", "b")])
    assert caught.value.status == 422


def test_a_test_of_a_value_that_is_not_there(side: Side, space: str) -> None:
    make(side, space, "a", x="1")

    said = refusal(side, "PATCH", maps(space, "a"), [op("test", "/data/y", "1")], content_type=JSON_PATCH)

    assert (said["code"], said["reason"], said["details"]) == (422, "Invalid", {})


def test_a_test_for_null_holds_where_nothing_is(side: Side, space: str) -> None:
    make(side, space, "a", x="1")

    assert (
        side.call("PATCH", maps(space, "a"), [op("test", "/data/y", None)], content_type=JSON_PATCH).status_code == 200
    )


def test_removing_what_is_not_there(side: Side, space: str) -> None:
    make(side, space, "a", x="1")

    said = refusal(side, "PATCH", maps(space, "a"), [{"op": "remove", "path": "/data/y"}], content_type=JSON_PATCH)

    assert (said["code"], said["reason"], said["details"]) == (422, "Invalid", {})


def test_adding_below_what_is_not_there(side: Side, space: str) -> None:
    make(side, space, "a", x="1")

    said = refusal(side, "PATCH", maps(space, "a"), [op("add", "/binaryData/deep/er", "1")], content_type=JSON_PATCH)

    assert (said["code"], said["reason"]) == (422, "Invalid")


def test_a_patch_whose_result_is_invalid_says_which_field(side: Side, space: str) -> None:
    """Told apart from a failed test by its message: the client must not take it for a conflict."""
    make(side, space, "a", x="1")
    wrong = [op("test", "/data/x", "1"), op("add", "/data/not a key", "1")]

    said = refusal(side, "PATCH", maps(space, "a"), wrong, content_type=JSON_PATCH)

    assert (said["code"], said["reason"]) == (422, "Invalid")
    assert said["message"].startswith('ConfigMap "a" is invalid: data[not a key]: Invalid value')
    with pytest.raises(Invalid):
        side.client().json_patch(CONFIG_MAPS, "a", space, wrong)


def test_an_operation_that_is_none(side: Side, space: str) -> None:
    make(side, space, "a", x="1")

    said = refusal(side, "PATCH", maps(space, "a"), [op("mend", "/data/x", "1")], content_type=JSON_PATCH)

    assert (said["code"], said["reason"]) == (422, "Invalid")


def test_a_json_patch_that_is_no_list(side: Side, space: str) -> None:
    make(side, space, "a", x="1")

    said = refusal(side, "PATCH", maps(space, "a"), {"data": {}}, content_type=JSON_PATCH)

    assert (said["code"], said["reason"]) == (400, "BadRequest")


def test_a_merge_patch_adds_and_removes(side: Side, space: str) -> None:
    make(side, space, "a", x="1", y="2")

    patched = side.client().merge_patch(CONFIG_MAPS, "a", space, {"data": {"x": None, "z": "3"}})

    assert patched["data"] == {"y": "2", "z": "3"}
    assert "drover" in {each["manager"] for each in patched["metadata"]["managedFields"]}


def test_a_strategic_merge_patch_of_a_custom_kind_is_refused(side: Side, space: str) -> None:
    side.json("POST", SNAPSHOTS.path(space), snapshot("a"))

    said = refusal(side, "PATCH", SNAPSHOTS.path(space, "a"), {"spec": {}}, content_type=STRATEGIC)

    assert (said["code"], said["reason"]) == (415, "UnsupportedMediaType")
    assert MERGE_PATCH in said["message"]


def test_a_patch_of_what_is_not_there(side: Side, space: str) -> None:
    with pytest.raises(NotFound):
        side.client().json_patch(CONFIG_MAPS, "nobody", space, [op("test", "/data/x", "1")])
    with pytest.raises(NotFound):
        side.client().merge_patch(CONFIG_MAPS, "nobody", space, {"data": {}})


def test_a_patch_bound_to_an_old_version_is_a_conflict(side: Side, space: str) -> None:
    (made,) = make(side, space, "a", x="1")
    side.client().merge_patch(CONFIG_MAPS, "a", space, {"data": {"x": "2"}})
    stale = made["metadata"]["resourceVersion"]

    said = refusal(
        side,
        "PATCH",
        maps(space, "a"),
        {"metadata": {"resourceVersion": stale}, "data": {"x": "3"}},
        content_type=MERGE_PATCH,
    )

    assert (said["code"], said["reason"]) == (409, "Conflict")
    assert said["message"] == (
        'Operation cannot be fulfilled on configmaps "a": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    assert said["details"] == {"name": "a", "kind": "configmaps"}
    with pytest.raises(Conflict):
        side.client().json_patch(CONFIG_MAPS, "a", space, [op("test", "/metadata/resourceVersion", stale)])


def test_an_update_with_an_old_version_is_a_conflict(side: Side, space: str) -> None:
    (made,) = make(side, space, "a", x="1")
    side.json("PUT", maps(space, "a"), {**made, "data": {"x": "2"}})

    said = refusal(side, "PUT", maps(space, "a"), {**made, "data": {"x": "3"}})

    assert (said["code"], said["reason"]) == (409, "Conflict")


def test_an_update_of_a_custom_object_without_a_version_is_refused(side: Side, space: str) -> None:
    side.json("POST", SNAPSHOTS.path(space), snapshot("a"))

    said = refusal(side, "PUT", SNAPSHOTS.path(space, "a"), snapshot("a"))

    assert (said["code"], said["reason"]) == (422, "Invalid")
    assert said["message"] == (
        'etcdsnapshots.rke.cattle.io "a" is invalid: metadata.resourceVersion: Invalid value: 0x0: '
        "must be specified for an update"
    )


def test_a_merge_patch_that_names_another_uid_is_invalid(side: Side, space: str) -> None:
    """Not a conflict: whoever wants to bind a write to a uid tests it in a JSON patch."""
    make(side, space, "a", x="1")
    other = {"metadata": {"uid": "00000000-0000-0000-0000-000000000000"}}

    said = refusal(side, "PATCH", maps(space, "a"), other, content_type=MERGE_PATCH)

    assert (said["code"], said["reason"]) == (422, "Invalid")
    assert said["message"].endswith("field is immutable")
    assert {cause["field"] for cause in said["details"]["causes"]} == {"metadata.uid"}


# --- status, generation, unknown fields ---


def test_status_is_left_alone_on_the_main_path(side: Side, space: str) -> None:
    side.json("POST", SNAPSHOTS.path(space), {**snapshot("a"), "status": {"missing": True}})

    patched = side.client().merge_patch(SNAPSHOTS, "a", space, {"status": {"missing": True}})

    assert "status" not in patched or not patched["status"].get("missing")


def test_the_status_subresource_changes_status_alone(side: Side, space: str) -> None:
    made = side.json("POST", SNAPSHOTS.path(space), snapshot("a"))

    patched = side.json(
        "PATCH",
        SNAPSHOTS.path(space, "a") + "/status",
        {"status": {"missing": True}, "spec": {"clusterName": "other"}},
        content_type=MERGE_PATCH,
    )

    assert patched["status"]["missing"] is True
    assert patched["spec"] == made["spec"]
    assert patched["metadata"]["generation"] == 1


def test_generation_moves_with_the_spec(side: Side, space: str) -> None:
    side.json("POST", SNAPSHOTS.path(space), snapshot("a"))
    client = side.client()

    labelled = client.merge_patch(SNAPSHOTS, "a", space, {"metadata": {"labels": {"x": "1"}}})
    changed = client.merge_patch(SNAPSHOTS, "a", space, {"spec": {"clusterName": "other"}})

    assert (labelled["metadata"]["generation"], changed["metadata"]["generation"]) == (1, 2)


def test_unknown_fields_of_a_built_in_kind_are_dropped(side: Side, space: str) -> None:
    made = side.json("POST", maps(space), {**config_map("a"), "unicorn": {"horn": 1}})

    assert "unicorn" not in made


def test_unknown_fields_can_be_refused(side: Side, space: str) -> None:
    said = refusal(side, "POST", maps(space), {**config_map("a"), "unicorn": 1}, fieldValidation="Strict")

    assert (said["code"], said["reason"]) == (400, "BadRequest")
    assert 'unknown field "unicorn"' in said["message"]


# --- dry run ---


def test_a_dry_run_answers_like_a_write_and_writes_nothing(side: Side, space: str) -> None:
    (made,) = make(side, space, "a", x="1")

    dry = side.client().json_patch(CONFIG_MAPS, "a", space, [op("replace", "/data/x", "2")], dry_run=True)

    assert dry["data"] == {"x": "2"}
    assert side.json("GET", maps(space, "a"))["data"] == {"x": "1"}
    assert side.json("GET", maps(space, "a"))["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


def test_a_dry_run_validates(side: Side, space: str) -> None:
    make(side, space, "a", x="1")

    with pytest.raises(Conflict):
        side.client().json_patch(CONFIG_MAPS, "a", space, [op("test", "/data/x", "2")], dry_run=True)


def test_a_dry_run_that_is_none_is_refused(side: Side, space: str) -> None:
    said = refusal(side, "POST", maps(space), config_map("a"), dryRun="Some")

    assert (said["code"], said["reason"]) == (422, "Invalid")


# --- deletion ---


def test_a_deletion_answers_with_a_status(side: Side, space: str) -> None:
    (made,) = make(side, space, "a")

    said = side.json("DELETE", maps(space, "a"))

    assert (said["kind"], said["status"]) == ("Status", "Success")
    assert said["details"] == {"name": "a", "kind": "configmaps", "uid": made["metadata"]["uid"]}


def test_a_finalizer_holds_an_object(side: Side, space: str) -> None:
    body = config_map("a")
    body["metadata"]["finalizers"] = ["drover.test/hold"]
    side.json("POST", maps(space), body)

    deleted = side.json("DELETE", maps(space, "a"))
    held = side.json("GET", maps(space, "a"))

    assert deleted["metadata"]["deletionTimestamp"] == held["metadata"]["deletionTimestamp"]
    assert held["metadata"]["deletionGracePeriodSeconds"] == 0
    last = side.call("PATCH", maps(space, "a"), {"metadata": {"finalizers": None}}, content_type=MERGE_PATCH)
    assert last.status_code == 200
    assert side.call("GET", maps(space, "a")).status_code == 404


def test_a_deletion_bound_to_another_uid_is_a_conflict(side: Side, space: str) -> None:
    (made,) = make(side, space, "a")
    other = "00000000-0000-0000-0000-000000000000"

    said = refusal(side, "DELETE", maps(space, "a"), {"preconditions": {"uid": other}})

    assert (said["code"], said["reason"]) == (409, "Conflict")
    assert said["message"] == (
        f'Operation cannot be fulfilled on ConfigMap "a": the UID in the precondition ({other}) does not match '
        f"the UID in record ({made['metadata']['uid']}). The object might have been deleted and then recreated"
    )


# --- watches ---


def test_a_watch_from_a_list_tells_every_change_in_order(side: Side, space: str) -> None:
    version = side.json("GET", maps(space))["metadata"]["resourceVersion"]
    make(side, space, "a", x="1")
    side.client().merge_patch(CONFIG_MAPS, "a", space, {"data": {"x": "2"}})
    side.json("DELETE", maps(space, "a"))

    seen = list(events(side, maps(space), resourceVersion=version, timeoutSeconds="1"))

    assert [event["type"] for event in seen] == ["ADDED", "MODIFIED", "DELETED"]
    assert [event["object"]["kind"] for event in seen] == ["ConfigMap"] * 3
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in seen]
    assert versions == sorted(set(versions))


def test_a_watch_ends_when_its_time_is_over(side: Side, space: str) -> None:
    began = time.monotonic()

    assert list(events(side, maps(space), timeoutSeconds="1")) == []

    assert 0.5 < time.monotonic() - began < 20


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
    make(side, space, "a", "b")

    seen = list(events(side, maps(space), timeoutSeconds="1"))

    assert [(event["type"], event["object"]["metadata"]["name"]) for event in seen] == [("ADDED", "a"), ("ADDED", "b")]


def test_a_watch_with_a_selector_sees_objects_come_and_go(side: Side, space: str) -> None:
    version = side.json("GET", maps(space))["metadata"]["resourceVersion"]
    make(side, space, "a")
    for label in ("yes", "no"):
        side.client().merge_patch(CONFIG_MAPS, "a", space, {"metadata": {"labels": {"mine": label}}})

    seen = list(events(side, maps(space), resourceVersion=version, labelSelector="mine=yes", timeoutSeconds="1"))

    assert [event["type"] for event in seen] == ["ADDED", "DELETED"]


def test_a_watch_from_before_the_history_is_gone(side: Side, space: str) -> None:
    """As an event in an answer of 200, not as a refusal."""
    side.json("POST", SNAPSHOTS.path(space), snapshot("a"))
    side.forget_history()

    (event,) = events(side, SNAPSHOTS.path(space), resourceVersion="1", timeoutSeconds="3")

    assert event["type"] == "ERROR"
    status = event["object"]
    assert (status["kind"], status["code"], status["reason"]) == ("Status", 410, "Expired")
    assert status["message"].startswith("too old resource version: 1 (")
    with pytest.raises(Gone):
        list(side.client().watch(SNAPSHOTS, "1", timeout=3))


def test_a_watch_from_a_version_that_is_none_is_refused(side: Side, space: str) -> None:
    """With 500 and without a reason, of all things."""
    said = refusal(side, "GET", maps(space), watch="1", resourceVersion="yesterday")

    assert said["code"] == 500
    assert "reason" not in said
    assert said["message"].startswith('resourceVersion: Invalid value: "yesterday"')


def test_the_client_follows_a_list_by_a_watch(side: Side, space: str) -> None:
    client = side.client()
    listing = client.list(CONFIG_MAPS, space)
    make(side, space, "a")

    seen = [
        event
        for event in client.watch(CONFIG_MAPS, listing.resource_version, timeout=2)
        if event.object["metadata"].get("namespace") == space
    ]

    assert [(event.type, event.object["metadata"]["name"]) for event in seen] == [("ADDED", "a")]


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


def pod(name: str, **spec: Any) -> dict[str, Any]:
    containers = [{"name": "main", "image": "registry.example/main"}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": containers, **spec}}


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


# --- helpers ---


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
