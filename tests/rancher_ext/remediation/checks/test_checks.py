"""Does each trap stop a plan, or is said in it, and does nothing stand in the way of a plan that is right?"""

import dataclasses
from datetime import timedelta

import pytest

from rancher_ext.client.changes import ABSENT, Place, Value
from rancher_ext.client.kubernetes import CONFIG_MAPS, HELM_CHARTS, MANAGEMENT_CLUSTERS, PROVISIONING_CLUSTERS, Resource
from rancher_ext.fleet.versions import Version
from rancher_ext.remediation import checks
from rancher_ext.remediation.action import PlannedStep
from rancher_ext.remediation.change import Call, Change, Target
from rancher_ext.remediation.check import Caution, Obstacle
from rancher_ext.remediation.checks import argument_reaches_machine as argument
from rancher_ext.remediation.checks import cluster_template as template
from rancher_ext.remediation.checks import drain_while_disconnected as drain
from rancher_ext.remediation.checks import etcd_requests as etcd
from rancher_ext.remediation.checks import known_calls, manifest_deletes, never_changed, other_operation, paused
from rancher_ext.remediation.checks import unhealthy_node_timeout as timeout
from tests.builders import a_cluster
from tests.rancher_ext.remediation.world import edit, send

RKE = ("spec", "rkeConfig")
ARGUMENT = (*RKE, "machineGlobalConfig", "kubelet-arg")
MANIFEST = (*RKE, "additionalManifest")
CRD = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: tiers.crd.projectcalico.org}\n"
SELECTED = (*RKE, "machineSelectorConfig")
CHART_CONFIGS = Resource("helm.cattle.io", "v1", "helmchartconfigs")
CHART = (
    "apiVersion: helm.cattle.io/v1\nkind: HelmChartConfig\nmetadata: {name: rke2-canal, namespace: kube-system}\n"
    "spec:\n  valuesContent: |-\n    flannel:\n      backend: host-gw\n"
)
NET_CONF = (
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: canal-config}\n"
    'data:\n  net-conf.json: |\n    {"Network": "10.42.0.0/16"}\n'
)
ROLE = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: mine}\n"


def value(given):
    return ABSENT if given is None else Value(present=True, value=given)


def steps(*writes):
    return [PlannedStep("any", "any", tuple(writes), "", "")]


def change(path, after, before=None, *, resource=PROVISIONING_CLUSTERS):
    return Change(Place(resource, "fleet-default", "shop", path), "uid", value(before), value(after))


@pytest.fixture
def offline():
    """A check that looks at the plan alone needs no server."""
    return Target(a_cluster(), None)


def without_reading(check, target, *writes):
    return check.look(target, steps(*writes))


def test_every_file_is_found_and_the_right_plan_meets_no_obstacle(rancher):
    look = rancher(scenario="rke2-canal-healthy", still=True)
    plan = steps(change((*RKE, "chartValues", "rke2-canal", "flannel", "iface"), "eth0"))
    assert len(checks.gather()) == 10
    assert [check.look(look(), plan) for check in checks.gather().values()] == [None] * 10


