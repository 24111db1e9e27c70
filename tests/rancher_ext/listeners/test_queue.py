"""One entry per cluster, the earlier time wins, nobody sleeps past a hint."""

import threading
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from rancher_ext.fleet.cluster import ClusterKey
from rancher_ext.listeners import ClusterHint, HintQueue

NOON = datetime(2026, 10, 2, 12, 0, 0, tzinfo=UTC)


class Clock:
    def __init__(self):
        self.now = NOON

    def __call__(self):
        return self.now


def hint(name, source="sweep"):
    return ClusterHint(ClusterKey("default", name), source)


def after(minutes):
    return NOON + timedelta(minutes=minutes)


def everything(queue):
    found = []
    while (each := queue.get(timeout=0)) is not None:
        found.append(each.key.id)
    return found


def test_hints_come_out_in_the_order_in_which_they_came():
    queue = HintQueue(Clock())
    for name in ("c", "a", "b"):
        queue.put(hint(name))

    assert everything(queue) == ["c", "a", "b"]


def test_a_cluster_waits_once_however_often_it_is_hinted():
    queue = HintQueue(Clock())
    for source in ("watch:machines", "alertmanager", "sweep"):
        queue.put(hint("a", source))

    assert len(queue) == 1
    assert queue.get(timeout=0).source == "watch:machines"
    assert queue.get(timeout=0) is None


def test_a_hint_that_was_taken_may_come_again():
    queue = HintQueue(Clock())
    queue.put(hint("a"))
    queue.get(timeout=0)

    assert queue.put(hint("a"))
    assert queue.get(timeout=0) == hint("a")


def test_nobody_gets_a_hint_before_its_time():
    clock = Clock()
    queue = HintQueue(clock)
    queue.put(hint("later"), not_before=after(5))

    assert queue.get(timeout=0) is None
    clock.now = after(5)
    assert queue.get(timeout=0) == hint("later")


def test_the_one_that_has_been_due_for_longest_comes_first():
    clock = Clock()
    queue = HintQueue(clock)
    queue.put(hint("b"), not_before=after(2))
    queue.put(hint("a"), not_before=after(1))
    clock.now = after(3)
    queue.put(hint("c"))

    assert everything(queue) == ["a", "b", "c"]


def test_news_about_a_cluster_that_waits_for_later_bring_it_forward():
    queue = HintQueue(Clock())
    queue.put(hint("a", "recheck"), not_before=after(10))
    queue.put(hint("a", "watch:machines"))

    assert queue.get(timeout=0) == hint("a", "watch:machines")
    assert len(queue) == 0


def test_a_later_time_does_not_put_a_cluster_back():
    queue = HintQueue(Clock())
    queue.put(hint("a", "watch:machines"))
    queue.put(hint("a", "recheck"), not_before=after(10))

    assert queue.get(timeout=0) == hint("a", "watch:machines")
    assert queue.get(timeout=0) is None


def test_a_forgotten_cluster_does_not_come():
    queue = HintQueue(Clock())
    queue.put(hint("a"))
    queue.put(hint("b"))
    queue.forget(ClusterKey("default", "a"))

    assert everything(queue) == ["b"]


def test_a_full_queue_takes_no_new_cluster_and_still_updates_those_it_has():
    queue = HintQueue(Clock(), capacity=2)
    queue.put(hint("a"), not_before=after(5))
    queue.put(hint("b"))

    assert queue.put(hint("invented")) is False
    assert queue.put(hint("a")) is True
    assert everything(queue) == ["b", "a"]


def test_a_getter_that_sleeps_wakes_for_a_hint():
    queue = HintQueue()
    got = []
    thread = threading.Thread(target=lambda: got.append(queue.get(timeout=10)))
    thread.start()
    queue.put(hint("a"))
    thread.join(5)

    assert got == [hint("a")]


def test_a_getter_that_sleeps_until_a_later_time_wakes_for_an_earlier_one():
    queue = HintQueue()
    queue.put(hint("late"), not_before=datetime.now(UTC) + timedelta(hours=1))
    got = []
    thread = threading.Thread(target=lambda: got.append(queue.get(timeout=10)))
    thread.start()
    queue.put(hint("now"))
    thread.join(5)

    assert got == [hint("now")]


def test_a_clock_that_runs_faster_is_waited_for_on_the_wall():
    clock = Clock()
    asked = []

    def real_seconds(duration):
        asked.append(duration)
        clock.now = after(60)
        return 0.001

    queue = HintQueue(clock, real_seconds=real_seconds)
    queue.put(hint("a"), not_before=after(60))

    assert queue.get(timeout=10) == hint("a")
    assert asked == [timedelta(hours=1)]


def test_everybody_is_woken_when_the_queue_is_closed():
    queue = HintQueue()
    got = []
    threads = [threading.Thread(target=lambda: got.append(queue.get())) for _ in range(3)]
    for thread in threads:
        thread.start()
    queue.close()
    for thread in threads:
        thread.join(5)

    assert got == [None, None, None]
    assert queue.put(hint("a")) is False


def test_every_hint_goes_to_exactly_one_of_many_getters():
    queue = HintQueue()
    got, lock = [], threading.Lock()

    def work():
        while (each := queue.get(timeout=0.05)) is not None:
            with lock:
                got.append(each.key.id)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for number in range(200):
        queue.put(hint(f"c-{number}"))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert sorted(got) == sorted(f"c-{number}" for number in range(200))


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(-5, 5)), max_size=60))
def test_whatever_is_put_each_cluster_comes_once_at_its_earliest_time(puts):
    clock = Clock()
    queue = HintQueue(clock)
    earliest = {}
    for name, minutes in puts:
        queue.put(hint(name), not_before=after(minutes))
        earliest[name] = min(earliest.get(name, minutes), minutes)

    assert len(queue) == len(earliest)
    clock.now = after(0)
    due = everything(queue)
    clock.now = after(10)
    later = everything(queue)

    assert sorted(due) == sorted(name for name, minutes in earliest.items() if minutes <= 0)
    assert [earliest[name] for name in due] == sorted(earliest[name] for name in due)
    assert [earliest[name] for name in later] == sorted(earliest[name] for name in later)
    assert sorted(due + later) == sorted(earliest)


@given(st.lists(st.sampled_from("abc"), max_size=500))
def test_memory_does_not_grow_with_the_number_of_hints(names):
    queue = HintQueue(Clock())
    for number, name in enumerate(names):
        queue.put(hint(name), not_before=after(-number))

    assert len(queue._order) <= 2 * 3 + 65
