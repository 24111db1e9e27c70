"""Does a write change exactly one field of exactly the object it was meant for, and can it be taken back?"""

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rancher_ext.client.changes import ABSENT, CONFLICT_TRIES, FieldMoved, Place, Value, read_field, set_field
from rancher_ext.client.kubernetes import PROVISIONING_CLUSTERS, Resource
from rancher_ext.errors import Conflict, Invalid, RancherUnreachable

PLACE = Place(PROVISIONING_CLUSTERS, "fleet-default", "edge-7", ("spec", "rkeConfig", "chartValues", "rke2-canal"))
UID = "b0a7"
Json = dict[str, Any]


class OneObject:
    """An API server with one object, real JSON Patch and versions. `before_patch` is what somebody else does meanwhile."""

    def __init__(self, item: Json, *, uid: str = UID) -> None:
        self.item = copy.deepcopy(item)
        self.item["metadata"] = {"name": "edge-7", "uid": uid, "resourceVersion": "1"} | self.item.get("metadata", {})
        self.writes: list[list[Json]] = []
        self.before_patch: Callable[[], None] | None = None
        self.after_store: Callable[[Json], None] | None = None

    def touch(self) -> None:
        self.item["metadata"]["resourceVersion"] = str(int(self.item["metadata"]["resourceVersion"]) + 1)

    def get(self, resource: Resource, name: str, namespace: str = "") -> Json:
        assert (resource, name, namespace) == (PROVISIONING_CLUSTERS, "edge-7", "fleet-default")
        return copy.deepcopy(self.item)

    def json_patch(
        self,
        resource: Resource,
        name: str,
        namespace: str,
        operations: Sequence[Mapping[str, Any]],
        *,
        dry_run: bool = False,
    ) -> Json:
        if self.before_patch:
            self.before_patch()
        changed = copy.deepcopy(self.item)
        for operation in operations:
            apply(changed, operation)
        if self.after_store:
            self.after_store(changed)
        if not dry_run:
            self.item = changed
            self.touch()
            self.writes.append([dict(operation) for operation in operations])
        return copy.deepcopy(changed)

    def spec(self) -> Json:
        return {key: value for key, value in self.item.items() if key != "metadata"}


def apply(item: Any, operation: Mapping[str, Any]) -> None:
    """RFC 6902, as far as it is used: a missing parent or target is an error, as it is for a server."""
    *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
    for part in parents:
        item = item[part]
    if operation["op"] == "test":
        if last not in item or json.dumps(item[last]) != json.dumps(operation["value"]):
            raise Conflict("test failed", status=422)
    elif operation["op"] == "remove":
        del item[last]
    else:
        assert operation["op"] == "add"
        item[last] = copy.deepcopy(operation["value"])


def write(api: OneObject, wanted: Value, expected: Value, place: Place = PLACE, **more: Any) -> Any:
    return set_field(api, place, wanted, expected=expected, uid=more.pop("uid", UID), **more)  # type: ignore[arg-type]


IFACE = Value(present=True, value={"flannel": {"iface": "eth1"}})
OTHER = Value(present=True, value={"flannel": {"iface": "eth9"}})


def test_a_field_is_set_and_tells_what_it_replaced() -> None:
    api = OneObject(
        {"spec": {"rkeConfig": {"chartValues": {"rke2-canal": {"flannel": {"iface": "eth0"}}, "other": 1}}}}
    )
    before, uid, version = read_field(api, PLACE)  # type: ignore[arg-type]

    done = write(api, IFACE, before)

    assert (uid, version) == (UID, "1")
    assert api.spec() == {"spec": {"rkeConfig": {"chartValues": {"rke2-canal": IFACE.value, "other": 1}}}}
    assert (done.before, done.after, done.wrote, done.resource_version) == (before, IFACE, True, "2")


def test_missing_mappings_on_the_way_are_made() -> None:
    api = OneObject({"spec": {"rkeConfig": {"machinePools": []}}})

    write(api, IFACE, ABSENT)

    assert api.spec() == {"spec": {"rkeConfig": {"machinePools": [], "chartValues": {"rke2-canal": IFACE.value}}}}


def test_every_write_is_bound_to_the_object_and_the_version_that_was_read() -> None:
    api = OneObject({"spec": {}})

    write(api, IFACE, ABSENT)

    assert api.writes[0][:2] == [
        {"op": "test", "path": "/metadata/uid", "value": UID},
        {"op": "test", "path": "/metadata/resourceVersion", "value": "1"},
    ]


