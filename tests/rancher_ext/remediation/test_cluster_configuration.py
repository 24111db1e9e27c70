"""Chart values, manifests and arguments of RKE2 and K3s: written exactly, taken back exactly, and refused where a trap waits."""

import re

import pytest

from rancher_ext.catalogue.playbooks import load_playbooks
from rancher_ext.catalogue.shipped import shipped_config_dir
from rancher_ext.client.changes import FieldMoved
from rancher_ext.fleet.versions import Version
from rancher_ext.remediation.action import NotNeeded, NotPossible
from rancher_ext.remediation.actions import gather
from rancher_ext.remediation.actions.inject_kubelet_parameters import REMOVED_IN, unknown_flags
from rancher_ext.remediation.actions.set_flannel_interface import matching
from rancher_ext.remediation.change import is_applied, is_back
from rancher_ext.remediation.manifests import BEGIN
from tests.rancher_ext.remediation.world import (
    carry_out,
    config,
    edit,
    freeze,
    inside,
    planned,
    refused,
    send,
    settled,
    the_cluster,
    undo,
)

NEVER_CONNECTED = ("v2.11.3", "rke2-canal-never-connected")
BOOKS = load_playbooks({path.stem for path in (shipped_config_dir() / "signatures").glob("*.yaml")})
CLOUD_CONTROLLER = """\
apiVersion: helm.cattle.io/v1
kind: HelmChart
metadata: {name: aws-cloud-controller-manager, namespace: kube-system}
"""
NFT = {"chart": "rke2-canal", "values": {"flannel": {"enableNFTables": False}}}


class TestEverySpecificationChange:
    """What `read_cluster` refuses holds for all of them; one stands for all."""

    def test_not_on_another_kind_of_cluster(self, rancher):
        assert "made by this Rancher" in refused(rancher(), "set-machine-config", unset=["x"])

    @pytest.mark.parametrize(
        ("timeout", "passes"), [("0s", True), ("0h0m0s", True), ("", True), ("5m0s", False), ("10s", False)]
    )
    def test_a_pool_that_deletes_machines_which_are_not_ready_is_a_trap(self, rancher, timeout, passes):
        look = rancher(*NEVER_CONNECTED)
        pools = [{**pool, "unhealthyNodeTimeout": timeout} for pool in config(look)["machinePools"]]
        edit(look, machinePools=pools)
        if passes:
            assert planned(look, "set-chart-values", **NFT)
        else:
            assert f"unhealthyNodeTimeout {timeout}" in refused(look, "set-chart-values", **NFT)

    def test_while_an_operation_of_ranchers_runs_nothing_would_pass(self, rancher):
        look = rancher(*NEVER_CONNECTED)
        identity = look().snapshot.identity
        path = f"/apis/rke.cattle.io/v1/namespaces/{identity.namespace}/rkecontrolplanes/{identity.name}/status"
        send(look, "PATCH", path, {"status": {"etcdSnapshotRestorePhase": "Shutdown"}})
        assert "an etcd snapshot is being restored (phase Shutdown)" in refused(look, "set-chart-values", **NFT)
        send(look, "PATCH", path, {"status": {"etcdSnapshotRestorePhase": "Finished"}})
        assert planned(look, "set-chart-values", **NFT)


