"""How do the pages and hooks get onto a socket, beside everything else the service does?"""

import socket
import threading
import time
from types import TracebackType
from typing import Self

import uvicorn

from bot.errors import BotError
from bot.web.parts import WebParts
from bot.web.server import create_app

START_WITHIN = 30.0


class RunningWeb:
    """uvicorn in a thread, from the `with` line until the block ends. The port is bound in the caller's thread."""

    def __init__(self, parts: WebParts, host: str, port: int) -> None:
        self._socket = _bound(host, port)
        config = uvicorn.Config(
            create_app(parts),
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=2,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="web", daemon=True
        )

    @property
    def url(self) -> str:
        host, port = self._socket.getsockname()[:2]
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
        return f"http://{host}:{port}"

    def __enter__(self) -> Self:
        self._thread.start()
        deadline = time.monotonic() + START_WITHIN
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise BotError(f"the pages did not start on {self.url}", cure="Look at the log above for the reason.")
            time.sleep(0.01)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=10)
        self._socket.close()


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only on sockets that name their protocol; without it every answer waits 40 ms for an ACK.
    found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
    except OSError as error:
        found.close()
        raise BotError(
            f"cannot listen on {host}:{port}: {error.strerror}",
            cure="Set DROVER_LISTEN (or --port) to a free address, or to port 0.",
        ) from error
    return found
