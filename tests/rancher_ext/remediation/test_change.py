"""Is a write made once, found again, and taken back, on a Rancher that answers over a socket?"""

import copy
import json

import pytest

from rancher_ext.client.changes import ABSENT, FieldMoved, Place, Value
from rancher_ext.client.kubernetes import CONFIG_MAPS, MANAGEMENT_CLUSTERS
from rancher_ext.errors import NotFound
from rancher_ext.remediation.change import (
    Call,
    Change,
    apply,
    is_applied,
    is_back,
    manifest_of,
    take_back,
    write_from_json,
)

MANIFEST = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "drover-test", "namespace": "fleet-default", "labels": {"made-by": "drover"}},
    "data": {"a": "1"},
}
PLACE = Place(CONFIG_MAPS, "fleet-default", "drover-test", ())
MAKE = Change(PLACE, "", ABSENT, Value(present=True, value=MANIFEST))


def get(look):
    return look().local.get(CONFIG_MAPS, "drover-test", "fleet-default")


def deletion(look, **more):
    item = get(look)
    return Change(PLACE, item["metadata"]["uid"], Value(present=True, value=manifest_of(item)), ABSENT, **more)


class TestMakingAnObject:
    def test_made_twice_it_is_made_once(self, rancher):
        look = rancher()
        assert not is_applied(look(), MAKE)
        assert apply(look(), MAKE).wrote
        assert is_applied(look(), MAKE)
        assert not is_back(look(), MAKE)
        assert not apply(look(), MAKE).wrote

    def test_taken_back_it_is_gone_and_twice_is_once(self, rancher):
        look = rancher()
        apply(look(), MAKE)
        assert take_back(look(), MAKE).wrote
        with pytest.raises(NotFound):
            get(look)
        assert is_back(look(), MAKE)
        assert not take_back(look(), MAKE).wrote

    def test_what_stays_is_left(self, rancher):
        look, stays = rancher(), Change(PLACE, "", ABSENT, MAKE.after, stays=True)
        apply(look(), stays)
        assert not take_back(look(), stays).wrote
        assert get(look)["data"] == {"a": "1"}
        assert is_back(look(), stays)

    def test_another_object_of_this_name_is_left_alone(self, rancher):
        look = rancher()
        other = copy.deepcopy(MANIFEST) | {"data": {"a": "theirs"}}
        look().local.create(CONFIG_MAPS, other, "fleet-default")
        with pytest.raises(FieldMoved, match="exists already"):
            apply(look(), MAKE)
        with pytest.raises(FieldMoved, match="not as Drover made it"):
            take_back(look(), MAKE)
        assert get(look)["data"] == {"a": "theirs"}

    def test_a_rehearsal_makes_nothing(self, rancher):
        look = rancher()
        apply(look(), MAKE, dry_run=True)
        with pytest.raises(NotFound):
            get(look)


class TestDeletingAnObject:
    def test_deleted_twice_and_made_again(self, rancher):
        look = rancher()
        apply(look(), MAKE)
        delete = deletion(look)
        assert apply(look(), delete).wrote
        assert is_applied(look(), delete)
        assert not apply(look(), delete).wrote
        assert take_back(look(), delete).wrote
        assert get(look)["data"] == {"a": "1"}
        assert get(look)["metadata"]["labels"] == {"made-by": "drover"}
        assert is_back(look(), delete)

    def test_one_made_anew_under_the_same_name_is_not_deleted(self, rancher):
        look = rancher()
        apply(look(), MAKE)
        delete = deletion(look)
        apply(look(), delete)
        apply(look(), MAKE)
        assert not apply(look(), delete).wrote
        assert get(look)["data"] == {"a": "1"}

    def test_a_rehearsal_deletes_nothing(self, rancher):
        look = rancher()
        apply(look(), MAKE)
        apply(look(), deletion(look), dry_run=True)
        assert get(look)


class TestFields:
    def test_an_undo_keeps_what_others_added_beside_ours(self, rancher):
        look = rancher()
        apply(look(), MAKE)
        place = Place(CONFIG_MAPS, "fleet-default", "drover-test", ("data",))
        change = Change(
            place,
            get(look)["metadata"]["uid"],
            Value(present=True, value={"a": "1"}),
            Value(present=True, value={"a": "2"}),
        )
        assert apply(look(), change).wrote
        look().local.merge_patch(CONFIG_MAPS, "drover-test", "fleet-default", {"data": {"theirs": "x"}})
        assert not is_back(look(), change)
        assert take_back(look(), change).wrote
        assert get(look)["data"] == {"a": "1", "theirs": "x"}
        assert is_back(look(), change)
        assert not take_back(look(), change).wrote


def test_with_the_object_the_change_is_gone_and_an_undo_goes_on(rancher):
    look = rancher()
    apply(look(), MAKE)
    place = Place(CONFIG_MAPS, "fleet-default", "drover-test", ("data", "a"))
    change = Change(place, get(look)["metadata"]["uid"], Value(present=True, value="1"), Value(present=True, value="2"))
    apply(look(), change)
    look().local.delete(CONFIG_MAPS, "drover-test", "fleet-default", uid=change.uid)
    result = take_back(look(), change)
    assert not result.wrote
    assert result.seen.endswith("the object is gone")
    assert is_back(look(), change)


def test_a_call_goes_through_ranchers_own_api_and_has_nothing_to_take_back(rancher):
    look = rancher()
    call = Call("cluster", look.cluster.id, "generateKubeconfig")
    assert not is_applied(look(), call)
    assert apply(look(), call).wrote
    assert not take_back(look(), call).wrote
    assert is_back(look(), call)


@pytest.mark.parametrize(
    "write",
    [
        MAKE,
        Change(Place(MANAGEMENT_CLUSTERS, "", "c-1", ("spec", "a/b")), "u", ABSENT, Value(present=True, value=[1]), True, True),
        Call("cluster", "c-1", "backupEtcd", {"name": "x"}),
    ],
)  # fmt: skip
def test_a_write_survives_the_database(write):
    assert write_from_json(json.loads(json.dumps(write.to_json()))) == write


def test_a_plan_of_an_older_drover_is_still_read():
    """Incidents that waited through an upgrade carry steps of one flat change."""
    from rancher_ext.remediation.action import PlannedStep

    old = {
        "action": "set-rke1-network-option",
        "title": "t",
        "uid": "u",
        "resource": ["management.cattle.io", "v3", "clusters", False],
        "namespace": "",
        "name": "c-1",
        "path": ["spec", "x"],
        "before": {"present": False, "missing_from": 1, "was_null": False},
        "after": {"present": True, "value": True},
        "diff": "+x: true",
        "effect": "e",
        "arguments": {"x": True},
    }
    step = PlannedStep.from_json(old)
    (write,) = step.writes
    assert write == Change(
        Place(MANAGEMENT_CLUSTERS, "", "c-1", ("spec", "x")), "u", ABSENT, Value(present=True, value=True)
    )
    assert PlannedStep.from_json(json.loads(json.dumps(step.to_json()))) == step
