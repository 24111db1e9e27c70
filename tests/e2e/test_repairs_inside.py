"""What actions write into a cluster, on a real API server as on the simulated one: taken as it is meant, and read back as ours."""

import json

import pytest

from rancher_ext.client.kubernetes import CRDS, DAEMON_SETS, NODES, KubernetesApi
from rancher_ext.fleet.cluster import Distribution
from rancher_ext.fleet.cni import Cni
from rancher_ext.remediation.action import PlannedStep
from rancher_ext.remediation.actions import gather
from rancher_ext.remediation.actions.remove_taint import UNAVAILABLE
from rancher_ext.remediation.change import Target, apply, is_applied, is_back, take_back
from rancher_ext.remediation.host_fix import FIXES, daemon_set
from rancher_ext.remediation.manifests import creation, for_chart, shipped
from tests.builders import a_cluster
from tests.e2e.conftest import Side
from tests.e2e.contract import node


class Inside(Target):
    """A target whose cluster is the one under test, and whose specification is as given."""

    local = None
    downstream = None


class Spec:
    """The provisioning cluster alone."""

    def __init__(self, config):
        self.config = config

    def get(self, *_):
        return {"metadata": {"uid": "u"}, "spec": {"rkeConfig": {"machineGlobalConfig": self.config}}}


def inside(side: Side, **config) -> Target:
    target = Inside(a_cluster(distribution=Distribution.RKE2, cni=Cni.CANAL, connected=True), None)
    object.__setattr__(target, "local", Spec(config))
    object.__setattr__(target, "downstream", side.client())
    return target


def api(target: Target) -> KubernetesApi:
    return target.downstream


@pytest.mark.parametrize("name", ["calico-crds", "policy-crds", "canal-rbac", "flannel-rbac"])
def test_shipped_manifests_are_taken_once_and_read_back_as_ours(side: Side, name: str) -> None:
    target, manifest = inside(side), for_chart(shipped(name), "rke2-canal")
    changes = [creation(document) for document in manifest.documents]

    first = [apply(target, change).wrote for change in changes]
    again = [apply(target, change).wrote for change in changes]
    there = all(is_applied(target, change) for change in changes)
    back = [take_back(target, change).wrote for change in changes]

    assert (first, again, there) == ([True] * len(changes), [False] * len(changes), True)
    # Definitions stay, rights go.
    assert back == [not manifest.stays] * len(changes)
    assert all(is_back(target, change) for change in changes)
    if manifest.stays and side.real:
        for change in changes:
            found = api(target).get(CRDS, change.place.name)
            assert not [each for each in found["status"]["conditions"] if each["type"] == "NonStructuralSchema"]


@pytest.mark.parametrize("name", sorted(FIXES))
def test_a_host_fix_is_taken_and_recognised_behind_the_servers_defaults(side: Side, name: str) -> None:
    target = inside(side)
    (document,) = daemon_set(name, "image").documents
    change = creation(document)

    assert apply(target, change).wrote
    assert not apply(target, change).wrote
    assert is_applied(target, change)
    assert take_back(target, change).wrote
    assert is_back(target, change)
    assert change.place.name not in [each["metadata"]["name"] for each in api(target).list(DAEMON_SETS).items]


@pytest.mark.parametrize(
    ("cluster", "wanted"),
    [("10.42.0.0/16", ["10.42.0.0/24"]), ("10.42.0.0/16,2001:cafe:42::/56", ["10.42.0.0/24", "2001:cafe:42::/64"])],
)
def test_a_node_gets_its_ranges_in_both_fields(side: Side, cluster: str, wanted: list[str]) -> None:
    space = f"ranges-{len(wanted)}"
    for each in side.json("GET", "/api/v1/nodes")["items"]:
        side.json("DELETE", f"/api/v1/nodes/{each['metadata']['name']}")
    if side.call("GET", "/api/v1/namespaces/kube-system/configmaps/drover-pod-cidrs").ok:
        side.json("DELETE", "/api/v1/namespaces/kube-system/configmaps/drover-pod-cidrs")
    node(side, space)
    target, action = inside(side, **{"cluster-cidr": cluster}), gather()["assign-pod-cidr"]

    step = action.preview(target, {})
    assert isinstance(step, PlannedStep), step
    first = [action.apply(target, write).wrote for write in step.writes]
    again = [action.apply(target, write).wrote for write in step.writes]

    spec = api(target).get(NODES, space)["spec"]
    assert (first, again) == ([True, True], [False, False])
    assert (spec["podCIDR"], spec["podCIDRs"]) == (wanted[0], wanted)
    assert all(is_applied(target, write) for write in step.writes)


def test_a_taint_goes_and_comes_back(side: Side, space: str) -> None:
    node(side, space)
    path = f"/api/v1/nodes/{space}"
    taints = [{"key": UNAVAILABLE, "effect": "NoSchedule"}, {"key": "team", "effect": "NoExecute"}]
    conditions = [{"type": "NetworkUnavailable", "status": "False"}]
    merge = "application/merge-patch+json"
    side.json("PATCH", path, {"spec": {"taints": taints}}, content_type=merge)
    side.json("PATCH", f"{path}/status", {"status": {"conditions": conditions}}, content_type=merge)
    target, action = inside(side), gather()["remove-taint"]

    step = action.preview(target, {"key": UNAVAILABLE})
    assert isinstance(step, PlannedStep), step
    (write,) = [each for each in step.writes if each.place.name == space]
    assert action.apply(target, write).wrote
    assert [each["key"] for each in api(target).get(NODES, space)["spec"]["taints"]] == ["team"]
    assert action.take_back(target, write).wrote
    found = json.dumps(api(target).get(NODES, space)["spec"]["taints"], sort_keys=True)
    assert UNAVAILABLE in found
    assert "team" in found
