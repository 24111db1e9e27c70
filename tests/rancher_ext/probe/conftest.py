"""A node's disk, and a Drover that takes what is posted to it."""

import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from rancher_ext.simulator.node_files import IPTABLES_LINKS, host_files, lay_out

PODS = "/var/log/pods"
CRI = "2026-03-02T10:11:12.131415161Z stderr F "
FLANNEL = "E0302 10:11:12.131415       1 main.go:278] Failed to check br_netfilter: stat /proc/sys/net/bridge/bridge-nf-call-iptables: no such file or directory"


def pod_file(pod: str, container: str, number: int, namespace: str = "kube-system") -> str:
    return f"{PODS}/{namespace}_{pod}_6f1d3c1e-6a5b-4c7e-9d2f-0a1b2c3d4e5f/{container}/{number}.log"


@pytest.fixture
def node(tmp_path):
    """The root of a host whose bridge has no netfilter, and whose flannel says so."""
    files = host_files("6.12.0-55.el10.x86_64", "Rocky Linux 10.0", "172.20.3.12", bridge_filter=False)
    files |= {
        pod_file("rke2-canal-x7k2p", "kube-flannel", 4): f"{CRI}the one before\n",
        pod_file("rke2-canal-x7k2p", "kube-flannel", 5): f"{CRI}{FLANNEL}\n{CRI}token=eyJhbGciOi.Secret-part.of-it-all0123456789\n",
        pod_file("shop-7d9f-abcde", "app", 0, "shop"): f"{CRI}nobody's business\n",
        pod_file("metrics-server-abc", "metrics", 0): f"{CRI}not the network\n",
        "/etc/cni/net.d/10-canal.conflist": '{"name": "k8s-pod-network", "plugins": []}\n',
        "/etc/cni/net.d/calico-kubeconfig": "token: do-not-read-me\n",
        "/var/lib/rancher/rke2/agent/logs/kubelet.log": "E0302 10:12:00.1 1 kubelet.go:3008] network plugin is not ready\n",
        "/var/lib/rancher/rke2/server/token": "K10do-not-read-me-either\n",
        "/var/lib/cni/networks/k8s-pod-network/10.42.1.2": "id\n",
        "/var/lib/cni/networks/k8s-pod-network/last_reserved_ip.0": "10.42.1.2\n",
    }  # fmt: skip
    return lay_out(tmp_path / "node", files, IPTABLES_LINKS)


@dataclass
class Listener:
    """Answers with `answers` in turn, the last one for ever."""

    answers: list[int] = field(default_factory=lambda: [202])
    posts: list[tuple[str, bytes]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def drover():
    listener = Listener()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            listener.posts.append((self.path, body))
            self.send_response(listener.answers.pop(0) if len(listener.answers) > 1 else listener.answers[0])
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield listener
    server.shutdown()
    thread.join()
    server.server_close()
