"""Does the simulated API answer as a real one does? Each test runs on both, with the same assertions.

Here: bodies, patches, dry runs, deletions, of ConfigMaps and a custom kind.
"""

from typing import Any

import pytest

from rancher_ext.client.kubernetes import CONFIG_MAPS, Resource
from rancher_ext.errors import Conflict, Invalid, NotFound
from tests.e2e.conftest import Side
from tests.e2e.contract import (
    JSON_PATCH,
    MERGE_PATCH,
    SNAPSHOTS,
    STRATEGIC,
    config_map,
    daemon_set,
    daemon_sets,
    make,
    maps,
    op,
    refusal,
    snapshot,
)

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


# --- bodies ---


def test_unknown_fields_come_back_as_a_warning(side: Side, space: str) -> None:
    answer = side.call("POST", maps(space), {**config_map("a"), "unicorn": 1})
    quiet = side.call("POST", maps(space), {**config_map("b"), "unicorn": 1}, fieldValidation="Ignore")

    assert answer.headers["Warning"] == '299 - "unknown field \\"unicorn\\""'
    assert "Warning" not in quiet.headers


def test_unknown_fields_of_a_template_are_told_with_their_place(side: Side, space: str) -> None:
    body = daemon_set("a")
    body["spec"]["template"]["spec"]["containers"][0]["unicorn"] = 1

    answer = side.call("POST", daemon_sets(space), body)

    assert answer.headers["Warning"] == '299 - "unknown field \\"spec.template.spec.containers[0].unicorn\\""'
    assert "unicorn" not in answer.json()["spec"]["template"]["spec"]["containers"][0]


def test_a_patch_with_an_unknown_field_can_be_refused(side: Side, space: str) -> None:
    make(side, space, "a")

    said = refusal(side, "PATCH", maps(space, "a"), {"unicorn": 1}, content_type=MERGE_PATCH, fieldValidation="Strict")

    assert (said["code"], said["reason"]) == (422, "Invalid")
    assert said["message"].startswith(' "" is invalid: patch: Invalid value: ')
    assert said["message"].endswith('strict decoding error: unknown field "unicorn"')


def test_a_field_validation_that_is_none(side: Side, space: str) -> None:
    said = refusal(side, "POST", maps(space), config_map("a"), fieldValidation="Maybe")

    assert said["message"] == (
        'CreateOptions.meta.k8s.io "" is invalid: fieldValidation: Unsupported value: "Maybe": '
        'supported values: "", "Ignore", "Strict", "Warn"'
    )


def test_data_that_are_no_text(side: Side, space: str) -> None:
    """400 in an object, 422 in the result of a patch."""
    body = {**config_map("a"), "data": {"x": 1}}

    said = refusal(side, "POST", maps(space), body)
    make(side, space, "a")
    patched = refusal(side, "PATCH", maps(space, "a"), {"data": {"x": 1}}, content_type=MERGE_PATCH)

    why = "json: cannot unmarshal number into Go struct field ConfigMap.data of type string"
    assert (said["code"], said["reason"]) == (400, "BadRequest")
    assert said["message"] == f'ConfigMap in version "v1" cannot be handled as a ConfigMap: {why}'
    assert (patched["code"], patched["reason"]) == (422, "Invalid")
    assert patched["message"].endswith(why)


@pytest.mark.parametrize(
    ("resource", "path"), [(CONFIG_MAPS, "metadata.labels"), (SNAPSHOTS, "labels")], ids=["built-in", "custom"]
)
def test_labels_that_are_no_text(side: Side, resource: Resource, path: str) -> None:
    body = config_map("a") if resource is CONFIG_MAPS else snapshot("a")
    body["metadata"]["labels"] = {"x": True}

    said = refusal(side, "POST", resource.path("default"), body)

    assert (said["code"], said["reason"]) == (400, "BadRequest")
    assert said["message"].endswith(f"cannot unmarshal bool into Go struct field ObjectMeta.{path} of type string")


