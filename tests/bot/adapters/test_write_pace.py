"""The pace of writes: never above the limits, whatever is asked; news for people goes first when it gets short."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.adapters.write_pace import OwnWrites, Priority, WritePace


class FakeTime:
    """Time passes only when somebody sleeps or the test says so."""

    def __init__(self, start=1_000_000.0):
        self.seconds = start
        self.slept = []
        self.lock = threading.Lock()

    def now(self):
        return self.seconds

    def sleep(self, seconds):
        with self.lock:
            self.slept.append(seconds)
            self.seconds += seconds


def a_pace(time, per_minute=80, per_hour=500, **how):
    return WritePace(per_minute, per_hour, time.now, time.sleep, **how)


def most_within(moments, seconds):
    """The largest number of moments in any half-open window of this length."""
    return max((sum(1 for other in moments if 0 <= moment - other < seconds) for moment in moments), default=0)


@st.composite
def demands(draw):
    return draw(
        st.lists(
            st.tuples(st.sampled_from(Priority), st.floats(0, 200, allow_nan=False)),
            max_size=60,
        )
    )


@given(per_minute=st.integers(1, 8), per_hour=st.integers(1, 20), demands=demands(), start=st.floats(0, 2e9))
def test_no_window_ever_holds_more_than_its_limit(per_minute, per_hour, demands, start):
    time = FakeTime(start)
    pace = a_pace(time, per_minute, per_hour)
    granted = []
    for priority, idle in demands:
        time.seconds += idle
        pace.acquire(priority)
        granted.append(time.seconds)
    assert most_within(granted, 60.0) <= per_minute
    assert most_within(granted, 3_600.0) <= per_hour


def test_threads_together_stay_below_the_limits():
    time = FakeTime()
    pace = a_pace(time, per_minute=10, per_hour=60)
    granted = []
    lock = threading.Lock()

    def work(priority):
        for _ in range(12):
            pace.acquire(priority)
            with lock:
                granted.append(time.seconds)

    threads = [threading.Thread(target=work, args=(priority,)) for priority in (*Priority, *Priority)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(granted) == 72
    # A grant is noted here a moment after it was given, so compare by whole windows of the fake clock.
    elapsed = max(granted) - 1_000_000.0
    assert len(granted) <= 10 * (elapsed // 60 + 1)


def test_a_quiet_service_does_not_wait():
    time = FakeTime()
    pace = a_pace(time)
    for _ in range(60):
        pace.acquire(Priority.BULK)
    assert time.slept == []


def test_refreshes_leave_a_reserve_that_news_may_use():
    time = FakeTime()
    pace = a_pace(time, per_minute=8, per_hour=500)
    assert (pace.available(Priority.BULK), pace.available(Priority.CRITICAL)) == (6, 8)
    for _ in range(6):
        pace.acquire(Priority.BULK)
    assert (pace.available(Priority.BULK), pace.available(Priority.CRITICAL)) == (0, 2)

    pace.acquire(Priority.CRITICAL)
    pace.acquire(Priority.CRITICAL)
    assert time.slept == []
    pace.acquire(Priority.CRITICAL)
    assert sum(time.slept) == pytest.approx(60)


def test_the_hour_counts_as_well_as_the_minute():
    time = FakeTime()
    pace = a_pace(time, per_minute=100, per_hour=4)
    for _ in range(4):
        pace.acquire(Priority.CRITICAL)
        time.seconds += 61
    pace.acquire(Priority.CRITICAL)
    assert sum(time.slept) == pytest.approx(3_600 - 4 * 61)


def test_news_overtakes_a_refresh_that_waits():
    time = FakeTime()
    order = []

    def sleep(seconds):
        time.sleep(seconds)
        if not order:
            order.append("critical")
            pace.acquire(Priority.CRITICAL)

    pace = WritePace(1, 500, time.now, sleep)
    pace.acquire(Priority.CRITICAL)
    pace.acquire(Priority.BULK)
    order.append("bulk")
    assert order == ["critical", "bulk"]
    assert sum(time.slept) == pytest.approx(120)


def test_one_that_waits_leaves_the_budget_to_those_ahead():
    time = FakeTime()
    pace = a_pace(time, per_minute=2, per_hour=500, reserved_share=0)
    ahead = (Priority.CRITICAL, -1)
    pace._waiting.add(ahead)
    pace.acquire(Priority.CRITICAL)
    assert time.slept == []

    def sleep(seconds):
        time.sleep(seconds)
        pace._waiting.discard(ahead)

    pace._sleep = sleep
    pace.acquire(Priority.CRITICAL)
    assert len(time.slept) == 1


def test_silence_is_kept_by_everybody_and_ends():
    time = FakeTime()
    pace = a_pace(time)
    pace.hold(30)
    assert pace.available(Priority.CRITICAL) == 0
    pace.acquire(Priority.CRITICAL)
    assert sum(time.slept) == pytest.approx(30)


def test_a_shorter_silence_does_not_cut_a_longer_one():
    time = FakeTime()
    pace = a_pace(time)
    pace.hold(30)
    pace.hold(1)
    pace.acquire()
    assert sum(time.slept) == pytest.approx(30)


def test_writes_before_a_restart_count():
    time = FakeTime()
    pace = a_pace(time, per_minute=2, per_hour=500, writes=OwnWrites([time.seconds - 10, time.seconds - 20]))
    pace.acquire(Priority.CRITICAL)
    assert sum(time.slept) == pytest.approx(40)


def test_a_sleeper_that_is_interrupted_leaves_the_queue():
    time = FakeTime()

    def interrupted(seconds):
        raise InterruptedError

    pace = WritePace(1, 500, time.now, interrupted)
    pace.acquire()
    with pytest.raises(InterruptedError):
        pace.acquire()
    assert pace._waiting == set()


@pytest.mark.parametrize(("minute", "hour"), [(0, 500), (80, 0), (-1, 5)])
def test_a_pace_of_nothing_is_refused(minute, hour):
    with pytest.raises(ValueError, match="lets nothing through"):
        a_pace(FakeTime(), minute, hour)


def test_a_budget_of_one_is_not_eaten_by_its_reserve():
    time = FakeTime()
    a_pace(time, per_minute=1, per_hour=1).acquire(Priority.BULK)
    assert time.slept == []


def test_a_nod_goes_before_refreshes_that_have_waited_longer():
    """Somebody looks whether the command was heard, while a storm edits hundreds of issues."""
    time = FakeTime()
    pace = a_pace(time, per_minute=8, per_hour=500)
    for _ in range(6):
        pace.acquire(Priority.BULK)
    assert (pace.available(Priority.BULK), pace.available(Priority.REACTION)) == (0, 1)
    pace.acquire(Priority.REACTION)
    assert time.slept == []
    assert pace.available(Priority.CRITICAL) == 1
