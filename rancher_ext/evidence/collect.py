"""What can be learnt about a cluster that is stuck, within a minute and a few megabytes?

Every collector runs in a thread of its own under its own deadline. What it brought before its deadline, its cap or an error
stays; that it was forbidden, skipped or cut short is evidence too and stands in the manifest. A collector is one file in
`collectors/` that ends in a value `COLLECTOR`; adding one edits no other file.
"""

import importlib
import json
import pkgutil
import queue
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from rancher_ext.bundle.bundle import Bundle, Manifest, RedactionEntry
from rancher_ext.bundle.evidence import CollectorReport, CollectorStatus
from rancher_ext.client.kubernetes import KubernetesApi
from rancher_ext.client.snapshot import is_reachable
from rancher_ext.client.transport import Transport
from rancher_ext.errors import RancherError
from rancher_ext.evidence.kinds import Kind, Object
from rancher_ext.evidence.reach import Caps, Notes, OutOfTime, Problem, Reach, Shared, Side, problem_of
from rancher_ext.evidence.witness import Witness
from rancher_ext.fleet.snapshot import ClusterSnapshot

# Six at a time keep the tunnel to one cluster busy without crowding out its other users.
WORKERS = 6
DEADLINE = 60.0

_REASON_LENGTH = 600
_UNSAFE = re.compile(r"[^A-Za-z0-9._@=-]")

Content = str | bytes | Mapping[str, Any]
Item = tuple[str, Content]


class Redactor(Protocol):
    """Masks secrets file by file; `report` tells rule, place and count of all it has masked so far (`bundle.redact.Redactor`)."""

    def file(self, path: str, content: bytes) -> bytes: ...

    @property
    def report(self) -> tuple[RedactionEntry, ...]: ...


@dataclass(frozen=True)
class Collector:
    """One kind of evidence: where it is read, how long and how much at most, and for which clusters it makes sense."""

    name: str
    needs: Side
    run: Callable[[Reach], Iterable[Item]]
    timeout: float = DEADLINE
    max_bytes: int | None = None
    applies: Callable[[ClusterSnapshot], bool] = field(default=lambda _: True)


def gather() -> tuple[Collector, ...]:
    """The collectors that `collectors/` holds, in file order. Raises ValueError when two files claim one name."""
    package = importlib.import_module("rancher_ext.evidence.collectors")
    found: dict[str, tuple[str, Collector]] = {}
    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda module: module.name):
        if module.name.startswith("_"):
            continue
        file = f"collectors/{module.name}.py"
        collector = getattr(importlib.import_module(f"{package.__name__}.{module.name}"), "COLLECTOR", None)
        if not isinstance(collector, Collector):
            raise TypeError(f"{file} has to end in `COLLECTOR = Collector(…)`")
        if collector.name in found:
            raise ValueError(f"{found[collector.name][0]} and {file} both define the collector {collector.name!r}")
        found[collector.name] = (file, collector)
    return tuple(collector for _, collector in found.values())


def object_path(side: Side, kind: Kind, item: Object) -> str:
    """Where an object lies in a bundle; `_` stands for the namespace of what has none."""
    metadata = item.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    namespace, name = str(metadata.get("namespace") or "_"), str(metadata.get("name") or "_")
    return f"objects/{side}/{kind.resource.plural}/{segment(namespace)}/{segment(name)}.json"


def log_path(namespace: str, pod: str, container: str, *, previous: bool = False) -> str:
    return f"logs/{segment(namespace)}/{segment(pod)}/{segment(container)}{'.previous' if previous else ''}.log"


def segment(name: str) -> str:
    """A name as a file name. Kubernetes' own names pass unchanged; nothing can climb out of the bundle."""
    safe = _UNSAFE.sub("_", name)[:200]
    return safe if safe.strip(".") else "_"


