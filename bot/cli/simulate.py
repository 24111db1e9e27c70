"""`drover simulate`: the simulated Rancher alone, over HTTP."""

import click

from bot.cli.shared import err


@click.command("simulate")
@click.option(
    "--scenario", "scenarios", multiple=True, help="One cluster of this scenario; may be given several times."
)
@click.option(
    "--clusters", type=click.IntRange(1, 20_000), default=40, show_default=True, help="Size of the generated fleet."
)
@click.option(
    "--nodes", type=click.IntRange(1, 5_000), default=3, show_default=True, help="Nodes per generated cluster."
)
@click.option("--port", type=click.IntRange(0, 65535), default=8443, show_default=True, help="0 takes a free one.")
@click.option(
    "--speed",
    type=click.FloatRange(0.01, 10_000),
    default=1.0,
    show_default=True,
    help="How much faster its clock runs.",
)
@click.option("--rancher-version", default="v2.11.3", show_default=True)
@click.option("--list", "list_only", is_flag=True, help="List the scenarios and stop.")
def command(
    scenarios: tuple[str, ...],
    clusters: int,
    nodes: int,
    port: int,
    speed: float,
    rancher_version: str,
    list_only: bool,
) -> int:
    """Serve a simulated Rancher with a fleet of clusters, healthy and ill, until Ctrl-C.

    Its truth is at /simulator/truth, what was written to it at /simulator/writes.
    """
    import time

    from rancher_ext.errors import BadInput
    from rancher_ext.simulator.clock import SimClock
    from rancher_ext.simulator.fleet import ADMIN_TOKEN, Fleet
    from rancher_ext.simulator.running import serve_forever
    from rancher_ext.simulator.scenario import ScenarioError, load_scenario, scenario_ids

    if list_only:
        for name in scenario_ids():
            click.echo(f"{name}  {load_scenario(name).title}")
        return 0
    origin = time.time()
    clock = SimClock(speed, origin)
    try:
        if scenarios:
            fleet = Fleet(clock, rancher_version)
            for name in scenarios:
                fleet.add(name)
        else:
            fleet = Fleet.generate(clusters, nodes, clock=clock, rancher_version=rancher_version)
    except ScenarioError as error:
        raise BadInput(str(error), cure="`drover simulate --list` shows the scenarios.") from error

    def started(url: str) -> None:
        click.echo(f"export DROVER_RANCHER_URL={url}")
        click.echo(f"export DROVER_RANCHER_TOKEN={ADMIN_TOKEN}")
        if speed != 1.0:
            click.echo(f"export DROVER_CLOCK_SPEED={speed} DROVER_CLOCK_ORIGIN={origin}")
        err.print(f"[dim]{len(fleet.clusters)} clusters under Rancher {rancher_version}; Ctrl-C ends it[/dim]")

    serve_forever(fleet, port=port, started=started)
    return 0
