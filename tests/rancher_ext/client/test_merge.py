"""Is our change taken out of a value that others changed meanwhile, without touching what is theirs?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rancher_ext.client.changes import ABSENT, Value, contains, merge


def value(anything):
    return Value(present=True, value=anything)


OURS = "# begin drover\nkind: HelmChartConfig\n# end drover\n"


@pytest.mark.parametrize(
    ("back", "ours", "theirs", "merged"),
    [
        pytest.param(value(1), value(2), value(2), value(1), id="untouched"),
        pytest.param(ABSENT, value(2), value(2), ABSENT, id="untouched-and-it-was-absent"),
        pytest.param(value(1), value(2), value(1), value(1), id="somebody-put-it-back"),
        pytest.param(value(1), value(2), value(3), None, id="somebody-gave-it-a-third-value"),
        pytest.param(ABSENT, value(2), value(3), None, id="somebody-changed-what-we-made"),
        pytest.param(value(["a"]), value(["a", "b"]), value(["c", "a", "b"]), value(["c", "a"]), id="list-added-beside"),
        pytest.param(value(["a", "b"]), value(["a"]), value(["a", "c"]), value(["a", "c", "b"]), id="list-taken-away"),
        pytest.param(value(["a"]), value(["a", "b"]), value(["a"]), value(["a"]), id="list-ours-is-gone"),
        pytest.param(value(["a"]), value(["a", "b"]), value(["b", "b"]), None, id="list-twice"),
        pytest.param(value([{}]), value([{}, {"a": 1}]), value([{"a": 1}]), None, id="list-of-objects"),
        pytest.param(ABSENT, value(["b"]), value(["b", "c"]), value(["c"]), id="list-that-was-absent"),
        pytest.param(value({"a": 1}), value({"a": 2}), value({"a": 2, "b": 1}), value({"a": 1, "b": 1}), id="mapping"),
        pytest.param(ABSENT, value({"a": 2}), value({"a": 2, "b": 1}), value({"b": 1}), id="mapping-that-was-absent"),
        pytest.param(value({"a": 1}), value({"a": 2}), value({"a": 3}), None, id="mapping-collides"),
        pytest.param(value("x: 1\n"), value("x: 1\n" + OURS), value("y: 2\nx: 1\n" + OURS), value("y: 2\nx: 1\n"), id="text"),
        pytest.param(value(""), value(OURS), value(OURS + "z: 3\n"), value("z: 3\n"), id="text-that-was-empty"),
        pytest.param(ABSENT, value(OURS), value(OURS + "z: 3\n"), value("z: 3\n"), id="text-that-was-absent"),
        pytest.param(value("x\n"), value("x\n" + OURS), value("x\nall new\n"), value("x\nall new\n"), id="text-ours-is-gone"),
        pytest.param(
            value("x\n"), value("x\n" + OURS), value("x\n" + OURS.replace("begin", "start")), None, id="text-ours-edited"
        ),
        pytest.param(value("x\n"), value("x\n" + OURS), value(OURS + OURS), None, id="text-ours-twice"),
    ],
)  # fmt: skip
def test_our_part_goes_theirs_stays(back, ours, theirs, merged):
    found = merge(ours, theirs, back)
    assert found == merged
    assert (found is None) == (merged is None)


plain = st.sampled_from(["a", "b", "c", "d", "e"])
mappings = st.dictionaries(plain, st.integers(0, 2), max_size=4)


@given(mappings, mappings, mappings)
def test_a_merge_of_mappings_keeps_every_key_that_only_others_touched(back, ours, theirs):
    merged = merge(value(ours), value(theirs), value(back))
    if merged is None:
        return
    for key in {*back, *ours, *theirs}:
        ours_touched, theirs_touched = ours.get(key) != back.get(key), theirs.get(key) != ours.get(key)
        if not ours_touched:
            assert merged.value.get(key) == theirs.get(key)
        elif not theirs_touched:
            assert merged.value.get(key) == back.get(key)


@given(st.lists(plain, unique=True), st.lists(plain, unique=True), st.lists(plain, unique=True))
def test_a_merge_of_lists_drops_only_what_was_ours(back, ours, theirs):
    merged = merge(value(ours), value(theirs), value(back))
    assert merged is not None
    assert set(merged.value) == (set(theirs) - (set(ours) - set(back))) | (set(back) - set(ours)) or merged == value(
        theirs
    )


def test_defaults_of_the_server_do_not_hide_an_object():
    wanted = {"kind": "Job", "spec": {"parallelism": 1, "list": [{"a": 1}]}}
    assert contains(
        {**wanted, "status": {}, "spec": {"parallelism": 1, "suspend": False, "list": [{"a": 1, "b": 2}]}}, wanted
    )
    assert not contains({"kind": "Job", "spec": {"parallelism": True, "list": [{"a": 1}]}}, wanted)
    assert not contains({"kind": "Job", "spec": {"parallelism": 1, "list": [{"a": 1}, {}]}}, wanted)
    assert not contains({"kind": "Job"}, {"metadata": None})
