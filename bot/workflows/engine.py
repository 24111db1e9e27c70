"""How does a flow survive a crash? The only module that knows the durable library (DBOS).

What follows from its ways (each was tried):
- executor ids must be stable and unique per process: on restart the process with the same name makes what it had begun run again,
  there or on another worker; what a name left that does not come back is taken up only by asking for that name (`crew.py`);
- the application version is a constant, else waiting incidents would stay behind after every change of code;
- steps return plain JSON; what a step failed with is a value, not an exception, so that a replay decides as the first run did;
- messages carry approvals and cancellations: a workflow is never cancelled in the middle of an apply;
- finished workflows are deleted by us, there is no retention setting.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer, SetWorkflowID
from dbos import error as dbos_error
from sqlalchemy.exc import SQLAlchemyError

from bot.errors import BotError, StoreError
from bot.ports import Clock
from rancher_ext.errors import DroverError

# Raised only together with patch points in the flows; see docs/upgrading.md before touching it.
APPLICATION_VERSION = "1"
# One thread per waiting incident; a storm of more waits its turn in the incident table.
MAX_THREADS = 600

Json = Mapping[str, Any]

# A topic that nobody sends to.
_NOTHING = "nothing"
# When a message was sent, in nanoseconds: stands in the message.
_SENT = "sentAt"
# A step that is on its way when the process stops has this long to end; what it does is safe to repeat in any case.
STEP_ENDS_WITHIN = 60.0
WAKE_WITHIN = 10.0

_BROKEN = frozenset({"ERROR", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"})
_RUNNING = frozenset({"PENDING", "ENQUEUED", "DELAYED"})
_log = structlog.get_logger("engine")


@dataclass(frozen=True)
class Failed:
    """What a step ended with instead of a result. `retry` tells whether later may go better (no answer, 429, 5xx)."""

    kind: str
    message: str
    cure: str
    retry: bool


class _Leaving(BaseException):
    """Unwinds a workflow's thread while the process stops, or when the run is another worker's. Not an Exception: the library must not record it as a result."""


class _Door:
    """Lets a process stop in order: steps that run come to their end, no new one begins, and those who wait are woken."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self.waiting = 0
        self.closed = False

    @contextmanager
    def step(self) -> Iterator[None]:
        with self._changed:
            self.check()
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextmanager
    def wait(self) -> Iterator[None]:
        with self._changed:
            self.check()
            self.waiting += 1
        try:
            yield
        finally:
            with self._changed:
                self.waiting -= 1

    def check(self) -> None:
        if self.closed:
            raise _Leaving

    def close(self, within: float) -> None:
        with self._changed:
            self.closed = True
            self._changed.wait_for(lambda: self._inside == 0, timeout=within)