def collect(
    transport: Transport,
    snapshot: ClusterSnapshot,
    *,
    collectors: Sequence[Collector],
    now: datetime,
    redactor: Redactor,
    progress: Callable[[int, int, str], None] | None = None,
    workers: int = WORKERS,
    caps: Caps | None = None,
    monotonic: Callable[[], float] = time.monotonic,
    witness: Witness | None = None,
) -> Bundle:
    """The evidence of all collectors, redacted, with its manifest. Raises nothing that Rancher or the cluster could cause.

    Without a `witness` nothing is done on nodes, since nobody would keep a record of it.
    `progress(done, of, name)` is called when a collector has finished, from the calling thread.
    """
    caps = caps or Caps()
    local = KubernetesApi(transport)
    downstream = KubernetesApi(transport, snapshot.identity.id) if is_reachable(snapshot) else None
    shared, budget = Shared(), _Budget(caps.bundle)
    runs = [_Run(collector, caps, budget, monotonic) for collector in collectors]

    def reach_of(run: "_Run", deadline: float) -> Reach:
        return Reach(snapshot, local, downstream, now, deadline, caps, shared, run.notes, monotonic, witness)

    waiting: deque[_Run] = deque()
    done = 0
    for run in runs:
        if not run.collector.applies(snapshot):
            run.skip(f"does not apply to this cluster ({snapshot.management}, {snapshot.distribution})")
        elif run.collector.needs is Side.DOWNSTREAM and downstream is None:
            run.skip("Rancher has no connection to the cluster")
        else:
            waiting.append(run)
            continue
        done += 1
        _tell(progress, done, len(runs), run)
    finished: queue.SimpleQueue[_Run] = queue.SimpleQueue()
    running: set[_Run] = set()
    while waiting or running:
        while waiting and len(running) < max(1, workers):
            run = waiting.popleft()
            run.start(reach_of, finished)
            running.add(run)
        patience = max(0.0, min(run.deadline for run in running) - monotonic())
        over: set[_Run] = set()
        try:
            over.add(finished.get(timeout=patience))
        except queue.Empty:
            over |= {run for run in running if run.deadline <= monotonic()}
        for run in over & running:
            running.remove(run)
            run.finish()
            done += 1
            _tell(progress, done, len(runs), run)
    return _bundle(snapshot, runs, now, redactor)


def _tell(progress: Callable[[int, int, str], None] | None, done: int, of: int, run: "_Run") -> None:
    if progress:
        progress(done, of, run.collector.name)


class _Full(Exception):
    """A cap is reached: nothing more fits."""


