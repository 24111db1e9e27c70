import json
from datetime import UTC, datetime

import pytest

from rancher_ext.bundle.bundle import Bundle, Manifest
from rancher_ext.evidence.readers import read_facts

NODE = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "w1", "creationTimestamp": "2025-03-04T09:00:00Z", "labels": {"kubernetes.io/os": "linux"}, "annotations": {"a": "b"}},
    "spec": {"taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]},
    "status": {
        "addresses": [{"type": "InternalIP", "address": "10.0.0.7"}],
        "nodeInfo": {"osImage": "Ubuntu 24.04", "kernelVersion": "6.8.0-57-generic", "kubeletVersion": "v1.32.2+rke2r1", "operatingSystem": "linux"},
        "conditions": [{"type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": 'cni plugin "x" not initialized'}],
    },
}  # fmt: skip


def facts_of(*objects, manifest=None):
    files = {f"objects/downstream/x/{n}.json": json.dumps(o, indent=1) for n, o in enumerate(objects)}
    return read_facts(Bundle.of(files, manifest))


def test_a_node_is_whole_so_that_a_missing_field_is_missing():
    manifest = Manifest(collected_at=datetime(2025, 3, 4, 9, 10, tzinfo=UTC))
    [node] = facts_of(NODE, manifest=manifest).nodes

    assert node.complete
    assert (node.name, node.ready, node.pod_cidr, node.os, node.kernel, node.internal_ip, node.age) == (
        "w1", "False", None, "linux", "6.8.0-57-generic", "10.0.0.7", 600,
    )  # fmt: skip
    assert [taint.key for taint in node.taints] == ["node.kubernetes.io/not-ready"]


def test_evidence_points_at_the_line_where_the_words_stand():
    facts = facts_of(NODE)

    [condition] = facts.conditions
    lines = json.dumps(NODE, indent=1).splitlines()
    assert "not initialized" in lines[condition.at.line - 1]
    assert condition.at.source == "objects/downstream/x/0.json"
    assert ('cni plugin "x" not initialized', condition.at) in facts.messages


def a_pod(statuses, init=(), **extra):
    return {
        "kind": "Pod",
        "metadata": {"name": "canal-x", "namespace": "kube-system"} | extra,
        "spec": {"nodeName": "w1", "containers": [{"name": s["name"]} for s in statuses] or [{"name": "a"}], "initContainers": [{} for _ in init]},
        "status": {"phase": "Running", "containerStatuses": list(statuses), "initContainerStatuses": list(init)},
    }  # fmt: skip


RUNNING = {"name": "calico-node", "ready": True, "restartCount": 0, "state": {"running": {}}}
CRASHING = {
    "name": "kube-flannel",
    "ready": False,
    "restartCount": 4,
    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
    "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "message": "Failed to check br_netfilter"}},
}


