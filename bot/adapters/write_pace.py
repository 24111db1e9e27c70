"""How fast may we write to GitHub, and who goes first when it gets short?

GitHub blocks an account that creates content faster than 80 times a minute or 500 times an hour. Two sliding windows keep
below that. The last part of each budget is reserved: refreshes of what is already there wait before it, news for people may
use it up. Among those that wait, news goes first, then the order of arrival.
"""

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum


class Priority(IntEnum):
    """The lower number goes first."""

    CRITICAL = 0  # an issue opened or closed, a new comment: somebody waits for it
    BULK = 1  # a status refreshed in place, a reaction: a later one makes it superfluous


@dataclass(frozen=True)
class Window:
    seconds: float
    limit: int
    reserved: int  # of the limit, for critical writes only

    def allowed(self, priority: Priority) -> int:
        return self.limit if priority is Priority.CRITICAL else self.limit - self.reserved


# How often one who waits behind a more urgent writer looks again.
LOOK_AGAIN = 0.5


class WritePace:
    """`now` is in seconds and never goes back (`time.monotonic`); `recent` are the times of writes before a restart, if known."""

    def __init__(
        self,
        per_minute: int,
        per_hour: int,
        now: Callable[[], float],
        sleep: Callable[[float], None],
        *,
        reserved_share: float = 0.25,
        recent: Iterable[float] = (),
    ) -> None:
        if per_minute < 1 or per_hour < 1:
            raise ValueError(f"a pace of {per_minute} a minute and {per_hour} an hour lets nothing through")
        # A budget of one cannot be shared: then the reserve is nothing.
        self._windows = tuple(
            Window(seconds, limit, min(int(limit * reserved_share), limit - 1))
            for seconds, limit in ((60.0, per_minute), (3_600.0, per_hour))
        )
        self._now = now
        self._sleep = sleep
        self._lock = threading.Lock()
        self._granted: deque[float] = deque(sorted(recent))
        self._tickets = itertools.count()
        self._waiting: set[tuple[Priority, int]] = set()
        self._closed_until = float("-inf")

    def acquire(self, priority: Priority = Priority.BULK) -> None:
        """Returns when one write may be sent now."""
        ticket = (priority, next(self._tickets))
        with self._lock:
            self._waiting.add(ticket)
        try:
            while (pause := self._try(ticket)) > 0:
                self._sleep(pause)
        finally:
            with self._lock:
                self._waiting.discard(ticket)

    def hold(self, seconds: float) -> None:
        """GitHub asked for silence: nobody writes until it is over."""
        with self._lock:
            self._closed_until = max(self._closed_until, self._now() + seconds)

    def available(self, priority: Priority = Priority.BULK) -> int:
        """How many writes of this priority could go out at once now."""
        with self._lock:
            now = self._now()
            if now < self._closed_until:
                return 0
            return max(0, min(window.allowed(priority) - self._used(window, now) for window in self._windows))

    def _try(self, ticket: tuple[Priority, int]) -> float:
        """0.0 when the write is granted, else the seconds after which it is worth asking again."""
        with self._lock:
            now = self._now()
            priority = ticket[0]
            pause = max(self._wait(window, priority, now) for window in self._windows)
            pause = max(pause, self._closed_until - now)
            if pause > 0:
                return pause
            ahead = sum(1 for other in self._waiting if other < ticket)
            if any(self._used(window, now) + ahead >= window.allowed(priority) for window in self._windows):
                return LOOK_AGAIN  # what is left belongs to those ahead of us
            self._granted.append(now)
            self._forget(now)
            return 0.0

    def _wait(self, window: Window, priority: Priority, now: float) -> float:
        """Until enough of the window's writes are old enough. A write exactly one window ago no longer counts."""
        excess = self._used(window, now) - window.allowed(priority)
        if excess < 0:
            return 0.0
        recent = [moment for moment in self._granted if now - moment < window.seconds]
        # The subtraction may round to zero just before the moment; a caller must then still wait.
        return max(recent[excess] + window.seconds - now, 1e-6)

    def _used(self, window: Window, now: float) -> int:
        return sum(1 for moment in self._granted if now - moment < window.seconds)

    def _forget(self, now: float) -> None:
        longest = max(window.seconds for window in self._windows)
        while self._granted and now - self._granted[0] >= longest:
            self._granted.popleft()
