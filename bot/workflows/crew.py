"""Who does what when several workers share a database? One sweeps, everybody mends, and nobody is waited for in vain.

Incidents of a worker that is gone come back when its name comes back (a StatefulSet sees to it): that is the rule. Where it does
not come back, a survivor takes them over, after a silence long enough for any restart. A worker that was only standing still
finds itself declared dead and stops; what it held is fenced, so that it could not have written meanwhile.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog

from bot.errors import StoreError
from bot.ports import IncidentBook
from rancher_ext.fleet.cluster import ClusterKey

BEAT_EVERY = timedelta(seconds=10)
# Longer than a rolling update, a node's reboot or a database that fails over.
DEAD_AFTER = timedelta(minutes=5)
# Who sweeps keeps it for so long after its last beat.
LEADS_FOR = timedelta(minutes=1)
_WATCH = ClusterKey("", "watch")

_log = structlog.get_logger("crew")


class Workers(Protocol):
    """The rows of all workers."""

    def begin(self, name: str, now: datetime) -> int: ...

    def beat(self, name: str, life: int, now: datetime) -> bool: ...

    def silent(self, besides: str, now: datetime, limit: timedelta) -> list[str]: ...

    def take_over(self, name: str, by: str, now: datetime, limit: timedelta) -> list[str]: ...

    def taken_by(self, name: str) -> list[str]: ...


class Crew:
    """One worker's place among all. `recover` makes the engine take up what workers of these names had begun."""

    def __init__(
        self,
        name: str,
        workers: Workers,
        store: IncidentBook,
        recover: Callable[[Sequence[str]], int],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.name = name
        self.leads = False
        self.dead = False
        self._workers = workers
        self._store = store
        self._recover = recover
        self._now = now
        self._life = 0
        self._leading = 0
        self._last: datetime | None = None
        self._unbroken_since: datetime | None = None

    def begin(self) -> None:
        """Before anything else: from here on an earlier process of this name is fenced."""
        now = self._now()
        self._life = self._workers.begin(self.name, now)
        self._last = self._unbroken_since = now

    def finish_take_overs(self) -> None:
        """Once the engine runs: what an earlier life of this worker had taken over and not taken up."""
        taken = self._workers.taken_by(self.name)
        if taken:
            self._recover(taken)

    def beat(self) -> bool:
        """To be called every BEAT_EVERY. False when this worker has been declared dead: it must stop at once."""
        now = self._now()
        if not self._workers.beat(self.name, self._life, now):
            _log.error("declared_dead", worker=self.name, cure="It stops, and begins afresh when it is started again.")
            self.dead, self.leads = True, False
            return False
        if self._last is None or now - self._last > 3 * BEAT_EVERY:
            # This one or the database stood still: then others may look dead that are not. They get their time anew.
            self._unbroken_since = now
        self._last = now
        self._lead(now)
        if self._unbroken_since is not None and now - self._unbroken_since >= DEAD_AFTER:
            self._bury(now)
        return True

    def stop(self) -> None:
        """Another one may sweep at once."""
        if self.leads:
            self._store.release(_WATCH, self.name, self._now())
            self.leads = False

    def _lead(self, now: datetime) -> None:
        if self.leads and self._store.renew(_WATCH, self._leading, now, LEADS_FOR):
            return
        number = self._store.lease(_WATCH, self.name, now, LEADS_FOR)
        if number is not None and not self.leads:
            _log.info("leads", worker=self.name)
        self.leads, self._leading = number is not None, number or 0

    def _bury(self, now: datetime) -> None:
        for silent in self._workers.silent(self.name, now, DEAD_AFTER):
            names = self._workers.take_over(silent, self.name, now, DEAD_AFTER)
            if names:
                _log.warning("took_over", worker=silent, by=self.name, workflows=self._recover(names))


def beats(crew: Crew) -> bool:
    """As `crew.beat`; a database that is away is no sign of death."""
    try:
        return crew.beat()
    except StoreError as error:
        _log.warning("beat_failed", worker=crew.name, error=error.message)
        return True
