"""Does Drover hear of every change, when real servers forget, go away, or have nothing to say?

`FleetWatch` runs through the proxy with the documented rights. A cluster walks from fresh to stuck and every step is hinted and
judged as a sweep judges it. History is compacted in etcd while no watch stands, the API server is taken away, quiet kinds live
on bookmarks: nothing that happened meanwhile may be lost.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rancher_ext.client.snapshot import FleetReader
from rancher_ext.client.transport import RetryPolicy, TokenSource, Transport
from rancher_ext.detection import Limits, Progress, Progressing, Stuck, assess, deserves_closer_look
from rancher_ext.detection.verdict import Verdict, word
from rancher_ext.fleet.snapshot import ClusterSnapshot
from rancher_ext.listeners.hint import ClusterHint
from rancher_ext.listeners.watch import FleetWatch
from rancher_ext.simulator.clock import SimClock
from rancher_ext.simulator.fleet import ADMIN_TOKEN, Fleet
from rancher_ext.simulator.running import RunningRancher
from tests.e2e.cluster import MASTERS, ApiServer, User, running_cluster
from tests.e2e.filling import Mirror, fill, install_kinds
from tests.e2e.proxy import Rancher, RunningProxy
from tests.e2e.rights import Where, grant
from tests.e2e.world import DROVER, DROVER_TOKEN

pytestmark = pytest.mark.timeout(600)

LIMITS = Limits()
WITHIN = 120.0
MINUTE = 60.0
WATCHED = {"clusters", "rkecontrolplanes", "machines", "nodes"}
CONTROL_PLANES = "/apis/rke.cattle.io/v1/namespaces/fleet-default/rkecontrolplanes"


@dataclass
class Setting:
    """One real `local` cluster that holds a simulated fleet, whose clock the test moves."""

    server: ApiServer
    proxy: RunningProxy
    fleet: Fleet
    mirror: Mirror
    clock: list[float]

    @property
    def clusters(self) -> list[str]:
        return sorted(set(self.fleet.clusters) - {"local"})

    def add(self, scenario: str, **params: float) -> str:
        """One more cluster, on the real server too."""
        added = self.fleet.add(scenario, **params)
        self.mirror.refresh()
        return added.id

    def advance(self, seconds: float) -> list[str]:
        """Time passes. Returns the kinds of what has changed with it."""
        self.clock[0] += seconds
        self.fleet.tick()
        return self.mirror.refresh()

    def transport(self) -> Transport:
        return Transport(self.proxy.url, TokenSource(DROVER_TOKEN), retry=RetryPolicy(attempts=1))

    def touch(self, cluster: str, text: str) -> None:
        """Another annotation on the control plane of this cluster."""
        patch = {"metadata": {"annotations": {"drover.test/touched": text}}}
        path = f"{CONTROL_PLANES}/{self.fleet.clusters[cluster].name}"
        answer = self.server.call("PATCH", path, patch, content_type="application/merge-patch+json")
        assert answer.ok, answer.text

    def noise(self) -> None:
        """Something that no watch of ours hears, so that the version moves on without them."""
        name = f"noise-{time.monotonic_ns()}"
        body = {"metadata": {"name": name}}
        assert self.server.call("POST", "/api/v1/namespaces/default/configmaps", body).ok


@dataclass
class Ears:
    """A running watch, and what it has hinted."""

    watch: FleetWatch
    hints: "queue.Queue[str]" = field(default_factory=queue.Queue)

    def hears(self, cluster: str) -> None:
        """A hint of this cluster arrives; hints of others may come before it."""
        deadline = time.monotonic() + WITHIN
        while True:
            left = deadline - time.monotonic()
            assert left > 0, f"no hint of {cluster}; {self.watch.states}"
            try:
                if self.hints.get(timeout=left) == cluster:
                    return
            except queue.Empty:
                continue

    def forget(self) -> None:
        while not self.hints.empty():
            self.hints.get()


@contextmanager
def setting(folder: Path, *, tells_progress: bool, watch_cache: bool) -> Iterator[Setting]:
    """Two clusters that nobody reaches: all that is known of them stands in `local`."""
    clock = [float(int(time.time()))]
    fleet = Fleet(SimClock(1.0, clock[0], real=lambda: clock[0]))
    fleet.add_token(DROVER_TOKEN, user=DROVER.name)
    for scenario in ("rke2-canal-never-connected", "rke2-machine-createerror"):
        fleet.add(scenario)
    fleet.tick()
    with (
        running_cluster(folder, tells_progress=tells_progress, watch_cache=watch_cache) as server,
        RunningRancher(fleet, tick_every=3600.0) as norman,
        RunningProxy(
            Rancher(server, {ADMIN_TOKEN: User("user-admin", (MASTERS,)), DROVER_TOKEN: DROVER}, norman=norman.url)
        ) as proxy,
    ):
        install_kinds(server, fleet.local.resources.values())
        fill(server, fleet.local)
        for where in (Where.RANCHER, Where.WORKSPACES):
            grant(server, DROVER, where)
        yield Setting(server, proxy, fleet, Mirror(server, fleet.local), clock)


@pytest.fixture(scope="module")
def there(servers_built: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    """An API server and etcd as Rancher's distributions run them."""
    with setting(tmp_path_factory.mktemp("there"), tells_progress=True, watch_cache=True) as running:
        yield running


