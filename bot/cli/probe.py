"""`drover probe`: on a node, read and send what only the node knows; from a terminal, ask a cluster's nodes to do so.

Without a subcommand it is the collector that the pods of the DaemonSet run, told by its environment. `deliver` and `take-out` are
for people. The nodes send to the running service, so there has to be one; the write itself is made by this process, under the
cluster's lease, and is taken out again before it ends.
"""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from bot.cli.shared import (
    EXIT_REFUSED,
    err,
    find_cluster,
    format_option,
    out,
    print_json,
    servers,
    settings_or_exit,
    who,
)
from bot.settings import Settings
from rancher_ext.errors import BadInput

if TYPE_CHECKING:
    # Not on a node: these bring the engine and the database.
    from bot.workflows.own_walk import OwnWalk
    from bot.workflows.probe_offer import ProbeOffer
    from bot.workflows.probing import Probing


@click.group("probe", invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> int:
    """Read on a node what only the node knows, and send it; told by PROBE_… as Drover's DaemonSet sets them.

    `deliver` asks the nodes of a cluster that way; `take-out` ends what a killed `deliver` left behind.
    """
    if context.invoked_subcommand is not None:
        return 0
    from rancher_ext.probe.__main__ import main

    return main()


@command.command("deliver")
@click.argument("cluster")
@click.option("--yes", is_flag=True, help="Agree to the plan without being asked.")
@click.option("--dry-run", is_flag=True, help="Show the plan and the policy's answer, and change nothing.")
@click.option("--image", default="", help="The image that the nodes run.  [default: this version of Drover]")
@click.option(
    "--ca-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Whom the nodes trust (PEM)."
)
@format_option("text", "json")
def deliver(cluster: str, yes: bool, dry_run: bool, image: str, ca_file: Path | None, output: str) -> int:
    """Ask the nodes of CLUSTER themselves: for where Rancher cannot reach them and no API has their logs.

    A short-lived pod on every Linux node reads the network's logs and named facts of the host, and sends them to the running
    service. It comes by the cluster's additional manifest and is taken out again in any case. The Rancher cluster has to carry the
    label drover.io/probe=allow, and the policy decides as for every change.

    Exit status: 0 done, 11 refused, 2 error.
    """
    from bot.workflows.own_walk import OwnWalk
    from bot.workflows.probe_flow import run_probe
    from bot.workflows.probe_offer import ProbeOffer, own_image

    settings = settings_or_exit()
    url = settings.public_url
    if not url:
        raise BadInput(
            "nobody has said how nodes reach this service",
            cure="Set DROVER_PUBLIC_URL, for example to https://drover.example.",
        )
    ca = ca_file.read_text(encoding="ascii") if ca_file else ""
    with _probing(settings, ProbeOffer(url, image or own_image(), ca)) as (probing, now, real_seconds):
        incident = _incident_of(settings, probing, cluster)
        prepared = probing.prepare(incident)
        if prepared["plan"] is None:
            return _refused(prepared["why"])
        decision = prepared["decision"]
        if output == "text":
            _show(prepared)
        elif dry_run:
            print_json(prepared)
        if dry_run:
            return 0
        if decision["decision"] == "refuse":
            return _refused("; ".join(decision["reasons"]))
        if not _service_runs(settings):
            return _refused("no service is running that the nodes could send to; start `drover serve`")
        if not yes and not _agreed(prepared["plan"]):
            return _refused("nobody agreed to it")
        probing.approve(incident, _approval(prepared["plan"], now()))
        walk = OwnWalk(real_seconds, lambda text: err.print(Text(text, style="dim")))
        with _finishing(walk):
            ended = run_probe(walk, probing, incident, lambda: walk.interrupted)
    return _told(ended, output)


@command.command("take-out")
@click.argument("cluster")
def take_out(cluster: str) -> int:
    """Take the probe out of CLUSTER, where a `deliver` that was killed left it. What was sent meanwhile is kept."""
    from bot.workflows.engine import Failed
    from bot.workflows.own_walk import OwnWalk
    from bot.workflows.probe_offer import ProbeOffer

    settings = settings_or_exit()
    with _probing(settings, ProbeOffer("", "")) as (probing, _, real_seconds):
        incident = _incident_of(settings, probing, cluster)
        if incident not in {row.id for row in probing.unfinished()}:
            out.print(Text("Nothing of a probe is left there."))
            return 0
        walk = OwnWalk(real_seconds, lambda text: err.print(Text(text, style="dim")))
        # As interrupted: not waiting for reports, and taking out.
        walk.interrupted = True
        done = walk.patiently("take_out_probe", probing.take_out, incident, patience=timedelta())
        if isinstance(done, Failed):
            err.print(Text(f"{done.message}\n  {done.cure}"))
            return 2
        finished = walk.patiently("finish_probe", probing.finish, incident, "", patience=timedelta())
    if isinstance(finished, Failed):
        err.print(Text(finished.message))
        return 2
    out.print(Text("The probe is taken out."))
    return 0


@contextmanager
def _probing(
    settings: Settings, offer: "ProbeOffer"
) -> Iterator[tuple["Probing", Callable[[], datetime], Callable[[timedelta], float]]]:
    """The steps over the service's database, with this process as a worker of its own."""
    from bot.adapters.clock import PolicyClock
    from bot.adapters.database import Database
    from bot.adapters.fleet_store import FleetStore
    from bot.adapters.incident_store import IncidentStore
    from bot.cli.witness import witness_in
    from bot.collecting import collect_evidence
    from bot.knowledge import load_knowledge, load_policy
    from bot.workflows.parts import Knowledge, Parts
    from bot.workflows.probing import Probing
    from rancher_ext.catalogue.redaction import load_redaction

    settings.make_home()
    settings.evidence_dir.mkdir(parents=True, exist_ok=True)
    clock = PolicyClock(settings.clock_speed, settings.clock_origin)
    loaded = load_knowledge(settings.signature_dirs, settings.playbook_dirs)
    policy = load_policy(settings.policy_file, loaded)
    database = Database(settings.database_url)
    try:
        database.create()
        store = IncidentStore(database)
        parts = Parts(
            ranchers={server.name: server for server in servers(settings)},
            store=store,
            fleet=FleetStore(database),
            tracker=None,
            knowledge=Knowledge(
                loaded.diagnose, loaded.remedy_json, loaded.playbooks, loaded.actions, since=loaded.since
            ),
            collect=lambda server, snapshot: collect_evidence(
                server, snapshot, clock.now(), witness=witness_in(store, settings, snapshot, policy)
            ),
            policy=lambda: policy,
            limits=settings.limits,
            clock=clock,
            evidence_dir=settings.evidence_dir,
            # The same for every call: `take-out` may have to go on where a killed `deliver` held the cluster.
            holder=f"{settings.executor_id}-terminal",
            dry_run=settings.dry_run,
            public_url=settings.public_url,
        )
        yield Probing(parts, offer, load_redaction()), clock.now, clock.real_seconds
    finally:
        database.close()


def _incident_of(settings: Settings, probing: "Probing", cluster: str) -> str:
    _, key = find_cluster(servers(settings), cluster)
    row = probing.open_incident(key)
    if row is None:
        raise BadInput(
            f"{cluster} has no open incident: only the nodes of a stuck cluster are asked",
            cure="`drover sweep` shows what is stuck; a running service opens the incident.",
        )
    return row.id


def _service_runs(settings: Settings) -> bool:
    from bot.cli.presence import presence

    with presence(settings, alone=True) as alone:
        return not alone


def _approval(digest: str, now: datetime) -> Any:
    from bot.policy.approvals import Approval

    # Whoever has Drover's own token could write to the cluster anyway.
    return Approval(f"{who()} (terminal)", "admin", digest, now)


def _agreed(digest: str) -> bool:
    if not sys.stdin.isatty():
        err.print(Text("Without a terminal nobody can be asked: --yes agrees to the plan."))
        return False
    return click.confirm(f"\nAsk the nodes (plan {digest[:6]})?", default=False, err=True)


@contextmanager
def _finishing(walk: "OwnWalk") -> Iterator[None]:
    """Ctrl-C and a polite kill end the waiting, never the taking out."""

    def heard(*_: object) -> None:
        walk.interrupted = True
        err.print(Text("No more waiting: the probe is taken out."))

    before = {number: signal.signal(number, heard) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _show(prepared: Any) -> None:
    out.print(Text(f"{prepared['title']} (plan {prepared['plan'][:6]})", style="bold"))
    out.print(Text(prepared["effect"]))
    out.print(Text(prepared["diff"]))
    decision = prepared["decision"]
    out.print(Text(f"Policy: {decision['decision']}: {'; '.join(decision['reasons'])}"))


def _told(ended: Any, output: str) -> int:
    if output == "json":
        print_json(ended)
    elif ended.get("reported"):
        out.print(Text(f"Reported: {', '.join(ended['reported'])}"))
        if ended["missing"]:
            out.print(Text(f"Silent:   {', '.join(ended['missing'])}"))
        out.print(Text(f"Found:    {ended.get('signature') or ended.get('verdict')}"))
        out.print(Text(f"Evidence  {ended['evidence']}"))
    elif not ended.get("why"):
        out.print(Text("No node has reported. The probe is taken out."))
    if ended.get("why"):
        err.print(Text(ended["why"]))
    if "out" not in ended:
        return EXIT_REFUSED
    return 0 if ended["done"] and ended.get("reported") else 2


def _refused(why: str) -> int:
    err.print(Text(f"Nothing was changed: {why}."))
    return EXIT_REFUSED
