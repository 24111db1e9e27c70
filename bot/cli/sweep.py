"""`drover sweep`: one pass over the fleet."""

import html
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from bot.adapters.fleet_store import FleetStore
from bot.cli.shared import elapsed, err, format_option, out, print_json, progress_bar, servers, settings_or_exit
from bot.settings import Settings
from bot.workflows.parts import RancherServer
from bot.workflows.watchman import Look, facts_of
from rancher_ext.detection import (
    Healthy,
    OutOfScope,
    Progress,
    Progressing,
    Stuck,
    Unknown,
    assess,
    deserves_closer_look,
)
from rancher_ext.detection.verdict import word

_ORDER = (Stuck, Progressing, Unknown, OutOfScope, Healthy)
_WORDS = {Stuck: ("STUCK", "bold red"), Progressing: ("slow", "yellow"), Unknown: ("?", "magenta")}


@click.command("sweep")
@format_option("table", "json", "markdown", "html")
def command(output: str) -> int:
    """Look at the whole fleet once.

    Exit status: 0 when no cluster is stuck, 10 when some are, 2 when the fleet could not be read.
    """
    settings = settings_or_exit()
    looks: list[Look] = []
    heads: list[dict[str, Any]] = []
    for server in servers(settings):
        took, before = elapsed(), server.transport.counters.requests
        found = _sweep(server, settings)
        looks += found
        heads.append(
            {
                "rancher": server.name,
                "url": server.transport.url,
                "clusters": len(found),
                "seconds": round(took(), 2),
                "requests": server.transport.counters.requests - before,
            }
        )
    looks.sort(key=lambda look: (_ORDER.index(type(look.verdict)), look.snapshot.identity.name))
    {"table": _table, "json": _json, "markdown": _markdown, "html": _html}[output](heads, looks)
    return 10 if any(isinstance(look.verdict, Stuck) for look in looks) else 0


def _sweep(server: RancherServer, settings: Settings) -> list[Look]:
    scope, memory = settings.limits.scope, _memory(settings, server.name)
    with progress_bar() as bar:
        task = bar.add_task(f"looking at {server.transport.url}", total=None)
        snapshots = server.reader.fleet(
            lambda snapshot: deserves_closer_look(snapshot, scope),
            lambda done, of: bar.update(task, completed=done, total=of, description="looking closer"),
        )
    looks = []
    for snapshot in snapshots:
        uid, known = memory.get(snapshot.identity.id, ("", None))
        progress, verdict = assess(snapshot, known if uid == snapshot.identity.uid else None, settings.limits)
        looks.append(Look(snapshot, verdict, progress))
    return looks


def _memory(settings: Settings, rancher: str) -> dict[str, tuple[str, Progress]]:
    """What the service remembers, when there is one here. A sweep from the command line writes nothing."""
    from bot.adapters.database import Database
    from bot.errors import StoreError

    url = settings.database_url
    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).exists():
        return {}
    database = Database(url)
    try:
        return FleetStore(database).memory(rancher)
    except StoreError as error:
        err.print(f"[dim]without memory of earlier sweeps: {error.message}[/dim]")
        return {}
    finally:
        database.close()


def _row(look: Look, now: datetime) -> tuple[str, str, str, str, str, str, str]:
    facts, snapshot, verdict = facts_of(look), look.snapshot, look.verdict
    version = facts["kubernetes"].split("+")[0].split("-rancher")[0] or "-"
    age = (
        _age(now, verdict.since)
        if isinstance(verdict, Stuck)
        else (_age(now, look.progress.since) if isinstance(verdict, Progressing) else "")
    )
    last = ""
    if isinstance(verdict, Progressing):
        last = f"look again in {_age(verdict.recheck_at, now)}"
    kind = facts["distribution"] if facts["management"] == "provisioned" else facts["management"]
    return (
        _WORDS.get(type(verdict), (word(verdict), ""))[0],
        snapshot.identity.name,
        kind,
        version,
        facts["cni"],
        age,
        _said(facts["reason"], last),
    )


def _said(reason: str, last: str) -> str:
    text = reason if len(reason) <= 90 else reason[:89] + "…"
    return f"{text}  {last}".strip()


def _age(later: datetime, earlier: datetime) -> str:
    minutes = max(0, int((later - earlier).total_seconds() // 60))
    if minutes < 120:
        return f"{minutes}m"
    return f"{minutes // 60}h" if minutes < 2880 else f"{minutes // 1440}d"


def _notable(looks: Sequence[Look]) -> list[Look]:
    return [look for look in looks if isinstance(look.verdict, Stuck | Progressing | Unknown)]


def _table(heads: Sequence[dict[str, Any]], looks: Sequence[Look]) -> None:
    for head in heads:
        facts = (f"{head['clusters']} clusters", f"{head['seconds']} s", f"{head['requests']} requests")
        out.print(Text(" · ".join((f"Rancher {head['url']}", *facts))))
    notable = _notable(looks)
    rows = [_row(look, look.snapshot.taken_at) for look in notable]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(6)]
    if rows:
        out.print()
    for look, row in zip(notable, rows, strict=True):
        line = Text("  ")
        line.append(row[0].ljust(widths[0]), style=_WORDS[type(look.verdict)][1])
        for column in range(1, 6):
            line.append("  " + row[column].ljust(widths[column]))
        line.append("  " + row[6])
        line.rstrip()
        out.print(line)
    counts = {kind: sum(isinstance(look.verdict, kind) for look in looks) for kind in (Healthy, OutOfScope)}
    if not looks:
        out.print("  No clusters: this Rancher has none, or the token may see none.")
        return
    out.print(f"  healthy {counts[Healthy]} · not watched {counts[OutOfScope]}")


def _json(heads: Sequence[dict[str, Any]], looks: Sequence[Look]) -> None:
    print_json({"schema": 1, "servers": heads, "clusters": [_as_json(look) for look in looks]})


def _as_json(look: Look) -> dict[str, Any]:
    identity, facts = look.snapshot.identity, facts_of(look)
    return {
        "rancher": identity.key.rancher,
        "id": identity.id,
        "name": identity.name,
        "verdict": word(look.verdict),
        "rancherVersion": facts.pop("rancher"),
        **facts,
    }


def _markdown(heads: Sequence[dict[str, Any]], looks: Sequence[Look]) -> None:
    from bot.reports.escape import escape_markdown

    for head in heads:
        click.echo(f"{head['clusters']} clusters in {head['seconds']} s, {head['requests']} requests\n")
    click.echo("| | cluster | distribution | version | CNI | for | Rancher says |\n|---|---|---|---|---|---|---|")
    for look in _notable(looks):
        click.echo(
            "| "
            + " | ".join(escape_markdown(cell).replace("|", "\\|") for cell in _row(look, look.snapshot.taken_at))
            + " |"
        )


def _html(heads: Sequence[dict[str, Any]], looks: Sequence[Look]) -> None:
    head = " · ".join(
        f"{head['clusters']} clusters, {head['seconds']} s, {head['requests']} requests" for head in heads
    )
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in _row(look, look.snapshot.taken_at)) + "</tr>\n"
        for look in _notable(looks)
    )
    columns = "".join(
        f"<th>{name}</th>" for name in ("", "cluster", "distribution", "version", "CNI", "for", "Rancher says")
    )
    click.echo(
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Drover sweep</title></head>\n'
        f"<body><p>{head}</p>\n<table><thead><tr>{columns}</tr></thead>\n<tbody>\n{rows}</tbody></table></body></html>"
    )
