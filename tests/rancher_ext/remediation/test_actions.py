"""Do actions keep their promise? Applied once however often, taken back exactly, and never where somebody else was."""

import copy

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from rancher_ext.client.changes import FieldMoved
from rancher_ext.client.kubernetes import MANAGEMENT_CLUSTERS
from rancher_ext.remediation.action import NotPossible
from rancher_ext.remediation.actions import gather
from rancher_ext.remediation.actions.set_rke1_network_option import ACTION
from rancher_ext.remediation.change import Target
from tests.builders import a_cluster
from tests.rancher_ext.client.test_changes import apply as patch_with

OPTION = {"enableBrNetfilter": True}


def step_of(look, arguments=OPTION):
    step = ACTION.preview(look(), arguments)
    assert not isinstance(step, NotPossible), step
    return step


def the_object(look):
    return look().local.get(MANAGEMENT_CLUSTERS, look.cluster.id)


def spec(look):
    return the_object(look)["spec"]


def change(look, **options):
    url = f"{look.server.url}/k8s/clusters/local/apis/management.cattle.io/v3/clusters/{look.cluster.id}"
    headers = {"Authorization": f"Bearer {look.server.token}", "Content-Type": "application/merge-patch+json"}
    patch = {"spec": {"rancherKubernetesEngineConfig": {"network": options}}}
    requests.patch(url, json=patch, headers=headers, timeout=10).raise_for_status()


def test_every_action_says_what_it_is():
    for name, action in gather().items():
        assert name == action.name
        assert action.help
        assert action.expected.total_seconds() > 0


def test_applied_twice_it_is_written_once(rancher):
    look = rancher()
    step = step_of(look)
    assert ACTION.apply(look(), step.writes[0]).wrote
    again = ACTION.apply(look(), step.writes[0])
    assert not again.wrote
    assert "already had this value" in again.seen
    assert spec(look)["rancherKubernetesEngineConfig"]["network"]["enableBrNetfilter"] is True


def test_taken_back_it_is_as_it_was_and_twice_is_once(rancher):
    look = rancher()
    before = spec(look)
    step = step_of(look)
    ACTION.apply(look(), step.writes[0])
    assert ACTION.take_back(look(), step.writes[0]).wrote
    assert spec(look) == before
    assert not ACTION.take_back(look(), step.writes[0]).wrote
    assert spec(look) == before


