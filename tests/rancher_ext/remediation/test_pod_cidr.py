"""The network of the nodes is changed as one: does every node get its own range, whoever else is at it at the same time?"""

import copy
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rancher_ext.client.changes import FieldMoved
from rancher_ext.client.kubernetes import CONFIG_MAPS, NODES, PROVISIONING_CLUSTERS
from rancher_ext.errors import Conflict, NotFound
from rancher_ext.fleet.cluster import Distribution
from rancher_ext.remediation.action import NotPossible
from rancher_ext.remediation.actions.assign_pod_cidr import ACTION
from rancher_ext.remediation.change import Target
from rancher_ext.remediation.cidr import overlap
from tests.builders import a_cluster
from tests.rancher_ext.client.test_changes import apply as patch_with
from tests.rancher_ext.remediation.world import carry_out, edit, freeze, inside, planned, refused, send, settled, undo

WITHOUT = ("v2.11.3", "rke1-flannel-podcidr-not-assigned")
CLAIMS = "/api/v1/namespaces/kube-system/configmaps/drover-pod-cidrs"


def ranges(look):
    nodes = inside(look, "GET", "/api/v1/nodes")["items"]
    return {node["metadata"]["name"]: node["spec"].get("podCIDRs") for node in nodes}


@pytest.fixture
def unassigned(rancher):
    look = rancher(*WITHOUT)
    freeze(look)
    return look


