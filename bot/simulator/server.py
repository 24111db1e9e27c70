"""How does one run the simulated GitHub?

    with RunningGitHub(hook_url="http://127.0.0.1:8080/hooks/github", hook_secret="…") as github:
        github.comment_as("maria", 1, "/drover approve 7f3a9c")

A real HTTP server on loopback, on a thread of its own, so that the real client library is what gets used. The API answers at
`url` and, as GitHub Enterprise Server has it, at `url + "/api/v3"`; people's pages are at `/{owner}/{repo}/issues`.
"""

import asyncio
import json
import socket
import threading
import uuid
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, parse_qsl

import uvicorn
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from bot.simulator import pages, render
from bot.simulator.access import Access, Caller, SimulatedApp
from bot.simulator.api import Api
from bot.simulator.events import Events
from bot.simulator.faults import Fault, Faults, Happens
from bot.simulator.hooks import Delivery, Hooks
from bot.simulator.journal import Journal, Write
from bot.simulator.state import Clock, NotThere, Repository, wall_clock
from bot.simulator.views import SeenIssue, seen_issue
from bot.simulator.wire import Call

ENTERPRISE_PREFIX = "/api/v3"
START_WITHIN = 10.0


class _Protocol(H11Protocol):
    """Shows the application its socket, so that a fault can drop it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # asyncio does so itself only for sockets that name their protocol, which `create_server` does not: without it each
        # answer waits 40 ms for the client's acknowledgement of its headers.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.app_state = {**self.app_state, "transport": transport}


class _Server(uvicorn.Server):
    """Ends at once: uvicorn's own pauses make a fifth of a second per server, and tests start hundreds."""

    async def main_loop(self) -> None:
        counter = 0
        while not await self.on_tick(counter):
            await asyncio.sleep(0.01)
            counter = (counter + 1) % 100  # on_tick refreshes the Date header at each full ten

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        for task in list(self.server_state.tasks):
            task.cancel()
        await asyncio.sleep(0)


