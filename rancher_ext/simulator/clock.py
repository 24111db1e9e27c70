"""What time is it in the simulated world?

One formula, `origin + (real - origin) * speed`: a service that is given the same origin and speed computes the same
instant, so both sides agree without talking about it. Real sockets and sleeps stay in real time.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime


class SimClock:
    """A clock that runs `speed` times as fast as the wall clock since `origin` (seconds since 1970)."""

    def __init__(
        self, speed: float = 1.0, origin: float | None = None, *, real: Callable[[], float] = time.time
    ) -> None:
        if speed <= 0:
            raise ValueError(f"a clock cannot run at speed {speed}; give a number above 0")
        self._real = real
        self.speed = speed
        self.origin = real() if origin is None else origin

    def seconds(self) -> float:
        return self.origin + (self._real() - self.origin) * self.speed

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds(), UTC)


def rfc3339(seconds: float) -> str:
    """Kubernetes' metav1.Time: whole seconds, UTC, a `Z`."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def rfc3339_nano(seconds: float) -> str:
    """The stamp that `timestamps=true` puts before a log line."""
    whole = int(seconds)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{int((seconds - whole) * 1e9):09d}Z"