class TestChartValues:
    def test_written_once_and_taken_back_to_nothing(self, rancher):
        look = rancher(*NEVER_CONNECTED)
        before = the_cluster(look)["spec"]
        step = planned(look, "set-chart-values", **NFT)
        assert carry_out(look, step) == [True]
        assert carry_out(look, step) == [False]
        assert config(look)["chartValues"]["rke2-canal"]["flannel"]["enableNFTables"] is False
        assert undo(look, step) == [True]
        assert undo(look, step) == [False]
        assert the_cluster(look)["spec"] == before

    def test_several_values_beside_those_of_people(self, rancher):
        look = rancher(*NEVER_CONNECTED)
        edit(look, chartValues={"rke2-canal": {"flannel": {"iface": "eth9"}, "calico": {"vethuMTU": 1400}}})
        before = the_cluster(look)["spec"]
        values = {"flannel": {"enableNFTables": False, "tolerations": [{"operator": "Exists"}]}}
        step = planned(look, "set-chart-values", chart="rke2-canal", values=values, remove=["flannel.iface"])
        assert "-        iface: eth9" in step.diff
        carry_out(look, step)
        assert config(look)["chartValues"]["rke2-canal"] == {
            "flannel": {"enableNFTables": False, "tolerations": [{"operator": "Exists"}]},
            "calico": {"vethuMTU": 1400},
        }
        assert all(is_applied(look(), write) for write in step.writes)
        undo(look, step)
        assert the_cluster(look)["spec"] == before
        assert all(is_back(look(), write) for write in step.writes)

    def test_an_undo_keeps_what_others_added_and_stops_where_they_changed_ours(self, rancher):
        look = rancher(*NEVER_CONNECTED)
        step = planned(look, "set-chart-values", **NFT)
        carry_out(look, step)
        edit(look, chartValues={"rke2-canal": {"flannel": {"iface": "eth1"}}})
        undo(look, step)
        assert config(look)["chartValues"]["rke2-canal"] == {"flannel": {"iface": "eth1"}}
        step = planned(look, "set-chart-values", **NFT)
        carry_out(look, step)
        edit(look, chartValues={"rke2-canal": {"flannel": {"enableNFTables": True}}})
        with pytest.raises(FieldMoved):
            undo(look, step)

    def test_a_value_that_moved_since_the_plan_is_left_alone(self, rancher):
        look = rancher(*NEVER_CONNECTED)
        step = planned(look, "set-chart-values", **NFT)
        edit(look, chartValues={"rke2-canal": {"flannel": {"enableNFTables": True}}})
        with pytest.raises(FieldMoved):
            carry_out(look, step)

    def test_the_clusters_own_range_is_filled_in(self, rancher):
        look = rancher(*NEVER_CONNECTED)
        edit(look, machineGlobalConfig={"cluster-cidr": "10.52.0.0/16"})
        step = planned(look, "set-chart-values", chart="rke2-canal", values={"podCidr": "{cluster-cidr}"})
        assert step.writes[0].after.value == "10.52.0.0/16"

    @pytest.mark.parametrize(
        "ranges", ["10.52.0.0/16,2001:cafe:52::/56", ["10.52.0.0/16", "2001:cafe:52::/56"], "fd00::/56"]
    )
    def test_two_families_are_not_one_value(self, rancher, ranges):
        """The chart has a key for each, and a list in the first would make Flannel's configuration one that it cannot read."""
        look = rancher(*NEVER_CONNECTED)
        edit(look, machineGlobalConfig={"cluster-cidr": ranges})
        why = refused(look, "set-chart-values", chart="rke2-canal", values={"podCidr": "{cluster-cidr}"})
        assert "each family under a key of its own" in why

    @pytest.mark.parametrize(
        "values",
        [
            {"flannel": {"backend": "host-gw"}},
            {"flannel": {"vni": 4096}},
            {"flannel": {"backendPort": 4789}},
            {"podCidr": "10.9.0.0/16"},
        ],
    )
    def test_the_overlay_of_a_living_cluster_is_never_changed(self, rancher, values):
        look = rancher(*NEVER_CONNECTED)
        assert "is not changed" in refused(look, "set-chart-values", chart="rke2-canal", values=values)

    def test_a_stray_range_goes_only_where_all_nodes_are_in_the_clusters_own(self, rancher):
        look = rancher("v2.11.3", "rke2-canal-healthy")
        edit(look, chartValues={"rke2-canal": {"podCidr": "10.99.0.0/16"}})
        step = planned(look, "set-chart-values", chart="rke2-canal", remove=["podCidr"])
        assert step.writes[0].before.value == "10.99.0.0/16"
        edit(look, machineGlobalConfig={"cluster-cidr": "10.200.0.0/16"})
        assert "has to be made anew" in refused(look, "set-chart-values", chart="rke2-canal", remove=["podCidr"])
        edit(look, machineGlobalConfig={"cluster-cidr": "10.99.0.0/16"})
        assert "already is" in refused(look, "set-chart-values", chart="rke2-canal", remove=["podCidr"])

    def test_the_last_good_values_come_back(self, rancher):
        look = rancher("v2.11.3", "rke2-canal-healthy")
        good = config(look)["chartValues"]["rke2-canal"]
        assert "already has these values" in refused(look, "set-chart-values", chart="rke2-canal", restore=True)
        edit(look, chartValues={"rke2-canal": {"flannel": "not a mapping"}})
        before = config(look)["chartValues"]
        step = planned(look, "set-chart-values", chart="rke2-canal", restore=True)
        carry_out(look, step)
        assert config(look)["chartValues"]["rke2-canal"] == good
        undo(look, step)
        assert config(look)["chartValues"] == before

    @pytest.mark.parametrize(
        "values", [{"flannel": {"backend": "host-gw"}}, {"flannel": {"vni": 4096}, "x": 1}, {"podCidr": "10.9.0.0/16"}]
    )
    def test_the_overlay_does_not_change_with_the_wrong_value(self, rancher, values):
        """Without a complete reconcile nothing is known to be good, and all values would go: the backend among them."""
        look = rancher(*NEVER_CONNECTED)
        edit(look, chartValues={"rke2-canal": values})
        assert "is not changed" in refused(look, "set-chart-values", chart="rke2-canal", restore=True)

    def test_a_second_source_of_the_same_values_is_a_fight(self, rancher):
        look = rancher(*NEVER_CONNECTED)
        edit(
            look,
            additionalManifest="apiVersion: helm.cattle.io/v1\nkind: HelmChartConfig\nmetadata: {name: rke2-canal}\n",
        )
        assert "two sources would fight" in refused(look, "set-chart-values", **NFT)

    @pytest.mark.parametrize(
        ("scenario", "arguments", "why"),
        [
            ("k3s-flannel-healthy", NFT, "only RKE2"),
            ("rke2-canal-healthy", {"chart": "rancher-monitoring", "values": {"a": 1}}, "is not one of"),
            ("rke2-canal-healthy", {"chart": "rke2-canal"}, "changes nothing"),
        ],
    )
    def test_what_it_does_not_do(self, rancher, scenario, arguments, why):
        assert why in refused(rancher("v2.11.3", scenario), "set-chart-values", **arguments)