@pytest.mark.parametrize(
    ("pod", "printed", "ready", "total"),
    [
        (a_pod([RUNNING]), "Running", 1, 1),
        (a_pod([RUNNING, CRASHING]), "CrashLoopBackOff", 1, 2),
        (a_pod([], init=[{"name": "install-cni", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]), "Init:CrashLoopBackOff", 0, 1),
        (a_pod([], init=[{"name": "a", "state": {"terminated": {"exitCode": 0}}}, {"name": "b", "state": {"running": {}}}]), "Init:1/2", 0, 1),
        (a_pod([], init=[{"name": "a", "state": {"terminated": {"exitCode": 2}}}]), "Init:ExitCode:2", 0, 1),
        (a_pod([RUNNING], deletionTimestamp="2025-03-04T09:00:00Z"), "Terminating", 1, 1),
        ({"kind": "Pod", "metadata": {"name": "x"}, "status": {"phase": "Failed", "reason": "Evicted"}}, "Evicted", 0, 0),
    ],
)  # fmt: skip
def test_the_status_is_what_kubectl_prints(pod, printed, ready, total):
    [fact] = facts_of(pod).pods

    assert (fact.status, fact.ready, fact.total) == (printed, ready, total)


def test_a_pod_knows_how_long_ago_it_was_restarted():
    ended = {"lastState": {"terminated": {"exitCode": 1, "finishedAt": "2025-03-04T09:08:30Z"}}}
    manifest = Manifest(collected_at=datetime(2025, 3, 4, 9, 10, tzinfo=UTC))

    assert [pod.restarted for pod in facts_of(a_pod([RUNNING, CRASHING | ended]), manifest=manifest).pods] == [90]
    assert [pod.restarted for pod in facts_of(a_pod([RUNNING, CRASHING]), manifest=manifest).pods] == [None]


def test_without_a_manifest_the_last_word_of_a_node_tells_when_the_evidence_was_taken():
    """`2025-13-99` stands for what no clock shows: it is passed over."""
    ended = {"lastState": {"terminated": {"exitCode": 1, "finishedAt": "2025-03-04T09:08:30Z"}}}
    beats = [
        {"type": "Ready", "status": "True", "lastHeartbeatTime": stamp}
        for stamp in ("2025-03-04T10:08:30Z", "2025-13-99T10:09:00Z", "2025-03-04T10:01:00Z")
    ]
    files = {
        "pods.json": json.dumps(a_pod([RUNNING | ended])),
        "nodes.json": json.dumps(NODE | {"status": {"conditions": beats}}, indent=2),
    }

    assert [pod.restarted for pod in read_facts(Bundle.of(files)).pods] == [3600]


def test_what_containers_said_last_is_text_for_patterns():
    messages = [message for message, _ in facts_of(a_pod([RUNNING, CRASHING])).messages]

    assert messages == ["back-off", "Failed to check br_netfilter"]


def test_lists_events_and_daemonsets():
    facts = facts_of(
        {
            "kind": "DaemonSetList",
            "items": [{"metadata": {"name": "canal"}, "status": {"desiredNumberScheduled": 3, "numberReady": 1}}],
        },
        {
            "kind": "Event",
            "type": "Warning",
            "reason": "Failed",
            "count": 7,
            "message": "m1",
            "involvedObject": {"kind": "Pod", "name": "p"},
        },
        {
            "kind": "Event",
            "reason": "New",
            "note": "m2",
            "regarding": {"kind": "Node", "name": "n"},
            "series": {"count": 3},
        },
        {"kind": "ConfigMapList", "items": []},
    )

    [daemonset] = facts.daemonsets
    assert (daemonset.desired, daemonset.ready, daemonset.available) == (3, 1, 0)
    assert [(e.reason, e.kind, e.name, e.count, e.message) for e in facts.events] == [
        ("Failed", "Pod", "p", 7, "m1"),
        ("New", "Node", "n", 3, "m2"),
    ]
    assert "ConfigMap" in facts.listed


def test_conditions_know_whose_they_are():
    condition = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    facts = facts_of(
        {"kind": "Cluster", "apiVersion": "provisioning.cattle.io/v1", "metadata": {"name": "a"}} | condition,
        {"kind": "Machine", "apiVersion": "cluster.x-k8s.io/v1beta1", "metadata": {"name": "b"}} | condition,
        {"kind": "Node", "apiVersion": "management.cattle.io/v3", "metadata": {"name": "c"}} | condition,
        {"kind": "HelmChart", "apiVersion": "helm.cattle.io/v1", "metadata": {"name": "d"}} | condition,
    )

    assert {c.name: c.of for c in facts.conditions} == {"a": "cluster", "b": "machine", "c": "machine", "d": "object"}
    assert facts.nodes == ()


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"kind": 5}', b'{"kind": "Pod"}', b'{"kind":"Pod","status":[],"spec":"x","metadata":7}', b'{"kind":"Node","status":{"conditions":[1,{}]}}', b"[" * 5000, b'{"kind":"PodList","items":[5,null]}'],
)  # fmt: skip
def test_strange_documents_are_no_error(content):
    read_facts(Bundle.of({"objects/downstream/pods/x.json": content}))


def test_pasted_yaml_is_read_too_but_no_bomb():
    text = "apiVersion: v1\nkind: Node\nmetadata:\n  name: w9\nstatus:\n  conditions:\n  - type: Ready\n    status: 'True'\n"
    bomb = "a: &a [x]\n" + "\n".join(f"b{n}: &b{n} [*a, *a]" for n in range(300))

    assert [n.name for n in read_facts(Bundle.of({"node.yaml": text})).nodes] == ["w9"]
    assert read_facts(Bundle.of({"bomb.yaml": bomb})).objects == ()


def test_numbers_beyond_64_bits_do_not_break_expressions():
    [fact] = facts_of({"kind": "X", "metadata": {"name": "n"}, "value": 2**70}).objects

    assert fact.object["value"] == float(2**70)
