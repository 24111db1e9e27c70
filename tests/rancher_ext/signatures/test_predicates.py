"""Every predicate, with what makes it true, false and unknown."""

import pytest

from rancher_ext.bundle.bundle import Bundle
from rancher_ext.bundle.facts import (
    ClusterFacts,
    ConditionFact,
    ContainerFacts,
    DaemonSetFacts,
    EventFact,
    Facts,
    NodeFacts,
    ObjectFact,
    Place,
    PodFacts,
    Taint,
)
from rancher_ext.bundle.truth import Truth
from tests.rancher_ext.signatures.asking import ask, truth
from tests.rancher_ext.signatures.builders import FLANNEL_LOG, a_bundle

CNI = {"workload": "cni"}
FLANNEL = {"workload": "cni", "container": "kube-flannel"}


@pytest.mark.parametrize(
    ("wanted", "files", "expected"),
    [
        (FLANNEL, {"flannel": "BAD"}, "true"),
        (FLANNEL, {"flannel": "fine"}, "false"),
        (FLANNEL, {"kubelet": "BAD"}, "true?"),
        (FLANNEL, {"kubelet": "fine"}, "unknown"),
        (FLANNEL, {"paste": "BAD"}, "true?"),
        (FLANNEL, {"paste": "fine"}, "unknown"),
        (FLANNEL, {}, "unknown"),
        (FLANNEL, {"k3s": "BAD"}, "true"),
        (FLANNEL, {"k3s": "fine"}, "false"),
        ({"workload": "cni", "container": "calico-node"}, {"flannel": "BAD"}, "unknown"),
        ({"unit": "kubelet"}, {"kubelet": "BAD"}, "true"),
        ({"unit": "kubelet"}, {"k3s": "BAD"}, "true"),
        ({"unit": "containerd"}, {"kubelet": "BAD"}, "unknown"),
        ([{"unit": "containerd"}, {"unit": "kubelet"}], {"kubelet": "BAD"}, "true"),
        ({"namespace": "kube-system"}, {"flannel": "BAD"}, "true"),
        ({"namespace": "other"}, {"flannel": "BAD"}, "unknown"),
        ({"unit": "kubelet", "node": "^w"}, {"kubelet": "BAD"}, "true"),
        ({"unit": "kubelet", "node": "^cp"}, {"kubelet": "BAD"}, "unknown"),
        ({"workload": "helm-install"}, {"helm": "BAD"}, "true"),
        (None, {"flannel": "BAD"}, "true"),
        (None, {"events": "BAD"}, "unknown"),
    ],
)
def test_a_log_line_counts_when_it_comes_from_there(wanted, files, expected):
    predicate = {"log": "BAD"} | ({"from": wanted} if wanted else {})
    assert truth(predicate, a_bundle(**files)) == expected


def test_a_kubelet_log_of_a_k3s_cluster_is_also_flannels():
    bundle = a_bundle(kubelet="BAD")
    for distribution, expected in (("k3s", "true"), ("rke2", "unknown"), ("unknown", "true?")):
        facts = Facts(cluster=ClusterFacts(distribution=distribution))
        assert truth({"log": "BAD", "from": CNI}, bundle, facts) == expected


def test_previous_runs_are_told_from_current_ones():
    bundle = Bundle.of({FLANNEL_LOG.replace(".log", ".previous.log"): "BAD", FLANNEL_LOG: "fine"})

    assert truth({"log": "BAD", "from": FLANNEL | {"previous": True}}, bundle) == "true"
    assert truth({"log": "BAD", "from": FLANNEL | {"previous": False}}, bundle) == "false"
    assert truth({"log": "BAD", "from": FLANNEL}, bundle) == "true"


def test_lines_are_counted_and_shown():
    outcome = ask({"log": ["BAD", "WORSE"], "from": CNI, "at_least": 3}, a_bundle(flannel="BAD\nok\nBAD 2\nWORSE\n"))

    assert outcome.truth is Truth.TRUE
    assert outcome.count == 3
    assert outcome.evidence[0] == Place(FLANNEL_LOG, 1, "BAD")
    assert truth({"log": "BAD", "from": CNI, "at_least": 3}, a_bundle(flannel="BAD\nBAD\n")) == "false"
    assert truth({"log": "BAD", "from": CNI, "at_least": 2}, a_bundle(flannel="BAD\n", paste="BAD\n")) == "true?"


