"""How fast may we write to GitHub, and who goes first when it gets short?

GitHub blocks an account that creates content faster than 80 times a minute or 500 times an hour. Two sliding windows keep
below that. The last part of each budget is reserved: refreshes of what is already there wait before it, news for people may
use it up. Among those that wait, news goes first, then answers, then the order of arrival.

GitHub counts per account, not per process, and does not forget when we start again. So the times of writes can be kept where all
processes see them (`PaceStore`); without such a place they are kept here.
"""

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol


class Priority(IntEnum):
    """The lower number goes first."""

    CRITICAL = 0  # an issue opened or closed, a new comment: somebody waits for it
    REACTION = 1  # the nod to somebody who has just written a command, and looks whether it was heard
    BULK = 2  # a status refreshed in place: a later one makes it superfluous


@dataclass(frozen=True)
class Window:
    seconds: float
    limit: int
    reserved: int  # of the limit, for critical writes only

    def allowed(self, priority: Priority) -> int:
        kept = {Priority.CRITICAL: 0, Priority.REACTION: self.reserved // 2, Priority.BULK: self.reserved}
        return self.limit - kept[priority]


@dataclass
class Turn:
    """One look at the times of all writes, with nobody else looking. `granted` is what this look added."""

    writes: Sequence[float]
    closed_until: float
    granted: float | None = None


class Writes(Protocol):
    """Where the times of writes are kept."""

    def turn(self, now: float, longest: float) -> AbstractContextManager[Turn]:
        """Those not older than `longest`, in their order. What the turn was granted is kept when it ends."""
        ...

    def close_until(self, moment: float) -> None: ...


class OwnWrites:
    """Of this process alone."""

    def __init__(self, recent: Iterable[float] = ()) -> None:
        self._times = deque(sorted(recent))
        self._closed_until = float("-inf")

    @contextmanager
    def turn(self, now: float, longest: float) -> Iterator[Turn]:
        while self._times and now - self._times[0] >= longest:
            self._times.popleft()
        turn = Turn(list(self._times), self._closed_until)
        yield turn
        if turn.granted is not None:
            self._times.append(turn.granted)

    def close_until(self, moment: float) -> None:
        self._closed_until = max(self._closed_until, moment)


# How often one who waits behind a more urgent writer looks again.
LOOK_AGAIN = 0.5


class WritePace:
    """`now` is in seconds: `time.monotonic`, or with shared `writes` a clock that all processes have in common."""

    def __init__(
        self,
        per_minute: int,
        per_hour: int,
        now: Callable[[], float],
        sleep: Callable[[float], None],
        *,
        reserved_share: float = 0.25,
        writes: Writes | None = None,
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
        self._writes = writes or OwnWrites()
        self._longest = max(window.seconds for window in self._windows)
        self._tickets = itertools.count()
        self._waiting: set[tuple[Priority, int]] = set()

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
            self._writes.close_until(self._now() + seconds)

    def available(self, priority: Priority = Priority.BULK) -> int:
        """How many writes of this priority could go out at once now."""
        with self._lock:
            now = self._now()
            with self._writes.turn(now, self._longest) as turn:
                if now < turn.closed_until:
                    return 0
                return max(0, min(window.allowed(priority) - _used(turn, window, now) for window in self._windows))

    def _try(self, ticket: tuple[Priority, int]) -> float:
        """0.0 when the write is granted, else the seconds after which it is worth asking again."""
        with self._lock:
            now, priority = self._now(), ticket[0]
            with self._writes.turn(now, self._longest) as turn:
                pause = max(_wait(turn, window, priority, now) for window in self._windows)
                pause = max(pause, turn.closed_until - now)
                if pause > 0:
                    return pause
                ahead = sum(1 for other in self._waiting if other < ticket)
                if any(_used(turn, window, now) + ahead >= window.allowed(priority) for window in self._windows):
                    return LOOK_AGAIN  # what is left belongs to those ahead of us
                turn.granted = now
            return 0.0


def _wait(turn: Turn, window: Window, priority: Priority, now: float) -> float:
    """Until enough of the window's writes are old enough. A write exactly one window ago no longer counts."""
    recent = [moment for moment in turn.writes if now - moment < window.seconds]
    excess = len(recent) - window.allowed(priority)
    if excess < 0:
        return 0.0
    # The subtraction may round to zero just before the moment; a caller must then still wait.
    return max(recent[excess] + window.seconds - now, 1e-6)


def _used(turn: Turn, window: Window, now: float) -> int:
    return sum(1 for moment in turn.writes if now - moment < window.seconds)
