"""Wherever in a written whole something lies that has to stay: a difference is found, and sameness is never taken for one."""

import contextlib
import copy
import json

import yaml
from hypothesis import given
from hypothesis import strategies as st

from rancher_ext.client.changes import Place, Value
from rancher_ext.client.kubernetes import PROVISIONING_CLUSTERS
from rancher_ext.remediation.action import PlannedStep
from rancher_ext.remediation.change import Change, Target
from rancher_ext.remediation.check import Obstacle
from rancher_ext.remediation.checks import never_changed
from tests.builders import a_cluster

# What a cluster was made with may be named anywhere by these; `plugin` and `port` mean it in their own places alone.
GUARDED = ("cni", "cluster-cidr", "clusterCidr", "service-cidr", "serviceClusterIpRange", "backend", "flannel-backend")
GUARDED += ("vni", "backendPort", "net-conf.json", "canal_flannel_backend_type", "flannel_backend_vni")
FREE = st.sampled_from(["iface", "mtu", "kubelet-arg", "options", "rke2-canal", "flannel", "global", "config", "a.b"])
TEXT = st.text(st.characters(codec="ascii", categories=("L", "N")), max_size=5)
SCALARS = st.booleans() | st.integers(-9, 9) | TEXT
VALUES = SCALARS | st.lists(TEXT, max_size=2) | st.dictionaries(TEXT, SCALARS, max_size=2)
NESTED = st.recursive(
    SCALARS | st.none(),
    lambda inner: st.dictionaries(FREE, inner, max_size=3) | st.lists(inner, max_size=3),
    max_leaves=12,
)
WAYS = st.sampled_from(["mapping", "list", "values", "manifest"])
TARGET = Target(a_cluster(), None)  # type: ignore[arg-type]


@st.composite
def wholes(draw):
    """How to build a whole around one entry, with random things beside it: two calls differ in that entry alone."""
    layers = [
        (draw(st.dictionaries(FREE, NESTED, max_size=3)), draw(FREE), draw(WAYS))
        for _ in range(draw(st.integers(0, 4)))
    ]

    def around(entry):
        inside = entry
        for beside, key, way in layers:
            inside = {**copy.deepcopy(beside), **_wrapped(inside, key, way)}
        return inside

    return around


def _wrapped(inside, key, way):
    match way:
        case "list":
            return {key: [{"unrelated": 1}, inside]}
        case "values":
            return {"valuesContent": yaml.safe_dump(inside)}
        case "manifest":
            chart = {
                "apiVersion": "helm.cattle.io/v1",
                "kind": "HelmChartConfig",
                "metadata": {"name": "x"},
                "spec": inside,
            }
            return {"additionalManifest": yaml.safe_dump_all([{"kind": "Secret", "data": {"cni": "no"}}, chart])}
    return {key: inside}


def answer(before, after):
    place = Place(PROVISIONING_CLUSTERS, "fleet-default", "shop", ("spec", "rkeConfig"))
    old, new = (Value(present=True, value=value) for value in (before, after))
    step = PlannedStep("any", "any", (Change(place, "uid", old, new),), "", "")
    return never_changed.look(TARGET, [step])


@given(wholes(), st.sampled_from(GUARDED), VALUES, VALUES)
def test_a_guarded_value_that_differs_is_found_however_deep(around, key, old, new):
    before, after = around({key: old, "x": 1}), around({key: new, "x": 1})
    differs = json.dumps(old, sort_keys=True) != json.dumps(new, sort_keys=True)
    if key == "net-conf.json" and _parsed(old) == _parsed(new):
        differs = False
    assert isinstance(answer(before, after), Obstacle) is differs


def _parsed(value):
    """As the check reads it, with JSON's types kept apart."""
    with contextlib.suppress(ValueError):
        value = json.loads(value) if isinstance(value, str) else value
    return json.dumps(value, sort_keys=True)


@given(wholes(), st.sampled_from(GUARDED), VALUES)
def test_one_that_goes_is_found(around, key, old):
    assert isinstance(answer(around({key: old, "x": 1}), around({"x": 1})), Obstacle)


@given(wholes(), st.sampled_from(GUARDED), VALUES)
def test_one_that_comes_is_found_unless_it_says_what_holds_anyway(around, key, new):
    found = isinstance(answer(around({"x": 1}), around({key: new, "x": 1})), Obstacle)
    assert found or str(new) in {"canal", "10.42.0.0/16", "10.43.0.0/16", "vxlan", "1", "8472"}


@given(wholes(), st.sampled_from(GUARDED), VALUES, NESTED, NESTED)
def test_what_changes_beside_it_is_none_of_its_business(around, key, value, old, new):
    assert answer(around({key: value, "iface": old}), around({key: value, "iface": new})) is None


@given(NESTED)
def test_the_same_is_never_a_difference(value):
    assert answer(value, copy.deepcopy(value)) is None


def test_the_default_is_no_change_where_nothing_says_otherwise():
    said = {"cluster-cidr": "10.42.0.0/16"}
    assert answer({"machineGlobalConfig": {}}, {"machineGlobalConfig": said}) is None
    entries = {"machineSelectorConfig": [{"config": said}]}
    assert isinstance(answer({"machineSelectorConfig": []}, entries), Obstacle)
