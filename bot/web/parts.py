"""What does the web need from the rest of the service? One value, composed by `bot.app`; the web knows no store and no GitHub.

Callables may block (they run in a thread) and may raise a DroverError: that is answered with 503 and a reason.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bot.incidents.incident import Incident
from bot.incidents.timeline import AuditRecord
from bot.ports import SeenCluster
from bot.reports.story import Story
from bot.workflows.probe_inbox import ProbeInbox


@dataclass(frozen=True)
class PartHealth:
    """One part of the service. `reason` says what is wrong, or what it last did."""

    name: str
    ok: bool
    reason: str = ""


@dataclass(frozen=True)
class HealthReport:
    """`alive`: restarting would not help. `ready`: hooks are accepted and clusters are being looked at."""

    alive: bool
    ready: bool
    parts: Sequence[PartHealth] = ()


@dataclass(frozen=True)
class Coverage:
    """How much of the fleet was seen, and when. None is "not yet" or "nobody knows"."""

    seen: int = 0
    total: int | None = None
    swept_at: datetime | None = None
    watch_connected: bool | None = None


@dataclass(frozen=True)
class WebLimits:
    """Bounds for what strangers send. GitHub's own limit for a delivery is 25 MB."""

    github_body: int = 26 * 1024 * 1024
    hook_body: int = 1024 * 1024
    body_seconds: float = 30.0
    event_clients: int = 32
    event_seconds: float = 2.0
    page_rows: int = 100


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _no_audit(_: str) -> Sequence[AuditRecord]:
    return ()


@dataclass(frozen=True)
class WebParts:
    """`incident` gives None where there is no such incident.

    `accept_delivery(guid, event, payload)` stores a GitHub delivery before it returns, False when it was there already.
    `accept_hint_names(names, source)` queues a look at clusters by id or display name and says how many were recognised.
    Pages and API need a login where `listens_beyond_loopback`, or as soon as page tokens or a proxy header are configured.
    """

    fleet: Callable[[], Sequence[SeenCluster]]
    incidents: Callable[[], Sequence[Incident]]
    incident: Callable[[str], Story | None]
    accept_delivery: Callable[[str, str, Mapping[str, Any]], bool]
    accept_hint_names: Callable[[Sequence[str], str], int]
    health: Callable[[], HealthReport]
    coverage: Callable[[], Coverage]
    audit: Callable[[str], Sequence[AuditRecord]] = _no_audit
    now: Callable[[], datetime] = _utc_now
    stopping: Callable[[], bool] = lambda: False
    github_secrets: Sequence[str] = field(repr=False, default=())
    hook_tokens: Sequence[str] = field(repr=False, default=())
    page_tokens: Sequence[str] = field(repr=False, default=())
    trusted_proxy_header: str = ""
    listens_beyond_loopback: bool = False
    public_url: str = ""
    hook_labels: Sequence[str] = ("cluster_id", "cluster", "cluster_name")
    probes: ProbeInbox | None = None
    limits: WebLimits = field(default_factory=WebLimits)
