"""`drover doctor`: is everything there that Drover needs, and if not, what is to be done?"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import click
from rich.text import Text

from bot.cli.shared import existing_database, format_option, out, print_json, rancher_server
from bot.ports import IssueTracker
from bot.settings import RancherSettings, Settings, load_settings
from rancher_ext.client.kubernetes import (
    CONTROL_PLANES,
    MACHINES,
    MANAGEMENT_CLUSTERS,
    MANAGEMENT_NODES,
    PROVISIONING_CLUSTERS,
    SECRETS,
    KubernetesApi,
    Resource,
)
from rancher_ext.client.norman import Norman
from rancher_ext.client.transport import Transport
from rancher_ext.errors import DroverError

_WARN_BEFORE = timedelta(days=14)
_CLOCKS_APART = timedelta(seconds=60)
# What is asked for: right, kind, namespace, and whether Drover works without it (and how).
_RIGHTS: tuple[tuple[str, Resource, str, str], ...] = (
    ("list", MANAGEMENT_CLUSTERS, "", ""),
    ("watch", MANAGEMENT_CLUSTERS, "", ""),
    ("list", MANAGEMENT_NODES, "", ""),
    ("list", PROVISIONING_CLUSTERS, "fleet-default", ""),
    ("list", CONTROL_PLANES, "fleet-default", ""),
    ("list", MACHINES, "fleet-default", ""),
    (
        "list",
        SECRETS,
        "fleet-default",
        "machine plans stay unread: probes and failures of single machines are not seen",
    ),
    ("patch", MANAGEMENT_CLUSTERS, "", "RKE1 clusters cannot be mended, only diagnosed"),
    ("patch", PROVISIONING_CLUSTERS, "fleet-default", "RKE2 and K3s clusters cannot be mended, only diagnosed"),
)


@dataclass(frozen=True)
class Finding:
    """One check. `ok` is None for something that works less well than it could."""

    what: str
    ok: bool | None
    seen: str
    cure: str = ""


@click.command("doctor")
@format_option("text", "json")
def command(output: str) -> int:
    """Check settings, Rancher, rights, GitHub, the database and the catalogue. Changes nothing.

    Exit status: 0 when Drover can work, 2 when something is in its way.
    """
    settings = load_settings()
    found: list[Finding] = []
    for check in (_rancher, _github, _database, _knowledge):
        for finding in check(settings):
            found.append(finding)
            if output == "text":
                _print(finding)
    if output == "json":
        print_json([{"check": each.what, "ok": each.ok, "seen": each.seen, "cure": each.cure} for each in found])
    return 2 if any(each.ok is False for each in found) else 0


def _print(finding: Finding) -> None:
    mark, style = {True: ("ok  ", "green"), None: ("warn", "yellow"), False: ("FAIL", "bold red")}[finding.ok]
    out.print(Text(mark, style=style) + Text(f"  {finding.what}: {finding.seen}"))
    if finding.cure and finding.ok is not True:
        out.print(Text(f"      {finding.cure}", style="dim"))


def _tried(what: str, attempt: Callable[[], Finding]) -> Finding:
    try:
        return attempt()
    except DroverError as error:
        return Finding(what, False, error.message, error.cure)


def _rancher(settings: Settings) -> Iterator[Finding]:
    if not settings.ranchers:
        yield Finding(
            "Rancher",
            False,
            "no server is configured",
            "Set DROVER_RANCHER_URL and DROVER_RANCHER_TOKEN, or `ranchers` in drover.yaml.",
        )
    for rancher in settings.ranchers:
        yield from _one_rancher(rancher)


def _one_rancher(rancher: RancherSettings) -> Iterator[Finding]:
    server = rancher_server(rancher, lambda: datetime.now(UTC))
    norman, local, what = Norman(server.transport), KubernetesApi(server.transport), f"Rancher {rancher.name}"
    reached = _tried(
        what,
        lambda: Finding(what, True, f"{server.transport.url} is {norman.server_version() or 'a development build'}"),
    )
    yield reached
    if not reached.ok:
        return
    token = _tried(f"{what}: token", lambda: _token(norman, rancher))
    yield token
    if token.ok is False:
        # Every further question would be answered with the same refusal.
        return
    yield _tried(f"{what}: clock", lambda: _clock(server.transport, f"{what}: clock"))
    for verb, resource, namespace, without in _RIGHTS:
        name = f"{what}: may {verb} {resource.plural}.{resource.group or 'core'}"

        def ask(
            verb: str = verb,
            resource: Resource = resource,
            namespace: str = namespace,
            without: str = without,
            name: str = name,
        ) -> Finding:
            if local.may(verb, resource, namespace):
                return Finding(name, True, "yes")
            return Finding(
                name,
                None if without else False,
                f"no{'; ' + without if without else ''}",
                "The roles are in docs/rancher-rights.md.",
            )

        yield _tried(name, ask)


def _token(norman: Norman, rancher: RancherSettings) -> Finding:
    bearer = rancher.token or (rancher.token_file.read_text(encoding="utf-8").strip() if rancher.token_file else "")
    expires = norman.token_expires(bearer.partition(":")[0].removeprefix("ext/"))
    what = f"Rancher {rancher.name}: token"
    if expires is None:
        return Finding(what, True, "does not expire, or its expiry may not be read")
    left = expires - datetime.now(UTC)
    text = f"expires {expires:%Y-%m-%d %H:%M} UTC, in {left.days} days"
    if left < _WARN_BEFORE:
        return Finding(what, None, text, "Make a new API key in Rancher before that, under Account & API Keys.")
    return Finding(what, True, text)


def _clock(transport: Transport, what: str) -> Finding:
    """Verdicts compare Rancher's times with ours: a clock that is ahead makes young clusters look stuck."""
    said = transport.request("GET", "/ping", accept="*/*").headers.get("Date", "")
    try:
        theirs = parsedate_to_datetime(said)
    except ValueError:
        return Finding(what, None, "Rancher does not tell its time", "Compare the clocks of both machines by hand.")
    apart = abs((datetime.now(UTC) - theirs).total_seconds())
    if apart > _CLOCKS_APART.total_seconds():
        cure = "Set both clocks by NTP: a wrong one makes young clusters look stuck, or stuck ones young."
        return Finding(what, None, f"Rancher's and ours are {apart:.0f} s apart", cure)
    return Finding(what, True, "the same as Rancher's")


