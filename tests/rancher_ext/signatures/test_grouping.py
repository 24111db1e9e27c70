"""Which nodes a finding names, and what it says they share."""

import pytest

from rancher_ext.bundle.bundle import Bundle
from rancher_ext.bundle.facts import Facts, NodeFacts
from rancher_ext.signatures.grouping import affected
from tests.rancher_ext.signatures.asking import evaluator, parsed

BAD = parsed({"log": "BAD", "from": {"unit": "kubelet"}})
EL10, EL9 = "6.12.0-55.el10_0.x86_64", "5.14.0-503.el9_5.x86_64"


def node(name, **fields):
    return NodeFacts(name, "False", **fields)


def found(nodes, logs, needed=(), fitting=(BAD,)):
    bundle = Bundle.of({f"logs/kubelet/{name}.log": text for name, text in logs.items()})
    asked = evaluator([*needed, *fitting], bundle, Facts(nodes=tuple(nodes)))
    return affected(asked.seen, needed, fitting, nodes)


def logs(bad="", fine=""):
    return dict.fromkeys(bad.split(), "BAD\n") | dict.fromkeys(fine.split(), "fine\n")


def el(tens, nines):
    return [node(name, kernel=EL10) for name in tens.split()] + [node(name, kernel=EL9) for name in nines.split()]


def test_nodes_that_share_what_no_other_has_are_named_by_it():
    whole = found(el("a b c", "d e"), logs("a b c", "d e"))

    assert whole.text == "all 3 el10 nodes, none elsewhere"
    assert whole.to_json() == {
        "nodes": ["a", "b", "c"], "known": 5, "unseen": 0, "group": "el10", "text": "all 3 el10 nodes, none elsewhere"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("nodes", "files", "text"),
    [
        (el("a b", ""), logs("a b"), "all 2 nodes"),
        (el("a", ""), logs("a"), "node a"),
        (el("a", "b c"), logs("a", "b c"), "the one el10 node, a, none elsewhere"),
        # A spared node of the same kind takes the group away; so does one of which nothing is known.
        (el("a b c", "d"), logs("a b", "c d"), "2 of 4 nodes: a, b"),
        (el("a b", "c d"), logs("a b", "c"), "all 2 el10 nodes, not the other one; nothing tells about one more node"),
        (
            el("a b", "c d e f"),
            logs("a b", "c d"),
            "all 2 el10 nodes, none of 2 others; nothing tells about 2 more nodes",
        ),
        (el("a b", "c"), logs("a b"), "all 2 nodes that were looked at; nothing tells about one more node"),
        (el("a", "b c"), logs("a"), "node a; nothing tells about 2 more nodes"),
        ([node(n) for n in "abcdefg"], logs("a b c d e f", "g"), "6 of 7 nodes: a, b, c, d and 2 more"),
    ],
)
def test_only_what_is_known_is_said(nodes, files, text):
    assert found(nodes, files).text == text


@pytest.mark.parametrize(
    ("own", "others", "group"),
    [
        ({"os": "windows"}, {"os": "linux"}, "Windows"),
        ({"os_image": "Rocky Linux 10.1 (Red Quartz)"}, {"os_image": "Rocky Linux 9.6"}, "Rocky Linux 10"),
        ({"os_image": "Flatcar"}, {"os_image": "Ubuntu 24.04.1 LTS"}, "Flatcar"),
        ({"kernel": "6.8.0-51"}, {"kernel": "6.8.0-52"}, "kernel 6.8.0-51"),
        ({"kubelet": "v1.32.2"}, {"kubelet": "v1.31.6"}, "kubelet v1.32.2"),
        ({"labels": {"node-role.kubernetes.io/worker": "true"}}, {"labels": {"node-role.kubernetes.io/control-plane": "true"}}, "worker"),
        ({"labels": {"topology.kubernetes.io/zone": "z1"}}, {"labels": {"topology.kubernetes.io/zone": "z2"}}, "zone z1"),
        ({"object": {"status": {"nodeInfo": {"architecture": "arm64"}}}}, {"object": {"status": {"nodeInfo": {"architecture": "amd64"}}}}, "arm64"),
        ({"os": "linux"}, {}, ""),
        ({}, {}, ""),
    ],
)  # fmt: skip
def test_the_plainest_difference_is_told(own, others, group):
    nodes = [node("a", **own), node("b", **own), node("c", **others), node("d", **others)]

    assert found(nodes, logs("a b", "c d")).group == group


def test_all_that_is_needed_has_to_hold_on_the_node():
    """An old image alone is no failure, and a failing pod on another image is another one."""
    image = parsed({"node": 'kernel.contains("el10")'})

    assert found(el("a b", "c"), logs("a c", "b"), needed=[image]).nodes == ("a",)


def test_evidence_of_the_whole_cluster_names_no_node():
    cluster = parsed({"condition": {"of": "cluster", "type": "Waiting"}})

    assert found(el("a", ""), logs(fine="a"), fitting=[cluster]) is None
    assert found(el("a", ""), logs(fine="a")) is None


def test_a_log_that_goes_by_the_hosts_full_name_is_its_nodes():
    whole = found(el("a", "b"), {"a.corp.example": "BAD\n", "b.corp.example": "fine\n"})

    assert whole.text == "the one el10 node, a, none elsewhere"


def test_two_nodes_of_one_short_name_are_not_mixed_up():
    nodes = [node("a.x.example"), node("a.y.example")]

    assert found(nodes, {"a.x.example": "BAD\n", "a.y.example": "fine\n"}).nodes == ("a.x.example",)
    assert found(nodes, {"a": "BAD\n"}).nodes == ("a",)


def test_addresses_are_no_short_names():
    nodes = [node("10.0.0.1", kernel=EL10)]

    assert found(nodes, {"10.0.0.9": "BAD\n"}).nodes == ("10.0.0.9",)
