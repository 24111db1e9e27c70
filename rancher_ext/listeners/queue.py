"""Which cluster is looked at next?

Hints come by the hundred and mostly about the same few clusters. The queue holds one entry per cluster, so it is never longer
than the fleet, and an entry may have a time before which nobody wants it (a verdict said: look again at T). When a hint comes
for a cluster that waits, the earlier time wins.
"""

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from rancher_ext.fleet.cluster import ClusterKey
from rancher_ext.listeners.hint import ClusterHint

# More clusters than any Rancher server manages; beyond them somebody invents names.
CAPACITY = 50_000


@dataclass(frozen=True)
class _Entry:
    hint: ClusterHint
    due: datetime
    number: int


class HintQueue:
    """Safe for any number of threads on either side.

    `now` is the clock that `not_before` speaks of; `real_seconds` tells how long a span of it takes on the wall, for clocks that
    run faster.
    """

    def __init__(
        self,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        real_seconds: Callable[[timedelta], float] = timedelta.total_seconds,
        capacity: int = CAPACITY,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._now = now
        self._real_seconds = real_seconds
        self._capacity = capacity
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._entries: dict[ClusterKey, _Entry] = {}
        # Entries that were replaced stay in the heap and are recognised by their number when they come up.
        self._order: list[tuple[datetime, int, ClusterKey]] = []
        self._numbers = itertools.count()
        self._closed = False

    def put(self, hint: ClusterHint, not_before: datetime | None = None) -> bool:
        """False when it was not taken: the queue is closed or full. A cluster that waits already keeps its earlier time."""
        with self._changed:
            due = self._now() if not_before is None else not_before
            waiting = self._entries.get(hint.key)
            if self._closed or (waiting is None and len(self._entries) >= self._capacity):
                return False
            if waiting is not None and waiting.due <= due:
                return True
            entry = _Entry(hint, due, next(self._numbers))
            self._entries[hint.key] = entry
            heapq.heappush(self._order, (entry.due, entry.number, hint.key))
            if len(self._order) > 2 * len(self._entries) + 64:
                self._order = [(each.due, each.number, key) for key, each in self._entries.items()]
                heapq.heapify(self._order)
            self._changed.notify()
            return True

    def get(self, timeout: float | None = None) -> ClusterHint | None:
        """The hint that has been due for longest; None after `timeout` wall seconds without one, or when the queue is closed."""
        end = None if timeout is None else self._monotonic() + timeout
        with self._changed:
            while True:
                if self._closed:
                    return None
                entry = self._first()
                now = self._now()
                if entry is not None and entry.due <= now:
                    heapq.heappop(self._order)
                    del self._entries[entry.hint.key]
                    # Another getter may be asleep until the time of the entry that was just taken.
                    self._changed.notify()
                    return entry.hint
                waits = [] if entry is None else [max(0.0, self._real_seconds(entry.due - now))]
                if end is not None:
                    left = end - self._monotonic()
                    if left <= 0:
                        return None
                    waits.append(left)
                self._changed.wait(min(waits) if waits else None)

    def forget(self, key: ClusterKey) -> None:
        """The cluster is not worth a look any more."""
        with self._changed:
            self._entries.pop(key, None)

    def close(self) -> None:
        """Everybody who waits gets None."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __len__(self) -> int:
        with self._changed:
            return len(self._entries)

    def _first(self) -> _Entry | None:
        while self._order:
            _, number, key = self._order[0]
            entry = self._entries.get(key)
            if entry is not None and entry.number == number:
                return entry
            heapq.heappop(self._order)
        return None
