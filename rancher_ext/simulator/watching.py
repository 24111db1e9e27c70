"""What does a watch send, and when does it end?

Facts of kube-apiserver 1.32: a watch without a version (or with 0) begins with what is there; from a version it misses
nothing, or says 410 in an event of an answer that is 200; what stops to match its selector is DELETED for it; it ends by
itself at `timeoutSeconds`; bookmarks, when asked for, carry the version on and come last before the end.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from rancher_ext.simulator.faults import Faults
from rancher_ext.simulator.http import Json
from rancher_ext.simulator.records import Change, encode
from rancher_ext.simulator.resources import Resource
from rancher_ext.simulator.selectors import Match
from rancher_ext.simulator.store import Store

GONE: Json = {
    "kind": "Status",
    "apiVersion": "v1",
    "metadata": {},
    "status": "Failure",
    "reason": "Expired",
    "code": 410,
}


@dataclass(frozen=True)
class WatchLimits:
    """Real seconds. `poll` is how soon a watch notices that it is to be cut or silenced."""

    bookmark_every: float = 10.0
    longest: float = 1800.0
    poll: float = 0.25


@dataclass(frozen=True)
class Watch:
    """What a client wants to hear of. `version` is 0 for "whatever is there now"."""

    path: str
    resource: Resource
    namespace: str
    matches: list[Match]
    version: int
    timeout: int | None
    bookmarks: bool
    initial: bool


async def follow(watch: Watch, store: Store, faults: Faults, limits: WatchLimits) -> AsyncIterator[bytes]:
    woken = asyncio.Event()
    stop = store.listen(_waker(asyncio.get_running_loop(), woken))
    try:
        async for line in _lines(watch, store, faults, limits, woken):
            yield line
    finally:
        stop()


async def _lines(
    watch: Watch, store: Store, faults: Faults, limits: WatchLimits, woken: asyncio.Event
) -> AsyncIterator[bytes]:
    started = asyncio.get_running_loop().time()
    lasts = min(float(watch.timeout or limits.longest), limits.longest)
    at_bookmark = started
    if not watch.version or watch.initial:
        page = store.page(watch.resource, watch.namespace, watch.matches)
        seen = page.version
        for entry in page.entries:
            yield _event("ADDED", entry.raw)
        if watch.initial and watch.bookmarks:
            yield _bookmark(watch.resource, seen, initial=True)
    else:
        seen = watch.version
    while True:
        woken.clear()
        if faults.hangs(watch.path):
            await asyncio.sleep(limits.poll)
            continue
        # Taken before the changes: what is written in between is seen the next time, not lost.
        known = store.version
        changes = store.since(seen, watch.resource)
        if changes is None:
            message = f"too old resource version: {seen} ({store.oldest})"
            yield _event("ERROR", encode({**GONE, "message": message}))
            return
        seen = max(seen, known, *(change.version for change in changes))
        for change in changes:
            if line := _seen_by(change, watch.namespace, watch.matches):
                yield line
        now = asyncio.get_running_loop().time()
        left = started + lasts - now
        if watch.bookmarks and (now - at_bookmark >= limits.bookmark_every or left <= 0):
            at_bookmark = now
            yield _bookmark(watch.resource, seen)
        if left <= 0:
            return
        try:
            await asyncio.wait_for(woken.wait(), min(left, limits.poll))
        except TimeoutError:
            continue


def _waker(loop: asyncio.AbstractEventLoop, woken: asyncio.Event) -> Callable[[], None]:
    """Changes may come from any thread, also from one that outlives the server's loop."""

    def wake() -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(woken.set)

    return wake


def _event(kind: str, raw: bytes) -> bytes:
    return b'{"type":"' + kind.encode() + b'","object":' + raw + b"}\n"


def _bookmark(resource: Resource, version: int, *, initial: bool = False) -> bytes:
    metadata: Json = {"resourceVersion": str(version), "creationTimestamp": None}
    if initial:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    return _event("BOOKMARK", encode({"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}))


def _seen_by(change: Change, namespace: str, matches: list[Match]) -> bytes | None:
    """A change as this watch sees it: what stops to match its selector is DELETED for it, what begins to is ADDED."""
    if namespace and change.obj["metadata"].get("namespace", "") != namespace:
        return None
    kind = change.kind
    if matches:
        now = all(m(change.obj) for m in matches)
        before = change.previous is not None and all(m(change.previous) for m in matches)
        if kind == "DELETED" or (before and not now):
            kind = "DELETED"
            if not before:
                return None
        elif not now:
            return None
        elif not before:
            kind = "ADDED"
    return _event(kind, encode(change.obj))
