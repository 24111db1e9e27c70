"""The object store keeps Kubernetes' promises: numbers, locks, patches, pages, history."""

import threading

import pytest

from rancher_ext.simulator.clock import SimClock
from rancher_ext.simulator.resources import DOWNSTREAM_RESOURCES, LOCAL_RESOURCES, resource_of
from rancher_ext.simulator.selectors import label_selector
from rancher_ext.simulator.status import ApiStatus
from rancher_ext.simulator.store import NAMESPACE, Store

CLUSTER = resource_of("provisioning.cattle.io/v1", "Cluster")
CONFIG_MAP = resource_of("v1", "ConfigMap")
MERGE, JSON_PATCH = "application/merge-patch+json", "application/json-patch+json"
KEY = ("fleet-default", "edge-7")
GENERATION = "redeploySystemAgentGeneration"  # a number of the cluster's spec that means nothing here
SPACES = ("a", "ab", "b", "fleet-default", "ns", "ns-0", "ns-1")


@pytest.fixture
def store() -> Store:
    made = Store("local", SimClock(), LOCAL_RESOURCES, lock=threading.RLock(), history=8)
    for name in SPACES:
        made.create(NAMESPACE, "", {"metadata": {"name": name}}, manager="test")
    made.forget_history()
    return made


def a_cluster(**spec) -> dict:
    kind = {"apiVersion": CLUSTER.api_version, "kind": CLUSTER.kind}
    return {**kind, "metadata": {"name": "edge-7"}, "spec": {"kubernetesVersion": "v1.32.8+rke2r1", **spec}}


def test_a_new_object_gets_uid_version_generation_and_times(store):
    made = store.create(CLUSTER, "fleet-default", a_cluster(), manager="drover")

    assert (made["apiVersion"], made["kind"]) == ("provisioning.cattle.io/v1", "Cluster")
    assert made["metadata"]["generation"] == 1
    assert made["metadata"]["resourceVersion"] == str(store.version)
    assert made["metadata"]["uid"]
    assert made["metadata"]["managedFields"][0]["manager"] == "drover"


def test_generation_moves_with_the_spec_only(store):
    store.create(CLUSTER, "fleet-default", a_cluster(), manager="m")

    labelled = store.patch(CLUSTER, KEY, MERGE, {"metadata": {"labels": {"a": "b"}}}, manager="m")
    changed = store.patch(CLUSTER, KEY, MERGE, {"spec": {GENERATION: 1}}, manager="m")
    status = store.put(CLUSTER, {**changed, "status": {"ready": True}})

    assert [labelled["metadata"]["generation"], changed["metadata"]["generation"]] == [1, 2]
    assert status
    assert store.get(CLUSTER, KEY).obj["metadata"]["generation"] == 2


def test_a_stale_update_is_a_conflict_that_names_the_object(store):
    old = store.create(CLUSTER, "fleet-default", a_cluster(), manager="m")
    store.patch(CLUSTER, KEY, MERGE, {"spec": {GENERATION: 1}}, manager="other")

    with pytest.raises(ApiStatus) as refused:
        store.update(CLUSTER, KEY, {**old, "spec": {GENERATION: 2}}, manager="m")

    assert (refused.value.code, refused.value.body["reason"]) == (409, "Conflict")
    assert 'clusters.provisioning.cattle.io "edge-7"' in str(refused.value)
    assert store.get(CLUSTER, KEY).obj["spec"][GENERATION] == 1


def test_a_merge_patch_with_an_old_resource_version_is_a_conflict(store):
    old = store.create(CLUSTER, "fleet-default", a_cluster(), manager="m")
    version = old["metadata"]["resourceVersion"]
    store.patch(CLUSTER, KEY, MERGE, {"metadata": {"resourceVersion": version}, "spec": {GENERATION: 1}}, manager="m")

    with pytest.raises(ApiStatus, match="object has been modified"):
        store.patch(
            CLUSTER, KEY, MERGE, {"metadata": {"resourceVersion": version}, "spec": {GENERATION: 2}}, manager="m"
        )


def test_a_custom_resource_needs_a_resource_version_on_update(store):
    store.create(CLUSTER, "fleet-default", a_cluster(), manager="m")

    with pytest.raises(ApiStatus, match="must be specified for an update") as refused:
        store.update(CLUSTER, KEY, a_cluster(), manager="m")

    assert refused.value.code == 422


@pytest.mark.parametrize(
    ("patch", "code"),
    [
        ([{"op": "test", "path": "/spec/kubernetesVersion", "value": "v1.31.0"}], 422),
        ([{"op": "remove", "path": "/spec/nothing"}], 422),
        ([{"op": "replace", "path": "/spec/no/way", "value": 1}], 422),
        ([{"op": "paint", "path": "/spec"}], 422),
        ({"op": "add"}, 400),
    ],
)
def test_a_json_patch_that_does_not_apply_is_refused_and_changes_nothing(store, patch, code):
    before = store.create(CLUSTER, "fleet-default", a_cluster(), manager="m")

    with pytest.raises(ApiStatus) as refused:
        store.patch(
            CLUSTER,
            KEY,
            JSON_PATCH,
            [{"op": "add", "path": f"/spec/{GENERATION}", "value": 1}, *patch] if isinstance(patch, list) else patch,
            manager="m",
        )

    assert refused.value.code == code
    assert store.get(CLUSTER, KEY).obj == before


