"""What can go wrong between Drover and GitHub, and what should a person do about it?

BotError
└── GitHubError
    ├── GitHubRefused       401 and 403: the token is wrong, or lacks a permission (named)
    ├── GitHubNotFound      404, 410: no such thing, or it is hidden from us
    ├── GitHubRejected      422: GitHub does not accept what we sent
    ├── GitHubSlowDown      a rate limit; `retry_after` says for how many seconds
    └── GitHubUnavailable   no answer, 5xx, or an answer that is not GitHub's; `maybe_done` after a write

No error of PyGithub or requests gets past `translate`. Foreign bodies are cut short; tokens travel in headers only, which are
never quoted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
import requests
from github import BadAttributeException, GithubException, RateLimitExceededException
from urllib3.exceptions import MaxRetryError, NewConnectionError

from bot.errors import BotError

# GitHub's rule where it names no time: wait a minute at least.
UNNAMED_WAIT = 60.0
QUOTED = 300


class GitHubError(BotError):
    """`status` is the HTTP status, None when there was no answer."""

    def __init__(self, message: str, *, cure: str = "", status: int | None = None) -> None:
        super().__init__(message, cure=cure)
        self.status = status


class GitHubRefused(GitHubError):
    """We may not do this."""


class GitHubNotFound(GitHubError):
    """It is not there, or we may not see it."""

    lasting = True


class GitHubRejected(GitHubError):
    """GitHub finds the request invalid; repeating it changes nothing."""

    lasting = True


class GitHubSlowDown(GitHubError):
    """Nothing may be sent for `retry_after` seconds."""

    def __init__(self, message: str, *, retry_after: float, cure: str = "", status: int | None = None) -> None:
        super().__init__(message, cure=cure, status=status)
        self.retry_after = retry_after


class GitHubUnavailable(GitHubError):
    """`maybe_done`: the request reached somebody, so a write may have happened."""

    def __init__(self, message: str, *, maybe_done: bool, cure: str = "", status: int | None = None) -> None:
        super().__init__(message, cure=cure, status=status)
        self.maybe_done = maybe_done


@dataclass(frozen=True)
class Attempt:
    """What was being done, for the error's text."""

    what: str  # "open an issue"
    url: str  # the repository's address in the API
    needs: str  # "Issues: read and write"

    def __str__(self) -> str:
        return f"Could not {self.what} at {self.url}"


# Everything PyGithub may let out. It asserts on foreign URLs, raises RuntimeError on redirects to another host, and
# ValueError, KeyError or TypeError on bodies that are not what GitHub sends.
FOREIGN = (
    GithubException,
    BadAttributeException,
    requests.RequestException,
    jwt.PyJWTError,
    AssertionError,
    RuntimeError,
    ValueError,
    KeyError,
    TypeError,
)


def translate(attempt: Attempt, error: Exception, now: float) -> GitHubError:
    """`now` is wall-clock time, to turn GitHub's reset time into a wait."""
    if isinstance(error, GithubException):
        return _from_answer(attempt, error, now)
    if isinstance(error, requests.RequestException):
        return _from_network(attempt, error)
    if isinstance(error, jwt.PyJWTError):
        return GitHubRefused(
            f"{attempt}: the App's private key cannot sign ({type(error).__name__}).",
            cure="Put the whole PEM file from the App's settings page into GITHUB_APP_PRIVATE_KEY_FILE.",
        )
    seen = _cut(str(error)) or type(error).__name__
    return GitHubUnavailable(
        f"{attempt}: the answer is not what GitHub sends ({type(error).__name__}: {seen}).",
        cure="See that GITHUB_API_URL is the API's address: https://api.github.com, or https://<server>/api/v3.",
        maybe_done=True,
    )


