"""How is a refusal told? As `application/problem+json`: title, status, detail and what to do; nothing of what was sent."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from bot.web.rendering import page
from rancher_ext.errors import DroverError


class Problem(HTTPException):
    """Raised by an endpoint. `detail` and `cure` are sentences of ours. `outcome` is the word that the hook counter uses."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        cure: str = "",
        outcome: str = "refused",
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(status, detail, headers=headers)
        self.cure = cure
        self.outcome = outcome


def install(app: FastAPI) -> None:
    """Every refusal of the framework, too, becomes a problem body."""
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(DroverError, _unavailable)
    app.add_exception_handler(Exception, _failed)


def problem(status: int, detail: str, *, cure: str = "", headers: dict[str, str] | None = None) -> JSONResponse:
    body: dict[str, Any] = {"type": "about:blank", "title": _title(status), "status": status, "detail": detail}
    if cure:
        body["cure"] = cure
    return JSONResponse(body, status_code=status, headers=headers, media_type="application/problem+json")


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


async def _refused(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    cure = error.cure if isinstance(error, Problem) else _CURES.get(error.status_code, "")
    detail = error.detail if isinstance(error, Problem) else _DETAILS.get(error.status_code, _title(error.status_code))
    headers = dict(error.headers or {})
    if _reads_pages(request):
        return page(
            request,
            "refused.html",
            status=error.status_code,
            headers=headers,
            title=_title(error.status_code),
            detail=detail,
            cure=cure,
        )
    return problem(error.status_code, detail, cure=cure, headers=headers)


async def _invalid(_: Request, error: Exception) -> Response:
    """Which parameter, and what was expected; never its value."""
    if not isinstance(error, RequestValidationError):
        raise error
    wrong = [
        f"{'.'.join(str(part) for part in each['loc'][1:])}: {each['msg']}" for each in error.errors() if each["loc"]
    ]
    return problem(400, "; ".join(wrong[:3]) or "the request is not valid", cure="GET /openapi.json describes it.")


async def _unavailable(_: Request, error: Exception) -> Response:
    """A part of ours failed, most likely the database. The sender shall try again."""
    detail = error.message if isinstance(error, DroverError) else "a part of the service failed"
    return problem(503, detail, cure=getattr(error, "cure", ""), headers={"Retry-After": "30"})


async def _failed(_: Request, __: Exception) -> Response:
    return problem(500, "Drover made a mistake with this request; its log says which.")


def _reads_pages(request: Request) -> bool:
    """A person with a browser on a page gets the same words as a page."""
    path = request.scope["path"]
    accepts = request.headers.get("accept", "")
    return "text/html" in accepts and not path.startswith(("/api/", "/hooks/", "/openapi", "/events"))


_DETAILS = {404: "There is nothing at this address.", 405: "This address does not take that method."}
_CURES = {404: "GET / is the fleet, GET /openapi.json describes hooks and API."}