class RunningGitHub:
    """Starts at once; `stop()` or the end of the `with` block ends it."""

    def __init__(
        self,
        *,
        repository: str = "acme/fleet",
        people: Mapping[str, str] | None = None,
        bot: str = "drover-bot",
        bot_role: str = "write",
        app: SimulatedApp | None = None,
        hook_url: str | None = None,
        hook_secret: str = "",
        clock: Clock = wall_clock,
        echo_own_writes: bool = False,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.bot = bot
        self.app = app or SimulatedApp()
        self.token = "ghp_" + uuid.uuid4().hex
        self.faults = Faults()
        self.journal = Journal()
        self._state = Repository(repository, clock=clock)
        self._state.people.update({bot: bot_role, **(people or {})})
        self.access = Access(self.app, {self.token: Caller(bot)}, clock)
        self._hooks = Hooks(hook_url, hook_secret, self.faults)
        self._socket = socket.create_server((host, port))
        self.url = f"http://{host}:{self._socket.getsockname()[1]}"
        self.enterprise_url = self.url + ENTERPRISE_PREFIX
        self._bots = frozenset({bot, self.app.login})
        links = render.Links(api=self.url, html=self.url)
        self._events = Events(self._state, self._hooks, links, silent=self._bots, echo=echo_own_writes)
        self._api = Api(self._state, self.access, self._events, self.journal)
        config = uvicorn.Config(
            self._serve, interface="asgi3", http=_Protocol, ws="none", log_config=None, access_log=False, lifespan="off"
        )
        self._server = _Server(config)
        self._thread = threading.Thread(target=self._run, name="simulated-github", daemon=True)
        self._thread.start()
        self._wait_until_up()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=START_WITHIN)
        self._hooks.stop()
        self._socket.close()

    # --- what tests and the demo look at ---

    @property
    def people(self) -> dict[str, str]:
        """Login to role (none, read, triage, write, maintain, admin); change it at will."""
        return self._state.people

    @property
    def teams(self) -> dict[str, dict[str, str]]:
        """`organisation/team`, in small letters, to login to `active` or `pending`; change it at will."""
        return self._state.teams

    def hide_teams(self) -> None:
        """The bot's token has the scope read:org no more. (An App has its permission `members`.)"""
        self.access.add_token(self.token, Caller(self.bot, sees_teams=False))

    @property
    def issues(self) -> list[SeenIssue]:
        with self._state.lock:
            return [seen_issue(issue) for issue in self._state.issues()]

    def issue(self, number: int) -> SeenIssue:
        with self._state.lock:
            return seen_issue(self._state.issue(number))

    @property
    def writes(self) -> list[Write]:
        """What came in over the API and was carried out; what people did by the methods below is not here."""
        return self.journal.writes

    @property
    def deliveries(self) -> list[Delivery]:
        return self._hooks.deliveries

    def redeliver(self, delivery_id: str) -> None:
        self._hooks.redeliver(delivery_id)

    def settle(self) -> None:
        """Waits until every webhook queued so far was tried."""
        self._hooks.settle()

    def send_hooks_to(self, url: str | None, secret: str = "") -> None:
        self._hooks.secret = secret
        self._hooks.url = url

    def ping(self) -> str | None:
        return self._events.ping()

    def set_has_issues(self, *, enabled: bool) -> None:
        self._state.has_issues = enabled

    @property
    def repository(self) -> str:
        return self._state.full_name

    def rename(self, full_name: str) -> None:
        """As on GitHub, requests to the old name are redirected: reads by 301, writes by 307."""
        with self._state.lock:
            self._state.former_names.add(self._state.full_name.lower())
            self._state.rename(full_name)

    def token_for(self, login: str) -> str:
        """A personal token, to write over the API as somebody else than the bot."""
        token = "ghp_" + uuid.uuid4().hex
        self.access.add_token(token, Caller(login))
        return token

    # --- what people do ---

    def comment_as(self, login: str, issue_number: int, body: str) -> int:
        with self._state.lock:
            self._known(login)
            comment = self._state.create_comment(login, issue_number, body)
            self._events.comment("created", comment, login)
            return comment.id

    def edit_comment_as(self, login: str, comment_id: int, body: str) -> None:
        with self._state.lock:
            comment = self._state.comment(comment_id)
            before = {"body": {"from": comment.body}}
            if self._state.edit_comment(comment, body):
                self._events.comment("edited", comment, login, before)

    def delete_comment_as(self, login: str, comment_id: int) -> None:
        with self._state.lock:
            comment = self._state.comment(comment_id)
            self._state.delete_comment(comment)
            self._events.comment("deleted", comment, login)

    def open_issue_as(
        self, login: str, title: str, body: str = "", labels: tuple[str, ...] = (), *, pull_request: bool = False
    ) -> int:
        with self._state.lock:
            self._known(login)
            issue = self._state.create_issue(login, title, body, labels, pull_request=pull_request)
            if not pull_request:
                self._events.issue("opened", issue, login)
            return issue.number

    def edit_issue_as(self, login: str, number: int, **changes: object) -> None:
        """Keywords as in the API: title, body, labels, state, state_reason."""
        with self._state.lock:
            issue = self._state.issue(number)
            before = {"title": {"from": issue.title}, "body": {"from": issue.body}}
            was_open = issue.open
            if self._state.edit_issue(issue, changes, login):
                action = "edited" if was_open == issue.open else "reopened" if issue.open else "closed"
                self._events.issue(action, issue, login, before if action == "edited" else None)

    def close_issue_as(self, login: str, number: int, *, reason: str = "completed") -> None:
        self.edit_issue_as(login, number, state="closed", state_reason=reason)

    def reopen_issue_as(self, login: str, number: int) -> None:
        self.edit_issue_as(login, number, state="open")

    def _known(self, login: str) -> None:
        # Who can comment can at least read.
        self._state.people.setdefault(login, "read")

    # --- transport ---

    def _run(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._socket]))

    def _wait_until_up(self) -> None:
        pause = threading.Event()
        for _ in range(int(START_WITHIN / 0.002)):
            if self._server.started:
                return
            pause.wait(0.002)
        raise RuntimeError(f"The simulated GitHub did not start on {self.url} within {START_WITHIN:.0f} s.")

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        fault = self.faults.take(scope["method"], scope["path"])
        if fault is None:
            await self._respond(scope, receive, send)
            return
        await asyncio.sleep(fault.delay)
        if fault.only_delay:
            await self._respond(scope, receive, send)
            return
        if fault.happens is Happens.AFTERWARDS:
            await self._respond(scope, receive, _nowhere)
        await self._break(fault, scope, receive, send)

    async def _break(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        if fault.status is not None:
            body = fault.html or json.dumps({"message": fault.message, "status": str(fault.status)})
            media_type = "text/html" if fault.html else "application/json"
            response = Response(body, fault.status, dict(fault.headers), media_type)
            await response(scope, receive, send)
            return
        scope["state"]["transport"].abort()
        # Let the loop tell uvicorn that the peer is gone, or it would complain about a missing answer.
        while (await receive())["type"] != "http.disconnect":
            pass

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _read(receive)
        path: str = scope["path"]
        prefix = ENTERPRISE_PREFIX if path.startswith(ENTERPRISE_PREFIX + "/") else ""
        page = None if prefix else self._page(scope["method"], path, body)
        if page is not None:
            await page(scope, receive, send)
            return
        call = Call(
            method=scope["method"],
            path=path.removeprefix(prefix),
            query=dict(parse_qsl(scope["query_string"].decode())),
            headers={key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]},
            body=body,
            links=render.Links(api=self.url + prefix, html=self.url),
        )
        answer = self._api.answer(call)
        headers = {
            "X-GitHub-Request-Id": uuid.uuid4().hex[:24].upper(),
            "X-GitHub-Media-Type": "github.v3; format=json",
        }
        headers.update(answer.headers)
        content = b"" if answer.body is None else json.dumps(answer.body).encode()
        media_type = None if answer.body is None else "application/json"
        await Response(content, answer.status, headers, media_type)(scope, receive, send)

    def _page(self, method: str, path: str, body: bytes) -> Response | None:
        """The pages for people; None when the path is the API's."""
        start = f"/{self.repository}/issues"
        if path == "/":
            return RedirectResponse(start, 302)
        if path == start and method == "GET":
            return HTMLResponse(pages.issue_list(self._state))
        number = path.removeprefix(start + "/")
        if not path.startswith(start + "/") or not number.isdecimal():
            return None
        try:
            issue = self._state.issue(int(number))
        except NotThere:
            return HTMLResponse("There is no such issue.", 404)
        if method == "POST":
            fields: dict[str, Any] = parse_qs(body.decode("utf-8", "replace"))
            login, text = fields.get("login", [""])[0], fields.get("body", [""])[0]
            if login in self._state.people and login not in self._bots and text.strip():
                self.comment_as(login, issue.number, text.replace("\r\n", "\n"))
            return RedirectResponse(path, 303)
        return HTMLResponse(pages.one_issue(self._state, issue, self._bots))


async def _nowhere(_message: Message) -> None:
    """Swallows the answer of a request whose effect stays."""


async def _read(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return body
        part: bytes = message.get("body", b"")
        body += part
        if not message.get("more_body", False):
            return body
