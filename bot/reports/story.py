"""What does a report need to know? Everything about one incident at one moment, gathered by the caller."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bot.incidents.incident import Incident
from bot.incidents.timeline import TimelineEntry
from rancher_ext.remediation.plan import Plan


@dataclass(frozen=True)
class Sibling:
    """Another open incident with the same signature."""

    cluster_name: str
    issue: int | None
    state: str


@dataclass(frozen=True)
class EvidenceSummary:
    """What the bundle holds: numbers, and how each collector fared."""

    files: int = 0
    size: int = 0
    masked: int = 0
    collectors: Sequence[Mapping[str, Any]] = ()
    excerpts: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Story:
    """Facts for the issue, the comments and the incident's page.

    `diagnosis` is the stable JSON of design (schema 1) or None before the first one; `plan` or `explanation` says what can be
    done; `decision` is the policy's answer as JSON (`decision`: allow, needs-approval, wait, refuse); `progress_text` is the one
    line of the status comment while something runs.
    """

    incident: Incident
    now: datetime
    timeline: Sequence[TimelineEntry] = ()
    diagnosis: Mapping[str, Any] | None = None
    plan: Plan | None = None
    explanation: Mapping[str, Any] | None = None
    decision: Mapping[str, Any] | None = None
    approval_expires: datetime | None = None
    siblings: Sequence[Sibling] = ()
    evidence: EvidenceSummary = field(default_factory=EvidenceSummary)
    coverage: str = ""
    public_url: str = ""
    rancher_url: str = ""
    progress_text: str = ""
    # What there is to say of asking the nodes themselves (`bot.workflows.probe_inbox.ProbeInbox.asked`).
    asked: Mapping[str, Any] | None = None