@pytest.mark.parametrize(
    ("wanted", "files", "expected"),
    [
        (None, {"events": "BAD"}, "true"),
        (None, {"kubelet": "BAD"}, "true"),
        (None, {"events": "fine"}, "false"),
        (None, {}, "unknown"),
        ("events", {"events": "BAD"}, "true"),
        ("events", {"conditions": "BAD"}, "unknown"),
        (["events", "logs"], {"conditions": "fine", "flannel": "BAD"}, "true"),
        ("other", {"paste": "BAD"}, "true"),
        ("helm", {"helm": "BAD", "events": "x"}, "true"),
        ("pods", {"pods": "fine"}, "false"),
    ],
)
def test_text_may_stand_anywhere_or_in_some_places(wanted, files, expected):
    assert truth({"text": "BAD"} | ({"in": wanted} if wanted else {}), a_bundle(**files)) == expected


def test_text_reaches_messages_inside_objects():
    place = Place("objects/downstream/events/x.json", 7, "Failed: BAD thing")
    facts = Facts(messages=(("fine", Place("a", 1, "fine")), ("two\nlines BAD thing", place)))

    outcome = ask({"text": "BAD thing"}, None, facts)
    assert outcome.evidence == (place,)
    assert truth({"text": "BAD", "in": "events"}, None, facts) == "true"
    assert truth({"text": "BAD", "in": "logs"}, None, facts) == "unknown"


WAITING = ConditionFact("cluster", "c-1", "Waiting", "True", None, "Waiting for API to be available")
NOT_READY = ConditionFact("node", "w1", "Ready", "False", "KubeletNotReady", "cni plugin not initialized")
BARE = ConditionFact("any", message="waiting for cluster agent to connect")


@pytest.mark.parametrize(
    ("where", "conditions", "expected"),
    [
        ({"of": "cluster", "type": "Waiting"}, [WAITING], "true"),
        ({"of": "cluster", "type": "Ready"}, [WAITING], "false"),
        ({"of": "machine", "type": "Ready"}, [WAITING], "unknown"),
        ({"type": "Ready", "status": "False", "reason": "KubeletNotReady"}, [NOT_READY], "true"),
        ({"type": "Ready", "status": "Unknown"}, [NOT_READY], "false"),
        ({"message": "agent to connect"}, [BARE], "true"),
        ({"of": "cluster", "type": "Ready", "message": "agent to connect"}, [BARE], "true?"),
        ({"of": "cluster", "type": "Ready"}, [BARE], "false"),
        ({"message": "other"}, [BARE], "false"),
        ({"type": "Ready"}, [], "unknown"),
    ],
)
def test_conditions(where, conditions, expected):
    assert truth({"condition": where}, None, Facts(conditions=tuple(conditions))) == expected


SANDBOX = EventFact(
    "failed to setup network", "Warning", "FailedCreatePodSandBox", "Pod", "coredns-1", "kube-system", 312
)
BARE_EVENT = EventFact("failed to setup network for sandbox")


@pytest.mark.parametrize(
    ("where", "extra", "events", "expected"),
    [
        ({"reason": "FailedCreatePodSandBox"}, {}, [SANDBOX], "true"),
        ({"reason": ["Other", "FailedCreatePodSandBox"], "kind": "Pod", "name": "^coredns"}, {}, [SANDBOX], "true"),
        ({"reason": "FailedMount"}, {}, [SANDBOX], "false"),
        ({"message": "setup network"}, {"at_least": 300}, [SANDBOX], "true"),
        ({"message": "setup network"}, {"at_least": 400}, [SANDBOX], "false"),
        ({"reason": "FailedCreatePodSandBox", "message": "setup network"}, {}, [BARE_EVENT], "true?"),
        ({"reason": "FailedCreatePodSandBox"}, {}, [BARE_EVENT], "false"),
        ({"type": "Normal"}, {}, [SANDBOX], "false"),
        ({"reason": "X"}, {}, [], "unknown"),
    ],
)
def test_events_count_their_repetitions(where, extra, events, expected):
    assert truth({"event": where} | extra, None, Facts(events=tuple(events))) == expected


