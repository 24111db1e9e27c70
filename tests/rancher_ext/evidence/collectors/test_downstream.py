"""What the ill cluster itself tells: nodes, workloads, logs, events, charts, CRDs."""

import json

import pytest

from rancher_ext.bundle.bundle import MANIFEST
from rancher_ext.bundle.evidence import CollectorStatus
from rancher_ext.evidence.collect import Caps, gather
from rancher_ext.evidence.collectors import (
    cni_logs,
    cni_workloads,
    crds,
    events,
    helm,
    network_config,
    nodes,
    system_logs,
)
from rancher_ext.evidence.readers.facts import read_facts
from rancher_ext.fleet.cluster import Distribution
from rancher_ext.fleet.cni import Cni

ID = "c-m-8jq5fz7k"
PODS = "/api/v1/namespaces/kube-system/pods"
DAEMONSETS = "/apis/apps/v1/namespaces/kube-system/daemonsets"


def a_state(kind, **details):
    return {kind: details}


def a_pod(
    name,
    *,
    owner="rke2-canal",
    namespace="kube-system",
    phase="Running",
    restarts=0,
    state=None,
    last=None,
    ready=True,
    container="kube-flannel",
    node="cp-1",
):
    entry = {
        "name": container,
        "ready": ready,
        "restartCount": restarts,
        "state": state or a_state("running", startedAt="2026-10-02T11:00:00Z"),
    }
    if last:
        entry["lastState"] = last
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "creationTimestamp": "2026-10-02T11:00:00Z",
            "ownerReferences": [{"kind": "DaemonSet", "name": owner, "controller": True}],
        },
        "spec": {
            "nodeName": node,
            "containers": [{"name": container, "image": "x", "env": [{"name": "A", "value": "planted"}]}],
        },
        "status": {"phase": phase, "containerStatuses": [entry]},
    }


def crashing(name, restarts=5, **more):
    return a_pod(
        name,
        restarts=restarts,
        ready=False,
        state=a_state("waiting", reason="CrashLoopBackOff"),
        last=a_state("terminated", exitCode=1, reason="Error", finishedAt="2026-10-02T11:55:00Z"),
        **more,
    )


def pending(name, **more):
    return a_pod(name, phase="Pending", ready=False, state=a_state("waiting", reason="ContainerCreating"), **more)


def log_of(fake_api, pod, current, previous=None, container="kube-flannel"):
    def answer(query):
        assert query["container"] == container
        if query.get("previous") == "true":
            return previous
        return current

    fake_api.put(ID, f"{PODS}/{pod}/log", answer)


