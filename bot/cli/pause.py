"""`drover pause`: the global brake."""

import click

from bot.adapters.database import Database
from bot.adapters.incident_store import IncidentStore
from bot.settings import load_settings


@click.command("pause")
def command() -> None:
    """Stop acting on any cluster. Watching, diagnosing and reporting go on."""
    settings = load_settings()
    settings.home.mkdir(parents=True, exist_ok=True)
    database = Database(settings.database_url)
    database.create()
    IncidentStore(database).set_note("paused", True)
    click.echo("Paused: nothing is written to any cluster until `drover resume`.")