class TestNeverChanged:
    @pytest.mark.parametrize(
        ("path", "resource"),
        [
            ((*RKE, "machineGlobalConfig", "cni"), PROVISIONING_CLUSTERS),
            ((*RKE, "machineGlobalConfig", "cluster-cidr"), PROVISIONING_CLUSTERS),
            ((*RKE, "chartValues", "rke2-canal", "flannel", "backend"), PROVISIONING_CLUSTERS),
            ((*RKE, "chartValues", "rke2-flannel", "flannel", "vni"), PROVISIONING_CLUSTERS),
            (("spec", "rancherKubernetesEngineConfig", "network", "plugin"), MANAGEMENT_CLUSTERS),
            (
                ("spec", "rancherKubernetesEngineConfig", "network", "options", "canal_flannel_backend_vni"),
                MANAGEMENT_CLUSTERS,
            ),
        ],
    )
    def test_what_every_node_was_made_with_stays(self, offline, path, resource):
        answer = without_reading(never_changed, offline, change(path, "other", resource=resource))
        assert isinstance(answer, Obstacle)
        assert "is never changed" in answer.why

    def test_an_interface_may_be_named(self, offline):
        path = ("spec", "rancherKubernetesEngineConfig", "network", "options", "canal_iface")
        assert without_reading(never_changed, offline, change(path, "eth1", resource=MANAGEMENT_CLUSTERS)) is None

    @pytest.mark.parametrize(
        ("path", "before", "after", "what"),
        [
            ((*RKE, "machineGlobalConfig"), {"cni": "canal", "x": 1}, {"cni": "cilium", "x": 1}, "the network plugin"),
            ((*RKE, "machineGlobalConfig"), {"cluster-cidr": "10.50.0.0/16"}, {"mtu": "1400"}, "the pod range"),
            ((*RKE, "machineGlobalConfig"), None, {"service-cidr": "10.50.0.0/16"}, "the service range"),
            (RKE, {"machineGlobalConfig": {"cni": "canal"}}, {"machineGlobalConfig": {}}, "the network plugin"),
            (
                ("spec",),
                {"rkeConfig": {"machineGlobalConfig": {"flannel-backend": "host-gw"}}},
                {},
                "the overlay's backend",
            ),
            ((), {"spec": {"rkeConfig": {"machineGlobalConfig": {"cni": "canal"}}}}, None, "the network plugin"),
            (
                ("spec", "rancherKubernetesEngineConfig", "network"),
                {"plugin": "canal"},
                {"plugin": "flannel"},
                "the network plugin",
            ),
            (
                ("spec", "rancherKubernetesEngineConfig", "network"),
                {"options": {"flannel_backend_port": "8472"}},
                {"options": {"flannel_backend_port": "4789"}},
                "the overlay's port",
            ),
            (
                (*RKE, "chartValues"),
                {"rke2-canal": {"flannel": {"vni": 1}}},
                {"rke2-canal": {}},
                "the overlay's VXLAN id",
            ),
            ((*RKE, "chartValues"), {}, {"rke2-canal": {"flannel": {"port": 4789}}}, "the overlay's port"),
            (
                SELECTED,
                [{"config": {"cni": "canal"}, "machineLabelSelector": {"matchLabels": {"a": "b"}}}],
                [{"config": {"cni": "canal"}}],
                "which machines have it",
            ),
            (SELECTED, [{"config": {"kubelet-arg": ["v=2"]}}], [{"config": {"cni": "canal"}}], "the network plugin"),
            (
                (*RKE, "machineGlobalConfig", "kube-controller-manager-arg"),
                ["v=2"],
                ["v=2", "--cluster-cidr=10.42.0.0/16"],
                "the pod range",
            ),
            (MANIFEST, ROLE, f"{ROLE}---\n{CHART}", "the overlay's backend"),
            (MANIFEST, CHART, CHART.replace("host-gw", "vxlan"), "the overlay's backend"),
            (MANIFEST, CHART, ROLE, "the overlay's backend"),
            (MANIFEST, NET_CONF, NET_CONF.replace("10.42", "10.43"), "the overlay's network"),
            (MANIFEST, f"{ROLE}---\n{{", ROLE, "what cannot be read in it"),
            (MANIFEST, ROLE, CHART.replace("flannel:", "- flannel:"), "what cannot be read in it"),
        ],
    )
    def test_nor_does_it_change_as_part_of_a_whole(self, offline, path, before, after, what):
        answer = without_reading(never_changed, offline, change(path, after, before))
        assert isinstance(answer, Obstacle)
        assert answer.why.startswith(f"{what} of a living cluster is never changed")

    @pytest.mark.parametrize(
        ("resource", "path", "before", "after"),
        [
            (CONFIG_MAPS, ("data",), {"net-conf.json": '{"Network": "a"}'}, {"net-conf.json": '{"Network": "b"}'}),
            (CONFIG_MAPS, (), None, {"data": {"net-conf.json": "{}"}}),
            (CHART_CONFIGS, ("spec", "valuesContent"), "flannel: {backend: vxlan}", "flannel: {backend: host-gw}"),
            (CHART_CONFIGS, (), None, {"spec": {"valuesContent": "flannel: {backendPort: 4789}"}}),
            (HELM_CHARTS, ("spec", "set"), {"flannel.backend": "vxlan"}, {"flannel.backend": "host-gw"}),
        ],
    )
    def test_nor_in_the_cluster_itself(self, offline, resource, path, before, after):
        written = dataclasses.replace(change(path, after, before, resource=resource), downstream=True)
        assert isinstance(without_reading(never_changed, offline, written), Obstacle)

    @pytest.mark.parametrize(
        ("path", "before", "after"),
        [
            ((*RKE, "machineGlobalConfig"), {"cni": "canal"}, {"cni": "canal", "kubelet-arg": ["max-pods=200"]}),
            ((*RKE, "machineGlobalConfig"), {}, {"cluster-cidr": "10.42.0.0/16", "cni": "canal"}),
            (
                RKE,
                {"chartValues": {}},
                {"chartValues": {"rke2-canal": {"flannel": {"iface": "eth1", "backend": "vxlan"}}}},
            ),
            (
                SELECTED,
                [{"config": {"a": "b"}}, {"config": {"cni": "canal"}}],
                [{"config": {"cni": "canal", "x": "y"}}],
            ),
            (MANIFEST, f"{ROLE}---\n{CHART}", f"{CHART}---\n{CRD}"),
            (MANIFEST, NET_CONF, NET_CONF.replace('"Network": ', '"Network":     ')),
            ((*RKE, "chartValues", "rke2-ingress-nginx", "controller"), {}, {"service": {"port": 8080}}),
        ],
    )
    def test_a_whole_that_keeps_it_may_be_written(self, offline, path, before, after):
        assert without_reading(never_changed, offline, change(path, after, before)) is None

    def test_what_is_said_for_the_first_time_is_no_change_of_a_cluster_that_never_was_up(self):
        young = Target(a_cluster(initialized=False), None)
        path = (*RKE, "machineGlobalConfig")
        assert without_reading(never_changed, young, change(path, {"cni": "cilium"}, {})) is None
        assert isinstance(without_reading(never_changed, young, change(path, {"cni": "x"}, {"cni": "y"})), Obstacle)

    def test_the_chart_may_be_told_the_clusters_own_range_and_no_other(self, rancher):
        look = rancher(scenario="rke2-canal-healthy", still=True)
        path = (*RKE, "chartValues", "rke2-canal")
        for after, stays in (({"podCidr": "10.42.0.0/16"}, True), ({}, True), ({"podCidr": "10.9.0.0/16"}, False)):
            answer = never_changed.look(look(), steps(change(path, after, {"podCidr": "10.8.0.0/16"})))
            assert (answer is None) is stays, answer

    @pytest.mark.parametrize(
        "text",
        [
            "a: &a [*a]\n",
            "\n".join(f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]" if n else "x0: &x0 [1]" for n in range(12)),
        ],
    )
    def test_what_repeats_itself_without_end_is_not_followed(self, offline, text):
        manifest = f"kind: HelmChartConfig\nmetadata: {{name: x}}\nspec:\n  {text.replace(chr(10), chr(10) + '  ')}"
        answer = without_reading(never_changed, offline, change(MANIFEST, manifest, ROLE))
        assert "more in it than can be compared" in answer.why


