"""Do the playbooks of RKE2 and K3s plan what they say, and does a simulated cluster come up by it?"""

from pathlib import Path

import pytest

from rancher_ext.catalogue.playbooks import load_playbooks
from rancher_ext.catalogue.shipped import shipped_config_dir
from rancher_ext.remediation.action import Risk, UndoKind
from rancher_ext.remediation.actions import gather
from rancher_ext.remediation.change import is_applied
from rancher_ext.remediation.plan import Explanation, Plan, make_plan
from tests.rancher_ext.remediation.test_host_fix import allow
from tests.rancher_ext.remediation.world import config, edit, freeze, inside, send

SIGNATURES = {path.stem for path in (shipped_config_dir() / "signatures").glob("*.yaml")}
BOOKS = load_playbooks(SIGNATURES)
HEALTHY = ("v2.11.3", "rke2-canal-healthy")
UNREACHED = ("v2.11.3", "rke2-canal-never-connected")


def planned(look, signature):
    made = make_plan(BOOKS[signature], signature, look(), gather())
    again = make_plan(BOOKS[signature], signature, look(), gather())
    if isinstance(made, Plan) and isinstance(again, Plan):
        assert made.digest == again.digest
    return made


def actions(plan):
    assert isinstance(plan, Plan), plan
    return [step.action for step in plan.steps]


def carry_out(look, plan):
    for step in plan.steps:
        for write in step.writes:
            gather()[step.action].apply(look(), write)
            assert is_applied(look(), write)


def truth(look, *, after):
    """What is really the matter with the cluster so much later."""
    look.cluster.advance(look.fleet.clock.seconds() + after)
    return look.cluster.truth.verdict


class TestClustersComeUp:
    """The state machine of the simulator decides what heals a cluster; these scenarios know nothing of playbooks."""

    def test_kubelet_arguments_that_the_version_has_no_more(self, rancher):
        look = rancher("v2.11.3", "rke2-flannel-kubelet-flag")
        plan = planned(look, "kubelet-flag-removed")
        assert actions(plan) == ["inject-kubelet-parameters"]
        assert (plan.risk, plan.undo) == (Risk.DISRUPTIVE, UndoKind.EXACT)
        assert look.cluster.truth.verdict == "stuck"
        carry_out(look, plan)
        assert truth(look, after=600) == "healthy"

    def test_nodes_that_nobody_initialises(self, rancher):
        look = rancher("v2.11.3", "k3s-flannel-cloud-uninitialized")
        plan = planned(look, "ccm-uninitialized-taint")
        assert actions(plan) == ["set-machine-config"]
        carry_out(look, plan)
        assert truth(look, after=1200) == "healthy"

    def test_definitions_that_a_newer_calico_lacks(self, rancher):
        look = rancher("v2.11.3", "rke2-canal-crd-missing-upgrade")
        plan = planned(look, "canal-crd-new-resource-missing")
        assert actions(plan) == ["register-crds", "add-manifest", "restart-cni-pods"]
        assert [name for name, _ in plan.done] == ["restart-cni-pods"]
        assert plan.undo is UndoKind.NONE
        carry_out(look, plan)
        assert truth(look, after=1200) != "stuck"

    def test_pod_ranges_that_the_controller_manager_may_give_again(self, rancher):
        look = rancher("v2.11.3", "rke1-flannel-podcidr-not-assigned")
        plan = planned(look, "node-podcidr-not-assigned")
        assert actions(plan) == ["set-rke1-service-argument"]
        carry_out(look, plan)
        assert truth(look, after=1200) == "healthy"