class Flow:
    """What a workflow may do: steps, waits, messages. Everything else in a workflow must be a function of these."""

    def __init__(self, clock: Clock, transient: tuple[type[DroverError], ...], door: _Door | None = None) -> None:
        self._clock = clock
        self._transient = transient
        self._door = door or _Door()
        # Received and not asked for yet; rebuilt by a replay, which receives the same again.
        self._heard: list[Json] = []
        # Patch points that this run has passed on the new way; rebuilt by a replay as well.
        self._taken: set[str] = set()

    def step(self, name: str, function: Callable[..., Json | None], *arguments: Any) -> Json | Failed:
        """Run once, or read back what it returned before the crash. An expected failure is returned, a bug is raised."""

        def attempt() -> dict[str, Any]:
            try:
                return {"value": dict(function(*arguments) or {})}
            except DroverError as error:
                return {
                    "failed": {
                        "kind": type(error).__name__,
                        "message": error.message,
                        "cure": error.cure,
                        "retry": isinstance(error, self._transient) and not getattr(error, "lasting", False),
                    }
                }
            except Exception as error:  # noqa: BLE001 - see below
                # A bug must be loud, and must not end the incident: as a failure it reaches a person.
                _log.exception("step_failed", step=name)
                told = f"a bug in Drover ({type(error).__name__}: {error})"
                return {"failed": {"kind": "Bug", "message": told, "cure": "The log has the details.", "retry": False}}

        with self._door.step():
            outcome = DBOS.run_step({"name": name}, attempt)
        if "failed" in outcome:
            return Failed(**outcome["failed"])
        value: Json = outcome["value"]
        return value

    def patiently(
        self, name: str, function: Callable[..., Json | None], *arguments: Any, patience: timedelta
    ) -> Json | Failed:
        """As `step`, and again with growing pauses while it fails in a way that may pass, for at most `patience`."""
        waited, pause = timedelta(), timedelta(seconds=5)
        while True:
            outcome = self.step(name, function, *arguments)
            if not isinstance(outcome, Failed) or not outcome.retry or waited >= patience:
                return outcome
            self.wait(pause)
            waited += pause
            pause = min(pause * 2, timedelta(minutes=5))

    def patched(self, name: str) -> bool:
        """Does this run take the new way that bears this name? One that began before the new way was there goes on as it began.

        Asked only where a step follows, never where a wait does: the library notes a wait in two lines, and the second one first.
        """
        if name not in self._taken:
            with self._door.step():
                if DBOS.patch(name):
                    self._taken.add(name)
        return name in self._taken

    def took(self, name: str) -> bool:
        """Has this run passed a patch point of this name on the new way? Asks nothing, so it may stand before a wait."""
        return name in self._taken

    def wait(self, duration: timedelta) -> None:
        """The one way to wait. Survives a restart: what was left of it is waited for then.

        As a message that never comes, because the library's own sleep could not be ended when the process stops.
        """
        with self._door.wait():
            DBOS.recv(_NOTHING, timeout_seconds=self._clock.real_seconds(duration))

    def receive(self, topic: str, within: timedelta) -> Json | None:
        """The next message, or None when none came in time. In the order in which they were sent.

        The library orders messages by a time that on SQLite is a whole second: what is there is taken together and put in order.
        """
        if not self._heard:
            message = self._recv(topic, self._clock.real_seconds(within))
            while isinstance(message, Mapping):
                self._heard.append(message)
                message = self._recv(topic, 0.0)
            self._heard.sort(key=lambda each: each.get(_SENT, 0))
        return {name: value for name, value in self._heard.pop(0).items() if name != _SENT} if self._heard else None

    def _recv(self, topic: str, seconds: float) -> Any:
        with self._door.wait():
            return DBOS.recv(topic, timeout_seconds=seconds)


