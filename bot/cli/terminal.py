"""How does a word from the terminal reach a running service? Through its database, where the service looks every second.

The command line must not run the engine beside a service, so it leaves a note and waits until the service has taken it. A note
that got lost (two people wrote at the same moment) is simply left again; one that is taken twice counts once.
"""

import threading
import time
import uuid
from collections.abc import Mapping
from typing import Any

import structlog

from bot.app import App
from bot.errors import StoreError
from bot.ports import IncidentBook
from bot.workflows.incident_flow import TOPIC
from rancher_ext.errors import DroverError
from rancher_ext.fleet.cluster import ClusterKey
from rancher_ext.listeners.hint import ClusterHint

_NOTE = "terminal"
_EVERY = 1.0
_ANSWERED_WITHIN = 30.0
_log = structlog.get_logger("terminal")

Json = Mapping[str, Any]


def ask_to_look(store: IncidentBook, key: ClusterKey, within: float = _ANSWERED_WITHIN) -> None:
    """Let the service look at a cluster; if it is stuck, that opens its incident."""
    _leave(store, {"look": [key.rancher, key.id]}, within)


def ask_incident(store: IncidentBook, incident: str, message: Json, within: float = _ANSWERED_WITHIN) -> None:
    """Send a message to an incident's workflow. Raises StoreError when no service takes it."""
    _leave(store, {"incident": incident, "message": dict(message)}, within)


def _leave(store: IncidentBook, ask: Json, within: float) -> None:
    identifier = uuid.uuid4().hex
    deadline = time.monotonic() + within
    while not store.claimed(f"terminal:{identifier}"):
        if time.monotonic() > deadline:
            raise StoreError(
                "a service uses this database, but it does not take what the terminal asks",
                cure="See its log. A service older than this command line does not know such notes: update it.",
            )
        waiting = _waiting(store)
        if all(each["id"] != identifier for each in waiting):
            store.set_note(_NOTE, [*waiting, {"id": identifier, **ask}])
        time.sleep(_EVERY / 4)


def serve_terminal(app: App, stop: threading.Event) -> None:
    """The service's side: take what was left, until stopped."""
    while not stop.wait(_EVERY):
        try:
            take(app)
        except DroverError as error:
            _log.warning("terminal_failed", error=error.message, cure=error.cure)


def take(app: App) -> int:
    """Do what was asked, and say so by claiming it. Returns how much that was."""
    store = app.parts.store
    waiting = _waiting(store)
    for ask in waiting:
        key = f"terminal:{ask['id']}"
        if not store.claimed(key):
            _do(app, ask)
            store.claim(key, app.clock.now())
    if waiting:
        done = {each["id"] for each in waiting}
        store.set_note(_NOTE, [each for each in _waiting(store) if each["id"] not in done])
    return len(waiting)


def _do(app: App, ask: Json) -> None:
    try:
        if "look" in ask:
            app.watchman.look(ClusterHint(ClusterKey(*ask["look"]), "terminal"))
        else:
            once = f"{ask['incident']}/terminal/{ask['id']}"
            app.engine.send(ask["incident"], TOPIC, dict(ask["message"]) | {"once": once}, once=once)
    except StoreError:
        raise
    except DroverError as error:
        # Whoever waits sees that nothing moves; the next one's ask must not wait behind this one.
        _log.warning("terminal_ask_failed", ask=ask, error=error.message)


def _waiting(store: IncidentBook) -> list[dict[str, Any]]:
    return list(store.note(_NOTE, default=[]) or [])
