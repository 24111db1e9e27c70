"""How does a request reach Rancher?

Reads are retried with jitter on 429, 502, 503, 504 and lost connections. A write is retried only where it certainly did not
happen: refused with 429, or the connection was never made. What a failure means is told in `failures.py`.
"""

import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3

from rancher_ext.client.failures import clip, failure, lost
from rancher_ext.errors import NotRancher, RancherError, RancherUnreachable, ServerFailed, TooManyRequests, Unauthorized

USER_AGENT = "drover/0.1"  # anything that does not look like a browser: Rancher then asks for no CSRF token
CONNECT_TIMEOUT = 10.0
# Rancher answers "disconnected" for a downstream cluster after up to 40 s (four waits of 5 s with jitter, twice).
READ_TIMEOUT = 70.0
# The largest answer that is taken: a full page of 500 machine-plan secrets of 1 MiB each just fits. Errors are quoted briefly.
MAX_BODY = 512 * 1024 * 1024
MAX_ERROR_BODY = 64 * 1024
_CHUNK = 256 * 1024

_RETRY_STATUS = frozenset({429, 502, 503, 504})


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
                raise failure(response, f"{method} {target}", self.url)
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
            raise lost(error, f"GET {target_of(path)}", self.url, self._verify) from error
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
                    f"{where}: {self.url} answered with an HTML page instead of JSON ({clip(start, 60)!r})",
                    cure="Check DROVER_RANCHER_URL: it must be Rancher's own address, without a login page or another site in front.",
                    status=response.status_code,
                ) from error
            raise NotRancher(
                f"{where}: the answer of {self.url} is not complete JSON ({len(response.content)} bytes: {clip(str(error), 80)})",
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
            raise lost(error, what, self.url, self._verify) from error
        if 300 <= response.status_code < 400:
            raise NotRancher(
                f"{what}: {self.url} redirects to {clip(response.headers.get('Location', 'nowhere'), 120)}",
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
