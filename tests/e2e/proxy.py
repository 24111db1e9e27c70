"""What does Rancher put in front of a Kubernetes API?

A thin HTTP server on loopback: `/k8s/clusters/<id>/…` goes to the API server of that cluster, with Rancher's own bearer token
turned into an impersonated user, as Rancher does it; a cluster without a tunnel is refused in Rancher's words; `/v3`,
`/rancherversion` and the other pages of Rancher itself go to whoever plays Norman. What an API server answers is passed on
as it is, byte by byte, watches too. It keeps a list of what was asked for, so that a test can say what Drover did and did not do.
"""

import contextlib
import json
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qs, urlsplit

import urllib3

from tests.e2e.cluster import ApiServer, User

# What one hop must not pass to the next, and what the server below sets by itself.
_HOP = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "host", "content-length", "date", "server"}
)
_PROXY = "/k8s/clusters/"


@dataclass(frozen=True)
class Refused:
    """What Rancher says instead of passing a request on."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


def unavailable(message: str) -> Refused:
    """Go's own field names, and not announced as JSON: so Rancher's router writes its error value."""
    code = {"Code": "ClusterUnavailable", "Status": 503}
    return Refused(503, json.dumps({"Code": code, "Message": message, "Cause": None, "FieldName": ""}).encode())


UNAUTHORIZED = Refused(
    401,
    b'{"type":"error","status":"401","message":"Unauthorized 401: must authenticate"}',
    "application/json",
)


@dataclass
class Request:
    """One request that came to Rancher. `cluster` is empty for what Rancher answers itself; `status` 0 while nobody has answered."""

    method: str
    path: str
    query: Mapping[str, str]
    cluster: str
    token: str
    status: int = 0
    size: int = 0
    gone: bool = False

    @property
    def watches(self) -> bool:
        return "watch" in self.query


@dataclass
class Rancher:
    """Who is behind the proxy. May be changed while it runs."""

    local: ApiServer
    tokens: Mapping[str, User]
    downstream: dict[str, ApiServer] = field(default_factory=dict)
    refused: dict[str, Refused] = field(default_factory=dict)
    norman: str = ""

    def behind(self, cluster: str) -> ApiServer | Refused:
        if cluster == "local":
            return self.local
        return self.downstream.get(cluster) or self.refused.get(cluster) or unavailable("cluster not found")


class RunningProxy:
    """Serves a `Rancher` from threads of its own."""

    def __init__(self, rancher: Rancher) -> None:
        self.rancher = rancher
        self.seen: list[Request] = []
        self.open = threading.Event()  # cleared: whoever asks now waits at the door
        self.open.set()
        self.streams: set[socket.socket] = set()
        self._pools: dict[str, urllib3.PoolManager] = {}
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def hang_up(self) -> None:
        """Ends every watch that stands, as a load balancer does that is restarted."""
        for stream in list(self.streams):
            with contextlib.suppress(OSError):  # it may have ended by itself
                stream.shutdown(socket.SHUT_RDWR)

    def watches(self, plural: str) -> list[Request]:
        """The watches of one kind that were asked for until now, oldest first."""
        return [each for each in list(self.seen) if each.watches and each.path.endswith(f"/{plural}")]

    def pool(self, ca_file: str) -> urllib3.PoolManager:
        with self._lock:
            if ca_file not in self._pools:
                options = {"ca_certs": ca_file} if ca_file else {}
                self._pools[ca_file] = urllib3.PoolManager(maxsize=16, retries=False, **options)
            return self._pools[ca_file]

    def stop(self) -> None:
        self.open.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
        for pool in self._pools.values():
            pool.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a watch may last longer than the test that opened it


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits for the peer's delayed acknowledgement
    proxy: RunningProxy
    request_seen: Request

    def _relay(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        rancher = self.proxy.rancher
        parts = urlsplit(self.path)
        token = self.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        named, _, _ = parts.path.removeprefix(_PROXY).partition("/")
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        self.request_seen = Request(
            self.command, parts.path, query, named if parts.path.startswith(_PROXY) else "", token
        )
        self.proxy.seen.append(self.request_seen)
        self.proxy.open.wait()
        if not self.path.startswith(_PROXY):
            self._forward(rancher.norman + self.path, dict(self.headers.items()), body, "")
            return
        user = rancher.tokens.get(token)
        if user is None:
            self._refuse(UNAUTHORIZED)
            return
        cluster, _, rest = self.path.removeprefix(_PROXY).partition("/")
        behind = rancher.behind(cluster)
        if isinstance(behind, Refused):
            self._refuse(behind)
            return
        headers = {k: v for k, v in self.headers.items() if k.lower() not in {"authorization", "cookie"}}
        identity = urllib3.HTTPHeaderDict(headers)
        identity["Authorization"] = f"Bearer {behind.admin.token}"
        identity["Impersonate-User"] = user.name
        for group in user.groups:
            identity.add("Impersonate-Group", group)
        self._forward(f"{behind.url}/{rest}", identity, body, str(behind.authority.file))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _relay  # noqa: N815 - names of the base class

    def _forward(self, url: str, headers: Mapping[str, str], body: bytes, ca_file: str) -> None:
        kept = urllib3.HTTPHeaderDict()
        for name, value in urllib3.HTTPHeaderDict(headers).iteritems():
            if name.lower() not in _HOP:
                kept.add(name, value)
        try:
            answer = self.proxy.pool(ca_file).request(
                self.command, url, headers=kept, body=body or None, preload_content=False, timeout=None, redirect=False
            )
        except urllib3.exceptions.HTTPError as error:
            self._refuse(Refused(502, f"the proxy cannot reach {url}: {error}".encode()))
            return
        try:
            self._pass_on(answer)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # whoever asked went away in the middle of a watch
        except urllib3.exceptions.HTTPError:
            self.close_connection = True  # the server below went away: the answer ends without its last chunk
        finally:
            answer.close()
            answer.release_conn()

    def _pass_on(self, answer: urllib3.BaseHTTPResponse) -> None:
        self.request_seen.status = answer.status
        self.request_seen.gone = answer.status == HTTPStatus.GONE
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in _HOP:
                self.send_header(name, value)
        if not answer.chunked:
            body = answer.read(decode_content=False)
            self.request_seen.size = len(body)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.proxy.streams.add(self.connection)
        try:
            self._stream(answer)
        finally:
            self.proxy.streams.discard(self.connection)

    def _stream(self, answer: urllib3.BaseHTTPResponse) -> None:
        for chunk in answer.read_chunked(decode_content=False):
            self.request_seen.size += len(chunk)
            # The end of history comes as an event within a watch that has begun well.
            self.request_seen.gone |= self.request_seen.watches and b'"code":410' in chunk
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def _refuse(self, refused: Refused) -> None:
        self.request_seen.status = refused.status
        self.send_response_only(HTTPStatus(refused.status))
        self.send_header("Content-Type", refused.content_type)
        self.send_header("Content-Length", str(len(refused.body)))
        self.end_headers()
        self.wfile.write(refused.body)

    def log_message(self, *_message: object) -> None:
        """Tests speak for themselves."""
