"""Steps that do what a test says, and an engine whose hours pass in the blink of an eye."""

import itertools
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.errors import BotError
from bot.workflows.engine import Engine, Flow
from bot.workflows.incident_flow import TOPIC, run_incident
from rancher_ext.errors import RancherUnreachable, ServerFailed, TooManyRequests

# Six hours of quiet pass in 0.6 s, thirty seconds between two looks in less than a millisecond.
SPEED = 36_000
TRANSIENT = (RancherUnreachable, ServerFailed, TooManyRequests, BotError)
UNDERSTOOD = ["collect", "diagnose", "plan", "decide", "report"]
PROVED = {"holds": True, "text": "canal 3/3"}
NOT_YET = {"holds": False, "text": "canal 1/3"}
BEGUN = {"begun": True, "steps": 1, "within": 120.0, "soak": 60.0}


class FastClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def real_seconds(self, duration: timedelta) -> float:
        return duration.total_seconds() / SPEED


class ScriptedSteps:
    """Every step notes its call. What it answers is scripted: a value, an error to raise, a function, or a list of these
    whose last stays.
    """

    _USUAL: Mapping[str, Any] = {
        "plan": {"plan": "7f3a9c"},
        "decide": {"decision": "needs-approval"},
        "is_well": {"well": False},
        "begin": BEGUN,
        "apply": {"wrote": True},
        "prove": PROVED,
        "failed_cure": {"keep": False},
        "take_back": [{"done": False}, {"done": True}],
    }

    def __init__(self, **script: Any) -> None:
        self.script = {**self._USUAL, **script}
        self.calls: list[tuple[Any, ...]] = []
        self._times: dict[str, int] = {}
        self._changed = threading.Condition()

    def __getattr__(self, name: str) -> Callable[..., Mapping[str, Any]]:
        def step(_incident: str, *arguments: Any) -> Mapping[str, Any]:
            with self._changed:
                self.calls.append((name, *arguments))
                turn = self._times[name] = self._times.get(name, 0) + 1
                self._changed.notify_all()
            answer = self.script.get(name, {})
            if isinstance(answer, list):
                answer = answer[min(turn, len(answer)) - 1]
            if callable(answer):
                answer = answer(*arguments)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return step

    @property
    def names(self) -> list[str]:
        return [call[0] for call in self.calls]

    def args(self, name: str) -> list[tuple[Any, ...]]:
        return [call[1:] for call in self.calls if call[0] == name]

    def wait_for(self, name: str, times: int = 1, within: float = 20.0) -> None:
        with self._changed:
            found = self._changed.wait_for(lambda: self._times.get(name, 0) >= times, timeout=within)
        assert found, f"{name} was called {self._times.get(name, 0)} times, not {times}: {self.names}"


class Runs:
    """Runs incidents through one engine; there is one per process."""

    def __init__(self, database_url: str) -> None:
        self._steps: dict[str, ScriptedSteps] = {}
        self.ended: dict[str, str] = {}
        self._numbers = itertools.count(1)
        self.engine = Engine(database_url=database_url, executor_id="test", clock=FastClock(), transient=TRANSIENT)
        self.engine.register("incident", self._run)
        self.engine.launch()

    def _run(self, flow: Flow, incident: str) -> str:
        self.ended[incident] = run_incident(flow, self._steps[incident], incident)
        return self.ended[incident]

    def start(self, **script: Any) -> "Run":
        steps, incident = ScriptedSteps(**script), f"incident:{next(self._numbers)}"
        self._steps[incident] = steps
        self.engine.start("incident", incident, incident)
        return Run(self, incident, steps)


class Run:
    def __init__(self, runs: Runs, incident: str, steps: ScriptedSteps) -> None:
        self._runs, self.incident, self.steps = runs, incident, steps
        self._messages = itertools.count(1)

    def say(self, kind: str, *, once: str = "", **more: Any) -> bool:
        return self._runs.engine.send(
            self.incident, TOPIC, {"kind": kind, **more}, once=once or f"{self.incident}/{next(self._messages)}"
        )

    def end(self, within: float = 30.0) -> str:
        deadline = time.monotonic() + within
        while self.incident not in self._runs.ended:
            assert time.monotonic() < deadline, f"it did not end: {self.steps.names[-40:]}"
            time.sleep(0.01)
        return self._runs.ended[self.incident]

    @property
    def running(self) -> bool:
        return self._runs.engine.is_running(self.incident)