class TestCniLogs:
    def test_current_and_previous_log_of_a_container_that_was_restarted(self, fake_api, gathered, a_snapshot):
        pod = a_pod("rke2-canal-a", restarts=2, ready=False, last=a_state("terminated", exitCode=1))
        fake_api.list(ID, PODS, [pod])
        log_of(fake_api, "rke2-canal-a", "now\n", "before\n")

        bundle = gathered(a_snapshot(), cni_logs.COLLECTOR)

        assert bundle.collectors[0].status is CollectorStatus.OK
        assert bundle["logs/kube-system/rke2-canal-a/kube-flannel.log"].read_bytes() == b"now\n"
        assert bundle["logs/kube-system/rke2-canal-a/kube-flannel.previous.log"].read_bytes() == b"before\n"

    def test_one_run_that_the_kubelet_gives_twice_is_kept_once(self, fake_api, gathered, a_snapshot):
        fake_api.list(ID, PODS, [crashing("rke2-canal-a")])
        log_of(fake_api, "rke2-canal-a", "the same\n", "the same\n")

        bundle = gathered(a_snapshot(), cni_logs.COLLECTOR)

        assert bundle.collectors[0].files == ("logs/kube-system/rke2-canal-a/kube-flannel.log",)

    def test_the_end_of_the_log_is_asked_for_with_time_stamps(self, fake_api, gathered, a_snapshot):
        fake_api.list(ID, PODS, [a_pod("rke2-canal-a")])
        log_of(fake_api, "rke2-canal-a", "now\n")

        gathered(a_snapshot(), cni_logs.COLLECTOR)

        query = next(query for path, query in fake_api.asked if path.endswith("/log"))
        assert (query["tailLines"], query["timestamps"]) == ("400", "true")
        assert "previous" not in query

    def test_a_container_that_never_ran_is_not_asked(self, fake_api, gathered, a_snapshot):
        fake_api.list(ID, PODS, [pending("rke2-canal-a")])

        bundle = gathered(a_snapshot(), cni_logs.COLLECTOR)

        assert not any(path.endswith("/log") for path, _ in fake_api.asked)
        assert bundle.collectors[0].status is CollectorStatus.OK

    def test_the_worst_pods_are_read_and_the_others_counted(self, fake_api, gathered, a_snapshot):
        pods = [
            a_pod("rke2-canal-well-1"),
            a_pod("rke2-canal-well-2"),
            a_pod("rke2-canal-unready", ready=False),
            crashing("rke2-canal-crash-1", restarts=3),
            crashing("rke2-canal-crash-2", restarts=9),
        ]
        fake_api.list(ID, PODS, pods)
        for pod in pods:
            log_of(fake_api, pod["metadata"]["name"], "text\n", "text\n")

        bundle = gathered(a_snapshot(), cni_logs.COLLECTOR, caps=Caps(pods_per_workload=2))

        assert [path.split("/")[2] for path in bundle.collectors[0].files] == ["rke2-canal-crash-1", "rke2-canal-crash-2"]  # fmt: skip
        assert bundle.collectors[0].status is CollectorStatus.PARTIAL
        assert bundle.collectors[0].reason == (
            "logs of the network plugin: read 2 pods, worst first; left out 3, of them 1 not well"
        )

    def test_healthy_pods_left_out_are_no_loss(self, fake_api, gathered, a_snapshot):
        fake_api.list(ID, PODS, [crashing("rke2-canal-a"), *(a_pod(f"rke2-canal-{n}") for n in range(5))])
        log_of(fake_api, "rke2-canal-a", "text\n", "text\n")

        bundle = gathered(a_snapshot(), cni_logs.COLLECTOR, caps=Caps(pods_per_workload=1))

        assert bundle.collectors[0].status is CollectorStatus.OK
        assert "left out 5, of them 0 not well" in bundle.collectors[0].reason

    def test_pods_that_never_ran_have_no_log_to_lose_and_take_nobody_s_place(self, fake_api, gathered, a_snapshot):
        waiting = [pending(f"rke2-canal-{number}") for number in range(3)]
        fake_api.list(ID, PODS, waiting)
        bundle = gathered(a_snapshot(), cni_logs.COLLECTOR, caps=Caps(pods_per_workload=1))
        assert (bundle.collectors[0].status, bundle.collectors[0].reason) == (CollectorStatus.OK, None)

        fake_api.list(ID, PODS, [*waiting, a_pod("rke2-canal-unready", ready=False)])
        log_of(fake_api, "rke2-canal-unready", "text\n")
        bundle = gathered(a_snapshot(), cni_logs.COLLECTOR, caps=Caps(pods_per_workload=1))
        assert bundle.collectors[0].files == ("logs/kube-system/rke2-canal-unready/kube-flannel.log",)

    def test_a_log_that_cannot_be_read_does_not_cost_the_others(self, fake_api, gathered, a_snapshot):
        fake_api.list(ID, PODS, [a_pod("rke2-canal-a", ready=False), a_pod("rke2-canal-b")])
        refused = {"kind": "Status", "code": 400, "reason": "BadRequest", "message": "container is waiting to start"}
        fake_api.put(ID, f"{PODS}/rke2-canal-a/log", (400, refused))
        log_of(fake_api, "rke2-canal-b", "text\n")

        bundle = gathered(a_snapshot(), cni_logs.COLLECTOR)

        assert bundle.collectors[0].status is CollectorStatus.PARTIAL
        assert bundle.collectors[0].files == ("logs/kube-system/rke2-canal-b/kube-flannel.log",)
        assert "1 of 2 logs could not be read; kube-system/rke2-canal-a/kube-flannel" in bundle.collectors[0].reason
        assert "container is waiting to start" in bundle.collectors[0].reason

    def test_a_cluster_lost_half_way_keeps_what_was_read(self, fake_api, gathered, a_snapshot):
        fake_api.list(ID, PODS, [crashing("rke2-canal-a"), a_pod("rke2-canal-b"), a_pod("rke2-canal-c")])
        log_of(fake_api, "rke2-canal-a", "text\n", "text\n")
        fake_api.put(ID, f"{PODS}/rke2-canal-b/log", (500, "cluster agent disconnected"))

        bundle = gathered(a_snapshot(), cni_logs.COLLECTOR)

        assert bundle.collectors[0].status is CollectorStatus.PARTIAL
        assert bundle.collectors[0].files == ("logs/kube-system/rke2-canal-a/kube-flannel.log",)
        assert "cluster agent disconnected" in bundle.collectors[0].reason
        assert not any("rke2-canal-c" in path for path, _ in fake_api.asked)

    def test_a_slow_log_ends_at_the_deadline_and_the_others_stay(self, fake_api, gathered, a_snapshot):
        from dataclasses import replace

        fake_api.list(ID, PODS, [crashing("rke2-canal-a"), a_pod("rke2-canal-b")])
        log_of(fake_api, "rke2-canal-a", "text\n", "text\n")
        fake_api.slow(ID, f"{PODS}/rke2-canal-b/log", 1.0, "late\n")

        bundle = gathered(a_snapshot(), replace(cni_logs.COLLECTOR, timeout=0.3))

        assert bundle.collectors[0].status is CollectorStatus.PARTIAL
        assert bundle.collectors[0].files == ("logs/kube-system/rke2-canal-a/kube-flannel.log",)

    def test_pods_of_other_workloads_are_not_read(self, fake_api, gathered, a_snapshot):
        fake_api.list(ID, PODS, [a_pod("kube-proxy-cp-1", owner="kube-proxy-cp-1", container="kube-proxy")])

        bundle = gathered(a_snapshot(), cni_logs.COLLECTOR)

        assert bundle.collectors[0].files == ()
        assert bundle.collectors[0].reason == "no pod of a network plugin was found"

    @pytest.mark.parametrize(
        ("owner", "distribution", "cni"),
        [
            ("canal", Distribution.RKE1, Cni.CANAL),
            ("kube-flannel", Distribution.RKE1, Cni.FLANNEL),
            ("kube-flannel-ds", Distribution.RKE2, Cni.FLANNEL),
            ("kube-flannel-ds-windows-amd64", Distribution.UNKNOWN, Cni.UNKNOWN),
            ("calico-node", Distribution.UNKNOWN, Cni.UNKNOWN),
        ],
    )
    def test_the_network_is_found_under_every_name(self, fake_api, gathered, a_snapshot, *, owner, distribution, cni):
        fake_api.list(ID, PODS, [a_pod(f"{owner}-x", owner=owner)])
        log_of(fake_api, f"{owner}-x", "text\n")

        bundle = gathered(a_snapshot(distribution=distribution, cni=cni), cni_logs.COLLECTOR)

        assert bundle.collectors[0].files == (f"logs/kube-system/{owner}-x/kube-flannel.log",)


