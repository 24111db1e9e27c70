"""A small API server that answers with what a test puts into it, over real HTTP, and what a collection needs beside it."""

import json
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from rancher_ext.client.transport import RetryPolicy, TokenSource, Transport
from rancher_ext.evidence.collect import collect
from rancher_ext.fleet.cluster import ClusterIdentity, ClusterKey, Distribution, Management
from rancher_ext.fleet.cni import Cni, CniSource
from rancher_ext.fleet.node import Condition
from rancher_ext.fleet.snapshot import ClusterSnapshot
from rancher_ext.fleet.versions import Version

NOON = datetime(2026, 10, 2, 12, 0, 0, tzinfo=UTC)


class FakeApi:
    """`answers` maps a path to a JSON value, a text, a (status, body) pair, or a function of the query that returns one."""

    def __init__(self):
        self.answers = {}
        self.asked = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body in one packet: two would wait for each other's acknowledgement

            def do_GET(self):
                parts = urlsplit(self.path)
                query = {key: values[0] for key, values in parse_qs(parts.query).items()}
                fake.asked.append((parts.path, query))
                answer = fake.answers.get(parts.path, (404, status(404, "NotFound", "not found")))
                if callable(answer):
                    answer = answer(query)
                code, body = answer if isinstance(answer, tuple) else (200, answer)
                if body is None:
                    self.close_connection = True
                    self.connection.close()
                    return
                raw = (
                    body
                    if isinstance(body, bytes)
                    else body.encode()
                    if isinstance(body, str)
                    else json.dumps(body).encode()
                )
                self.send_response(code)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def handle_one_request(self):
                try:
                    super().handle_one_request()
                except OSError:
                    self.close_connection = True

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def stop(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def list(self, cluster, path, items, **metadata):
        self.answers[f"/k8s/clusters/{cluster}{path}"] = {
            "metadata": {"resourceVersion": "7", **metadata},
            "items": items,
        }

    def put(self, cluster, path, item):
        self.answers[f"/k8s/clusters/{cluster}{path}"] = item

    def slow(self, cluster, path, seconds, answer):
        def late(_query):
            time.sleep(seconds)
            return answer

        self.answers[f"/k8s/clusters/{cluster}{path}"] = late

    def forbid(self, cluster, path, verb, resource, group=""):
        message = f'{resource} is forbidden: User "u-1" cannot {verb} resource "{resource}" in API group "{group}" in the namespace "x"'
        self.answers[f"/k8s/clusters/{cluster}{path}"] = (403, status(403, "Forbidden", message))


def status(code, reason, message):
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
    }


class Unredacted:
    """Masks nothing but one known word."""

    def __init__(self):
        self.report = ()

    def file(self, path, content):
        return content.replace(b"hunter2", b"<masked>")


@pytest.fixture
def fake_api():
    server = FakeApi()
    yield server
    server.stop()


@pytest.fixture
def transport(fake_api):
    return Transport(fake_api.url, TokenSource("token-test:x"), retry=RetryPolicy(attempts=1))


@pytest.fixture
def gathered(transport):
    """Runs one collector, or several, and gives the bundle."""

    def run(snapshot, *collectors, **more):
        return collect(transport, snapshot, collectors=collectors, now=NOON, redactor=Unredacted(), **more)

    return run


@pytest.fixture
def a_snapshot():
    def build(
        *,
        name="edge-7",
        cluster_id="c-m-8jq5fz7k",
        distribution=Distribution.RKE2,
        management=Management.PROVISIONED,
        cni=Cni.CANAL,
        connected=True,
        provisioned=True,
    ):
        identity = ClusterIdentity(
            ClusterKey("default", cluster_id), "uid-1", name, "fleet-default", distribution, management, "amazonec2"
        )
        return ClusterSnapshot(
            identity=identity,
            taken_at=NOON,
            created=NOON,
            cni=cni,
            cni_source=CniSource.SPEC,
            kubernetes=Version.parse("v1.32.8+rke2r1"),
            rancher=Version.parse("v2.11.3"),
            connected=connected,
            conditions=(Condition("Provisioned", provisioned),),
        )

    return build
