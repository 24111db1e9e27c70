"""What is done inside the cluster: jobs, pods, definitions, taints and stale nodes, each once and only where it may be."""

from dataclasses import replace
from datetime import timedelta

import pytest

from rancher_ext.client.changes import FieldMoved
from rancher_ext.fleet.cluster import Management
from rancher_ext.fleet.node import Machine
from rancher_ext.remediation.action import NotNeeded, NotPossible
from rancher_ext.remediation.actions import gather
from rancher_ext.remediation.change import is_applied, is_back
from rancher_ext.simulator.clock import rfc3339
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

HEALTHY = ("v2.11.3", "rke2-canal-healthy")
LATE = ("v2.11.3", "rke2-canal-crd-missing-upgrade")
UNREACHED = ("v2.11.3", "rke2-canal-never-connected")
STALE = ("v2.11.3", "rke2-canal-cidr-exhausted")
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
CANAL = "/apis/apps/v1/namespaces/kube-system/daemonsets/rke2-canal"
JOB = "/apis/batch/v1/namespaces/kube-system/jobs/helm-install-rke2-canal"
UNINITIALIZED = "node.cloudprovider.kubernetes.io/uninitialized"


INSIDE = pytest.mark.parametrize(
    ("action", "arguments"),
    [
        ("rerun-helm-job", {"chart": "rke2-canal"}),
        ("restart-cni-pods", {}),
        ("assign-pod-cidr", {}),
        ("remove-stale-node", {}),
        ("remove-taint", {"key": UNINITIALIZED}),
    ],
)


@INSIDE
@pytest.mark.parametrize("management", [Management.IMPORTED, Management.HOSTED])
def test_nothing_is_changed_in_a_cluster_that_rancher_did_not_make(rancher, action, arguments, management):
    target = as_managed(rancher(*HEALTHY)(), management)
    answer = gather()[action].preview(target, arguments)
    assert isinstance(answer, NotPossible)
    assert "not made by this Rancher" in answer.why


def test_an_imported_cluster_gets_no_definitions_either(rancher):
    answer = gather()["register-crds"].preview(as_managed(rancher(*LATE)(), Management.IMPORTED), {})
    assert isinstance(answer, NotPossible)
    rke1 = as_managed(rancher("v2.11.3", "rke1-canal-healthy")(), Management.IMPORTED)
    assert isinstance(gather()["add-manifest"].preview(rke1, {"manifests": ["canal-rbac"]}), NotPossible)


@INSIDE
def test_nothing_is_changed_in_a_cluster_that_goes(rancher, action, arguments):
    target = rancher(*HEALTHY)()
    going = replace(target, snapshot=replace(target.snapshot, deleting=True))
    assert gather()[action].preview(going, arguments) == NotPossible("it is being deleted")


def as_managed(target, management):
    identity = replace(target.snapshot.identity, management=management)
    return replace(target, snapshot=replace(target.snapshot, identity=identity))


@INSIDE
def test_without_reach_nothing_inside_is_planned(rancher, action, arguments):
    assert "Rancher does not reach the cluster's API" in refused(rancher(*UNREACHED), action, **arguments)


