"""Merge patch and JSON patch on plain values."""

import pytest

from rancher_ext.simulator.patching import json_patch, merge_patch
from rancher_ext.simulator.status import ApiStatus


def test_merge_patch_merges_maps_replaces_lists_and_removes_null():
    assert merge_patch({"a": {"b": 1, "c": [1, 2]}, "d": 4}, {"a": {"b": 2, "c": [3]}, "d": None}) == {
        "a": {"b": 2, "c": [3]}
    }


def test_json_patch_operations_in_order():
    steps = [
        {"op": "test", "path": "/a/0", "value": 1},
        {"op": "add", "path": "/a/-", "value": 3},
        {"op": "replace", "path": "/a/0", "value": 9},
        {"op": "remove", "path": "/b"},
        {"op": "copy", "from": "/a/0", "path": "/c~1d"},
        {"op": "move", "from": "/e", "path": "/f"},
    ]
    assert json_patch({"a": [1, 2], "b": 1, "e": "x"}, steps) == {"a": [9, 2, 3], "c/d": 9, "f": "x"}


def test_the_document_is_left_alone():
    document = {"a": [1]}
    json_patch(document, [{"op": "add", "path": "/a/-", "value": 2}])
    assert document == {"a": [1]}


@pytest.mark.parametrize(("found", "wanted"), [(1, True), (0, False), ("1", 1), ([1], [True])])
def test_a_test_does_not_confuse_types(found, wanted):
    with pytest.raises(ApiStatus) as refused:
        json_patch({"a": found}, [{"op": "test", "path": "/a", "value": wanted}])
    assert refused.value.code == 422


def test_a_test_for_null_holds_where_nothing_is():
    assert json_patch({}, [{"op": "test", "path": "/a", "value": None}]) == {}