def test_no_event_at_all_is_a_no_when_events_were_listed():
    assert truth({"event": {"reason": "X"}}, None, Facts(listed=frozenset({"Event"}))) == "false"


CRASHING = PodFacts(
    "rke2-canal-abcde",
    "kube-system",
    "w1",
    "CrashLoopBackOff",
    1,
    2,
    9,
    600,
    (ContainerFacts("kube-flannel", ready=False, last_exit_code=1), ContainerFacts("calico-node", ready=True)),
)
ROW_ONLY = PodFacts("rke2-canal-fghij", "kube-system", None, "Running", 2, 2, 0)
APP = PodFacts("shop-abcde", "shop", "w1", "CrashLoopBackOff", 0, 1, 30)


@pytest.mark.parametrize(
    ("predicate", "expected"),
    [
        ({"pod": 'status == "CrashLoopBackOff"'}, "true"),
        ({"pod": 'status == "CrashLoopBackOff"', "at_least": 2}, "true"),
        ({"pod": 'status == "CrashLoopBackOff"', "of": CNI, "at_least": 2}, "false"),
        ({"pod": "ready < total", "of": CNI, "share": ">=50%"}, "true"),
        ({"pod": "ready < total", "of": CNI, "share": ">50%"}, "false"),
        ({"pod": 'container("kube-flannel").lastExitCode == 1 && container("calico-node").ready', "of": CNI}, "true"),
        ({"pod": 'container("kube-flannel").lastExitCode == 2', "of": CNI}, "unknown"),
        ({"pod": 'container("kube-flannel").lastExitCode == 2', "of": {"name": "abcde$", "workload": "cni"}}, "false"),
        ({"pod": "age > 300 && restarts > 5", "of": {"namespace": ["kube-system"]}}, "true"),
        ({"pod": "restarts >= 0", "of": {"workload": "kube-proxy"}}, "unknown"),
        ({"pod": 'nodeName == "w2"', "of": {"name": "^shop"}}, "false"),
    ],
)
def test_pods_are_asked_one_by_one_and_counted_by_us(predicate, expected):
    assert truth(predicate, None, Facts(pods=(CRASHING, ROW_ONLY, APP))) == expected


def test_no_pod_of_that_name_is_a_no_when_pods_were_listed_from_the_api():
    listed = Facts(pods=(APP,), listed=frozenset({"Pod"}))

    assert truth({"pod": "restarts >= 0", "of": CNI}, None, listed) == "false"


TAINTED = NodeFacts(
    "w1",
    "False",
    (NOT_READY,),
    (Taint("node.cloudprovider.kubernetes.io/uninitialized", "true", "NoSchedule"),),
    age=700,
)
WHOLE = NodeFacts("w2", "True", taints=(), annotations={"flannel.alpha.coreos.com/public-ip": "10.0.2.15"}, object={"spec": {}}, complete=True, age=90)  # fmt: skip


@pytest.mark.parametrize(
    ("predicate", "expected"),
    [
        ({"node": 'ready == "False"'}, "true"),
        ({"node": 'ready == "False"', "share": ">50%"}, "false"),
        ({"node": 'taint("node.cloudprovider.kubernetes.io/uninitialized")'}, "true"),
        ({"node": "!has(node.spec.podCIDR)", "at_least": 1}, "true"),
        ({"node": "!has(node.spec.podCIDR)", "at_least": 2}, "unknown"),
        ({"node": 'podCIDR == ""'}, "true"),
        ({"node": 'condition("Ready").message.contains("not initialized")'}, "true"),
        ({"node": 'annotation("flannel.alpha.coreos.com/public-ip") == "10.0.2.15"'}, "true"),
        ({"node": 'annotation("none") != ""'}, "unknown"),
        ({"node": 'kernel.startsWith("6.8")'}, "unknown"),
    ],
)
def test_nodes(predicate, expected):
    assert truth(predicate, None, Facts(nodes=(TAINTED, WHOLE))) == expected