class TestHelmJob:
    def test_the_ended_job_is_deleted_once_and_a_newer_one_has_to_complete(self, rancher):
        look = rancher(*HEALTHY)
        step = planned(look, "rerun-helm-job", chart="rke2-canal")
        assert not settled(look, step).holds
        carry_out(look, step)
        # The controller has made it anew: the old one is gone, and what has its name by now stays.
        assert inside(look, "GET", JOB)["metadata"]["uid"] != step.writes[0].uid
        assert carry_out(look, step) == [False]
        assert undo(look, step) == [False]
        assert is_back(look(), step.writes[0])

    def test_settled_by_the_job_of_another_uid(self, rancher):
        look = rancher(*HEALTHY)
        step = planned(look, "rerun-helm-job", chart="rke2-canal")
        object.__setattr__(step.writes[0], "uid", "an-earlier-one")
        seen = settled(look, step)
        assert seen.holds
        assert seen.seen == "helm-install-rke2-canal has completed"

    @pytest.mark.parametrize("failed", [0, 3])
    def test_a_job_at_work_is_left_alone(self, rancher, failed):
        """However often it failed before: helm that is killed in its middle leaves a release that is locked."""
        look = rancher(*HEALTHY)
        self.with_a_pod(look, {"running": {"startedAt": "2026-01-01T00:00:00Z"}}, failed=failed)
        assert "still at work" in refused(look, "rerun-helm-job", chart="rke2-canal")

    def test_between_two_tries_nobody_is_at_work(self, rancher):
        """Such a job restarts its container within one pod and counts as active all the time."""
        look = rancher(*HEALTHY)
        self.with_a_pod(look, {"waiting": {"reason": "CrashLoopBackOff"}}, failed=0)
        assert planned(look, "rerun-helm-job", chart="rke2-canal").writes

    def test_a_job_whose_pod_nobody_sees_may_be_at_work(self, rancher):
        look = rancher(*HEALTHY)
        self.with_a_pod(look, None, failed=0)
        assert "still at work" in refused(look, "rerun-helm-job", chart="rke2-canal")

    def with_a_pod(self, look, state, *, failed):
        freeze(look)
        inside(
            look,
            "PATCH",
            f"{JOB}/status",
            {"status": {"active": 1, "succeeded": 0, "failed": failed, "conditions": []}},
        )
        pods = "/api/v1/namespaces/kube-system/pods"
        for pod in inside(look, "GET", f"{pods}?labelSelector=job-name%3Dhelm-install-rke2-canal")["items"]:
            inside(look, "DELETE", f"{pods}/{pod['metadata']['name']}")
        if state is None:
            return
        name = "helm-install-rke2-canal-x"
        metadata = {"name": name, "namespace": "kube-system", "labels": {"job-name": "helm-install-rke2-canal"}}
        spec = {"containers": [{"name": "helm", "image": "helm"}]}
        inside(look, "POST", pods, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        container = {"name": "helm", "image": "helm", "imageID": "", "ready": False, "restartCount": 4, "state": state}
        inside(look, "PATCH", f"{pods}/{name}/status", {"status": {"containerStatuses": [container]}})

    def test_only_where_a_chart_brings_the_network(self, rancher):
        assert "only RKE2" in refused(rancher("v2.11.3", "k3s-flannel-healthy"), "rerun-helm-job", chart="rke2-canal")
        assert "there is no job" in refused(rancher(*HEALTHY), "rerun-helm-job", chart="rke2-flannel")


class TestRestart:
    def test_one_annotation_and_only_once(self, rancher):
        look = rancher(*HEALTHY)
        step = planned(look, "restart-cni-pods")
        assert carry_out(look, step) == [True]
        assert carry_out(look, step) == [False]
        template = inside(look, "GET", CANAL)["spec"]["template"]
        assert template["metadata"]["annotations"] == {"drover.io/restarted-at-generation": "1"}
        # Taking the annotation out would restart everything once more.
        assert undo(look, step) == [False]
        assert is_back(look(), step.writes[0])

    @pytest.mark.parametrize(
        ("status", "holds", "seen"),
        [
            ({"observedGeneration": 1, "updatedNumberScheduled": 3, "numberReady": 3}, False, "3/3 restarted"),
            ({"observedGeneration": 9, "updatedNumberScheduled": 1, "numberReady": 3}, False, "1/3 restarted, 3 ready"),
            ({"observedGeneration": 9, "updatedNumberScheduled": 3, "numberReady": 2}, False, "3/3 restarted, 2 ready"),
            ({"observedGeneration": 9, "updatedNumberScheduled": 3, "numberReady": 3}, True, "3/3 restarted, 3 ready"),
        ],
    )
    def test_done_when_every_pod_is_new_and_ready(self, rancher, status, holds, seen):
        look = rancher(*HEALTHY)
        freeze(look)
        step = planned(look, "restart-cni-pods")
        carry_out(look, step)
        inside(look, "PATCH", f"{CANAL}/status", {"status": {"desiredNumberScheduled": 3, **status}})
        answer = settled(look, step)
        assert answer.holds is holds
        assert seen in answer.seen

    def test_where_every_kubelet_is_silent_nothing_was_restarted(self, rancher):
        look = rancher(*HEALTHY)
        freeze(look)
        step = planned(look, "restart-cni-pods")
        carry_out(look, step)
        status = {
            "observedGeneration": 9,
            "desiredNumberScheduled": 3,
            "updatedNumberScheduled": 0,
            "numberReady": 0,
        }
        inside(look, "PATCH", f"{CANAL}/status", {"status": status})
        for node in look().snapshot.nodes:
            conditions = [{"type": "Ready", "status": "Unknown"}]
            inside(look, "PATCH", f"/api/v1/nodes/{node.name}/status", {"status": {"conditions": conditions}})
        assert not settled(look, step).holds

    def test_a_daemon_set_that_runs_nowhere_is_not_restarted(self, rancher):
        look = rancher(*HEALTHY)
        freeze(look)
        inside(look, "PATCH", f"{CANAL}/status", {"status": {"desiredNumberScheduled": 0}})
        assert "runs on no node" in refused(look, "restart-cni-pods")

    @pytest.mark.parametrize(
        ("strategy", "why"),
        [
            ({"type": "OnDelete", "rollingUpdate": None}, "OnDelete"),
            ({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "100%"}}, "all its 3 pods at once"),
            ({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 3}}, "all its 3 pods at once"),
        ],
    )
    def test_a_strategy_that_is_no_rolling_restart_is_refused(self, rancher, strategy, why):
        look = rancher(*HEALTHY)
        inside(look, "PATCH", CANAL, {"spec": {"updateStrategy": strategy}})
        assert why in refused(look, "restart-cni-pods")

    def test_max_unavailable_is_told_as_the_controller_rounds_it(self, rancher):
        look = rancher(*HEALTHY)
        inside(look, "PATCH", CANAL, {"spec": {"updateStrategy": {"rollingUpdate": {"maxUnavailable": "34%"}}}})
        assert "2 at a time" in planned(look, "restart-cni-pods").effect

    def test_windows_is_a_step_of_its_own(self, rancher):
        look = rancher(*HEALTHY)
        freeze(look)
        nothing = NotNeeded("the CNI has no DaemonSet for Windows nodes")
        assert gather()["restart-cni-pods"].preview(look(), {"os": "windows"}) == nothing
        inside(
            look,
            "POST",
            "/apis/apps/v1/namespaces/kube-system/daemonsets",
            a_windows_daemon_set("kube-flannel-windows"),
        )
        inside(
            look, "POST", "/apis/apps/v1/namespaces/kube-system/daemonsets", a_windows_daemon_set("windows-exporter")
        )
        # A chart brings it to clusters without a Windows node, too: nothing would ever be restarted there.
        assert gather()["restart-cni-pods"].preview(look(), {"os": "windows"}) == nothing
        status = {"status": {"desiredNumberScheduled": 1}}
        inside(look, "PATCH", "/apis/apps/v1/namespaces/kube-system/daemonsets/kube-flannel-windows/status", status)
        step = planned(look, "restart-cni-pods", os="windows")
        assert [write.place.name for write in step.writes] == ["kube-flannel-windows"]
        assert [write.place.name for write in planned(look, "restart-cni-pods").writes] == ["rke2-canal"]

    def test_a_cni_without_a_daemon_set_cannot_be_restarted(self, rancher):
        assert "no DaemonSet" in refused(rancher("v2.11.3", "k3s-flannel-healthy"), "restart-cni-pods")
        assert "understands os" in refused(rancher(*HEALTHY), "restart-cni-pods", os="solaris")


