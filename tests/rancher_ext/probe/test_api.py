"""The local API server says more than files do; where it does not answer, the files are read."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from rancher_ext.bundle.redact import RedactionRules
from rancher_ext.probe.node import ProbeSettings, collect
from rancher_ext.probe.root import NodeRoot

POD = {
    "metadata": {"name": "rke2-canal-x7k2p", "namespace": "kube-system", "managedFields": [{}]},
    "spec": {"nodeName": "w1"},
    "status": {
        "initContainerStatuses": [{"name": "install-cni", "state": {"waiting": {"reason": "ImagePullBackOff"}}}],
        "containerStatuses": [
            {"name": "kube-flannel", "lastState": {"terminated": {"exitCode": 1}}, "state": {"waiting": {}}}
        ],
    },
}
OTHER = {"metadata": {"name": "metrics-server-abc", "namespace": "kube-system"}, "status": {}}


class Asked(list):
    """What was asked, and which paths are refused with which words."""

    def __init__(self):
        super().__init__()
        self.refused = {}


@pytest.fixture
def api(tmp_path):
    """An API server, and the folder of a service account that it knows."""
    asked = Asked()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            url = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            asked.append((url.path, query))
            status, body = self.answer(url.path, query)
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def answer(self, path, query):
            if path in asked.refused:
                return 403, json.dumps({"kind": "Status", "message": asked.refused[path]}).encode()
            if self.headers["authorization"] != "Bearer the-pods-own":
                return 401, b"{}"
            if path == "/api/v1/namespaces/kube-system/pods":
                return 200, json.dumps({"items": [POD, OTHER]}).encode()
            if path == "/api/v1/nodes/w1":
                node = {"metadata": {"name": "w1", "managedFields": [{}]}, "status": {"images": [{}], "nodeInfo": {}}}
                return 200, json.dumps(node).encode()
            if path.endswith("/rke2-canal-x7k2p/log") and query["container"] == "kube-flannel":
                return 200, b"the one before\n" if query.get("previous") else b"no interface found\n"
            return 403 if path.endswith("kube-flannel/pods") else 400, b"{}"

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    account = tmp_path / "account"
    account.mkdir()
    (account / "token").write_text("the-pods-own\n")
    yield f"http://127.0.0.1:{server.server_port}", account, asked
    server.shutdown()
    thread.join()
    server.server_close()


def read(node, account, *urls):
    settings = ProbeSettings("http://127.0.0.1:9", "0" * 16, b"k" * 32, "w1", node, service_account=account, apis=urls)
    return collect(settings, RedactionRules((), ("password",)))


def test_pods_their_logs_and_the_node_come_from_the_api(node, api):
    url, account, asked = api

    report = read(node, account, url)

    assert set(report.files) == {
        "host/w1.txt",
        "objects/downstream/pods/kube-system/rke2-canal-x7k2p.json",
        "objects/downstream/nodes/_/w1.json",
        "logs/kube-system/rke2-canal-x7k2p/kube-flannel.log",
        "logs/kube-system/rke2-canal-x7k2p/kube-flannel.previous.log",
        "logs/kubelet/w1.log",
    }
    assert report.files["logs/kube-system/rke2-canal-x7k2p/kube-flannel.log"] == "no interface found\n"
    assert "managedFields" not in "".join(report.files.values())
    assert "ImagePullBackOff" in report.files["objects/downstream/pods/kube-system/rke2-canal-x7k2p.json"]
    assert any("install-cni: HTTP 400" in note for note in report.notes)
    assert asked[0][1]["fieldSelector"] == "spec.nodeName=w1"


@pytest.mark.parametrize(
    ("path", "verb", "resource"),
    [
        ("/api/v1/namespaces/kube-system/pods", "list", "pods"),
        ("/api/v1/namespaces/kube-system/pods/rke2-canal-x7k2p/log", "get", "pods/log"),
        ("/api/v1/nodes/w1", "get", "nodes"),
    ],
)
def test_a_right_that_is_missing_is_named_and_costs_nothing_else(node, api, path, verb, resource):
    url, account, asked = api
    asked.refused[path] = f'{resource} is forbidden: User "x" cannot {verb} resource "{resource}" in API group ""'

    report = read(node, account, url)

    assert any(f"forbidden: needs {verb} {resource}" in note for note in report.notes), report.notes
    assert ("objects/downstream/nodes/_/w1.json" in report.files) is (resource != "nodes")
    # What the server does not give is read from the kubelet's files.
    assert any(name.startswith("logs/kube-system/") for name in report.files)


def test_a_server_that_does_not_answer_costs_nothing_but_a_note(node, api):
    url, account, _ = api
    (account / "token").write_text("somebody else's\n")

    report = read(node, account, "http://127.0.0.1:9", url)

    assert "bridge-nf-call-iptables" in report.files["logs/kube-system/rke2-canal-x7k2p/kube-flannel.log"]
    assert [note.partition(" did not help")[0] for note in report.notes] == ["http://127.0.0.1:9", url]


def test_links_of_the_node_are_followed_below_its_root(tmp_path):
    """An absolute link on the node must not lead into the pod's own files."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").symlink_to("/usr/lib/os-release")
    (tmp_path / "etc/passwd").symlink_to("../../../../etc/hostname")
    (tmp_path / "loop").symlink_to("/loop")
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "usr/lib/os-release").write_text("the node's\n")
    root = NodeRoot(tmp_path)

    assert root.text("/etc/os-release") == "the node's\n"
    assert root.target("/etc/os-release") == "/usr/lib/os-release"
    assert root.text("/etc/passwd") is None
    assert root.real("/loop") is None
    assert root.text("/etc") is None


def test_the_end_of_a_long_log_begins_with_a_whole_line(tmp_path):
    (tmp_path / "log").write_text("".join(f"line {number}\n" for number in range(100)))

    assert NodeRoot(tmp_path).tail("/log", 20) == b"line 98\nline 99\n"
    assert NodeRoot(tmp_path).tail("/log", 16) == b"line 98\nline 99\n"
