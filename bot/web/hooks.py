"""What do GitHub and monitoring tell us? Nothing that is believed: a delivery or a name is kept, and what counts is read afresh.

The order is always the same: is it signed, is it small enough, can it be read, is it new, is it kept. Only then the answer.
"""

import re
from collections.abc import Awaitable, Callable, Sequence

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from bot.adapters.github_events import Ignored, parse_delivery, verify_signature
from bot.web.bodies import parse_json, parse_object, read_body
from bot.web.guard import bearer, is_one_of
from bot.web.metrics import Metrics
from bot.web.parts import WebParts
from bot.web.problems import Problem
from rancher_ext.errors import BadInput
from rancher_ext.listeners.payloads import Payload, gather

# GitHub sends a GUID; a redelivery carries the same one.
_GUID = re.compile(r"[A-Za-z0-9-]{1,100}")
_EVENT = re.compile(r"[a-z_]{1,60}")

SIGNATURE_HEADER = "X-Drover-Signature-256"

Answer = tuple[int, dict[str, object], str]


def hooks_router(parts: WebParts, metrics: Metrics) -> APIRouter:
    router = APIRouter(prefix="/hooks", tags=["hooks"])

    @router.post("/github", summary="A GitHub webhook delivery", status_code=202)
    async def github(request: Request) -> JSONResponse:
        return await _counted(metrics, "github", lambda: _github(request, parts))

    for payload in gather().values():
        router.add_api_route(
            f"/{payload.name}",
            _named_hook(payload, parts, metrics),
            methods=["POST"],
            summary=payload.title or payload.name,
            name=f"hook_{payload.name}",
            status_code=202,
        )
    return router


def _named_hook(payload: Payload, parts: WebParts, metrics: Metrics) -> Callable[[Request], Awaitable[JSONResponse]]:
    async def hook(request: Request) -> JSONResponse:
        return await _counted(metrics, payload.name, lambda: _names(request, parts, payload))

    return hook


async def _counted(metrics: Metrics, hook: str, handle: Callable[[], Awaitable[Answer]]) -> JSONResponse:
    """One count per request, by outcome. A failure of our own is counted as such and goes on its way."""
    outcome = "failed"
    try:
        status, body, outcome = await handle()
    except Problem as refusal:
        outcome = refusal.outcome
        raise
    finally:
        metrics.hooks.labels(hook=hook, outcome=outcome).inc()
    return JSONResponse({"status": outcome, **body}, status_code=status)


async def _github(request: Request, parts: WebParts) -> Answer:
    signature = request.headers.get("x-hub-signature-256")
    if not signature or not parts.github_secrets:
        raise _unsigned_delivery()
    body = await read_body(request, parts.limits.github_body, parts.limits.body_seconds)
    if not verify_signature(body, signature, parts.github_secrets):
        raise _unsigned_delivery()
    event = request.headers.get("x-github-event", "")
    guid = request.headers.get("x-github-delivery", "")
    if not _EVENT.fullmatch(event) or not _GUID.fullmatch(guid):
        raise Problem(
            400,
            "X-GitHub-Event or X-GitHub-Delivery is missing or is not what GitHub sends.",
            cure="Let proxies pass GitHub's headers through.",
            outcome="malformed",
        )
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/x-www-form-urlencoded":
        raise Problem(
            415,
            "The delivery comes as a form.",
            cure="Set the webhook's content type to application/json.",
            outcome="malformed",
        )
    payload = parse_object(body)
    try:
        meaning = parse_delivery(event, payload)
    except BadInput as error:
        raise Problem(400, error.message, cure=error.cure, outcome="malformed") from None
    if isinstance(meaning, Ignored):
        return 202, {"reason": meaning.reason}, "ignored"
    if await run_in_threadpool(parts.accept_delivery, guid, event, payload):
        return 202, {}, "accepted"
    return 200, {"reason": "this delivery was here before"}, "duplicate"


async def _names(request: Request, parts: WebParts, payload: Payload) -> Answer:
    """Bearer token, or an HMAC over the body with one of the same tokens for senders that can sign."""
    token = bearer(request.headers.get("authorization", ""))
    signature = request.headers.get(SIGNATURE_HEADER)
    by_token = token is not None and is_one_of(token, parts.hook_tokens)
    if not by_token and (not signature or not parts.hook_tokens):
        raise _unauthorised()
    body = await read_body(request, parts.limits.hook_body, parts.limits.body_seconds)
    if not by_token and not verify_signature(body, signature, parts.hook_tokens):
        raise _unauthorised()
    try:
        names: Sequence[str] = payload.clusters(parse_json(body), parts.hook_labels)
    except BadInput as error:
        raise Problem(400, error.message, cure=error.cure, outcome="malformed") from None
    known = await run_in_threadpool(parts.accept_hint_names, names, payload.name)
    return 202, {"named": len(names), "recognised": known}, "accepted"


def _unsigned_delivery() -> Problem:
    return Problem(
        401,
        "X-Hub-Signature-256 is missing or does not fit the body.",
        cure="Use the same secret in the webhook's settings and in DROVER_GITHUB_WEBHOOK_SECRETS.",
        outcome="unsigned",
    )


def _unauthorised() -> Problem:
    return Problem(
        401,
        f"Neither a known bearer token nor a fitting {SIGNATURE_HEADER}.",
        cure="Send a token of DROVER_HOOK_TOKENS as bearer token.",
        outcome="unsigned",
        headers={"WWW-Authenticate": 'Bearer realm="Drover hooks"'},
    )