class TestOneWriter:
    def test_all_nodes_get_their_own_and_keep_it(self, unassigned):
        look = unassigned
        step = planned(look, "assign-pod-cidr")
        assert carry_out(look, step) == [True] * 4
        assert carry_out(look, step) == [False] * 4
        given = ranges(look)
        assert sorted(given.values()) == [["10.42.0.0/24"], ["10.42.1.0/24"], ["10.42.2.0/24"]]
        for node in inside(look, "GET", "/api/v1/nodes")["items"]:
            assert node["spec"]["podCIDR"] == node["spec"]["podCIDRs"][0]
        assert undo(look, step) == [False] * 4
        assert ranges(look) == given
        assert "every node has its pod range" in refused(look, "assign-pod-cidr")

    def test_what_is_taken_stays_taken(self, unassigned):
        look = unassigned
        first = min(ranges(look))
        inside(
            look, "PATCH", f"/api/v1/nodes/{first}", {"spec": {"podCIDR": "10.42.1.0/24", "podCIDRs": ["10.42.1.0/24"]}}
        )
        step = planned(look, "assign-pod-cidr")
        assert [write.after.value for write in step.writes[1:]] == [["10.42.0.0/24"], ["10.42.2.0/24"]]

    def test_the_clusters_own_sizes_are_used(self, unassigned):
        look = unassigned
        services = {
            "kubeController": {
                "clusterCidr": "10.99.0.0/16",
                "extraArgs": {"node-cidr-mask-size": "26", "allocate-node-cidrs": "false"},
            }
        }
        path = f"/apis/management.cattle.io/v3/clusters/{look.cluster.id}"
        send(look, "PATCH", path, {"spec": {"rancherKubernetesEngineConfig": {"services": services}}})
        assert "flannel's network in kube-flannel-cfg is 10.42.0.0/16" in refused(look, "assign-pod-cidr")
        path = "/api/v1/namespaces/kube-system/configmaps/kube-flannel-cfg"
        inside(look, "PATCH", path, {"data": {"net-conf.json": '{"Network": "10.99.0.0/16"}'}})
        step = planned(look, "assign-pod-cidr")
        assert [write.after.value for write in step.writes[1:]] == [
            ["10.99.0.0/26"],
            ["10.99.0.64/26"],
            ["10.99.0.128/26"],
        ]

    @pytest.mark.parametrize(
        "arguments",
        [{"extraArgs": {"cluster-cidr": "10.99.0.0/16"}}, {"extraArgsArray": {"cluster-cidr": ["10.99.0.0/16"]}}],
    )
    def test_another_range_in_the_controllers_arguments_is_for_people(self, unassigned, arguments):
        look = unassigned
        services = {"kubeController": arguments}
        path = f"/apis/management.cattle.io/v3/clusters/{look.cluster.id}"
        send(look, "PATCH", path, {"spec": {"rancherKubernetesEngineConfig": {"services": services}}})
        assert "names another cluster range" in refused(look, "assign-pod-cidr")

    def test_nodes_that_contradict_the_configuration_are_for_people(self, unassigned):
        look = unassigned
        first = min(ranges(look))
        inside(
            look, "PATCH", f"/api/v1/nodes/{first}", {"spec": {"podCIDR": "10.7.1.0/24", "podCIDRs": ["10.7.1.0/24"]}}
        )
        assert "lies outside the cluster's 10.42.0.0/16" in refused(look, "assign-pod-cidr")

    def test_a_range_that_is_used_up_is_said(self, rancher):
        assert "is used up: 0 free blocks of /24 for 2 nodes" in refused(
            rancher("v2.11.3", "rke2-canal-cidr-exhausted"), "assign-pod-cidr"
        )

    def test_dual_stack_nodes_get_both(self, rancher):
        look = rancher("v2.11.3", "rke2-canal-healthy")
        freeze(look)
        edit(look, machineGlobalConfig={"cluster-cidr": "10.42.0.0/16,2001:cafe:42::/56"})
        for number, node in enumerate(inside(look, "GET", "/api/v1/nodes")["items"]):
            name, mine = node["metadata"]["name"], [f"10.42.{number}.0/24", f"2001:cafe:42:{number}::/64"]
            store = look.cluster.downstream
            resource = next(each for each in store._objects if each.kind == "Node")
            spec = {**node["spec"], "podCIDR": mine[0], "podCIDRs": mine}
            if number == 2:
                spec = {key: value for key, value in spec.items() if not key.startswith("podCIDR")}
            store.put(resource, {**node, "spec": spec, "metadata": {"name": name}})
        step = planned(look, "assign-pod-cidr")
        assert step.writes[1].after.value == ["10.42.2.0/24", "2001:cafe:42:2::/64"]

    def test_settled_when_flannel_has_registered_them(self, unassigned):
        look = unassigned
        step = planned(look, "assign-pod-cidr")
        carry_out(look, step)
        assert "has not registered" in settled(look, step).seen
        for name in ranges(look):
            annotations = {"flannel.alpha.coreos.com/backend-type": "vxlan"}
            inside(look, "PATCH", f"/api/v1/nodes/{name}", {"metadata": {"annotations": annotations}})
        assert settled(look, step).holds

    def test_a_machine_that_is_off_keeps_nobody_waiting(self, unassigned):
        """It registers nowhere until somebody switches it on, and the others are mended all the same."""
        look = unassigned
        step = planned(look, "assign-pod-cidr")
        carry_out(look, step)
        first, *others = sorted(ranges(look))
        conditions = [{"type": "Ready", "status": "Unknown"}]
        inside(look, "PATCH", f"/api/v1/nodes/{first}/status", {"status": {"conditions": conditions}})
        assert not settled(look, step).holds
        for name in others:
            annotations = {"flannel.alpha.coreos.com/backend-type": "vxlan"}
            inside(look, "PATCH", f"/api/v1/nodes/{name}", {"metadata": {"annotations": annotations}})
        assert settled(look, step).holds

    def test_a_node_that_went_meanwhile_does_not_stop_the_others(self, unassigned):
        look = unassigned
        step = planned(look, "assign-pod-cidr")
        inside(look, "DELETE", f"/api/v1/nodes/{step.writes[1].place.name}")
        assert carry_out(look, step) == [True, False, True, True]

    def test_a_run_that_broke_off_goes_on_with_the_same_ranges(self, unassigned):
        look = unassigned
        step = planned(look, "assign-pod-cidr")
        for write in step.writes[:2]:
            ACTION.apply(look(), write)
        again = planned(look, "assign-pod-cidr")
        assert [(write.place.name, write.after) for write in again.writes[1:]] == [
            (write.place.name, write.after) for write in step.writes[2:]
        ]
        carry_out(look, again)
        assert len({tuple(each) for each in ranges(look).values()}) == 3


