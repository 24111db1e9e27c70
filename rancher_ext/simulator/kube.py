"""How does the plain Kubernetes API of one cluster answer over HTTP?

Paths, verbs and query options of an API server in front of a `Store`: discovery, lists with selectors and paging, get,
create, update, patch, delete, watch, `pods/log`, SelfSubjectAccessReview. Unknown resources are `404 page not found`,
unknown objects a `Status`.
Simplified: no Table or protobuf, no deletecollection, no `status` subresource for writes; impersonation does not exist.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import yaml

from rancher_ext.simulator import status as refuse
from rancher_ext.simulator.clock import SimClock
from rancher_ext.simulator.cluster import SimCluster
from rancher_ext.simulator.faults import Faults
from rancher_ext.simulator.http import Answer, Ask, Json, as_json, as_text
from rancher_ext.simulator.podlogs import pod_log
from rancher_ext.simulator.resources import Resource
from rancher_ext.simulator.selectors import Match, field_selector, label_selector
from rancher_ext.simulator.store import STALE_FOR, Change, Entry, Store, encode

VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
GONE: Json = {
    "kind": "Status",
    "apiVersion": "v1",
    "metadata": {},
    "status": "Failure",
    "reason": "Expired",
    "code": 410,
}


@dataclass(frozen=True)
class Target:
    resource: Resource
    namespace: str
    name: str
    sub: str


@dataclass(frozen=True)
class WatchLimits:
    """Real seconds. `poll` is how soon a watch notices that it is to be cut or silenced."""

    bookmark_every: float = 10.0
    longest: float = 1800.0
    poll: float = 0.25


class KubeApi:
    def __init__(self, clock: SimClock, faults: Faults, limits: WatchLimits) -> None:
        self._clock = clock
        self._faults = faults
        self._limits = limits

    async def handle(self, ask: Ask, path: str, store: Store, cluster: SimCluster | None) -> Answer:
        """`path` is what follows `/k8s/clusters/<id>`; `cluster` is None for `local`."""
        parts = [p for p in path.split("/") if p]
        if found := _discovery(parts, store, cluster):
            return found
        if parts[:3] == ["apis", "authorization.k8s.io", "v1"] and parts[3:] == ["selfsubjectaccessreviews"]:
            return _access_review(ask)
        target = _target(parts, store)
        if target is None:
            return as_text("404 page not found\n", 404)
        _authorize(ask, target)
        if target.sub:
            if (target.resource.plural, target.sub, ask.method) != ("pods", "log", "GET"):
                return as_text("404 page not found\n", 404)
            return pod_log(ask, store, cluster, target.namespace, target.name)
        if ask.method == "GET" and not target.name and ask.flag("watch"):
            return Answer(stream=self._watch(ask, target, store, _matches(ask, target.resource)))
        if ask.method == "GET":
            return (
                _get(ask, target, store, self._clock.seconds())
                if target.name
                else _list(ask, target, store, self._clock.seconds())
            )
        return _write(ask, target, store)

    async def _watch(self, ask: Ask, target: Target, store: Store, matches: list[Match]) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        woken = asyncio.Event()
        stop = store.listen(_waker(loop, woken))
        try:
            async for line in self._lines(ask, target, store, matches, woken):
                yield line
        finally:
            stop()

    async def _lines(
        self, ask: Ask, target: Target, store: Store, matches: list[Match], woken: asyncio.Event
    ) -> AsyncIterator[bytes]:
        started = asyncio.get_running_loop().time()
        lasts = min(float(ask.number("timeoutSeconds") or self._limits.longest), self._limits.longest)
        bookmarks, at_bookmark = ask.flag("allowWatchBookmarks"), started
        wanted = ask.one("resourceVersion")
        if wanted in {"", "0"} or ask.flag("sendInitialEvents"):
            page = store.page(target.resource, target.namespace, matches)
            seen = page.version
            for entry in page.entries:
                yield _event("ADDED", entry.raw)
            if ask.flag("sendInitialEvents") and bookmarks:
                yield _bookmark(target.resource, seen, initial=True)
        else:
            seen = _version(wanted)
        while True:
            woken.clear()
            if self._faults.hangs(ask.path):
                await asyncio.sleep(self._limits.poll)
                continue
            changes = store.since(seen, target.resource)
            if changes is None:
                message = f"too old resource version: {seen} ({store.oldest})"
                yield _event("ERROR", encode({**GONE, "message": message}))
                return
            seen = max(seen, store.version)
            for change in changes:
                if line := _seen_by(change, target.namespace, matches):
                    yield line
            now = asyncio.get_running_loop().time()
            left = started + lasts - now
            if bookmarks and (now - at_bookmark >= self._limits.bookmark_every or left <= 0):
                at_bookmark = now
                yield _bookmark(target.resource, seen)
            if left <= 0:
                return
            try:
                await asyncio.wait_for(woken.wait(), min(left, self._limits.poll))
            except TimeoutError:
                continue


def _waker(loop: asyncio.AbstractEventLoop, woken: asyncio.Event) -> Callable[[], None]:
    """Changes may come from any thread, also from one that outlives the server's loop."""

    def wake() -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(woken.set)

    return wake