class TestCniWorkloads:
    def test_all_pods_are_listed_and_the_networks_and_the_ill_ones_kept_as_objects(
        self, fake_api, gathered, a_snapshot
    ):
        fake_api.list(ID, DAEMONSETS, [{"metadata": {"name": "rke2-canal", "namespace": "kube-system"}}])
        fake_api.list(
            ID,
            PODS,
            [
                crashing("rke2-canal-a"),
                a_pod("kube-proxy-cp-1", owner="x", container="kube-proxy"),
                pending("rke2-coredns-5d-x", owner="rke2-coredns-5d", node=""),
            ],
        )

        bundle = gathered(a_snapshot(), cni_workloads.COLLECTOR)

        assert bundle.collectors[0].files == (
            "objects/downstream/daemonsets/kube-system/rke2-canal.json",
            "objects/downstream/pods/kube-system/rke2-canal-a.json",
            "objects/downstream/pods/kube-system/rke2-coredns-5d-x.json",
            "pods.txt",
        )
        lines = [line.split() for line in bundle["pods.txt"].read_bytes().decode().splitlines()]
        assert lines[0] == ["NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE"]
        assert lines[2] == [
            "kube-system",
            "rke2-canal-a",
            "0/1",
            "CrashLoopBackOff",
            "5",
            "(5m",
            "ago)",
            "60m",
            "<none>",
            "cp-1",
        ]
        assert b"planted" not in bundle["objects/downstream/pods/kube-system/rke2-canal-a.json"].read_bytes()

    def test_the_listing_reads_back_as_the_same_pods(self, fake_api, gathered, a_snapshot):
        fake_api.list(ID, PODS, [crashing("rke2-canal-a"), pending("rke2-canal-b"), a_pod("etcd-cp-1", owner="x")])

        facts = read_facts(gathered(a_snapshot(), cni_workloads.COLLECTOR))

        pods = {pod.name: pod for pod in facts.pods}
        assert (pods["rke2-canal-a"].status, pods["rke2-canal-a"].restarts) == ("CrashLoopBackOff", 5)
        assert (pods["etcd-cp-1"].ready, pods["etcd-cp-1"].total, pods["etcd-cp-1"].node) == (1, 1, "cp-1")

    def test_a_missing_daemonset_is_told_from_one_that_nobody_looked_for(self, fake_api, gathered, a_snapshot):
        looked = read_facts(gathered(a_snapshot(), cni_workloads.COLLECTOR))
        fake_api.forbid(ID, DAEMONSETS, "list", "daemonsets", "apps")
        refused = read_facts(gathered(a_snapshot(), cni_workloads.COLLECTOR))

        assert "DaemonSet" in looked.listed
        assert "DaemonSet" not in refused.listed


