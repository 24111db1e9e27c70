"""`drover demo`: the whole road, without Rancher and without GitHub.

A simulated Rancher with a fleet, a simulated GitHub with people, and the real service between them over real HTTP. Times of the
policy are the real ones; everybody's clock runs faster. The script says how each cluster must end, and the exit status tells
whether it did.
"""

import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.live import Live
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from bot.app import App
from bot.cli.demo_script import CAST, PEOPLE, Part, Person, check, ended
from bot.cli.shared import err, out
from bot.cli.thread_view import print_thread
from bot.log import configure
from bot.settings import load_settings
from bot.simulator import RunningGitHub
from bot.web.running import RunningWeb
from rancher_ext.errors import BadInput
from rancher_ext.simulator.clock import SimClock
from rancher_ext.simulator.fleet import Fleet
from rancher_ext.simulator.running import RunningRancher

_SECRET = "demo-webhook-secret"  # noqa: S105 - opens nothing but the demo
_GIVE_UP = 110.0
_STYLES = {
    "resolved": "green",
    "superseded": "green",
    "rolled-back": "yellow",
    "escalated": "yellow",
    "healthy": "green",
}


@click.command("demo")
@click.option(
    "--scenario",
    "scenarios",
    multiple=True,
    help="Only these clusters of the script (by scenario); may be given several times.",
)
@click.option(
    "--exit-when-done", is_flag=True, help="End when every scripted incident has ended, instead of waiting for Ctrl-C."
)
@click.option(
    "--speed", type=click.FloatRange(1, 600), default=90.0, show_default=True, help="How much faster the clocks run."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="Of the dashboard; 0 takes a free one.",
)
def command(scenarios: tuple[str, ...], exit_when_done: bool, speed: float, port: int) -> int:
    """A simulated fleet and GitHub with the real service: see the whole road.

    Exit status 0 when every scripted incident ended as it should.
    """
    cast = [part for part in CAST if not scenarios or part.scenario in scenarios]
    if not cast:
        raise BadInput(
            f"the demo has no scenario {', '.join(scenarios)}",
            cure=f"It has: {', '.join(sorted({part.scenario for part in CAST}))}.",
        )
    configure("text", quiet=True)
    with _stage(cast, speed, port) as (app, github, rancher, web):
        out.print(f"Drover demo: {len(cast)} clusters, clocks run {speed:g} times faster")
        out.print(
            f"  dashboard  {web.url}/\n  GitHub     {github.url}/{github.repository}/issues\n  Rancher    {rancher.url}\n"
        )
        _play(app, cast, Person(github, PEOPLE[0]))
        _show_threads(github)
        problems = check(app, cast, list(rancher.fleet.journal))
        _show_ends(app, cast, problems)
        out.print(f"\nDashboard: {web.url}/   Issues: {github.url}/{github.repository}/issues")
        if not exit_when_done:
            out.print("Everything goes on until Ctrl-C: comment on the issues as a person, or break more clusters.")
            _until_interrupted()
        return 1 if problems else 0


