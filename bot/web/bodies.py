"""How is a body of a stranger read? Bounded in size and time, and as JSON that every part of ours can keep."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, NoReturn

from fastapi import Request
from starlette.requests import ClientDisconnect

from bot.web.problems import Problem


async def read_body(request: Request, limit: int, seconds: float) -> bytes:
    """Raises Problem 413 as soon as more than `limit` bytes are announced or come, 408 when they come too slowly."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit:
                    raise _too_large(limit)
                chunks.append(chunk)
    except TimeoutError:
        raise Problem(
            408, f"The body did not arrive within {seconds:g} s.", cure="Send it again.", outcome="malformed"
        ) from None
    except ClientDisconnect:
        raise Problem(400, "The connection ended within the body.", outcome="malformed") from None
    return b"".join(chunks)


def parse_json(body: bytes) -> Any:
    """Raises Problem 400. NaN and Infinity are no JSON, and a database would refuse them later."""
    try:
        return json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise Problem(
            400, "The body is not JSON.", cure="Send a JSON document in UTF-8.", outcome="malformed"
        ) from None


def parse_object(body: bytes) -> Mapping[str, Any]:
    document = parse_json(body)
    if not isinstance(document, dict):
        raise Problem(400, "The body is not a JSON object.", outcome="malformed")
    return document


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _too_large(limit: int) -> Problem:
    return Problem(
        413,
        f"The body is larger than {limit // (1024 * 1024)} MiB."
        if limit >= 1024 * 1024
        else f"The body is larger than {limit} bytes.",
        cure="Send less at a time.",
        outcome="too-large",
        headers={"Connection": "close"},
    )