class TestNodes:
    def a_node(self, name, *, ready="True", cidr="10.42.0.0/24"):
        return {
            "metadata": {
                "name": name,
                "creationTimestamp": "2026-10-02T09:00:00Z",
                "labels": {"node-role.kubernetes.io/worker": "true", "kubernetes.io/os": "linux"},
                "annotations": {"flannel.alpha.coreos.com/backend-data": '{"VNI":1}'},
            },
            "spec": {
                "podCIDR": cidr,
                "podCIDRs": [cidr],
                "taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}],
            },
            "status": {
                "addresses": [{"type": "InternalIP", "address": "10.0.0.4"}],
                "nodeInfo": {
                    "kubeletVersion": "v1.32.8+rke2r1",
                    "osImage": "Rocky Linux 10.1 (Red Quartz)",
                    "kernelVersion": "6.12.0-124.el10",
                    "containerRuntimeVersion": "containerd://2.0.5-k3s2",
                    "operatingSystem": "linux",
                },
                "conditions": [
                    {
                        "type": "Ready",
                        "status": ready,
                        "reason": "KubeletNotReady",
                        "message": "cni plugin not initialized",
                        "lastTransitionTime": "2026-10-02T09:10:00Z",
                    }
                ],
                "images": [{"names": ["big"]}],
            },
        }

    def test_the_listing_is_kubectls_and_reads_back_as_the_same_nodes(self, fake_api, gathered, a_snapshot):
        fake_api.list(ID, "/api/v1/nodes", [self.a_node("cp-1", ready="False"), self.a_node("w-1")])

        bundle = gathered(a_snapshot(), nodes.COLLECTOR)

        text = bundle["nodes.txt"].read_bytes().decode()
        assert "cp-1   NotReady   worker   3h    v1.32.8+rke2r1   10.0.0.4" in text
        only_text = type(bundle).of({"nodes.txt": text})
        node = next(node for node in read_facts(only_text).nodes if node.name == "cp-1")
        assert (node.ready, node.pod_cidr, node.kernel) == ("False", "10.42.0.0/24", "6.12.0-124.el10")
        assert [taint.key for taint in node.taints] == ["node.kubernetes.io/not-ready"]
        assert node.annotations == {"flannel.alpha.coreos.com/backend-data": '{"VNI":1}'}
        assert [(c.type, c.reason, c.message) for c in node.conditions] == [
            ("Ready", "KubeletNotReady", "cni plugin not initialized")
        ]
        assert b"images" not in bundle["objects/downstream/nodes/_/cp-1.json"].read_bytes()

    def test_of_many_nodes_the_ill_ones_are_described(self, fake_api, gathered, a_snapshot):
        fake_api.list(
            ID, "/api/v1/nodes", [*(self.a_node(f"ok-{n}") for n in range(30)), self.a_node("zz-ill", ready="False")]
        )

        bundle = gathered(a_snapshot(), nodes.COLLECTOR, caps=Caps(described_nodes=2))

        text = bundle["nodes.txt"].read_bytes().decode()
        assert [line.split()[1] for line in text.splitlines() if line.startswith("Name:")] == ["zz-ill", "ok-0"]
        assert bundle.collectors[0].status is CollectorStatus.OK
        assert "describes 2 of 31 nodes" in bundle.collectors[0].reason
        assert len([path for path in bundle if path.startswith("objects/")]) == 31


