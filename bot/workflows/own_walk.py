"""How does a command walk through steps by itself, without the durable engine? One after the other, in its own process.

What survives this process is in the database: the steps read it back, and whoever comes next goes on there.
"""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from bot.errors import BotError
from bot.workflows.engine import Failed
from rancher_ext.errors import DroverError, RancherError

_PAUSE, _LONGEST_PAUSE = timedelta(seconds=5), timedelta(minutes=5)


class OwnWalk:
    """The steps one after the other in this process. A failure that may pass is tried again, as the durable flow does."""

    def __init__(self, real_seconds: Callable[[timedelta], float], say: Callable[[str], None] = lambda _: None) -> None:
        self._real_seconds = real_seconds
        self._say = say
        self.interrupted = False

    def step(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            found = dict(function(*arguments) or {})
        except DroverError as error:
            passes = isinstance(error, RancherError | BotError) and not getattr(error, "lasting", False)
            return Failed(type(error).__name__, error.message, error.cure, passes)
        if found.get("text"):
            self._say(str(found["text"]))
        return found

    def patiently(self, name: str, function: Callable[..., Any], *arguments: Any, patience: timedelta) -> Any:
        waited, pause = timedelta(), _PAUSE
        while True:
            outcome = self.step(name, function, *arguments)
            if not isinstance(outcome, Failed) or not outcome.retry or waited >= patience:
                return outcome
            self._say(f"{outcome.message}; tried again in {int(pause.total_seconds())} s")
            time.sleep(self._real_seconds(pause))
            waited += pause
            pause = min(pause * 2, _LONGEST_PAUSE)

    def wait(self, duration: timedelta) -> None:
        deadline = time.monotonic() + self._real_seconds(duration)
        while not self.interrupted and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, 0.2))
