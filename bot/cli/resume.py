"""`drover resume`: the global brake, and playbooks that failed too often."""

import os
from difflib import get_close_matches

import click

from bot.cli.shared import audited_now, incident_store, set_pause


@click.command("resume")
@click.option("--playbook", default="", help="Let a playbook that failed too often run by itself again.")
def command(playbook: str) -> None:
    """Act again after `drover pause`."""
    if playbook:
        _resume_playbook(playbook)
    elif set_pause("", paused=False):
        click.echo("Drover acts again.")
    else:
        click.echo("It was not paused: Drover acts.")


def _resume_playbook(playbook: str) -> None:
    from bot.adapters.clock import PolicyClock
    from bot.knowledge import load_knowledge
    from bot.settings import load_settings
    from bot.workflows.cure_logs import resume_playbook
    from bot.workflows.lease import Leases
    from rancher_ext.errors import BadInput

    settings = load_settings()
    known = sorted(
        {book.id for book in load_knowledge(settings.signature_dirs, settings.playbook_dirs).playbooks.values()}
    )
    if playbook not in known:
        near = get_close_matches(playbook, known, n=1)
        raise BadInput(
            f"there is no playbook {playbook!r}",
            cure=f"Did you mean {near[0]}?" if near else f"There are: {', '.join(known)}.",
        )
    clock = PolicyClock(settings.clock_speed, settings.clock_origin)
    with incident_store() as store:
        # The log is one note: a service that notes the end of a cure at this moment waits for its turn.
        with Leases(store, f"terminal-{os.getpid()}", clock).beginning():
            resume_playbook(store, playbook, clock.now())
        audited_now(store, clock.now(), "resume", f"playbook {playbook}", "", {"failures": "forgotten"})
    click.echo(f"{playbook} may run by itself again, where the policy lets it.")
