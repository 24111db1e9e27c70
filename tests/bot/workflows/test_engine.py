"""What does the durable library promise us? Runs that survive a stop, words that arrive once, waits that end on time."""

import threading
import time
from datetime import timedelta

import pytest
from sqlalchemy.exc import OperationalError

from bot.errors import BotError, StoreError
from bot.workflows.engine import Engine, Failed, _engine_url
from rancher_ext.errors import BadInput, RancherUnreachable
from tests.bot.workflows.scripted import TRANSIENT, FastClock
from tests.builders import hours, minutes, seconds


class Bench:
    """One engine at a time over one database; what a workflow does is noted outside of it."""

    def __init__(self, folder):
        self._url = f"sqlite:///{folder}/drover.sqlite"
        self.noted = []
        self.engine = None

    def up(self, run, speed=None):
        clock = FastClock()
        if speed:
            clock.real_seconds = lambda span: span.total_seconds() / speed
        self.engine = Engine(database_url=self._url, executor_id="test", clock=clock, transient=TRANSIENT)
        self.engine.register("work", run)
        self.engine.launch()
        return self.engine

    def down(self):
        if self.engine:
            self.engine.close()
            self.engine = None

    def note(self, word):
        self.noted.append(word)
        return {"word": word}

    def wait(self, condition):
        for _ in range(2000):
            if condition():
                return
            time.sleep(0.01)
        raise AssertionError(self.noted)


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.down()


def test_a_run_is_started_once_however_often_it_is_asked_for(bench):
    def run(flow, subject):
        flow.step("a", bench.note, subject)
        return "done"

    engine = bench.up(run)
    for _ in range(5):
        engine.start("work", "work:1", "one")
    bench.wait(lambda: not engine.is_running("work:1"))
    engine.start("work", "work:1", "one")
    assert bench.noted == ["one"]


def test_after_a_stop_a_run_goes_on_where_it_was(bench):
    def run(flow, subject):
        flow.step("before", bench.note, "before")
        message = flow.receive("desk", hours(1000))
        flow.step("after", bench.note, message["said"])
        return "done"

    bench.up(run).start("work", "work:1", "one")
    bench.wait(lambda: bench.noted)
    bench.down()
    engine = bench.up(run)
    assert engine.is_running("work:1")
    assert engine.send("work:1", "desk", {"said": "go"}, once="1")
    bench.wait(lambda: not engine.is_running("work:1"))
    assert bench.noted == ["before", "go"]


def test_a_step_in_the_middle_of_a_stop_ends_and_no_other_begins(bench):
    inside, leave = threading.Event(), threading.Event()

    def slow():
        inside.set()
        leave.wait(10)
        bench.note("slow")

    def run(flow, subject):
        flow.step("slow", slow)
        flow.step("next", bench.note, "next")
        return "done"

    bench.up(run).start("work", "work:1", "one")
    inside.wait(10)
    threading.Timer(0.2, leave.set).start()
    bench.down()
    assert bench.noted == ["slow"]
    engine = bench.up(run)
    bench.wait(lambda: not engine.is_running("work:1"))
    assert bench.noted == ["slow", "next"]


def test_a_stop_in_the_middle_of_a_wait_does_not_cut_the_wait_short(bench):
    def run(flow, subject):
        flow.step("before", bench.note, "before")
        flow.wait(seconds(2))
        flow.step("after", bench.note, "after")
        return "done"

    engine = bench.up(run, speed=1)
    engine.start("work", "work:1", "one")
    bench.wait(lambda: bench.noted)
    began = time.monotonic()
    bench.down()
    engine = bench.up(run, speed=1)
    assert bench.noted == ["before"]
    bench.wait(lambda: not engine.is_running("work:1"))
    assert bench.noted == ["before", "after"]
    assert time.monotonic() - began > 1.0  # what was left of two seconds, not nothing


def test_a_message_that_came_while_nobody_was_up_is_there_afterwards(bench):
    def run(flow, subject):
        heard = [flow.receive("desk", hours(1000)) for _ in range(2)]
        flow.step("heard", bench.note, [message["n"] for message in heard])
        return "done"

    engine = bench.up(run)
    engine.start("work", "work:1", "one")
    engine.send("work:1", "desk", {"n": 1}, once="a")
    engine.send("work:1", "desk", {"n": 1}, once="a")
    bench.down()
    engine = bench.up(run)
    engine.send("work:1", "desk", {"n": 1}, once="a")
    engine.send("work:1", "desk", {"n": 2}, once="b")
    bench.wait(lambda: not engine.is_running("work:1"))
    assert bench.noted == [[1, 2]]


def test_messages_of_one_moment_are_heard_in_their_order_also_after_a_restart(bench):
    wanted, sent = list(range(12)), threading.Event()

    def busy():
        bench.note("up")
        sent.wait(20)

    def run(flow, subject):
        flow.step("first", busy)
        heard = [flow.receive("desk", hours(1000))["n"] for _ in wanted]
        flow.step("heard", bench.note, heard)
        flow.receive("desk", hours(1000))
        flow.step("again", bench.note, heard)
        return "done"

    engine = bench.up(run)
    engine.start("work", "work:1", "one")
    bench.wait(lambda: bench.noted)
    for number in wanted:
        engine.send("work:1", "desk", {"n": number}, once=f"{number * 7919 % 101}")
    sent.set()
    bench.wait(lambda: len(bench.noted) == 2)
    bench.down()
    engine = bench.up(run)
    engine.send("work:1", "desk", {}, once="end")
    bench.wait(lambda: not engine.is_running("work:1"))
    assert bench.noted == ["up", wanted, wanted]


