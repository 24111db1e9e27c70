"""The last lines of a component, found by the name that somebody would use."""

import pytest

from bot.reports.logs import LINES, logs_reply
from rancher_ext.bundle.bundle import Bundle, BundleFile
from tests.bot.reports.inert import active

FILES = {
    "logs/kube-system/canal-7hx2p/kube-flannel.log": "one\nFailed to check br_netfilter\n",
    "logs/kube-system/canal-7hx2p/kube-flannel.previous.log": "earlier\n" * 200,
    "logs/kube-system/canal-7hx2p/calico-node.log": "bird is ready\n",
    "logs/kubelet/node-1.log": "\n".join(f"line {number}" for number in range(500)),
    "events.txt": "flannel\n",
}


@pytest.fixture
def bundle():
    return a_bundle(FILES)


def a_bundle(files):
    return Bundle({path: BundleFile.of(path, text) for path, text in files.items()})


@pytest.mark.parametrize("name", ["flannel", "kube-flannel", "FLANNEL"])
def test_the_present_run_comes_before_the_previous_one(bundle, name):
    text = logs_reply(bundle, name)
    assert text.index("Failed to check br_netfilter") < text.index("earlier")
    assert "its previous run" in text
    assert "bird" not in text


def test_a_pod_answers_to_its_name(bundle):
    assert "bird is ready" in logs_reply(bundle, "canal")


def test_only_the_end_of_a_long_log_is_shown(bundle):
    text = logs_reply(bundle, "kubelet")
    assert "line 499" in text
    assert f"line {499 - LINES}\n" not in text
    assert f"the last {LINES} lines" in text


def test_what_there_is_none_of_is_told_with_those_there_are(bundle):
    assert "Did you mean `/drover logs kubelet`?" in logs_reply(bundle, "kubelt")
    assert "`calico-node`, `kube-flannel`, `kubelet`" in logs_reply(bundle, "")
    assert "`calico-node`" in logs_reply(bundle, "zzz")


def test_without_logs_it_says_why_there_may_be_none():
    assert "No logs were collected" in logs_reply(a_bundle({}), "flannel")


def test_what_a_cluster_says_stays_text():
    hostile = {"logs/ns/@tom/<b>.log": "```\n@tom #12 <img src=x> [x](https://evil.invalid)\n" + "x" * 100_000}
    for name in ("@tom", "<b>", "", "#12 @tom"):
        text = logs_reply(a_bundle(hostile), name)
        assert active(text) == []
        assert len(text) < 5_000
