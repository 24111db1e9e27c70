"""A simulated Rancher without a socket: every request is handed to the simulator where it stands, on a clock that a test turns."""

import io
import threading
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import requests
from requests.adapters import BaseAdapter
from urllib3.response import HTTPResponse

from rancher_ext.client.transport import RetryPolicy, TokenSource, Transport
from rancher_ext.simulator.clock import SimClock
from rancher_ext.simulator.fleet import Fleet
from rancher_ext.simulator.server import RancherApp

URL = "http://rancher.example"
START = datetime(2026, 10, 2, 12, 0, tzinfo=UTC)


class TurnedClock:
    """One clock for policy and simulator, which moves only when it is turned."""

    def __init__(self, start: datetime = START) -> None:
        self.at = start

    def now(self) -> datetime:
        return self.at

    def real_seconds(self, duration: timedelta) -> float:
        return duration.total_seconds()

    def turn(self, by: timedelta) -> None:
        self.at += by

    def simulated(self) -> SimClock:
        return SimClock(1.0, self.at.timestamp(), real=lambda: self.at.timestamp())  # noqa: PLW0108 - `at` is another one later


class InProcess(BaseAdapter):
    """What `requests` sends through instead of a socket. A dropped connection is a lost one."""

    def __init__(self, fleet: Fleet) -> None:
        super().__init__()
        self._here = threading.local()
        self._app = RancherApp(fleet, cut=self._cut)

    def send(self, request: requests.PreparedRequest, *args: Any, **more: Any) -> requests.Response:
        self._here.dropped = False
        status, headers, body = self._ask(request)
        if self._here.dropped:
            raise requests.ConnectionError("Connection reset by peer", request=request)
        response = requests.Response()
        response.status_code = status
        response.headers.update(headers)
        response.url = str(request.url)
        response.request = request
        response.raw = HTTPResponse(body=io.BytesIO(body), status=status, preload_content=False)
        return response

    def close(self) -> None:
        """Nothing is open."""

    def _cut(self, _peer: tuple[str, int]) -> None:
        self._here.dropped = True

    def _finish(self, answering: Coroutine[Any, Any, None]) -> None:
        """Without an event loop: the simulator waits for nothing but a socket that it has cut."""
        try:
            while True:
                answering.send(None)
        except StopIteration:
            return
        except RuntimeError:
            if not self._here.dropped:
                raise

    def _ask(self, request: requests.PreparedRequest) -> tuple[int, dict[str, str], bytes]:
        path, _, query = str(request.path_url).partition("?")
        body = request.body.encode() if isinstance(request.body, str) else request.body or b""
        scope = {
            "type": "http",
            "scheme": "http",
            "method": request.method,
            "path": requests.utils.unquote(path),
            "query_string": query.encode("latin-1"),
            "headers": [(name.lower().encode(), str(value).encode()) for name, value in request.headers.items()],
            "client": ("in-process", 0),
        }
        said: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            said.append(message)

        self._finish(self._app(scope, receive, send))
        if not said:
            return 502, {}, b""
        headers = {name.decode(): value.decode("latin-1") for name, value in said[0]["headers"]}
        return said[0]["status"], headers, b"".join(message.get("body", b"") for message in said[1:])


class InProcessTransport(Transport):
    def __init__(self, fleet: Fleet, *, retry: RetryPolicy | None = None) -> None:
        super().__init__(URL, TokenSource(fleet.token), retry=retry, sleep=lambda _: None)
        self._adapter = InProcess(fleet)

    def _session(self) -> requests.Session:
        session = super()._session()
        if session.get_adapter(URL) is not self._adapter:
            session.mount("http://", self._adapter)
        return session
