"""`drover remediate`: mend a cluster from the terminal. The same plan, policy, proof and undo as in the service."""

import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import click
from rich.text import Text

from bot.adapters.incident_store import IncidentStore
from bot.cli.plan_view import print_prepared
from bot.cli.planning import Prepared, prepare, what_is_known
from bot.cli.presence import nobody_there, presence, terminal_at_work
from bot.cli.road import ACTING, SETTLED, Abandoned, Follower, Road, road
from bot.cli.shared import (
    EXIT_REFUSED,
    EXIT_UNDONE,
    err,
    existing_database,
    find_cluster,
    out,
    policy_now,
    progress_bar,
    servers,
    settings_or_exit,
    who,
)
from bot.incidents.incident import Incident, State
from bot.policy.approvals import Approval
from bot.policy.decide import Refuse
from bot.reports.escape import code_span
from bot.settings import Settings
from bot.workflows.room import not_now
from rancher_ext.errors import DroverError, NotFound
from rancher_ext.fleet.cluster import ClusterKey
from rancher_ext.remediation.action import Risk
from rancher_ext.remediation.change import Call, apply
from rancher_ext.remediation.playbook import Playbook

_INTERRUPTED = 130
# Nothing more happens without a person.
_ENDED = frozenset({State.ROLLED_BACK, State.ESCALATED, State.REJECTED})


@click.command("remediate")
@click.argument("cluster")
@click.option("--playbook", default="", help="Use this playbook; it must mend something that was found.")
@click.option(
    "--dry-run/--no-dry-run",
    default=None,
    help="Let the server check every write and store none. On for destructive plans unless switched off.",
)
@click.option("--yes", is_flag=True, help="Agree to the plan without being asked.")
def command(cluster: str, playbook: str, dry_run: bool | None, yes: bool) -> int:
    """Mend CLUSTER (id or name): show the plan, ask, apply it, prove the cure, or put everything back.

    The policy decides as it does for the service; your word counts as one approval, with the highest role: whoever has Drover's
    own token could write to the cluster anyway. With a running service it is the service that does the work, and this command
    follows it; `--playbook` holds there, too. Without one this command does it alone. Ctrl-C never leaves half a change: what was begun is in the database,
    and the service, or this command said again, goes on from there.

    Exit status: 0 done, 11 refused, 12 undone, 2 error.
    """
    settings = settings_or_exit()
    server, key = find_cluster(servers(settings), cluster)
    snapshot = server.reader.cluster(key.id)
    incident = what_is_known(settings, snapshot).incident
    if incident is not None and incident.state in ACTING:
        out.print(Text(f"{incident.cluster_name} is {incident.state} already; this goes on with it."))
        return _run(settings, key, snapshot.identity.uid, None, None)
    with progress_bar() as bar:
        task = bar.add_task("looking", total=None)
        prepared = prepare(
            settings, cluster, playbook, say=lambda text: bar.update(task, description=text), always_diagnose=True
        )
    print_prepared(prepared)
    plan = prepared.plan
    if plan is None:
        return 0 if not_now(prepared.verdict) == "the cluster is up" else EXIT_REFUSED
    if prepared.wanted is not None and prepared.finding is None:
        return _refused(f"nothing was found that {prepared.wanted.id} mends; `drover plan --playbook` shows it anyway")
    if dry_run or (dry_run is None and plan.risk is Risk.DESTRUCTIVE):
        return _dry_run(prepared, by_default=dry_run is None)
    if isinstance(prepared.decision, Refuse):
        return _refused("the policy does not let it run")
    if reason := not_now(prepared.verdict):
        return _refused(f"{reason}, and Drover writes only to a cluster that is stuck")
    if not yes and not _agreed(plan.short):
        return _refused("nobody agreed to it")
    return _run(settings, key, snapshot.identity.uid, plan.digest, prepared.wanted)


def _refused(why: str) -> int:
    err.print(Text(f"Nothing was changed: {why}."))
    return EXIT_REFUSED


def _agreed(short: str) -> bool:
    if not sys.stdin.isatty():
        err.print(Text("Without a terminal nobody can be asked: --yes agrees to the plan."))
        return False
    return click.confirm(f"\nApply plan {short}?", default=False, err=True)


