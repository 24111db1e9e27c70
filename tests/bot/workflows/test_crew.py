"""One of several workers sweeps, and a dead one's work is taken up, by one survivor, after its time."""

import pytest

from bot.adapters.database import Database
from bot.adapters.incident_store import IncidentStore
from bot.adapters.worker_store import WorkerStore
from bot.errors import StoreError
from bot.workflows.crew import BEAT_EVERY, DEAD_AFTER, LEADS_FOR, Crew, beats
from tests.builders import NOON


class Ship:
    """Several workers on one database, and a clock that the test moves."""

    def __init__(self, database):
        self.database, self.now, self.recovered = database, NOON, []

    def worker(self, name):
        def recover(names):
            self.recovered.append((name, list(names)))
            return len(names)

        store = IncidentStore(self.database)
        crew = Crew(name, WorkerStore(self.database), store, recover, lambda: self.now)
        crew.begin()
        crew.finish_take_overs()
        return crew

    def sail(self, duration, *crews):
        end = self.now + duration
        while self.now < end:
            self.now += BEAT_EVERY
            for crew in crews:
                crew.beat()


@pytest.fixture
def ship(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/drover.sqlite")
    database.create()
    yield Ship(database)
    database.close()


def test_one_leads_and_another_follows_when_it_stops(ship):
    a, b = ship.worker("a"), ship.worker("b")
    ship.sail(BEAT_EVERY * 3, a, b)
    assert (a.leads, b.leads) == (True, False)
    a.stop()
    b.beat()
    assert (a.leads, b.leads) == (False, True)


def test_one_that_was_killed_leads_no_longer_than_its_time(ship):
    a, b = ship.worker("a"), ship.worker("b")
    ship.sail(BEAT_EVERY, a, b)
    ship.sail(LEADS_FOR, b)
    assert b.leads
    a.beat()
    assert not a.leads


def test_a_short_absence_is_nothing(ship):
    a, b = ship.worker("a"), ship.worker("b")
    ship.sail(DEAD_AFTER * 2, a, b)
    ship.sail(DEAD_AFTER - BEAT_EVERY, b)
    assert ship.recovered == []
    assert a.beat()


def test_a_long_one_is_taken_over_once(ship):
    a, b, c = (ship.worker(name) for name in "abc")
    ship.sail(BEAT_EVERY, a, b, c)
    ship.sail(DEAD_AFTER * 3, b, c)
    assert ship.recovered == [("b", ["a"])]
    assert not a.beat()
    assert a.dead


def test_after_the_database_was_away_for_all_nobody_is_declared_dead_at_once(ship):
    a, b = ship.worker("a"), ship.worker("b")
    ship.sail(DEAD_AFTER * 2, a, b)
    ship.now += DEAD_AFTER * 10
    assert a.beat()
    assert ship.recovered == []
    ship.sail(DEAD_AFTER, a, b)
    assert ship.recovered == []
    assert not b.dead


def test_a_new_worker_does_not_judge_before_it_has_seen_enough(ship):
    ship.worker("a")
    ship.now += DEAD_AFTER * 10
    b = ship.worker("b")
    b.beat()
    assert ship.recovered == []
    ship.sail(DEAD_AFTER, b)
    assert ship.recovered == [("b", ["a"])]


def test_a_take_over_that_was_cut_short_is_finished_at_the_next_start(ship):
    ship.worker("a")
    ship.worker("b")
    ship.now += DEAD_AFTER * 2
    WorkerStore(ship.database).take_over("a", "b", ship.now, DEAD_AFTER)
    ship.worker("b")
    assert ship.recovered == [("b", ["a"])]


def test_a_database_that_is_away_is_no_death(ship, monkeypatch):
    a = ship.worker("a")

    def away(*_):
        raise StoreError("away", cure="wait")

    monkeypatch.setattr(a, "_workers", type("Away", (), {"beat": away})())
    assert beats(a)
    assert not a.dead