class TestEvents:
    def test_events_are_listed_as_kubectl_does_and_read_back(self, fake_api, gathered, a_snapshot):
        fake_api.list(
            ID,
            "/api/v1/namespaces/default/events",
            [
                {
                    "metadata": {"name": "cp-1.1", "namespace": "default"},
                    "involvedObject": {"kind": "Node", "name": "cp-1"},
                    "type": "Warning",
                    "reason": "CIDRNotAvailable",
                    "message": "Node cp-1 status is now:\n CIDRNotAvailable",
                    "count": 12,
                    "firstTimestamp": "2026-10-02T11:00:00Z",
                    "lastTimestamp": "2026-10-02T11:58:00Z",
                },
                {"metadata": {"name": "bare", "namespace": "default"}},
            ],
        )

        bundle = gathered(a_snapshot(), events.COLLECTOR)
        event = next(event for event in read_facts(bundle).events if event.reason == "CIDRNotAvailable")

        assert (event.kind, event.name, event.count, event.namespace) == ("Node", "cp-1", 12, "default")
        assert event.message == "Node cp-1 status is now: CIDRNotAvailable"

    def test_of_too_many_events_the_warnings_stay(self, fake_api, gathered, a_snapshot, monkeypatch):
        monkeypatch.setattr(events, "_LIMIT", 2)
        fake_api.list(
            ID,
            "/api/v1/namespaces/default/events",
            [
                {
                    "metadata": {"name": str(n)},
                    "involvedObject": {"kind": "Pod", "name": f"p{n}"},
                    "type": kind,
                    "reason": "R",
                    "message": f"number {n}",
                    "lastTimestamp": f"2026-10-02T11:0{n}:00Z",
                }
                for n, kind in enumerate(["Warning", "Normal", "Normal"])
            ],
        )

        bundle = gathered(a_snapshot(), events.COLLECTOR)

        text = bundle["events.txt"].read_bytes().decode()
        assert "number 0" in text
        assert "number 2" in text
        assert "number 1" not in text
        assert bundle.collectors[0].status is CollectorStatus.PARTIAL