class TestNorman:
    def test_only_actions_with_a_known_effect(self, offline):
        assert without_reading(known_calls, offline, Call("cluster", "c-1", "backupEtcd")) is None
        answer = without_reading(known_calls, offline, Call("cluster", "c-1", "rotateCertificates"))
        assert isinstance(answer, Obstacle)


class TestManifest:
    def test_a_definition_that_leaves_takes_its_objects_along(self, offline):
        answer = without_reading(manifest_deletes, offline, change(MANIFEST, ROLE, f"{ROLE}---\n{CRD}"))
        assert isinstance(answer, Obstacle)
        assert "tiers.crd.projectcalico.org" in answer.why

    def test_another_document_that_leaves_is_named(self, offline):
        answer = without_reading(manifest_deletes, offline, change(MANIFEST, CRD, f"{ROLE}---\n{CRD}"))
        assert answer == Caution("The nodes delete ClusterRole mine with the document.")

    def test_a_document_that_is_added_is_no_matter(self, offline):
        assert without_reading(manifest_deletes, offline, change(MANIFEST, f"{ROLE}---\n{CRD}", ROLE)) is None


class TestArguments:
    @pytest.fixture
    def known(self, monkeypatch):
        monkeypatch.setattr(argument, "known_arguments", lambda _: frozenset({"kubelet-arg", "flannel-iface"}))

    @pytest.mark.parametrize("given", [1400, {"a": 1}, ["a", 1], 1.5])
    def test_a_value_that_is_no_text_vanishes(self, offline, known, given):
        answer = without_reading(argument, offline, change(ARGUMENT, given))
        assert isinstance(answer, Obstacle)
        assert "only strings, booleans and lists of strings" in answer.why

    def test_a_key_that_the_metadata_do_not_know_vanishes(self, offline, known):
        answer = without_reading(argument, offline, change((*RKE, "machineGlobalConfig", "no-such"), "x"))
        assert isinstance(answer, Obstacle)
        assert "do not know no-such" in answer.why

    def test_a_pools_own_arguments_are_looked_at_too(self, offline, known):
        entry = {"config": {"no-such": "x"}, "machineLabelSelector": {}}
        answer = without_reading(argument, offline, change((*RKE, "machineSelectorConfig"), [entry], []))
        assert isinstance(answer, Obstacle)

    def test_what_survives_passes_and_what_is_taken_away_needs_no_reading(self, offline, known):
        assert without_reading(argument, offline, change(ARGUMENT, ["max-pods=110"])) is None
        assert without_reading(argument, offline, change((*RKE, "machineGlobalConfig", "gone"), None, "x")) is None

    def test_where_the_metadata_cannot_be_asked_the_kind_of_the_value_still_counts(self, offline, monkeypatch):
        monkeypatch.setattr(argument, "known_arguments", lambda _: frozenset())
        assert without_reading(argument, offline, change((*RKE, "machineGlobalConfig", "any"), "x")) is None
        assert isinstance(without_reading(argument, offline, change(ARGUMENT, 5)), Obstacle)


