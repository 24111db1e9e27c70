"""How does a request reach Rancher, and what does a failure mean?

Reads are retried with jitter on 429, 502, 503, 504 and lost connections. A write is retried only where it certainly did not
happen: refused with 429, or the connection was never made. Every failure becomes an error of `rancher_ext.errors` that names
the URL, what was seen and what to do; bodies are quoted briefly and never with credentials.
"""

import json
import math
import random
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

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

USER_AGENT = "drover/0.1"  # anything that does not look like a browser: Rancher then asks for no CSRF token
CONNECT_TIMEOUT = 10.0
# Rancher answers "disconnected" for a downstream cluster after up to 40 s (four waits of 5 s with jitter, twice).
READ_TIMEOUT = 70.0
# The largest answer that is taken: a full page of 500 machine-plan secrets of 1 MiB each just fits. Errors are quoted briefly.
MAX_BODY = 512 * 1024 * 1024
MAX_ERROR_BODY = 64 * 1024
_CHUNK = 256 * 1024

_RETRY_STATUS = frozenset({429, 502, 503, 504})
_SECRET = re.compile(r"(token-[a-z0-9]+:)[A-Za-z0-9]+|(Bearer\s+)\S+|(ext/token-[a-z0-9]+:)\S+")
_UNAVAILABLE = (
    "ClusterUnavailable",
    "cluster agent disconnected",
    "lost connection to cluster",
    "cluster not found",
    "cluster not provisioned",
    "waiting for service account token secret to be populated",
)


@dataclass
class Counters:
    """What a transport has done, for reports and metrics."""

    requests: int = 0
    retries: int = 0
    bytes: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, *, requests_: int = 0, retries: int = 0, bytes_: int = 0) -> None:
        with self.lock:
            self.requests += requests_
            self.retries += retries
            self.bytes += bytes_


@dataclass(frozen=True)
class RetryPolicy:
    """Waits `base * 2**n` seconds, at most `limit`, each shortened by a random part so that many clients do not march in step."""

    attempts: int = 5
    base: float = 0.4
    limit: float = 15.0

    def delay(self, attempt: int, retry_after: float | None) -> float:
        wait = min(self.limit, self.base * float(2**attempt)) * random.uniform(0.5, 1.0)
        return max(wait, min(retry_after, 60.0)) if retry_after is not None else wait


class TokenSource:
    """The bearer token: a fixed text, or a file that is read again when it changes (a mounted Secret is replaced in place)."""

    def __init__(self, token: str = "", file: Path | None = None) -> None:
        self._token = token.strip()
        self._file = file
        self._stamp: tuple[int, int] | None = None

    def __call__(self) -> str:
        if self._file is None:
            return self._token
        try:
            status = self._file.stat()
            stamp = (status.st_mtime_ns, status.st_ino)
            if stamp != self._stamp:
                self._token, self._stamp = self._file.read_text(encoding="utf-8").strip(), stamp
        except OSError as error:
            raise Unauthorized(
                f"cannot read the Rancher token from {self._file}: {error.strerror}",
                cure="Point DROVER_RANCHER_TOKEN_FILE to a readable file that holds the token alone.",
            ) from error
        return self._token