class Engine:
    """Starts, finds and messages workflows. One per process."""

    def __init__(
        self, *, database_url: str, executor_id: str, clock: Clock, transient: tuple[type[DroverError], ...]
    ) -> None:
        self._clock = clock
        self._transient = transient
        self._workflows: dict[str, Callable[..., Any]] = {}
        self._door = _Door()
        self._messages: Any = None
        config: DBOSConfig = {
            "name": "drover",
            "system_database_url": _engine_url(database_url),
            "application_version": APPLICATION_VERSION,
            "executor_id": executor_id,
            "serializer": DBOSPortableJSONSerializer(),
            "enable_otlp": False,
            "log_level": "WARNING",
            "max_executor_threads": MAX_THREADS,
            # Messages between processes arrive within this time where the database cannot push them (SQLite).
            "notification_listener_polling_interval_sec": 0.25,
            "scheduler_polling_interval_sec": 5.0,
        }
        logging.getLogger("dbos").setLevel(logging.WARNING)
        DBOS(config=config)

    def register(self, name: str, run: Callable[[Flow, str], str]) -> None:
        """Name a workflow before `launch`. It gets a `Flow` and the id it was started for."""

        def workflow(subject: str) -> str:
            try:
                return run(Flow(self._clock, self._transient, self._door), subject)
            except dbos_error.DBOSWorkflowConflictIDError:
                # Another worker has taken it over while this one stood still. The library would wait here for its end, for weeks.
                _log.warning("workflow_moved", workflow=name, subject=subject)
                raise _Leaving from None
            except Exception:
                # A bug. The run is over with this, and nobody else would hear of it.
                _log.exception("workflow_failed", workflow=name, subject=subject)
                raise

        workflow.__name__ = workflow.__qualname__ = name
        # Recovery is not an error to be counted: an incident may wait through a hundred restarts.
        self._workflows[name] = DBOS.workflow(name=name, max_recovery_attempts=None)(workflow)

    def launch(self) -> None:
        """Take up what this executor had begun, and be ready for more."""
        DBOS.launch()
        self._messages = _leave_when_closed(self._door)

    def start(self, name: str, workflow_id: str, subject: str) -> None:
        """Start, or do nothing when a workflow of this id was ever started."""
        with _spoken(f"start {workflow_id}"):
            if DBOS.get_workflow_status(workflow_id) is not None:
                return
            with SetWorkflowID(workflow_id):
                DBOS.start_workflow(self._workflows[name], subject)

    def recover(self, names: Sequence[str]) -> int:
        """Take up what workers of these names had begun and will not go on with. Returns how many runs there were.

        The library has no public way; this is what it calls itself at a start, with the own name. A run goes through its queue, so
        exactly one worker gets it, and an older execution of it can record nothing any more.
        """
        with _spoken(f"take up the work of {', '.join(names)}"):
            return len(DBOS._recover_pending_workflows(list(names)))  # noqa: SLF001 - see above

    def stand_still(self) -> None:
        """No step begins any more: another worker goes on with everything here."""
        self._door.close(0)

    def revive(self, workflow_id: str) -> None:
        """A run that ended in an error although its incident is open goes on from its last good step."""
        with _spoken(f"revive {workflow_id}"):
            status = DBOS.get_workflow_status(workflow_id)
            if status is not None and status.status in _BROKEN:
                _log.warning("workflow_revived", workflow=workflow_id, was=status.status)
                DBOS.resume_workflow(workflow_id)

    def is_running(self, workflow_id: str) -> bool:
        with _spoken(f"look for {workflow_id}"):
            status = DBOS.get_workflow_status(workflow_id)
        return status is not None and status.status in _RUNNING

    def send(self, workflow_id: str, topic: str, message: Json, *, once: str) -> bool:
        """Deliver a message once. False when nobody waits for it: the workflow is over, or never was."""
        if not self.is_running(workflow_id):
            return False
        with _spoken(f"send to {workflow_id}"):
            DBOS.send(workflow_id, {**message, _SENT: time.time_ns()}, topic, idempotency_key=once)
        return True

    def forget_finished(self, older_than: timedelta) -> int:
        """Delete the records of workflows that ended before. Incidents and audit are in our own tables and stay."""
        before = (datetime.now(UTC) - older_than).isoformat()
        with _spoken("delete finished workflows"):
            done = DBOS.list_workflows(
                status=["SUCCESS", "ERROR", "CANCELLED"],
                completed_before=before,
                limit=500,
                load_input=False,
                load_output=False,
            )
            ids = [status.workflow_id for status in done]
            if ids:
                DBOS.delete_workflows(ids)
        return len(ids)

    def close(self) -> None:
        """Stop. Running workflows stay as they are in the database and go on at the next launch."""
        self._door.close(STEP_ENDS_WITHIN)
        deadline = time.monotonic() + WAKE_WITHIN
        # Again and again: a thread may be on its way from the door to its waiting place.
        while self._messages is not None and self._door.waiting and time.monotonic() < deadline:
            for _, _, signal in self._messages.snapshot():
                signal.set()
            time.sleep(0.02)
        DBOS.destroy(destroy_registry=True)


def _leave_when_closed(door: _Door) -> Any:
    """Make threads that wait for a message leave once the door is closed, instead of recording that none came.

    The library (3.4) has no way to end a wait: at a stop its threads would go on, and keep the process alive for hours.
    Waiters look into the database when they are woken; there they leave. Returns the waiters' register.
    """
    system: Any = DBOS(config={"name": "drover"})._sys_db  # noqa: SLF001 - the instance that was launched
    consume = system.recv_consume

    def recv_consume(*arguments: Any, **more: Any) -> Any:
        door.check()
        return consume(*arguments, **more)

    system.recv_consume = recv_consume
    return system.notifications_map


@contextmanager
def _spoken(what: str) -> Iterator[None]:
    """What the library raises, in our words: callers survive a database that is away for a while."""
    try:
        yield
    except (dbos_error.DBOSException, SQLAlchemyError) as error:
        raise StoreError(
            f"the engine could not {what}: {type(error).__name__}",
            cure="Check that the database runs and is reachable.",
        ) from error


def _engine_url(database_url: str) -> str:
    """PostgreSQL: the same database, in the library's own schema. SQLite: a file beside ours, so that neither locks the other."""
    if database_url.startswith("sqlite"):
        if ":memory:" in database_url or database_url.rstrip("/") == "sqlite:":
            raise BotError(
                "the durable engine needs a database file", cure="Set DROVER_DATABASE_URL to a file or to PostgreSQL."
            )
        return database_url.removesuffix(".sqlite") + "-engine.sqlite"
    for prefix in ("postgresql+psycopg://", "postgres://"):
        if database_url.startswith(prefix):
            return "postgresql://" + database_url.removeprefix(prefix)
    return database_url