class TestEtcd:
    CREATE = (*RKE, "etcdSnapshotCreate", "generation")
    RESTORE = (*RKE, "etcdSnapshotRestore")

    def test_no_request_to_a_cluster_that_was_never_up(self, offline):
        target = Target(dataclasses.replace(offline.snapshot, initialized=False), None)
        for path in (self.CREATE, self.RESTORE):
            assert isinstance(without_reading(etcd, target, change(path, 1)), Obstacle)

    def test_a_restore_without_an_agent_is_said_to_hang(self, offline):
        target = Target(dataclasses.replace(offline.snapshot, initialized=True, connected=False), None)
        answer = without_reading(etcd, target, change(self.RESTORE, {"generation": 1}))
        assert isinstance(answer, Caution)
        assert "it hangs" in answer.text
        assert without_reading(etcd, target, change(self.CREATE, 1)) is None


class TestPaused:
    def test_nobody_carries_out_what_is_written(self, offline):
        target = Target(dataclasses.replace(offline.snapshot, paused=True), None)
        assert isinstance(without_reading(paused, target, change(ARGUMENT, ["a"])), Obstacle)
        inside = Change(Place(PROVISIONING_CLUSTERS, "", "x", ()), "", ABSENT, value({}), downstream=True)
        assert without_reading(paused, target, inside) is None


