"""What does it mean that a request to Rancher failed, and what should a person do about it?

Every failure becomes an error of `rancher_ext.errors` that names the URL and what was seen; bodies are quoted briefly and never
with credentials.
"""

import json
import math
import re
import socket
import ssl
from pathlib import Path

import requests
import urllib3

from rancher_ext.errors import (
    CertificateRefused,
    ClusterUnavailable,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    NotRancher,
    RancherError,
    RancherUnreachable,
    ServerFailed,
    TooManyRequests,
    Unauthorized,
    UnknownPath,
)

_SECRET = re.compile(r"(token-[a-z0-9]+:)[A-Za-z0-9]+|(Bearer\s+)\S+|(ext/token-[a-z0-9]+:)\S+")
_UNAVAILABLE = (
    "ClusterUnavailable",
    "cluster agent disconnected",
    "lost connection to cluster",
    "cluster not found",
    "cluster not provisioned",
    "waiting for service account token secret to be populated",
)


def lost(error: BaseException, what: str, url: str, verify: str | bool) -> RancherError:
    """No answer: say why, and whether the request may have reached Rancher."""
    if isinstance(verify, str) and not Path(verify).is_file():
        return CertificateRefused(
            f"{what}: there is no file {verify} with the CA to trust",
            cure="Point DROVER_RANCHER_CA_FILE to a readable PEM file.",
        )
    tls = isinstance(error, requests.exceptions.SSLError) or _cause(error, ssl.SSLError)
    # A TLS connection cut in the middle is a lost connection like any other, no matter of certificates.
    if tls and not _cause(error, ssl.SSLEOFError) and not _cause(error, ssl.SSLZeroReturnError):
        return CertificateRefused(f"{what}: TLS with {url} failed: {_tls_reason(error)}", cure=_tls_cure(error))
    if isinstance(
        error,
        requests.exceptions.InvalidURL
        | requests.exceptions.InvalidSchema
        | requests.exceptions.MissingSchema
        | UnicodeError,
    ):
        return RancherError(
            f"{url!r} is not a usable address",
            cure="Set DROVER_RANCHER_URL to something like https://rancher.example.",
        )
    # Only a connection that never stood proves that nothing was sent.
    never_stood = _cause(error, urllib3.exceptions.NewConnectionError) or isinstance(
        error, requests.exceptions.ConnectTimeout
    )
    return RancherUnreachable(
        f"{what}: no answer from {url}: {_network_reason(error)}",
        cure="Check DROVER_RANCHER_URL, DNS, proxies and firewalls from this machine; `drover doctor` tries it again.",
        never_sent=bool(never_stood),
    )


def failure(response: requests.Response, what: str, url: str) -> RancherError:
    """What an answer of 400 and above means."""
    status = response.status_code
    said = _said(response)
    seen = f"{what}: {url} answered {status}" + (f": {said}" if said else "")
    if status == 401:
        return Unauthorized(
            f"{what}: {url} refused the token: 401 Unauthorized" + (f" ({said})" if said else ""),
            cure="Make a new API key in Rancher under Account & API Keys and put it into DROVER_RANCHER_TOKEN or "
            "DROVER_RANCHER_TOKEN_FILE. `drover doctor` checks it.",
            status=status,
        )
    # Refusals and conflicts may quote such words, too; they stay what they are.
    if (status >= 500 or status == 404) and any(text in said for text in _UNAVAILABLE):
        return ClusterUnavailable(
            seen,
            cure="Rancher has no connection to this cluster; evidence comes from Rancher's side alone.",
            status=status,
        )
    if status == 403:
        return Forbidden(
            seen,
            cure="Give the token's user the rights in docs/rancher-rights.md (read for diagnosis, patch to mend).",
            status=status,
        )
    if status == 404:
        if response.content[:1] == b"<":
            return NotRancher(
                f"{what}: {url} answered 404 with an HTML page",
                cure="Check DROVER_RANCHER_URL: this address is not Rancher's.",
                status=status,
            )
        if not _speaks_of_an_object(response):
            cure = "This Rancher does not know the kind, or something before Rancher (an ingress, a proxy) answered."
            return UnknownPath(seen, cure=cure, status=status)
        return NotFound(seen, cure="The object is gone.", status=status)
    if status == 409:
        return Conflict(
            seen, cure="The object changed meanwhile; it is read again before anything is written.", status=status
        )
    if status == 410:
        return Gone(seen, status=status)
    if status == 429:
        return TooManyRequests(
            seen,
            cure="Rancher's API server limits requests; Drover waits and goes on.",
            retry_after=_retry_after(response),
        )
    if status >= 500:
        return ServerFailed(
            seen, cure="Rancher or a proxy before it failed; look at Rancher's pods and logs.", status=status
        )
    return Invalid(seen, cure="Rancher does not accept this request; its answer names the field.", status=status)


