"""Who may write to a cluster at this moment? One incident on one worker, by a lease whose number only grows: it fences.

A worker that stood still for a while (a paused machine, a database that was away) may wake up after another one took its
incident over. It cannot know that by looking at its own clock. So it looks at the number, right before every write.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from bot.errors import RefusedError
from bot.incidents.incident import Incident
from bot.ports import Clock, IncidentBook
from rancher_ext.fleet.cluster import ClusterKey

# Longer than any single write takes with its retries; shorter than anybody waits for a dead worker.
LEASE = timedelta(minutes=15)
# Beginning takes a look at the cluster and two rows.
BEGINNING_LASTS = timedelta(minutes=1)
# Another worker's beginning is waited for so many tenths of a second.
BEGINNING_TRIES = 30
_BEGINNING = ClusterKey("", "beginning")


class LeaseHeld(RefusedError):
    """Another worker has it. That passes."""


class LeaseLost(RefusedError):
    """Another one had the cluster since we last wrote: what we meant to write next rests on facts that are old."""

    lasting = True


def holder_name(worker: str, incident: str) -> str:
    return f"{worker}#{incident}"


def worker_of(holder: str) -> str:
    return holder.partition("#")[0]


class Leases:
    """The leases of one worker. What it holds it knows by itself; when it starts again, it takes them anew under a higher number."""

    def __init__(self, store: IncidentBook, worker: str, clock: Clock) -> None:
        self._store = store
        self._worker = worker
        self._clock = clock
        self._numbers: dict[str, int] = {}
        self._lock = threading.Lock()
        self._beginning = threading.Lock()

    @contextmanager
    def beginning(self) -> Iterator[None]:
        """One incident at a time, over all workers: two that begin at once must not both be the last one the brake lets through."""
        with self._beginning:
            patience = BEGINNING_TRIES
            while self._store.lease(_BEGINNING, self._worker, self._clock.now(), BEGINNING_LASTS) is None:
                patience -= 1
                if not patience:
                    raise LeaseHeld("another worker is just beginning to mend", cure="Drover asks again in a moment.")
                time.sleep(0.1)
            try:
                yield
            finally:
                self._store.release(_BEGINNING, self._worker, self._clock.now())

    def take(self, row: Incident) -> int:
        """For the first write of a plan, or of an undo. Raises LeaseHeld while another one has it."""
        number = self._known(row)
        if number is not None and self._renew(row, number):
            return number
        self._forget(row)
        return self._take(row)

    def keep(self, row: Incident) -> int:
        """For everything in the middle: the lease on which this incident began, with its full time before it again.

        After a restart, or when the incident came from a dead worker, it is taken anew; but not when somebody else had it between.
        """
        number = self._known(row)
        if number is not None:
            if self._renew(row, number):
                return number
            self._forget(row)
            raise self._lost(row)
        last = self._store.lease_holder(row.cluster) or ""
        incident = last.partition("#")[2]
        if incident and incident != row.id:
            raise self._lost(row)
        return self._take(row)

    def release(self, row: Incident) -> None:
        self._forget(row)
        self._store.release(row.cluster, holder_name(self._worker, row.id), self._clock.now())

    def _take(self, row: Incident) -> int:
        holder = holder_name(self._worker, row.id)
        number = self._store.lease(row.cluster, holder, self._clock.now(), LEASE)
        if number is None:
            raise LeaseHeld(
                f"another worker is changing {row.cluster_name}",
                cure="Drover goes on by itself when that one is done, or its lease ends.",
            )
        with self._lock:
            self._numbers[row.id] = number
        return number

    def _renew(self, row: Incident, number: int) -> bool:
        return self._store.renew(row.cluster, number, self._clock.now(), LEASE)

    def _known(self, row: Incident) -> int | None:
        with self._lock:
            return self._numbers.get(row.id)

    def _forget(self, row: Incident) -> None:
        with self._lock:
            self._numbers.pop(row.id, None)

    def _lost(self, row: Incident) -> LeaseLost:
        return LeaseLost(
            f"the lease on {row.cluster_name} went to another one meanwhile: nothing more is written under it",
            cure="See in the audit record what was written to the cluster; then `/drover retry` or `/drover rollback`.",
        )
