"""How do we hear at once that something in the fleet has changed?

Plain Kubernetes watches through `/k8s/clusters/local` on the objects that carry a cluster's state: this is the one path that
behaves the same on every Rancher version (rancher-api 2.5). Each kind has a thread that lists, watches from there, and begins
again when the watch ends, breaks, or falls silent. After every list what differs from what was last seen is hinted, so a gap in
the watch loses nothing. The first list only fills the memory: start the watch before the first sweep, which sees everything.

Rights that Rancher gives per Fleet workspace do not allow a list over all namespaces; such kinds are watched workspace by workspace.
"""

import hashlib
import json
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rancher_ext.client.kubernetes import (
    CONTROL_PLANES,
    MACHINES,
    MANAGEMENT_CLUSTERS,
    MANAGEMENT_NODES,
    PROVISIONING_CLUSTERS,
    WATCH_IDLE,
    WATCH_TIMEOUT,
    KubernetesApi,
    Resource,
)
from rancher_ext.client.transport import Transport
from rancher_ext.errors import Forbidden, Gone, NotFound, NotRancher, RancherError
from rancher_ext.fleet.cluster import ClusterKey
from rancher_ext.fleet.parse import mapping, text
from rancher_ext.listeners.hint import ClusterHint

WATCHED = (MANAGEMENT_CLUSTERS, PROVISIONING_CLUSTERS, CONTROL_PLANES, MACHINES, MANAGEMENT_NODES)
DEFAULT_WORKSPACE = "fleet-default"

_FIRST_WAIT = 1.0
_LONGEST_WAIT = 60.0
# A right or a kind that is missing comes with an upgrade or an administrator, not within seconds. But an API server that has
# just started refuses everybody, or knows no custom kind, until its own caches are filled (measured with Kubernetes 1.32):
# the first refusals are asked about again soon, for about a minute.
_WAIT_FOR_RIGHTS = 600.0
_SOON = 6
# A watch that the server ends sooner than this, without an event, is as good as refused.
_SHORT_LIFE = 5.0
_CLUSTER_LABEL = "cluster.x-k8s.io/cluster-name"
# These move without anything having changed: kubelets write their heartbeats every few minutes, for ever.
_NOISE = frozenset({"resourceVersion", "managedFields", "lastHeartbeatTime"})


@dataclass(frozen=True)
class WatchState:
    """Whether one watch hears what happens. `namespace` is empty for a watch over all namespaces; `reason` says why it does not."""

    kind: str
    namespace: str
    connected: bool
    reason: str = ""


@dataclass(frozen=True)
class _Stream:
    resource: Resource
    namespace: str = ""

    @property
    def target(self) -> Resource:
        """The resource of one namespace as its URL names it, for a client that watches all namespaces or none."""
        if not self.namespace:
            return self.resource
        return replace(self.resource, plural=f"namespaces/{self.namespace}/{self.resource.plural}", namespaced=False)


@dataclass(frozen=True)
class _Seen:
    fingerprint: bytes
    cluster: str


