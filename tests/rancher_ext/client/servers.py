"""What does a server have to do to be answered wrongly? Real sockets on loopback that misbehave on purpose."""

import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "token-x7k2p:s3cr3ts3cr3t"


@dataclass
class Server:
    """A server that answers each request by the next of `answers`, the last one for ever, and notes what it was asked."""

    answers: list[Callable[[BaseHTTPRequestHandler], None]]
    port: int = 0
    scheme: str = "http"
    asked: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Broken connections are the point here."""


def handler_of(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            server.bodies.append(self.rfile.read(length))
            server.asked.append(f"{self.command} {self.path}")
            server.headers.append(dict(self.headers))
            answer = server.answers[min(len(server.asked), len(server.answers)) - 1]
            answer(self)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = serve  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    return Handler


def say(
    status: int = 200, body: str | bytes = "{}", content_type: str = "application/json", **headers: str
) -> Callable[[BaseHTTPRequestHandler], None]:
    """An ordinary answer."""
    raw = body.encode() if isinstance(body, str) else body

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", content_type)
        handler.send_header("Content-Length", str(len(raw)))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(raw)

    return answer


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    """Reads the request and closes without a word, by a reset."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def cut_short(handler: BaseHTTPRequestHandler) -> None:
    """Promises more than it sends."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"items": [')
    handler.wfile.flush()
    hang_up(handler)


def lines(
    *parts: bytes, then: Callable[[BaseHTTPRequestHandler], None] | None = None
) -> Callable[[BaseHTTPRequestHandler], None]:
    """A watch: each part is one chunk."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for part in parts:
            handler.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            handler.wfile.flush()
        if then:
            then(handler)
        else:
            handler.wfile.write(b"0\r\n\r\n")

    return answer