def test_what_was_never_applied_is_taken_back_without_a_write(rancher):
    look = rancher()
    before = the_object(look)
    assert not ACTION.take_back(look(), step_of(look).writes[0]).wrote
    assert the_object(look)["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


def test_an_earlier_value_comes_back_and_not_an_absence(rancher):
    look = rancher()
    change(look, enableBrNetfilter=False)
    step = step_of(look)
    ACTION.apply(look(), step.writes[0])
    ACTION.take_back(look(), step.writes[0])
    assert spec(look)["rancherKubernetesEngineConfig"]["network"]["enableBrNetfilter"] is False


def test_a_value_that_moved_since_the_plan_is_left_alone(rancher):
    look = rancher()
    step = step_of(look)
    change(look, enableBrNetfilter=False)
    with pytest.raises(FieldMoved, match="the plan expected") as caught:
        ACTION.apply(look(), step.writes[0])
    assert "make a new plan" in caught.value.cure
    assert spec(look)["rancherKubernetesEngineConfig"]["network"]["enableBrNetfilter"] is False


def test_an_undo_leaves_what_others_changed(rancher):
    look = rancher()
    step = step_of(look)
    ACTION.apply(look(), step.writes[0])
    change(look, enableBrNetfilter=False, mtu=1400)
    with pytest.raises(FieldMoved):
        ACTION.take_back(look(), step.writes[0])
    network = spec(look)["rancherKubernetesEngineConfig"]["network"]
    assert (network["enableBrNetfilter"], network["mtu"]) == (False, 1400)


def test_a_cluster_made_anew_is_another_one(rancher):
    look = rancher()
    step = step_of(look)
    object.__setattr__(step.writes[0], "uid", "another")
    with pytest.raises(FieldMoved, match="another object"):
        ACTION.apply(look(), step.writes[0])
    with pytest.raises(FieldMoved, match="another object"):
        ACTION.take_back(look(), step.writes[0])


@pytest.mark.parametrize("fault", ["before", "after"])
def test_a_dropped_connection_during_the_write_ends_in_one_write(rancher, fault):
    look = rancher()
    step = step_of(look)
    look.fleet.faults.add("drop", method="PATCH", count=1, after_handling=fault == "after")
    for _ in range(3):
        try:
            ACTION.apply(look(), step.writes[0])
        except Exception as error:  # noqa: BLE001 - any failure of the first try will do
            assert type(error).__name__ == "RancherUnreachable"  # noqa: PT017
        else:
            break
    effective = [entry for entry in look.fleet.journal if entry["tookEffect"]]
    assert len(effective) == 1
    assert spec(look)["rancherKubernetesEngineConfig"]["network"]["enableBrNetfilter"] is True


def test_not_on_a_cluster_of_another_kind(rancher):
    look = rancher("v2.11.3", "rke2-canal-never-connected")
    assert ACTION.preview(look(), OPTION) == NotPossible("it is not an RKE1 cluster made by this Rancher")


@pytest.mark.parametrize("arguments", [{}, {"enableBrNetfilter": True, "mtu": 1400}])
def test_one_option_at_a_time(rancher, arguments):
    answer = ACTION.preview(rancher()(), arguments)
    assert answer == NotPossible("the action sets one option at a time")


class Stored:
    """A Rancher with one cluster object in memory, patched by the rules of JSON Patch."""

    def __init__(self, item):
        self.item, self.version = item, 1
        self._stamp()

    def _stamp(self):
        self.item["metadata"] = {**self.item.get("metadata", {}), "uid": "u-1", "resourceVersion": str(self.version)}

    def get(self, *_):
        return copy.deepcopy(self.item)

    def json_patch(self, _resource, _name, _namespace, operations, *, dry_run=False):
        item = copy.deepcopy(self.item)
        for operation in operations:
            patch_with(item, operation)
        self.version += 1
        self.item = item
        self._stamp()
        return copy.deepcopy(self.item)


class StoredTarget(Target):
    local = None


SCALARS = st.none() | st.booleans() | st.integers(0, 9) | st.sampled_from(["", "canal", "x"])
NETWORKS = st.fixed_dictionaries(
    {"plugin": st.sampled_from(["canal", "flannel"])},
    optional={
        "enableBrNetfilter": st.sampled_from([False, None, "true", 1, {"a": 1}]),
        "mtu": SCALARS,
        "options": st.dictionaries(st.sampled_from("abc"), SCALARS, max_size=2),
        "tolerations": st.lists(SCALARS, max_size=2),
    },
)


@given(NETWORKS, st.dictionaries(st.sampled_from(["services", "description"]), SCALARS, max_size=2))
def test_apply_then_undo_gives_the_object_back(network, rest):
    item = {"metadata": {"name": "c-1"}, "spec": {"rancherKubernetesEngineConfig": {"network": network, **rest}}}
    api = Stored(copy.deepcopy(item))
    from rancher_ext.fleet.cluster import Distribution

    target = StoredTarget(a_cluster(distribution=Distribution.RKE1), None)
    object.__setattr__(target, "local", api)
    before = copy.deepcopy(api.item["spec"])
    step = ACTION.preview(target, OPTION)
    assert not isinstance(step, NotPossible)
    assert ACTION.apply(target, step.writes[0]).wrote
    assert api.item["spec"]["rancherKubernetesEngineConfig"]["network"]["enableBrNetfilter"] is True
    assert not ACTION.apply(target, step.writes[0]).wrote
    assert ACTION.take_back(target, step.writes[0]).wrote
    assert api.item["spec"] == before