def _dry_run(prepared: Prepared, *, by_default: bool) -> int:
    """Every write as the server would take it. What builds on an earlier step cannot be tried before that one is there."""
    refused = 0
    out.print(Text("\nDry run: the server checks every write and stores none.", style="bold"))
    for number, step in enumerate(prepared.plan.steps if prepared.plan else (), start=2):
        for write in step.writes:
            try:
                apply(prepared.target, write, dry_run=True)
            except NotFound as error:
                if number == 2:
                    refused += 1
                mark, said = ("FAIL", error.message) if number == 2 else ("later", "builds on an earlier step")
            except DroverError as error:
                refused += 1
                mark, said = "FAIL", error.message
            else:
                called = isinstance(write, Call)
                mark, said = ("call", "not asked in a dry run") if called else ("ok", "the server would take it")
            out.print(Text(f"  {number}  {mark:5} {write}: {said}"))
    if by_default:
        err.print(Text("A destructive plan is tried out first: --no-dry-run applies it."))
    return 2 if refused else 0


def _run(settings: Settings, key: ClusterKey, uid: str, digest: str | None, playbook: Playbook | None) -> int:
    """On our own where no service runs, else through it. `digest` None only follows what is under way.

    Beside another terminal that works on its own we can only follow, and go on in its place should it die.
    """
    settings.make_home()
    while True:
        with presence(settings, alone=True, patience=1.0) as alone:
            gone = partial(nobody_there, settings) if not alone and terminal_at_work(settings) else None
            if gone is not None and digest is not None:
                return _refused(
                    "another `drover remediate` works on this database; say it again when that one has ended"
                )
            try:
                with road(settings, key, uid, alone=alone, playbook=playbook) as way:
                    return _walk(settings, way, key, digest, playbook.id if playbook else "", gone)
            except KeyboardInterrupt:
                return _stopped(settings, key, worker="" if alone else "the other terminal" if gone else "the service")
            except Abandoned:
                out.print(Text("Whoever did this is gone; this goes on in its place."))


def _walk(
    settings: Settings,
    way: Road,
    key: ClusterKey,
    digest: str | None,
    playbook: str,
    gone: Callable[[], bool] | None,
) -> int:
    def show(head: str, text: str) -> None:
        line = Text(head, style="dim")
        line.append(f" {text}")
        out.print(line)

    out.print()
    if digest is not None:
        way.look(key)
    row = way.store.open_of(key)
    if row is None:
        return _refused("the cluster is not stuck any more, or a service has not seen it as such yet")
    follower = Follower(way.store, row.id, show, gone)
    if digest is not None and row.state not in ACTING:
        agreed = _agree(settings, way, follower, row, digest, playbook)
        if agreed:
            return _refused(agreed)

    def over(incident: Incident) -> bool:
        """Does nothing more happen by itself? A brake that holds it lets go some time."""
        asks = incident.state in {State.REPORTED, State.AWAITING_APPROVAL, State.SNOOZED}
        held = (incident.decision or {}).get("decision") in {"allow", "wait"}
        return incident.state.over or incident.state in _ENDED or (asks and not held)

    row = follower.until(over, "the end")
    # The row is told first, then the issue: whoever stops in between leaves an open issue behind.
    if row.state.over:
        follower.until(lambda _: way.ended(row.id), "the last words")
    return _ended(row)


def _agree(settings: Settings, way: Road, follower: Follower, row: Incident, digest: str, playbook: str) -> str:
    """Bring the incident to this plan, and approve it where the policy asks. Returns why that could not be, or nothing."""
    waiting = {State.REPORTED, State.AWAITING_APPROVAL}

    def told(incident: Incident) -> bool:
        """Has it a plan and an answer, and said so?"""
        return (
            incident.state in ACTING or incident.state.over or (incident.state in SETTLED and follower.found() >= looks)
        )

    if row.state is State.SNOOZED:
        return "it is snoozed; /drover unsnooze in its issue ends that"
    looks = 2
    row = follower.until(told, "the diagnosis")
    if row.state not in ACTING and (row.plan is None or row.plan["digest"] != digest or row.state not in waiting):
        looks = follower.found() + 2
        word = {"kind": "again", "by": _name(), "keep": True, "playbook": playbook}
        way.send(row.id, word, f"{row.id}/terminal/{_name()}/again/{row.attempt}")
        row = follower.until(told, "a fresh look")
    if row.state in ACTING or row.state.over:
        return ""
    if row.plan is None:
        return f"there is no plan any more: {(row.explanation or {}).get('why') or row.outcome or 'see drover plan'}"
    if row.plan["digest"] != digest:
        return f"the plan is now {row.plan['digest'][:6]}, another one than you saw; look at it and say it again"
    decision = _decided(follower, digest)
    if decision.get("decision") == "refuse":
        return "; ".join(decision.get("reasons", ()))
    if decision.get("decision") == "needs-approval":
        row = follower.row()
        if not _has_agreed(row, digest):
            approval, before = _approval(settings, way, row, digest), decision["given"]
            way.send(row.id, {"kind": "approve", "approval": approval}, f"{row.id}/terminal/{approval['at']}")
            counted = follower.until(lambda now: _counted(now, approval), "the approval to be counted")
            # The policy is asked again with it; until then the old answer stands there.
            row = follower.until(lambda now: _answered(now, counted, before), "the policy's answer")
        decision = row.decision or {}
        if decision.get("decision") == "needs-approval" and row.state not in ACTING:
            given, count = decision["given"], decision["count"]
            return f"{given} of {count} approvals are given; others agree in its issue: /drover approve {digest[:6]}"
    return ""


