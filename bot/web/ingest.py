"""What do a cluster's nodes send us? One report per node and run, under a token that opens nothing else.

The token is checked before the body is read, so that a stranger cannot even make us listen. Every refusal is a 4xx that tells
nothing about which runs and nodes there are.
"""

from collections.abc import Callable

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from bot.web.bodies import read_body
from bot.web.problems import Problem
from bot.workflows.probe_inbox import ProbeInbox, Refusal, ReportRefused
from rancher_ext.probe.report import MEDIA_TYPE, PACKED, BadReport

_SECONDS = 30.0

Count = Callable[[str], None]

_REFUSALS = {
    Refusal.UNKNOWN: (404, "There is no such token."),
    Refusal.EXPIRED: (410, "The time of this token is over."),
    Refusal.USED: (409, "This token was used already."),
    Refusal.FULL: (429, "This run has taken all the reports that it takes."),
}


def ingest_router(inbox: ProbeInbox, count: Count = lambda _outcome: None) -> APIRouter:
    """The route of the node-side collector. `count` hears one word per request: accepted, or why not."""
    router = APIRouter(prefix="/ingest", tags=["ingest"])

    @router.post("/probe/{token}", summary="Evidence from the node-side collector", status_code=202)
    async def probe(token: str, request: Request) -> JSONResponse:
        outcome = "failed"
        try:
            await _take(inbox, token, request)
            outcome = "accepted"
        except Problem as refusal:
            outcome = refusal.outcome
            raise
        finally:
            count(outcome)
        return JSONResponse({"status": "accepted"}, status_code=202)

    return router


async def _take(inbox: ProbeInbox, token: str, request: Request) -> None:
    try:
        await run_in_threadpool(inbox.check, token)
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != MEDIA_TYPE:
            raise Problem(415, f"A report comes as {MEDIA_TYPE}.", outcome="malformed")
        body = await read_body(request, PACKED, _SECONDS)
        await run_in_threadpool(inbox.accept, token, body)
    except ReportRefused as refused:
        status, detail = _REFUSALS[refused.why]
        raise Problem(
            status,
            detail,
            cure="`drover probe deliver` gives the nodes new ones.",
            outcome=refused.why.value,
            # The body was not read: the connection cannot be used for another request.
            headers={"Connection": "close"},
        ) from None
    except BadReport as error:
        raise Problem(400, f"{error}.".capitalize(), outcome="malformed") from None