class Transport:
    """Sends requests to one Rancher server. Safe to share between threads: each has a session of its own."""

    def __init__(
        self,
        url: str,
        token: TokenSource,
        *,
        name: str = "default",
        ca_file: Path | None = None,
        retry: RetryPolicy | None = None,
        timeout: tuple[float, float] = (CONNECT_TIMEOUT, READ_TIMEOUT),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = url.rstrip("/")
        self.name = name
        self.counters = Counters()
        self._token = token
        # Passed with every request: REQUESTS_CA_BUNDLE in the environment would otherwise win over the session's value.
        self._verify: str | bool = str(ca_file) if ca_file else True
        self._retry = retry or RetryPolicy()
        self._timeout = timeout
        self._sleep = sleep
        self._max_body = MAX_BODY
        self._local = threading.local()

    def get_json(
        self, path: str, params: Mapping[str, Any] | None = None, *, timeout: float | None = None
    ) -> dict[str, Any]:
        return self.json_of(self.request("GET", path, params=params, timeout=timeout))

    def get_text(self, path: str, params: Mapping[str, Any] | None = None) -> str:
        response = self.request("GET", path, params=params, accept="*/*")
        return response.content.decode("utf-8", errors="replace")

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: object | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        timeout: float | None = None,
        stream: bool = False,
    ) -> requests.Response:
        """One request with its retries. Raises a `RancherError`; a returned response has a status below 400.

        `path` may be an absolute link that Rancher gave: only its path is used, so a foreign host never sees the token.
        """
        target = target_of(path)
        data = None if body is None else json.dumps(body).encode()
        reading = method in {"GET", "HEAD"}
        attempt = 0
        while True:
            try:
                response = self._send(
                    method,
                    target,
                    params=params,
                    data=data,
                    content_type=content_type,
                    accept=accept,
                    timeout=timeout,
                    stream=stream,
                )
                if response.status_code < 400:
                    return response
                raise self._failure(response, f"{method} {target}")
            except (TooManyRequests, ServerFailed, RancherUnreachable) as error:
                again = attempt + 1 < self._retry.attempts and _may_repeat(error, reading=reading)
                if not again:
                    raise
                wait = self._retry.delay(attempt, getattr(error, "retry_after", None))
                self.counters.add(retries=1)
                self._sleep(wait)
                attempt += 1

    def lines(self, path: str, params: Mapping[str, Any], *, idle: float) -> Iterator[bytes]:
        """A streamed answer, line by line (a watch). `idle` seconds without a byte count as a dead connection."""
        response = self.request("GET", path, params=params, timeout=idle, stream=True)
        try:
            yield from response.iter_lines(chunk_size=64 * 1024)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise self._lost(error, f"GET {target_of(path)}") from error
        finally:
            response.close()

    def json_of(self, response: requests.Response) -> dict[str, Any]:
        """The JSON object of an answer, or `NotRancher` when it is HTML, cut short, or something else."""
        where = f"{response.request.method} {urlsplit(response.url).path}"
        try:
            value = json.loads(response.content)
        except (ValueError, RecursionError) as error:
            start = response.content[:200].decode("utf-8", errors="replace").strip()
            if start[:1] == "<":
                raise NotRancher(
                    f"{where}: {self.url} answered with an HTML page instead of JSON ({_clip(start, 60)!r})",
                    cure="Check DROVER_RANCHER_URL: it must be Rancher's own address, without a login page or another site in front.",
                    status=response.status_code,
                ) from error
            raise NotRancher(
                f"{where}: the answer of {self.url} is not complete JSON ({len(response.content)} bytes: {_clip(str(error), 80)})",
                cure="Something between Drover and Rancher cuts answers short: look at proxies and load balancers.",
                status=response.status_code,
            ) from error
        if not isinstance(value, dict):
            raise NotRancher(
                f"{where}: {self.url} answered with JSON that is not an object",
                cure="Check DROVER_RANCHER_URL: it must be Rancher's own address.",
                status=response.status_code,
            )
        return value

    def _send(
        self,
        method: str,
        target: str,
        *,
        params: Mapping[str, Any] | None,
        data: bytes | None,
        content_type: str,
        accept: str,
        timeout: float | None,
        stream: bool,
    ) -> requests.Response:
        headers = {"Accept": accept, "User-Agent": USER_AGENT}
        token = self._token()
        if token:
            if not (token.isascii() and token.isprintable()) or " " in token:
                raise Unauthorized(
                    "the Rancher token holds a character that no token has (a line break, a space, or one that is not ASCII)",
                    cure="Put the token alone, as one line, into DROVER_RANCHER_TOKEN or DROVER_RANCHER_TOKEN_FILE.",
                )
            headers["Authorization"] = f"Bearer {token}"
        if data is not None:
            headers["Content-Type"] = content_type
        self.counters.add(requests_=1)
        what = f"{method} {target}"
        try:
            response = self._session().request(
                method,
                self.url + target,
                params=params,
                data=data,
                headers=headers,
                timeout=(self._timeout[0], timeout or self._timeout[1]),
                verify=self._verify,
                allow_redirects=False,
                stream=True,
            )
            if not stream or response.status_code >= 300:
                self._read(response, what)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, UnicodeError) as error:
            raise self._lost(error, what) from error
        if 300 <= response.status_code < 400:
            raise NotRancher(
                f"{what}: {self.url} redirects to {_clip(response.headers.get('Location', 'nowhere'), 120)}",
                cure="Set DROVER_RANCHER_URL to the final https address of Rancher.",
                status=response.status_code,
            )
        return response

    def _read(self, response: requests.Response, what: str) -> None:
        """The whole body, at most as much as we are willing to hold. Of an error only the beginning is of use."""
        limit = self._max_body if response.status_code < 300 else MAX_ERROR_BODY
        body = bytearray()
        for chunk in response.iter_content(_CHUNK):
            body += chunk
            if len(body) > limit:
                response.close()
                if response.status_code < 300:
                    raise NotRancher(
                        f"{what}: the answer of {self.url} is larger than {limit // 1024} KiB and was not read to its end",
                        cure="Ask for less at once, or look at what grows so large in this cluster.",
                        status=response.status_code,
                    )
                break
        # Keeps `response.content` as everybody knows it; requests offers no public way to fill it.
        response._content = bytes(body[:limit])  # noqa: SLF001
        self.counters.add(bytes_=len(body))

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = requests.Session()
            # Without any `auth`, requests puts a login from ~/.netrc over our Authorization header.
            session.auth = _keep_header
            session.mount("https://", requests.adapters.HTTPAdapter(pool_maxsize=4))
            session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=4))
            self._local.session = session
        return session

    def _lost(self, error: BaseException, what: str) -> RancherError:
        """No answer: say why, and whether the request may have reached Rancher."""
        if isinstance(self._verify, str) and not Path(self._verify).is_file():
            return CertificateRefused(
                f"{what}: there is no file {self._verify} with the CA to trust",
                cure="Point DROVER_RANCHER_CA_FILE to a readable PEM file.",
            )
        tls = isinstance(error, requests.exceptions.SSLError) or _cause(error, ssl.SSLError)
        # A TLS connection cut in the middle is a lost connection like any other, no matter of certificates.
        if tls and not _cause(error, ssl.SSLEOFError) and not _cause(error, ssl.SSLZeroReturnError):
            return CertificateRefused(
                f"{what}: TLS with {self.url} failed: {_tls_reason(error)}", cure=_tls_cure(error)
            )
        if isinstance(
            error,
            requests.exceptions.InvalidURL
            | requests.exceptions.InvalidSchema
            | requests.exceptions.MissingSchema
            | UnicodeError,
        ):
            return RancherError(
                f"{self.url!r} is not a usable address",
                cure="Set DROVER_RANCHER_URL to something like https://rancher.example.",
            )
        # Only a connection that never stood proves that nothing was sent.
        never_stood = _cause(error, urllib3.exceptions.NewConnectionError) or isinstance(
            error, requests.exceptions.ConnectTimeout
        )
        return RancherUnreachable(
            f"{what}: no answer from {self.url}: {_network_reason(error)}",
            cure="Check DROVER_RANCHER_URL, DNS, proxies and firewalls from this machine; `drover doctor` tries it again.",
            never_sent=bool(never_stood),
        )

    def _failure(self, response: requests.Response, what: str) -> RancherError:
        status = response.status_code
        said = _said(response)
        seen = f"{what}: {self.url} answered {status}" + (f": {said}" if said else "")
        if status == 401:
            return Unauthorized(
                f"{what}: {self.url} refused the token: 401 Unauthorized" + (f" ({said})" if said else ""),
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
                    f"{what}: {self.url} answered 404 with an HTML page",
                    cure="Check DROVER_RANCHER_URL: this address is not Rancher's.",
                    status=status,
                )
            if not _speaks_of_an_object(response):
                cure = (
                    "This Rancher does not know the kind, or something before Rancher (an ingress, a proxy) answered."
                )
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


