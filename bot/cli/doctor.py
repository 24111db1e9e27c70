"""`drover doctor`: is everything there that Drover needs, and if not, what is to be done?"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import click
from rich.text import Text

from bot.cli.shared import existing_database, format_option, out, print_json, rancher_server
from bot.ports import IssueTracker
from bot.settings import RancherSettings, Settings, load_settings
from bot.workflows.parts import RancherServer
from rancher_ext.client.kubernetes import NODES, KubernetesApi, Resource
from rancher_ext.client.norman import Norman
from rancher_ext.client.snapshot import WORKERS
from rancher_ext.client.transport import Transport
from rancher_ext.detection import Healthy, assess
from rancher_ext.errors import DroverError
from rancher_ext.fleet.cluster import Management
from rancher_ext.remediation.rights import GROUPS, Right, RightsGroup, Where, missing_in, stopped_by, told

_WARN_BEFORE = timedelta(days=14)
_CLOCKS_APART = timedelta(seconds=60)
# Rancher binds the rights for workspaces in each but `fleet-local`; this one is always there.
_WORKSPACE = "fleet-default"
_ROLES = "The roles are in docs/rancher-rights.md."
# How many clusters are tried before none counts as reachable: one that is connected can be lost a moment later.
_CLUSTERS_TRIED = 3


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
        yield from _one_rancher(rancher, settings)


def _one_rancher(rancher: RancherSettings, settings: Settings) -> Iterator[Finding]:
    server = rancher_server(rancher, lambda: datetime.now(UTC))
    norman, what = Norman(server.transport), f"Rancher {rancher.name}"
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
    yield from _rights(server, what, settings)


def _rights(server: RancherServer, what: str, settings: Settings) -> Iterator[Finding]:
    """Every right that the documented roles give, a line for what belongs together. It is asked for and not used."""
    local = KubernetesApi(server.transport)
    inside = [group for group in GROUPS if group.rights[0].where is Where.DOWNSTREAM]
    for group in (each for each in GROUPS if each not in inside):
        name = f"{what}: may {group.what}"
        yield _tried(name, lambda group=group, name=name: _judged(group, local, name))  # type: ignore[misc]
    name = f"{what}: may look into clusters"
    try:
        asked = _one_that_is_reached(server, settings)
    except DroverError as error:
        yield Finding(name, None, f"not asked: {error.message}", error.cure)
        return
    if asked is None:
        cure = "Ask again when one is connected. Where Rancher reaches none, Drover judges by what Rancher knows."
        yield Finding(name, None, "not asked: no cluster is healthy and connected", cure)
        return
    for group in inside:
        name = f"{what}: may {group.what}"
        yield _tried(name, lambda group=group, name=name: _judged(group, asked.api, name, asked.name))  # type: ignore[misc]


@dataclass(frozen=True)
class _Asked:
    """A cluster that stands for all: the roles are the same in each."""

    name: str
    api: KubernetesApi


def _one_that_is_reached(server: RancherServer, settings: Settings) -> _Asked | None:
    """The first healthy cluster that answers; raises what the last one said when none does. Rancher's own is none of the fleet."""
    said: list[DroverError] = []
    for snapshot in server.reader.fleet(lambda _: False):
        if not snapshot.connected or snapshot.identity.management is Management.LOCAL:
            continue
        if not isinstance(assess(snapshot, None, settings.limits)[1], Healthy):
            continue
        asked = _Asked(snapshot.identity.name, KubernetesApi(server.transport, snapshot.identity.id))
        try:
            asked.api.may("list", NODES)
        except DroverError as error:
            said.append(error)
            if len(said) == _CLUSTERS_TRIED:
                break
        else:
            return asked
    if said:
        raise said[-1]
    return None


def _judged(group: RightsGroup, api: KubernetesApi, name: str, cluster: str = "") -> Finding:
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="rights") as pool:
        answers = dict(zip(group.rights, pool.map(lambda right: _has(api, right), group.rights), strict=True))
    missing = missing_in(group, answers.__getitem__)
    where = f" (asked in {cluster})" if cluster else ""
    if not missing:
        return Finding(name, True, f"yes, all {len(group.rights)} rights{where}" if len(group.rights) > 1 else "yes")
    without = group.without or f"these actions cannot run: {', '.join(stopped_by(missing))}"
    if group.essential:
        without = "no cluster can be judged"
    return Finding(name, False if group.essential else None, f"missing {told(missing)}{where}: {without}", _ROLES)


def _has(api: KubernetesApi, right: Right) -> bool:
    namespace = _WORKSPACE if right.where is Where.WORKSPACES else ""
    # A review asks for no version of the API.
    return api.may(right.verb, Resource(right.group, "", right.resource), namespace, right.name)


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
