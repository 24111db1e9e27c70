"""Servers and transports for tests of the client."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from rancher_ext.client.transport import RetryPolicy, TokenSource, Transport
from tests.rancher_ext.client.servers import TOKEN, QuietServer, Server, handler_of, say

Serve = Callable[..., Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers; all are gone after the test."""
    with contextlib.ExitStack() as stack:

        def start(*answers: Callable[[BaseHTTPRequestHandler], None], tls: ssl.SSLContext | None = None) -> Server:
            server = Server(list(answers) or [say()])
            running = QuietServer(("127.0.0.1", 0), handler_of(server))
            if tls:
                running.socket = tls.wrap_socket(running.socket, server_side=True)
                server.scheme = "https"
            server.port = running.server_address[1]
            thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
            thread.start()

            def stop() -> None:
                running.shutdown()
                running.server_close()
                thread.join(5)

            stack.callback(stop)
            return server

        yield start


@dataclass
class Slept:
    """The waits between tries, noted and not waited."""

    waits: list[float] = field(default_factory=list)

    def __call__(self, wait: float) -> None:
        self.waits.append(wait)


@pytest.fixture
def slept() -> Slept:
    return Slept()


@pytest.fixture
def connect(slept: Slept) -> Callable[..., Transport]:
    def make(server: Server | str, **options: Any) -> Transport:
        url = server if isinstance(server, str) else server.url
        options = {"retry": RetryPolicy(attempts=3), "sleep": slept, "timeout": (2.0, 2.0)} | options
        return Transport(url, options.pop("token", TokenSource(TOKEN)), **options)

    return make


@pytest.fixture
def nobody() -> str:
    """An address at which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return f"http://127.0.0.1:{port}"
