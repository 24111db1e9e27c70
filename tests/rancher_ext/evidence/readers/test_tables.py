"""Rows as people paste them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rancher_ext.bundle.bundle import Bundle, BundleFile
from rancher_ext.evidence.readers import read_facts
from rancher_ext.evidence.readers.reading import Reading, age_seconds
from rancher_ext.evidence.readers.tables import read_conditions, read_events, read_nodes, read_pods


def pods(text):
    into = Reading()
    read_pods(BundleFile.of("pods.txt", text), into)
    return into


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (
            "kube-system   canal-4tz9k   3/3       Running            0          19h",
            ("kube-system", "canal-4tz9k", 3, 3, "Running", 0, 68400, None),
        ),
        (
            "rke2-canal-5wq7t     0/2     Init:Error   9 (5m2s ago)     2h41m   198.51.100.24   qa-worker-2   <none>   <none>",
            (None, "rke2-canal-5wq7t", 0, 2, "Init:Error", 9, 9660, "qa-worker-2"),
        ),
        (
            "kube-system   pod/helm-install-rke2-canal-5tq8v    0/1     ImagePullBackOff   0          14m",
            ("kube-system", "helm-install-rke2-canal-5tq8v", 0, 1, "ImagePullBackOff", 0, 840, None),
        ),
        (
            "kube-system     kube-flannel-ds-amd64-q5v8m          1/1     Running   174",
            ("kube-system", "kube-flannel-ds-amd64-q5v8m", 1, 1, "Running", 174, None, None),
        ),
        (
            "x   canal-z   0/3   Pending   0   5s   <none>   <none>   <none>   <none>",
            ("x", "canal-z", 0, 3, "Pending", 0, 5, None),
        ),
        ("kube-system  canal-a  1/2  Init:0/2  0  1m", ("kube-system", "canal-a", 1, 2, "Init:0/2", 0, 60, None)),
    ],
)
def test_pod_rows(row, expected):
    [pod] = pods(f"NAMESPACE  NAME  READY  STATUS  RESTARTS  AGE\n{row}\n").pods

    assert (pod.namespace, pod.name, pod.ready, pod.total, pod.status, pod.restarts, pod.age, pod.node) == expected
    assert (pod.at.source, pod.at.line) == ("pods.txt", 2)
    assert not pod.complete


def test_a_pod_row_says_when_it_was_restarted_last():
    [restarted, unknown] = pods(
        "kube-system   canal-a   2/2   Running   6 (19m ago)   33d\nkube-system   canal-b   2/2   Running   6   33d\n"
    ).pods

    assert (restarted.restarted, unknown.restarted) == (19 * 60, None)


@pytest.mark.parametrize("line", ["NAME READY STATUS", "some 1/2 prose", "I0301 10:08 1/1 x", "", "a b 3/3 running 0"])
def test_what_is_no_row_is_no_pod(line):
    assert pods(line).pods == []


def test_daemonset_rows():
    into = pods("kube-system   rke2-canal   3   3   2   3   2   kubernetes.io/os=linux   41h\n")

    [daemonset] = into.daemonsets
    assert (daemonset.name, daemonset.desired, daemonset.ready, daemonset.available) == ("rke2-canal", 3, 2, 2)


def test_node_rows_short_and_wide():
    into = Reading()
    text = (
        "node/ip-10-55-20-9.example.internal   NotReady   control-plane,etcd   14m   v1.35.3+rke2r1\n"
        "win1   Ready,SchedulingDisabled   <none>   3d4h   v1.32.2   10.0.0.7   <none>   Windows Server 2022 Datacenter   10.0.20348   containerd://1.7\n"
    )
    read_nodes(BundleFile.of("nodes.txt", text), into)

    one, two = into.nodes
    assert (one.name, one.ready, one.kubelet, one.age) == (
        "ip-10-55-20-9.example.internal",
        "False",
        "v1.35.3+rke2r1",
        840,
    )
    assert (two.ready, two.os, two.os_image, two.kernel, two.internal_ip) == (
        "True",
        "windows",
        "Windows Server 2022 Datacenter",
        "10.0.20348",
        "10.0.0.7",
    )


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (
            "  Warning  FailedCreate  52m   daemonset-controller  Error creating: Pod is invalid",
            ("Warning", "FailedCreate", None, None, 1, 3120, "Error creating: Pod is invalid"),
        ),
        (
            "Warning  FailedCreatePodSandBox  7m12s (x312 over 74m)  kubelet  (combined from similar events): Failed",
            ("Warning", "FailedCreatePodSandBox", None, None, 312, 4440, "(combined from similar events): Failed"),
        ),
        (
            "  Normal   Created    18m (x2 over 18m)  kubelet, knode77  Created container",
            ("Normal", "Created", None, None, 2, 1080, "Created container"),
        ),
        (
            '29m         Normal    Pulling             pod/rancher-6d4b9f7c58-w2kzt    Pulling image "busybox"',
            ("Normal", "Pulling", "Pod", "rancher-6d4b9f7c58-w2kzt", 1, 1740, 'Pulling image "busybox"'),
        ),
        (
            "kube-system   2m   Warning   FailedCreate   daemonset/canal   Error creating",
            ("Warning", "FailedCreate", "DaemonSet", "canal", 1, 120, "Error creating"),
        ),
        ("error getting ClusterInformation", (None, None, None, None, 1, None, "error getting ClusterInformation")),
    ],
)
def test_event_rows(row, expected):
    into = Reading()
    read_events(BundleFile.of("events.txt", f"LAST SEEN  TYPE  REASON\n{row}\n"), into, bare=True)

    [event] = into.events
    assert (event.type, event.reason, event.kind, event.name, event.count, event.age, event.message) == expected


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (
            "  Ready            False   Tue, 03 Sep 2024 08:12:41 +0800   Tue, 03 Sep 2024 07:57:58 +0800   KubeletNotReady              container runtime network not ready",
            ("any", None, "Ready", "False", "KubeletNotReady", "container runtime network not ready"),
        ),
        ("Connected   False   41m   Disconnected   Cluster agent is not connected", ("any", None, "Connected", "False", "Disconnected", "Cluster agent is not connected")),
        ("cluster/edge-07  Waiting  Unknown  -  -  Waiting for API to be available", ("cluster", "edge-07", "Waiting", "Unknown", None, "Waiting for API to be available")),
        ("Waiting   True   Waiting for API to be available", ("any", None, "Waiting", "True", None, "Waiting for API to be available")),
        ('type=Ready status=False reason=Disconnected message="agent gone"', ("any", None, "Ready", "False", "Disconnected", "agent gone")),
        ("waiting for cluster agent to connect", ("any", None, None, None, None, "waiting for cluster agent to connect")),
    ],
)  # fmt: skip
def test_condition_rows(row, expected):
    into = Reading()
    read_conditions(BundleFile.of("conditions.txt", row), into, bare=True)

    [c] = into.conditions
    assert (c.of, c.name, c.type, c.status, c.reason, c.message) == expected


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2h41m", 9660),
        ("2y14d", 64281600),
        ("41s", 41),
        ("<none>", None),
        ("", None),
        ("5 m", None),
        ("9" * 5000 + "h", None),
    ],
)
def test_kubectl_ages(text, seconds):
    assert age_seconds(text) == seconds


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "events.txt",
                "nodes.txt",
                "pods.txt",
                "conditions.txt",
                "paste.txt",
                "x.yaml",
                "objects/a/b.json",
                "logs/kubelet/w.log",
            ]
        ),
        st.binary(max_size=300) | st.text(max_size=300),
    )
)
def test_no_content_makes_the_readers_fail(files):
    read_facts(Bundle.of(files))


def test_columns_of_any_width_are_read_in_linear_time():
    """A hundred thousand blanks must not be tried in every combination."""
    for line in ("a" + " " * 100_000 + "b", "1/1 " * 30_000, "Ready  " * 20_000, "x=" * 50_000):
        read_facts(
            Bundle.of(
                {"pods.txt": line, "events.txt": line, "nodes.txt": line, "conditions.txt": line, "paste.txt": line}
            )
        )


WIDE = """\
NAMESPACE     LAST SEEN   TYPE      REASON           OBJECT                 SUBOBJECT                       SOURCE                  MESSAGE                                FIRST SEEN   COUNT   NAME
kube-system   3m9s        Warning   BackOff          pod/canal-7m2dx        spec.containers{kube-flannel}   kubelet, w1.plant       Back-off restarting failed container   19m          71      canal-7m2dx.17f
default       18m         Normal    NodeNotReady     node/w1.plant                                          kubelet, w1.plant       Node w1.plant status is now: NotReady  18m          1       w1.17e
"""


def test_wide_events_are_read_by_their_columns():
    """In the wide form the count stands in a column of its own, and some columns are empty."""
    into = Reading()
    read_events(BundleFile.of("events", WIDE), into, bare=True)

    assert [(e.namespace, e.reason, e.kind, e.name, e.message, e.count, e.age) for e in into.events] == [
        ("kube-system", "BackOff", "Pod", "canal-7m2dx", "Back-off restarting failed container", 71, 1140),
        ("default", "NodeNotReady", "Node", "w1.plant", "Node w1.plant status is now: NotReady", 1, 1080),
    ]


def test_wide_events_that_lost_their_columns_are_read_by_their_shape():
    into = Reading()
    squeezed = "\n".join(" ".join(line.split("   ")) if n else line for n, line in enumerate(WIDE.split("\n")))
    read_events(BundleFile.of("events", squeezed), into, bare=True)

    assert [e.at.line for e in into.events] == [2, 3]


def test_events_of_a_description_belong_to_what_is_described():
    text = """\
Name:             canal-7m2dx
Namespace:        kube-system
Node:             w1/10.0.0.1
Containers:
  kube-flannel:
    Image:  flannel
Events:
  Type     Reason   Age                From     Message
  ----     ------   ----               ----     -------
  Warning  BackOff  2m (x5 over 10m)   kubelet  Back-off restarting failed container
Name:               w1
Taints:             node.kubernetes.io/not-ready:NoSchedule
Events:
  Type     Reason        Age   From     Message
  Normal   NodeNotReady  2m    kubelet  Node w1 status is now: NodeNotReady
"""
    into = Reading()
    read_events(BundleFile.of("describe.txt", text), into, bare=False)

    assert [(e.kind, e.namespace, e.name, e.reason, e.count) for e in into.events] == [
        ("Pod", "kube-system", "canal-7m2dx", "BackOff", 5),
        ("Node", None, "w1", "NodeNotReady", 1),
    ]
