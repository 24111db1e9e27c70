"""What the management side tells: conditions, machines, plans, the provisioning log, events."""

import base64
import json
from hashlib import sha256

import pytest

from rancher_ext.bundle.evidence import CollectorStatus
from rancher_ext.evidence.collectors import conditions, machine_plans, machines, management_events, provisioning_log
from rancher_ext.fleet.cluster import Distribution

PROV = "/apis/provisioning.cattle.io/v1/namespaces/fleet-default/clusters"
MGMT = "/apis/management.cattle.io/v3/clusters"
PLANE = "/apis/rke.cattle.io/v1/namespaces/fleet-default/rkecontrolplanes"
MACHINES = "/apis/cluster.x-k8s.io/v1beta1/namespaces/fleet-default/machines"
WAITING = "configuring bootstrap node(s) edge-7-cp-9xk2l-bq7zr: waiting for cluster agent to connect"


def a_condition(kind, status, message="", reason=""):
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastUpdateTime": "2026-10-02T09:14:03Z",
    }


def encoded(value):
    return base64.b64encode(value if isinstance(value, bytes) else value.encode()).decode()


class TestConditions:
    def test_the_three_objects_and_their_conditions_with_messages(self, fake_api, gathered, a_snapshot):
        for path, conditions_ in (
            (f"{MGMT}/c-m-8jq5fz7k", [a_condition("Connected", "False")]),
            (
                f"{PROV}/edge-7",
                [a_condition("Updated", "Unknown", WAITING, "Waiting"), a_condition("Connected", "False")],
            ),
            (f"{PLANE}/edge-7", [a_condition("Ready", "Unknown", WAITING, "Waiting")]),
        ):
            namespace = {} if path.startswith(MGMT) else {"namespace": "fleet-default"}
            fake_api.put(
                "local",
                path,
                {"metadata": {"name": path.rsplit("/", 1)[1], **namespace}, "status": {"conditions": conditions_}},
            )

        bundle = gathered(a_snapshot(), conditions.COLLECTOR)

        assert bundle.collectors[0].status is CollectorStatus.OK
        assert bundle.collectors[0].files == (
            "conditions.txt",
            "objects/management/clusters/_/c-m-8jq5fz7k.json",
            "objects/management/clusters/fleet-default/edge-7.json",
            "objects/management/rkecontrolplanes/fleet-default/edge-7.json",
        )
        assert bundle["conditions.txt"].read_bytes().decode().splitlines() == [
            f"cluster/edge-7   Ready       Unknown   2026-10-02T09:14:03Z   Waiting   {WAITING}",
            f"cluster/edge-7   Updated     Unknown   2026-10-02T09:14:03Z   Waiting   {WAITING}",
            "cluster/edge-7   Connected   False     2026-10-02T09:14:03Z   -         -",
        ]

    def test_rke1_reads_the_mirror_under_the_management_id_and_no_control_plane(self, fake_api, gathered, a_snapshot):
        fake_api.put("local", f"{MGMT}/c-7x2kd", {"metadata": {"name": "c-7x2kd"}})
        fake_api.put("local", f"{PROV}/c-7x2kd", {"metadata": {"name": "c-7x2kd", "namespace": "fleet-default"}})

        bundle = gathered(a_snapshot(distribution=Distribution.RKE1, cluster_id="c-7x2kd"), conditions.COLLECTOR)

        assert bundle.collectors[0].status is CollectorStatus.OK
        assert "objects/management/clusters/fleet-default/c-7x2kd.json" in bundle
        assert not any("rkecontrolplanes" in path for path, _ in fake_api.asked)

    def test_a_cluster_that_was_deleted_meanwhile_is_a_failure_that_says_so(self, gathered, a_snapshot):
        bundle = gathered(a_snapshot(), conditions.COLLECTOR)

        assert bundle.collectors[0].status is CollectorStatus.FAILED
        assert "Rancher has no cluster c-m-8jq5fz7k any more" in bundle.collectors[0].reason

    def test_secrets_of_rke1_and_of_manifests_never_get_into_the_bundle(self, fake_api, gathered, a_snapshot):
        secret_document = "kind: Secret\nstringData:\n  key: planted\n"
        fake_api.put(
            "local",
            f"{MGMT}/c-m-8jq5fz7k",
            {
                "metadata": {"name": "c-m-8jq5fz7k"},
                "spec": {"rancherKubernetesEngineConfig": {"addons": secret_document, "network": {"plugin": "canal"}}},
                "status": {
                    "serviceAccountToken": "planted",
                    "appliedSpec": {"rancherKubernetesEngineConfig": {"addons": secret_document}},
                },
            },
        )
        fake_api.put(
            "local",
            f"{PROV}/edge-7",
            {
                "metadata": {"name": "edge-7", "namespace": "fleet-default"},
                "spec": {"rkeConfig": {"additionalManifest": "kind: Job\n---\n" + secret_document}},
            },
        )
        fake_api.put(
            "local",
            f"{PLANE}/edge-7",
            {
                "metadata": {"name": "edge-7", "annotations": {"rke.cattle.io/cluster-spec": "planted"}},
                "spec": {"additionalManifest": secret_document},
            },
        )

        bundle = gathered(a_snapshot(), conditions.COLLECTOR)

        everything = b"".join(bundle[path].read_bytes() for path in bundle)
        assert b"planted" not in everything
        assert b'"plugin": "canal"' in everything
        assert b"kind: Job" in everything

    def test_what_may_not_be_read_is_named_and_the_rest_is_there(self, fake_api, gathered, a_snapshot):
        fake_api.forbid("local", f"{MGMT}/c-m-8jq5fz7k", "get", "clusters", "management.cattle.io")
        fake_api.put("local", f"{PROV}/edge-7", {"metadata": {"name": "edge-7", "namespace": "fleet-default"}})
        fake_api.put("local", f"{PLANE}/edge-7", {"metadata": {"name": "edge-7", "namespace": "fleet-default"}})

        bundle = gathered(a_snapshot(), conditions.COLLECTOR)

        assert bundle.collectors[0].status is CollectorStatus.PARTIAL
        assert bundle.collectors[0].reason == "forbidden: needs get clusters.management.cattle.io"

    def test_without_any_right_the_collector_is_forbidden(self, fake_api, gathered, a_snapshot):
        for path in (f"{MGMT}/c-m-8jq5fz7k", f"{PROV}/edge-7", f"{PROV}/c-m-8jq5fz7k", f"{PLANE}/edge-7"):
            fake_api.forbid("local", path, "get", "clusters")

        bundle = gathered(a_snapshot(), conditions.COLLECTOR)

        assert bundle.collectors[0].status is CollectorStatus.FORBIDDEN


