"""What follows from a look: an incident, a word to one, a second look, or nothing. And what a failure leaves as it was."""

import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from bot.adapters.in_memory import InMemoryFleet, InMemoryIncidents, StandingClock
from bot.errors import StoreError
from bot.incidents.incident import State
from bot.workflows.watchman import Watchman
from rancher_ext.detection import Healthy, Stuck
from rancher_ext.errors import NotFound, RancherUnreachable
from rancher_ext.fleet.cluster import ClusterKey
from rancher_ext.listeners.hint import ClusterHint
from rancher_ext.listeners.queue import HintQueue
from tests.builders import NOON, a_cluster, a_dead_cni, hours, minutes, seconds, some_limits

KEY = ClusterKey("default", "c-m-8jq5fz7k")
AWAY = RancherUnreachable("no answer from rancher.example", cure="Look at the network.")


class Mailbox:
    """An engine's side that the watchman uses."""

    def __init__(self):
        self.started, self.sent = [], []
        self._known = set()

    def start(self, name, workflow, subject):
        if workflow not in self.started:
            self.started.append(workflow)

    def revive(self, workflow):
        assert workflow in self.started

    def send(self, workflow, topic, message, *, once):
        if once not in self._known:
            self._known.add(once)
            self.sent.append((workflow, message["kind"]))
        return True


class Rancher:
    """A server whose clusters a test sets."""

    def __init__(self, name="default"):
        self.name, self.clusters, self.fails = name, [], None
        self.transport = SimpleNamespace(counters=SimpleNamespace(requests=0))
        self.reader = self

    def fleet(self, closer):
        if self.fails:
            raise self.fails
        self.transport.counters.requests += 5
        return list(self.clusters)

    def cluster(self, identifier):
        if self.fails:
            raise self.fails
        for snapshot in self.clusters:
            if snapshot.identity.id == identifier:
                return snapshot
        raise NotFound("there is none", status=404)


class Watch:
    def __init__(self, *names):
        self.clock = StandingClock(NOON)
        self.servers = {name: Rancher(name) for name in names or ("default",)}
        self.book, self.fleet, self.box = InMemoryIncidents(), InMemoryFleet(), Mailbox()
        self.queue = HintQueue(self.clock.now, real_seconds=lambda span: 0.0)
        parts = SimpleNamespace(
            ranchers=self.servers, store=self.book, fleet=self.fleet, limits=some_limits(), clock=self.clock
        )
        self.watchman = Watchman(parts, self.box, self.queue, lambda: 0.0)
        self.parts = parts

    @property
    def rancher(self):
        return self.servers["default"]

    def sweep(self, *clusters, after=None, name="default"):
        if after is not None:
            self.clock.advance(after)
        self.servers[name].clusters = [replace(each, taken_at=self.clock.now()) for each in clusters]
        return self.watchman.sweep(self.servers[name])

    def hint(self, *clusters):
        self.rancher.clusters = [replace(each, taken_at=self.clock.now()) for each in clusters]
        return self.watchman.look(ClusterHint(KEY, "watch"))


@pytest.fixture
def watch():
    return Watch()


def the_cluster(**rest):
    return a_cluster(**rest)


class TestStuck:
    def test_a_stuck_cluster_gets_one_incident_and_one_workflow_however_often_it_is_seen(self, watch):
        for _ in range(3):
            watch.sweep(a_dead_cni())
            watch.hint(a_dead_cni())
        (incident,) = watch.book.all()
        assert watch.box.started == [incident.id]
        assert incident.source == "sweep"
        assert [entry.text for entry in watch.book.timeline(incident.id)] == [f"Stuck: {incident.reason}"]

    def test_a_hint_alone_is_enough(self, watch):
        look = watch.hint(a_dead_cni())
        assert isinstance(look.verdict, Stuck)
        assert watch.book.all()[0].source == "watch"

    def test_a_row_whose_workflow_was_never_started_gets_it_at_the_next_look(self, watch):
        watch.sweep(a_dead_cni())
        watch.box.started.clear()
        watch.sweep(a_dead_cni())
        assert len(watch.box.started) == 1

    def test_after_a_start_every_open_incident_has_its_workflow(self, watch):
        watch.sweep(a_dead_cni(), a_dead_cni(id="c-2", uid="two", name="edge-8"))
        done = watch.book.all()[0]
        for state in (State.DIAGNOSING, State.SUPERSEDED):
            watch.book.update(done.id, NOON, state=state)
        watch.box.started.clear()
        watch.watchman.take_up()
        assert len(watch.box.started) == 1

    def test_an_unknown_cluster_of_an_unknown_server_is_nobodys_business(self, watch):
        assert watch.watchman.look(ClusterHint(ClusterKey("mars", "c-1"), "watch")) is None