class TestHelm:
    def test_charts_jobs_and_the_logs_of_jobs_that_failed(self, fake_api, gathered, a_snapshot):
        fake_api.list(
            ID,
            "/apis/helm.cattle.io/v1/namespaces/kube-system/helmcharts",
            [
                {
                    "metadata": {"name": "rke2-canal", "namespace": "kube-system"},
                    "spec": {"chartContent": "H4sI" * 1000},
                    "status": {"jobName": "helm-install-rke2-canal"},
                }
            ],
        )
        fake_api.list(
            ID,
            "/apis/batch/v1/namespaces/kube-system/jobs",
            [
                {"metadata": {"name": "helm-install-rke2-canal", "namespace": "kube-system"}, "status": {"failed": 4}},
                {"metadata": {"name": "backup", "namespace": "kube-system"}},
            ],
        )
        fake_api.list(
            ID,
            PODS,
            [
                crashing("helm-install-rke2-canal-x", owner="helm-install-rke2-canal", container="helm"),
                a_pod(
                    "helm-install-rke2-metrics-server-y",
                    owner="z",
                    container="helm",
                    phase="Succeeded",
                    state=a_state("terminated", exitCode=0, reason="Completed"),
                    ready=False,
                ),
            ],
        )
        log_of(fake_api, "helm-install-rke2-canal-x", "Error: UPGRADE FAILED\n", "Error: UPGRADE FAILED\n", "helm")

        bundle = gathered(a_snapshot(), helm.COLLECTOR)

        assert bundle["helm.txt"].read_bytes().decode().splitlines() == [
            "# HelmChart kube-system/rke2-canal: chart packed, version as packed, job helm-install-rke2-canal",
            "# Job kube-system/helm-install-rke2-canal: 0 active, 0 succeeded, 4 failed",
            "# log of pod kube-system/helm-install-rke2-canal-x (CrashLoopBackOff)",
            "Error: UPGRADE FAILED",
        ]
        chart = json.loads(bundle["objects/downstream/helmcharts/kube-system/rke2-canal.json"].read_bytes())
        assert chart["spec"]["chartContent"] == "(4000 characters of a packed chart)"
        assert "objects/downstream/jobs/kube-system/backup.json" not in bundle

    def test_rke1s_network_job_has_a_log_of_its_own(self, fake_api, gathered, a_snapshot):
        name = "rke-network-plugin-deploy-job-k2x"
        fake_api.list("c-7x2kd", PODS, [a_pod(name, owner="rke-network-plugin-deploy-job", container="rke-pod", phase="Failed", ready=False, state=a_state("terminated", exitCode=1, reason="Error"))])  # fmt: skip
        fake_api.put("c-7x2kd", f"{PODS}/{name}/log", "unable to recognize: no matches for kind\n")

        bundle = gathered(a_snapshot(distribution=Distribution.RKE1, cluster_id="c-7x2kd"), helm.COLLECTOR)

        assert bundle.collectors[0].status is CollectorStatus.OK
        assert bundle.collectors[0].files == (f"logs/kube-system/{name}/rke-pod.log",)