class TestDefinitions:
    def test_only_what_is_missing_is_made_and_it_stays(self, rancher):
        look = rancher(*LATE)
        step = planned(look, "register-crds")
        names = {write.place.name.split(".")[0] for write in step.writes}
        assert names == {
            "stagednetworkpolicies",
            "stagedglobalnetworkpolicies",
            "stagedkubernetesnetworkpolicies",
            "tiers",
        }
        assert not settled(look, step).holds
        assert carry_out(look, step) == [True] * 4
        assert carry_out(look, step) == [False] * 4
        assert all(is_applied(look(), write) for write in step.writes)
        made = inside(look, "GET", f"{CRDS}/tiers.crd.projectcalico.org")
        assert made["metadata"]["annotations"]["meta.helm.sh/release-name"] == "rke2-canal"
        assert undo(look, step) == [False] * 4
        assert inside(look, "GET", f"{CRDS}/tiers.crd.projectcalico.org")["metadata"]["uid"] == made["metadata"]["uid"]
        answer = gather()["register-crds"].preview(look(), {})
        assert answer == NotNeeded("the cluster has all the definitions")

    def test_the_next_step_waits_until_they_are_established(self, rancher):
        look = rancher(*LATE)
        step = planned(look, "register-crds")
        carry_out(look, step)
        for write in step.writes:
            conditions = [{"type": "Established", "status": "False"}]
            inside(look, "PATCH", f"{CRDS}/{write.place.name}/status", {"status": {"conditions": conditions}})
        assert settled(look, step).seen == "0 of 4 definitions established"
        for write in step.writes:
            conditions = [{"type": "NamesAccepted", "status": "True"}, {"type": "Established", "status": "True"}]
            inside(look, "PATCH", f"{CRDS}/{write.place.name}/status", {"status": {"conditions": conditions}})
        assert settled(look, step).seen == "all 4 definitions established"

    def test_one_that_somebody_else_made_meanwhile_is_left_alone(self, rancher):
        look = rancher(*LATE)
        step = planned(look, "register-crds")
        theirs = step.writes[0].after.value
        spec = {**theirs["spec"], "names": {**theirs["spec"]["names"], "shortNames": ["x"]}}
        metadata = {"name": theirs["metadata"]["name"], "labels": {"app.kubernetes.io/managed-by": "team"}}
        inside(look, "POST", CRDS, {**theirs, "metadata": metadata, "spec": spec})
        with pytest.raises(FieldMoved, match="exists already"):
            carry_out(look, step)

    def test_out_of_reach_the_control_plane_node_makes_them(self, rancher):
        look = rancher(*UNREACHED)
        before = the_cluster(look)["spec"]
        step = planned(look, "register-crds", sets=["calico-crds", "policy-crds"])
        assert carry_out(look, step) == [True, True]
        assert "name: ippools.crd.projectcalico.org" in config(look)["additionalManifest"]
        assert settled(look, step).holds
        assert undo(look, step) == [False, False]
        assert the_cluster(look)["spec"] != before
        assert gather()["register-crds"].preview(look(), {}) == NotNeeded("additionalManifest has all the definitions")

    def test_only_canal_has_them(self, rancher):
        assert "only Canal" in refused(rancher("v2.11.3", "rke2-flannel-healthy"), "register-crds")
        assert "understands sets" in refused(rancher(*LATE), "register-crds", sets=["everything"])

    def test_a_definition_that_is_being_deleted_is_waited_for(self, rancher):
        look = rancher(*HEALTHY)
        path = f"{CRDS}/ippools.crd.projectcalico.org"
        inside(look, "PATCH", path, {"metadata": {"finalizers": ["example.com/hold"]}})
        inside(look, "DELETE", path)
        assert "ippools.crd.projectcalico.org is being deleted" in refused(look, "register-crds")