def test_nobody_hears_what_is_said_to_a_run_that_is_over_or_never_was(bench):
    engine = bench.up(lambda flow, subject: "done")
    assert not engine.send("work:0", "desk", {}, once="a")
    engine.start("work", "work:1", "one")
    bench.wait(lambda: not engine.is_running("work:1"))
    assert not engine.send("work:1", "desk", {}, once="b")


@pytest.mark.parametrize(
    ("error", "retry"), [(RancherUnreachable("x", cure="c"), True), (BadInput("x", cure="c"), False)]
)
def test_an_expected_failure_is_a_value_and_the_same_after_a_restart(bench, error, retry):
    def fail():
        bench.note("tried")
        raise error

    outcomes = []

    def run(flow, subject):
        outcomes.append(flow.step("fail", fail))
        flow.receive("desk", hours(1000))
        return "done"

    bench.up(run).start("work", "work:1", "one")
    bench.wait(lambda: outcomes)
    bench.down()
    engine = bench.up(run)
    engine.send("work:1", "desk", {}, once="go")
    bench.wait(lambda: not engine.is_running("work:1"))
    assert bench.noted == ["tried"]
    assert outcomes == [Failed(type(error).__name__, "x", "c", retry)] * 2


def test_a_run_that_began_before_a_patch_goes_on_the_old_way_until_it_comes_to_it(bench):
    def old(flow, subject):
        for turn in range(100):
            flow.step("ask", bench.note, f"{subject} {turn}")
            if flow.receive("desk", hours(1000)).get("end"):
                return "done"
        return ""

    def new(flow, subject):
        for turn in range(100):
            calm = flow.patched("calm")
            assert flow.took("calm") is calm
            flow.step("ask", bench.note, f"{subject} {turn}{' calm' if calm else ''}")
            if flow.receive("desk", hours(1000)).get("end"):
                return "done"
        return ""

    engine = bench.up(old)
    engine.start("work", "work:1", "one")
    engine.send("work:1", "desk", {}, once="a")
    bench.wait(lambda: len(bench.noted) == 2)
    bench.down()
    engine = bench.up(new)
    engine.start("work", "work:2", "two")
    engine.send("work:1", "desk", {}, once="b")
    bench.wait(lambda: len(bench.noted) == 4)
    bench.down()
    # And once more: what was chosen stays chosen.
    engine = bench.up(new)
    for run in ("work:1", "work:2"):
        engine.send(run, "desk", {"end": True}, once=f"{run}/end")
        bench.wait(lambda run=run: not engine.is_running(run))
    assert sorted(bench.noted) == ["one 0", "one 1", "one 2 calm", "two 0 calm"]


def test_a_worker_that_stands_still_begins_no_step_any_more(bench):
    def run(flow, subject):
        flow.step("before", bench.note, "before")
        flow.receive("desk", hours(1000))
        flow.step("after", bench.note, "after")
        return "done"

    engine = bench.up(run)
    engine.start("work", "work:1", "one")
    bench.wait(lambda: bench.noted)
    engine.stand_still()
    engine.send("work:1", "desk", {}, once="go")
    bench.down()
    assert bench.noted == ["before"]
    engine = bench.up(run)
    bench.wait(lambda: not engine.is_running("work:1"))
    assert bench.noted == ["before", "after"]


def test_no_message_in_time_is_none(bench):
    def run(flow, subject):
        flow.step("heard", bench.note, str(flow.receive("desk", minutes(1))))
        return "done"

    engine = bench.up(run)
    engine.start("work", "work:1", "one")
    bench.wait(lambda: bench.noted)
    assert bench.noted == ["None"]


def test_finished_runs_are_forgotten_after_their_time_and_running_ones_never(bench):
    def run(flow, subject):
        if subject == "waits":
            flow.receive("desk", hours(1000))
        return "done"

    engine = bench.up(run)
    for name in ("one", "two", "waits"):
        engine.start("work", f"work:{name}", name)
    bench.wait(lambda: not engine.is_running("work:one") and not engine.is_running("work:two"))
    assert engine.forget_finished(timedelta(days=7)) == 0
    assert engine.forget_finished(timedelta(seconds=-5)) == 2
    assert engine.is_running("work:waits")


def test_a_database_that_is_away_is_an_error_of_ours(bench, monkeypatch):
    """Callers survive what is ours; anything else would end the thread that looks at clusters."""
    engine = bench.up(lambda flow, subject: "done")

    def away(*_, **__):
        raise OperationalError("select", {}, Exception("connection refused"))

    monkeypatch.setattr("bot.workflows.engine.DBOS.get_workflow_status", away)
    for ask in (
        lambda: engine.start("work", "work:1", "x"),
        lambda: engine.is_running("work:1"),
        lambda: engine.send("work:1", "desk", {}, once="a"),
    ):
        with pytest.raises(StoreError, match="OperationalError"):
            ask()


@pytest.mark.parametrize(
    ("ours", "librarys"),
    [
        ("sqlite:////var/lib/drover.sqlite", "sqlite:////var/lib/drover-engine.sqlite"),
        ("postgresql+psycopg://u:p@h/d", "postgresql://u:p@h/d"),
        ("postgres://u:p@h/d?host=/run", "postgresql://u:p@h/d?host=/run"),
        ("postgresql://u:p@h/d", "postgresql://u:p@h/d"),
    ],
)
def test_the_librarys_tables_stand_beside_ours(ours, librarys):
    assert _engine_url(ours) == librarys


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_memory_is_nothing_to_survive_in(url):
    with pytest.raises(BotError, match="needs a database file"):
        _engine_url(url)
