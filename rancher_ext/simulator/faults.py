"""Which requests go wrong, how, and how often?

A `Fault` matches requests by path pattern and method, a number of times or with a probability, from a time on. Kinds:

    latency        waits `delay` real seconds, then answers as usual
    status         answers `status` (429 with `Retry-After`, 500, 502, 503) with the body that status has in life
    unauthorized   401, as when the token expires in the middle
    drop           closes the socket without an answer; with `after_handling` the request took effect first
    deny           refuses writes with a Status of the API server: `status`, `reason`, `message`. `refused_by_webhook` and
                   `right_taken_away` have the words; dry runs are refused as well, since admission is asked for them, too
    truncate       sends the right headers and half of the body, then closes the socket
    html           answers 200 with a page, as a login portal or a proxy in between does
    stale          reads show what was before the last change (for 30 simulated seconds after it)
    watch-drop     a watch's socket closes `delay` real seconds after it began
    watch-hang     a watch stays open and says nothing any more
    expired-watch  a watch is told 410 in its stream
"""

import random
import re
import threading
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from rancher_ext.simulator.clock import SimClock
from rancher_ext.simulator.status import forbidden

Json = dict[str, Any]

KINDS = (
    "latency",
    "status",
    "unauthorized",
    "drop",
    "deny",
    "truncate",
    "html",
    "stale",
    "watch-drop",
    "watch-hang",
    "expired-watch",
)
WATCH_KINDS = ("watch-drop", "watch-hang", "expired-watch")
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
# What a client writes to ask a question changes nothing, and no webhook of Rancher's is called for it.
_QUESTIONS = re.compile(r"/apis/(authorization|authentication)\.k8s\.io/")


@dataclass
class Fault:
    """One way to go wrong. `count` None is for ever; `after` counts simulated seconds from the moment it is added.

    The first `skip` requests that match pass.
    """

    kind: str
    path: str = ".*"
    method: str = ""
    count: int | None = None
    probability: float = 1.0
    status: int = 503
    retry_after: float | None = None
    reason: str = ""
    message: str = ""
    skip: int = 0
    delay: float = 0.0
    after: float = 0.0
    after_handling: bool = False
    id: int = 0
    hits: int = 0
    since: float = field(default=0.0)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"there is no fault {self.kind!r}; known: {', '.join(KINDS)}")
        self._pattern = re.compile(self.path)

    def matches(self, method: str, path: str, now: float) -> bool:
        if self.count is not None and self.hits >= self.count:
            return False
        if self.method and self.method.upper() != method:
            return False
        if self.kind == "deny" and (method not in WRITES or _QUESTIONS.search(path)):
            return False
        return now >= self.since + self.after and self._pattern.search(path) is not None


def refused_by_webhook(webhook: str, why: str) -> Json:
    """How a validating webhook's no arrives: kube-apiserver puts its own words before those of the webhook.

    rancher/webhook 0.9 answers 422 with the reason `Invalid` where fields are wrong, 400 `BadRequest` for a request that it does
    not understand, 403 `Forbidden` for an escalation of rights; a webhook that names no code gets 400 without a reason.
    """
    message = f'admission webhook "{webhook}" denied the request: {why}'
    return {"status": 422, "reason": "Invalid", "message": message}


def right_taken_away(user: str, verb: str, plural: str, group: str, namespace: str, name: str) -> Json:
    """How kube-apiserver says that a role does not allow it (any more)."""
    answer = forbidden(user, verb, plural, group, namespace, name).body
    return {"status": 403, "reason": "Forbidden", "message": answer["message"]}


class Faults:
    """All faults of one simulated Rancher. May be changed while it runs, from any thread."""

    def __init__(self, clock: SimClock, seed: int = 0) -> None:
        self._clock = clock
        self._rng = random.Random(seed)
        self._lock = threading.Lock()
        self._all: list[Fault] = []
        self._next = 1

    def add(self, kind: str, **options: Any) -> Fault:
        known = {f.name for f in fields(Fault)} - {"id", "hits", "since", "kind"}
        if unknown := set(options) - known:
            raise ValueError(f"a fault has no {', '.join(sorted(unknown))}; it has: {', '.join(sorted(known))}")
        fault = Fault(kind, **options)
        with self._lock:
            fault.id, fault.since = self._next, self._clock.seconds()
            self._next += 1
            self._all.append(fault)
        return fault

    def clear(self) -> None:
        with self._lock:
            self._all.clear()

    def listed(self) -> list[Json]:
        with self._lock:
            return [asdict(f) for f in self._all]

    def strike(self, method: str, path: str, *, watch: bool = False) -> list[Fault]:
        """The faults that hit this request; being asked counts as a hit."""
        now = self._clock.seconds()
        with self._lock:
            found = []
            for fault in self._all:
                if fault.kind in WATCH_KINDS and not watch:
                    continue
                if fault.matches(method, path, now) and (
                    fault.probability >= 1 or self._rng.random() < fault.probability
                ):
                    if fault.skip:
                        fault.skip -= 1
                        continue
                    fault.hits += 1
                    found.append(fault)
            return found

    def hangs(self, path: str) -> bool:
        """Is a running watch to fall silent now? Asked again and again, so it does not count."""
        now = self._clock.seconds()
        with self._lock:
            return any(f.kind == "watch-hang" and f.matches("GET", path, now) for f in self._all)
