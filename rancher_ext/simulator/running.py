"""How does a test, the demo or `drover simulate` get a simulated Rancher on a real socket?

`RunningRancher` serves a fleet from a thread of its own; `serve_forever` serves it in the foreground. Sockets are real,
TLS is real, and a dropped connection is really dropped: the protocol class remembers each peer's transport, so that a
fault can abort it.
"""

import asyncio
import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from rancher_ext.simulator.clock import SimClock
from rancher_ext.simulator.fleet import ADMIN_TOKEN, Fleet
from rancher_ext.simulator.kube import WatchLimits
from rancher_ext.simulator.server import RancherApp

START_WITHIN = 30.0


class _Transports:
    """The open connections by peer address."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, int], asyncio.Transport] = {}

    def protocol(self) -> type[H11Protocol]:
        opened = self._open

        class Protocol(H11Protocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                super().connection_made(transport)
                if self.client:
                    opened[self.client] = transport

            def connection_lost(self, exc: Exception | None) -> None:
                if self.client:
                    opened.pop(self.client, None)
                super().connection_lost(exc)

        return Protocol

    def close_all(self) -> None:
        for transport in list(self._open.values()):
            transport.abort()

    def cut(self, peer: tuple[str, int]) -> None:
        transport = self._open.get(peer)
        if transport is None:
            return
        raw = transport.get_extra_info("socket")
        if raw is not None:
            # Linger 0: the peer gets a reset, as from a load balancer that loses its backend.
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


class _Server(uvicorn.Server):
    """uvicorn with the fleet's ticker beside it, and quick to stop: open watches are cut, not waited for."""

    def __init__(self, config: uvicorn.Config, app: RancherApp, transports: _Transports) -> None:
        super().__init__(config)
        self._rancher = app
        self._transports = transports
        self._ticker: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._ticker = asyncio.create_task(self._rancher.tick_forever())
        await super().startup(sockets)

    async def main_loop(self) -> None:
        ticks = 0
        while not await self.on_tick(ticks):
            ticks = (ticks + 1) % 864_000
            await asyncio.sleep(0.02)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._ticker:
            self._ticker.cancel()
        for server in self.servers:
            server.close()
        for listening in sockets or []:
            listening.close()
        self._transports.close_all()
        tasks = list(self.server_state.tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)
        await asyncio.sleep(0)  # transports call their protocols back in the next turn of the loop


def _server(
    fleet: Fleet, host: str, port: int, tls: tuple[str | Path, str | Path] | None, app_options: dict[str, Any]
) -> uvicorn.Server:
    transports = _Transports()
    app = RancherApp(fleet, cut=transports.cut, **app_options)
    options: dict[str, Any] = {}
    if tls:
        certificate, key = tls
        options = {"ssl_certfile": str(certificate), "ssl_keyfile": str(key)}
        fleet.set_setting("cacerts", Path(certificate).read_text(encoding="ascii"))
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=transports.protocol(),
        # For the machine shell alone; without that package everything else is served all the same.
        ws="wsproto" if find_spec("wsproto") else "none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=1,
        **options,
    )
    return _Server(config, app, transports)


class RunningRancher:
    """A simulated Rancher in a thread. Leave the `with` block, or call `stop()`, and it is gone.

    `speed`, `origin` and `rancher_version` shape the fleet it makes; a fleet that is given brings its own.
    """

    def __init__(
        self,
        fleet: Fleet | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        speed: float = 1.0,
        origin: float | None = None,
        rancher_version: str = "v2.11.3",
        tls: tuple[str | Path, str | Path] | None = None,
        disconnected_delay: float = 0.0,
        watch: WatchLimits | None = None,
        tick_every: float = 0.2,
    ) -> None:
        self.fleet = fleet or Fleet(SimClock(speed, origin), rancher_version)
        self.token = ADMIN_TOKEN
        self._tls = tls is not None
        self._host, self._port = host, port
        options = {"disconnected_delay": disconnected_delay, "watch": watch, "tick_every": tick_every}
        self._server = _server(self.fleet, host, port, tls, options)
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://{self._host}:{self._port}"

    def start(self) -> Self:
        # Bound here, so that the port is known, and refused in the caller's thread when it is taken.
        self._socket = _bound(self._host, self._port)
        self._port = self._socket.getsockname()[1]
        self.fleet.url = self.url
        self.fleet.set_setting("server-url", self.url)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True, name="simulated-rancher"
        )
        self._thread.start()
        deadline = time.monotonic() + START_WITHIN
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError(f"the simulated Rancher did not start on {self.url}")
            time.sleep(0.005)
        return self

    def stop(self) -> None:
        self._server.should_exit = True
        self._server.force_exit = True
        if self._thread:
            self._thread.join(START_WITHIN)
        if self._socket:
            self._socket.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _bound(host: str, port: int) -> socket.socket:
    """The protocol is named because asyncio sets TCP_NODELAY only then; without it each answer waits 40 ms for an ACK."""
    found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
    except OSError as e:
        found.close()
        raise OSError(
            e.errno, f"cannot listen on {host}:{port}: {e.strerror}; choose another port, or 0 for any"
        ) from e
    return found


def serve_forever(
    fleet: Fleet,
    host: str = "127.0.0.1",
    port: int = 8443,
    *,
    tls: tuple[str | Path, str | Path] | None = None,
    disconnected_delay: float = 0.0,
    started: Callable[[str], None] | None = None,
) -> None:
    """Serves until interrupted. `started` is told the address once it is listening."""
    server = _server(fleet, host, port, tls, {"disconnected_delay": disconnected_delay})
    listening = _bound(host, port)
    url = f"{'https' if tls else 'http'}://{host}:{listening.getsockname()[1]}"
    fleet.url = url
    fleet.set_setting("server-url", url)
    # Who is told the address may call at once: until the server runs, such calls wait in the queue instead of being refused.
    listening.listen(128)
    if started:
        started(url)
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listening])