@contextmanager
def _stage(
    cast: list[Part], speed: float, port: int
) -> Iterator[tuple[App, RunningGitHub, RunningRancher, RunningWeb]]:
    """Both simulators, the service and its pages; everything is gone afterwards."""
    origin = time.time()
    fleet = Fleet(SimClock(speed, origin))
    for part in cast:
        fleet.add(part.scenario, part.name, **part.params)
    home = Path(tempfile.mkdtemp(prefix="drover-demo-"))
    try:
        with RunningRancher(fleet) as rancher, RunningGitHub(people=dict(PEOPLE)) as github:
            environment = {
                "DROVER_HOME": str(home),
                "DROVER_CONFIG_DIR": str(home),
                "DROVER_RANCHER_URL": rancher.url,
                "DROVER_RANCHER_TOKEN": rancher.token,
                "DROVER_GITHUB_API_URL": github.url,
                "DROVER_GITHUB_REPOSITORY": github.repository,
                "DROVER_GITHUB_TOKEN": github.token,
                "DROVER_GITHUB_WEBHOOK_SECRETS": _SECRET,
                "DROVER_CLOCK_SPEED": str(speed),
                "DROVER_CLOCK_ORIGIN": repr(origin),
                "DROVER_EXECUTOR_ID": "demo",
                "DROVER_LISTEN": f"127.0.0.1:{port}",
            }
            app = App(load_settings(environment))
            with RunningWeb(app.web_parts(), "127.0.0.1", port) as web:
                github.send_hooks_to(f"{web.url}/hooks/github", _SECRET)
                app.start()
                try:
                    yield app, github, rancher, web
                finally:
                    app.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _play(app: App, cast: list[Part], person: Person) -> None:
    """Until every part has ended, or it takes too long."""
    started, told = time.monotonic(), set[str]()
    with Live(console=out, refresh_per_second=4, transient=True) if out.is_terminal else _quiet() as live:
        while time.monotonic() - started < _GIVE_UP:
            person.act(cast)
            if live is not None:
                live.update(_board(app, cast, time.monotonic() - started))
            else:
                _tell(app, told)
            if all(ended(app, part) for part in cast):
                break
            time.sleep(0.25)
    if live is not None:
        _tell(app, told)


@contextmanager
def _quiet() -> Iterator[None]:
    yield None


def _board(app: App, cast: list[Part], seconds: float) -> Table:
    """The fleet as it stands, for a terminal."""
    table = Table(
        title=f"{app.clock.now():%H:%M} UTC on the fleet's clock · {seconds:.0f} s here",
        title_justify="left",
        box=None,
        padding=(0, 2, 0, 0),
    )
    for column in ("cluster", "", "state", "what Rancher says, or what is being done"):
        table.add_column(column, no_wrap=True, overflow="ellipsis")
    seen = {cluster.name: cluster for cluster in app.fleet_store.seen()}
    incidents = {incident.cluster_name: incident for incident in reversed(app.parts.store.all())}
    for part in cast:
        cluster, incident = seen.get(part.name), incidents.get(part.name)
        state = incident.state.value if incident else (cluster.verdict if cluster else "…")
        text = (incident.outcome or incident.reason) if incident else (str(cluster.facts["reason"]) if cluster else "")
        kind = f"{cluster.facts['distribution']} {cluster.facts['cni']}" if cluster else ""
        table.add_row(
            part.name, Text(kind, style="dim"), Text(state, style=_STYLES.get(state, "cyan")), Text(text[:90])
        )
    return table


def _tell(app: App, told: set[str]) -> None:
    """New timeline lines, one by one, where nothing can be drawn in place."""
    lines = [
        (
            entry.at,
            f"{incident.id}/{entry.at}/{entry.text}",
            f"{entry.at:%H:%M:%S}  {incident.cluster_name:10} {entry.text}",
        )
        for incident in app.parts.store.all()
        for entry in app.parts.store.timeline(incident.id)
    ]
    for _, key, line in sorted(lines):
        if key not in told:
            told.add(key)
            out.print(Text(line))


def _show_threads(github: RunningGitHub) -> None:
    # Folded at a width that reads well; the shared console leaves long lines to the terminal.
    page = Console(highlight=False, width=min(out.width, 116) if out.is_terminal else 116)
    for issue in github.issues:
        page.print()
        page.print(Rule(characters="═"))
        print_thread(page, issue)


def _show_ends(app: App, cast: list[Part], problems: list[str]) -> None:
    out.print()
    out.print(Rule("How it ended", characters="═"))
    incidents = {incident.cluster_name: incident for incident in reversed(app.parts.store.all())}
    for part in cast:
        incident = incidents.get(part.name)
        state = incident.state.value if incident else "left alone"
        issue = f"#{incident.issue}" if incident and incident.issue else ""
        fine = not any(problem.startswith(f"{part.name}:") for problem in problems)
        out.print(
            Text(f"  {'✓' if fine else '✗'} ", style="green" if fine else "bold red")
            + Text(f"{part.name:11} {state:18} {issue:4} {part.tells}")
        )
    for problem in problems:
        err.print(Text(f"not as scripted: {problem}", style="bold red"))


def _until_interrupted() -> None:
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        out.print("\nGood bye.")
