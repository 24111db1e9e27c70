"""How does one talk to a terminal behind Rancher? A WebSocket whose messages are a channel's number and base64.

`0` is what is typed, `1` what is shown, `4` the terminal's size (subprotocol `base64.channel.k8s.io`). The frames are made and read
by wsproto; this file has the socket.
"""

import base64
import binascii
import json
import socket
import ssl
from collections import deque
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from rancher_ext.client.transport import USER_AGENT, Transport
from rancher_ext.errors import CertificateRefused, Forbidden, NotFound, RancherError, RancherUnreachable, Unauthorized
from rancher_ext.evidence.reach import OutOfTime

SUBPROTOCOL = "base64.channel.k8s.io"
# Wide, so that no line is broken where the terminal ends.
_SIZE = {"width": 4000, "height": 200}
_BLOCK = 1 << 16


class MachineSocket:
    """One terminal. Enter it, type, read."""

    def __init__(self, transport: Transport, path: str, seconds: float) -> None:
        try:
            import wsproto
            from wsproto import events
            from wsproto.utilities import RemoteProtocolError
        except ModuleNotFoundError as error:
            raise RancherError(
                "the machine shell needs the package wsproto", cure="Install it beside Drover: `pip install wsproto`."
            ) from error
        self._events: Any = events
        self._broken = RemoteProtocolError
        self._pending: deque[Any] = deque()
        self._transport = transport
        self._path = path
        self._seconds = seconds
        self._ws: Any = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        self._socket: socket.socket | None = None
        self._text = ""

    def __enter__(self) -> Self:
        parts = urlsplit(self._transport.url)
        # The transport has token and trust; it speaks HTTP only.
        token, verify = self._transport._token(), self._transport._verify  # noqa: SLF001
        secure = parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        try:
            raw = socket.create_connection((parts.hostname or "", port), timeout=self._seconds)
            if secure:
                context = ssl.create_default_context(
                    cafile=verify if isinstance(verify, str) else DEFAULT_CA_BUNDLE_PATH
                )
                raw = context.wrap_socket(raw, server_hostname=parts.hostname)
        except ssl.SSLError as error:
            raise CertificateRefused(
                f"machine shell: TLS with {self._transport.url} failed: {error.reason}",
                cure="Point DROVER_RANCHER_CA_FILE to the CA of Rancher.",
            ) from error
        except OSError as error:
            raise self._lost(error) from error
        self._socket = raw
        try:
            self._send(
                self._events.Request(
                    host=parts.netloc.rpartition("@")[2],
                    target=f"{parts.path}{self._path}",
                    subprotocols=[SUBPROTOCOL],
                    extra_headers=[
                        (b"Authorization", f"Bearer {token}".encode()),
                        (b"User-Agent", USER_AGENT.encode()),
                    ],
                )
            )
            self._accepted()
        except BaseException:
            raw.close()
            raise
        self._message("4", json.dumps(_SIZE))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._socket is not None:
            self._socket.close()

    def type(self, text: str) -> None:
        self._message("0", text)

    def read(self, seconds: float) -> bytes:
        """The next piece that the terminal shows. Raises OutOfTime when none came in time, RancherError when it is gone."""
        while True:
            event = self._next(seconds)
            if isinstance(event, self._events.TextMessage):
                self._text += event.data
                if event.message_finished:
                    text, self._text = self._text, ""
                    if text[:1] == "1":
                        return _decoded(text[1:])
            elif isinstance(event, self._events.Ping):
                self._send(event.response())
            elif isinstance(event, self._events.CloseConnection):
                raise RancherError(
                    f"machine shell: Rancher closed it ({event.reason or event.code})",
                    cure="Is the machine's SSH port open for Rancher?",
                )

    def _accepted(self) -> None:
        while True:
            event = self._next(self._seconds)
            if isinstance(event, self._events.AcceptConnection):
                return
            if isinstance(event, self._events.RejectConnection):
                status = int(event.status_code)
                kinds: dict[int, type[RancherError]] = {401: Unauthorized, 403: Forbidden, 404: NotFound}
                raise kinds.get(status, RancherError)(
                    f"machine shell: Rancher answered {status}",
                    cure="The token needs the right to update machines.cluster.x-k8s.io.",
                    status=status,
                )

    def _next(self, seconds: float) -> Any:
        """One event. Several may come in one piece: those that nobody asked for yet are kept."""
        while not self._pending:
            self._receive(seconds)
        return self._pending.popleft()

    def _receive(self, seconds: float) -> None:
        assert self._socket is not None
        self._socket.settimeout(max(seconds, 0.01))
        try:
            data = self._socket.recv(_BLOCK)
        except TimeoutError:
            raise OutOfTime from None
        except OSError as error:
            raise self._lost(error) from error
        if not data:
            raise self._lost(ConnectionResetError("the connection ended"))
        try:
            self._ws.receive_data(data)
        except self._broken as error:
            raise self._lost(ConnectionError("what came is no WebSocket")) from error
        self._pending.extend(self._ws.events())

    def _message(self, channel: str, text: str) -> None:
        self._send(self._events.TextMessage(data=channel + base64.b64encode(text.encode()).decode()))

    def _send(self, event: Any) -> None:
        assert self._socket is not None
        try:
            self._socket.sendall(self._ws.send(event))
        except OSError as error:
            raise self._lost(error) from error

    def _lost(self, error: OSError) -> RancherUnreachable:
        return RancherUnreachable(
            f"machine shell: no connection with {self._transport.url}: {error}",
            cure="Do proxies between Drover and Rancher pass WebSockets?",
        )


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