class TestCrds:
    def test_only_the_networks_and_ranchers_and_no_schema(self, fake_api, gathered, a_snapshot):
        def crd(plural, group):
            return {
                "metadata": {"name": f"{plural}.{group}"},
                "spec": {
                    "group": group,
                    "scope": "Cluster",
                    "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"big": "x" * 1000}}],
                },
                "status": {"conditions": [{"type": "Established", "status": "True"}]},
            }

        fake_api.list(
            ID,
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            [crd("felixconfigurations", "crd.projectcalico.org"), crd("helmcharts", "helm.cattle.io"), crd("certs", "cert-manager.io")],
        )  # fmt: skip

        bundle = gathered(a_snapshot(), crds.COLLECTOR)

        assert bundle.collectors[0].files == (
            "objects/downstream/customresourcedefinitions/_/felixconfigurations.crd.projectcalico.org.json",
            "objects/downstream/customresourcedefinitions/_/helmcharts.helm.cattle.io.json",
        )
        stored = json.loads(bundle[bundle.collectors[0].files[0]].read_bytes())
        assert stored["spec"]["versions"] == [{"name": "v1", "served": True, "storage": True}]
        assert stored["status"]["conditions"][0]["type"] == "Established"

    def test_no_crd_at_all_is_proven_rather_than_unknown(self, fake_api, gathered, a_snapshot):
        fake_api.list(ID, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", [])

        facts = read_facts(gathered(a_snapshot(), crds.COLLECTOR))

        assert "CustomResourceDefinition" in facts.listed


class TestOthers:
    def test_the_configuration_of_the_network(self, fake_api, gathered, a_snapshot):
        path = "/api/v1/namespaces/kube-system/configmaps/rke2-canal-config"
        fake_api.put(ID, path, {"metadata": {"name": "rke2-canal-config", "namespace": "kube-system"}, "data": {"net-conf.json": "{}"}})  # fmt: skip

        bundle = gathered(a_snapshot(), network_config.COLLECTOR)

        assert bundle.collectors[0].status is CollectorStatus.OK
        assert bundle.collectors[0].files == ("objects/downstream/configmaps/kube-system/rke2-canal-config.json",)

    def test_dns_is_only_read_while_it_is_ill(self, fake_api, gathered, a_snapshot):
        fake_api.list(
            ID,
            PODS,
            [
                a_pod("rke2-coredns-5d-well", owner="rke2-coredns-5d", container="coredns"),
                a_pod("rke2-coredns-5d-ill", owner="rke2-coredns-5d", container="coredns", ready=False),
                a_pod("kube-proxy-cp-1", owner="cp-1", container="kube-proxy"),
                a_pod("metrics-server-x", owner="metrics", container="metrics"),
            ],
        )
        for pod, container in (("rke2-coredns-5d-ill", "coredns"), ("kube-proxy-cp-1", "kube-proxy")):
            log_of(fake_api, pod, "text\n", container=container)

        bundle = gathered(a_snapshot(), system_logs.COLLECTOR)

        assert bundle.collectors[0].files == (
            "logs/kube-system/kube-proxy-cp-1/kube-proxy.log",
            "logs/kube-system/rke2-coredns-5d-ill/coredns.log",
        )


def odd_values():
    return [None, 3, "text", [], [None, 3, "x"], {"a": None}, True]


@pytest.mark.parametrize("odd", odd_values(), ids=repr)
def test_odd_answers_of_a_cluster_never_become_a_crash(fake_api, gathered, a_snapshot, odd):
    """Whatever stands in an object, collectors report; they do not fall over."""
    item = {"metadata": odd, "spec": odd, "status": odd, "data": odd, "involvedObject": odd, "type": odd}
    named = {**item, "metadata": {"name": "rke2-canal-x", "namespace": "kube-system", "labels": odd, "annotations": odd, "ownerReferences": odd, "creationTimestamp": odd}}  # fmt: skip
    deep = {**named, "spec": {"containers": odd, "taints": odd, "rkeConfig": odd, "infrastructureRef": odd, "versions": odd, "group": "cattle.io", "chartContent": odd}, "status": {"conditions": odd, "containerStatuses": odd, "addresses": odd, "nodeInfo": odd, "phase": odd, "deprecated": odd}}  # fmt: skip
    deeper = {**named, "spec": {"containers": [{"name": odd}], "rkeConfig": {"machinePools": odd}, "infrastructureRef": {"kind": odd}}, "status": {"containerStatuses": [{"name": odd, "state": odd, "lastState": {"terminated": odd}, "restartCount": odd}], "conditions": [{"type": odd, "status": odd, "message": odd}]}}  # fmt: skip

    class Everything(dict):
        def get(self, path, default=None):
            if path.endswith("/log"):
                return "a line\n"
            last = path.rsplit("/", 1)[1]
            if last.endswith("s") and last != "rke2-canal-x":
                return {"metadata": {}, "items": [item, named, deep, deeper, odd]}
            return deep

    fake_api.answers = Everything()

    bundle = gathered(a_snapshot(), *gather())

    assert MANIFEST in bundle
    assert len(bundle.collectors) == len(gather())


def test_a_cluster_without_connection_is_told_from_the_management_side_alone(fake_api, gathered, a_snapshot):
    fake_api.put("local", "/apis/management.cattle.io/v3/clusters/c-m-8jq5fz7k", {"metadata": {"name": "c-m-8jq5fz7k"}})

    bundle = gathered(a_snapshot(connected=False), *gather())

    by_status = {report.name: report.status for report in bundle.collectors}
    assert by_status["nodes"] is by_status["cni_logs"] is by_status["crds"] is CollectorStatus.SKIPPED
    assert "objects/management/clusters/_/c-m-8jq5fz7k.json" in bundle
    assert not any(path.startswith("/k8s/clusters/c-m-") for path, _ in fake_api.asked)
