"""What can a program read? Clusters and incidents as JSON, described in `/openapi.json`. Read-only; keys may be added, none goes."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from bot.incidents.incident import Incident
from bot.reports.story import Story
from bot.web.fleet_view import Filter, Row, fleet_page
from bot.web.pages import IDENTIFIER
from bot.web.parts import WebParts
from bot.web.problems import Problem
from rancher_ext.remediation.plan import Plan


class _Shown(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class ClusterJson(_Shown):
    """`facts` holds what the last look found; `incident` is the open incident's id."""

    rancher: str
    id: str
    name: str
    verdict: str = Field(description="stuck, unknown, progressing, healthy or out-of-scope")
    facts: dict[str, Any]
    seen_at: datetime
    incident: str | None
    issue: int | None


class ClustersJson(_Shown):
    total: int
    found: int
    page: int
    pages: int
    verdicts: dict[str, int]
    clusters: list[ClusterJson]


class IncidentJson(_Shown):
    id: str
    rancher: str
    cluster: str
    cluster_name: str
    episode: int
    state: str
    opened_at: datetime
    updated_at: datetime
    stuck_since: datetime
    closed_at: datetime | None
    stage: str
    reason: str
    distribution: str
    cni: str
    kubernetes: str
    node_count: int | None
    verdict: str | None
    signature: str | None
    cause: str | None
    confidence: float | None
    plan: str | None = Field(description="the plan's digest, as an approval names it")
    issue: int | None
    issue_url: str
    outcome: str


class IncidentsJson(_Shown):
    total: int
    incidents: list[IncidentJson]


class TimelineJson(_Shown):
    at: datetime
    kind: str
    text: str


class AuditJson(_Shown):
    number: int
    at: datetime
    actor: str
    rule: str
    what: str
    place: str
    before: Any
    after: Any
    result: str
    previous: str = Field(description="the digest of the record before this one, of whatever incident")
    digest: str


class PlanJson(_Shown):
    """What an approval agrees to. `steps` have exact diffs; times are in seconds."""

    digest: str
    playbook: str
    title: str
    signature: str
    risk: str = Field(description="safe, disruptive or destructive")
    undo: str = Field(description="exact, compensating or none")
    undo_on_failure: bool
    proof: list[str]
    expected_seconds: float
    within_seconds: float
    soak_seconds: float
    steps: list[dict[str, Any]]
    done: list[list[str]] = Field(description="actions that have nothing to do here, and why")


class IncidentStoryJson(IncidentJson):
    """The whole story. `diagnosis` is the stable JSON of `drover diagnose`."""

    diagnosis: dict[str, Any] | None
    plan_steps: list[dict[str, Any]]
    plan_in_full: PlanJson | None
    explanation: dict[str, Any] | None
    decision: dict[str, Any] | None
    approval_expires: datetime | None
    timeline: list[TimelineJson]
    audit: list[AuditJson]


def api_router(parts: WebParts) -> APIRouter:
    router = APIRouter(prefix="/api/v1", tags=["fleet"])

    @router.get("/clusters", summary="Clusters as last seen, worst first")
    def clusters(
        q: Annotated[str, Query(max_length=200, description="words in name, id, version or Rancher's message")] = "",
        verdict: Annotated[str, Query(max_length=40)] = "",
        cni: Annotated[str, Query(max_length=40)] = "",
        page: Annotated[int, Query(ge=1, le=100_000)] = 1,
        per_page: Annotated[int, Query(ge=1, le=1_000)] = 100,
    ) -> ClustersJson:
        view = fleet_page(
            parts.fleet(), parts.incidents(), Filter(q.strip(), verdict, cni), page, per_page, parts.now()
        )
        return ClustersJson(
            total=view.total,
            found=view.found,
            page=view.page,
            pages=view.pages,
            verdicts=dict(view.verdicts),
            clusters=[_cluster(row) for row in view.rows],
        )

    @router.get("/incidents", summary="Incidents, newest first")
    def incidents(
        state: Annotated[str, Query(max_length=40)] = "", open_only: Annotated[bool, Query()] = False
    ) -> IncidentsJson:
        found = [
            each
            for each in parts.incidents()
            if (not state or each.state.value == state) and not (open_only and each.state.over)
        ]
        return IncidentsJson(total=len(found), incidents=[IncidentJson(**_incident(each)) for each in found])

    @router.get("/incidents/{identifier:path}", summary="One incident with its diagnosis, plan, timeline and audit")
    def incident(identifier: str) -> IncidentStoryJson:
        story = parts.incident(identifier) if IDENTIFIER.fullmatch(identifier) else None
        if story is None:
            raise Problem(404, "There is no such incident.", cure="GET /api/v1/incidents lists those there are.")
        return _story(story, parts)

    return router


