"""What do several commands need: servers from settings, a console, formats?"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bot.settings import RancherSettings, Settings, load_settings
from bot.workflows.parts import RancherServer
from rancher_ext.client.snapshot import FleetReader
from rancher_ext.client.transport import TokenSource, Transport
from rancher_ext.errors import BadInput

if TYPE_CHECKING:
    from bot.adapters.incident_store import IncidentStore

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


def policy_now(settings: Settings) -> Callable[[], datetime]:
    if settings.clock_speed == 1.0:
        return lambda: datetime.now(UTC)
    from bot.adapters.clock import PolicyClock

    return PolicyClock(settings.clock_speed, settings.clock_origin).now


def settings_or_exit() -> Settings:
    return load_settings()


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