def test_a_custom_object_has_to_name_its_kind(side: Side, space: str) -> None:
    said = refusal(side, "POST", SNAPSHOTS.path(space), {"metadata": {"name": "a"}})

    assert (said["code"], said["reason"]) == (400, "BadRequest")
    assert "Object 'Kind' is missing in" in said["message"]


def test_a_version_on_what_is_to_be_created(side: Side, space: str) -> None:
    body = config_map("a")
    body["metadata"]["resourceVersion"] = "1"

    said = refusal(side, "POST", maps(space), body)

    assert (said["code"], said.get("reason")) == (500, None)
    assert said["message"] == "resourceVersion should not be set on objects to be created"


def test_what_the_server_owns_is_not_taken_from_a_client(side: Side, space: str) -> None:
    body = config_map("a")
    body["metadata"] |= {"uid": "mine", "creationTimestamp": "2020-01-01T00:00:00Z"}

    made = side.json("POST", maps(space), body)
    put = side.json(
        "PUT", maps(space, "a"), {**made, "metadata": {**made["metadata"], "creationTimestamp": "2020-01-01T00:00:00Z"}}
    )

    assert made["metadata"]["uid"] != "mine"
    assert not made["metadata"]["creationTimestamp"].startswith("2020")
    assert put["metadata"]["creationTimestamp"] == made["metadata"]["creationTimestamp"]


def test_an_update_of_another_uid_is_a_conflict(side: Side, space: str) -> None:
    (made,) = make(side, space, "a")

    said = refusal(side, "PUT", maps(space, "a"), {**made, "metadata": {**made["metadata"], "uid": "z"}})

    assert (said["code"], said["reason"]) == (409, "Conflict")
    assert (
        f"Precondition failed: UID in precondition: z, UID in object meta: {made['metadata']['uid']}" in said["message"]
    )


@pytest.mark.parametrize(
    ("metadata", "text"),
    [
        ({"name": ""}, "metadata.name: Required value: name or generateName is required"),
        ({"name": "a", "labels": {"a b": ""}}, 'metadata.labels: Invalid value: "a b": name part must consist of'),
        (
            {"name": "a", "labels": {"a": "b c"}},
            'metadata.labels: Invalid value: "b c": a valid label must be an empty string',
        ),
        (
            {"name": "a", "finalizers": ["mine"]},
            'metadata.finalizers[0]: Invalid value: "mine": name is neither a standard',
        ),
    ],
)
def test_metadata_that_are_not_valid(side: Side, metadata: dict[str, Any], text: str) -> None:
    said = refusal(side, "POST", maps("default"), {"metadata": metadata})

    assert (said["code"], said["reason"]) == (422, "Invalid")
    assert said["message"].startswith(f'ConfigMap "{metadata["name"]}" is invalid: {text}')


def test_server_side_apply(side: Side, space: str) -> None:
    apply = "application/apply-patch+yaml"
    body = config_map("a", x="1")

    said = refusal(side, "PATCH", maps(space, "a"), body, content_type=apply)
    made = side.call("PATCH", maps(space, "a"), body, content_type=apply, fieldManager="drover")
    again = side.call("PATCH", maps(space, "a"), body, content_type=apply, fieldManager="drover")

    assert said["message"] == (
        'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch'
    )
    assert (made.status_code, again.status_code) == (201, 200)
    (entry,) = made.json()["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"]) == ("drover", "Apply")


def test_a_strategic_merge_joins_containers_by_name(side: Side, space: str) -> None:
    side.json("POST", daemon_sets(space), daemon_set("a"))
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "registry.example/other"}]}}}}

    patched = side.json("PATCH", daemon_sets(space, "a"), patch, content_type=STRATEGIC)

    (container,) = patched["spec"]["template"]["spec"]["containers"]
    assert (container["image"], container["command"]) == ("registry.example/other", ["run"])


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
