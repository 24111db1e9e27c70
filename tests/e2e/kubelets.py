"""Who answers when a real API server asks a kubelet of a simulated cluster for a log?

K3s and RKE2 let their API server reach kubelets through a tunnel, by Kubernetes' own egress selector: it sends `CONNECT
<address of the node>:10250` to a proxy. Ours connects every node to one KWOK, whose log code is the container runtimes' own
(tail, previous, bytes, time stamps). What stands in the logs is what the simulator says there; a kubelet that is gone there is
refused here.
"""

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import requests

from rancher_ext.simulator.fleet import ADMIN_TOKEN
from rancher_ext.simulator.resources import resource_of
from rancher_ext.simulator.store import Store
from tests.e2e.kwok import ContainerLog

_POD = resource_of("v1", "Pod")
_CHUNK = 64 * 1024


class KubeletTunnel:
    """The proxy that API servers ask for a connection to a node. `port` is where the kubelets listen, all of them."""

    def __init__(self, socket_path: Path) -> None:
        self.path = socket_path
        self.port = 0
        self.gone: set[str] = set()  # addresses of nodes on which no kubelet listens
        self._cut = False
        self._open: set[socket.socket] = set()
        self._server = _Server(str(socket_path), type("Handler", (_Connect,), {"tunnel": self}))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    @contextlib.contextmanager
    def cut(self) -> Iterator[None]:
        """No kubelet answers meanwhile. Connections that stand are ended: API servers keep them for the next request."""
        self._cut = True
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        try:
            yield
        finally:
            self._cut = False

    def connect(self, address: str, asked_by: socket.socket) -> socket.socket | None:
        """A connection to the kubelet of this node, or None where nobody listens."""
        if self._cut or address in self.gone:
            return None
        self._open.add(asked_by)
        return socket.create_connection(("127.0.0.1", self.port))

    def forget(self, connection: socket.socket) -> None:
        self._open.discard(connection)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128


class _Connect(socketserver.StreamRequestHandler):
    tunnel: KubeletTunnel

    def handle(self) -> None:
        request = self.rfile.readline().decode("ascii", errors="replace").split()
        while self.rfile.readline().strip():
            pass
        address = request[1].rpartition(":")[0] if len(request) > 1 else ""
        kubelet = self.tunnel.connect(address, self.connection)
        if kubelet is None:
            self.wfile.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            return
        with kubelet:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pump, args=(kubelet, self.connection), daemon=True)
            back.start()
            _pump(self.connection, kubelet)
            back.join(10)

    def finish(self) -> None:
        self.tunnel.forget(self.connection)
        super().finish()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):  # either side may hang up at any moment
        while data := source.recv(_CHUNK):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@dataclass
class SimulatedLogs:
    """Every log of one simulated cluster, and the addresses of the nodes whose kubelet is gone."""

    logs: list[ContainerLog] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)


def logs_of(simulator: str, cluster: str, store: Store) -> SimulatedLogs:
    """As the simulator at this address tells them, whole and with their times."""
    found = SimulatedLogs()
    wanted = [
        (pod, container["name"])
        for pod in store.objects(_POD)
        for key in ("initContainers", "containers")
        for container in pod["spec"].get(key) or []
    ]
    with requests.Session() as session, ThreadPoolExecutor(4) as pool:
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {ADMIN_TOKEN}"

        def ask(pod: dict[str, Any], container: str, previous: str) -> requests.Response:
            place = f"namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"
            params = {"container": container, "timestamps": "true", "previous": previous}
            url = f"{simulator}/k8s/clusters/{cluster}/api/v1/{place}/log"
            return session.get(url, params=params, timeout=120)

        answers = pool.map(lambda each: (ask(*each, ""), ask(*each, "true")), wanted)
        for (pod, container), (now, before) in zip(wanted, answers, strict=True):
            metadata = pod["metadata"]
            if now.status_code == 500:
                found.gone.add(pod["status"]["hostIP"])
            elif now.ok:
                previous = before.text if before.ok else None
                found.logs.append(
                    ContainerLog(metadata["namespace"], metadata["name"], container, now.text, previous, stamped=True)
                )
    return found
