"""What does the simulated Rancher do with one HTTP request?

The ASGI edge: reads the request, lets the faults strike, checks the token, finds the API that answers (Kubernetes of
`local` or of a downstream cluster behind the reach rules, Steve, Norman, the pages without login, the simulator's own
control pages), keeps the journal of writes, and sends the answer, whole or cut.
"""

import asyncio
import base64
import binascii
import json
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

from starlette.types import Receive, Scope, Send

from rancher_ext.simulator import reach
from rancher_ext.simulator.clock import rfc3339_nano
from rancher_ext.simulator.cluster import SimCluster
from rancher_ext.simulator.control import Control
from rancher_ext.simulator.faults import Fault
from rancher_ext.simulator.fleet import Fleet, Token
from rancher_ext.simulator.http import Answer, Ask, as_json, as_text, norman_error, query_of, refusal
from rancher_ext.simulator.kube import KubeApi, WatchLimits
from rancher_ext.simulator.machine_shell import MachineShell
from rancher_ext.simulator.norman import NormanApi
from rancher_ext.simulator.status import ApiStatus
from rancher_ext.simulator.steve import SteveApi
from rancher_ext.simulator.store import Store

Cut = Callable[[tuple[str, int]], None]
LARGEST_BODY = 1 << 20  # setting public-api-body-limit: 1Mi
LOGIN_PAGE = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body><h1>Company portal</h1></body></html>\n"


