"""On which road does a plan run from the terminal, and how is it followed?

Where a service uses the database, it is asked, and followed from outside. Where none does, this process is the service for one
cluster: the same durable flow, under the same policy, with every other incident left as it is. Either way what was begun survives
this process.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

from bot.adapters.database import Database
from bot.adapters.incident_store import IncidentStore
from bot.app import App, build_tracker
from bot.cli.terminal import ask_incident, ask_to_look
from bot.errors import StoreError
from bot.incidents.incident import Incident, State, incident_id
from bot.log import configure
from bot.ports import IncidentBook, IssueTracker
from bot.settings import Settings
from bot.workflows.incident_flow import TOPIC
from rancher_ext.fleet.cluster import ClusterKey
from rancher_ext.listeners.hint import ClusterHint
from rancher_ext.remediation.playbook import Playbook

ACTING = frozenset({State.REMEDIATING, State.VERIFYING, State.ROLLING_BACK})
SETTLED = frozenset({State.REPORTED, State.AWAITING_APPROVAL, State.ESCALATED, State.REJECTED, State.ROLLED_BACK})
# Nothing at all happens for so long: nobody is working on it.
_SILENT = 300.0
_EVERY = 0.25
_GONE_EVERY = 2.0

Json = Mapping[str, Any]
Show = Callable[[str, str], None]


class Road(Protocol):
    """What following a plan needs of the service, be it this process or another one."""

    @property
    def store(self) -> IncidentBook: ...
    @property
    def tracker(self) -> IssueTracker | None: ...

    def look(self, key: ClusterKey) -> None: ...
    def send(self, incident: str, message: Json, once: str) -> None: ...
    def ended(self, incident: str) -> bool: ...


class _Elsewhere(BaseException):
    """Leaves another incident's workflow where it is. Not an Exception: the engine must not record it as a result."""


class _OneCluster:
    """The flow's steps, for the incidents of one cluster."""

    def __init__(self, steps: object, prefix: str) -> None:
        self._steps = steps
        self._prefix = prefix

    def __getattr__(self, name: str) -> Callable[..., Any]:
        step = getattr(self._steps, name)

        def only(incident: str, *arguments: Any) -> Any:
            if not incident.startswith(self._prefix):
                raise _Elsewhere
            return step(incident, *arguments)

        return only


@dataclass
class _Alone:
    app: App

    @property
    def store(self) -> IncidentBook:
        return self.app.parts.store

    @property
    def tracker(self) -> IssueTracker | None:
        return self.app.parts.tracker

    def look(self, key: ClusterKey) -> None:
        self.app.watchman.look(ClusterHint(key, "terminal"))

    def send(self, incident: str, message: Json, once: str) -> None:
        if not self.app.engine.send(incident, TOPIC, dict(message) | {"once": once}, once=once):
            raise StoreError(
                f"{incident} is over: nobody takes a word for it", cure="`drover incidents show` tells how it ended."
            )

    def ended(self, incident: str) -> bool:
        return not self.app.engine.is_running(incident)


@dataclass
class _Asked:
    store: IncidentBook
    tracker: IssueTracker | None

    def look(self, key: ClusterKey) -> None:
        ask_to_look(self.store, key)

    def send(self, incident: str, message: Json, once: str) -> None:
        ask_incident(self.store, incident, dict(message) | {"once": once})

    def ended(self, incident: str) -> bool:
        """Its last words are the service's business."""
        return True


def road(
    settings: Settings, key: ClusterKey, uid: str, *, alone: bool, playbook: Playbook | None
) -> AbstractContextManager[Road]:
    return _alone(settings, key, uid, playbook) if alone else _asked(settings)


@contextmanager
def _alone(settings: Settings, key: ClusterKey, uid: str, playbook: Playbook | None) -> Iterator[Road]:
    configure(settings.log_format, quiet=True)
    app = App(settings)
    try:
        steps: object = app.steps
        if playbook is not None:
            named = dict.fromkeys(app.parts.knowledge.playbooks, playbook)
            steps = type(app.steps)(replace(app.parts, knowledge=replace(app.parts.knowledge, playbooks=named)))
        prefix = incident_id(key.rancher, uid, 0).removesuffix("0")
        app.steps = cast(Any, _OneCluster(steps, prefix))
        # Known as a worker, so that a service of another name (another machine) takes up what is left open here.
        app.crew.begin()
        app.engine.launch()
        yield _Alone(app)
    finally:
        app.stop()


@contextmanager
def _asked(settings: Settings) -> Iterator[Road]:
    database = Database(settings.database_url)
    tracker = build_tracker(settings.github, settings.clock_speed) if settings.github else None
    try:
        yield _Asked(IncidentStore(database), tracker)
    finally:
        if tracker is not None:
            tracker.close_connections()
        database.close()


class Abandoned(Exception):
    """Whoever did the work is gone."""


class Follower:
    """Shows an incident's timeline as it grows, and knows when nothing moves any more.

    `gone` asks whether whoever does the work is gone; None where that is not for us to say.
    """

    def __init__(self, store: IncidentBook, incident: str, show: Show, gone: Callable[[], bool] | None = None) -> None:
        self._gone = gone
        self._asked = time.monotonic()
        self._store = store
        self._incident = incident
        self._show = show
        self._shown = len(store.timeline(incident))
        self._moved = time.monotonic()
        self._reasons = ""

    def found(self) -> int:
        """How often evidence was collected."""
        return sum(entry.kind == "found" for entry in self._store.timeline(self._incident))

    def row(self) -> Incident:
        """The incident now; what is new of its story has been shown."""
        timeline = self._store.timeline(self._incident)
        for entry in timeline[self._shown :]:
            self._show(f"{entry.at:%H:%M:%S}  {entry.kind:9}", entry.text)
            self._moved = time.monotonic()
        self._shown = max(self._shown, len(timeline))
        row = self._store.get(self._incident)
        reasons = "; ".join((row.decision or {}).get("reasons", ())) if _held(row) else ""
        if reasons and reasons != self._reasons:
            self._show(f"{'':8}  {'waits':9}", reasons)
        self._reasons = reasons
        return row

    def until(self, holds: Callable[[Incident], bool], what: str) -> Incident:
        """Raises StoreError when nothing happens for minutes: a workflow of another worker waits for that worker.

        Raises Abandoned when whoever did the work is gone.
        """
        self._moved = time.monotonic()
        while True:
            row = self.row()
            if holds(row):
                return row
            if self._gone is not None and time.monotonic() - self._asked > _GONE_EVERY:
                self._asked = time.monotonic()
                if self._gone():
                    raise Abandoned
            if row.state not in ACTING and not _held(row) and time.monotonic() - self._moved > _SILENT:
                raise StoreError(
                    f"waited in vain for {what}: {row.id} is {row.state} and nobody works on it",
                    cure="It may have been begun by another worker: start that one, or set DROVER_EXECUTOR_ID to its name.",
                )
            time.sleep(_EVERY)


def _held(row: Incident) -> bool:
    """A brake may hold it for hours; that is no silence."""
    return (row.decision or {}).get("decision") == "wait"