class TestInRancher:
    """Checks that read the cluster's objects."""

    def test_a_pool_that_deletes_nodes_which_are_not_ready(self, rancher):
        look = rancher(scenario="rke2-canal-healthy", still=True)
        pools = look.cluster.wanted["rkeConfig"]["machinePools"]
        plan = steps(change(ARGUMENT, ["a"]))
        for written, answer in (("10m0s", Obstacle), ("24h0m0s", Caution), ("0s", type(None))):
            edit(look, machinePools=[{**pools[0], "unhealthyNodeTimeout": written}, *pools[1:]])
            assert isinstance(timeout.look(look(), plan), answer), written
        edit(look, machinePools=[{**pools[0], "unhealthyNodeTimeout": "10m0s"}, *pools[1:]])
        off = steps(
            change((*RKE, "machinePools"), [{**pools[0], "unhealthyNodeTimeout": "0s"}]), change(ARGUMENT, ["a"])
        )
        assert timeout.look(look(), off) is None

    @pytest.mark.parametrize(
        ("written", "means"),
        [
            ("10m0s", timedelta(minutes=10)),
            ("1h30m", timedelta(hours=1.5)),
            ("500ms", timedelta(seconds=0.5)),
            ("", timedelta()),
        ],
    )
    def test_durations_as_go_writes_them(self, written, means):
        assert timeout.duration(written) == means

    def test_a_drain_without_an_agent_never_ends(self, rancher):
        look = rancher(scenario="rke2-canal-never-connected", still=True)
        enabled = {"enabled": True}
        edit(look, upgradeStrategy={"workerDrainOptions": enabled})
        restarts, quiet = change(ARGUMENT, ["a"]), change(MANIFEST, ROLE)
        answer = drain.look(look(), steps(restarts))
        assert isinstance(answer, Obstacle)
        assert "workerDrainOptions" in answer.why
        assert drain.look(look(), steps(quiet)) is None
        first = change((*RKE, "upgradeStrategy", "workerDrainOptions", "enabled"), False, True)
        assert drain.look(look(), steps(first, restarts)) is None

    def test_a_drain_with_an_agent_is_said(self, rancher):
        look = rancher(scenario="rke2-canal-healthy", still=True)
        edit(look, upgradeStrategy={"controlPlaneDrainOptions": {"enabled": True}})
        assert isinstance(drain.look(look(), steps(change(ARGUMENT, ["a"]))), Caution)

    def test_nothing_beside_an_operation_of_ranchers(self, rancher, monkeypatch):
        look = rancher(scenario="rke2-canal-healthy", still=True)
        assert other_operation.look(look(), []) is None
        cluster = look.cluster
        wanted = {
            **cluster.wanted,
            "rkeConfig": {**cluster.wanted["rkeConfig"], "etcdSnapshotCreate": {"generation": 1}},
        }
        with look.fleet.lock:
            cluster.write_config(wanted, cluster.now)
            cluster.advance(cluster.now + 4)
        answer = other_operation.look(look(), [])
        assert isinstance(answer, Obstacle)
        assert "an etcd snapshot is being taken (phase Started)" in answer.why

    def test_a_template_s_fields_are_changed_in_the_template(self, rancher):
        look = rancher(still=True)
        identifier = look.cluster.id
        field = change(("spec", "rancherKubernetesEngineConfig", "network", "mtu"), 1400, resource=MANAGEMENT_CLUSTERS)
        assert template.look(look(), steps(field)) is None
        path = f"/apis/management.cattle.io/v3/clusters/{identifier}"
        send(look, "PATCH", path, {"spec": {"clusterTemplateRevisionId": "cattle-global-data:ctr-1"}})
        assert isinstance(template.look(look(), steps(field)), Obstacle)


def test_a_version_is_named_in_the_obstacle(monkeypatch):
    monkeypatch.setattr(argument, "known_arguments", lambda _: frozenset({"a"}))
    snapshot = dataclasses.replace(a_cluster(), kubernetes=Version.parse("v1.32.5+rke2r1"))
    answer = argument.look(Target(snapshot, None), steps(change((*RKE, "machineGlobalConfig", "b"), "x")))
    assert "v1.32.5+rke2r1" in answer.why
