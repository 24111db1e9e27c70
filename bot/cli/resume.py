"""`drover resume`: the global brake."""

import click

from bot.cli.shared import incident_store


@click.command("resume")
def command() -> None:
    """Act again after `drover pause`."""
    with incident_store() as store:
        store.set_note("paused", False)
    click.echo("Drover acts again.")
