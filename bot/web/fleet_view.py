"""Which clusters does a page show, in which order? The worst first, filtered and cut into pages; values only."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from bot.incidents.incident import Incident, State
from bot.ports import SeenCluster
from bot.reports import words
from bot.reports.durations import compact

# Worst first. What is out of scope is nobody's worry here and comes last.
VERDICTS = {
    "stuck": "Stuck",
    "unknown": "Unknown",
    "progressing": "Slow",
    "healthy": "Healthy",
    "out-of-scope": "Not watched",
}
STATES = {
    State.DETECTED: "looking",
    State.DIAGNOSING: "looking",
    State.REPORTED: "reported",
    State.AWAITING_APPROVAL: "waits for approval",
    State.REMEDIATING: "mending",
    State.VERIFYING: "proving the cure",
    State.RESOLVED: "healed",
    State.SNOOZED: "snoozed",
    State.REJECTED: "rejected",
    State.ROLLING_BACK: "putting back",
    State.ROLLED_BACK: "put back",
    State.ESCALATED: "needs a person",
    State.SUPERSEDED: "over",
}


@dataclass(frozen=True)
class Row:
    """One cluster as a table row."""

    cluster: SeenCluster
    incident: Incident | None
    now: datetime

    def fact(self, name: str) -> str:
        value = self.cluster.facts.get(name)
        return "" if value is None else str(value)

    @property
    def verdict_word(self) -> str:
        return VERDICTS.get(self.cluster.verdict, self.cluster.verdict)

    @property
    def since(self) -> datetime | None:
        return read_time(self.cluster.facts.get("since"))

    @property
    def lasting(self) -> str:
        return compact(self.now - self.since) if self.since else ""

    @property
    def recheck_in(self) -> str:
        """For a slow cluster: when judging it makes sense."""
        when = read_time(self.cluster.facts.get("recheckAt"))
        return compact(max(when - self.now, timedelta())) if when and self.cluster.verdict == "progressing" else ""

    @property
    def distribution(self) -> str:
        return words.distribution(self.fact("distribution"))

    @property
    def cni(self) -> str:
        return words.cni(self.fact("cni"))

    @property
    def nodes(self) -> str:
        count, ready = self.fact("nodes"), self.fact("nodesReady")
        return f"{ready}/{count}" if ready and count else count

    @property
    def path(self) -> str:
        """The page's address, relative to `/`. Several Rancher servers may know the same id."""
        return f"clusters/{quote(self.cluster.key.id, safe='')}?{urlencode({'rancher': self.cluster.key.rancher})}"

    @property
    def searchable(self) -> str:
        fields = (
            self.cluster.name,
            self.cluster.key.id,
            self.cluster.key.rancher,
            self.fact("kubernetes"),
            self.fact("reason"),
        )
        return " ".join(fields).lower()


@dataclass(frozen=True)
class Filter:
    """What the person asked to see; empty means everything."""

    text: str = ""
    verdict: str = ""
    cni: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Filter":
        return cls(query.get("q", "").strip()[:200], query.get("verdict", "")[:40], query.get("cni", "")[:40])

    def holds(self, row: Row) -> bool:
        return (
            (not self.verdict or row.cluster.verdict == self.verdict)
            and (not self.cni or row.fact("cni") == self.cni)
            and all(word in row.searchable for word in self.text.lower().split())
        )

    def address(self, **changes: str | int) -> str:
        """The query string of this filter with changes, without its empty parts."""
        values = {"q": self.text, "verdict": self.verdict, "cni": self.cni, **changes}
        return "?" + urlencode({name: value for name, value in values.items() if value})


@dataclass(frozen=True)
class FleetPage:
    rows: Sequence[Row]
    found: int
    total: int
    page: int
    pages: int
    verdicts: Mapping[str, int]
    cnis: Sequence[str]
    filter: Filter

    @property
    def first(self) -> int:
        return self.found and (self.page - 1) * self.rows_per_page + 1

    @property
    def last(self) -> int:
        return self.first + len(self.rows) - 1 if self.found else 0

    rows_per_page: int = 100


def fleet_page(
    clusters: Sequence[SeenCluster],
    incidents: Sequence[Incident],
    asked: Filter,
    page: int,
    per_page: int,
    now: datetime,
) -> FleetPage:
    """Counts speak of the whole fleet, rows of what the filter leaves."""
    rows = fleet_rows(clusters, incidents, now)
    found = [row for row in rows if asked.holds(row)]
    pages = max(1, -(-len(found) // per_page))
    number = min(max(1, page), pages)
    counts = Counter(cluster.verdict for cluster in clusters)
    return FleetPage(
        rows=found[(number - 1) * per_page : number * per_page],
        found=len(found),
        total=len(rows),
        page=number,
        pages=pages,
        verdicts={verdict: counts[verdict] for verdict in VERDICTS},
        cnis=sorted({row.fact("cni") for row in rows} - {""}),
        filter=asked,
        rows_per_page=per_page,
    )


def fleet_rows(clusters: Sequence[SeenCluster], incidents: Sequence[Incident], now: datetime) -> list[Row]:
    """Worst first; among equals the one that lasts longest, then by name."""
    current = {incident.cluster: incident for incident in reversed(incidents) if not incident.state.over}
    rows = [Row(cluster, current.get(cluster.key), now) for cluster in clusters]
    order = list(VERDICTS)

    def worst(row: Row) -> tuple[int, float, str]:
        rank = order.index(row.cluster.verdict) if row.cluster.verdict in order else len(order)
        counts = row.cluster.verdict in {"stuck", "unknown", "progressing"} and row.since is not None
        return rank, row.since.timestamp() if counts and row.since else float("inf"), row.cluster.name.lower()

    return sorted(rows, key=worst)


def page_number(text: str) -> int:
    """The page asked for; anything that is no number is the first."""
    return int(text) if text.isdecimal() and len(text) <= 6 else 1


def read_time(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        when = datetime.fromisoformat(value)
    except ValueError:
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)
