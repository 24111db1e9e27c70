"""What does the service need from outside? One page, in the product's words.

Adapters implement these: GitHub, the database, the file system, the clock. `bot.adapters.in_memory` has one of each without any
outside, for tests and for a first look.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any, Protocol

from bot.incidents.incident import Incident
from bot.incidents.timeline import AuditRecord, TimelineEntry
from rancher_ext.detection import Progress, Stuck
from rancher_ext.fleet.cluster import ClusterKey
from rancher_ext.fleet.snapshot import ClusterSnapshot


class Clock(Protocol):
    """Policy time. It runs at the speed of the world, except in the demo and in tests."""

    def now(self) -> datetime:
        """The time in UTC."""
        ...

    def real_seconds(self, duration: timedelta) -> float:
        """How many seconds of the world's time pass during `duration` of this clock."""
        ...


@dataclass(frozen=True)
class IssueDraft:
    """What an issue shall look like. `body` is Markdown, at most 65,536 characters."""

    title: str
    body: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class IssueView:
    number: int
    url: str
    title: str
    body: str
    labels: tuple[str, ...]
    open: bool
    updated_at: datetime


@dataclass(frozen=True)
class CommentView:
    id: int
    issue: int
    author: str
    author_is_bot: bool
    body: str
    created_at: datetime
    updated_at: datetime
    url: str


class Role(IntEnum):
    """A person's role in the repository, as GitHub ranks them."""

    NONE = 0
    READ = 1
    TRIAGE = 2
    WRITE = 3
    MAINTAIN = 4
    ADMIN = 5


@dataclass(frozen=True)
class Membership:
    """Is somebody in a team? `unseen` says why that cannot be known; then nobody counts as a member."""

    member: bool
    unseen: str = ""


class IssueTracker(Protocol):
    """Where people read and command. Every write may be repeated: it looks for its marker first."""

    def find(self, marker: str) -> IssueView | None:
        """The newest issue of ours, open or closed, whose body holds the hidden marker."""
        ...

    def get(self, number: int) -> IssueView: ...

    def open(self, draft: IssueDraft, marker: str) -> IssueView:
        """The issue with this marker, created if there is none."""
        ...

    def edit(self, number: int, draft: IssueDraft) -> IssueView:
        """Make title, body and labels equal to the draft; no request when they are. The body's marker stays."""
        ...

    def close(self, number: int, *, completed: bool) -> None: ...

    def reopen(self, number: int) -> None: ...

    def upsert_comment(self, number: int, marker: str, body: str) -> CommentView:
        """The one comment with this marker, created or edited in place."""
        ...

    def react(self, comment_id: int, reaction: str) -> None:
        """`eyes`, `rocket`, `confused`, `+1` or `-1`."""
        ...

    def comments_since(self, when: datetime) -> Sequence[CommentView]:
        """Comments of all issues of the repository, changed since, oldest first."""
        ...

    def comment(self, comment_id: int) -> CommentView | None:
        """One comment as it stands now, or None when it was deleted."""
        ...

    def role_of(self, login: str) -> Role: ...

    def membership(self, team: str, login: str) -> Membership:
        """`team` is `organisation/team`. Only active members are members: who was invited and has not accepted is none."""
        ...

    def unseen_team(self, team: str) -> str:
        """Why we cannot see who is in this team; empty when we can."""
        ...

    def check(self) -> str:
        """Who we are there. Raises a BotError with a cure when we cannot work."""
        ...


@dataclass(frozen=True)
class SeenCluster:
    """The last look at one cluster. `facts` is what pages and tables show: distribution, cni, version, reason, times."""

    key: ClusterKey
    name: str
    verdict: str
    facts: Mapping[str, Any]
    seen_at: datetime


@dataclass(frozen=True)
class Assessed:
    """What one look yields for the memory."""

    key: ClusterKey
    uid: str
    progress: Progress
    seen: SeenCluster


class FleetMemory(Protocol):
    """The best each cluster ever reached and since when, and the fleet as last seen."""

    def memory(self, rancher: str) -> dict[str, tuple[str, Progress]]:
        """Uid and progress by cluster id, of one Rancher server."""
        ...

    def memory_of(self, key: ClusterKey, uid: str) -> Progress | None: ...

    def save(self, looks: Iterable[Assessed]) -> None: ...

    def forget_others(self, rancher: str, ids: Iterable[str]) -> None:
        """After a complete sweep: clusters that Rancher has no more."""
        ...

    def seen(self) -> list[SeenCluster]: ...

    def count(self) -> int:
        """How many clusters the last looks saw."""
        ...


class IncidentBook(Protocol):
    """Incidents, their timelines, pre-images, the audit chain, leases and small notes. Everything may be written twice."""

    def open(self, snapshot: ClusterSnapshot, verdict: Stuck, source: str) -> tuple[Incident, bool]:
        """The open incident of this cluster, created when there is none. The flag says whether it is new."""
        ...

    def get(self, identifier: str) -> Incident: ...

    def open_of(self, key: ClusterKey) -> Incident | None: ...

    def by_issue(self, issue: int) -> Incident | None: ...

    def all(self, *, only_open: bool = False, limit: int = 200) -> list[Incident]: ...

    def with_signature(self, signature: str, besides: str) -> list[Incident]: ...

    def update(self, identifier: str, now: datetime, **changes: Any) -> Incident: ...

    def mending_now(self, besides: str = "") -> int: ...

    def opened_since(self, when: datetime) -> int:
        """How many clusters got an incident since then."""
        ...

    def tell(self, incident: str, at: datetime, kind: str, text: str, *, once: str) -> None: ...

    def timeline(self, incident: str) -> Sequence[TimelineEntry]: ...

    def record(self, incident: str, at: datetime, *, once: str, **what: Any) -> None: ...

    def recorded(self, incident: str, once: str) -> bool: ...

    def audit(self, incident: str | None = None) -> list[AuditRecord]: ...

    def save_preimage(self, incident: str, digest: str, steps: Sequence[Mapping[str, Any]], at: datetime) -> None: ...

    def preimage(self, incident: str, digest: str) -> Sequence[Mapping[str, Any]] | None: ...

    def claim(self, key: str, at: datetime) -> bool:
        """True for the first who asks."""
        ...

    def claimed(self, key: str) -> bool:
        """Did anybody claim it before?"""
        ...

    def forget_claims(self, before: datetime) -> None: ...

    def lease(self, cluster: ClusterKey, holder: str, now: datetime, lasts: timedelta) -> int | None:
        """The number of a new lease, or None while another one holds it. Numbers only grow."""
        ...

    def renew(self, cluster: ClusterKey, number: int, now: datetime, lasts: timedelta) -> bool:
        """Is this still the newest number? Then it lasts longer."""
        ...

    def lease_holder(self, cluster: ClusterKey) -> str | None: ...

    def release(self, cluster: ClusterKey, holder: str, now: datetime) -> None: ...

    def note(self, key: str, default: Any = None) -> Any: ...

    def set_note(self, key: str, value: Any) -> None: ...