class TestManifest:
    def test_it_goes_in_behind_peoples_text_and_out_again(self, rancher):
        look = rancher(*NEVER_CONNECTED)
        edit(look, additionalManifest="apiVersion: v1\nkind: Namespace\nmetadata: {name: team}")
        before = the_cluster(look)["spec"]
        step = planned(look, "add-manifest", manifests=["canal-rbac"])
        assert "team" not in step.diff
        assert carry_out(look, step) == [True]
        assert carry_out(look, step) == [False]
        text = config(look)["additionalManifest"]
        assert text.startswith(
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: team}\n# drover:begin canal-rbac\n---\n"
        )
        answer = gather()["add-manifest"].preview(look(), {"manifests": ["canal-rbac"]})
        assert answer == NotNeeded("additionalManifest already has canal-rbac")
        undo(look, step)
        assert the_cluster(look)["spec"] == before

    def test_where_there_was_none_there_is_none_afterwards(self, rancher):
        look = rancher(*NEVER_CONNECTED)
        before = the_cluster(look)["spec"]
        step = planned(look, "add-manifest", manifests=["canal-rbac"])
        carry_out(look, step)
        undo(look, step)
        assert the_cluster(look)["spec"] == before

    def test_definitions_stay_when_the_rest_is_taken_back(self, rancher):
        look = rancher(*NEVER_CONNECTED)
        step = planned(look, "add-manifest", manifests=["canal-rbac", "calico-crds", "policy-crds"])
        assert [write.stays for write in step.writes] == [True, True, False]
        assert carry_out(look, step) == [True, True, True]
        # After a crash in the middle all of them are tried again.
        assert carry_out(look, step) == [False, False, False]
        assert undo(look, step) == [True, False, False]
        text = config(look)["additionalManifest"]
        assert f"{BEGIN}calico-crds" in text
        assert f"{BEGIN}policy-crds" in text
        assert "canal-rbac" not in text
        assert all(is_back(look(), write) for write in step.writes)

    def test_what_others_wrote_behind_ours_meanwhile_stays(self, rancher):
        look = rancher(*NEVER_CONNECTED)
        step = planned(look, "add-manifest", manifests=["canal-rbac"])
        carry_out(look, step)
        theirs = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: team}\n"
        edit(look, additionalManifest=config(look)["additionalManifest"] + theirs)
        undo(look, step)
        assert config(look)["additionalManifest"] == theirs

    def test_a_text_that_changed_since_the_plan_is_left_alone(self, rancher):
        look = rancher(*NEVER_CONNECTED)
        step = planned(look, "add-manifest", manifests=["canal-rbac"])
        edit(look, additionalManifest="apiVersion: v1\nkind: Namespace\nmetadata: {name: team}\n")
        with pytest.raises(FieldMoved):
            carry_out(look, step)

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("kind: [", "not valid YAML"),
            (
                "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: drover-canal}\n",
                "already has ClusterRole",
            ),
            ("# drover:begin canal-rbac\n---\nkind: Old\n# drover:end canal-rbac\n", "older block"),
        ],
    )
    def test_a_text_that_would_not_take_it_is_left_alone(self, rancher, text, why):
        look = rancher(*NEVER_CONNECTED)
        edit(look, additionalManifest=text)
        assert why in refused(look, "add-manifest", manifests=["canal-rbac"])

    def test_on_rke1_the_objects_are_made_directly_and_deleted_again(self, rancher):
        look = rancher("v2.11.3", "rke1-flannel-br-netfilter")
        step = planned(look, "add-manifest", manifests=["flannel-rbac"])
        assert carry_out(look, step) == [True, True]
        assert carry_out(look, step) == [False, False]
        role = inside(look, "GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles/drover-flannel")
        assert role["rules"][0] == {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
        assert gather()["add-manifest"].preview(look(), {"manifests": ["flannel-rbac"]}) == NotNeeded(
            "the cluster already has these objects"
        )
        assert undo(look, step) == [True, True]
        assert all(is_back(look(), write) for write in step.writes)


class TestMachineConfig:
    KUBELET = ("v2.11.3", "rke2-flannel-kubelet-flag")

    def test_an_item_is_taken_out_of_a_list_and_put_back(self, rancher):
        look = rancher(*self.KUBELET)
        before = the_cluster(look)["spec"]
        step = planned(look, "set-machine-config", remove={"kubelet-arg": ["network-plugin"]})
        assert carry_out(look, step) == [True]
        assert carry_out(look, step) == [False]
        assert config(look)["machineGlobalConfig"]["kubelet-arg"] == ["max-pods=110"]
        undo(look, step)
        assert the_cluster(look)["spec"] == before

    def test_what_others_added_to_the_list_meanwhile_stays(self, rancher):
        look = rancher(*self.KUBELET)
        step = planned(look, "set-machine-config", remove={"kubelet-arg": ["network-plugin=cni"]})
        carry_out(look, step)
        edit(look, machineGlobalConfig={"kubelet-arg": ["max-pods=110", "v=4"]})
        undo(look, step)
        assert sorted(config(look)["machineGlobalConfig"]["kubelet-arg"]) == [
            "max-pods=110",
            "network-plugin=cni",
            "v=4",
        ]

    def test_pools_with_arguments_of_their_own_are_changed_too(self, rancher):
        look = rancher(*self.KUBELET)
        pools = [
            {"config": {"protect-kernel-defaults": False}},
            {
                "machineLabelSelector": {"matchLabels": {"a": "b"}},
                "config": {"kubelet-arg": ["--network-plugin=cni", "v=2"]},
            },
        ]
        edit(look, machineSelectorConfig=pools)
        before = the_cluster(look)["spec"]
        step = planned(look, "set-machine-config", remove={"kubelet-arg": ["network-plugin"]})
        assert carry_out(look, step) == [True, True]
        assert config(look)["machineSelectorConfig"] == [
            pools[0],
            {"machineLabelSelector": {"matchLabels": {"a": "b"}}, "config": {"kubelet-arg": ["v=2"]}},
        ]
        undo(look, step)
        assert the_cluster(look)["spec"] == before

    def test_an_emptied_list_leaves_no_key(self, rancher):
        look = rancher(*self.KUBELET)
        step = planned(look, "set-machine-config", remove={"kubelet-arg": ["network-plugin", "max-pods"]})
        carry_out(look, step)
        assert "kubelet-arg" not in config(look)["machineGlobalConfig"]

    def test_items_are_added_beside_others_and_only_once(self, rancher):
        look = rancher(*self.KUBELET)
        step = planned(look, "set-machine-config", add={"kubelet-arg": ["fail-cgroupv1=false", "max-pods=110"]})
        assert step.writes[0].after.value == ["max-pods=110", "network-plugin=cni", "fail-cgroupv1=false"]
        assert "a person knows" in refused(look, "set-machine-config", add={"kubelet-arg": ["max-pods=250"]})

    def test_ranchers_control_plane_has_to_take_it_over(self, rancher):
        look = rancher(*self.KUBELET)
        step = planned(look, "set-machine-config", remove={"kubelet-arg": ["network-plugin"]})
        assert not settled(look, step).holds
        carry_out(look, step)
        look.cluster.advance(look.fleet.clock.seconds() + 60)
        assert settled(look, step).holds

    @pytest.mark.parametrize("value", [1400, 1.5, None, {"a": "b"}, ["a", 1]])
    def test_values_that_vanish_silently_are_refused(self, rancher, value):
        assert "drops" in refused(rancher(*self.KUBELET), "set-machine-config", set={"mtu": value})

    @pytest.mark.parametrize("key", ["cni", "cluster-cidr", "service-cidr", "flannel-backend"])
    def test_what_shapes_a_living_overlay_is_never_changed(self, rancher, key):
        look = rancher(*self.KUBELET)
        assert "never changed" in refused(look, "set-machine-config", set={key: "x"})
        assert "never changed" in refused(look, "set-machine-config", unset=[key])

    @pytest.mark.parametrize("arguments", [{}, {"sett": {"a": "b"}}])
    def test_wishes_it_does_not_understand(self, rancher, arguments):
        assert "understands set, unset, add, remove, only_without" in refused(
            rancher(*self.KUBELET), "set-machine-config", **arguments
        )

    def test_what_goes_with_another_plan_is_left_to_people(self, rancher):
        look = rancher("v2.11.3", "k3s-flannel-cloud-uninitialized")
        wish = {"unset": ["disable-cloud-controller"], "only_without": ["cloud-provider-name"]}
        assert planned(look, "set-machine-config", **wish)
        edit(look, machineGlobalConfig={"cloud-provider-name": "aws"})
        assert "has cloud-provider-name: aws" in refused(look, "set-machine-config", **wish)

    @pytest.mark.parametrize(
        ("theirs", "why"),
        [
            ({"machineSelectorConfig": [{"config": {"cloud-provider-name": "aws"}}]}, "cloud-provider-name: aws"),
            ({"additionalManifest": CLOUD_CONTROLLER}, "aws-cloud-controller-manager in its additionalManifest"),
        ],
    )
    def test_the_built_in_cloud_controller_is_not_put_in_the_place_of_a_clouds_own(self, rancher, theirs, why):
        """It would give the nodes a provider id that nobody can change, and the cloud's controller would never take them over."""
        look = rancher("v2.11.3", "k3s-flannel-cloud-uninitialized")
        wishes = next(
            step.arguments
            for step in BOOKS["ccm-uninitialized-taint"].variants[0].steps
            if step.action == "set-machine-config"
        )
        assert "provider id" in planned(look, "set-machine-config", **wishes).effect
        edit(look, **theirs)
        assert why in refused(look, "set-machine-config", **wishes)

    def test_a_key_that_the_release_does_not_know_would_vanish(self, rancher, monkeypatch):
        look = rancher(*self.KUBELET)
        target = look()
        release = {"version": "v1.32.6+rke2r1", "serverArgs": {"kubelet-arg": {}}, "agentArgs": {"node-ip": {}}}
        asked = []

        def get_json(path, *rest, **options):
            asked.append(path)
            return (
                {"data": [{"version": "v1.31.1+rke2r1"}, release]}
                if "releases" in path
                else whole(path, *rest, **options)
            )

        whole = target.transport.get_json
        monkeypatch.setattr(target.transport, "get_json", get_json)
        action = gather()["set-machine-config"]
        assert (
            "does not list kubelet_arg: it would vanish"
            in action.preview(target, {"set": {"kubelet_arg": ["a=b"]}}).why
        )
        assert not isinstance(action.preview(target, {"set": {"node-ip": "10.0.0.1"}}), NotPossible)
        assert "/v1-rke2-release/releases" in asked

    def test_nothing_to_change_is_said(self, rancher):
        assert "changes nothing" in refused(
            rancher(*self.KUBELET), "set-machine-config", unset=["write-kubeconfig-mode"]
        )

    def test_drain_is_switched_off_first_where_it_could_never_end(self, rancher):
        look = rancher("v2.11.3", "k3s-flannel-cloud-uninitialized")
        options = {"enabled": True, "timeout": 120}
        edit(
            look,
            upgradeStrategy={"controlPlaneDrainOptions": options, "workerDrainOptions": {**options, "enabled": False}},
        )
        before = the_cluster(look)["spec"]
        step = planned(look, "set-machine-config", unset=["disable-cloud-controller"])
        assert [write.place.path[-2] for write in step.writes] == ["controlPlaneDrainOptions", "machineGlobalConfig"]
        assert "drain is switched off first" in step.effect
        carry_out(look, step)
        assert config(look)["upgradeStrategy"]["controlPlaneDrainOptions"]["enabled"] is False
        undo(look, step)
        assert the_cluster(look)["spec"] == before

    def test_a_connected_cluster_can_drain(self, rancher):
        look = rancher("v2.11.3", "rke2-canal-healthy")
        edit(look, upgradeStrategy={"workerDrainOptions": {"enabled": True}})
        step = planned(look, "set-machine-config", set={"write-kubeconfig-mode": "0640"})
        assert len(step.writes) == 1


class TestKubeletParameters:
    def test_flags_that_the_version_has_no_more_go(self, rancher):
        look = rancher("v2.11.3", "rke2-flannel-kubelet-flag")
        before = the_cluster(look)["spec"]
        step = planned(look, "inject-kubelet-parameters")
        assert "without `network-plugin`" in step.title
        carry_out(look, step)
        assert config(look)["machineGlobalConfig"]["kubelet-arg"] == ["max-pods=110"]
        assert "no flag that Kubernetes 1.32 does not know" in refused(look, "inject-kubelet-parameters")
        undo(look, step)
        assert the_cluster(look)["spec"] == before

    @pytest.mark.parametrize(
        ("version", "gone"),
        [
            ("v1.23.9+rke2r1", []),
            ("v1.24.0+rke2r1", ["network-plugin"]),
            ("v1.26.9+rke2r1", ["network-plugin"]),
            ("v1.27.0+rke2r1", ["container-runtime", "network-plugin"]),
            ("v1.32.6+k3s1", ["container-runtime", "keep-terminated-pod-volumes", "network-plugin"]),
            ("v1.34.1+rke2r1", ["cloud-config", "container-runtime", "keep-terminated-pod-volumes", "network-plugin"]),
            (
                "v1.35.0+rke2r1",
                [
                    "cloud-config",
                    "container-runtime",
                    "keep-terminated-pod-volumes",
                    "network-plugin",
                    "pod-infra-container-image",
                ],
            ),
        ],
    )
    def test_each_flag_from_the_version_on_that_removed_it(self, version, gone):
        items = [
            "max-pods=1",
            "network-plugin=cni",
            "--container-runtime=remote",
            "cloud-config=/etc/x",
            "pod-infra-container-image=p",
            "keep-terminated-pod-volumes",
        ]
        parsed = Version.parse(version)
        assert parsed is not None
        assert unknown_flags(parsed, items) == gone

    def test_what_a_version_needs_of_a_host_is_put_in(self, rancher):
        look = rancher("v2.13.1", "rke2-canal-healthy", kubernetes="v1.35.0+rke2r1")
        step = planned(look, "inject-kubelet-parameters", hosts=["cgroup-v1"])
        carry_out(look, step)
        assert config(look)["machineGlobalConfig"]["kubelet-arg"] == ["fail-cgroupv1=false"]

    def test_an_earlier_version_does_not_need_it(self, rancher):
        look = rancher("v2.11.3", "rke2-canal-healthy")
        assert "does not know" in refused(look, "inject-kubelet-parameters", hosts=["cgroup-v1"])
        assert "understands hosts" in refused(look, "inject-kubelet-parameters", hosts=["windows"])

    def test_the_table_names_flags_as_they_are_written(self):
        assert all(not flag.startswith("-") and "=" not in flag for flag in REMOVED_IN)


class TestFlannelInterface:
    def test_an_expression_that_the_pods_addresses_match_is_none(self, rancher):
        """Bridges and devices of the pods' network stand on every node, and flannel takes the first that matches."""
        look = rancher("v2.11.3", "rke2-canal-healthy")
        (first, second, *_) = sorted(node.name for node in look().snapshot.nodes)
        freeze(look)
        for name, address in ((first, "10.1.0.7"), (second, "10.7.0.7")):
            addresses = [{"type": "InternalIP", "address": address}]
            inside(look, "PATCH", f"/api/v1/nodes/{name}/status", {"status": {"addresses": addresses}})
        for node in look().snapshot.nodes:
            if node.name not in {first, second}:
                inside(look, "DELETE", f"/api/v1/nodes/{node.name}")
        assert "would match the pods' own addresses (10.42.0.0/16)" in refused(look, "set-flannel-interface")

    def test_an_address_that_somebody_gave_a_node_is_meant(self, rancher):
        look = rancher("v2.11.3", "rke2-canal-healthy")
        name = min(node.name for node in look().snapshot.nodes)
        annotations = {"flannel.alpha.coreos.com/public-ip-overwrite": "203.0.113.7"}
        inside(look, "PATCH", f"/api/v1/nodes/{name}", {"metadata": {"annotations": annotations}})
        assert f"somebody gave {name} the address" in refused(look, "set-flannel-interface")

    def test_the_expression_is_what_the_addresses_share(self, rancher):
        look = rancher("v2.11.3", "rke2-canal-healthy")
        edit(look, chartValues={"rke2-canal": {"flannel": {"iface": "eth9"}}})
        before = the_cluster(look)["spec"]
        step = planned(look, "set-flannel-interface")
        carry_out(look, step)
        flannel = config(look)["chartValues"]["rke2-canal"]["flannel"]
        assert set(flannel) == {"regexIface"}
        assert all(re.match(flannel["regexIface"], node.internal_ip) for node in look().snapshot.nodes)
        assert "already bound" in refused(look, "set-flannel-interface")
        undo(look, step)
        assert the_cluster(look)["spec"] == before

    def test_the_flannel_chart_takes_it_as_an_argument(self, rancher):
        look = rancher("v2.11.3", "rke2-flannel-healthy")
        step = planned(look, "set-flannel-interface")
        *kept, expression = step.writes[0].after.value
        assert kept == ["--ip-masq", "--kube-subnet-mgr"]
        assert expression.startswith("--iface-regex=^1")

    def test_a_cluster_that_never_connected_has_its_machines_addresses(self, rancher):
        assert planned(rancher(*NEVER_CONNECTED), "set-flannel-interface").writes

    @pytest.mark.parametrize(
        ("addresses", "wrong", "expression"),
        [
            (["10.0.4.11", "10.0.4.12"], [], r"^10\.0\.4\."),
            (["10.0.4.11"], ["192.168.1.1"], r"^10\.0\.4\."),
            (["10.0.4.11", "10.0.5.12"], [], r"^10\.0\."),
            (["10.0.4.1", "10.99.5.1"], [], r"^10\."),
        ],
    )
    def test_common_octets(self, addresses, wrong, expression):
        assert matching(addresses, wrong) == expression

    @pytest.mark.parametrize(
        ("addresses", "wrong", "why"),
        [
            (["10.0.2.15", "10.0.2.15"], [], "the same internal address"),
            (["10.0.4.1", "192.168.0.1"], [], "nothing in common"),
            (["10.0.4.1", "10.1.4.2"], ["10.9.9.9"], "name it by hand"),
            (["fd00::1"], [], "IPv6"),
            (["host"], [], "is no address"),
            ([], [], "no node tells"),
        ],
    )
    def test_where_it_would_not_tell_the_networks_apart_a_person_names_it(self, addresses, wrong, why):
        answer = matching(addresses, wrong)
        assert not isinstance(answer, str)
        assert why in answer.why
