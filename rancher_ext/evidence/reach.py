"""What may one collector use, and what does it do with what it cannot read?

A `Reach` is made for one run of one collector. It reads lists page by page, keeps of every object only what its `Kind` keeps,
shares what several collectors of the same collection ask for, and ends every request at the collector's deadline. What could
not be read is noted and becomes the reason in the manifest.
"""

import re
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from rancher_ext.client.kubernetes import PODS, KubernetesApi
from rancher_ext.errors import (
    CertificateRefused,
    ClusterUnavailable,
    Forbidden,
    Gone,
    NotFound,
    NotRancher,
    RancherError,
    RancherUnreachable,
    Unauthorized,
)
from rancher_ext.evidence.kinds import Kind, Object
from rancher_ext.evidence.witness import Witness
from rancher_ext.fleet.snapshot import ClusterSnapshot

T = TypeVar("T")

# A page of 250 objects is a few megabytes at most, and a slow tunnel brings it well within one request's time.
PAGE = 250
# A single answer that takes longer than this from a working cluster is worth less than the rest of the evidence.
REQUEST_SECONDS = 45.0

# After these there is no point in asking for anything else on the same side.
_FATAL = (Unauthorized, CertificateRefused, NotRancher, ClusterUnavailable, RancherUnreachable)
_LACKS = re.compile(r'cannot (?P<verb>[a-z]+) resource "(?P<resource>[^"]+)" in API group "(?P<group>[^"]*)"')


class Side(StrEnum):
    """Where a collector reads: Rancher's own cluster, or the cluster that is ill."""

    MANAGEMENT = "management"
    DOWNSTREAM = "downstream"


@dataclass(frozen=True)
class Caps:
    """How much evidence is enough. Sizes in bytes, before redaction."""

    file: int = 1 << 20
    collector: int = 8 << 20
    bundle: int = 32 << 20
    log_lines: int = 400
    # What is asked of the kubelet. It counts from the first of the lines, so a small figure would cost the last ones.
    log_answer: int = 8 << 20
    pods_per_workload: int = 10
    described_nodes: int = 60


class OutOfTime(Exception):
    """The collector's deadline has passed; whoever waits for it has gone on without."""


@dataclass(frozen=True)
class Problem:
    """Something that could not be read. `right` is the missing right where that is why."""

    text: str
    right: str = ""


@dataclass
class Notes:
    """What a collector has to say about its own completeness."""

    problems: list[Problem] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


