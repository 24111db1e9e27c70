"""How are the facts of a story gathered for a report or a page?"""

from datetime import datetime, timedelta
from pathlib import Path

from bot.incidents.incident import Incident, first_signature
from bot.policy.approvals import Approval
from bot.reports.story import EvidenceSummary, Sibling, Story
from bot.workflows.parts import Parts
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
    return Story(
        incident=row,
        now=now,
        timeline=parts.store.timeline(row.id),
        diagnosis=row.diagnosis,
        plan=plan,
        explanation=row.explanation,
        decision=row.decision,
        approval_expires=_expires(row, now, parts.policy().approvals.expire) if plan else None,
        siblings=[Sibling(other.cluster_name, other.issue, other.state.value) for other in siblings],
        evidence=evidence_summary(row.evidence),
        coverage=parts.coverage(),
        public_url=parts.public_url,
        rancher_url=server.transport.url if server else "",
        progress_text=row.outcome,
    )


def _expires(row: Incident, now: datetime, lasts: timedelta) -> datetime:
    """An approval counts from when it is given; before there is one, the plan stands for as long from now."""
    given = [Approval.from_json(raw).at for raw in (row.approval or {}).get("approvals", ())]
    return (min(given) if given else row.opened_at if now - row.opened_at < lasts else now) + lasts


def evidence_summary(path: str) -> EvidenceSummary:
    """Numbers and excerpts of a saved archive; empty when there is none (any more)."""
    if not path or not Path(path).exists():
        return EvidenceSummary()
    try:
        bundle = open_bundle(path)
    except BadInput:
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
