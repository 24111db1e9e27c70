"""Do the actions of RKE1 write one field each, keep what stands beside it, and refuse where the write would do harm?"""

from dataclasses import replace

import pytest
import requests

from rancher_ext.client.changes import FieldMoved
from rancher_ext.client.kubernetes import MANAGEMENT_CLUSTERS
from rancher_ext.client.norman import Norman
from rancher_ext.client.transport import TokenSource, Transport
from rancher_ext.errors import NotFound
from rancher_ext.remediation.action import NotPossible, PlannedStep, Settled
from rancher_ext.remediation.actions import gather
from rancher_ext.remediation.actions import refresh_kontainer_metadata as refresh
from rancher_ext.remediation.actions import rerun_rke1_network_job as rerun
from rancher_ext.remediation.actions import set_rke1_service_argument as argument
from rancher_ext.remediation.actions import set_rke1_service_env as env
from rancher_ext.simulator import metadata
from rancher_ext.simulator.clock import rfc3339
from rancher_ext.simulator.fleet import READER_TOKEN

BR_NETFILTER = {"service": "kubeproxy", "env": "RKE_KUBE_PROXY_BR_NETFILTER=true"}


def planned(action, look, **arguments):
    step = action.preview(look(), arguments)
    assert isinstance(step, PlannedStep), step
    return step


def config(look):
    item = look().local.get(MANAGEMENT_CLUSTERS, look.cluster.id)
    return item["spec"]["rancherKubernetesEngineConfig"]


def change(look, config=None, **spec):
    url = f"{look.server.url}/k8s/clusters/local/apis/management.cattle.io/v3/clusters/{look.cluster.id}"
    headers = {"Authorization": f"Bearer {look.server.token}", "Content-Type": "application/merge-patch+json"}
    body = {"spec": spec | ({"rancherKubernetesEngineConfig": config} if config else {})}
    requests.patch(url, json=body, headers=headers, timeout=10).raise_for_status()


def apply(action, look, step):
    return [action.apply(look(), write) for write in step.writes]


def take_back(action, look, step):
    return [action.take_back(look(), write) for write in reversed(step.writes)]


class TestEnv:
    def test_it_is_appended_once_and_taken_back_beside_what_others_added(self, rancher):
        look = rancher(still=True)
        change(look, {"services": {"kubeproxy": {"extraEnv": ["A=1"]}}})
        step = planned(env.ACTION, look, **BR_NETFILTER)
        assert step.diff.endswith("       - A=1\n+      - RKE_KUBE_PROXY_BR_NETFILTER=true")
        assert apply(env.ACTION, look, step)[0].wrote
        assert not apply(env.ACTION, look, step)[0].wrote
        assert config(look)["services"]["kubeproxy"]["extraEnv"] == ["A=1", BR_NETFILTER["env"]]
        change(look, {"services": {"kubeproxy": {"extraEnv": ["A=1", BR_NETFILTER["env"], "B=2"]}}})
        take_back(env.ACTION, look, step)
        assert config(look)["services"]["kubeproxy"]["extraEnv"] == ["A=1", "B=2"]

    def test_where_there_was_none_nothing_stays_behind(self, rancher):
        look = rancher(still=True)
        before = config(look)
        step = planned(env.ACTION, look, **BR_NETFILTER)
        apply(env.ACTION, look, step)
        take_back(env.ACTION, look, step)
        assert config(look) == before

    @pytest.mark.parametrize(
        ("image", "why"),
        [
            ("rancher/rke-tools:v0.1.110", "only rke-tools v0.1.111 and newer know the variable"),
            ("mirror:5000/rke-tools:latest", "only rke-tools v0.1.111 and newer know the variable"),
            (None, "v1.32.2-rancher1-1 uses rancher/rke-tools:v0.1.110, and only rke-tools v0.1.111"),
        ],
    )
    def test_not_with_an_image_that_does_not_know_the_variable(self, rancher, image, why):
        look = rancher("v2.10.3", still=True)
        if image:
            change(look, {"systemImages": {"kubernetesServicesSidecar": image}})
        answer = env.preview(look(), {**BR_NETFILTER, "rke_tools": "v0.1.111"})
        assert isinstance(answer, NotPossible)
        assert why in answer.why

    def test_what_cannot_be_read_is_not_assumed(self, rancher):
        look = rancher(still=True)
        look.fleet.local.drop(metadata.IMAGES, metadata.NAMESPACE, "v1.32.2-rancher1-1")
        answer = env.preview(look(), {**BR_NETFILTER, "rke_tools": "v0.1.111"})
        assert answer.why.startswith("which rke-tools image v1.32.2-rancher1-1 uses cannot be read")

    def test_the_image_of_the_release_metadata_counts(self, rancher):
        assert planned(env.ACTION, rancher("v2.11.3", still=True), **BR_NETFILTER, rke_tools="v0.1.111")

    def test_an_image_of_the_clusters_own_counts(self, rancher):
        look = rancher("v2.10.3", still=True)
        change(look, {"systemImages": {"kubernetesServicesSidecar": "mirror:5000/rancher/rke-tools:v0.1.112"}})
        assert planned(env.ACTION, look, **BR_NETFILTER, rke_tools="v0.1.111").effect.startswith(
            "Rancher re-creates the kubeproxy"
        )

    def test_a_variable_that_is_set_is_left_alone(self, rancher):
        look = rancher(still=True)
        change(look, {"services": {"kubeproxy": {"extraEnv": ["RKE_KUBE_PROXY_BR_NETFILTER=false"]}}})
        answer = env.preview(look(), BR_NETFILTER)
        assert answer == NotPossible("services.kubeproxy.extraEnv already has RKE_KUBE_PROXY_BR_NETFILTER=false")

    @pytest.mark.parametrize("arguments", [{}, {"service": "etcd", "env": "A=1"}, {"service": "kubelet", "env": "A"}])
    def test_wishes_without_sense_are_refused(self, rancher, arguments):
        assert isinstance(env.preview(rancher(still=True)(), arguments), NotPossible)


