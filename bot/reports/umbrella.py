"""What does the one issue of a storm say? A row for each incident, the worst and those that wait for people first.

Every incident keeps its own issue, where it is decided. This one gives the overview: how many, what they have in common, which
are done. It is edited in place, so nobody is notified by its changes.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.incidents.incident import Incident, State
from bot.ports import IssueDraft
from bot.reports import words
from bot.reports.durations import compact, moment
from bot.reports.fit import fit
from bot.reports.prose import cell, plain, prose, prose_cell

MAX_BODY = 65_000
_FOOT = 400
# Causes named in the first lines; the rest is in the table.
_CAUSES = 6

# Those that somebody has to do something for stand first, what is over last.
_ORDER = (
    State.AWAITING_APPROVAL,
    State.ESCALATED,
    State.ROLLING_BACK,
    State.ROLLED_BACK,
    State.REMEDIATING,
    State.VERIFYING,
    State.REPORTED,
    State.DIAGNOSING,
    State.DETECTED,
    State.REJECTED,
    State.SNOOZED,
    State.RESOLVED,
    State.SUPERSEDED,
)
_WORDS = {
    State.AWAITING_APPROVAL: "**waits for approval**",
    State.ESCALATED: "**needs a person**",
    State.ROLLING_BACK: "is put back",
    State.ROLLED_BACK: "**put back**",
    State.REMEDIATING: "is being mended",
    State.VERIFYING: "cure is being proved",
    State.REPORTED: "reported",
    State.DIAGNOSING: "looking",
    State.DETECTED: "looking",
    State.REJECTED: "rejected",
    State.SNOOZED: "snoozed",
    State.RESOLVED: "healed",
    State.SUPERSEDED: "over",
}


@dataclass(frozen=True)
class Storm:
    """One storm. `rows` are all its incidents, whatever became of them; `fleet` is how many clusters there are, if known.

    `reason` is the policy's own word for what it does while the storm lasts. `ended_at` is None while it lasts.
    """

    began_at: datetime
    now: datetime
    rows: Sequence[Incident]
    fleet: int | None = None
    reason: str = ""
    ended_at: datetime | None = None

    @property
    def marker(self) -> str:
        """The hidden marker of its issue."""
        return f"storm:{self.began_at:%Y%m%dT%H%M%S}"


def umbrella_draft(storm: Storm) -> IssueDraft:
    """Title, labels and body. The same storm, seen again with nothing new in it, gives the same draft."""
    rows = sorted(storm.rows, key=lambda row: (_ORDER.index(row.state), row.opened_at, row.id))
    still = [row for row in rows if not row.state.over]
    of = f" of {storm.fleet}" if storm.fleet else ""
    if storm.ended_at is None:
        title = f"Storm: {len(still)}{of} clusters are stuck since {storm.began_at:%H:%M} UTC"
    else:
        title = f"Storm of {moment(storm.began_at)} is over: {len(rows)} clusters were stuck"
    labels = ("drover", "storm", "state/storm-over" if storm.ended_at else "state/storm")
    return IssueDraft(title=title, body=_body(storm, rows, still), labels=labels)


def _body(storm: Storm, rows: Sequence[Incident], still: Sequence[Incident]) -> str:
    head = _head(storm, rows, still)
    table = "| Cluster | Issue | State | Cause | Stuck for |\n|---|---|---|---|---|\n"
    shown, hidden = fit([_row(row, storm.now) for row in rows], MAX_BODY - len(head) - len(table) - _FOOT)
    more = f"\n\n{hidden} more have no room here: `drover incidents list` shows them all." if hidden else ""
    foot = "<sub>One row for each incident; each is decided in its own issue. This one is kept up to date and commands nothing.</sub>"
    return f"{head}\n\n{table}{chr(10).join(shown)}{more}\n\n{foot}"


def _head(storm: Storm, rows: Sequence[Incident], still: Sequence[Incident]) -> str:
    waiting = sum(row.state is State.AWAITING_APPROVAL for row in rows)
    healed = sum(row.state.over for row in rows)
    of = f" of {storm.fleet}" if storm.fleet else ""
    if storm.ended_at is not None:
        first = f"**The storm is over since {moment(storm.ended_at)}.** {len(rows)}{of} clusters were stuck in it; {healed} are up again."
    else:
        first = f"**{len(still)}{of} clusters do not come up**, the first since {moment(storm.began_at)}."
        if storm.reason:
            first += f" {prose(storm.reason.rstrip('.'), 300)}."
    numbers = [
        f"{waiting} {'waits' if waiting == 1 else 'wait'} for approval" if waiting else "",
        f"{healed} up again" if healed and storm.ended_at is None else "",
    ]
    lines = [first, "; ".join(filter(None, numbers)).capitalize() + "." if any(numbers) else ""]
    lines += [_common(rows)]
    return "\n\n".join(filter(None, lines))


def _common(rows: Sequence[Incident]) -> str:
    """What they have in common is where a person looks first."""
    causes = Counter(_cause(row) for row in rows)
    named = [f"{prose(cause, 120)} ({count})" for cause, count in causes.most_common(_CAUSES)]
    if len(causes) > _CAUSES:
        named.append(f"{len(causes) - _CAUSES} other causes")
    shared = []
    for what, values in (
        ("version", {row.kubernetes for row in rows}),
        ("Rancher server", {row.cluster.rancher for row in rows}),
        ("infrastructure", {words.driver(row.driver) for row in rows}),
    ):
        (value,) = values if len(values) == 1 else ("",)
        if value and len(rows) > 1 and value != "default":
            shared.append(f"{what} {plain(value, 60)}")
    common = f"\n**All of them share:** {', '.join(shared)}." if shared else ""
    return f"**Causes:** {', '.join(named)}.{common}" if rows else ""


def _row(row: Incident, now: datetime) -> str:
    issue = f"#{row.issue}" if row.issue else ""
    lasted = compact((row.closed_at or now) - row.stuck_since)
    name = cell(row.cluster_name or row.cluster.id, 63)
    return f"| {name} | {issue} | {_WORDS[row.state]} | {prose_cell(_cause(row), 120)} | {lasted} |"


def _cause(row: Incident) -> str:
    diagnosis: Any = row.diagnosis or {}
    findings = diagnosis.get("findings") or ()
    if diagnosis.get("verdict") in {"cni-failure", "other-failure"} and findings:
        return str(findings[0].get("title") or findings[0].get("signature") or "unknown")
    return "not diagnosed yet" if not diagnosis else "cause unknown"