class TestVariants:
    def test_where_nothing_forbids_the_controller_manager_ranges_are_given_as_one(self, rancher):
        look = rancher("v2.11.3", "rke1-flannel-podcidr-not-assigned")
        freeze(look)
        nothing = {"services": {"kubeController": {"extraArgs": None}}}
        path = f"/apis/management.cattle.io/v3/clusters/{look.cluster.id}"
        send(look, "PATCH", path, {"spec": {"rancherKubernetesEngineConfig": nothing}})
        plan = planned(look, "node-podcidr-not-assigned")
        assert actions(plan) == ["assign-pod-cidr"]
        assert plan.undo is UndoKind.NONE

    def test_definitions_out_of_reach_go_through_the_node(self, rancher):
        look = rancher(*UNREACHED)
        plan = planned(look, "canal-crd-missing")
        assert actions(plan) == ["register-crds"]
        assert plan.steps[0].writes[0].place.path[-1] == "additionalManifest"
        plan = planned(look, "canal-crd-new-resource-missing")
        assert actions(plan) == ["add-manifest"]
        assert len(plan.steps[0].writes) == 3

    def test_definitions_are_awaited_before_the_pods_restart(self, rancher):
        look = rancher("v2.11.3", "rke2-canal-crd-missing-upgrade")
        assert gather()["register-crds"].settled is not None
        assert actions(planned(look, "canal-crd-missing")) == ["register-crds", "restart-cni-pods"]

    @pytest.mark.parametrize(
        ("signature", "scenario", "wanted"),
        [
            ("canal-rbac-forbidden", UNREACHED, ["add-manifest"]),
            ("flannel-nft-binary-missing", UNREACHED, ["set-chart-values"]),
            ("flannel-no-ip-stack", UNREACHED, ["set-chart-values"]),
            ("flannel-wrong-interface", UNREACHED, ["set-flannel-interface"]),
            ("flannel-no-interface", UNREACHED, ["set-flannel-interface"]),
            ("rke2-flannel-missing-tolerations", ("v2.11.3", "rke2-flannel-healthy"), ["set-chart-values"]),
            ("helm-job-retries-exhausted", HEALTHY, ["rerun-helm-job"]),
            ("calico-cni-unauthorized", HEALTHY, ["restart-cni-pods"]),
            ("flannel-subnet-env-missing", ("v2.11.3", "rke1-flannel-br-netfilter"), ["restart-cni-pods"]),
            ("canal-rbac-forbidden", ("v2.11.3", "rke1-canal-br-netfilter"), ["add-manifest"]),
            ("canal-rbac-forbidden", ("v2.11.3", "rke1-flannel-br-netfilter"), ["add-manifest"]),
        ],
    )
    def test_what_is_planned(self, rancher, signature, scenario, wanted):
        assert actions(planned(rancher(*scenario), signature)) == wanted

    def test_broken_chart_values_go_back(self, rancher):
        look = rancher(*HEALTHY)
        edit(look, chartValues={"rke2-canal": {"flannel": "x"}})
        for signature in ("helm-values-invalid", "cni-config-invalid"):
            assert actions(planned(look, signature)) == ["set-chart-values"]

    def test_pinned_images_go(self, rancher):
        look = rancher(*HEALTHY)
        assert isinstance(planned(look, "cni-image-pull-failed"), Explanation)
        edit(look, chartValues={"rke2-canal": {"calico": {"nodeImage": {"tag": "v0"}, "vethuMTU": 1400}}})
        plan = planned(look, "cni-image-pull-failed")
        carry_out(look, plan)
        assert config(look)["chartValues"]["rke2-canal"] == {"calico": {"vethuMTU": 1400}}

    def test_a_stray_range_goes(self, rancher):
        look = rancher(*HEALTHY)
        edit(look, chartValues={"rke2-canal": {"podCidr": "10.99.0.0/16"}})
        assert actions(planned(look, "podcidr-outside-network")) == ["set-chart-values"]

    def test_the_proxys_mode_follows_the_cni(self, rancher):
        look = rancher(*HEALTHY)
        assert isinstance(planned(look, "kube-proxy-nftables-mismatch"), Explanation)
        edit(look, machineGlobalConfig={"kube-proxy-arg": ["proxy-mode=nftables", "v=2"]})
        plan = planned(look, "kube-proxy-nftables-mismatch")
        carry_out(look, plan)
        assert config(look)["machineGlobalConfig"]["kube-proxy-arg"] == ["v=2"]

    def test_deleting_nodes_saves_etcd_first(self, rancher):
        look = rancher("v2.11.3", "rke2-canal-cidr-exhausted")
        plan = planned(look, "cidr-not-available")
        assert isinstance(plan, Plan)
        assert plan.etcd_saved
        assert plan.steps[-1].action == "remove-stale-node"
        assert (plan.risk, plan.undo) == (Risk.DESTRUCTIVE, UndoKind.NONE)

    @pytest.mark.parametrize("signature", ["vxlan-module-missing", "vxlan-checksum-offload", "cni-leftover-config"])
    @pytest.mark.parametrize("scenario", [HEALTHY, UNREACHED])
    def test_on_the_hosts_only_with_the_label(self, rancher, signature, scenario):
        look = rancher(*scenario)
        refused = planned(look, signature)
        assert isinstance(refused, Explanation)
        assert "drover.io/host-fix=allow" in refused.why
        allow(look)
        plan = planned(look, signature)
        assert actions(plan) == ["host-fix", "end-host-fix"]
        assert (plan.risk, plan.undo) == (Risk.DISRUPTIVE, UndoKind.NONE)

    def test_windows_pods_restart_as_a_step_of_their_own(self, rancher):
        look = rancher(*HEALTHY)
        freeze(look)
        labels = {"app": "calico-windows"}
        pod = {"nodeSelector": {"kubernetes.io/os": "windows"}, "containers": [{"name": "c", "image": "c"}]}
        item = {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {"name": "calico-windows", "namespace": "kube-system"},
            "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}},
        }
        path = "/apis/apps/v1/namespaces/kube-system/daemonsets"
        inside(look, "POST", path, item)
        inside(look, "PATCH", f"{path}/calico-windows/status", {"status": {"desiredNumberScheduled": 2}})
        plan = planned(look, "felix-not-ready-503")
        assert [write.place.name for step in plan.steps for write in step.writes] == ["rke2-canal", "calico-windows"]


