"""Which workers live, and does exactly one take over from a dead one? On both databases."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from bot.adapters.incident_store import IncidentStore
from bot.adapters.worker_store import WorkerStore
from rancher_ext.fleet.cluster import ClusterKey
from tests.builders import NOON, minutes

KEY = ClusterKey("default", "c-1")
LIMIT = minutes(5)


@pytest.fixture
def workers(database):
    return WorkerStore(database)


def test_each_start_is_a_new_life_and_the_old_one_beats_no_more(workers):
    assert workers.begin("a", NOON) == 1
    assert workers.begin("a", NOON + minutes(1)) == 2
    assert not workers.beat("a", 1, NOON + minutes(2))
    assert workers.beat("a", 2, NOON + minutes(2))


def test_who_beats_is_not_silent(workers):
    workers.begin("a", NOON)
    workers.begin("b", NOON)
    workers.beat("b", 1, NOON + minutes(4))
    assert workers.silent("c", NOON + minutes(6), LIMIT) == ["a"]
    assert workers.silent("a", NOON + minutes(6), LIMIT) == []
    assert workers.take_over("b", "c", NOON + minutes(6), LIMIT) == []


def test_of_many_survivors_one_takes_over(workers):
    workers.begin("dead", NOON)
    start = threading.Barrier(6)

    def take(number):
        start.wait()
        return workers.take_over("dead", f"worker-{number}", NOON + minutes(6), LIMIT)

    with ThreadPoolExecutor(6) as pool:
        got = [names for names in pool.map(take, range(6)) if names]
    assert got == [["dead"]]
    assert workers.silent("other", NOON + minutes(60), LIMIT) == []


def test_what_the_dead_one_held_is_fenced_and_free(workers, database):
    book = IncidentStore(database)
    workers.begin("dead", NOON)
    assert book.lease(KEY, "dead#incident:1", NOON, minutes(15)) == 1
    assert book.lease(ClusterKey("default", "c-2"), "deadline#incident:2", NOON, minutes(15)) == 1
    workers.take_over("dead", "b", NOON + minutes(6), LIMIT)
    assert not book.renew(KEY, 1, NOON + minutes(6), minutes(15))
    assert book.lease_holder(KEY) == "dead#incident:1"
    assert book.lease(KEY, "b#incident:1", NOON + minutes(6), minutes(15)) == 3
    # Another worker whose name only begins alike keeps what it has.
    assert book.renew(ClusterKey("default", "c-2"), 1, NOON + minutes(6), minutes(15))


def test_one_that_wakes_up_finds_itself_declared_dead_until_it_starts_again(workers):
    life = workers.begin("a", NOON)
    workers.take_over("a", "b", NOON + minutes(6), LIMIT)
    assert not workers.beat("a", life, NOON + minutes(7))
    assert workers.taken_by("b") == ["a"]
    assert workers.beat("a", workers.begin("a", NOON + minutes(8)), NOON + minutes(8))
    assert workers.taken_by("b") == []


def test_who_took_over_and_died_of_it_is_taken_over_with_all_it_had(workers):
    workers.begin("a", NOON)
    workers.begin("b", NOON)
    workers.beat("b", 1, NOON + minutes(6))
    assert workers.take_over("a", "b", NOON + minutes(6), LIMIT) == ["a"]
    assert workers.take_over("b", "c", NOON + minutes(12), LIMIT) == ["a", "b"]


def test_a_start_fences_the_earlier_process_of_the_same_name(workers, database):
    book = IncidentStore(database)
    workers.begin("a", NOON)
    book.lease(KEY, "a#incident:1", NOON, minutes(15))
    workers.begin("a", NOON + minutes(1))
    assert not book.renew(KEY, 1, NOON + minutes(1), minutes(15))
    assert book.lease(KEY, "b#incident:1", NOON + minutes(1), minutes(15)) == 3


def test_a_lease_that_ends_on_a_leap_day_can_be_fenced(workers, database):
    """Its end was once moved to the same day of another year."""
    leap = NOON.replace(year=2028, month=2, day=29)
    IncidentStore(database).lease(KEY, "a#incident:1", leap, minutes(15))
    assert workers.begin("a", leap) == 1