def test_strategic_merge_is_refused_for_custom_resources_and_taken_for_built_in_ones(store):
    store.create(CLUSTER, "fleet-default", a_cluster(), manager="m")
    store.create(CONFIG_MAP, "fleet-default", {"metadata": {"name": "c"}, "data": {"a": "1"}}, manager="m")
    strategic = "application/strategic-merge-patch+json"

    with pytest.raises(ApiStatus) as refused:
        store.patch(CLUSTER, KEY, strategic, {"spec": {GENERATION: 1}}, manager="m")
    store.patch(CONFIG_MAP, ("fleet-default", "c"), strategic, {"data": {"b": "2"}}, manager="m")

    assert refused.value.code == 415
    assert store.get(CONFIG_MAP, ("fleet-default", "c")).obj["data"] == {"a": "1", "b": "2"}


def test_dry_run_answers_as_if_and_stores_nothing(store):
    before = store.create(CLUSTER, "fleet-default", a_cluster(), manager="m")

    shown = store.patch(CLUSTER, KEY, MERGE, {"spec": {GENERATION: 1}}, manager="m", dry_run=True)

    assert shown["spec"][GENERATION] == 1
    assert store.get(CLUSTER, KEY).obj == before


def test_a_client_cannot_write_the_status_of_a_custom_resource(store):
    store.create(CLUSTER, "fleet-default", {**a_cluster(), "status": {"ready": True}}, manager="m")

    store.patch(CLUSTER, KEY, MERGE, {"status": {"ready": True}}, manager="m")

    assert "status" not in store.get(CLUSTER, KEY).obj


def test_an_unchanged_write_does_not_move_the_version(store):
    store.create(CLUSTER, "fleet-default", a_cluster(), manager="m")
    before = store.version

    store.patch(CLUSTER, KEY, MERGE, {"spec": {"kubernetesVersion": "v1.32.8+rke2r1"}}, manager="m")

    assert store.version == before


def test_pages_cover_everything_once_in_order_and_count_what_is_left(store):
    for n in range(7):
        store.create(CONFIG_MAP, f"ns-{n % 2}", {"metadata": {"name": f"c{n}"}}, manager="m")

    seen, token, remaining = [], "", []
    while True:
        page = store.page(CONFIG_MAP, limit=3, token=token)
        seen += [e.obj["metadata"]["name"] for e in page.entries]
        remaining.append(page.remaining)
        token = page.token
        if not token:
            break

    assert seen == ["c0", "c2", "c4", "c6", "c1", "c3", "c5"]
    assert remaining == [4, 1, 0]


def test_a_continue_token_from_before_the_history_is_expired(store):
    for n in range(3):
        store.create(CONFIG_MAP, "ns", {"metadata": {"name": f"c{n}"}}, manager="m")
    token = store.page(CONFIG_MAP, limit=1).token
    store.create(CONFIG_MAP, "ns", {"metadata": {"name": "d"}}, manager="m")
    store.forget_history()

    with pytest.raises(ApiStatus) as refused:
        store.page(CONFIG_MAP, limit=1, token=token)

    assert (refused.value.code, refused.value.body["reason"]) == (410, "Expired")


def test_the_history_is_bounded_and_says_so(store):
    first = store.version
    for n in range(12):
        store.create(CONFIG_MAP, "ns", {"metadata": {"name": f"c{n:02d}"}}, manager="m")

    assert store.since(first, CONFIG_MAP) is None
    assert [c.obj["metadata"]["name"] for c in store.since(store.version - 2, CONFIG_MAP)] == ["c10", "c11"]


def test_a_namespace_list_does_not_take_in_its_neighbours(store):
    for ns in ("a", "ab", "b"):
        store.create(CONFIG_MAP, ns, {"metadata": {"name": "c"}}, manager="m")

    assert [e.obj["metadata"]["namespace"] for e in store.page(CONFIG_MAP, "a").entries] == ["a"]


def test_an_object_made_again_is_another_one(store):
    first = store.create(CONFIG_MAP, "ns", {"metadata": {"name": "c"}}, manager="m")
    store.delete(CONFIG_MAP, ("ns", "c"), {})
    second = store.create(CONFIG_MAP, "ns", {"metadata": {"name": "c"}}, manager="m")

    assert first["metadata"]["uid"] != second["metadata"]["uid"]


def test_delete_honours_its_precondition(store):
    store.create(CONFIG_MAP, "ns", {"metadata": {"name": "c"}}, manager="m")

    with pytest.raises(ApiStatus, match="the UID in the precondition") as refused:
        store.delete(CONFIG_MAP, ("ns", "c"), {"preconditions": {"uid": "another"}})

    assert refused.value.code == 409


def test_finalizers_hold_an_object_back(store):
    store.create(CONFIG_MAP, "ns", {"metadata": {"name": "c", "finalizers": ["x/y"]}}, manager="m")

    store.delete(CONFIG_MAP, ("ns", "c"), {})

    assert store.get(CONFIG_MAP, ("ns", "c")).obj["metadata"]["deletionTimestamp"]


def test_selectors_narrow_a_list(store):
    for name, labels in (("a", {"env": "prod"}), ("b", {"env": "test"}), ("c", {})):
        store.create(CONFIG_MAP, "ns", {"metadata": {"name": name, "labels": labels}}, manager="m")

    match = label_selector("env in (prod, test),env!=test")
    assert match is not None
    assert [e.obj["metadata"]["name"] for e in store.page(CONFIG_MAP, matches=[match]).entries] == ["a"]


def test_every_downstream_kind_is_told_apart_from_the_local_ones():
    assert {r.plural for r in DOWNSTREAM_RESOURCES} >= {"nodes", "pods", "daemonsets", "helmcharts"}
    assert not {r.group for r in DOWNSTREAM_RESOURCES} & {"rke.cattle.io", "cluster.x-k8s.io"}