class Shared:
    """Answers that several collectors of one collection need; the first asks, the others wait for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: dict[Hashable, Future[Any]] = {}

    def once(self, key: Hashable, read: Callable[[], T], wait: Callable[[], float]) -> T:
        while True:
            with self._lock:
                answer = self._answers.get(key)
                mine = answer is None
                if answer is None:
                    answer = self._answers[key] = Future()
            if mine:
                try:
                    answer.set_result(read())
                except BaseException as error:
                    # Another collector may have more time left than this one had.
                    if isinstance(error, OutOfTime):
                        with self._lock:
                            del self._answers[key]
                    answer.set_exception(error)
                    raise
            try:
                found: T = answer.result(timeout=wait())
            except TimeoutError:
                raise OutOfTime from None
            except OutOfTime:
                continue
            return found


@dataclass
class Reach:
    """One collector's view of one cluster. `downstream` is None while Rancher has no connection to the cluster."""

    snapshot: ClusterSnapshot
    local: KubernetesApi
    downstream: KubernetesApi | None
    now: datetime
    deadline: float
    caps: Caps = field(default_factory=Caps)
    shared: Shared = field(default_factory=Shared)
    notes: Notes = field(default_factory=Notes)
    monotonic: Callable[[], float] = time.monotonic
    # Who keeps a record of acts on nodes; None where nobody does, and then there are none.
    witness: Witness | None = None

    def objects(
        self, side: Side, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> list[Object]:
        """All objects of the kind as evidence keeps them. A server that does not know the kind has none of it."""
        key = (side, kind, namespace, labels, fields)
        return self._shared(key, lambda: self._read(side, kind, namespace, labels, fields))

    def one(self, side: Side, kind: Kind, name: str, namespace: str = "") -> Object | None:
        """One object as evidence keeps it, or None when there is none."""

        def read() -> Object | None:
            try:
                return kind.object(self._api(side).get(kind.resource, name, namespace, timeout=self.remaining()))
            except NotFound:
                return None

        return self._shared((side, kind, namespace, name), read)

    def log(self, side: Side, namespace: str, pod: str, container: str, *, previous: bool = False) -> str:
        """The last lines of a container's log, with the runtime's time stamps."""
        api = self._api(side)
        params: dict[str, Any] = {
            "container": container,
            "tailLines": self.caps.log_lines,
            "limitBytes": self.caps.log_answer,
            "timestamps": "true",
        }
        if previous:
            params["previous"] = "true"
        path = f"/k8s/clusters/{api.cluster}{PODS.path(namespace, pod)}/log"
        answer = api.transport.request("GET", path, params=params, accept="*/*", timeout=self.remaining())
        return answer.content.decode("utf-8", errors="replace")

    def remaining(self) -> float:
        """Seconds that the next request may take. Raises OutOfTime when there are none."""
        left = self.deadline - self.monotonic()
        if left <= 0:
            raise OutOfTime
        return min(left, REQUEST_SECONDS)

    def remark(self, text: str) -> None:
        """Something worth knowing that does not make the evidence incomplete."""
        self.notes.remarks.append(text)

    def problem(self, text: str) -> None:
        """Something is missing from the evidence."""
        self.notes.problems.append(Problem(text))

    def failed(self, error: RancherError) -> None:
        """Something is missing from the evidence because Rancher said no."""
        self.notes.problems.append(problem_of(error))

    @contextmanager
    def tolerating(self) -> Iterator[None]:
        """One unreadable part does not cost the others: its error is noted, unless it tells that all others would fail too."""
        try:
            yield
        except _FATAL:
            raise
        except RancherError as error:
            self.failed(error)

    def _shared(self, key: Hashable, read: Callable[[], T]) -> T:
        def in_time() -> T:
            try:
                return read()
            except RancherUnreachable as error:
                # A request is given what is left of the deadline; that it ran out says nothing about the server.
                if self.monotonic() >= self.deadline:
                    raise OutOfTime from error
                raise

        return self.shared.once(key, in_time, self.remaining)

    def _api(self, side: Side) -> KubernetesApi:
        api = self.local if side is Side.MANAGEMENT else self.downstream
        if api is None:
            raise ClusterUnavailable("Rancher has no connection to the cluster")
        return api

    def _read(self, side: Side, kind: Kind, namespace: str, labels: str, fields: str) -> list[Object]:
        """Reduces page by page: the raw nodes of a large cluster would take hundreds of megabytes at once."""
        api = self._api(side)
        path = f"/k8s/clusters/{api.cluster}{kind.resource.path(namespace)}"
        params: dict[str, Any] = {"limit": PAGE}
        if labels:
            params["labelSelector"] = labels
        if fields:
            params["fieldSelector"] = fields
        found: list[Object] = []
        while True:
            try:
                answer = api.transport.get_json(path, params, timeout=self.remaining())
            except NotFound:
                return []
            except Gone:
                # The server forgot the instant of the first page: begin again, in one piece.
                if "limit" not in params:
                    raise
                params.pop("limit")
                params.pop("continue", None)
                found = []
                continue
            items = answer.get("items")
            if items is not None and not isinstance(items, list):
                raise NotRancher(
                    f"GET {path}: the answer of {api.transport.url} is not a Kubernetes list",
                    cure="Check DROVER_RANCHER_URL: it must be the address of Rancher itself.",
                )
            for item in items or ():
                kept = kind.object(item) if isinstance(item, Mapping) else None
                if kept is not None:
                    found.append(kept)
            metadata = answer.get("metadata")
            following = metadata.get("continue") if isinstance(metadata, Mapping) else None
            if not following:
                return found
            params["continue"] = following


def problem_of(error: RancherError) -> Problem:
    """What the manifest says about an error; a missing right is named in the words of a role."""
    if isinstance(error, Forbidden):
        lacks = _LACKS.search(error.message)
        if lacks:
            resource = f"{lacks['resource']}.{lacks['group']}" if lacks["group"] else lacks["resource"]
            return Problem(f"forbidden: needs {lacks['verb']} {resource}", right=f"{lacks['verb']} {resource}")
        return Problem(f"forbidden: {error.message}", right="unknown")
    return Problem(error.message)
