"""The collector as the process that runs in the pod: a folder stands for the node, a server of ours for Drover."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from rancher_ext.probe.report import is_token, read_token, unpacked

KEY = "00112233445566778899aabbccddeeff"
RUN = "0123456789abcdef"
ROOT = Path(__file__).parents[3]


def environment(url: str, node: Path, **more: str) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("PROBE_")},
        "PROBE_URL": url,
        "PROBE_RUN": RUN,
        "PROBE_KEY": KEY,
        "PROBE_NODE": "edge-7-worker-1",
        "PROBE_ROOT": str(node),
        "PROBE_SERVICE_ACCOUNT": str(node / "no-service-account"),
    } | more


def probe(given: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rancher_ext.probe"]
    return subprocess.run(command, env=given, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_it_sends_what_the_node_says_once_and_masked(node, drover):
    done = probe(environment(drover.url, node, PROBE_ONCE="yes"))

    assert done.returncode == 0, done.stderr
    ((path, body),) = drover.posts
    token = path.removeprefix("/ingest/probe/")
    assert is_token(token, bytes.fromhex(KEY))
    assert read_token(token) == (RUN, "edge-7-worker-1")
    report = unpacked(body)
    assert set(report.files) == {
        "host/edge-7-worker-1.txt",
        "logs/kube-system/rke2-canal-x7k2p/kube-flannel.log",
        "logs/kube-system/rke2-canal-x7k2p/kube-flannel.previous.log",
        "logs/kubelet/edge-7-worker-1.log",
    }
    log = report.files["logs/kube-system/rke2-canal-x7k2p/kube-flannel.log"]
    assert "bridge-nf-call-iptables: no such file" in log
    everything = "".join(report.files.values()) + done.stdout + done.stderr
    assert "eyJhbGciOi" not in everything
    assert "do-not-read-me" not in everything
    assert KEY not in everything
    assert report.masked >= 1
    host = report.files["host/edge-7-worker-1.txt"]
    assert "br_netfilter: not loaded\n" in host
    assert "ip_vs: built in" in host
    assert "xt_MASQUERADE: not loaded, not installed for this kernel" in host
    assert "0.0.0.0 port 8472 (VXLAN)" in host
    assert "iptables: /usr/sbin/iptables is /usr/sbin/xtables-nft-multi, nft" in host
    assert "k8s-pod-network: 1 addresses reserved" in host
    assert "0.0.0.0/0 via 172.20.3.1 on eth0" in host


def test_it_stays_after_sending_until_it_is_stopped(node, drover):
    """A pod that ended would be started again, and again."""
    running = subprocess.Popen(
        [sys.executable, "-m", "rancher_ext.probe"],
        env=environment(drover.url, node),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    with running:
        for line in running.stdout:
            if line.startswith("sent "):
                break
        assert running.poll() is None
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=30) == 0
    assert len(drover.posts) == 1


def test_a_refusal_is_final(node, drover):
    drover.answers = [410]

    done = probe(environment(drover.url, node, PROBE_ONCE="yes"))

    assert done.returncode == 1
    assert "refused the report with 410" in done.stdout
    assert len(drover.posts) == 1


def test_it_says_what_is_not_set(node):
    done = probe(environment("drover.example", node))

    assert done.returncode == 2
    assert "PROBE_URL is not the address of Drover" in done.stderr
