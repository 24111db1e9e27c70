"""All collectors together, against the simulated Rancher over HTTP: what each kind of cluster yields, and every way it goes wrong."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from rancher_ext.bundle.bundle import MANIFEST
from rancher_ext.bundle.evidence import CollectorStatus
from rancher_ext.bundle.redact import RedactionRules, Redactor
from rancher_ext.client.snapshot import FleetReader
from rancher_ext.client.transport import RetryPolicy, TokenSource, Transport
from rancher_ext.evidence.collect import collect, gather
from rancher_ext.evidence.readers.facts import read_facts
from rancher_ext.simulator.running import RunningRancher
from rancher_ext.simulator.scenario import scenario_ids

OK, PARTIAL, FAILED, FORBIDDEN, SKIPPED = (
    CollectorStatus.OK,
    CollectorStatus.PARTIAL,
    CollectorStatus.FAILED,
    CollectorStatus.FORBIDDEN,
    CollectorStatus.SKIPPED,
)
DOWNSTREAM = {
    "cni_logs",
    "cni_workloads",
    "crds",
    "events",
    "helm",
    "network_config",
    "nodes",
    "system_logs",
}


def now():
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def rancher():
    """One server for all: each test adds its own cluster."""
    with RunningRancher(tick_every=30.0) as running:
        yield running


@pytest.fixture
def collected(rancher):
    """Adds a cluster, reads its snapshot, then collects; `between` happens in between."""

    def run(scenario, *, token=None, between=lambda cluster: None, deadline=None, **params):
        cluster = rancher.fleet.add(scenario, **params)
        admin = Transport(rancher.url, TokenSource(rancher.token), retry=RetryPolicy(attempts=1))
        snapshot = FleetReader(admin, now).cluster(cluster.id)
        between(cluster)
        transport = Transport(rancher.url, TokenSource(token or rancher.token), retry=RetryPolicy(attempts=1))
        collectors = [replace(each, timeout=deadline) if deadline else each for each in gather()]
        redactor = Redactor(RedactionRules((), ("password",)), b"key")
        return collect(transport, snapshot, collectors=collectors, now=now(), redactor=redactor)

    yield run
    rancher.fleet.faults.clear()


def statuses(bundle):
    return {report.name: report.status for report in bundle.collectors}


def reason(bundle, name):
    return next(report.reason for report in bundle.collectors if report.name == name)


# Its kubelets do not run, so nobody can read the logs of their pods.
WITHOUT_KUBELET = "rke2-flannel-kubelet-flag"


@pytest.mark.parametrize("scenario", [each for each in scenario_ids() if each not in {"local", WITHOUT_KUBELET}])
def test_every_scenario_is_collected_without_a_failure(collected, scenario):
    bundle = collected(scenario)

    assert len(bundle.collectors) == len(gather())
    assert set(statuses(bundle).values()) <= {OK, SKIPPED}
    assert "conditions.txt" in bundle
    assert any(path.startswith("objects/management/clusters/_/") for path in bundle)


def test_a_node_without_kubelet_is_asked_for_one_log_and_the_other_nodes_logs_are_there(collected, rancher):
    rancher.fleet.requests.clear()
    bundle = collected(WITHOUT_KUBELET)

    assert statuses(bundle)["cni_logs"] is PARTIAL
    assert reason(bundle, "cni_logs").startswith("3 of 9 logs could not be read; kube-system/kube-flannel-ds-")
    assert "connection refused" in reason(bundle, "cni_logs")
    assert len([path for path in bundle if path.endswith("/kube-flannel.log")]) == 2
    refused = reason(bundle, "cni_logs").split("; ")[1].split("/")[1]
    assert sum(refused in asked and asked.endswith("/log") for asked in rancher.fleet.requests) == 1


def test_the_founding_case_shows_its_line_through_rke1s_node_tunnel(collected):
    bundle = collected("rke1-canal-br-netfilter")

    logs = [path for path in bundle if path.endswith("/kube-flannel.log")]
    assert len(logs) == 3
    assert all(b"Failed to check br_netfilter" in bundle[path].read_bytes() for path in logs)
    facts = read_facts(bundle)
    assert {node.ready for node in facts.nodes} == {"False"}
    assert {pod.status for pod in facts.pods if pod.name.startswith("canal-")} == {"CrashLoopBackOff"}
    assert any(condition.message == "Waiting for API to be available" for condition in facts.conditions)
    assert (facts.cluster.distribution, facts.cluster.cni) == ("rke1", "canal")


def test_a_cluster_that_never_connected_is_told_from_the_management_side(collected):
    bundle = collected("rke2-canal-never-connected")

    assert {name for name, status in statuses(bundle).items() if status is SKIPPED} == DOWNSTREAM | {"machine_shell"}
    assert {reason(bundle, name) for name in DOWNSTREAM} == {"Rancher has no connection to the cluster"}
    assert b"waiting for cluster agent to connect" in bundle["conditions.txt"].read_bytes()
    assert b"waiting for cluster agent to connect" in bundle["logs/provisioning.log"].read_bytes()
    plans = [json.loads(bundle[path].read_bytes()) for path in bundle if "/machineplans/" in path]
    (first,) = [plan for plan in plans if plan["status"]["delivered"]]
    assert first["status"]["applied"]
    assert {"etcd", "kubelet"} <= set(first["status"]["probes"])
    assert all(probe["healthy"] for probe in first["status"]["probes"].values())


def test_no_value_of_a_machine_plan_leaves_the_collector(collected, rancher):
    planted = set()

    def remember(cluster):
        with rancher.fleet.lock:
            for entry in rancher.fleet.local.page(_secrets(rancher), "", []).entries:
                data = entry.obj.get("data") or {}
                planted.update(
                    data[key] for key in ("plan", "appliedPlan", "applied-output") if len(data.get(key, "")) > 40
                )

    bundle = collected("rke2-canal-never-connected", between=remember)

    everything = b"".join(bundle[path].read_bytes() for path in bundle).decode()
    assert planted
    assert not [value for value in planted if value in everything]


def _secrets(rancher):
    return next(resource for resource in rancher.fleet.local.resources.values() if resource.kind == "Secret")


def test_what_a_role_does_not_allow_is_named_and_the_rest_collected(collected, rancher):
    rancher.fleet.add_token("token-poor:x", deny={"secrets", "pods/log"})

    bundle = collected("rke1-canal-br-netfilter", token="token-poor:x")
    rke2 = collected("rke2-canal-never-connected", token="token-poor:x")

    assert statuses(bundle)["cni_logs"] is FORBIDDEN
    assert reason(bundle, "cni_logs") == "forbidden: needs get pods/log"
    assert statuses(bundle)["nodes"] is statuses(bundle)["cni_workloads"] is OK
    assert statuses(rke2)["machine_plans"] is FORBIDDEN
    assert reason(rke2, "machine_plans") == "forbidden: needs list secrets"
    assert statuses(rke2)["conditions"] is OK


def test_a_cluster_that_is_deleted_half_way_leaves_what_is_left(collected, rancher):
    bundle = collected("rke2-canal-never-connected", between=lambda cluster: rancher.fleet.remove(cluster.id))

    assert statuses(bundle)["conditions"] is FAILED
    assert "any more" in reason(bundle, "conditions")
    assert statuses(bundle)["machines"] is OK
    assert MANIFEST in bundle


def test_a_cluster_that_is_lost_half_way_is_reported_by_each_collector(collected, rancher):
    def lose(cluster):
        rancher.fleet.faults.add("status", path=f"/k8s/clusters/{cluster.id}/", status=500)

    bundle = collected("rke2-canal-cidr-exhausted", between=lose)

    assert {name for name, status in statuses(bundle).items() if status is FAILED} == DOWNSTREAM
    assert statuses(bundle)["conditions"] is OK


def test_a_cluster_that_answers_too_slowly_costs_only_its_deadline(collected, rancher):
    def slow(cluster):
        rancher.fleet.faults.add("latency", path=f"/k8s/clusters/{cluster.id}/.*/pods", delay=3.0)

    bundle = collected("rke1-canal-br-netfilter", between=slow, deadline=0.6)

    found = statuses(bundle)
    assert found["cni_logs"] is FAILED
    assert found["cni_workloads"] is PARTIAL
    assert found["nodes"] is found["crds"] is OK
    assert reason(bundle, "cni_logs") == "not finished after 0.6 s"
    assert any("/daemonsets/" in path for path in bundle)


def test_sockets_that_drop_and_answers_that_are_torn_are_no_crash(collected, rancher):
    def trouble(_cluster):
        for kind, probability in (("drop", 0.3), ("truncate", 0.2), ("html", 0.1)):
            rancher.fleet.faults.add(kind, path="/k8s/clusters/", probability=probability)

    bundle = collected("rke1-canal-br-netfilter", between=trouble)

    assert len(bundle.collectors) == len(gather())
    assert not (set(statuses(bundle).values()) <= {OK, SKIPPED})
    assert all(report.reason for report in bundle.collectors if report.status is not OK)


@pytest.mark.slow
def test_a_thousand_nodes_fit_into_a_bundle(collected):
    bundle = collected("rke2-canal-healthy", nodes=1000)

    assert set(statuses(bundle).values()) <= {OK, SKIPPED}
    assert sum(bundle[path].size for path in bundle) < 48 << 20
    assert len([path for path in bundle if path.startswith("objects/downstream/nodes/")]) == 1000
    assert bundle["nodes.txt"].size <= 1 << 20
