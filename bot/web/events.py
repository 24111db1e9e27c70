"""How do open pages learn that something changed? A tick over server-sent events; the page then reads itself again.

One reader asks the store however many pages are open. A tick carries no facts, so a lost one costs nothing but time.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import suppress

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from bot.web.parts import WebParts
from bot.web.problems import Problem
from rancher_ext.errors import DroverError

# Proxies drop a silent connection after a minute or less.
_KEEP_ALIVE = 15.0


class Ticker:
    """The state of everything shown, as one word, kept fresh while somebody listens."""

    def __init__(self, parts: WebParts) -> None:
        self._parts = parts
        self._word = ""
        self._read_at = float("-inf")
        self._lock = asyncio.Lock()
        self.clients = 0

    async def word(self) -> str:
        """Changes when a page would look different. A store that fails changes nothing."""
        async with self._lock:
            clock = asyncio.get_running_loop().time
            if clock() - self._read_at >= self._parts.limits.event_seconds:
                with suppress(DroverError):
                    self._word = await run_in_threadpool(state_word, self._parts)
                self._read_at = clock()
        return self._word


def state_word(parts: WebParts) -> str:
    shown = hashlib.sha256()
    for cluster in parts.fleet():
        shown.update(
            repr((cluster.key, cluster.name, cluster.verdict, sorted(cluster.facts.items()))).encode("utf-8", "replace")
        )
    for incident in parts.incidents():
        shown.update(f"{incident.id} {incident.updated_at} {incident.state}".encode("utf-8", "replace"))
    shown.update(repr(parts.coverage()).encode())
    return shown.hexdigest()[:16]


def events_router(parts: WebParts) -> APIRouter:
    router = APIRouter(tags=["pages"])
    ticker = Ticker(parts)

    @router.get("/events", summary="A tick whenever a page would look different (server-sent events)")
    async def events() -> StreamingResponse:
        if ticker.clients >= parts.limits.event_clients:
            raise Problem(
                429,
                f"{ticker.clients} pages are open already, and that many are served at once.",
                cure="Reload by hand, or close other pages.",
                headers={"Retry-After": "60"},
            )
        return StreamingResponse(
            _ticks(parts, ticker), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
        )

    return router


async def _ticks(parts: WebParts, ticker: Ticker) -> AsyncIterator[str]:
    """The first tick names the state the page has to compare with; each later one says it has changed."""
    if ticker.clients >= parts.limits.event_clients:
        # Several came at once and passed the check before the first of them was counted.
        return
    ticker.clients += 1
    try:
        known = await ticker.word()
        yield f"retry: 5000\nevent: state\ndata: {known}\n\n"
        quiet = 0.0
        step = min(1.0, parts.limits.event_seconds)
        while not parts.stopping():
            await asyncio.sleep(step)
            quiet += step
            word = await ticker.word()
            if word != known:
                known, quiet = word, 0.0
                yield f"event: state\ndata: {known}\n\n"
            elif quiet >= _KEEP_ALIVE:
                quiet = 0.0
                yield ": still here\n\n"
    finally:
        ticker.clients -= 1