def _github(settings: Settings) -> Iterator[Finding]:
    from bot.app import build_tracker

    if settings.github is None:
        yield Finding(
            "GitHub",
            None,
            "not configured: incidents stay on the dashboard",
            "Set DROVER_GITHUB_REPOSITORY and a token or an App.",
        )
        return
    github = settings.github
    tracker: IssueTracker | None = None

    def reached() -> Finding:
        nonlocal tracker
        made = build_tracker(github)
        said = made.check()
        tracker = made
        return Finding("GitHub", True, said)

    yield _tried("GitHub", reached)
    if tracker is not None:
        yield from _teams(tracker, settings)
    if not settings.github_webhook_secrets:
        yield Finding(
            "GitHub: webhook",
            None,
            "no secret: comments are read every few minutes instead",
            "Set DROVER_GITHUB_WEBHOOK_SECRETS.",
        )


def _teams(tracker: IssueTracker, settings: Settings) -> Iterator[Finding]:
    """Those that the policy names. Who is in one that cannot be seen is nobody: what only they may do, nobody may."""
    from bot.knowledge import load_policy

    try:
        teams = load_policy(settings.policy_file).teams
    except DroverError:
        return  # said where the policy is looked at
    for team in teams:
        what = f"GitHub: team {team}"

        def see(team: str = team, what: str = what) -> Finding:
            unseen = tracker.unseen_team(team)
            if not unseen:
                return Finding(what, True, "its members can be seen")
            seen, _, cure = unseen.partition(". ")
            return Finding(what, None, f"{seen}; nobody counts as a member", cure and f"{cure}.")

        yield _tried(what, see)


def _database(settings: Settings) -> Iterator[Finding]:
    yield _tried("Database", lambda: _looked_at(settings))


def _looked_at(settings: Settings) -> Finding:
    """Can it be used, or be made at the first start? Nothing is made now."""
    cure = "Set DROVER_HOME to a folder that this user may write."
    with existing_database(settings) as database:
        if database is not None:
            return Finding("Database", True, database.where)
    if not settings.database_url.startswith("sqlite:///"):
        return Finding("Database", True, "reachable; its tables are made at the first start")
    folder = Path(settings.database_url.removeprefix("sqlite:///")).parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        return Finding("Database", False, f"cannot be made: {folder} is no folder that may be written", cure)
    return Finding("Database", True, "is made at the first start")


def _knowledge(settings: Settings) -> Iterator[Finding]:
    from bot.knowledge import LoadedKnowledge, load_knowledge, load_policy

    # Without a catalogue the policy is still read; only its names of signatures and playbooks are then not looked up.
    loaded: LoadedKnowledge | None = None

    def catalogue() -> Finding:
        nonlocal loaded
        loaded = knowledge = load_knowledge(settings.signature_dirs, settings.playbook_dirs)
        return Finding(
            "Catalogue",
            True,
            f"{len(knowledge.signatures)} signatures, {len({playbook.id for playbook in knowledge.playbooks.values()})} playbooks",
        )

    yield _tried("Catalogue", catalogue)

    def policy() -> Finding:
        return Finding("Policy", True, f"{len(load_policy(settings.policy_file, loaded).rules)} rules")

    yield _tried("Policy", policy)
