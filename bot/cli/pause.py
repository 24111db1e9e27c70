"""`drover pause`: the global brake."""

import click

from bot.cli.shared import set_pause


@click.command("pause")
@click.argument("reason", nargs=-1)
def command(reason: tuple[str, ...]) -> None:
    """Stop acting on any cluster, and say why if you like. Watching, diagnosing and reporting go on."""
    if set_pause(" ".join(reason), paused=True):
        click.echo("Paused: no cure begins until `drover resume`. What is being put back is still put back.")
    else:
        click.echo("It was paused already. `drover resume` lets it act again.")
