"""What a repair writes into a downstream cluster, and what the cluster makes of it."""

import json

import pytest

from rancher_ext.simulator.cluster import DAEMON_SET, JOB, NODE, POD
from rancher_ext.simulator.render.objects import three_way
from rancher_ext.simulator.resources import resource_of
from rancher_ext.simulator.status import ApiStatus

STRATEGIC = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"
CONFIG_MAP = resource_of("v1", "ConfigMap")
CANAL = ("kube-system", "rke2-canal")
RESTART = {"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}}}


def canal_pods(cluster) -> dict[str, str]:
    """The CNI pods of a cluster and since when they are."""
    pods = cluster.downstream.objects(POD, "kube-system")
    return {
        pod["metadata"]["name"]: pod["metadata"]["creationTimestamp"]
        for pod in pods
        if pod["metadata"]["labels"].get("k8s-app") == "canal"
    }


def test_a_restarted_daemon_set_has_new_pods_that_begin_now(fleet):
    cluster = fleet.add("rke2-canal-healthy")
    before = canal_pods(cluster)

    cluster.downstream.patch(DAEMON_SET, CANAL, STRATEGIC, RESTART, manager="drover")
    fleet.cluster_changed(cluster)
    fleet.later(30)

    after = canal_pods(cluster)
    assert len(after) == len(before)
    assert not set(after) & set(before)
    assert min(after.values()) > max(before.values())
    daemon_set = cluster.downstream.get(DAEMON_SET, CANAL).obj
    assert daemon_set["metadata"]["generation"] == daemon_set["status"]["observedGeneration"] == 2


def test_a_daemon_set_whose_pods_are_replaced_by_hand_keeps_them(fleet):
    cluster = fleet.add("rke2-canal-healthy")
    before = canal_pods(cluster)
    by_hand = {"spec": {"updateStrategy": {"type": "OnDelete"}, **RESTART["spec"]}}

    cluster.downstream.patch(DAEMON_SET, CANAL, STRATEGIC, by_hand, manager="drover")
    fleet.cluster_changed(cluster)
    fleet.later(30)

    assert canal_pods(cluster) == before


def test_what_a_client_wrote_outlives_the_next_look_at_the_cluster(fleet):
    cluster = fleet.add("rke2-canal-healthy")
    node = cluster.identity.first.node
    store = cluster.downstream

    store.patch(DAEMON_SET, CANAL, STRATEGIC, RESTART, manager="drover")
    store.patch(
        NODE, ("", node), MERGE, {"spec": {"taints": [{"key": "mine", "effect": "NoSchedule"}]}}, manager="drover"
    )
    store.patch(CONFIG_MAP, ("kube-system", "cluster-dns"), MERGE, {"data": {"mine": "1"}}, manager="drover")
    fleet.cluster_changed(cluster)
    fleet.later(900)

    template = store.get(DAEMON_SET, CANAL).obj["spec"]["template"]
    assert template["metadata"]["annotations"] == {"kubectl.kubernetes.io/restartedAt": "now"}
    assert store.get(NODE, ("", node)).obj["spec"]["taints"] == [{"key": "mine", "effect": "NoSchedule"}]
    assert store.get(CONFIG_MAP, ("kube-system", "cluster-dns")).obj["data"]["mine"] == "1"


def test_a_pod_range_given_to_a_node_stays_and_cannot_be_changed(fleet):
    cluster = fleet.add("rke2-canal-cidr-exhausted")
    store = cluster.downstream
    (bare, *_) = [node["metadata"]["name"] for node in store.objects(NODE) if "podCIDR" not in node["spec"]]

    store.patch(NODE, ("", bare), MERGE, {"spec": {"podCIDR": "10.99.0.0/24"}}, manager="drover")
    fleet.cluster_changed(cluster)
    fleet.later(120)

    assert store.get(NODE, ("", bare)).obj["spec"]["podCIDRs"] == ["10.99.0.0/24"]
    with pytest.raises(ApiStatus, match="may not change podCIDR except from"):
        store.patch(NODE, ("", bare), MERGE, {"spec": {"podCIDR": "10.99.1.0/24"}}, manager="drover")


def test_a_pod_on_a_node_without_kubelet_goes_by_force_only(fleet):
    cluster = fleet.add("rke2-canal-healthy")
    store, name = cluster.downstream, next(iter(canal_pods(cluster)))
    store.lingers = lambda resource, obj: obj["metadata"]["name"] == name
    key = ("kube-system", name)

    marked = store.delete(POD, key, {})
    assert store.get(POD, key).obj["metadata"]["deletionGracePeriodSeconds"] == 30
    fleet.cluster_changed(cluster)
    fleet.later(300)
    assert store.get(POD, key).obj["metadata"]["deletionTimestamp"] == marked["metadata"]["deletionTimestamp"]

    store.delete(POD, key, {"gracePeriodSeconds": 0})
    fleet.cluster_changed(cluster)
    fleet.later(30)
    assert store.entry(POD, key) is None
    assert len(canal_pods(cluster)) == len(cluster.identity.machines)


def test_a_kubelet_that_is_gone_keeps_its_pods(fleet):
    cluster = fleet.add("rke2-flannel-kubelet-flag")
    away = [m.node for m in cluster.identity.machines if cluster.kubelet_is_gone(m.node)]
    pods = [pod for pod in cluster.downstream.objects(POD) if pod["spec"].get("nodeName") in away]

    assert away
    assert pods
    assert all(cluster.downstream.lingers(POD, pod) for pod in pods)


def test_a_deleted_job_runs_anew(fleet):
    cluster = fleet.add("rke2-canal-healthy")
    key = ("kube-system", "helm-install-rke2-canal")
    before = cluster.downstream.get(JOB, key).obj

    cluster.downstream.delete(JOB, key, {"propagationPolicy": "Background"})
    fleet.cluster_changed(cluster)
    fleet.later(30)

    after = cluster.downstream.get(JOB, key).obj
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert after["status"]["startTime"] > before["status"]["completionTime"]
    kinds = [each["type"] for each in after["status"]["conditions"]]
    assert kinds == ["SuccessCriteriaMet", "Complete"]


def test_a_kind_is_served_once_its_crd_is_there(client, fleet):
    cluster = fleet.add("rke1-canal-br-netfilter")
    base = f"/k8s/clusters/{cluster.id}/apis"
    named = {"kind": "HelmChart", "plural": "helmcharts"}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
    spec = {"group": "helm.cattle.io", "names": named, "scope": "Namespaced", "versions": [version]}
    crd = {"metadata": {"name": "helmcharts.helm.cattle.io"}, "spec": spec}

    before = client.get(base + "/helm.cattle.io/v1/helmcharts")
    made = client.post(base + "/apiextensions.k8s.io/v1/customresourcedefinitions", json=crd)

    assert (before.status_code, before.text) == (404, "404 page not found\n")
    assert made.status_code == 201
    assert client.get(base + "/helm.cattle.io/v1/helmcharts").json()["items"] == []


def test_a_watch_misses_nothing_that_is_written_while_it_looks(client, fleet):
    store, asked = fleet.local, []
    plain = store.since

    def since(version, resource):
        found = plain(version, resource)
        if resource is CONFIG_MAP and not asked:
            asked.append(version)
            store.create(CONFIG_MAP, "default", {"metadata": {"name": "in-between"}}, manager="other")
        return found

    store.since = since
    path = "/k8s/clusters/local/api/v1/namespaces/default/configmaps"
    version = client.get(path).json()["metadata"]["resourceVersion"]
    with client.get(
        path, params={"watch": "1", "resourceVersion": version, "timeoutSeconds": "1"}, stream=True
    ) as answer:
        seen = [json.loads(line)["object"]["metadata"]["name"] for line in answer.iter_lines()]

    assert asked
    assert seen == ["in-between"]


@pytest.mark.parametrize(
    ("last", "wanted", "found", "merged"),
    [
        ({"a": 1}, {"a": 1}, {"a": 2}, {"a": 2}),
        ({"a": 1}, {"a": 2}, {"a": 1}, {"a": 2}),
        ({"a": 1}, {"a": 2}, {"a": 3}, {"a": 2}),
        ({"a": 1}, {"a": 1}, {}, {}),
        ({"a": 1}, {}, {"a": 1, "b": 2}, {"b": 2}),
        ([1], [1, 2], [1, 9], [1, 9, 2]),
        ([1, 2], [2], [1, 2, 9], [2, 9]),
        ([1], [], [], []),
    ],
)
def test_changes_of_two_hands_are_joined(last, wanted, found, merged):
    assert three_way(last, wanted, found) == merged