def test_a_repeated_step_writes_nothing() -> None:
    api = OneObject({"spec": {}})
    write(api, IFACE, ABSENT)

    again = write(api, IFACE, ABSENT)

    assert (len(api.writes), again.wrote, again.before) == (1, False, ABSENT)


def test_a_write_whose_answer_was_lost_is_found_done() -> None:
    api = OneObject({"spec": {}})
    plain = api.json_patch

    def lose(*args: Any, **kw: Any) -> Json:
        plain(*args, **kw)
        raise RancherUnreachable("no answer")

    api.json_patch = lose  # type: ignore[method-assign]
    with pytest.raises(RancherUnreachable):
        write(api, IFACE, ABSENT)
    api.json_patch = plain  # type: ignore[method-assign]

    assert write(api, IFACE, ABSENT).wrote is False
    assert len(api.writes) == 1


def test_a_dry_run_leaves_everything_as_it_was() -> None:
    api = OneObject({"spec": {}})

    done = write(api, IFACE, ABSENT, dry_run=True)

    assert (api.spec(), done.wrote, done.after) == ({"spec": {}}, False, IFACE)


def test_a_busy_cluster_is_read_again_and_written_once() -> None:
    api = OneObject({"spec": {}})
    busy = iter([True, True, False])

    def meanwhile() -> None:
        if next(busy):
            api.item["status"] = {"changed": True}
            api.touch()

    api.before_patch = meanwhile

    assert write(api, IFACE, ABSENT).wrote
    assert len(api.writes) == 1


def test_a_cluster_that_never_holds_still_is_a_conflict_in_the_end() -> None:
    api = OneObject({"spec": {}})
    tries: list[int] = []

    def meanwhile() -> None:
        tries.append(1)
        api.touch()

    api.before_patch = meanwhile

    with pytest.raises(Conflict):
        write(api, IFACE, ABSENT)
    assert (len(tries), api.writes) == (CONFLICT_TRIES, [])


def test_a_field_that_somebody_else_changed_is_left_alone() -> None:
    api = OneObject({"spec": {"rkeConfig": {"chartValues": {"rke2-canal": OTHER.value}}}})

    with pytest.raises(FieldMoved, match=r"a mapping of flannel; the plan expected not set"):
        write(api, IFACE, ABSENT)
    assert api.writes == []


def test_a_field_that_somebody_changes_between_reading_and_writing_is_left_alone_too() -> None:
    api = OneObject({"spec": {"rkeConfig": {"chartValues": {}}}})

    def meanwhile() -> None:
        api.item["spec"]["rkeConfig"]["chartValues"]["rke2-canal"] = OTHER.value
        api.touch()

    api.before_patch = meanwhile

    with pytest.raises(FieldMoved):
        write(api, IFACE, ABSENT)
    assert api.writes == []


def test_a_cluster_made_anew_under_the_same_name_is_another_one() -> None:
    api = OneObject({"spec": {}}, uid="another")

    with pytest.raises(FieldMoved, match="another object"):
        write(api, IFACE, ABSENT)


def test_a_field_that_rancher_drops_silently_is_noticed() -> None:
    api = OneObject({"spec": {}})
    api.after_store = lambda item: item["spec"].clear()

    with pytest.raises(Invalid, match="stored not set instead of"):
        write(api, IFACE, ABSENT)


def test_true_and_one_are_not_the_same_to_kubernetes() -> None:
    place = Place(PROVISIONING_CLUSTERS, "fleet-default", "edge-7", ("spec", "enabled"))
    api = OneObject({"spec": {"enabled": 1}})

    assert Value(present=True, value=True) != Value(present=True, value=1)
    assert write(api, Value(present=True, value=True), Value(present=True, value=1), place).wrote
    assert api.item["spec"]["enabled"] is True


def test_null_and_absence_are_two_wishes() -> None:
    place = Place(PROVISIONING_CLUSTERS, "fleet-default", "edge-7", ("spec", "x"))
    api = OneObject({"spec": {"x": None}})

    write(api, ABSENT, Value(present=True, value=None), place)

    assert api.spec() == {"spec": {}}


@pytest.mark.parametrize("inside", ["a string", 7, ["a", "list"], False])
def test_what_is_no_mapping_is_never_replaced_by_one(inside: object) -> None:
    api = OneObject({"spec": {"rkeConfig": {"chartValues": inside}}})

    with pytest.raises(Invalid, match=r"spec\.rkeConfig\.chartValues is .*cannot hold 'rke2-canal'"):
        write(api, IFACE, ABSENT)
    assert api.spec() == {"spec": {"rkeConfig": {"chartValues": inside}}}


