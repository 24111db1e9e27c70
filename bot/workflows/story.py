"""How are the facts of a story gathered for a report or a page?"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from bot.incidents.incident import Incident, first_signature
from bot.incidents.timeline import TimelineEntry
from bot.policy.approvals import Approval
from bot.reports.story import EvidenceSummary, Sibling, Story
from bot.workflows.parts import Parts
from bot.workflows.probe_inbox import ProbeInbox
from rancher_ext.bundle.bundle import Bundle
from rancher_ext.errors import BadInput
from rancher_ext.evidence.archive import open_bundle
from rancher_ext.remediation.plan import Plan

# Enough for a reader to see the log's end; everything is in the archive.
EXCERPT = 1500
EXCERPTS = 4


def story_of(parts: Parts, row: Incident, now: datetime) -> Story:
    signature = first_signature(row.diagnosis)
    siblings = parts.store.with_signature(signature, row.id) if signature else []
    server = parts.ranchers.get(row.cluster.rancher)
    plan = Plan.from_json(row.plan) if row.plan else None
    timeline = parts.store.timeline(row.id)
    return Story(
        incident=row,
        now=now,
        timeline=timeline,
        diagnosis=row.diagnosis,
        plan=plan,
        explanation=row.explanation,
        decision=row.decision,
        approval_expires=_expires(row, timeline, plan, parts.policy().approvals.expire, now) if plan else None,
        siblings=[Sibling(other.cluster_name, other.issue, other.state.value) for other in siblings],
        evidence=evidence_summary(row.evidence),
        coverage=parts.coverage(),
        public_url=parts.public_url,
        rancher_url=server.transport.url if server else "",
        progress_text=row.outcome,
        asked=None if row.state.over else ProbeInbox(parts.store, parts.clock).asked(row.id),
    )


def _expires(
    row: Incident, timeline: Sequence[TimelineEntry], plan: Plan, lasts: timedelta, now: datetime
) -> datetime | None:
    """An approval counts from when it is given. Before there is one, an offer stands for as long from when the plan was made;
    after that it is still good, but no longer has a date to show.
    """
    given = [Approval.from_json(raw).at for raw in (row.approval or {}).get("approvals", ())]
    if given:
        return min(given) + lasts
    made = [entry.at for entry in timeline if entry.kind == "plan" and plan.short in entry.text]
    until = max(made) + lasts if made else None
    return until if until and until > now else None


def kept_evidence(path: str) -> Bundle | None:
    """A saved archive; None when there is none (any more)."""
    if not path or not Path(path).exists():
        return None
    try:
        return open_bundle(path)
    except BadInput:
        return None


def evidence_summary(path: str) -> EvidenceSummary:
    """Numbers and excerpts of a saved archive; empty when there is none (any more)."""
    bundle = kept_evidence(path)
    if bundle is None:
        return EvidenceSummary()
    manifest = bundle.manifest
    logs = sorted(
        (file for name, file in bundle.items() if name.startswith("logs/") and file.size),
        key=lambda file: "previous" in file.path,
    )
    return EvidenceSummary(
        files=len(bundle),
        size=sum(file.size for file in bundle.values()),
        masked=sum(entry.count for entry in manifest.redactions) if manifest else 0,
        collectors=[report.to_json() for report in manifest.collectors] if manifest else (),
        excerpts=[
            (file.path, file.read_bytes()[-EXCERPT:].decode("utf-8", errors="replace")) for file in logs[:EXCERPTS]
        ],
    )
