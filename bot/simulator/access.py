"""Who is asking the simulated GitHub, and may they?

Tokens of people and of App installations, the App's own signed JWT, the primary rate limit, and the limits on creating
content. Token and JWT lifetimes use the machine's clock, never the injected one: the client library compares them with its own.
"""

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

DOCS = "https://docs.github.com/rest"


class Refused(Exception):
    """An answer of 4xx with GitHub's JSON body."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})


@dataclass(frozen=True)
class Caller:
    """`permissions` is None for a person's token (the role decides), a map for an App installation.

    `sees_teams`: the person is in the organisation, and the token has the scope read:org.
    """

    login: str
    permissions: Mapping[str, str] | None = None
    sees_teams: bool = True


@dataclass
class SimulatedApp:
    """A GitHub App installed on the repository. Its login in issues is `<slug>[bot]`."""

    app_id: int = 1_001
    slug: str = "drover"
    installation_id: int = 2_002
    permissions: dict[str, str] = field(default_factory=lambda: {"issues": "write", "metadata": "read"})

    @property
    def login(self) -> str:
        return f"{self.slug}[bot]"

    @property
    def private_key(self) -> str:
        """PEM, as a person downloads it from the App's settings. One per process: making one takes a tenth of a second."""
        return _key_pair()[0]


@cache
def _key_pair() -> tuple[str, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


class Access:
    def __init__(self, app: SimulatedApp, tokens: dict[str, Caller], clock: Callable[[], datetime]) -> None:
        self.app = app
        self._tokens = tokens
        self._installation_tokens: dict[str, float] = {}
        self._lock = threading.Lock()
        self._clock = clock
        self.limit = 5_000
        self.remaining = 5_000
        self.resets_at = int(time.time()) + 3_600
        self.content_limits: tuple[int, int] | None = None  # per minute and per hour; None: not enforced
        self._content: deque[datetime] = deque()

    # --- who ---

    def caller(self, authorization: str | None) -> Caller:
        if not authorization:
            raise Refused(401, "Requires authentication")
        scheme, _, value = authorization.partition(" ")
        if scheme.lower() not in {"token", "bearer"}:
            raise Refused(401, "Bad credentials")
        with self._lock:
            expires = self._installation_tokens.get(value)
            if expires is not None:
                if expires < time.time():
                    raise Refused(401, "Bad credentials")
                return Caller(self.app.login, self.app.permissions)
            caller = self._tokens.get(value)
        if caller is None:
            if value.count(".") == 2:
                raise Refused(403, "Resource not accessible by integration")
            raise Refused(401, "Bad credentials")
        return caller

    def app_caller(self, authorization: str | None) -> SimulatedApp:
        """The App itself, proven by a JWT signed with its key, made at most ten minutes ahead."""
        scheme, _, value = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or value.count(".") != 2:
            raise Refused(401, "A JSON web token could not be decoded")
        try:
            claims = jwt.decode(
                value, _key_pair()[1], algorithms=["RS256"], options={"require": ["iat", "exp", "iss"]}, leeway=5
            )
        except jwt.PyJWTError as error:
            raise Refused(401, "A JSON web token could not be decoded") from error
        if str(claims["iss"]) != str(self.app.app_id):
            raise Refused(401, "Integration not found")
        if claims["exp"] - time.time() > 600:
            raise Refused(401, "'Expiration time' claim ('exp') is too far in the future")
        return self.app

    def new_installation_token(self) -> tuple[str, datetime]:
        token = "ghs_" + secrets.token_hex(18)
        lifetime = timedelta(hours=1)
        with self._lock:
            self._installation_tokens[token] = time.time() + lifetime.total_seconds()
        return token, datetime.now().astimezone() + lifetime

    def add_token(self, token: str, caller: Caller) -> None:
        with self._lock:
            self._tokens[token] = caller

    def expire_installation_tokens(self) -> None:
        with self._lock:
            self._installation_tokens = dict.fromkeys(self._installation_tokens, 0.0)

    # --- may they ---

    def count_request(self) -> None:
        with self._lock:
            if time.time() >= self.resets_at:
                self.remaining, self.resets_at = self.limit, int(time.time()) + 3_600
            if self.remaining <= 0:
                text = "API rate limit exceeded for user ID 5000. If you reach out to GitHub Support for help, please include the request ID."
                raise Refused(403, text)
            self.remaining -= 1

    def count_content(self) -> None:
        """Comments and issues have limits of their own: 80 a minute, 500 an hour."""
        if self.content_limits is None:
            return
        per_minute, per_hour = self.content_limits
        now = self._clock()
        with self._lock:
            while self._content and now - self._content[0] >= timedelta(hours=1):
                self._content.popleft()
            last_minute = sum(1 for moment in self._content if now - moment < timedelta(minutes=1))
            if last_minute >= per_minute or len(self._content) >= per_hour:
                text = "You have exceeded a secondary rate limit and have been temporarily blocked from content creation. Please retry your request again later."
                raise Refused(403, text, {"Retry-After": "60"})
            self._content.append(now)

    def headers(self) -> dict[str, str]:
        with self._lock:
            return {
                "X-RateLimit-Limit": str(self.limit),
                "X-RateLimit-Remaining": str(self.remaining),
                "X-RateLimit-Used": str(self.limit - self.remaining),
                "X-RateLimit-Reset": str(self.resets_at),
                "X-RateLimit-Resource": "core",
            }