class TestFiles:
    def test_every_manifest_that_a_playbook_names_is_shipped(self):
        shipped = {path.stem for path in (shipped_config_dir() / "manifests").glob("*.yaml")}
        named = {
            str(name)
            for book in BOOKS.values()
            for variant in book.variants
            for step in variant.steps
            for name in [*step.arguments.get("manifests", []), *step.arguments.get("sets", [])]
        }
        assert named
        assert named <= shipped

    @pytest.mark.parametrize("signature", sorted(SIGNATURES & set(BOOKS)))
    def test_people_get_commands_and_not_only_words(self, signature):
        book = BOOKS[signature]
        assert len(book.explain) >= 2
        assert any("`" in step for step in book.explain)

    def test_a_host_fix_is_always_taken_out_again(self):
        for book in BOOKS.values():
            for variant in book.variants:
                fixes = [step.arguments for step in variant.steps if step.action == "host-fix"]
                ends = [step.arguments for step in variant.steps if step.action == "end-host-fix"]
                assert fixes == ends

    def test_one_field_is_written_by_one_step(self, rancher):
        """A preview cannot see what an earlier step of the same plan will have written."""
        for book in BOOKS.values():
            for variant in book.variants:
                assert sum(step.action == "add-manifest" for step in variant.steps) <= 1
                assert sum(step.action == "set-chart-values" for step in variant.steps) <= 1
                assert sum(step.action == "set-machine-config" for step in variant.steps) <= 1

    def test_playbooks_are_named_after_what_they_do(self):
        for path in Path(shipped_config_dir() / "playbooks").glob("*.yaml"):
            assert path.stem in {book.id for book in BOOKS.values()}


def test_planning_writes_nothing(rancher):
    look = rancher(*HEALTHY)
    for book in {book.id: book for book in BOOKS.values()}.values():
        make_plan(book, book.signatures[0], look(), gather())
    assert not look.fleet.journal