def _speaks_of_an_object(response: requests.Response) -> bool:
    """Kubernetes answers with a Status, Norman and Steve with an error object; an ingress with its own text."""
    try:
        body = json.loads(response.content[:65536])
    except (ValueError, RecursionError):
        return False
    return isinstance(body, dict) and (body.get("kind") == "Status" or body.get("type") == "error" or "Code" in body)


def _said(response: requests.Response) -> str:
    """The message of an error body: a Kubernetes Status, a Norman or Steve error, Go field names, or plain text."""
    raw = response.content[:4096].decode("utf-8", errors="replace").strip()
    if raw[:1] == "<":
        return "an HTML page"
    try:
        body = json.loads(raw)
    except ValueError:
        return clip(raw, 240)
    if not isinstance(body, dict):
        return clip(raw, 240)
    code = body.get("Code")
    code = code.get("Code") if isinstance(code, dict) else body.get("code") or body.get("reason")
    message = body.get("message") or body.get("Message") or ""
    parts = [str(part) for part in (code if isinstance(code, str) else "", message) if part]
    return clip(": ".join(parts) or raw, 240)


def clip(text: str, length: int) -> str:
    masked = _SECRET.sub(lambda match: f"{match[1] or match[2] or match[3]}…", " ".join(text.split()))
    return masked if len(masked) <= length else masked[: length - 1] + "…"


def _retry_after(response: requests.Response) -> float | None:
    try:
        seconds = float(response.headers.get("Retry-After", ""))
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _cause(error: BaseException | None, kind: type[BaseException]) -> BaseException | None:
    """The exception of this kind in the chain; requests wraps urllib3's in `args` and `reason`."""
    seen: set[int] = set()
    queue: list[object] = [error]
    while queue:
        current = queue.pop()
        if not isinstance(current, BaseException) or id(current) in seen:
            continue
        seen.add(id(current))
        if isinstance(current, kind):
            return current
        queue += [current.__cause__, current.__context__, getattr(current, "reason", None), *current.args]
    return None


def _network_reason(error: BaseException) -> str:
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return "the connection timed out"
    if isinstance(error, requests.exceptions.ReadTimeout) or _cause(error, urllib3.exceptions.ReadTimeoutError):
        return "it accepted the connection and then said nothing for too long"
    if _cause(error, socket.gaierror) or _cause(error, urllib3.exceptions.NameResolutionError):
        return "its host name does not resolve"
    if _cause(error, ConnectionRefusedError):
        return "the connection was refused"
    cut = (ConnectionResetError, BrokenPipeError, urllib3.exceptions.ProtocolError, ssl.SSLEOFError)
    if any(_cause(error, kind) for kind in cut):
        return "the connection was closed before the answer was complete"
    return clip(str(error), 160)


def _tls_reason(error: BaseException) -> str:
    found = _cause(error, ssl.SSLCertVerificationError)
    if isinstance(found, ssl.SSLCertVerificationError):
        return found.verify_message or clip(str(found), 160)
    return clip(str(error), 160)


def _tls_cure(error: BaseException) -> str:
    reason = _tls_reason(error).lower()
    if "expired" in reason:
        return "Rancher's certificate has expired: renew it. Drover does not go on without a valid one."
    if "self" in reason or "local issuer" in reason or "unable to get" in reason:
        return "Set DROVER_RANCHER_CA_FILE to the CA that signed Rancher's certificate (Rancher setting `cacerts`)."
    if "hostname" in reason or "ip address" in reason:
        return "The certificate is for another name: set DROVER_RANCHER_URL to the name in it."
    return "Check that DROVER_RANCHER_URL speaks https and that no proxy breaks it open."
