"""How is the web put together? Routers on one application; login, headers and counters around them.

Hooks, health and metrics are reachable without a login (hooks have their own secrets, and metrics name nobody); pages, API and
the description of both are not.
"""

from importlib.metadata import PackageNotFoundError, version

from fastapi import Depends, FastAPI
from fastapi.responses import JSONResponse

from bot.web import problems
from bot.web.api import api_router
from bot.web.events import events_router
from bot.web.guard import Login, SecurityHeaders
from bot.web.health import health_router
from bot.web.hooks import hooks_router
from bot.web.ingest import ingest_router
from bot.web.metrics import CountRequests, Metrics
from bot.web.pages import pages_router, static_router
from bot.web.parts import WebParts


def create_app(parts: WebParts) -> FastAPI:
    """The whole of it, ready for uvicorn."""
    app = FastAPI(
        title="Drover",
        version=_version(),
        description="Finds Rancher clusters that wait for Flannel or Canal, and what was done about them.",
        # The documentation pages of FastAPI load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    metrics = Metrics(parts)
    login = [Depends(Login(parts))]
    problems.install(app)
    app.include_router(health_router(parts, metrics))
    app.include_router(hooks_router(parts, metrics))
    if parts.probes is not None:
        counted = metrics.hooks
        app.include_router(
            ingest_router(parts.probes, lambda outcome: counted.labels(hook="probe", outcome=outcome).inc())
        )
    app.include_router(static_router())
    app.include_router(api_router(parts), dependencies=login)
    app.include_router(events_router(parts), dependencies=login)
    app.include_router(pages_router(parts), dependencies=login)

    def description() -> JSONResponse:
        return JSONResponse(app.openapi())

    app.add_api_route("/openapi.json", description, include_in_schema=False, dependencies=login)
    app.add_middleware(CountRequests, metrics=metrics)
    app.add_middleware(SecurityHeaders)
    return app


def _version() -> str:
    try:
        return version("rancher-drover")
    except PackageNotFoundError:
        return "0"