class TestStaleNodes:
    def test_nodes_without_a_machine_go_and_do_not_come_back(self, rancher):
        look = rancher(*STALE)
        step = planned(look, "remove-stale-node")
        gone = {write.place.name for write in step.writes}
        assert len(gone) == 2
        assert not gone & {machine.node for machine in look().snapshot.machines}
        assert carry_out(look, step) == [True, True]
        assert carry_out(look, step) == [False, False]
        assert not gone & {node.name for node in look().snapshot.nodes}
        assert undo(look, step) == [False, False]

    def test_a_node_made_anew_under_the_name_is_another_one(self, rancher):
        look = rancher(*STALE)
        step = planned(look, "remove-stale-node")
        object.__setattr__(step.writes[0], "uid", "an-earlier-one")
        assert carry_out(look, step) == [False, True]
        assert step.writes[0].place.name in {node.name for node in look().snapshot.nodes}

    def test_a_lease_that_is_renewed_is_a_sign_of_life(self, rancher):
        look = rancher(*STALE)
        names = sorted(write.place.name for write in planned(look, "remove-stale-node").writes)
        for name, ago in zip(names, (60, 86400), strict=True):
            lease = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": name, "namespace": "kube-node-lease"},
                "spec": {"renewTime": rfc3339(look.fleet.clock.seconds() - ago).replace("Z", ".000000Z")},
            }
            inside(look, "POST", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", lease)
        assert [write.place.name for write in planned(look, "remove-stale-node").writes] == names[1:]

    def test_silence_has_to_last(self, rancher):
        look = rancher(*STALE)
        taken = look().snapshot.taken_at
        since = min(node.ready_since for node in look().snapshot.nodes if node.ready is None)
        hours = int((taken - since) / timedelta(hours=1)) + 1
        assert "no node is without a machine" in refused(look, "remove-stale-node", silent_for=f"{hours}h")

    @pytest.mark.parametrize("ready", ["True", "False"])
    def test_a_node_that_came_back_meanwhile_is_left_alone(self, rancher, ready):
        """An etcd snapshot is taken before, which may last half an hour."""
        look = rancher(*STALE)
        step = planned(look, "remove-stale-node")
        freeze(look)
        name = step.writes[0].place.name
        conditions = [{"type": "Ready", "status": ready}]
        inside(look, "PATCH", f"/api/v1/nodes/{name}/status", {"status": {"conditions": conditions}})
        with pytest.raises(FieldMoved, match=f"{name} answers again"):
            carry_out(look, step)
        assert name in {node.name for node in look().snapshot.nodes}

    def test_a_lease_that_is_renewed_meanwhile_is_a_sign_of_life(self, rancher):
        look = rancher(*STALE)
        step = planned(look, "remove-stale-node")
        name = step.writes[0].place.name
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": name, "namespace": "kube-node-lease"},
            "spec": {"renewTime": rfc3339(look.fleet.clock.seconds() - 5).replace("Z", ".000000Z")},
        }
        inside(look, "POST", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", lease)
        with pytest.raises(FieldMoved, match=f"{name} answers again"):
            carry_out(look, step)

    def test_a_machine_without_a_node_might_be_the_silent_one(self, rancher):
        """Rancher knows the node of a machine only while it reaches the cluster."""
        look = rancher(*STALE)
        target = look()
        gone = {write.place.name for write in planned(look, "remove-stale-node").writes}
        since = min(node.ready_since for node in target.snapshot.nodes if node.name in gone)
        for created, why in ((since - timedelta(days=1), "custom-1 does not say"), (target.snapshot.taken_at, "")):
            machine = Machine("custom-1", created, registered=False)
            snapshot = replace(target.snapshot, machines=(*target.snapshot.machines, machine))
            answer = gather()["remove-stale-node"].preview(replace(target, snapshot=snapshot), {})
            assert (why in answer.why) if why else len(answer.writes) == 2

    def test_nodes_with_etcd_are_for_people(self, rancher):
        look = rancher(*STALE)
        name = planned(look, "remove-stale-node").writes[0].place.name
        inside(
            look, "PATCH", f"/api/v1/nodes/{name}", {"metadata": {"labels": {"node-role.kubernetes.io/etcd": "true"}}}
        )
        assert "takes its etcd member along" in refused(look, "remove-stale-node")

    def test_a_healthy_cluster_has_none(self, rancher):
        assert "no node is without a machine" in refused(rancher(*HEALTHY), "remove-stale-node")


SWITCHED_OFF = {"machineGlobalConfig": {"disable-cloud-controller": True}}


class TestTaints:
    @pytest.fixture
    def tainted(self, rancher):
        look = rancher(*HEALTHY)
        freeze(look)
        name = min(node.name for node in look().snapshot.nodes)
        taints = [
            {"key": UNINITIALIZED, "value": "true", "effect": "NoSchedule"},
            {"key": "team", "effect": "NoExecute"},
        ]
        inside(look, "PATCH", f"/api/v1/nodes/{name}", {"spec": {"taints": taints}})
        for pod in inside(look, "GET", "/api/v1/namespaces/kube-system/pods")["items"]:
            if "cloud-controller-manager" in pod["metadata"]["name"]:
                inside(look, "DELETE", f"/api/v1/namespaces/kube-system/pods/{pod['metadata']['name']}")
        return look, name, taints

    def test_only_ours_goes_and_only_ours_comes_back(self, tainted):
        look, name, taints = tainted
        edit(look, **SWITCHED_OFF)
        step = planned(look, "remove-taint", key=UNINITIALIZED)
        assert carry_out(look, step) == [True]
        assert carry_out(look, step) == [False]
        node = inside(look, "GET", f"/api/v1/nodes/{name}")
        assert node["spec"]["taints"] == taints[1:]
        # Taints come and go with a node's state: those of others stay as they are by now.
        theirs = [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]
        inside(look, "PATCH", f"/api/v1/nodes/{name}", {"spec": {"taints": theirs}})
        assert undo(look, step) == [True]
        assert undo(look, step) == [False]
        assert inside(look, "GET", f"/api/v1/nodes/{name}")["spec"]["taints"] == [*theirs, taints[0]]

    def test_taken_back_without_other_changes_it_is_as_it_was(self, tainted):
        look, name, taints = tainted
        edit(look, **SWITCHED_OFF)
        inside(look, "PATCH", f"/api/v1/nodes/{name}", {"spec": {"taints": taints[:1]}})
        step = planned(look, "remove-taint", key=UNINITIALIZED)
        carry_out(look, step)
        assert "taints" not in inside(look, "GET", f"/api/v1/nodes/{name}")["spec"]
        undo(look, step)
        assert inside(look, "GET", f"/api/v1/nodes/{name}")["spec"]["taints"] == taints[:1]
        assert is_back(look(), step.writes[0])

    @pytest.mark.parametrize(
        ("config", "why"),
        [
            # Rancher's own form writes it into an entry without a selector.
            ({"cloud-provider-name": "aws"}, "cloud provider aws"),
            # The way of Rancher's guide for clouds outside of Kubernetes' tree.
            ({"kubelet-arg": ["max-pods=200", "cloud-provider=external"]}, "cloud provider external"),
        ],
    )
    def test_a_cloud_that_is_named_for_some_machines_counts(self, tainted, config, why):
        look, _, _ = tainted
        edit(look, **SWITCHED_OFF, machineSelectorConfig=[{"config": config}])
        assert why in refused(look, "remove-taint", key=UNINITIALIZED)

    def test_nodes_that_went_meanwhile_stop_neither_the_change_nor_its_undo(self, tainted):
        look, name, taints = tainted
        edit(look, **SWITCHED_OFF)
        other = max(node.name for node in look().snapshot.nodes)
        inside(look, "PATCH", f"/api/v1/nodes/{other}", {"spec": {"taints": taints[:1]}})
        step = planned(look, "remove-taint", key=UNINITIALIZED)
        assert len(step.writes) == 2
        inside(look, "DELETE", f"/api/v1/nodes/{other}")
        assert carry_out(look, step) == [True, False]
        assert undo(look, step) == [False, True]
        assert all(is_back(look(), write) for write in step.writes)
        assert inside(look, "GET", f"/api/v1/nodes/{name}")["spec"]["taints"][-1]["key"] == UNINITIALIZED

    def test_what_others_do_to_the_taints_does_not_make_ours_look_lost(self, tainted):
        look, name, _ = tainted
        edit(look, **SWITCHED_OFF)
        step = planned(look, "remove-taint", key=UNINITIALIZED)
        carry_out(look, step)
        theirs = [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]
        inside(look, "PATCH", f"/api/v1/nodes/{name}", {"spec": {"taints": theirs}})
        assert not is_back(look(), step.writes[0])
        undo(look, step)
        assert is_back(look(), step.writes[0])

    def test_a_controller_that_may_still_do_it_is_left_to_it(self, tainted):
        look, _, _ = tainted
        assert "not switched off" in refused(look, "remove-taint", key=UNINITIALIZED)
        edit(look, machineGlobalConfig={"disable-cloud-controller": True, "cloud-provider-name": "aws"})
        assert "cloud provider aws" in refused(look, "remove-taint", key=UNINITIALIZED)

    def test_a_cloud_controller_that_runs_knows_better(self, tainted):
        look, name, _ = tainted
        edit(look, **SWITCHED_OFF)
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"cloud-controller-manager-{name}", "namespace": "kube-system"},
            "spec": {"nodeName": name, "containers": [{"name": "c", "image": "c"}]},
        }
        path = "/api/v1/namespaces/kube-system/pods"
        inside(look, "POST", path, pod)
        inside(look, "PATCH", f"{path}/{pod['metadata']['name']}/status", {"status": {"phase": "Running"}})
        assert "runs: it takes the taint off" in refused(look, "remove-taint", key=UNINITIALIZED)

    def test_a_network_taint_goes_only_where_the_network_is_there(self, tainted):
        look, name, _ = tainted
        key = "node.kubernetes.io/network-unavailable"
        inside(look, "PATCH", f"/api/v1/nodes/{name}", {"spec": {"taints": [{"key": key, "effect": "NoSchedule"}]}})
        conditions = [{"type": "NetworkUnavailable", "status": "True"}]
        inside(look, "PATCH", f"/api/v1/nodes/{name}/status", {"status": {"conditions": conditions}})
        assert "no node carries" in refused(look, "remove-taint", key=key)
        conditions = [{"type": "NetworkUnavailable", "status": "False"}]
        inside(look, "PATCH", f"/api/v1/nodes/{name}/status", {"status": {"conditions": conditions}})
        assert planned(look, "remove-taint", key=key).writes

    def test_other_taints_are_somebodys_wish(self, tainted):
        assert "understands key" in refused(tainted[0], "remove-taint", key="team")


def a_windows_daemon_set(name):
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": "kube-system"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"nodeSelector": {"kubernetes.io/os": "windows"}, "containers": [{"name": "c", "image": "c"}]},
            },
        },
    }


def test_the_helpers_write_to_the_right_side(rancher):
    look = rancher(*HEALTHY)
    assert send(look, "GET", "/api/v1/namespaces/fleet-default")["kind"] == "Namespace"
    assert inside(look, "GET", "/api/v1/namespaces/kube-system")["kind"] == "Namespace"