class TestProgressing:
    def test_a_young_cluster_is_looked_at_again_when_its_time_is_up(self, watch):
        watch.sweep(a_dead_cni(stuck_for=minutes(4)))
        assert watch.book.all() == []
        assert watch.queue.get(timeout=0) is None
        watch.clock.advance(minutes(6))
        hint = watch.queue.get(timeout=0)
        assert (hint.key, hint.source) == (KEY, "recheck")

    def test_then_it_may_be_stuck(self, watch):
        watch.sweep(a_dead_cni(stuck_for=minutes(4)))
        watch.clock.advance(minutes(7))
        look = watch.hint(a_dead_cni(stuck_for=minutes(4)))
        assert isinstance(look.verdict, Stuck)


class TestHealed:
    def test_a_cluster_that_never_was_ill_says_nothing(self, watch):
        watch.sweep(the_cluster())
        assert watch.box.sent == []

    def test_health_that_has_not_lasted_is_looked_at_again_and_not_told(self, watch):
        watch.sweep(a_dead_cni())
        look = watch.sweep(the_cluster(), after=minutes(1)).looks[0]
        assert isinstance(look.verdict, Healthy)
        assert watch.box.sent == []
        watch.clock.advance(minutes(5))
        assert watch.queue.get(timeout=0).source == "recheck"

    def test_health_that_lasted_is_told_once_an_hour(self, watch):
        watch.sweep(a_dead_cni())
        watch.sweep(the_cluster(), after=minutes(1))
        for _ in range(3):
            watch.sweep(the_cluster(), after=minutes(6))
        (incident,) = watch.book.all()
        assert watch.box.sent == [(incident.id, "healed")]
        watch.sweep(the_cluster(), after=hours(1))
        assert watch.box.sent == [(incident.id, "healed")] * 2

    def test_a_spell_between_two_crashes_is_no_health(self, watch):
        watch.sweep(a_dead_cni())
        for _ in range(5):
            watch.sweep(the_cluster(), after=minutes(2))
            watch.sweep(a_dead_cni(), after=minutes(2))
        assert watch.box.sent == []
        assert len(watch.book.all()) == 1

    def test_without_an_incident_nobody_is_told(self, watch):
        watch.sweep(a_dead_cni(stuck_for=minutes(2)))
        watch.sweep(the_cluster(), after=minutes(1))
        watch.sweep(the_cluster(), after=minutes(9))
        assert watch.box.sent == []


class TestGone:
    def test_a_cluster_that_a_whole_sweep_no_longer_sees_is_gone(self, watch):
        watch.sweep(a_dead_cni(), the_cluster(id="c-2", uid="two", name="other"))
        watch.sweep(the_cluster(id="c-2", uid="two", name="other"))
        assert [kind for _, kind in watch.box.sent] == ["gone"]
        assert [seen.name for seen in watch.fleet.seen()] == ["other"]
        assert watch.fleet.memory("default").keys() == {"c-2"}

    def test_a_hint_finds_it_gone_too(self, watch):
        watch.sweep(a_dead_cni())
        assert watch.hint() is None
        assert [kind for _, kind in watch.box.sent] == ["gone"]

    def test_it_is_said_again_later_if_it_was_not_believed(self, watch):
        watch.sweep(a_dead_cni())
        watch.sweep()
        watch.sweep()
        watch.sweep(after=hours(1))
        assert [kind for _, kind in watch.box.sent] == ["gone", "gone"]

    def test_made_anew_under_the_same_id_the_first_is_gone_and_the_second_begins_afresh(self, watch):
        watch.sweep(a_dead_cni())
        (first,) = watch.book.all()
        watch.sweep(a_dead_cni(uid="another", stuck_for=minutes(1)), after=minutes(1))
        assert watch.box.sent == [(first.id, "gone")]
        assert len(watch.book.all()) == 1
        watch.sweep(a_dead_cni(uid="another"), after=minutes(20))
        second = watch.book.open_of(KEY)
        assert second.cluster_uid == "another"
        assert {incident for incident, _ in watch.box.sent} == {first.id}


class TestRelapse:
    def resolved(self, watch):
        watch.sweep(a_dead_cni())
        (incident,) = watch.book.all()
        for state in (State.DIAGNOSING, State.REPORTED, State.REMEDIATING, State.VERIFYING, State.RESOLVED):
            watch.book.update(incident.id, watch.clock.now(), state=state)
        for _ in range(3):
            watch.sweep(the_cluster(), after=minutes(6))
        return incident

    @pytest.mark.parametrize(("later", "story"), [(hours(2), 1), (hours(23), 1), (hours(25), 2)])
    def test_within_a_day_the_story_goes_on(self, watch, later, story):
        first = self.resolved(watch)
        watch.sweep(a_dead_cni(at=NOON + later), after=later)
        watch.sweep(a_dead_cni(at=NOON + later), after=minutes(11))
        second = watch.book.all()[0]
        assert second.id != first.id
        assert (second.episode, second.story) == (2, story)
        assert watch.box.started == [first.id, second.id]


