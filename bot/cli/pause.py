"""`drover pause`: the global brake."""

import click

from bot.cli.shared import incident_store


@click.command("pause")
def command() -> None:
    """Stop acting on any cluster. Watching, diagnosing and reporting go on."""
    with incident_store() as store:
        store.set_note("paused", True)
    click.echo("Paused: no cure begins until `drover resume`. What is being put back is still put back.")
