"""What our collectors print, our readers read: the same facts come from the listing and from the object."""

import json
from datetime import UTC, datetime

from rancher_ext.bundle.bundle import Bundle, Manifest
from rancher_ext.evidence.readers import read_facts
from rancher_ext.evidence.render import condition_rows, event_table, node_description, node_table, pod_table

NOW = datetime(2025, 3, 4, 9, 53, tzinfo=UTC)
NODE = {
    "kind": "Node",
    "metadata": {"name": "w1", "creationTimestamp": "2025-03-04T09:00:00Z", "labels": {"kubernetes.io/os": "linux"}, "annotations": {"flannel.alpha.coreos.com/public-ip": "10.0.2.15"}},
    "spec": {"podCIDR": "10.42.1.0/24", "taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]},
    "status": {
        "addresses": [{"type": "InternalIP", "address": "10.0.0.7"}],
        "nodeInfo": {"osImage": "Ubuntu 24.04 LTS", "kernelVersion": "6.8.0-57-generic", "kubeletVersion": "v1.32.2+rke2r1", "operatingSystem": "linux", "containerRuntimeVersion": "containerd://2.0"},
        "conditions": [{"type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": "cni plugin not initialized", "lastTransitionTime": "2025-03-04T09:01:00Z"}],
    },
}  # fmt: skip
POD = {
    "kind": "Pod",
    "metadata": {"name": "rke2-canal-abcde", "namespace": "kube-system", "creationTimestamp": "2025-03-04T09:50:00Z"},
    "spec": {"nodeName": "w1", "containers": [{"name": "calico-node"}, {"name": "kube-flannel"}]},
    "status": {
        "phase": "Running",
        "podIP": "10.0.0.7",
        "containerStatuses": [
            {"name": "calico-node", "ready": True, "restartCount": 0, "state": {"running": {}}},
            {"name": "kube-flannel", "ready": False, "restartCount": 5, "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"exitCode": 1, "finishedAt": "2025-03-04T09:52:00Z"}}},
        ],
    },
}  # fmt: skip
EVENT = {
    "kind": "Event",
    "metadata": {"namespace": "kube-system", "name": "e1"},
    "involvedObject": {"kind": "Pod", "name": "coredns-1"},
    "type": "Warning",
    "reason": "FailedCreatePodSandBox",
    "message": "failed to setup network",
    "count": 41,
    "firstTimestamp": "2025-03-04T09:40:00Z",
    "lastTimestamp": "2025-03-04T09:51:00Z",
}
CLUSTER = {
    "kind": "Cluster",
    "apiVersion": "management.cattle.io/v3",
    "metadata": {"name": "c-8xk2p"},
    "spec": {"displayName": "edge-07"},
    "status": {"conditions": [{"type": "Waiting", "status": "Unknown", "message": "Waiting for API to be available"}]},
}
LISTINGS = {
    "nodes.txt": node_table([NODE], NOW) + "\n" + node_description(NODE),
    "pods.txt": pod_table([POD], NOW),
    "events.txt": event_table([EVENT], NOW),
    "conditions.txt": condition_rows("cluster/edge-07", CLUSTER["status"]["conditions"]),
}
OBJECTS = {
    f"objects/x/{number}.json": json.dumps(document) for number, document in enumerate([NODE, POD, EVENT, CLUSTER])
}
MANIFEST = Manifest(collected_at=NOW)


def test_a_listing_says_what_the_object_says():
    listed, whole = (read_facts(Bundle.of(files, MANIFEST)) for files in (LISTINGS, OBJECTS))

    [one], [other] = listed.nodes, whole.nodes
    for name in (
        "name",
        "ready",
        "taints",
        "annotations",
        "labels",
        "pod_cidr",
        "os",
        "os_image",
        "kernel",
        "kubelet",
        "internal_ip",
        "age",
    ):
        assert getattr(one, name) == getattr(other, name), name
    [one], [other] = listed.pods, whole.pods
    for name in ("name", "namespace", "node", "status", "ready", "total", "restarts", "age"):
        assert getattr(one, name) == getattr(other, name), name
    [one], [other] = listed.events, whole.events
    for name in ("type", "reason", "kind", "name", "message", "count"):
        assert getattr(one, name) == getattr(other, name), name
    conditions = [
        {(c.of, c.type, c.status, c.reason, c.message) for c in facts.conditions} for facts in (listed, whole)
    ]
    assert conditions[0] == conditions[1]


def test_both_together_count_once():
    facts = read_facts(Bundle.of(LISTINGS | OBJECTS, MANIFEST))

    assert (len(facts.nodes), len(facts.pods), len(facts.events), len(facts.conditions)) == (1, 1, 1, 2)
    assert facts.nodes[0].complete
    assert facts.pods[0].complete


def test_rows_that_repeat_each_other_happened_more_than_once():
    row = "2m   Normal   Killing   pod/kube-flannel-ds-7c6wq   Stopping container kube-flannel\n"

    assert len(read_facts(Bundle.of({"events.txt": row * 4})).events) == 4