class TestFailures:
    def test_a_fleet_that_cannot_be_listed_leaves_everything_as_it_was(self, watch):
        watch.sweep(a_dead_cni(), the_cluster(id="c-2", uid="two", name="other"))
        memory, seen = watch.fleet.memory("default"), watch.fleet.seen()
        watch.rancher.fails = AWAY
        with pytest.raises(RancherUnreachable):
            watch.watchman.sweep(watch.rancher)
        assert watch.fleet.memory("default") == memory
        assert watch.fleet.seen() == seen
        assert watch.box.sent == []
        assert len(watch.book.all(only_open=True)) == 1

    def test_the_sweeps_go_on_and_say_what_was_wrong(self, watch):
        stop = threading.Event()
        tries = []

        def fleet(_):
            tries.append(len(tries))
            if len(tries) == 1:
                raise AWAY
            if len(tries) == 2:
                raise StoreError("the database is locked", cure="wait")
            stop.set()
            return []

        watch.rancher.fleet = fleet
        with capture_logs() as logs:
            watch.watchman.run_sweeps(minutes(5), stop)
        assert [entry["event"] for entry in logs] == ["sweep_failed", "sweep_failed", "sweep_done"]
        assert logs[0]["error"] == "no answer from rancher.example"
        assert watch.watchman.coverage["default"].error == ""

    def test_coverage_tells_the_last_good_sweep_and_the_error_since(self, watch):
        watch.sweep(the_cluster())
        stop = threading.Event()
        watch.rancher.fails = AWAY
        watch.rancher.fleet = lambda _: stop.set() or (_ for _ in ()).throw(AWAY)
        watch.watchman.run_sweeps(minutes(5), stop)
        coverage = watch.watchman.coverage["default"]
        assert (coverage.clusters, coverage.at, coverage.error) == (1, NOON, AWAY.message)

    def test_one_cluster_that_cannot_be_noted_does_not_hide_the_others(self, watch, monkeypatch):
        opening = watch.book.open

        def open_but_one(snapshot, *rest):
            if snapshot.identity.id == "c-1":
                raise StoreError("value too long", cure="")
            return opening(snapshot, *rest)

        monkeypatch.setattr(watch.book, "open", open_but_one)
        watch.sweep(a_dead_cni(id="c-1", uid="one"), a_dead_cni(id="c-2", uid="two"))
        assert [row.cluster.id for row in watch.book.all()] == ["c-2"]

    @pytest.mark.parametrize("failure", [AWAY, StoreError("the database is locked", cure="wait")])
    def test_a_hint_that_could_not_be_followed_comes_back_and_the_looker_lives(self, watch, failure):
        stop = threading.Event()
        tries = []

        def cluster(_):
            tries.append(1)
            if len(tries) == 1:
                watch.clock.advance(seconds(31))
                raise failure
            stop.set()
            return a_dead_cni(at=watch.clock.now())

        watch.rancher.cluster = cluster
        watch.queue.put(ClusterHint(KEY, "watch"))
        looker = threading.Thread(target=watch.watchman.run, args=(stop,))
        looker.start()
        for _ in range(200):
            looker.join(0.05)
            watch.clock.advance(seconds(31))
            if not looker.is_alive():
                break
        assert len(tries) == 2
        assert len(watch.book.all()) == 1


class TestTwoServers:
    def test_clusters_of_one_id_under_two_servers_are_two(self):
        watch = Watch("eu", "us")
        watch.sweep(a_dead_cni(rancher="eu"), name="eu")
        watch.sweep(a_dead_cni(rancher="us"), name="us")
        assert {row.id.split(":")[1] for row in watch.book.all()} == {"eu", "us"}

    def test_a_sweep_of_one_says_nothing_of_the_other(self):
        watch = Watch("eu", "us")
        watch.sweep(a_dead_cni(rancher="eu"), name="eu")
        watch.sweep(a_dead_cni(rancher="us"), name="us")
        watch.sweep(name="us")
        assert [incident.split(":")[1] for incident, _ in watch.box.sent] == ["us"]
        assert [seen.key.rancher for seen in watch.fleet.seen()] == ["eu"]

    def test_one_that_is_away_does_not_keep_the_other_from_being_swept(self):
        watch = Watch("eu", "us")
        stop = threading.Event()
        watch.servers["eu"].fails = AWAY
        watch.servers["us"].fleet = lambda _: stop.set() or [a_dead_cni(rancher="us")]
        watch.watchman.run_sweeps(minutes(5), stop)
        assert [row.cluster.rancher for row in watch.book.all()] == ["us"]
        assert watch.watchman.coverage["eu"].error
        assert watch.watchman.coverage["us"].clusters == 1