@pytest.fixture(scope="module")
def forgetful(servers_built: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    """Watches are served from etcd itself and end with its history, and no bookmark moves them on."""
    with setting(tmp_path_factory.mktemp("forgetful"), tells_progress=False, watch_cache=False) as running:
        yield running


@contextmanager
def listening(there: Setting, *, timeout: int) -> Iterator[Ears]:
    """A watch of which every part is connected. The server ends each of its watches after `timeout` seconds."""
    stop = threading.Event()
    hints: queue.Queue[str] = queue.Queue()

    def hinted(hint: ClusterHint) -> None:
        hints.put(hint.key.id)

    watch = FleetWatch(there.transport(), hinted, stop=stop, idle=WITHIN, timeout=timeout)
    begun = len(there.proxy.seen)
    watch.start()
    try:
        until(lambda: watch.states and all(state.connected for state in watch.states))
        until(lambda: len({each.path for each in there.proxy.seen[begun:] if each.watches and each.status == 200}) == 5)
        yield Ears(watch, hints)
    finally:
        stop.set()
        there.proxy.open.set()
        there.proxy.hang_up()
        assert watch.join(WITHIN)


def until(seen: Callable[[], object]) -> None:
    deadline = time.monotonic() + WITHIN
    while not seen():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_cluster_that_becomes_stuck_is_hinted_at_every_step_and_judged_as_by_a_sweep(there: Setting) -> None:
    """From its first minute on. When nothing happens any more, the last verdict has said when to look again."""
    with listening(there, timeout=60) as ears:
        identifier = there.add("rke2-canal-never-connected", age=0)
        ears.hears(identifier)
        reader = FleetReader(there.transport(), there.fleet.clock.now)
        memory: Progress | None = None
        verdict: Verdict | None = None
        step, hinted = MINUTE / 4, 0
        for _ in range(60):
            ears.forget()
            if set(there.advance(step)) & WATCHED:
                ears.hears(identifier)
                hinted += 1
            looked = reader.cluster(identifier)
            (swept,) = [each for each in reader.fleet(closer) if each.key.id == identifier]
            assert looked == swept
            memory, verdict = assess(looked, memory, LIMITS)
            if isinstance(verdict, Stuck):
                break
            if isinstance(verdict, Progressing) and there.fleet.clusters[identifier].truth.verdict == "stuck":
                # Nothing will happen any more: the service looks again when this verdict says so.
                step = max(1.0, verdict.recheck_at.timestamp() - there.clock[0])

        assert isinstance(verdict, Stuck), verdict
        assert hinted >= 3
        assert word(verdict) == there.fleet.clusters[identifier].truth.verdict


def test_a_change_that_history_forgot_is_hinted_after_the_resync(forgetful: Setting) -> None:
    """Watches are served from etcd itself and end with its history: 410 Gone within the watch, and the list tells what differs."""
    identifier, other = forgetful.clusters
    with listening(forgetful, timeout=1) as ears:
        proxy = forgetful.proxy
        proxy.open.clear()
        begun = len(proxy.seen)
        until(lambda: {each.path.rsplit("/", 1)[1] for each in proxy.seen[begun:]} >= WATCHED)
        ears.forget()
        forgetful.touch(identifier, "while nobody listens")
        forgetful.noise()
        forgetful.server.etcd.compact()

        proxy.open.set()
        ears.hears(identifier)

        assert any(each.gone for each in proxy.watches("rkecontrolplanes")), "the server forgot nothing"
        assert ears.watch.connected
        # And the watch after the resync stands: what happens now is heard, too.
        forgetful.touch(other, "afterwards")
        ears.hears(other)


def test_a_compaction_under_a_standing_watch_costs_nothing(forgetful: Setting) -> None:
    identifier, _ = forgetful.clusters
    with listening(forgetful, timeout=60) as ears:
        begun = len(forgetful.proxy.seen)
        for number in range(5):
            forgetful.noise()
            forgetful.server.etcd.compact()
            ears.forget()
            forgetful.touch(identifier, str(number))
            ears.hears(identifier)

        assert forgetful.proxy.seen[begun:] == []


def test_a_quiet_kind_lives_on_bookmarks(there: Setting) -> None:
    """Much happens elsewhere and is compacted away. The bookmark has moved on, so the next watch begins there without a list."""
    proxy = there.proxy
    with listening(there, timeout=4) as ears:
        begun = len(proxy.seen)
        first = int(proxy.watches("rkecontrolplanes")[-1].query["resourceVersion"])
        for _ in range(20):
            there.noise()
        moved = there.server.etcd.revision()
        until(lambda: int(proxy.watches("rkecontrolplanes")[-1].query["resourceVersion"]) >= moved)
        there.server.etcd.compact()
        watches = len(proxy.watches("rkecontrolplanes"))
        until(lambda: len(proxy.watches("rkecontrolplanes")) > watches)
        ears.forget()
        there.touch(there.clusters[0], "in the end")
        ears.hears(there.clusters[0])

        assert first < moved
        assert not any(each.gone for each in proxy.seen[begun:])
        assert [each.path for each in proxy.seen[begun:] if not each.watches] == [], "a quiet kind was listed again"


def test_what_happened_while_the_api_server_was_away_is_hinted(there: Setting) -> None:
    """It comes back with empty caches, and for a moment refuses what it will allow (403) and knows no custom kind (404)."""
    identifier = there.clusters[0]
    name = there.fleet.clusters[identifier].name
    key = f"{there.server.prefix}/rke.cattle.io/rkecontrolplanes/fleet-default/{name}"
    with listening(there, timeout=60) as ears:
        with there.server.outage():
            until(lambda: not ears.watch.connected)
            ears.forget()
            stored = there.server.etcd.read(key)
            stored["metadata"].setdefault("annotations", {})["drover.test/touched"] = "in the dark"
            there.server.etcd.write(key, stored)
            there.server.etcd.compact()

        ears.hears(identifier)
        until(lambda: ears.watch.connected)


def closer(snapshot: ClusterSnapshot) -> bool:
    return deserves_closer_look(snapshot, LIMITS.scope)