class TestSeveralWriters:
    def test_a_second_claim_loses(self, unassigned):
        look = unassigned
        mine = planned(look, "assign-pod-cidr")
        manifest = copy.deepcopy(mine.writes[0].after.value)
        manifest["data"] = dict.fromkeys(manifest["data"], "10.42.9.0/24")
        inside(look, "POST", CLAIMS.rsplit("/", 1)[0], manifest)
        with pytest.raises(FieldMoved, match="exists already"):
            carry_out(look, mine)
        assert set(map(str, ranges(look).values())) == {"None"}

    def test_a_node_gets_nothing_that_the_claim_does_not_give_it(self, unassigned):
        look = unassigned
        step = planned(look, "assign-pod-cidr")
        ACTION.apply(look(), step.writes[0])
        inside(look, "PATCH", CLAIMS, {"data": {step.writes[1].place.name: "10.42.77.0/24"}})
        with pytest.raises(FieldMoved, match=r"gives .* 10\.42\.77\.0/24"):
            ACTION.apply(look(), step.writes[1])

    def test_what_somebody_else_gave_meanwhile_is_never_given_twice(self, unassigned):
        look = unassigned
        step = planned(look, "assign-pod-cidr")
        ACTION.apply(look(), step.writes[0])
        first, second = step.writes[1], step.writes[2]
        # The controller manager awoke and gave the second node what was meant for the first.
        spec = {"podCIDR": first.after.value[0], "podCIDRs": first.after.value}
        inside(look, "PATCH", f"/api/v1/nodes/{second.place.name}", {"spec": spec})
        with pytest.raises(FieldMoved, match=f"{second.place.name} holds a part"):
            ACTION.apply(look(), first)
        with pytest.raises(FieldMoved, match="from somebody else"):
            ACTION.apply(look(), second)
        # A new plan gives the first another one, though the old claim still stands.
        again = planned(look, "assign-pod-cidr")
        assert first.after.value not in [write.after.value for write in again.writes[1:]]
        carry_out(look, again)
        assert len({tuple(each) for each in ranges(look).values()}) == 3

    def test_a_node_made_anew_is_another_one(self, unassigned):
        look = unassigned
        step = planned(look, "assign-pod-cidr")
        ACTION.apply(look(), step.writes[0])
        object.__setattr__(step.writes[1], "uid", "an-earlier-one")
        with pytest.raises(FieldMoved, match="another one by now"):
            ACTION.apply(look(), step.writes[1])


class Api:
    """Nodes and ConfigMaps in memory, with the API server's locks; `between` runs before every write."""

    def __init__(self, nodes):
        self.objects = {(NODES, name): {"metadata": {"name": name}, "spec": spec} for name, spec in nodes.items()}
        self.version = 0
        self.between = lambda: None
        for key in self.objects:
            self._stamp(key)

    def _stamp(self, key):
        self.version += 1
        metadata = self.objects[key]["metadata"]
        metadata |= {"uid": metadata.get("uid") or f"u-{self.version}", "resourceVersion": str(self.version)}

    def get(self, resource, name, namespace="", **_):
        if resource == PROVISIONING_CLUSTERS:
            return {"spec": {"rkeConfig": {"machineGlobalConfig": {"cluster-cidr": "10.42.0.0/20"}}}}
        if (resource, name) not in self.objects:
            raise NotFound("no", status=404)
        return copy.deepcopy(self.objects[resource, name])

    def list(self, resource, *_, **__):
        from rancher_ext.client.kubernetes import Listing

        return Listing([copy.deepcopy(item) for key, item in self.objects.items() if key[0] == resource], "1")

    def create(self, resource, item, namespace="", *, dry_run=False):
        self.between()
        key = (resource, item["metadata"]["name"])
        if key in self.objects:
            raise Conflict("exists", status=409)
        self.objects[key] = copy.deepcopy(dict(item))
        self._stamp(key)
        return self.get(*key)

    def json_patch(self, resource, name, _namespace, operations, *, dry_run=False):
        self.between()
        item = self.get(resource, name)
        for operation in operations:
            if operation["op"] == "test":
                found = item["metadata"].get(operation["path"].rsplit("/", 1)[1])
                if found != operation["value"]:
                    raise Conflict("test failed", status=422)
                continue
            patch_with(item, operation)
        self.objects[resource, name] = item
        self._stamp((resource, name))
        return self.get(resource, name)

    def assigned(self):
        return {
            key[1]: tuple(item["spec"]["podCIDRs"])
            for key, item in self.objects.items()
            if key[0] == NODES and item["spec"].get("podCIDRs")
        }


