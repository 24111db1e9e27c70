"""Is the budget of GitHub writes one for all processes, and does a restart know it? On both databases."""

from bot.adapters.pace_store import PaceStore
from bot.adapters.write_pace import Priority, WritePace
from tests.bot.adapters.test_write_pace import FakeTime


def a_pace(database, time, per_minute=4, per_hour=500):
    return WritePace(per_minute, per_hour, time.now, time.sleep, writes=PaceStore(database))


def test_processes_share_one_budget(database):
    time = FakeTime()
    first, second = a_pace(database, time), a_pace(database, time)
    for pace in (first, second, first, second):
        pace.acquire(Priority.CRITICAL)
    assert time.slept == []
    assert first.available(Priority.CRITICAL) == second.available(Priority.CRITICAL) == 0
    second.acquire(Priority.CRITICAL)
    assert sum(time.slept) == 60.0


def test_a_restart_forgets_nothing(database):
    time = FakeTime()
    for _ in range(3):
        a_pace(database, time).acquire(Priority.CRITICAL)
    assert a_pace(database, time).available(Priority.CRITICAL) == 1


def test_silence_that_github_asked_of_one_is_kept_by_all(database):
    time = FakeTime()
    first, second = a_pace(database, time), a_pace(database, time)
    first.hold(90)
    first.hold(30)
    second.acquire(Priority.CRITICAL)
    assert sum(time.slept) == 90.0


def test_times_of_a_clock_that_was_wrong_do_not_close_the_shop(database):
    time = FakeTime()
    pace = a_pace(database, time)
    time.seconds += 86_400
    for _ in range(4):
        pace.acquire(Priority.CRITICAL)
    time.seconds -= 86_400
    assert pace.available(Priority.CRITICAL) == 4


def test_old_times_are_not_kept(database):
    time = FakeTime()
    pace = a_pace(database, time)
    pace.acquire()
    time.seconds += 4_000
    with PaceStore(database).turn(time.seconds, 3_600.0) as turn:
        assert list(turn.writes) == []