def _cluster(row: Row) -> ClusterJson:
    cluster = row.cluster
    return ClusterJson(
        rancher=cluster.key.rancher,
        id=cluster.key.id,
        name=cluster.name,
        verdict=cluster.verdict,
        facts=dict(cluster.facts),
        seen_at=cluster.seen_at,
        incident=row.incident.id if row.incident else None,
        issue=row.incident.issue if row.incident else None,
    )


def _incident(incident: Incident) -> dict[str, Any]:
    diagnosis = incident.diagnosis or {}
    best: Mapping[str, Any] = next(iter(diagnosis.get("findings") or ()), {})
    return {
        "id": incident.id,
        "rancher": incident.cluster.rancher,
        "cluster": incident.cluster.id,
        "cluster_name": incident.cluster_name,
        "episode": incident.episode,
        "state": incident.state.value,
        "opened_at": incident.opened_at,
        "updated_at": incident.updated_at,
        "stuck_since": incident.stuck_since,
        "closed_at": incident.closed_at,
        "stage": incident.stage,
        "reason": incident.reason,
        "distribution": incident.distribution,
        "cni": incident.cni,
        "kubernetes": incident.kubernetes,
        "node_count": incident.node_count,
        "verdict": diagnosis.get("verdict"),
        "signature": best.get("signature"),
        "cause": best.get("cause"),
        "confidence": best.get("confidence"),
        "plan": (incident.plan or {}).get("digest"),
        "issue": incident.issue,
        "issue_url": incident.issue_url,
        "outcome": incident.outcome,
    }


def _plan(plan: Plan) -> PlanJson:
    return PlanJson(
        digest=plan.digest,
        playbook=plan.playbook,
        title=plan.title,
        signature=plan.signature,
        risk=plan.risk.value,
        undo=plan.undo.value,
        undo_on_failure=plan.undo_on_failure,
        proof=list(plan.proof),
        expected_seconds=plan.expected.total_seconds(),
        within_seconds=plan.within.total_seconds(),
        soak_seconds=plan.soak.total_seconds(),
        steps=[step.to_json() for step in plan.steps],
        done=[list(each) for each in plan.done],
    )


def _story(story: Story, parts: WebParts) -> IncidentStoryJson:
    steps = [step.to_json() for step in story.plan.steps] if story.plan else []
    return IncidentStoryJson(
        **_incident(story.incident),
        diagnosis=dict(story.diagnosis) if story.diagnosis else None,
        plan_steps=[{name: step[name] for name in ("action", "title", "diff", "effect", "place")} for step in steps],
        plan_in_full=_plan(story.plan) if story.plan else None,
        explanation=dict(story.explanation) if story.explanation else None,
        decision=dict(story.decision) if story.decision else None,
        approval_expires=story.approval_expires,
        timeline=[TimelineJson(at=each.at, kind=each.kind, text=each.text) for each in story.timeline],
        audit=[
            AuditJson(
                number=each.number,
                at=each.at,
                actor=each.actor,
                rule=each.rule,
                what=each.what,
                place=each.place,
                before=each.before,
                after=each.after,
                result=each.result,
                previous=each.previous,
                digest=each.digest,
            )
            for each in parts.audit(story.incident.id)
        ],
    )
