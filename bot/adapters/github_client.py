"""How do requests reach GitHub, one at a time and no faster than we may?

PyGithub does the talking; here stand the things around it: who we are, time-outs, retries of reads only, the pace of writes,
silence after a rate limit, and errors in our words.
"""

import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from github import Auth, Github, GithubIntegration
from github.Repository import Repository
from urllib3 import Retry

from bot.adapters.github_errors import FOREIGN, Attempt, GitHubRefused, GitHubSlowDown, GitHubUnavailable, translate
from bot.adapters.write_pace import Priority, WritePace

PUBLIC_API = "https://api.github.com"
PER_PAGE = 100
# After a lost answer: a second for the write to finish and show, then a longer look before it is repeated.
READ_BACK_AFTER = (1.0, 3.0)
T = TypeVar("T")

READ = "Issues: read"
WRITE = "Issues: read and write"
METADATA = "Metadata: read"
MEMBERS = "Members: read"


@dataclass(frozen=True)
class TokenAuth:
    token: str = field(repr=False)


@dataclass(frozen=True)
class AppAuth:
    """A GitHub App that is installed on the repository. `private_key` is the PEM text."""

    app_id: int
    private_key: str = field(repr=False)


@dataclass(frozen=True)
class Identity:
    login: str  # as it stands beside our issues and comments
    how: str  # "token" or "GitHub App 1001"
    may: str | None  # what an App may do with issues; None for a token, whose user's role decides


class GitHubClient:
    """`read` and `write` hand a lazy repository to a function, under one lock: PyGithub's connection keeps the request it is
    about to send in attributes, so two threads would send each other's. GitHub asks for serial requests anyway.
    """

    def __init__(
        self,
        repository: str,
        auth: TokenAuth | AppAuth,
        *,
        api_url: str = PUBLIC_API,
        pace: WritePace,
        timeout: int = 15,
        retry_pause: float = 0.3,
        verify: bool | str = True,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.repository = repository
        self.url = f"{api_url.rstrip('/')}/repos/{repository}"
        self.pace = pace
        self._auth = auth
        self._api_url = api_url.rstrip("/")
        self._timeout = timeout
        self._retry_pause = retry_pause
        self._verify = verify
        self._now = now
        self._sleep = sleep
        self._lock = threading.RLock()
        self._locks = tuple(threading.Lock() for _ in range(64))  # shared by name; nobody holds two
        self._github: Github | None = None
        self._integration: GithubIntegration | None = None
        self._identity: Identity | None = None
        self._silent_until = float("-inf")

    def close(self) -> None:
        with self._lock:
            for client in (self._github, self._integration):
                if client is not None:
                    client.close()
            self._github = self._integration = None

    def identity(self) -> Identity:
        """Asked once: who we are does not change while we run."""
        with self._lock:
            if self._identity is None:
                try:
                    self._identity = self._call("learn who we are", METADATA, lambda _: self._who())
                except GitHubRefused as refused:
                    if refused.status != 403 or not isinstance(self._auth, TokenAuth):
                        raise
                    # Tokens of Apps and of GitHub Actions have no account: whose issues are ours could not be told.
                    raise GitHubRefused(
                        f"{refused.message} The token belongs to no account.",
                        status=refused.status,
                        cure="Use a person's or machine user's token, or GITHUB_APP_ID with GITHUB_APP_PRIVATE_KEY.",
                    ) from refused
            return self._identity

    def read(self, what: str, call: Callable[[Repository], T], *, needs: str = READ) -> T:
        return self._call(what, needs, call)

    def write(self, what: str, priority: Priority, call: Callable[[Repository], T]) -> T:
        """Waits for its turn first, without holding up reads."""
        self._keep_silence(Attempt(what, self.url, WRITE))
        self.pace.acquire(priority)
        return self._call(what, WRITE, call)

    def surely(self, write: Callable[[], T], read_back: Callable[[], T | None]) -> T:
        """Writes once; after a lost answer looks whether it happened, and only then writes a second time."""
        try:
            return write()
        except GitHubUnavailable as lost:
            if not lost.maybe_done:
                raise
        for pause in READ_BACK_AFTER:
            self._sleep(pause)
            done = read_back()
            if done is not None:
                return done
        return write()

    def one_at_a_time(self, name: str) -> threading.Lock:
        """Two threads must not both find nothing and both create. (Between processes, the cluster's lease sees to it.)"""
        return self._locks[zlib.crc32(name.encode()) % len(self._locks)]

    def requests_left(self) -> tuple[int, int]:
        """Remaining and allowed requests of this hour."""
        return self._call("read the rate limit", METADATA, lambda _: self._connected().rate_limiting)

    def _call(self, what: str, needs: str, call: Callable[[Repository], T]) -> T:
        attempt = Attempt(what, self.url, needs)
        with self._lock:
            self._keep_silence(attempt)
            try:
                return call(self._connected().get_repo(self.repository))
            except FOREIGN as error:
                failure = translate(attempt, error, self._now())
                if isinstance(failure, GitHubSlowDown):
                    self._silent_until = self._now() + failure.retry_after
                    self.pace.hold(failure.retry_after)
                raise failure from error

    def _keep_silence(self, attempt: Attempt) -> None:
        # One that goes on sending during a limit is locked out for longer.
        left = self._silent_until - self._now()
        if left > 0:
            raise GitHubSlowDown(
                f"{attempt}: GitHub asked for silence, {left:.0f} s of it are left.",
                retry_after=left,
                cure="Drover waits by itself.",
            )

    def _connected(self) -> Github:
        if self._github is None:
            self._github = self._connect()
        return self._github

    def _connect(self) -> Github:
        # GET only: repeating a POST whose answer was lost makes a second comment.
        retry = Retry(
            total=3,
            allowed_methods=frozenset({"GET"}),
            status_forcelist=(500, 502, 503, 504),
            backoff_factor=self._retry_pause,
            backoff_jitter=self._retry_pause,
            respect_retry_after_header=False,
            raise_on_status=False,
        )
        if isinstance(self._auth, TokenAuth):
            return Github(
                auth=Auth.Token(self._auth.token),
                base_url=self._api_url,
                timeout=self._timeout,
                user_agent="drover",
                per_page=PER_PAGE,
                verify=self._verify,
                retry=retry,
                # We keep a pace of our own; PyGithub's second between writes knows no hourly limit.
                seconds_between_requests=None,
                seconds_between_writes=None,
                lazy=True,
            )
        integration = GithubIntegration(
            auth=Auth.AppAuth(self._auth.app_id, self._auth.private_key),
            base_url=self._api_url,
            timeout=self._timeout,
            user_agent="drover",
            per_page=PER_PAGE,
            verify=self._verify,
            retry=retry,
            seconds_between_requests=None,
            seconds_between_writes=None,
            lazy=True,
        )
        self._integration = integration
        owner, name = self.repository.split("/", 1)
        return integration.get_github_for_installation(integration.get_repo_installation(owner, name).id)

    def _who(self) -> Identity:
        client = self._connected()
        if isinstance(self._auth, TokenAuth):
            return Identity(_text(client.get_user().login), "token", None)
        assert self._integration is not None
        owner, name = self.repository.split("/", 1)
        installation = self._integration.get_repo_installation(owner, name)
        app = self._integration.get_app()
        may = (installation.permissions or {}).get("issues", "none")
        return Identity(f"{_text(app.slug)}[bot]", f"GitHub App {self._auth.app_id}", may)


def _text(value: str | None) -> str:
    if not value:
        raise ValueError("the account has no name")
    return value