MAX_PODS = {"service": "kubelet", "key": "max-pods", "value": "200"}


class TestArgument:
    def test_only_our_key_is_written_and_taken_back(self, rancher):
        look = rancher(still=True)
        change(look, {"services": {"kubelet": {"extraArgs": {"v": "4"}}}})
        step = planned(argument.ACTION, look, **MAX_PODS)
        apply(argument.ACTION, look, step)
        assert not apply(argument.ACTION, look, step)[0].wrote
        assert config(look)["services"]["kubelet"]["extraArgs"] == {"v": "4", "max-pods": "200"}
        change(look, {"services": {"kubelet": {"extraArgs": {"v": "2"}}}})
        take_back(argument.ACTION, look, step)
        assert config(look)["services"]["kubelet"]["extraArgs"] == {"v": "2"}

    def test_the_map_made_for_it_goes_with_it(self, rancher):
        look = rancher(still=True)
        before = config(look)
        step = planned(argument.ACTION, look, **MAX_PODS)
        apply(argument.ACTION, look, step)
        take_back(argument.ACTION, look, step)
        assert config(look) == before

    def test_an_override_is_removed_only_with_the_value_that_harms(self, rancher):
        look = rancher(still=True)
        wish = {"service": "kubeController", "key": "allocate-node-cidrs", "remove": "false"}
        assert "nothing to remove" in argument.preview(look(), wish).why
        change(look, {"services": {"kubeController": {"extraArgs": {"allocate-node-cidrs": "true"}}}})
        assert "it is left as it is" in argument.preview(look(), wish).why
        change(look, {"services": {"kubeController": {"extraArgs": {"allocate-node-cidrs": "false", "v": "2"}}}})
        step = planned(argument.ACTION, look, **wish)
        assert step.diff.endswith("-        allocate-node-cidrs: 'false'")
        apply(argument.ACTION, look, step)
        assert config(look)["services"]["kubeController"]["extraArgs"] == {"v": "2"}
        take_back(argument.ACTION, look, step)
        assert config(look)["services"]["kubeController"]["extraArgs"] == {"allocate-node-cidrs": "false", "v": "2"}

    def test_a_flag_that_is_no_more_goes_whatever_it_says_and_comes_back_as_it_was(self, rancher):
        look = rancher(still=True)
        change(look, {"services": {"kubelet": {"extraArgs": {"network-plugin": "cni"}}}})
        step = planned(argument.ACTION, look, service="kubelet", key="network-plugin", remove="*")
        apply(argument.ACTION, look, step)
        assert config(look)["services"]["kubelet"]["extraArgs"] == {}
        take_back(argument.ACTION, look, step)
        assert config(look)["services"]["kubelet"]["extraArgs"] == {"network-plugin": "cni"}

    def test_a_key_that_somebody_set_meanwhile_is_not_overwritten(self, rancher):
        look = rancher(still=True)
        step = planned(argument.ACTION, look, **MAX_PODS)
        change(look, {"services": {"kubelet": {"extraArgs": {"max-pods": "110"}}}})
        with pytest.raises(FieldMoved):
            apply(argument.ACTION, look, step)
        answer = argument.preview(look(), MAX_PODS)
        assert answer == NotPossible("services.kubelet.extraArgs.max-pods is already '110': somebody chose that")

    def test_a_bind_mount_is_appended(self, rancher):
        look = rancher(still=True)
        wish = {"service": "kubelet", "bind": "/opt/x:/opt/x"}
        step = planned(argument.ACTION, look, **wish)
        apply(argument.ACTION, look, step)
        assert config(look)["services"]["kubelet"]["extraBinds"] == ["/opt/x:/opt/x"]
        assert "already has" in argument.preview(look(), wish).why

    @pytest.mark.parametrize(
        ("wish", "why"),
        [
            ({"service": "kubelet", "key": "max-pods", "value": 200}, "must be text"),
            ({"service": "kubelet", "key": "max-pods"}, "either a value or the value to remove"),
            ({"service": "kubeApi", "key": "v", "value": "2"}, "none of the services"),
            ({"service": "kubelet", "bind": "/opt"}, "no bind mount"),
        ],
    )
    def test_wishes_that_would_vanish_or_mean_nothing_are_refused(self, rancher, wish, why):
        assert why in argument.preview(rancher(still=True)(), wish).why

    def test_the_ranges_of_a_cluster_with_nodes_are_never_changed(self, rancher):
        wish = {"service": "kubeController", "key": "cluster-cidr", "value": "10.99.0.0/16"}
        answer = argument.preview(rancher(still=True)(), wish)
        assert answer == NotPossible("cluster-cidr of a cluster that has nodes is never changed")

    def test_a_cluster_template_has_the_word(self, rancher):
        look = rancher(still=True)
        change(look, clusterTemplateRevisionId="cattle-global-data:ctr-1")
        for action, wish in ((argument, MAX_PODS), (env, BR_NETFILTER)):
            assert "cluster template" in action.preview(look(), wish).why

    def test_not_on_other_distributions(self, rancher):
        look = rancher("v2.12.0", "rke2-canal-never-connected", still=True)
        for action, wish in ((argument, MAX_PODS), (env, BR_NETFILTER), (rerun, {})):
            assert action.preview(look(), wish) == NotPossible("it is not an RKE1 cluster made by this Rancher")


