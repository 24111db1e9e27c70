"""How does the simulated GitHub misbehave, and when?

A test or the demo plants faults; each waits for a request that fits, acts, and is used up. The nasty ones act *after* the
write was done: the client cannot tell them from a failure before it, and must look before it writes again.
"""

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Happens(Enum):
    INSTEAD = "instead of the request"
    AFTERWARDS = "after the request was carried out"


@dataclass(frozen=True)
class Fault:
    path: re.Pattern[str]
    method: str | None  # None: any method
    happens: Happens = Happens.INSTEAD
    status: int | None = None  # None: the socket is dropped without an answer
    message: str = "Server Error"
    html: str | None = None  # instead of JSON, as a gateway or another server answers
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0  # seconds before anything else
    only_delay: bool = False

    def fits(self, method: str, path: str) -> bool:
        return (self.method is None or self.method == method) and self.path.search(path) is not None


@dataclass
class _Planted:
    fault: Fault
    left: int


class Faults:
    """Plant with the verbs below; `times` says for how many fitting requests."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planted: list[_Planted] = []
        self._taken: list[tuple[str, str]] = []
        self._lost_deliveries = 0

    def fail(
        self,
        path: str = "",
        *,
        method: str | None = None,
        status: int = 502,
        message: str = "Server Error",
        html: str | None = None,
        headers: Mapping[str, str] | None = None,
        after_the_write: bool = False,
        times: int = 1,
    ) -> None:
        happens = Happens.AFTERWARDS if after_the_write else Happens.INSTEAD
        self._plant(Fault(re.compile(path), method, happens, status, message, html, headers or {}), times)

    def drop(self, path: str = "", *, method: str | None = None, after_the_write: bool = True, times: int = 1) -> None:
        """The socket closes without an answer."""
        happens = Happens.AFTERWARDS if after_the_write else Happens.INSTEAD
        self._plant(Fault(re.compile(path), method, happens), times)

    def delay(self, seconds: float, path: str = "", *, method: str | None = None, times: int = 1) -> None:
        self._plant(Fault(re.compile(path), method, delay=seconds, only_delay=True), times)

    def secondary_limit(
        self,
        path: str = "",
        *,
        method: str | None = None,
        retry_after: int | None = 30,
        status: int = 403,
        times: int = 1,
    ) -> None:
        """What GitHub says to one that writes too fast. Without `retry_after` the header is missing, as it often is."""
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        text = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
        self.fail(path, method=method, status=status, message=text, headers=headers, times=times)

    def lose_deliveries(self, count: int) -> None:
        """The next webhooks are recorded but never arrive, as behind a firewall."""
        with self._lock:
            self._lost_deliveries += count

    def clear(self) -> None:
        with self._lock:
            self._planted.clear()
            self._lost_deliveries = 0

    @property
    def taken(self) -> list[tuple[str, str]]:
        """Method and path of each request that met a fault."""
        with self._lock:
            return list(self._taken)

    def take(self, method: str, path: str) -> Fault | None:
        with self._lock:
            for planted in self._planted:
                if planted.fault.fits(method, path):
                    planted.left -= 1
                    if planted.left <= 0:
                        self._planted.remove(planted)
                    self._taken.append((method, path))
                    return planted.fault
        return None

    def takes_delivery(self) -> bool:
        with self._lock:
            if self._lost_deliveries <= 0:
                return False
            self._lost_deliveries -= 1
            return True

    def _plant(self, fault: Fault, times: int) -> None:
        with self._lock:
            self._planted.append(_Planted(fault, times))
