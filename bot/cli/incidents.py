"""`drover incidents`: what happened."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.text import Text

from bot.adapters.incident_store import IncidentStore
from bot.cli.shared import existing_database, format_option, out, print_json
from bot.errors import StoreError
from bot.incidents.incident import Incident, first_signature
from bot.settings import load_settings

if TYPE_CHECKING:
    from bot.reports.audit import Checked


@contextmanager
def known_store() -> Iterator[IncidentStore | None]:
    """What has been noted; None where there is no database yet. Looking makes none."""
    with existing_database(load_settings()) as database:
        yield IncidentStore(database) if database else None


def _find(store: IncidentStore | None, name: str) -> Incident:
    """By id, cluster name, cluster id or issue number: the newest that fits."""
    for incident in store.all(limit=10_000) if store else ():
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
    with known_store() as store:
        rows = store.all(only_open=only_open) if store else []
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
    with known_store() as store:
        row = _find(store, name)
        timeline = store.timeline(row.id) if store else ()
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
@click.option(
    "--export", "target", type=click.Path(path_type=Path, dir_okay=False), help="Write it to FILE as JSON lines."
)
@click.option(
    "--from", "source", type=click.Path(path_type=Path, dir_okay=False), help="Read an export instead of the database."
)
@click.option("--verify", is_flag=True, help="Check the chain of hashes; exit status 2 when it is broken.")
def audit(name: str | None, target: Path | None, source: Path | None, verify: bool) -> int:
    """Every write and every intention to write. Without NAME the whole record.

    `--export FILE` keeps it outside of the database, `--from FILE --verify` checks such a file with nothing else at hand. A part
    (with NAME) can be checked record by record only: the rest of the chain is missing in it.
    """
    from bot.reports.audit import check, check_export, export_lines

    if source is not None:
        if name or target or not verify:
            raise click.UsageError("--from goes with --verify alone: `drover incidents audit --from FILE --verify`.")
        with source.open(encoding="utf-8") as lines:
            return _checked(check_export(lines, str(source)))
    with known_store() as store:
        incident = _find(store, name).id if name else ""
        records = store.audit(incident or None) if store else []
    if target is not None:
        # Beside it first: whoever has an older export keeps that one whole when the disk is full.
        draft = target.with_name(f".{target.name}.part")
        draft.write_text(
            "".join(f"{line}\n" for line in export_lines(records, datetime.now(UTC), incident=incident)),
            encoding="utf-8",
        )
        draft.replace(target)
        click.echo(f"{len(records)} records in {target}", err=True)
        if verify:
            with target.open(encoding="utf-8") as lines:
                return _checked(check_export(lines, str(target)))
        return 0
    if verify:
        return _checked(check(records, part=bool(incident)))
    print_json([asdict(record) for record in records])
    return 0


def _checked(found: "Checked") -> int:
    click.echo(found.text)
    return 0 if found.holds else 2


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