def test_daemonsets_know_how_many_linux_nodes_there_are():
    sets = (DaemonSetFacts("kube-flannel-ds", "kube-system", desired=2, ready=2),)
    nodes = tuple(NodeFacts(f"w{n}", os="linux") for n in range(3))

    assert truth({"daemonset": "desired < linuxNodes", "of": CNI}, None, Facts(daemonsets=sets, nodes=nodes)) == "true"
    assert truth({"daemonset": "desired < linuxNodes", "of": CNI}, None, Facts(daemonsets=sets)) == "unknown"
    assert truth({"daemonset": "desired > ready"}, None, Facts(daemonsets=sets)) == "false"
    assert truth({"daemonset": "desired > ready"}) == "unknown"


MAP = ObjectFact("ConfigMap", "kube-flannel-cfg", "kube-system", {"data": {"net-conf.json": '{"Backend":{"Type":"host-gw"}}'}}, Place("o.json", 3, "x"))  # fmt: skip


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"kind": "ConfigMap", "name": "^kube-flannel-cfg$"}, "true"),
        ({"kind": "ConfigMap", "where": 'object.data["net-conf.json"].contains("host-gw")'}, "true"),
        ({"kind": "ConfigMap", "where": 'object.data["net-conf.json"].contains("vxlan")'}, "false"),
        ({"kind": "ConfigMap", "where": 'object.data["other"] == "x"'}, "unknown"),
        ({"kind": "ConfigMap", "name": "^canal"}, "false"),
        ({"kind": "ConfigMap", "namespace": "elsewhere"}, "false"),
        ({"kind": "CustomResourceDefinition"}, "unknown"),
    ],
)
def test_objects(where, expected):
    assert truth({"object": where}, None, Facts(objects=(MAP,), listed=frozenset({"ConfigMap"}))) == expected


def test_counts_have_bounds():
    bundle = a_bundle(flannel="BAD\n" * 5)
    inner = {"log": "BAD", "from": CNI}

    assert truth({"count": {"of": inner, "at_least": 5}}, bundle) == "true"
    assert truth({"count": {"of": inner, "at_least": 2, "at_most": 4}}, bundle) == "false"
    assert truth({"count": {"of": {"log": "NOT THERE", "from": CNI}, "at_most": 0}}, bundle) == "true"
    assert truth({"count": {"of": inner, "at_least": 1}}, a_bundle(events="x")) == "unknown"


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        ({"of": "node", "more_than": "10m"}, "true"),
        ({"of": "node", "more_than": "1h"}, "false"),
        ({"of": "node", "where": 'ready == "False"', "more_than": "5m", "less_than": "15m"}, "true"),
        ({"of": "node", "where": 'ready == "True"', "more_than": "5m"}, "false"),
        ({"of": "pod", "less_than": "1m"}, "unknown"),
    ],
)
def test_ages(age, expected):
    assert truth({"age": age}, None, Facts(nodes=(TAINTED, WHOLE))) == expected


def test_absence_is_known_only_where_something_could_have_been_seen():
    predicate = {"absent": {"log": "Wrote subnet file", "from": FLANNEL}}

    assert truth(predicate, a_bundle(flannel="starting\n")) == "true"
    assert truth(predicate, a_bundle(flannel="Wrote subnet file\n")) == "false"
    assert truth(predicate, a_bundle(kubelet="x\n")) == "unknown"
    assert truth(predicate, a_bundle(paste="Wrote subnet file\n")) == "unknown"
    crd = {"absent": {"object": {"kind": "CustomResourceDefinition", "name": "felix"}}}
    assert truth(crd, None, Facts(listed=frozenset({"CustomResourceDefinition"}))) == "true"
    assert truth(crd) == "unknown"