def a_machine(name, *, reconciled="True", message=""):
    return {
        "metadata": {
            "name": name,
            "namespace": "fleet-default",
            "labels": {"cluster.x-k8s.io/cluster-name": "edge-7"},
        },
        "spec": {
            "infrastructureRef": {
                "apiVersion": "rke-machine.cattle.io/v1",
                "kind": "Amazonec2Machine",
                "name": name + "-srv",
            },
            "bootstrap": {"configRef": {"kind": "RKEBootstrap", "name": name + "-boot"}},
        },
        "status": {"conditions": [a_condition("Ready", "True"), a_condition("Reconciled", reconciled, message)]},
    }


class TestMachines:
    def test_machines_their_servers_and_what_each_waits_for(self, fake_api, gathered, a_snapshot):
        fake_api.list("local", MACHINES, [a_machine("ok-1"), a_machine("bad-1", reconciled="Unknown", message="waits")])
        servers = "/apis/rke-machine.cattle.io/v1/namespaces/fleet-default/amazonec2machines"
        fake_api.list("local", servers, [{"metadata": {"name": "ok-1-srv", "namespace": "fleet-default"}}])
        fake_api.put("local", f"{servers}/bad-1-srv", {"metadata": {"name": "bad-1-srv", "namespace": "fleet-default"}})

        bundle = gathered(a_snapshot(), machines.COLLECTOR)

        assert bundle.collectors[0].status is CollectorStatus.OK
        assert {path for path in bundle if path.startswith("objects/")} == {
            "objects/management/machines/fleet-default/ok-1.json",
            "objects/management/machines/fleet-default/bad-1.json",
            "objects/management/amazonec2machines/fleet-default/ok-1-srv.json",
            "objects/management/amazonec2machines/fleet-default/bad-1-srv.json",
        }
        assert bundle["conditions.txt"].read_bytes().decode() == (
            "machine/bad-1   Reconciled   Unknown   2026-10-02T09:14:03Z   -   waits\n"
        )
        asked = next(query for path, query in fake_api.asked if path.endswith("/machines"))
        assert asked["labelSelector"] == "cluster.x-k8s.io/cluster-name=edge-7"

    def test_rke1_nodes_come_without_their_plan_and_their_ssh_key(self, fake_api, gathered, a_snapshot):
        node = {
            "metadata": {"name": "m-abcde", "namespace": "c-7x2kd"},
            "spec": {"etcd": True, "customConfig": {"sshKey": "planted", "address": "10.0.0.1"}},
            "status": {
                "nodePlan": {"plan": {"env": ["planted"]}},
                "rkeNode": {"sshKey": "planted"},
                "nodeConfig": {"sshKey": "planted"},
                "conditions": [
                    a_condition("Registered", "True"),
                    a_condition("Ready", "False", "network plugin is not ready", "KubeletNotReady"),
                    a_condition("MemoryPressure", "False", "kubelet has sufficient memory available"),
                ],
            },
        }
        fake_api.list("local", "/apis/management.cattle.io/v3/namespaces/c-7x2kd/nodes", [node])

        bundle = gathered(a_snapshot(distribution=Distribution.RKE1, cluster_id="c-7x2kd"), machines.COLLECTOR)

        stored = bundle["objects/management/nodes/c-7x2kd/m-abcde.json"].read_bytes()
        assert b"planted" not in stored
        assert b"10.0.0.1" in stored
        assert bundle["conditions.txt"].read_bytes().decode() == (
            "machine/m-abcde   Ready   False   2026-10-02T09:14:03Z   KubeletNotReady   network plugin is not ready\n"
        )


