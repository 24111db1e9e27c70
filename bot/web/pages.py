"""What do people see? The fleet with the worst first, one cluster, one incident. Read-only."""

import re
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from bot.incidents.incident import Incident, State
from bot.reports.view import Case
from bot.web import assets
from bot.web.fleet_view import STATES, VERDICTS, Filter, Row, fleet_page, fleet_rows, page_number
from bot.web.parts import WebParts
from bot.web.problems import Problem
from bot.web.rendering import page

# What our ids and Rancher's names can hold. A NUL or a control character never gets as far as the database.
IDENTIFIER = re.compile(r"[^\x00-\x1f\x7f]{1,400}")


def pages_router(parts: WebParts) -> APIRouter:
    """Routes need a login where one is configured; the caller sees to that."""
    router = APIRouter(include_in_schema=False)

    def shown(request: Request, template: str, **values: Any) -> HTMLResponse:
        return page(
            request, template, now=parts.now(), coverage=parts.coverage(), states=STATES, verdicts=VERDICTS, **values
        )

    @router.get("/")
    def fleet(request: Request) -> HTMLResponse:
        query = request.query_params
        incidents = parts.incidents()
        view = fleet_page(
            parts.fleet(),
            incidents,
            Filter.of(query),
            page_number(query.get("page", "")),
            parts.limits.page_rows,
            parts.now(),
        )
        return shown(
            request,
            "fleet.html",
            view=view,
            ailing=[each for each in parts.health().parts if not each.ok],
            waiting=_count(incidents, State.AWAITING_APPROVAL),
            mending=_acting(incidents),
        )

    @router.get("/clusters/{identifier}")
    def cluster(request: Request, identifier: str) -> HTMLResponse:
        row = find_cluster(parts, identifier, request.query_params.get("rancher", ""))
        history = [each for each in parts.incidents() if each.cluster == row.cluster.key]
        return shown(request, "cluster.html", row=row, history=history)

    @router.get("/incidents")
    def incidents(request: Request) -> HTMLResponse:
        found = parts.incidents()
        return shown(
            request,
            "incidents.html",
            open=[each for each in found if not each.state.over],
            over=[each for each in found if each.state.over][: parts.limits.page_rows],
        )

    @router.get("/incidents/{identifier:path}")
    def incident(request: Request, identifier: str) -> HTMLResponse:
        story = parts.incident(identifier) if IDENTIFIER.fullmatch(identifier) else None
        if story is None:
            raise Problem(404, "There is no such incident.", cure="The list of incidents shows those there are.")
        return shown(
            request,
            "incident.html",
            case=Case(story),
            incident=story.incident,
            story=story,
            audit=parts.audit(identifier),
        )

    return router


def static_router() -> APIRouter:
    """Our few files. They hold nothing of anybody, so the page that asks for a login may use them."""
    router = APIRouter(include_in_schema=False)

    @router.get("/static/{name}")
    def static(request: Request, name: str) -> Response:
        asset = assets.find(name)
        if asset is None:
            raise Problem(404, "There is no such file.")
        headers = {"ETag": asset.tag, "Cache-Control": "max-age=300"}
        if request.headers.get("if-none-match") == asset.tag:
            return Response(status_code=304, headers=headers)
        return Response(asset.content, media_type=asset.media_type, headers=headers)

    return router


def find_cluster(parts: WebParts, identifier: str, rancher: str) -> Row:
    """By id, on the Rancher server named, or on any where none is. Raises Problem 404."""
    for row in fleet_rows(parts.fleet(), parts.incidents(), parts.now()):
        if row.cluster.key.id == identifier and rancher in {"", row.cluster.key.rancher}:
            return row
    raise Problem(
        404,
        "No cluster of this id was seen by the last sweep.",
        cure="The fleet page lists every cluster that was seen.",
    )


def _count(incidents: Sequence[Incident], state: State) -> int:
    return sum(each.state is state for each in incidents)


def _acting(incidents: Sequence[Incident]) -> int:
    return sum(each.state in {State.REMEDIATING, State.VERIFYING, State.ROLLING_BACK} for each in incidents)