def target_of(path: str) -> str:
    """Path and query of a path or an absolute link: whatever host a link names, the token goes to our own server alone."""
    if path.startswith(("http://", "https://")):
        parts = urlsplit(path)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
    return path if path.startswith("/") else f"/{path}"


def _keep_header(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _may_repeat(error: RancherError, *, reading: bool) -> bool:
    if isinstance(error, TooManyRequests):
        return True
    if isinstance(error, RancherUnreachable):
        return reading or error.never_sent
    return reading and error.status in _RETRY_STATUS


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
        return _clip(raw, 240)
    if not isinstance(body, dict):
        return _clip(raw, 240)
    code = body.get("Code")
    code = code.get("Code") if isinstance(code, dict) else body.get("code") or body.get("reason")
    message = body.get("message") or body.get("Message") or ""
    parts = [str(part) for part in (code if isinstance(code, str) else "", message) if part]
    return _clip(": ".join(parts) or raw, 240)


def _clip(text: str, length: int) -> str:
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
    return _clip(str(error), 160)


def _tls_reason(error: BaseException) -> str:
    found = _cause(error, ssl.SSLCertVerificationError)
    if isinstance(found, ssl.SSLCertVerificationError):
        return found.verify_message or _clip(str(found), 160)
    return _clip(str(error), 160)


def _tls_cure(error: BaseException) -> str:
    reason = _tls_reason(error).lower()
    if "expired" in reason:
        return "Rancher's certificate has expired: renew it. Drover does not go on without a valid one."
    if "self" in reason or "local issuer" in reason or "unable to get" in reason:
        return "Set DROVER_RANCHER_CA_FILE to the CA that signed Rancher's certificate (Rancher setting `cacerts`)."
    if "hostname" in reason or "ip address" in reason:
        return "The certificate is for another name: set DROVER_RANCHER_URL to the name in it."
    return "Check that DROVER_RANCHER_URL speaks https and that no proxy breaks it open."