PLAN = json.dumps(
    {
        "files": [
            {"content": encoded("token: planted"), "path": "/etc/rancher/rke2/config.yaml.d/50-rancher.yaml"},
            {"content": encoded("planted"), "path": "/var/lib/addons.yaml", "dynamic": True},
        ],
        "instructions": [
            {
                "name": "install",
                "image": "rancher/system-agent-installer-rke2:v1.32.8-rke2r1",
                "env": ["RESTART_STAMP=planted", "INSTALL_RKE2_EXEC=server"],
                "args": ["planted"],
            }
        ],
        "probes": {"kubelet": {"httpGet": {"url": "http://127.0.0.1:10248/healthz"}}},
    }
).encode()


def a_plan_secret(name="edge-7-boot-machine-plan", *, applied=PLAN, probes='{"kubelet":{"healthy":true}}'):
    return {
        "metadata": {
            "name": name,
            "namespace": "fleet-default",
            "labels": {"rke.cattle.io/machine-name": "edge-7-cp-1", "rke.cattle.io/init-node": "true"},
            "annotations": {"rke.cattle.io/plan-last-updated": "2026-10-02T09:01:00Z", "other": "planted"},
            "managedFields": [{"time": "2026-10-02T11:59:50Z"}],
        },
        "type": "rke.cattle.io/machine-plan",
        "data": {
            "plan": encoded(PLAN),
            "appliedPlan": encoded(applied),
            "applied-output": encoded("planted"),
            "failed-output": encoded("planted"),
            "failure-count": encoded("0"),
            "failure-threshold": encoded("1"),
            "failed-checksum": encoded("planted"),
            "last-apply-time": encoded("Fri Oct  2 09:01:33 UTC 2026"),
            "probe-statuses": encoded(probes),
        },
    }