class TestRefresh:
    def test_rancher_is_asked_and_its_new_versions_are_seen(self, rancher):
        look = rancher(still=True)
        change(look, {"kubernetesVersion": "v1.32.8-rancher1-1"})
        step = planned(refresh.ACTION, look)
        assert "release-v2.11/data.json" in step.effect
        assert step == planned(refresh.ACTION, look)
        assert refresh.settled(look(), step).seen == "Rancher does not know v1.32.8-rancher1-1"
        (write,) = step.writes
        assert str(write) == "kontainerDriver: refresh"
        assert refresh.ACTION.apply(look(), write, dry_run=True).seen == "kontainerDriver: refresh: not asked"
        assert not refresh.settled(look(), step).holds
        assert refresh.ACTION.apply(look(), write).wrote
        assert refresh.settled(look(), step) == Settled(holds=True, seen="Rancher knows v1.32.8-rancher1-1")
        assert "cannot be taken back" in refresh.ACTION.take_back(look(), write).seen

    def test_what_nobody_can_read_is_said_and_left_to_the_proof(self, rancher):
        look = rancher("v2.11.3", "rke2-canal-never-connected", still=True)
        step = planned(refresh.ACTION, look)
        assert refresh.settled(look(), step).seen == "the metadata were asked for; what Rancher loaded cannot be read"

    def test_without_the_right_it_is_not_planned(self, rancher):
        look = rancher(still=True)
        reader = Transport(look.server.url, TokenSource(READER_TOKEN))
        target = replace(look(), transport=reader)
        assert refresh.preview(target, {}) == NotPossible("this token may not refresh Rancher's release metadata")
        with pytest.raises(NotFound, match="does not offer the action 'refresh'"):
            Norman(reader).collection_action("kontainerDriver", "refresh")

    def test_without_a_source_there_is_nothing_to_load(self, rancher):
        look = rancher(still=True)
        look.fleet.set_setting("rke-metadata-config", '{"url": ""}')
        assert "names no source" in refresh.preview(look(), {}).why

    def test_not_for_a_cluster_that_rancher_did_not_make(self, rancher):
        look = rancher("v2.11.3", "imported-unreachable", still=True)
        assert "did not make" in refresh.preview(look(), {}).why

    def test_a_kind_that_the_token_does_not_see_is_no_traceback(self, rancher):
        with pytest.raises(NotFound, match="offers no type 'clusterDriver'"):
            Norman(rancher(still=True)().transport).collection_action("clusterDriver", "refresh")