def _version(text: str) -> int:
    if not text.isdigit():
        raise refuse.bad_request(f"invalid resource version {text!r}")
    return int(text)


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


def _discovery(parts: list[str], store: Store, cluster: SimCluster | None) -> Answer | None:
    groups: dict[str, set[str]] = {}
    for group, version, _ in store.resources:
        groups.setdefault(group, set()).add(version)
    if parts == ["version"]:
        version = cluster.scenario.kubernetes.split("-rancher")[0] if cluster else "v1.32.8+rke2r1"
        minor = version.split(".")[1]
        return as_json(
            {"major": "1", "minor": minor, "gitVersion": version, "platform": "linux/amd64", "goVersion": "go1.23.6"}
        )
    if parts in (["healthz"], ["readyz"], ["livez"]):
        return as_text("ok")
    if parts == ["api"]:
        return as_json({"kind": "APIVersions", "versions": ["v1"]})
    if parts == ["apis"]:
        found = []
        for group, versions in sorted(groups.items()):
            if group:
                listed = [{"groupVersion": f"{group}/{v}", "version": v} for v in sorted(versions)]
                found.append({"name": group, "versions": listed, "preferredVersion": listed[0]})
        return as_json({"kind": "APIGroupList", "apiVersion": "v1", "groups": found})
    if parts == ["api", "v1"] or (len(parts) == 3 and parts[0] == "apis"):
        group, version = ("", "v1") if parts[0] == "api" else (parts[1], parts[2])
        if version not in groups.get(group, set()):
            return as_text("404 page not found\n", 404)
        resources = [
            {
                "name": r.plural,
                "kind": r.kind,
                "namespaced": r.namespaced,
                "singularName": r.kind.lower(),
                "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"],
            }
            for r in store.resources.values()
            if (r.group, r.version) == (group, version)
        ]
        return as_json(
            {
                "kind": "APIResourceList",
                "apiVersion": "v1",
                "groupVersion": f"{group}/{version}".lstrip("/"),
                "resources": resources,
            }
        )
    return None


def _target(parts: list[str], store: Store) -> Target | None:
    if parts[:2] == ["api", "v1"]:
        group, version, rest = "", "v1", parts[2:]
    elif parts[:1] == ["apis"] and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    if rest and rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    if not rest or len(rest) > 3:
        return None
    resource = store.find(group, version, rest[0])
    if resource is None or (namespace and not resource.namespaced):
        return None
    name, sub = (rest[1] if len(rest) > 1 else ""), (rest[2] if len(rest) > 2 else "")
    if name and resource.namespaced and not namespace:
        return None
    return Target(resource, namespace, name, sub)


