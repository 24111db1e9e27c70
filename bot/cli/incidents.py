"""`drover incidents`: what happened."""

import click
from rich.text import Text

from bot.adapters.incident_store import IncidentStore
from bot.cli.shared import format_option, incident_store, out, print_json
from bot.errors import StoreError
from bot.incidents.incident import Incident, first_signature


def _find(store: IncidentStore, name: str) -> Incident:
    """By id, cluster name, cluster id or issue number: the newest that fits."""
    for incident in store.all(limit=10_000):
        if name in {incident.id, incident.cluster_name, incident.cluster.id, f"#{incident.issue}", str(incident.issue)}:
            return incident
    raise StoreError(f"there is no incident {name!r}", cure="`drover incidents list` shows those there are.")


@click.group("incidents")
def command() -> None:
    """What happened: list, show, audit."""


@command.command("list")
@click.option("--open", "only_open", is_flag=True, help="Only those that are not over.")
@format_option("table", "json")
def list_(only_open: bool, output: str) -> None:
    """Incidents, newest first."""
    with incident_store() as store:
        rows = store.all(only_open=only_open)
    if output == "json":
        print_json([_as_json(row) for row in rows])
        return
    if not rows:
        out.print("No incidents.")
        return
    width = max(len(row.cluster_name) for row in rows)
    for row in rows:
        issue = f"#{row.issue}" if row.issue else ""
        signature = first_signature(row.diagnosis) or ""
        out.print(
            Text(
                f"{row.opened_at:%Y-%m-%d %H:%M}  {row.cluster_name.ljust(width)}  {row.state.value:17} {issue:6} {signature}".rstrip()
            )
        )


@command.command("show")
@click.argument("name")
@format_option("text", "json")
def show(name: str, output: str) -> None:
    """One incident and its timeline. NAME is an id, a cluster or an issue number."""
    with incident_store() as store:
        row = _find(store, name)
        timeline = store.timeline(row.id)
    if output == "json":
        print_json(
            _as_json(row) | {"timeline": [{"at": each.at, "kind": each.kind, "text": each.text} for each in timeline]}
        )
        return
    out.print(Text(f"{row.cluster_name}  {row.state.value}  {row.issue_url}".rstrip(), style="bold"))
    out.print(
        f"{row.id}\n{row.distribution} {row.kubernetes} {row.cni}; stuck since {row.stuck_since:%Y-%m-%d %H:%M} UTC: {row.reason}",
        markup=False,
    )
    for each in timeline:
        out.print(Text(f"  {each.at:%H:%M:%S}  {each.kind:9} {each.text}"))


@command.command("audit")
@click.argument("name", required=False)
@click.option("--verify", is_flag=True, help="Check the chain of hashes; exit status 2 when it is broken.")
def audit(name: str | None, verify: bool) -> int:
    """Every write and every intention to write, as JSON. Without NAME the whole record."""
    from dataclasses import asdict

    from bot.incidents.timeline import broken_link

    with incident_store() as store:
        records = store.audit(_find(store, name).id if name and not verify else None)
    if verify:
        broken = broken_link(records)
        click.echo(f"broken at record {broken}" if broken else "the chain is whole")
        return 2 if broken else 0
    print_json([asdict(record) for record in records])
    return 0


def _as_json(row: Incident) -> dict[str, object]:
    return {
        "id": row.id,
        "cluster": {
            "rancher": row.cluster.rancher,
            "id": row.cluster.id,
            "name": row.cluster_name,
            "uid": row.cluster_uid,
        },
        "episode": row.episode,
        "state": row.state.value,
        "openedAt": row.opened_at,
        "stuckSince": row.stuck_since,
        "reason": row.reason,
        "issue": row.issue,
        "issueUrl": row.issue_url,
        "signature": first_signature(row.diagnosis),
        "outcome": row.outcome,
        "evidence": row.evidence,
    }