def a_job(uid="old", condition=None, **status):
    conditions = [{"type": condition, "status": "True", "message": "said"}] if condition else []
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": rerun.JOB, "namespace": rerun.NAMESPACE, "uid": uid},
        "status": {"conditions": conditions, **status},
    }


class TestNetworkJob:
    @pytest.fixture
    def job(self, monkeypatch):
        """What the cluster has of the job, set by the test."""

        def given(job):
            monkeypatch.setattr(rerun, "_job", lambda _: job)

        return given

    def annotations(self, look):
        return look().local.get(MANAGEMENT_CLUSTERS, look.cluster.id)["metadata"]["annotations"]

    def uid(self, look):
        job = rerun._job(look())
        return job["metadata"]["uid"] if job else None

    def test_the_job_goes_and_rancher_is_asked_once_however_often_it_is_applied(self, rancher):
        look = rancher(still=True)
        old = self.uid(look)
        assert old
        step = planned(rerun.ACTION, look)
        assert step.diff.splitlines()[0].startswith("-job kube-system/rke-network-plugin-deploy-job")
        assert not rerun.settled(look(), step).holds
        assert all(done.wrote for done in apply(rerun.ACTION, look, step))
        assert self.uid(look) != old
        assert self.annotations(look)["rke.cattle.io/force-update"] == "true"
        assert not any(done.wrote for done in apply(rerun.ACTION, look, step))

    def test_an_undo_takes_the_request_back_and_leaves_the_job_to_rke(self, rancher):
        look = rancher(still=True)
        step = planned(rerun.ACTION, look)
        apply(rerun.ACTION, look, step)
        request, job = take_back(rerun.ACTION, look, step)
        assert request.wrote
        assert not job.wrote
        assert "rke.cattle.io/force-update" not in self.annotations(look)

    def test_only_a_job_of_another_uid_that_has_completed_settles_it(self, rancher, job):
        look = rancher(still=True)
        job(a_job())
        step = planned(rerun.ACTION, look)
        for found, holds, seen in (
            (None, False, "not made anew yet"),
            (a_job(condition="Complete"), False, "the old"),
            (a_job("new", active=1), False, "runs"),
            (a_job("new", "Failed"), False, "failed: said"),
            (a_job("new", "Complete"), True, "has completed"),
        ):
            job(found)
            settled = rerun.settled(look(), step)
            assert settled.holds is holds
            assert seen in settled.seen

    def test_without_a_job_the_request_alone_is_made(self, rancher, job):
        look = rancher(still=True)
        job(None)
        step = planned(rerun.ACTION, look)
        assert len(step.writes) == 1
        job(a_job("new", "Complete"))
        assert rerun.settled(look(), step).holds

    def test_a_job_at_work_is_left_alone_for_as_long_as_rke_waits_for_it(self, rancher, job):
        look = rancher(still=True)
        now = look.fleet.clock.seconds()
        job(a_job(active=1, startTime=rfc3339(now - 10)))
        assert rerun.preview(look(), {}) == NotPossible("the job is running at this moment")
        job(a_job(active=1, startTime=rfc3339(now - 3600)))
        assert len(planned(rerun.ACTION, look).writes) == 2

    def test_a_request_that_is_there_already_is_enough(self, rancher):
        look = rancher(still=True)
        apply(rerun.ACTION, look, planned(rerun.ACTION, look))
        assert rerun.preview(look(), {}) == NotPossible("Rancher was already asked to reconcile the cluster")

    def test_the_plan_of_an_unchanged_cluster_is_the_same(self, rancher):
        look = rancher(still=True)
        assert planned(rerun.ACTION, look) == planned(rerun.ACTION, look)


@pytest.mark.parametrize(
    ("action", "arguments"),
    [
        ("set-rke1-network-option", {"enableBrNetfilter": True}),
        ("set-rke1-service-argument", {"service": "kubelet", "key": "v", "value": "4"}),
        ("set-rke1-service-env", {"service": "kubeproxy", "env": "A=b"}),
        ("rerun-rke1-network-job", {}),
        ("replace-machine", {}),
    ],
)
def test_a_cluster_that_is_being_deleted_is_left_to_that(rancher, action, arguments):
    target = rancher()()
    going = replace(target, snapshot=replace(target.snapshot, deleting=True))
    assert gather()[action].preview(going, arguments) == NotPossible("it is being deleted")