def _authorize(ask: Ask, target: Target) -> None:
    token = ask.token
    if token is None:
        return
    verb = VERBS.get(ask.method) or ("get" if target.name else "watch" if ask.flag("watch") else "list")
    resource = target.resource
    what = f"{resource.plural}/{target.sub}" if target.sub else resource.plural
    if (
        (token.read_only and ask.method != "GET")
        or what in token.deny
        or f"{resource.plural}.{resource.group}" in token.deny
    ):
        raise refuse.forbidden(token.user, verb, what, resource.group, target.namespace, target.name)


def _access_review(ask: Ask) -> Answer:
    review = ask.json()
    attributes = ((review or {}).get("spec") or {}).get("resourceAttributes") or {}
    verb, resource = attributes.get("verb", ""), attributes.get("resource", "")
    if attributes.get("subresource"):
        resource += "/" + attributes["subresource"]
    token = ask.token
    writes = verb not in {"get", "list", "watch"}
    allowed = token is not None and not (token.read_only and writes) and resource not in token.deny
    return as_json(
        {
            **review,
            "kind": "SelfSubjectAccessReview",
            "apiVersion": "authorization.k8s.io/v1",
            "status": {"allowed": allowed},
        },
        201,
    )


def _matches(ask: Ask, resource: Resource) -> list[Match]:
    found: list[Match] = []
    if text := ask.one("labelSelector"):
        found += [m for m in [label_selector(text)] if m]
    if text := ask.one("fieldSelector"):
        found += [m for m in [field_selector(text, resource.kind)] if m]
    return found


def _get(ask: Ask, target: Target, store: Store, now: float) -> Answer:
    entry = store.get(target.resource, (target.namespace, target.name))
    return Answer(body=_stale(entry, now) if ask.stale else entry.raw)


def _list(ask: Ask, target: Target, store: Store, now: float) -> Answer:
    resource = target.resource
    page = store.page(
        resource, target.namespace, _matches(ask, resource), ask.number("limit") or 0, ask.one("continue")
    )
    metadata: Json = {"resourceVersion": str(page.version)}
    if page.token:
        metadata["continue"] = page.token
        if not ask.one("labelSelector") and not ask.one("fieldSelector"):
            # The API server cannot count what a selector leaves out.
            metadata["remainingItemCount"] = page.remaining
    head = encode({"kind": f"{resource.kind}List", "apiVersion": resource.api_version, "metadata": metadata})
    show = [_stale(e, now) if ask.stale else e.raw for e in page.entries]
    return Answer(body=head[:-1] + b',"items":[' + b",".join(show) + b"]}")


def _stale(entry: Entry, now: float) -> bytes:
    return encode(entry.previous) if entry.previous and now - entry.changed_at < STALE_FOR else entry.raw


def _write(ask: Ask, target: Target, store: Store) -> Answer:
    dry_run = ask.one("dryRun") == "All"
    if ask.one("dryRun") and not dry_run:
        raise refuse.bad_request(f"invalid dryRun value {ask.one('dryRun')!r}: only All is allowed")
    resource, key = target.resource, (target.namespace, target.name)
    if ask.method == "POST" and not target.name:
        body = ask.json()
        if resource.namespaced and not target.namespace:
            return as_text("404 page not found\n", 404)
        return as_json(store.create(resource, target.namespace, body, manager=ask.manager, dry_run=dry_run), 201)
    if ask.method == "PUT" and target.name:
        return as_json(store.update(resource, key, ask.json(), manager=ask.manager, dry_run=dry_run))
    if ask.method == "PATCH" and target.name:
        body = _yaml(ask.body) if ask.content_type == "application/apply-patch+yaml" else ask.json()
        return as_json(store.patch(resource, key, ask.content_type, body, manager=ask.manager, dry_run=dry_run))
    if ask.method == "DELETE" and target.name:
        return as_json(store.delete(resource, key, ask.json() or {}, dry_run=dry_run))
    raise refuse.method_not_allowed(ask.method, resource.plural)


def _yaml(body: bytes) -> Json:
    try:
        found = yaml.safe_load(body)
    except yaml.YAMLError as e:
        raise refuse.bad_request(f"error decoding YAML: {e}") from None
    return found if isinstance(found, dict) else json.loads("{}")