class FleetWatch:
    """Watches one Rancher server from `start()` until `stop` is set.

    `on_hint` is called from the watching threads and must be quick (put it into a queue). `on_state` hears of every watch that
    connects or is lost, for readiness and metrics. Give it a transport of its own that tries once (`RetryPolicy(attempts=1)`): it
    waits and tries again by itself, and a retry inside a retry would hide a lost watch for minutes. A thread that waits in a read ends with the next event, bookmark or `idle`
    timeout after `stop`; all of them are daemons.
    """

    def __init__(
        self,
        transport: Transport,
        on_hint: Callable[[ClusterHint], object],
        *,
        stop: threading.Event,
        on_state: Callable[[WatchState], object] | None = None,
        idle: float = WATCH_IDLE,
        timeout: int = WATCH_TIMEOUT,
        sleep: Callable[[float], object] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        watched: Iterable[Resource] = WATCHED,
    ) -> None:
        self._rancher = transport.name
        self._api = KubernetesApi(transport)
        self._on_hint = on_hint
        self._on_state = on_state
        self._stop = stop
        self._idle = idle
        self._timeout = timeout
        self._sleep = sleep or stop.wait
        self._monotonic = monotonic
        self._watched = tuple(watched)
        self._lock = threading.Lock()
        self._states: dict[_Stream, WatchState] = {}
        self._seen: dict[_Stream, dict[tuple[str, str], _Seen]] = {}
        self._names: dict[tuple[str, str], str] = {}
        self._workspaces = {DEFAULT_WORKSPACE}
        self._by_workspace: set[Resource] = set()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        for resource in self._watched:
            self._begin(_Stream(resource))

    def join(self, timeout: float | None = None) -> bool:
        """Waits for the threads after `stop` was set; False when some are still reading."""
        end = None if timeout is None else self._monotonic() + timeout
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join(None if end is None else max(0.0, end - self._monotonic()))
        return not any(thread.is_alive() for thread in threads)

    @property
    def states(self) -> tuple[WatchState, ...]:
        with self._lock:
            return tuple(self._states.values())

    @property
    def connected(self) -> bool:
        """Do the watches on the clusters themselves hear what happens? The others only make hints come sooner."""
        needed = {_label(each) for each in (MANAGEMENT_CLUSTERS, PROVISIONING_CLUSTERS) if each in self._watched}
        states = [state for state in self.states if state.kind in needed]
        return bool(states) and all(state.connected for state in states)

    def _begin(self, stream: _Stream) -> None:
        with self._lock:
            if stream in self._states:
                return
            self._states[stream] = WatchState(
                _label(stream.resource), stream.namespace, connected=False, reason="not yet"
            )
            thread = threading.Thread(
                target=self._run, args=(stream,), name=f"watch-{stream.resource.plural}-{stream.namespace}", daemon=True
            )  # fmt: skip
            self._threads.append(thread)
        thread.start()

    def _run(self, stream: _Stream) -> None:
        try:
            self._follow(stream)
        except BaseException as error:
            # A bug, and it stays loud; but readiness must not go on saying that this watch hears anything.
            self._tell(stream, connected=False, reason=f"ended by a fault: {error!r}")
            raise

    def _follow(self, stream: _Stream) -> None:
        """List, watch, and again. Every way out of the watch but its regular end leads back to the list."""
        version, failures, refusals = "", 0, 0
        while not self._stop.is_set():
            heard = False
            began = self._monotonic()
            try:
                if not version:
                    version = self._list(stream)
                    refusals = 0
                    self._tell(stream, connected=True)
                    began = self._monotonic()
                for event in self._api.watch(stream.target, version, idle=self._idle, timeout=self._timeout):
                    heard, failures = True, 0
                    version = self._take(stream, event.type, event.object) or version
                    if self._stop.is_set():
                        return
                if heard or self._monotonic() - began >= _SHORT_LIFE:
                    failures = 0
                    continue
                failures += 1
            except Gone:
                # Normal after a while without bookmarks. A server that says so to a fresh list's version is not well.
                version = ""
                failures = 0 if heard or self._monotonic() - began >= _SHORT_LIFE else failures + 1
            except Forbidden as error:
                if self._spread(stream):
                    return
                self._tell(stream, connected=False, reason=error.message)
                version, refusals = "", refusals + 1
                self._sleep(_wait_for_rights(refusals))
                continue
            except NotFound as error:
                version, refusals = "", refusals + 1
                if stream in self._seen and refusals <= _SOON:
                    self._tell(stream, connected=False, reason=error.message)
                else:
                    # A Rancher without the kind (RKE1 only, or another major of Cluster API) has nothing to tell about it.
                    self._tell(stream, connected=True, reason="this Rancher does not know the kind")
                self._sleep(_wait_for_rights(refusals))
                continue
            except RancherError as error:
                version = ""
                failures += 1
                if self._stop.is_set():
                    return
                self._tell(stream, connected=False, reason=error.message)
            if failures:
                self._sleep(_pause(failures))

    def _spread(self, stream: _Stream) -> bool:
        """Watches the kind workspace by workspace instead; False when that is no way out."""
        if stream.namespace or stream.resource in {MANAGEMENT_CLUSTERS, MANAGEMENT_NODES}:
            return False
        with self._lock:
            # It is replaced by others, so it neither hears nor fails any more.
            del self._states[stream]
            self._by_workspace.add(stream.resource)
            workspaces = sorted(self._workspaces)
            # The right to list all may have been taken away meanwhile: what was seen with it still tells what changes.
            for place, seen in self._seen.pop(stream, {}).items():
                self._seen.setdefault(_Stream(stream.resource, place[0]), {})[place] = seen
        for workspace in workspaces:
            self._begin(_Stream(stream.resource, workspace))
        return True

    def _list(self, stream: _Stream) -> str:
        listing = self._api.list(stream.target)
        with self._lock:
            before = self._seen.get(stream)
        now: dict[tuple[str, str], _Seen] = {}
        hinted: list[str] = []
        for item in listing.items:
            place = _place(item)
            cluster = self._learn(stream, item)
            now[place] = _Seen(_fingerprint(item), cluster)
            if before is not None and before.get(place) != now[place]:
                hinted.append(cluster)
        if before is not None:
            hinted += [gone.cluster for place, gone in before.items() if place not in now]
        with self._lock:
            self._seen[stream] = now
        for cluster in dict.fromkeys(hinted):
            self._hint(stream, cluster)
        if not listing.resource_version:
            raise NotRancher(
                f"the list of {stream.target.plural} has no resourceVersion to watch from",
                cure="Check DROVER_RANCHER_URL: it must be the address of Rancher itself.",
            )
        return listing.resource_version

    def _take(self, stream: _Stream, kind: str, item: object) -> str:
        """One event: remembers the object, hints its cluster if anything but noise has changed, returns its version."""
        if not isinstance(item, Mapping):
            raise NotRancher(f"watch {stream.target.plural}: an event of type {kind} carries no object")
        version = text(mapping(item, "metadata").get("resourceVersion"))
        if kind == "BOOKMARK":
            return version
        place = _place(item)
        cluster = self._learn(stream, item)
        with self._lock:
            seen = self._seen.setdefault(stream, {})
            before = seen.get(place)
            after = None if kind == "DELETED" else _Seen(_fingerprint(item), cluster)
            if after is None:
                seen.pop(place, None)
            else:
                seen[place] = after
        if before != after:
            self._hint(stream, cluster or (before.cluster if before else ""))
        return version

    def _learn(self, stream: _Stream, item: Mapping[str, Any]) -> str:
        """The id of the management cluster that the object belongs to; empty while nobody knows.

        A machine that comes before its provisioning cluster has an id is not lost: that cluster is hinted when it gets one.
        """
        namespace, name = _place(item)
        if stream.resource == MANAGEMENT_CLUSTERS:
            workspace = text(mapping(item, "spec").get("fleetWorkspaceName"))
            if workspace and mapping(item, "spec").get("internal") is not True:
                self._know_workspace(workspace)
            return name
        if stream.resource == MANAGEMENT_NODES:
            return namespace
        with self._lock:
            if stream.resource == PROVISIONING_CLUSTERS:
                cluster = text(mapping(item, "status").get("clusterName"))
                if cluster:
                    self._names[namespace, name] = cluster
                return cluster or self._names.get((namespace, name), "")
            if stream.resource == CONTROL_PLANES:
                named = text(mapping(item, "spec").get("managementClusterName"))
                return named or self._names.get((namespace, name), "")
            owner = text(mapping(item, "metadata", "labels").get(_CLUSTER_LABEL))
            return self._names.get((namespace, owner), "")

    def _know_workspace(self, workspace: str) -> None:
        with self._lock:
            if workspace in self._workspaces:
                return
            self._workspaces.add(workspace)
            kinds = list(self._by_workspace)
        for resource in kinds:
            self._begin(_Stream(resource, workspace))

    def _hint(self, stream: _Stream, cluster: str) -> None:
        if cluster:
            self._on_hint(ClusterHint(ClusterKey(self._rancher, cluster), f"watch:{_label(stream.resource)}"))

    def _tell(self, stream: _Stream, *, connected: bool, reason: str = "") -> None:
        state = WatchState(_label(stream.resource), stream.namespace, connected, reason)
        with self._lock:
            if self._states.get(stream) == state:
                return
            self._states[stream] = state
        if self._on_state:
            self._on_state(state)


def _label(resource: Resource) -> str:
    return f"{resource.plural}.{resource.group}"


def _place(item: Mapping[str, Any]) -> tuple[str, str]:
    metadata = mapping(item, "metadata")
    return text(metadata.get("namespace")), text(metadata.get("name"))


def _pause(failures: int) -> float:
    """Doubles up to a minute; a random part keeps the watches of many services from coming back in step."""
    longest: float = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** min(failures - 1, 10))
    return longest * random.uniform(0.5, 1.0)


def _wait_for_rights(refusals: int) -> float:
    return _pause(refusals) if refusals <= _SOON else _WAIT_FOR_RIGHTS


def _fingerprint(item: Mapping[str, Any]) -> bytes:
    """A short form of everything that matters in the object."""
    return hashlib.blake2b(json.dumps(_quiet(item), sort_keys=True).encode(), digest_size=16).digest()


def _quiet(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _quiet(item) for key, item in value.items() if key not in _NOISE}
    if isinstance(value, list):
        return [_quiet(item) for item in value]
    return value