class _Budget:
    """What the whole bundle may still take in."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._left = size
        self._lock = threading.Lock()

    def take(self, count: int) -> bool:
        with self._lock:
            if count > self._left:
                return False
            self._left -= count
            return True


class _Run:
    """One collector at work. Its basket is closed at the deadline: what a straggler brings later is not in the bundle."""

    def __init__(self, collector: Collector, caps: Caps, budget: _Budget, monotonic: Callable[[], float]) -> None:
        self.collector = collector
        self.notes = Notes()
        self.files: dict[str, bytes] = {}
        self.deadline = 0.0
        self.status: CollectorStatus | None = None
        self.reason: str | None = None
        self.seconds = 0.0
        self._caps = caps
        self._limit = min(collector.max_bytes or caps.collector, caps.collector)
        self._size = 0
        self._budget = budget
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._closed = False
        self._ended = False
        self._bug: BaseException | None = None
        self._began = 0.0

    def skip(self, reason: str) -> None:
        self.status, self.reason = CollectorStatus.SKIPPED, reason

    def start(self, reach_of: Callable[["_Run", float], Reach], finished: "queue.SimpleQueue[_Run]") -> None:
        self._began = self._monotonic()
        self.deadline = self._began + self.collector.timeout
        reach = reach_of(self, self.deadline)
        # A daemon: a request that hangs past the deadline must not keep the whole program from ending.
        threading.Thread(
            target=self._work, args=(reach, finished), name=f"collect-{self.collector.name}", daemon=True
        ).start()

    def _work(self, reach: Reach, finished: "queue.SimpleQueue[_Run]") -> None:
        try:
            for path, content in self.collector.run(reach):
                self._add(path, content)
        except OutOfTime:
            self._over_time()
        except _Full:
            pass
        except RancherError as error:
            with self._lock:
                if not self._closed:
                    self.notes.problems.append(problem_of(error))
        except BaseException as error:  # noqa: BLE001 - a bug; `finish` raises it again where somebody sees it
            self._bug = error
        with self._lock:
            self._ended = True
        finished.put(self)

    def _add(self, path: str, content: Content) -> None:
        data, cut = _fitted(path, _encoded(content), self._caps.file)
        with self._lock:
            if self._closed:
                raise OutOfTime
            if data is None:
                self._missing(f"{path} is larger than {_size(self._caps.file)} and was left out")
                return
            if cut:
                self._missing(f"{path} was cut to {_size(self._caps.file)}")
            if self._size + len(data) > self._limit:
                self._missing(f"the cap of {_size(self._limit)} was reached after {len(self.files)} files")
                raise _Full
            if not self._budget.take(len(data)):
                self._missing(f"the bundle's cap of {_size(self._budget.size)} was reached")
                raise _Full
            self._size += len(data)
            self.files[path] = data
        if self._monotonic() > self.deadline:
            raise OutOfTime

    def _missing(self, text: str) -> None:
        self.notes.problems.append(Problem(text))

    def _over_time(self) -> None:
        with self._lock:
            if not self._closed:
                self._missing(self._late)

    @property
    def _late(self) -> str:
        return f"not finished after {self.collector.timeout:g} s"

    def finish(self) -> None:
        """Closes the basket and judges what is in it. Raises what was a bug in the collector."""
        with self._lock:
            self._closed = True
            if not self._ended:
                self._missing(self._late)
            problems, remarks = list(self.notes.problems), list(self.notes.remarks)
        if self._bug is not None:
            raise self._bug
        self.seconds = self._monotonic() - self._began
        said = list(dict.fromkeys([*(problem.text for problem in problems), *remarks]))
        self.reason = _clipped("; ".join(said)) if said else None
        if not problems:
            self.status = CollectorStatus.OK
        elif self.files:
            self.status = CollectorStatus.PARTIAL
        elif all(problem.right for problem in problems):
            self.status = CollectorStatus.FORBIDDEN
        else:
            self.status = CollectorStatus.FAILED


def _encoded(content: Content) -> bytes:
    if isinstance(content, bytes):
        return content
    if isinstance(content, str):
        return content.encode("utf-8", errors="replace")
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode("utf-8", errors="replace")


def _fitted(path: str, data: bytes, limit: int) -> tuple[bytes | None, bool]:
    """The content within the limit, and whether that took cutting: the end of a log, the beginning of a listing, no torn JSON."""
    if len(data) <= limit:
        return data, False
    if path.endswith(".json"):
        return None, True
    if path.endswith(".log"):
        kept = data[-limit:]
        kept = kept[kept.find(b"\n") + 1 :] if b"\n" in kept[:-1] else kept
        return f"# cut: the first {len(data) - len(kept)} bytes of this log are left out\n".encode() + kept, True
    kept = data[:limit]
    return (kept[: kept.rfind(b"\n") + 1] or kept), True


def _bundle(snapshot: ClusterSnapshot, runs: Sequence[_Run], now: datetime, redactor: Redactor) -> Bundle:
    identity = snapshot.identity
    files: dict[str, bytes] = {}
    for path, content in _joined(runs):
        files[path] = redactor.file(path, content)
    reports = tuple(
        CollectorReport(
            name=run.collector.name,
            status=run.status or CollectorStatus.FAILED,
            # Reasons quote what servers said.
            reason=None if run.reason is None else redactor.file("collectors.txt", run.reason.encode()).decode(),
            seconds=round(run.seconds, 3),
            files=tuple(sorted(run.files)),
        )
        for run in runs
    )
    manifest = Manifest(
        cluster_id=identity.id,
        cluster_name=identity.name,
        cluster_uid=identity.uid,
        rancher=identity.key.rancher,
        distribution=identity.distribution.value,
        cni=snapshot.cni.value,
        kubernetes=snapshot.kubernetes.text if snapshot.kubernetes else "",
        rancher_version=snapshot.rancher.text if snapshot.rancher else "",
        collected_at=now,
        collectors=reports,
        redactions=redactor.report,
    )
    return Bundle.of(files, manifest, name=identity.name)


def _joined(runs: Sequence[_Run]) -> Iterator[tuple[str, bytes]]:
    """All files. A listing at the top (`events.txt`) may have several contributors; of an object the first copy is taken."""
    parts: dict[str, list[bytes]] = {}
    for run in runs:
        for path, content in run.files.items():
            parts.setdefault(path, []).append(content)
    for path, contents in parts.items():
        listing = "/" not in path and path.endswith(".txt")
        yield path, b"\n".join(contents) if listing else contents[0]


def _clipped(text: str) -> str:
    return text if len(text) <= _REASON_LENGTH else text[: _REASON_LENGTH - 1] + "…"


def _size(count: int) -> str:
    for unit, size in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:.4g} {unit}"
    return f"{count} bytes"
