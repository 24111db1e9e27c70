"""Every scenario loads, says what it is, and its clusters move as the file says, by time and by what is written."""

import json
from base64 import b64decode

import pytest

from rancher_ext.simulator.fleet import Fleet
from rancher_ext.simulator.render.plan import PLANTED_TOKEN
from rancher_ext.simulator.resources import resource_of
from rancher_ext.simulator.scenario import VERDICTS, ScenarioError, load_scenario, scenario_ids, seconds

NODE, POD, CRD = (
    resource_of("v1", "Node"),
    resource_of("v1", "Pod"),
    resource_of("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
)
PROVISIONING = resource_of("provisioning.cattle.io/v1", "Cluster")
MANAGEMENT = resource_of("management.cattle.io/v3", "Cluster")
MERGE = "application/merge-patch+json"

STUCK = [
    "rke1-canal-br-netfilter",
    "rke1-flannel-br-netfilter",
    "rke1-canal-cure-fails",
    "rke1-flannel-podcidr-not-assigned",
    "rke2-canal-cidr-exhausted",
    "rke2-canal-never-connected",
    "rke2-canal-crd-missing-upgrade",
    "rke2-flannel-kubelet-flag",
    "k3s-flannel-cloud-uninitialized",
    "rke2-canal-flapping",
    "rke2-canal-heals-itself",
]


def write(fleet: Fleet, cluster, spec: dict) -> None:
    """A merge patch on the object that carries the cluster's configuration."""
    if cluster.rke1:
        fleet.local.patch(
            MANAGEMENT, ("", cluster.id), MERGE, {"spec": {"rancherKubernetesEngineConfig": spec}}, manager="test"
        )
    else:
        fleet.local.patch(
            PROVISIONING, (cluster.identity.namespace, cluster.name), MERGE, {"spec": spec}, manager="test"
        )


def ready_nodes(cluster) -> int:
    found = 0
    for node in cluster.downstream.objects(NODE):
        found += any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"]["conditions"])
    return found


def conditions(fleet: Fleet, cluster) -> dict:
    obj = fleet.local.get(MANAGEMENT, ("", cluster.id)).obj
    return {c["type"]: c for c in obj["status"]["conditions"]}


@pytest.mark.parametrize("scenario_id", scenario_ids())
def test_a_scenario_loads_and_every_state_has_a_truth(scenario_id, fleet):
    scenario = load_scenario(scenario_id)

    assert scenario.truth.verdict in VERDICTS
    for name in scenario.states:
        assert scenario.truth_in(name).verdict in VERDICTS
    assert (scenario.truth.verdict == "stuck") == (scenario_id in STUCK)
    if scenario.truth.verdict == "stuck":
        assert scenario.truth.cause


@pytest.mark.parametrize("scenario_id", [s for s in scenario_ids() if s != "local"])
def test_a_cluster_of_it_renders_and_starts_in_the_state_its_truth_speaks_of(scenario_id, fleet):
    cluster = fleet.add(scenario_id)

    assert cluster.truth.verdict == cluster.scenario.truth.verdict
    assert fleet.local.get(MANAGEMENT, ("", cluster.id)).obj["spec"]["displayName"] == cluster.name
    assert fleet.truth()["clusters"][cluster.id]["verdict"] == cluster.scenario.truth.verdict


@pytest.mark.parametrize("scenario_id", STUCK)
def test_a_stuck_cluster_was_stuck_for_a_while_before_anybody_looks(scenario_id, fleet):
    cluster = fleet.add(scenario_id)
    since = fleet.local.get(MANAGEMENT, ("", cluster.id)).obj["metadata"]["creationTimestamp"]

    assert fleet.clock.seconds() - cluster.cni_since.get(0, cluster.born) >= seconds("20m") or cluster.scenario.settled
    assert since < "2026-03-03T11:26"


@pytest.mark.parametrize("scenario_id", STUCK)
def test_nothing_but_a_cure_moves_it(scenario_id, fleet):
    cluster = fleet.add(scenario_id)
    if scenario_id == "rke2-canal-heals-itself":
        fleet.later(seconds("5m"))
    else:
        fleet.later(seconds("3h"))

    assert cluster.truth.verdict == "stuck"


def test_status_provider_stays_empty_until_the_cluster_answered(fleet):
    stuck, well = fleet.add("rke2-canal-never-connected"), fleet.add("rke2-canal-healthy")

    assert fleet.local.get(MANAGEMENT, ("", stuck.id)).obj["status"]["provider"] == ""
    assert "provider.cattle.io" not in fleet.local.get(MANAGEMENT, ("", stuck.id)).obj["metadata"].get("labels", {})
    assert fleet.local.get(MANAGEMENT, ("", well.id)).obj["status"]["provider"] == "rke2"


@pytest.mark.parametrize("scenario_id", ["rke1-canal-br-netfilter", "rke1-flannel-br-netfilter"])
def test_the_founding_case_comes_up_after_the_write(scenario_id, fleet):
    cluster = fleet.add(scenario_id)
    assert conditions(fleet, cluster)["Waiting"]["message"] == "Waiting for API to be available"
    assert ready_nodes(cluster) == 0

    write(fleet, cluster, {"network": {"enableBrNetfilter": True}})
    fleet.later(5)
    assert conditions(fleet, cluster)["Updated"]["status"] == "Unknown"
    fleet.later(20)
    assert conditions(fleet, cluster)["Updated"]["status"] == "True"
    assert cluster.state.name == "proxy-recreated"
    fleet.later(45)
    assert 0 < ready_nodes(cluster) < 3
    fleet.later(60)

    assert (ready_nodes(cluster), cluster.state.name) == (3, "healthy")
    assert conditions(fleet, cluster)["Connected"]["status"] == "True"
    assert fleet.truth()["clusters"][cluster.id]["verdict"] == "healthy"


def test_the_founding_case_falls_back_when_the_field_goes_before_the_module_came(fleet):
    cluster = fleet.add("rke1-canal-br-netfilter")
    write(fleet, cluster, {"network": {"enableBrNetfilter": True}})
    fleet.later(21)
    assert cluster.state.name == "proxy-recreated"

    write(fleet, cluster, {"network": {"enableBrNetfilter": None}})
    fleet.later(20)
    assert cluster.state.name == "broken"
    fleet.later(600)

    assert (cluster.state.name, ready_nodes(cluster)) == ("broken", 0)


@pytest.mark.parametrize(("forgets", "after"), [(False, "healthy"), (True, "broken")])
def test_a_loaded_module_stays_unless_the_nodes_forget_it(fleet, forgets, after):
    cluster = fleet.add("rke1-canal-br-netfilter", forgets=forgets)
    write(fleet, cluster, {"network": {"enableBrNetfilter": True}})
    fleet.later(300)
    assert cluster.state.name == "healthy"

    write(fleet, cluster, {"network": {"enableBrNetfilter": False}})
    fleet.later(60)

    assert cluster.state.name == after


def test_deleting_the_cni_pod_spares_the_back_off(fleet):
    cluster = fleet.add("rke1-canal-br-netfilter")
    write(fleet, cluster, {"network": {"enableBrNetfilter": True}})
    fleet.later(21)
    old = {p["metadata"]["name"] for p in cluster.downstream.objects(POD) if p["metadata"]["name"].startswith("canal-")}

    gone = min(old)
    cluster.downstream.delete(POD, ("kube-system", gone), {})
    fleet.cluster_changed(cluster)
    fleet.later(4)

    assert cluster.state.name == "come-up-nodes"
    new = {p["metadata"]["name"] for p in cluster.downstream.objects(POD) if p["metadata"]["name"].startswith("canal-")}
    assert (len(new), gone in new) == (3, False)


def test_an_old_rancher_stores_the_field_and_nothing_comes_of_it():
    fleet = Fleet(rancher_version="v2.11.0-alpha7")
    cluster = fleet.add("rke1-canal-br-netfilter")

    write(fleet, cluster, {"network": {"enableBrNetfilter": True}})
    cluster.advance(fleet.clock.seconds() + 600)

    assert cluster.state.name == "broken"


def test_the_cure_that_fails_shows_another_log_for_ever_and_the_first_again_after_the_undo(fleet):
    cluster = fleet.add("rke1-canal-cure-fails")
    assert cluster.facts.cni.log == "flannel-br-netfilter"

    write(fleet, cluster, {"network": {"enableBrNetfilter": True}})
    fleet.later(30)
    assert cluster.facts.cni.log == "flannel-vxlan-unsupported"
    fleet.later(seconds("2h"))
    assert (cluster.truth.verdict, ready_nodes(cluster)) == ("stuck", 0)

    write(fleet, cluster, {"network": {"enableBrNetfilter": None}})
    fleet.later(30)
    assert cluster.facts.cni.log == "flannel-br-netfilter"


CURES = {
    "rke1-flannel-podcidr-not-assigned": {"services": {"kubeController": {"extraArgs": None}}},
    "rke2-canal-never-connected": {"rkeConfig": {"chartValues": {"rke2-canal": {"flannel": None}}}},
    "rke2-flannel-kubelet-flag": {"rkeConfig": {"machineGlobalConfig": {"kubelet-arg": ["max-pods=110"]}}},
    "k3s-flannel-cloud-uninitialized": {"rkeConfig": {"machineGlobalConfig": {"disable-cloud-controller": None}}},
    "rke2-canal-flapping": {"rkeConfig": {"chartValues": {"rke2-canal": {"flannel": {"resources": None}}}}},
    "rke2-canal-crd-missing-upgrade": {
        "rkeConfig": {
            "additionalManifest": "stagednetworkpolicies.crd.projectcalico.org stagedglobalnetworkpolicies.crd.projectcalico.org "
            "stagedkubernetesnetworkpolicies.crd.projectcalico.org tiers.crd.projectcalico.org"
        }
    },
}


@pytest.mark.parametrize("scenario_id", sorted(CURES))
def test_the_right_write_mends_it(scenario_id, fleet):
    cluster = fleet.add(scenario_id)

    write(fleet, cluster, CURES[scenario_id])
    fleet.later(5)
    assert cluster.truth.verdict == "stuck"  # written is not yet delivered
    fleet.later(300)

    assert (cluster.state.name, cluster.text) == ("healthy", "")
    assert ready_nodes(cluster) == len(cluster.identity.machines)


def test_a_write_reaches_the_nodes_step_by_step(fleet):
    cluster = fleet.add("rke2-canal-never-connected")
    secret = resource_of("v1", "Secret")
    key = ("fleet-default", f"{cluster.identity.first.bootstrap}-machine-plan")
    plane = resource_of("rke.cattle.io/v1", "RKEControlPlane")
    old = fleet.local.get(secret, key).obj["data"]
    generation = fleet.local.get(plane, ("fleet-default", cluster.name)).obj["metadata"]["generation"]
    assert old["plan"] == old["appliedPlan"]

    write(fleet, cluster, {"rkeConfig": {"chartValues": {"rke2-canal": {"flannel": {"iface": "eth0"}}}}})
    fleet.later(1.5)
    assert fleet.local.get(plane, ("fleet-default", cluster.name)).obj["metadata"]["generation"] == generation + 1
    assert fleet.local.get(secret, key).obj["data"]["plan"] == old["plan"]
    fleet.later(2)
    planned = fleet.local.get(secret, key).obj["data"]
    assert planned["plan"] != old["plan"]
    assert planned["appliedPlan"] == old["plan"]
    fleet.later(10)
    applied = fleet.local.get(secret, key).obj["data"]
    assert applied["plan"] == applied["appliedPlan"] == planned["plan"]


@pytest.mark.parametrize("change", [{"rkeConfig": {"provisionGeneration": 1}}, {"rkeConfig": {"machinePools": []}}])
def test_done_means_observed_and_applied(fleet, change):
    cluster = fleet.add("rke2-canal-healthy")
    plane = resource_of("rke.cattle.io/v1", "RKEControlPlane")

    def is_done() -> bool:
        obj = fleet.local.get(plane, ("fleet-default", cluster.name)).obj
        ready = next(c["status"] for c in obj["status"]["conditions"] if c["type"] == "Ready")
        observed = obj["status"]["observedGeneration"] == obj["metadata"]["generation"]
        return ready == "True" and observed and obj["status"]["appliedSpec"] == obj["spec"]

    assert is_done()
    write(fleet, cluster, change)
    fleet.later(2)
    assert not is_done()
    fleet.later(30)
    assert is_done()


def test_dead_node_objects_free_their_ranges(fleet):
    cluster = fleet.add("rke2-canal-cidr-exhausted")
    assert sum("podCIDR" not in n["spec"] for n in cluster.downstream.objects(NODE)) == 2
    assert len(cluster.downstream.objects(NODE)) == 10

    for ghost in cluster.identity.ghosts[:2]:
        cluster.downstream.delete(NODE, ("", ghost.node), {})
    fleet.cluster_changed(cluster)
    fleet.later(60)

    nodes = cluster.downstream.objects(NODE)
    assert (len(nodes), ready_nodes(cluster)) == (8, 8)
    assert len({n["spec"]["podCIDR"] for n in nodes}) == 8


def test_missing_crds_made_by_hand_let_the_upgrade_go_on(fleet):
    cluster = fleet.add("rke2-canal-crd-missing-upgrade")
    versions = sorted(n["status"]["nodeInfo"]["kubeletVersion"] for n in cluster.downstream.objects(NODE))
    assert versions == ["v1.31.9+rke2r1", "v1.31.9+rke2r1", "v1.32.5+rke2r1"]

    for name in cluster.facts.crds_missing:
        assert cluster.downstream.peek(CRD, "", name) is None
        plural, _, group = name.partition(".")
        version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
        spec = {"group": group, "names": {"plural": plural, "kind": plural.title()}, "versions": [version]}
        cluster.downstream.create(CRD, "", {"metadata": {"name": name}, "spec": spec}, manager="test")
    fleet.cluster_changed(cluster)
    fleet.later(300)

    assert {n["status"]["nodeInfo"]["kubeletVersion"] for n in cluster.downstream.objects(NODE)} == {"v1.32.5+rke2r1"}


def test_the_slow_cluster_gets_further_every_few_minutes_and_arrives(fleet):
    cluster = fleet.add("rke2-canal-slow")
    steps, seen = [], None
    for _ in range(20):
        fleet.later(60)
        now = (cluster.state.name, cluster.counts)
        steps.append(now != seen)
        seen = now

    assert cluster.state.name == "healthy"
    longest = max(len(run) for run in "".join("." if s else "x" for s in steps).split("."))
    assert longest <= 4  # never five minutes without a milestone, until it is done


def test_one_heals_by_itself_after_the_time_given(fleet):
    soon, late = fleet.add("rke2-canal-heals-itself", heals_after="33m"), fleet.add("rke2-canal-heals-itself")
    fleet.later(300)
    assert (soon.truth.verdict, late.truth.verdict) == ("healthy", "stuck")


def test_flapping_changes_the_text_and_never_the_counts(fleet):
    cluster = fleet.add("rke2-canal-flapping")
    texts, counts = set(), set()
    for _ in range(20):
        fleet.later(13)
        texts.add(cluster.text.split(" ")[0])
        counts.add(cluster.counts)

    assert texts == {"configuring", "non-ready"}
    assert len(counts) == 1


def test_a_fresh_cluster_goes_through_the_whole_road(fleet):
    cluster = fleet.add("rke2-canal-never-connected", age=0)
    texts = []
    for _ in range(40):
        fleet.later(10)
        if not texts or texts[-1] != cluster.text:
            texts.append(cluster.text)

    assert [t.split(": ")[-1].split(",")[0] for t in texts] == [
        "waiting for viable init node",
        "waiting for agent to check in and apply initial plan",
        "etcd",
        "waiting for cluster agent to connect",
    ]


def test_an_aged_cluster_carries_the_times_at_which_things_happened(fleet):
    cluster = fleet.add("rke2-canal-never-connected")
    log = fleet.local.get(resource_of("v1", "ConfigMap"), (cluster.id, "provisioning-log")).obj["data"]

    assert log["log"].splitlines()[0].startswith("2026-03-03T11:25:00Z [INFO ] waiting for viable init node")
    assert log["log"].splitlines()[-1].startswith("2026-03-03T11:28:30Z [INFO ] configuring bootstrap node(s)")
    assert log["last"].endswith("waiting for cluster agent to connect")
    plane = fleet.local.get(resource_of("rke.cattle.io/v1", "RKEControlPlane"), ("fleet-default", cluster.name)).obj
    ready = next(c for c in plane["status"]["conditions"] if c["type"] == "Ready")
    assert ready["lastUpdateTime"] == "2026-03-03T11:28:30Z"
    assert "lastTransitionTime" not in ready


def test_a_deleted_cluster_disappears_with_all_its_objects(fleet):
    cluster = fleet.add("rke2-canal-healthy")
    objects = sum(len(v) for v in fleet.local._objects.values())

    fleet.local.delete(PROVISIONING, ("fleet-default", cluster.name), {})
    # Finalizers hold it for a while, as Rancher's controllers do.
    assert fleet.local.get(PROVISIONING, ("fleet-default", cluster.name)).obj["metadata"]["deletionTimestamp"]
    fleet.later(60)

    assert cluster.id not in fleet.clusters
    assert fleet.local.peek(MANAGEMENT, "", cluster.id) is None
    assert sum(len(v) for v in fleet.local._objects.values()) < objects - 10


def test_force_update_runs_rke_up_again_and_takes_the_annotation_away(fleet):
    cluster = fleet.add("rke1-canal-br-netfilter")
    fleet.local.patch(
        MANAGEMENT,
        ("", cluster.id),
        MERGE,
        {"metadata": {"annotations": {"rke.cattle.io/force-update": "true"}}},
        manager="test",
    )

    fleet.later(5)
    assert conditions(fleet, cluster)["Updated"]["status"] == "Unknown"
    fleet.later(30)

    annotations = fleet.local.get(MANAGEMENT, ("", cluster.id)).obj["metadata"]["annotations"]
    assert "rke.cattle.io/force-update" not in annotations
    assert cluster.state.name == "broken"


def test_labels_that_a_client_added_survive_the_next_change_of_state(fleet):
    cluster = fleet.add("rke1-canal-br-netfilter")
    fleet.local.patch(
        MANAGEMENT, ("", cluster.id), MERGE, {"metadata": {"labels": {"drover.io/ignore": "true"}}}, manager="test"
    )
    write(fleet, cluster, {"network": {"enableBrNetfilter": True}})
    fleet.later(300)

    assert fleet.local.get(MANAGEMENT, ("", cluster.id)).obj["metadata"]["labels"]["drover.io/ignore"] == "true"


def test_an_unhealthy_node_timeout_makes_a_machine_health_check(fleet):
    cluster = fleet.add("rke2-canal-healthy")
    pools = fleet.local.get(PROVISIONING, ("fleet-default", cluster.name)).obj["spec"]["rkeConfig"]["machinePools"]
    write(fleet, cluster, {"rkeConfig": {"machinePools": [{**pools[0], "unhealthyNodeTimeout": "5m"}, *pools[1:]]}})
    fleet.later(30)

    checks = fleet.local.objects(resource_of("cluster.x-k8s.io/v1beta1", "MachineHealthCheck"))
    assert [c["spec"]["unhealthyConditions"][0]["timeout"] for c in checks] == ["5m"]


def test_the_plan_carries_the_planted_secret_that_no_evidence_may_show(fleet):
    cluster = fleet.add("rke2-canal-never-connected")
    plan = fleet.local.get(
        resource_of("v1", "Secret"), ("fleet-default", f"{cluster.identity.first.bootstrap}-machine-plan")
    ).obj
    files = json.loads(b64decode(plan["data"]["plan"]))["files"]

    assert plan["type"] == "rke.cattle.io/machine-plan"
    assert PLANTED_TOKEN in b64decode(files[0]["content"]).decode()


def test_unknown_scenarios_parameters_and_taken_names_are_refused_with_what_there_is(fleet):
    with pytest.raises(ScenarioError, match="rke2-canal-healthy"):
        fleet.add("rke2-canal-helthy")
    with pytest.raises(ScenarioError, match="heals_after"):
        fleet.add("rke2-canal-heals-itself", heal="1m")
    fleet.add("rke2-canal-healthy", name="shop")
    with pytest.raises(ScenarioError, match="shop"):
        fleet.add("rke2-canal-healthy", name="shop")


def test_a_rancher_without_rke1_refuses_it():
    with pytest.raises(ScenarioError, match="RKE1"):
        Fleet(rancher_version="v2.13.8").add("rke1-canal-healthy")