class Writer(Target):
    local = None
    downstream = None


def a_writer(api):
    target = Writer(a_cluster(distribution=Distribution.RKE2, connected=True), None)
    object.__setattr__(target, "local", api)
    object.__setattr__(target, "downstream", api)
    return target


def no_two_overlap(given):
    return all(
        overlap(mine, {name: each}) is None for (_, mine), (name, each) in itertools.permutations(given.items(), 2)
    )


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.booleans(), min_size=2, max_size=5),
    st.lists(st.integers(0, 2), max_size=40),
    st.lists(st.integers(0, 40), max_size=2, unique=True),
)
def test_however_writers_interleave_no_two_nodes_share_a_range(has_range, schedule, joins):
    """Three writers plan at different moments and write in any order; nodes join in between."""
    nodes = {
        f"n{number}": {"podCIDR": f"10.42.{number}.0/24", "podCIDRs": [f"10.42.{number}.0/24"]} if has else {}
        for number, has in enumerate(has_range)
    }
    api = Api(nodes)
    queues: dict[int, list] = {}
    lost = set()
    for moment, who in enumerate(schedule):
        if moment in joins:
            api.objects[NODES, f"late-{moment}"] = {"metadata": {"name": f"late-{moment}"}, "spec": {}}
            api._stamp((NODES, f"late-{moment}"))
        if who not in queues:
            step = ACTION.preview(a_writer(api), {})
            queues[who] = [] if isinstance(step, NotPossible) else list(step.writes)
        elif queues[who]:
            try:
                ACTION.apply(a_writer(api), queues[who].pop(0))
            except FieldMoved:
                queues[who] = []
                lost.add(who)
        assert no_two_overlap(api.assigned())
    # Whoever comes last finishes the work.
    step = ACTION.preview(a_writer(api), {})
    if not isinstance(step, NotPossible):
        for write in step.writes:
            ACTION.apply(a_writer(api), write)
    given_out = api.assigned()
    assert set(given_out) == {key[1] for key in api.objects if key[0] == NODES}
    assert no_two_overlap(given_out)
    assert (CONFIG_MAPS, "drover-pod-cidrs") in api.objects or all(has_range)


def test_two_writers_at_the_very_same_moment_give_no_range_twice():
    """The second writer's whole run happens between the first one's look and its write."""
    api = Api({"a": {}, "b": {}})
    mine = ACTION.preview(a_writer(api), {})
    assert not isinstance(mine, NotPossible)
    ACTION.apply(a_writer(api), mine.writes[0])

    def someone_else():
        api.between = lambda: None
        api.objects[NODES, "a"]["spec"] = {"podCIDR": "10.42.5.0/24", "podCIDRs": ["10.42.5.0/24"]}
        api._stamp((NODES, "a"))

    api.between = someone_else
    with pytest.raises(FieldMoved, match="from somebody else"):
        ACTION.apply(a_writer(api), mine.writes[1])
    ACTION.apply(a_writer(api), mine.writes[2])
    assert api.assigned() == {"a": ("10.42.5.0/24",), "b": ("10.42.1.0/24",)}
