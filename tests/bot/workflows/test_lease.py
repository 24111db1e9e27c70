"""Who may write: one worker, as long as its number is the newest."""

import pytest

from bot.adapters.in_memory import InMemoryIncidents, StandingClock
from bot.workflows.lease import LEASE, LeaseHeld, LeaseLost, Leases
from tests.bot.reports.stories import an_incident
from tests.builders import NOON, minutes


@pytest.fixture
def clock():
    return StandingClock(NOON)


@pytest.fixture
def book():
    return InMemoryIncidents()


@pytest.fixture
def row():
    return an_incident()


def test_a_worker_that_wakes_up_after_a_take_over_is_told_so_before_its_next_write(book, clock, row):
    first, second = Leases(book, "a", clock), Leases(book, "b", clock)
    first.take(row)
    clock.advance(LEASE)
    second.keep(row)
    with pytest.raises(LeaseLost, match="went to another one") as caught:
        first.keep(row)
    assert caught.value.lasting


def test_work_that_goes_on_keeps_its_number_and_its_time(book, clock, row):
    leases, other = Leases(book, "a", clock), Leases(book, "b", clock)
    number = leases.take(row)
    for _ in range(5):
        clock.advance(minutes(10))
        assert leases.keep(row) == number
        with pytest.raises(LeaseHeld):
            other.take(row)


def test_a_worker_that_starts_again_goes_on_at_once_under_a_higher_number(book, clock, row):
    old = Leases(book, "a", clock)
    before = old.take(row)
    new = Leases(book, "a", clock)
    assert new.keep(row) == before + 1
    with pytest.raises(LeaseLost):
        old.keep(row)


def test_after_a_restart_it_does_not_go_on_when_another_incident_had_the_cluster_between(book, clock, row):
    Leases(book, "a", clock).take(row)
    clock.advance(LEASE)
    assert book.lease(row.cluster, "b#incident:of-somebody:else:1", clock.now(), LEASE)
    book.release(row.cluster, "b#incident:of-somebody:else:1", clock.now())
    with pytest.raises(LeaseLost):
        Leases(book, "a", clock).keep(row)


def test_an_undo_may_begin_afresh_when_the_other_one_is_done(book, clock, row):
    leases = Leases(book, "a", clock)
    leases.take(row)
    clock.advance(LEASE)
    book.lease(row.cluster, "b#other", clock.now(), LEASE)
    with pytest.raises(LeaseLost):
        leases.keep(row)
    with pytest.raises(LeaseHeld):
        leases.take(row)
    clock.advance(LEASE)
    assert leases.keep(row) if leases.take(row) else False


def test_a_lease_that_is_given_back_is_free_at_once(book, clock, row):
    leases = Leases(book, "a", clock)
    leases.take(row)
    leases.release(row)
    assert Leases(book, "b", clock).take(row) == 2


def test_only_one_worker_begins_at_a_time(book, clock):
    a, b = Leases(book, "a", clock), Leases(book, "b", clock)
    with a.beginning(), pytest.raises(LeaseHeld), b.beginning():
        raise AssertionError
    with b.beginning():
        pass