class RancherApp:
    """ASGI. `cut` closes the socket of a peer without another byte; without it the fault is an empty answer."""

    def __init__(
        self,
        fleet: Fleet,
        *,
        cut: Cut | None = None,
        disconnected_delay: float = 0.0,
        watch: WatchLimits | None = None,
        tick_every: float = 0.2,
    ) -> None:
        self.fleet = fleet
        self._cut = cut
        self._disconnected_delay = disconnected_delay
        self._tick_every = tick_every
        self._kube = KubeApi(fleet.clock, fleet.faults, watch or WatchLimits())
        self._steve = SteveApi(fleet.rancher_version)
        self._norman = NormanApi(fleet)
        self._control = Control(fleet)
        self.shell = MachineShell(fleet)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            ask = await self._read(scope, receive)
            await self._respond(ask, receive, send)
        elif scope["type"] == "websocket":
            headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
            await self.shell.serve(scope, receive, send, self._token_of(headers)[0])

    async def tick_forever(self) -> None:
        """Moves the fleet on, so that watches hear of what happens without anybody asking."""
        while True:
            self.fleet.tick()
            await asyncio.sleep(self._tick_every)

    async def _read(self, scope: Scope, receive: Receive) -> Ask:
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                break
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        host = headers.get("host", "rancher.example")
        return Ask(
            method=scope["method"],
            path=scope["path"],
            query=query_of(scope["query_string"]),
            headers=headers,
            body=body,
            base_url=f"{scope['scheme']}://{host}",
            client=tuple(scope["client"]) if scope.get("client") else ("testclient", 0),
        )

    async def _respond(self, ask: Ask, receive: Receive, send: Send) -> None:
        if ask.path.startswith("/simulator/"):
            await _send(self._control.handle(ask), send)
            return
        self.fleet.requests[f"{ask.method} {ask.path}"] += 1
        struck = self.fleet.faults.strike(ask.method, ask.path, watch=ask.flag("watch"))
        for fault in struck:
            if fault.kind == "latency":
                await asyncio.sleep(fault.delay)
        kinds = {f.kind: f for f in struck}
        if early := _instead(ask, kinds):
            self._journal(ask, early.status, took_effect=False)
            await _send(early, send)
            return
        drop = kinds.get("drop")
        if drop and not drop.after_handling:
            self._journal(ask, 0, took_effect=False)
            await self._drop(ask, send)
            return
        answer = await self._answer(_stale(ask) if "stale" in kinds else ask)
        self._journal(ask, answer.status, took_effect=True)
        if drop:
            await self._drop(ask, send)
        elif "truncate" in kinds:
            await self._truncate(ask, answer, send)
        elif answer.stream is not None:
            await self._stream(ask, answer, receive, send, kinds)
        else:
            await _send(answer, send)

    # -- routing ---------------------------------------------------------------------------------------------------

    async def _answer(self, ask: Ask) -> Answer:
        if open_page := self._without_login(ask):
            return open_page
        token, problem = self._login(ask)
        if token is None:
            return problem
        ask = _with(ask, token)
        if len(ask.body) > LARGEST_BODY:
            return as_text("http: request body too large\n", 413)
        self.fleet.tick()
        try:
            if ask.path.startswith("/k8s/clusters/"):
                return await self._proxy(ask)
            if ask.path == "/v3" or ask.path.startswith("/v3/"):
                return self._norman.handle(ask)
            if ask.path.startswith("/v1/"):
                with self.fleet.lock:
                    return self._steve.handle(ask, ask.path, self.fleet.local, "")
        except ApiStatus as e:
            if ask.path.startswith(("/v3", "/v1")):
                return norman_error(e.code, str(e.body["reason"]), str(e.body["message"]))
            return refusal(e)
        return as_text("404 page not found\n", 404)

    async def _proxy(self, ask: Ask) -> Answer:
        cluster_id, _, rest = ask.path.removeprefix("/k8s/clusters/").partition("/")
        rest = "/" + rest
        steve = rest.startswith("/v1/")
        cluster: SimCluster | None = None
        store: Store = self.fleet.local
        if cluster_id != "local":
            cluster = self.fleet.clusters.get(cluster_id)
            if refused := reach.refusal(cluster, steve=steve):
                answer, slow = refused
                if slow and self._disconnected_delay:
                    await asyncio.sleep(self._disconnected_delay)
                return answer
            assert cluster is not None
            store = cluster.downstream
        with self.fleet.lock:
            if steve:
                return self._steve.handle(ask, rest, store, f"/k8s/clusters/{cluster_id}")
        # Everything but a watch's stream is done before the first await, so a request sees one instant.
        answer = await self._kube.handle(ask, rest, store, cluster)
        if cluster is not None and ask.method != "GET":
            self.fleet.cluster_changed(cluster)
        return answer

    def _without_login(self, ask: Ask) -> Answer | None:
        if ask.method not in {"GET", "HEAD"}:
            return None
        if ask.path == "/ping":
            return as_text("pong")
        if ask.path == "/healthz":
            return as_text("ok")
        if ask.path == "/rancherversion":
            return as_json({"Version": self.fleet.rancher_version, "GitCommit": "5d1e0f0", "RancherPrime": "false"})
        if ask.path in {"/v3/settings/cacerts", "/v3/settings/server-version"} and "authorization" not in ask.headers:
            return self._norman.handle(ask)
        return None

    def _login(self, ask: Ask) -> tuple[Token | None, Answer]:
        return self._token_of(ask.headers)

    def _token_of(self, headers: Mapping[str, str]) -> tuple[Token | None, Answer]:
        bearer = _bearer(headers)
        if not bearer:
            return None, _unauthorized("must authenticate")
        name, _, secret = bearer.removeprefix("ext/").partition(":")
        token = self.fleet.tokens.get(name)
        if token is None or token.secret != secret:
            return None, _unauthorized("must authenticate")
        if token.expires_at is not None and token.expires_at <= self.fleet.clock.seconds():
            return None, _unauthorized("must authenticate")
        return token, Answer()

    # -- sending ---------------------------------------------------------------------------------------------------

    async def _stream(self, ask: Ask, answer: Answer, receive: Receive, send: Send, kinds: dict[str, Fault]) -> None:
        assert answer.stream is not None
        if "expired-watch" in kinds:
            gone = {
                "kind": "Status",
                "apiVersion": "v1",
                "metadata": {},
                "status": "Failure",
                "reason": "Expired",
                "code": 410,
            }
            error = json.dumps({"type": "ERROR", "object": {**gone, "message": "too old resource version"}})
            await _send(Answer(body=error.encode() + b"\n"), send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})

        async def write() -> None:
            stream = answer.stream
            assert stream is not None
            async for line in stream:
                await send({"type": "http.response.body", "body": line, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        async def watch_peer() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        async def cut_later() -> None:
            await asyncio.sleep(kinds["watch-drop"].delay)
            await self._abort(ask)

        jobs = [asyncio.create_task(write()), asyncio.create_task(watch_peer())]
        if "watch-drop" in kinds:
            jobs.append(asyncio.create_task(cut_later()))
        done, rest = await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
        for job in rest:
            job.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        for job in done:
            job.result()

    async def _drop(self, ask: Ask, send: Send) -> None:
        if self._cut is None:
            await _send(Answer(502), send)
            return
        await self._abort(ask)

    async def _truncate(self, ask: Ask, answer: Answer, send: Send) -> None:
        half = answer.body[: len(answer.body) // 2]
        headers = _headers(answer)
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": half, "more_body": True})
        await asyncio.sleep(0.02)  # let the half leave before the socket goes
        await self._abort(ask)

    async def _abort(self, ask: Ask) -> None:
        if self._cut:
            self._cut(ask.client)
            await asyncio.sleep(0.01)  # the protocol must see its socket gone before this request ends

    def _journal(self, ask: Ask, status: int, *, took_effect: bool) -> None:
        if ask.method in {"GET", "HEAD", "OPTIONS"} or ask.path.endswith("/selfsubjectaccessreviews"):
            return
        token, _ = self._login(ask)
        try:
            body: Any = json.loads(ask.body) if ask.body else None
        except ValueError:
            body = ask.body.decode(errors="replace")
        self.fleet.record(
            {
                "time": rfc3339_nano(self.fleet.clock.seconds()),
                "method": ask.method,
                "path": ask.path,
                "query": {k: v[0] for k, v in ask.query.items()},
                "user": token.user if token else None,
                "contentType": ask.content_type,
                "body": body,
                "status": status,
                "dryRun": ask.one("dryRun") == "All",
                "tookEffect": took_effect and 200 <= status < 300 and ask.one("dryRun") != "All",
            }
        )


def _bearer(headers: MutableMapping[str, str] | Any) -> str:
    """From `Authorization` (bearer or basic) or Rancher's own cookie."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return str(value).strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value).decode()
        except (binascii.Error, UnicodeDecodeError):
            return ""
    for part in headers.get("cookie", "").split(";"):
        name, _, cookie = part.strip().partition("=")
        if name == "R_SESS":
            return str(cookie)
    return ""


def _unauthorized(message: str) -> Answer:
    """pkg/auth/requests: the status is a string here, unlike in every other error."""
    return as_json({"type": "error", "status": "401", "message": f"Unauthorized 401: {message}"}, 401)


def _instead(ask: Ask, kinds: dict[str, Fault]) -> Answer | None:
    if "unauthorized" in kinds:
        return _unauthorized("must authenticate")
    if "html" in kinds:
        return Answer(200, LOGIN_PAGE, "text/html; charset=utf-8")
    if deny := kinds.get("deny"):
        if ask.path.startswith(("/v3", "/v1")):
            return norman_error(deny.status, deny.reason, deny.message)
        return refusal(ApiStatus(deny.status, deny.reason, deny.message))
    fault = kinds.get("status")
    if fault is None:
        return None
    texts = {500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable"}
    if fault.status == 429:
        status = ApiStatus(429, "TooManyRequests", "Too many requests, please try again later.")
        answer = refusal(status)
    else:
        answer = as_text(texts.get(fault.status, "error") + "\n", fault.status)
    if fault.retry_after is not None:
        answer.headers["Retry-After"] = f"{fault.retry_after:g}"
    return answer


def _with(ask: Ask, token: Token) -> Ask:
    return Ask(**{**ask.__dict__, "token": token})


def _stale(ask: Ask) -> Ask:
    return Ask(**{**ask.__dict__, "stale": True})


def _headers(answer: Answer) -> list[tuple[bytes, bytes]]:
    headers = []
    if answer.status != 204:
        headers += [
            (b"content-type", answer.content_type.encode()),
            (b"content-length", str(len(answer.body)).encode()),
        ]
    return headers + [(k.lower().encode(), v.encode("latin-1")) for k, v in answer.headers.items()]


async def _send(answer: Answer, send: Send) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": _headers(answer)})
    await send({"type": "http.response.body", "body": answer.body})
