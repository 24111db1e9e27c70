"""What do several commands need: servers from settings, a console, formats?"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bot.errors import StoreError
from bot.settings import RancherSettings, Settings, load_settings
from bot.workflows.parts import RancherServer
from rancher_ext.client.snapshot import FleetReader
from rancher_ext.client.transport import TokenSource, Transport
from rancher_ext.errors import BadInput, NotFound
from rancher_ext.fleet.cluster import ClusterKey

if TYPE_CHECKING:
    from bot.adapters.database import Database
    from bot.adapters.incident_store import IncidentStore

# Exit statuses of commands that act.
EXIT_REFUSED = 11
EXIT_UNDONE = 12

# Colours and width only on a terminal; rich also honours NO_COLOR.
out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False)


def rancher_server(rancher: RancherSettings, now: Callable[[], datetime]) -> RancherServer:
    """A server with its reader, from settings."""
    transport = Transport(
        rancher.url, TokenSource(rancher.token, rancher.token_file), name=rancher.name, ca_file=rancher.ca_file
    )
    return RancherServer(rancher.name, transport, FleetReader(transport, now))


def servers(settings: Settings) -> list[RancherServer]:
    """All servers. Raises BadInput when none is configured."""
    if not settings.ranchers:
        raise BadInput(
            "no Rancher server is configured",
            cure="Set DROVER_RANCHER_URL and DROVER_RANCHER_TOKEN (or DROVER_RANCHER_TOKEN_FILE). `drover demo` needs neither.",
        )
    clock = policy_now(settings)
    return [rancher_server(rancher, clock) for rancher in settings.ranchers]


def find_cluster(known: Sequence[RancherServer], name: str) -> tuple[RancherServer, ClusterKey]:
    """The first server that knows the cluster. Raises the last one's NotFound, which names near names."""
    missing: NotFound | None = None
    for server in known:
        try:
            return server, server.reader.find(name)
        except NotFound as error:
            missing = error
    assert missing is not None
    raise missing


def policy_now(settings: Settings) -> Callable[[], datetime]:
    if settings.clock_speed == 1.0:
        return lambda: datetime.now(UTC)
    from bot.adapters.clock import PolicyClock

    return PolicyClock(settings.clock_speed, settings.clock_origin).now


def settings_or_exit() -> Settings:
    return load_settings()


@contextmanager
def existing_database(settings: Settings) -> Iterator["Database | None"]:
    """The database as it is, for commands that only look: None where there is none yet, and nothing is made."""
    from bot.adapters.database import Database

    url = settings.database_url
    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).exists():
        yield None
        return
    database = Database(url)
    try:
        yield database if _is_ours(database) else None
    finally:
        database.close()


def _is_ours(database: "Database") -> bool:
    """Are its tables there? Raises StoreError when it cannot be read, or when a newer Drover wrote it."""
    from sqlalchemy import inspect

    from bot.adapters.database import SCHEMA_VERSION
    from bot.adapters.incident_store import IncidentStore

    try:
        with database.reading() as connection:
            if not inspect(connection).has_table("notes"):
                return False
        schema = int(IncidentStore(database).note("schema", default=0))
    except StoreError as error:
        raise StoreError(error.message, cure="Check DROVER_DATABASE_URL, and that the server runs.") from error
    if schema > SCHEMA_VERSION:
        raise StoreError(
            f"the database has schema {schema}, this Drover knows {SCHEMA_VERSION}",
            cure="Start the newer Drover that wrote it.",
        )
    return True


def who() -> str:
    """The person at this terminal, for approvals and the audit record."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run under a number that no user has.
        return "somebody"


@contextmanager
def incident_store() -> Iterator["IncidentStore"]:
    """The database of the settings, its tables made if need be."""
    from bot.adapters.database import Database
    from bot.adapters.incident_store import IncidentStore

    settings = load_settings()
    settings.make_home()
    database = Database(settings.database_url)
    try:
        database.create()
        yield IncidentStore(database)
    finally:
        database.close()


def set_pause(reason: str, *, paused: bool) -> bool:
    """Turn the global brake on or off, and say in the audit record who did. False when it was so already."""
    now = policy_now(load_settings())()
    with incident_store() as store:
        before = store.note("paused", default=False)
        if bool(before) is paused:
            return False
        after = {"by": who(), "at": now.isoformat(), "reason": reason[:500]} if paused else False
        store.set_note("paused", after)
        audited_now(store, now, "pause" if paused else "resume", "every cluster", reason, after, before)
    return True


def audited_now(
    store: "IncidentStore", now: datetime, what: str, place: str, rule: str, after: Any, before: Any = None
) -> None:
    """A record of what a person did at the terminal. It belongs to no incident."""
    store.record(
        "",
        now,
        once=f"{what}/{place}/{now.isoformat()}",
        what=what,
        place=place,
        actor=f"{who()} (terminal)",
        rule=rule[:500],
        before=before,
        after=after,
        result="done",
    )


def progress_bar() -> Progress:
    """On stderr, and only there: stdout stays clean for the result. Nothing is drawn where stderr is not a terminal."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )


def format_option(*formats: str) -> Callable[[Any], Any]:
    return click.option(
        "--format",
        "output",
        type=click.Choice(formats),
        default=formats[0],
        show_default=True,
        help="How to print the result.",
    )


def print_json(value: object) -> None:
    import json

    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def elapsed() -> Callable[[], float]:
    started = time.monotonic()
    return lambda: time.monotonic() - started
