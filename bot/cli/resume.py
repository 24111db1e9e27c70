"""`drover resume`: the global brake."""

import click

from bot.adapters.database import Database
from bot.adapters.incident_store import IncidentStore
from bot.settings import load_settings


@click.command("resume")
def command() -> None:
    """Act again after `drover pause`."""
    settings = load_settings()
    settings.home.mkdir(parents=True, exist_ok=True)
    database = Database(settings.database_url)
    database.create()
    IncidentStore(database).set_note("paused", False)
    click.echo("Drover acts again.")
