"""Who may look? And what do browsers have to be told about our pages?

On loopback nobody logs in, but only under a name of ours: a page elsewhere could otherwise point its own name at 127.0.0.1 and
read along. Beyond loopback, or as soon as tokens or a proxy header are configured, pages and API want a bearer token, the same
token as the password of HTTP Basic (which browsers ask for by themselves), or the user header of a trusted proxy. That proxy has
to remove the header from what it lets through; Drover cannot tell.
"""

import base64
import binascii
import hmac
from collections.abc import Iterable
from urllib.parse import urlsplit

from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bot.web.parts import WebParts
from bot.web.problems import Problem

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "SAMEORIGIN",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class SecurityHeaders:
    """On every answer, refusals included. Nothing but our own files is kept by caches."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


class Login:
    """A dependency of every page and API route."""

    def __init__(self, parts: WebParts) -> None:
        self._tokens = tuple(token for token in parts.page_tokens if token)
        self._proxy_header = parts.trusted_proxy_header.strip()
        self._needed = parts.listens_beyond_loopback or bool(self._tokens or self._proxy_header)
        public = urlsplit(parts.public_url).hostname if parts.public_url else None
        self._names = _LOOPBACK_NAMES | ({public.lower()} if public else set())

    async def __call__(self, request: Request) -> None:
        """Passes or raises: 401 with how to log in, 421 for a name that is not ours."""
        if not self._needed:
            if host_name(request.headers.get("host", "")) not in self._names:
                raise Problem(
                    421,
                    "This name is not one of Drover's.",
                    cure="Open it as localhost or 127.0.0.1, or set DROVER_PUBLIC_URL to the address you use.",
                )
            return
        if self._proxy_header and request.headers.get(self._proxy_header, "").strip():
            return
        given = _credential(request.headers.get("authorization", ""))
        if given is not None and is_one_of(given, self._tokens):
            return
        raise Problem(
            401,
            "Pages and API need a login here.",
            cure="Send a token of DROVER_PAGE_TOKENS as bearer token, or as the password with any user name.",
            headers={"WWW-Authenticate": 'Basic realm="Drover", charset="UTF-8", Bearer realm="Drover"'},
        )


def is_one_of(given: str, known: Iterable[str]) -> bool:
    """Compared in constant time with each, so that the time tells nothing. An empty token is no token."""
    raw = given.encode("utf-8", "surrogateescape")
    fits = False
    for token in known:
        fits |= bool(token) and hmac.compare_digest(raw, token.encode())
    return fits


def bearer(header: str) -> str | None:
    """The token of `Authorization: Bearer …`, or None."""
    scheme, _, token = header.strip().partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def host_name(header: str) -> str:
    """The name of a Host header without its port, in lower case."""
    text = header.strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0]


def _credential(header: str) -> str | None:
    scheme, _, rest = header.strip().partition(" ")
    if scheme.lower() != "basic":
        return bearer(header)
    try:
        text = base64.b64decode(rest.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    return text.partition(":")[2] or None
