"""The durable engine's part, played on a turned clock: workflows take turns, one at a time, and everything happens in one order.

Flow and runbook are the real ones; what is replaced is the library underneath (`bot.workflows.engine.DBOS`): recorded steps,
messages with a timeout, patch points. A worker can be killed at every step, before or after it did its work: then the run begins
again and reads back what was recorded, as the library does.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from bot.errors import BotError
from bot.workflows.engine import Flow
from bot.workflows.incident_flow import run_incident
from rancher_ext.errors import (
    CertificateRefused,
    ClusterUnavailable,
    NotRancher,
    RancherUnreachable,
    ServerFailed,
    TooManyRequests,
    Unauthorized,
)
from tests.promises.in_process import TurnedClock

TRANSIENT = (
    RancherUnreachable, ServerFailed, TooManyRequests, NotRancher, ClusterUnavailable, Unauthorized, CertificateRefused,
    BotError,
)  # fmt: skip


class Killed(BaseException):
    """The process dies here."""


class _Over(BaseException):
    """The test ends: whoever still waits leaves."""


class _Run:
    """One workflow, in a thread that moves only while it holds the baton."""

    def __init__(self, identifier: str) -> None:
        self.id = identifier
        self.records: list[Any] = []
        self.position = 0
        self.messages: dict[str, deque[Mapping[str, Any]]] = {}
        self.said: set[str] = set()
        self.wake_at: datetime | None = None
        self.topic = ""
        self.done = False
        self.go = threading.Semaphore(0)
        self.thread: threading.Thread | None = None


class BatonEngine:
    """`between(run_id, step)` is called before every step that really runs, in the thread of its workflow; it may raise Killed.

    `after` likewise, when a step has done its work and nothing is recorded yet.
    """

    def __init__(
        self,
        clock: TurnedClock,
        steps: Any,
        *,
        between: Callable[[str, str], None] = lambda *_: None,
        after: Callable[[str, str], None] = lambda *_: None,
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        self.clock, self.steps = clock, steps
        self._between, self._after, self._tick = between, after, tick
        self._runs: dict[str, _Run] = {}
        self._parked = threading.Semaphore(0)
        self._here = threading.local()
        self._over = False
        self.endings: dict[str, str] = {}
        self.bugs: list[str] = []

    # --- what the watchman and the desk ask ---

    def start(self, _name: str, workflow_id: str, _subject: str) -> None:
        if workflow_id not in self._runs:
            run = self._runs[workflow_id] = _Run(workflow_id)
            run.wake_at = self.clock.at
            self._begin(run)

    def revive(self, workflow_id: str) -> None:
        """Nothing ends in an error here without failing the test."""

    def is_running(self, workflow_id: str) -> bool:
        return workflow_id in self._runs and not self._runs[workflow_id].done

    def send(self, workflow_id: str, topic: str, message: Mapping[str, Any], *, once: str) -> bool:
        if not self.is_running(workflow_id):
            return False
        run = self._runs[workflow_id]
        if once not in run.said:
            run.said.add(once)
            run.messages.setdefault(topic, deque()).append(dict(message))
            if run.topic == topic:
                run.wake_at = self.clock.at
        return True

    # --- time ---

    def run_until(self, when: datetime) -> None:
        """Give the baton to whoever is due, in the order of the times at which they are, and turn the clock on."""
        while True:
            due = [run for run in self._runs.values() if not run.done and run.wake_at and run.wake_at <= when]
            if not due:
                break
            run = min(due, key=lambda each: (each.wake_at, each.id))
            if run.wake_at and run.wake_at > self.clock.at:
                self.clock.at = run.wake_at
                self._tick()
            self._pass_to(run)
        self.clock.at = max(self.clock.at, when)
        self._tick()

    def close(self) -> None:
        self._over = True
        for run in self._runs.values():
            if run.thread is not None and run.thread.is_alive():
                run.go.release()
                run.thread.join(timeout=10)

    # --- what the library does ---

    def run_step(self, options: Mapping[str, str], attempt: Callable[[], Any]) -> Any:
        def work() -> Any:
            self._between(self._here.run.id, options["name"])
            outcome = attempt()
            self._after(self._here.run.id, options["name"])
            return outcome

        return self._recorded(work)

    def recv(self, topic: str, timeout_seconds: float) -> Any:
        return self._recorded(lambda: self._receive(topic, timeout_seconds))

    def patch(self, _name: str) -> bool:
        return True

    def _recorded(self, work: Callable[[], Any]) -> Any:
        run: _Run = self._here.run
        if run.position == len(run.records):
            run.records.append(work())
        run.position += 1
        return run.records[run.position - 1]

    def _receive(self, topic: str, seconds: float) -> Any:
        run: _Run = self._here.run
        waiting = run.messages.setdefault(topic, deque())
        if not waiting and seconds > 0:
            run.topic, run.wake_at = topic, self.clock.at + timedelta(seconds=seconds)
            self._park(run)
            run.topic = ""
        return waiting.popleft() if waiting else None

    # --- the baton ---

    def _begin(self, run: _Run) -> None:
        run.position = 0
        run.thread = threading.Thread(target=self._live, args=(run,), daemon=True, name=run.id)
        run.thread.start()

    def _live(self, run: _Run) -> None:
        self._here.run = run
        try:
            run.go.acquire()
            self._check()
            while True:
                try:
                    self.endings[run.id] = run_incident(Flow(self.clock, TRANSIENT), self.steps, run.id)
                    break
                except Killed:
                    # A new process takes the run up from its records.
                    run.position = 0
        except _Over:
            return
        except BaseException as error:  # noqa: BLE001 - told by the test, whose thread is another one
            self.bugs.append(f"{run.id}: {type(error).__name__}: {error}")
        run.done = True
        self._parked.release()

    def _pass_to(self, run: _Run) -> None:
        run.wake_at = None
        run.go.release()
        if not self._parked.acquire(timeout=100):
            raise AssertionError(f"{run.id} does not come back")

    def _park(self, run: _Run) -> None:
        self._parked.release()
        run.go.acquire()
        self._check()

    def _check(self) -> None:
        if self._over:
            raise _Over


@contextlib.contextmanager
def taking_turns(engine: BatonEngine, monkeypatch: Any) -> Any:
    monkeypatch.setattr("bot.workflows.engine.DBOS", engine)
    try:
        yield engine
    finally:
        engine.close()