class TestMachinePlans:
    def test_state_is_kept_and_content_is_not(self, fake_api, gathered, a_snapshot):
        fake_api.list("local", "/api/v1/namespaces/fleet-default/secrets", [a_plan_secret()])

        bundle = gathered(a_snapshot(), machine_plans.COLLECTOR)

        (path,) = bundle.collectors[0].files
        assert path == "objects/management/machineplans/fleet-default/edge-7-boot-machine-plan.json"
        raw = bundle[path].read_bytes()
        for secret in (b"planted", encoded("planted").encode(), encoded("token: planted").encode()):
            assert secret not in raw
        plan = json.loads(raw)
        assert plan["status"]["applied"] is True
        assert plan["status"]["failed"] is False
        assert plan["status"]["lastSeen"] == "2026-10-02T11:59:50+00:00"
        assert plan["status"]["checksums"] == {"plan": sha256(PLAN).hexdigest(), "appliedPlan": sha256(PLAN).hexdigest(), "failed": ""}  # fmt: skip
        assert plan["status"]["counts"] == {"failure-count": 0, "failure-threshold": 1}
        assert plan["status"]["probes"]["kubelet"]["healthy"] is True
        assert plan["plan"]["files"][0]["path"] == "/etc/rancher/rke2/config.yaml.d/50-rancher.yaml"
        assert plan["plan"]["instructions"][0]["env"] == ["INSTALL_RKE2_EXEC", "RESTART_STAMP"]
        assert plan["metadata"]["annotations"] == {"rke.cattle.io/plan-last-updated": "2026-10-02T09:01:00Z"}

    def test_only_this_clusters_plans_are_asked_for(self, fake_api, gathered, a_snapshot):
        fake_api.list("local", "/api/v1/namespaces/fleet-default/secrets", [])

        bundle = gathered(a_snapshot(), machine_plans.COLLECTOR)

        ((_, query),) = fake_api.asked
        assert query["labelSelector"] == "rke.cattle.io/cluster-name=edge-7"
        assert query["fieldSelector"] == "type=rke.cattle.io/machine-plan"
        assert bundle.collectors[0].reason == "there is no machine plan"

    @pytest.mark.parametrize("damaged", ["", "[]", "{", '{"files": "x", "instructions": [3]}', '"' * 3])
    def test_a_damaged_plan_is_no_reason_to_fail(self, fake_api, gathered, a_snapshot, damaged):
        secret = a_plan_secret(applied=damaged.encode(), probes=damaged)
        secret["data"]["plan"] = encoded(damaged)
        secret["data"]["failure-count"] = "%%%"
        fake_api.list("local", "/api/v1/namespaces/fleet-default/secrets", [secret])

        bundle = gathered(a_snapshot(), machine_plans.COLLECTOR)

        assert bundle.collectors[0].status is CollectorStatus.OK
        assert len(bundle.collectors[0].files) == 1

    def test_without_the_right_to_read_secrets_the_report_says_which_one(self, fake_api, gathered, a_snapshot):
        fake_api.forbid("local", "/api/v1/namespaces/fleet-default/secrets", "list", "secrets")

        bundle = gathered(a_snapshot(), machine_plans.COLLECTOR)

        assert bundle.collectors[0].status is CollectorStatus.FORBIDDEN
        assert bundle.collectors[0].reason == "forbidden: needs list secrets"

    def test_rke1_has_no_plans_to_read(self, fake_api, gathered, a_snapshot):
        bundle = gathered(a_snapshot(distribution=Distribution.RKE1), machine_plans.COLLECTOR)

        assert bundle.collectors[0].status is CollectorStatus.SKIPPED
        assert fake_api.asked == []