# --- undo ---


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"rkeConfig": None},
        {"rkeConfig": {}},
        {"rkeConfig": {"chartValues": None}},
        {"rkeConfig": {"chartValues": {}}},
        {"rkeConfig": {"chartValues": {"other": {}}}},
        {"rkeConfig": {"chartValues": {"rke2-canal": None}}},
        {"rkeConfig": {"chartValues": {"rke2-canal": {}}}},
    ],
)
def test_an_undo_gives_back_the_object_with_what_was_missing_on_the_way(spec: Json) -> None:
    """An empty `chartValues.rke2-canal` that stays behind would be a HelmChartConfig that nobody asked for."""
    api = OneObject({"spec": spec})
    before, _, _ = read_field(api, PLACE)  # type: ignore[arg-type]
    done = write(api, IFACE, before)
    kept = Value.from_json(json.loads(json.dumps(done.before.to_json())))

    write(api, kept, IFACE)

    assert api.spec() == {"spec": spec}


def test_an_undo_keeps_what_others_put_beside_our_field() -> None:
    api = OneObject({"spec": {}})
    before, _, _ = read_field(api, PLACE)  # type: ignore[arg-type]
    write(api, IFACE, before)
    api.item["spec"]["rkeConfig"]["machinePools"] = [1]

    write(api, before, IFACE)

    assert api.spec() == {"spec": {"rkeConfig": {"machinePools": [1]}}}


def test_an_undo_stops_where_somebody_changed_our_value() -> None:
    api = OneObject({"spec": {}})
    before, _, _ = read_field(api, PLACE)  # type: ignore[arg-type]
    write(api, IFACE, before)
    api.item["spec"]["rkeConfig"]["chartValues"]["rke2-canal"] = OTHER.value

    with pytest.raises(FieldMoved):
        write(api, before, IFACE)
    assert api.item["spec"]["rkeConfig"]["chartValues"]["rke2-canal"] == OTHER.value


def test_a_value_stored_by_an_older_drover_knows_nothing_of_the_way() -> None:
    assert Value.from_json({"present": False}) == ABSENT
    assert Value.from_json({"present": True, "value": [1]}) == Value(present=True, value=[1])


keys = st.sampled_from(["a", "b", "spec", "rkeConfig", "x/y", "m~n", "~1", ""])
scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=4)
documents = st.recursive(
    scalars | st.lists(scalars, max_size=2), lambda inner: st.dictionaries(keys, inner, max_size=3), max_leaves=8
)


@given(
    st.dictionaries(keys.filter(lambda key: key != "metadata"), documents, max_size=3),
    st.lists(keys, min_size=1, max_size=4),
    documents,
)
def test_set_then_undo_gives_the_object_back(item: Json, path: list[str], value: Any) -> None:
    """Whatever the object, the field and the value: all as before, or nothing was written at all."""
    place = Place(PROVISIONING_CLUSTERS, "fleet-default", "edge-7", tuple(path))
    api = OneObject(item)
    original = copy.deepcopy(api.spec())
    before, _, _ = read_field(api, place)  # type: ignore[arg-type]
    wanted = Value(present=True, value=value)

    try:
        done = write(api, wanted, before, place)
    except Invalid:
        assert api.spec() == original
        return
    assert Value.of(api.item, path) == wanted
    write(api, Value.from_json(done.before.to_json()), wanted, place)

    assert json.dumps(api.spec(), sort_keys=True) == json.dumps(original, sort_keys=True)


@given(documents)
def test_a_value_survives_storage(value: Any) -> None:
    kept = Value(present=True, value=value)

    assert Value.from_json(json.loads(json.dumps(kept.to_json()))) == kept


@pytest.mark.parametrize(
    ("theirs", "told"),
    [
        ("kind: Secret\nstringData: {password: hunter2}\n", "a text of 2 lines and 45 characters"),
        (["HTTPS_PROXY=http://robot:hunter2@proxy"], "a list of 1"),
        ({"rke2-canal": {"password": "hunter2"}}, "a mapping of rke2-canal"),
        ("hunter2" * 20, "a text of 1 lines and 140 characters"),
        ("eth9", "'eth9'"),
    ],
)
def test_a_message_tells_the_shape_of_what_may_hold_secrets(theirs, told) -> None:
    """It goes into logs and into the issue."""
    api = OneObject({"spec": {"x": theirs}})
    place = Place(PLACE.resource, PLACE.namespace, PLACE.name, ("spec", "x"))
    with pytest.raises(FieldMoved) as caught:
        set_field(api, place, Value(present=True, value=1), expected=Value(present=True, value=2), uid=UID)
    assert "hunter2" not in caught.value.message
    assert f"is {told};" in caught.value.message
