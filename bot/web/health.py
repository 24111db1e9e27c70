"""Are we alive, are we ready, and what are our numbers? Reachable without a login: probes and scrapers have none."""

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from bot.web.metrics import Metrics
from bot.web.parts import HealthReport, WebParts


def health_router(parts: WebParts, metrics: Metrics) -> APIRouter:
    router = APIRouter(tags=["health"])

    def healthz() -> JSONResponse:
        report = parts.health()
        return _answer(report, ok=report.alive)

    def readyz() -> JSONResponse:
        report = parts.health()
        return _answer(report, ok=report.ready)

    def metrics_page() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    for path, answer, asks in (
        ("/healthz", healthz, "Would a restart help?"),
        ("/readyz", readyz, "Are hooks accepted and clusters looked at?"),
    ):
        router.add_api_route(path, answer, methods=["GET"], summary=asks)
        # Some probes ask with HEAD; it is no operation of its own in the description.
        router.add_api_route(path, answer, methods=["HEAD"], include_in_schema=False)
    router.add_api_route("/metrics", metrics_page, methods=["GET"], summary="Prometheus metrics")
    return router


def _answer(report: HealthReport, *, ok: bool) -> JSONResponse:
    """Names and states only: reasons may name hosts, and nobody logged in here. Pages show them."""
    body = {
        "status": "ok" if ok else "failing",
        "parts": {part.name: "ok" if part.ok else "failing" for part in report.parts},
    }
    return JSONResponse(body, status_code=200 if ok else 503)