class TestProvisioningLog:
    def test_the_log_as_rancher_keeps_it(self, fake_api, gathered, a_snapshot):
        log = "2026-10-02T09:06:14Z [INFO ] configuring bootstrap node(s) x: waiting for cluster agent to connect"
        path = "/api/v1/namespaces/c-m-8jq5fz7k/configmaps/provisioning-log"
        fake_api.put("local", path, {"metadata": {"name": "provisioning-log"}, "data": {"log": log, "last": "x"}})

        bundle = gathered(a_snapshot(), provisioning_log.COLLECTOR)

        assert bundle["logs/provisioning.log"].read_bytes().decode() == log + "\n"

    def test_no_log_is_not_a_failure(self, gathered, a_snapshot):
        bundle = gathered(a_snapshot(), provisioning_log.COLLECTOR)

        assert bundle.collectors[0].status is CollectorStatus.OK
        assert bundle.collectors[0].reason == "Rancher keeps no provisioning log of this cluster"


class TestManagementEvents:
    def test_only_what_belongs_to_the_cluster_is_taken(self, fake_api, gathered, a_snapshot):
        def event(name, message):
            return {
                "metadata": {"name": message, "namespace": "fleet-default"},
                "involvedObject": {"kind": "Machine", "name": name},
                "type": "Warning",
                "reason": "FailedCreate",
                "message": message,
                "count": 3,
                "firstTimestamp": "2026-10-02T11:40:00Z",
                "lastTimestamp": "2026-10-02T11:55:00Z",
            }

        core = "/api/v1/namespaces/fleet-default"
        fake_api.list("local", MACHINES, [a_machine("edge-7-cp-1")])
        label = {"rke.cattle.io/infra-machine-name": "edge-7-cp-1-srv"}
        fake_api.list(
            "local",
            "/apis/batch/v1/namespaces/fleet-default/jobs",
            [
                {"metadata": {"name": "edge-7-job", "namespace": "fleet-default", "labels": label}},
                {
                    "metadata": {
                        "name": "other-job",
                        "namespace": "fleet-default",
                        "labels": {"rke.cattle.io/infra-machine-name": "edge-70-cp-1-srv"},
                    }
                },
            ],
        )
        pod = {
            "metadata": {"name": "edge-7-job-x", "namespace": "fleet-default", "labels": label},
            "status": {
                "phase": "Failed",
                "containerStatuses": [{"name": "machine", "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}],
            },
        }
        fake_api.list("local", f"{core}/pods", [pod])
        fake_api.put("local", f"{core}/pods/edge-7-job-x/log", "error creating server\n")
        fake_api.list(
            "local",
            f"{core}/events",
            [
                event("edge-7-cp-1", "ours"),
                event("edge-7-cp-1-srv", "its server"),
                event("edge-7-cp-1-boot", "its bootstrap"),
                event("edge-70-cp-1", "a namesake's"),
                event("edge-7-job", "its job"),
                {"metadata": {"name": "odd"}, "involvedObject": None},
            ],
        )

        bundle = gathered(a_snapshot(), management_events.COLLECTOR)

        text = bundle["events.txt"].read_bytes().decode()
        assert "ours" in text
        assert "its server" in text
        assert "its bootstrap" in text
        assert "its job" in text
        assert "namesake" not in text
        assert "5m (x3 over 20m)   Warning   FailedCreate   Machine/edge-7-cp-1 " in text
        assert "objects/management/jobs/fleet-default/edge-7-job.json" in bundle
        assert "objects/management/jobs/fleet-default/other-job.json" not in bundle
        assert bundle["logs/fleet-default/edge-7-job-x/machine.log"].read_bytes() == b"error creating server\n"