def _from_answer(attempt: Attempt, error: GithubException, now: float) -> GitHubError:
    status = error.status
    headers = {key.lower(): value for key, value in (error.headers or {}).items()}
    said = _said(error.data)
    seen = f"{attempt}: GitHub answered {status} ({said})."
    if _is_limit(error, headers):
        wait = _wait(headers, now)
        return GitHubSlowDown(
            f"{seen} It wants no requests for {wait:.0f} s.",
            retry_after=wait,
            status=status,
            cure="Drover waits by itself. If this comes often, give it an account of its own.",
        )
    if status == 401:
        return GitHubRefused(
            seen, status=status, cure="Renew GITHUB_TOKEN, or GITHUB_APP_ID and GITHUB_APP_PRIVATE_KEY."
        )
    if status == 403:
        needed = headers.get("x-accepted-github-permissions", "").replace("=", ": ") or attempt.needs
        return GitHubRefused(seen, status=status, cure=f"Give the token or App the permission {needed!r}.")
    if status in {404, 410}:
        return GitHubNotFound(
            seen,
            status=status,
            cure=f"Look at GITHUB_REPOSITORY, and whether the token or App may see it ({attempt.needs}).",
        )
    if status >= 500:
        return GitHubUnavailable(
            seen, status=status, maybe_done=True, cure="Drover tries again; see https://www.githubstatus.com."
        )
    return GitHubRejected(seen, status=status, cure="This is what Drover sent, not the set-up; please report it.")


def _from_network(attempt: Attempt, error: requests.RequestException) -> GitHubError:
    reason = _reason(error)
    if isinstance(error, requests.exceptions.SSLError):
        return GitHubUnavailable(
            f"{attempt}: its certificate was refused ({reason}).",
            maybe_done=False,
            cure="For a server with a private authority, name its CA file in REQUESTS_CA_BUNDLE.",
        )
    return GitHubUnavailable(
        f"{attempt}: no answer ({reason}).",
        maybe_done=not _never_arrived(error),
        cure="See that GITHUB_API_URL can be reached from here (DNS, proxy, firewall). Drover tries again.",
    )


def _is_limit(error: GithubException, headers: Mapping[str, str]) -> bool:
    if error.status == 429 or isinstance(error, RateLimitExceededException):
        return True
    return error.status == 403 and (
        "retry-after" in headers
        or headers.get("x-ratelimit-remaining") == "0"
        or "secondary rate limit" in _said(error.data).lower()
    )


def _wait(headers: Mapping[str, str], now: float) -> float:
    after = headers.get("retry-after", "")
    if after.isdecimal():
        return float(after)
    reset = headers.get("x-ratelimit-reset", "")
    if headers.get("x-ratelimit-remaining") == "0" and reset.isdecimal():
        return max(float(reset) - now, 0.0) + 1.0  # the reset falls somewhere within its second
    return UNNAMED_WAIT


def _said(data: Any) -> str:
    """GitHub's message with the fields it complains about."""
    if not isinstance(data, Mapping):
        return "no message"
    message = data.get("message")
    if not isinstance(message, str):
        return "a body that is not GitHub's"
    details = []
    errors = data.get("errors")
    for entry in errors if isinstance(errors, list) else []:
        if isinstance(entry, Mapping):
            text = entry.get("message") or entry.get("code")
            details.append(f"{entry.get('field', 'request')}: {text}")
        else:
            details.append(str(entry))
    return _cut("; ".join([message, *details]))


def _never_arrived(error: requests.RequestException) -> bool:
    """True only when no connection came about: then nothing can have happened there."""
    if isinstance(error, requests.exceptions.ConnectTimeout | requests.exceptions.ProxyError):
        return True
    cause = error.args[0] if error.args else None
    if isinstance(cause, MaxRetryError):
        cause = cause.reason
    return isinstance(cause, NewConnectionError)


def _reason(error: requests.RequestException) -> str:
    cause = error.args[0] if error.args else None
    if isinstance(cause, MaxRetryError) and cause.reason is not None:
        cause = cause.reason
    name = type(cause).__name__ if isinstance(cause, Exception) else type(error).__name__
    return f"{name}: {_cut(str(cause))}" if cause else name


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= QUOTED else text[:QUOTED] + "…"