def _decided(follower: Follower, digest: str) -> Mapping[str, Any]:
    """The policy's answer to this very plan."""
    row = follower.until(lambda now: (now.decision or {}).get("digest") == digest, "the policy's answer")
    return row.decision or {}


def _counted(row: Incident, approval: Mapping[str, Any]) -> bool:
    return approval in ((row.approval or {}).get("approvals") or ()) or row.state.over


def _has_agreed(row: Incident, digest: str) -> bool:
    """One person's word counts once, however often it is said."""
    given = (row.approval or {}).get("approvals") or ()
    return any(each["by"] == _name() and each["digest"] == digest for each in given)


def _answered(row: Incident, counted: Incident, before: int) -> bool:
    """Has the policy been asked since the approval was noted?"""
    decision = row.decision or {}
    asked = decision.get("decision") != "needs-approval" or decision["given"] > before
    return asked or row.state.over or row.updated_at > counted.updated_at


def _name() -> str:
    return f"{who()} (terminal)"


def _approval(settings: Settings, way: Road, row: Incident, digest: str) -> dict[str, Any]:
    """One person's approval. Where there is an issue it stands there too: whoever edits or deletes that comment voids it."""
    now = policy_now(settings)()
    comment, version = None, ""
    if way.tracker is not None and row.issue is not None:
        text = f"{code_span(_name())} approved plan `{digest[:6]}` by `drover remediate`. Deleting this comment takes it back."
        view = way.tracker.upsert_comment(row.issue, f"terminal:{row.id}:{digest[:12]}:{now:%Y%m%dT%H%M%S}", text)
        comment, version = view.id, view.updated_at.isoformat()
    return Approval(_name(), "admin", digest, now, comment, version).to_json()


def _ended(row: Incident) -> int:
    outcome = row.outcome.rstrip(".")
    words, status = {
        State.RESOLVED: (f"Healed: {outcome}.", 0),
        State.SUPERSEDED: (f"Over: {outcome or 'it came up by itself'}.", 0),
        State.ROLLED_BACK: (f"Put back: {outcome}.", EXIT_UNDONE),
        State.ESCALATED: (f"A person has to look: {outcome}.", 2),
        State.REJECTED: ("The plan was rejected.", EXIT_REFUSED),
    }.get(row.state, (f"Not run: the incident is {row.state}; `drover incidents show` tells why.", EXIT_REFUSED))
    out.print(Text(f"\n{words}", style="bold"))
    if row.issue_url:
        out.print(Text(row.issue_url, style="dim"))
    return status


def _stopped(settings: Settings, key: ClusterKey, *, worker: str) -> int:
    """Said once everything that ran in this process has come to its end. `worker` goes on; empty where this was the one."""
    with existing_database(settings) as database:
        row = IncidentStore(database).open_of(key) if database else None
    if row is None:
        err.print(Text("\nStopped. Nothing was changed."))
    elif worker:
        err.print(Text(f"\nStopped following: {row.cluster_name} is {row.state}, and {worker} goes on with it."))
    elif row.state in ACTING:
        err.print(
            Text(f"\nStopped while {row.cluster_name} is {row.state}: what was written so far is in place and noted.")
        )
        err.print(Text(f"`drover remediate {row.cluster_name}` or `drover serve` goes on from there, or puts it back."))
    else:
        err.print(Text(f"\nStopped. {row.cluster_name} is {row.state}; nothing is being changed."))
        err.print(Text("What was approved stays approved for the policy's time, and counts as soon as a service runs."))
    return _INTERRUPTED
