"""Who notices that a cluster is stuck, that it healed, or that it is gone?

The watchman turns hints and sweeps into looks, looks into verdicts, and verdicts into what follows: a stuck cluster gets an
incident, an open incident hears that its cluster is well or gone, a slow cluster is looked at again when its time is up.
All of this is cheap, may be lost and done twice; what follows from *stuck* is durable.
"""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog

from bot.incidents.incident import Incident
from bot.ports import Assessed, SeenCluster
from bot.workflows.closing import closed_note
from bot.workflows.engine import Engine
from bot.workflows.incident_flow import TOPIC
from bot.workflows.parts import Parts, RancherServer
from rancher_ext.detection import (
    Healthy,
    Progress,
    Progressing,
    Stuck,
    Unknown,
    Verdict,
    assess,
    deserves_closer_look,
)
from rancher_ext.detection.verdict import OutOfScope, word
from rancher_ext.errors import DroverError, NotFound
from rancher_ext.fleet.snapshot import ClusterSnapshot
from rancher_ext.listeners.hint import ClusterHint
from rancher_ext.listeners.queue import HintQueue

INCIDENT = "incident"
_log = structlog.get_logger("watchman")


@dataclass(frozen=True)
class Sweep:
    """One pass over one Rancher server."""

    rancher: str
    at: datetime
    seconds: float
    requests: int
    looks: tuple["Look", ...]


@dataclass(frozen=True)
class Look:
    """One cluster, judged."""

    snapshot: ClusterSnapshot
    verdict: Verdict
    progress: Progress


@dataclass
class Coverage:
    """What the last sweeps covered, for pages, issues and readiness."""

    clusters: int = 0
    at: datetime | None = None
    error: str = ""


class Watchman:
    """Looks at clusters. `monotonic` measures real seconds."""

    def __init__(self, parts: Parts, engine: Engine, queue: HintQueue, monotonic: Callable[[], float]) -> None:
        self._parts = parts
        self._engine = engine
        self._queue = queue
        self._monotonic = monotonic
        self.coverage: dict[str, Coverage] = {name: Coverage() for name in parts.ranchers}

    def sweep(self, server: RancherServer) -> Sweep:
        """Every cluster of one server. Raises a RancherError when the fleet cannot be listed; nothing is forgotten then."""
        started, requests = self._monotonic(), server.transport.counters.requests
        scope = self._parts.limits.scope
        memory = self._parts.fleet.memory(server.name)
        snapshots = server.reader.fleet(lambda snapshot: deserves_closer_look(snapshot, scope))
        looks = []
        for snapshot in snapshots:
            uid, progress = memory.get(snapshot.identity.id, ("", None))
            looks.append(self._judge(snapshot, progress if uid == snapshot.identity.uid else None))
        self._parts.fleet.save(_assessed(look) for look in looks)
        self._parts.fleet.forget_others(server.name, (look.snapshot.identity.id for look in looks))
        for look in looks:
            try:
                self._follow(look, "sweep")
            except DroverError as error:
                # What cannot be noted of one cluster must not hide the others; the next sweep sees it again.
                _log.warning("look_failed", cluster=str(look.snapshot.key), source="sweep", error=error.message)
        self._tell_gone(server, {look.snapshot.identity.uid for look in looks})
        now = self._parts.clock.now()
        self.coverage[server.name] = Coverage(clusters=len(looks), at=now)
        return Sweep(
            server.name, now, self._monotonic() - started, server.transport.counters.requests - requests, tuple(looks)
        )

    def look(self, hint: ClusterHint) -> Look | None:
        """One cluster, because somebody hinted. None when Rancher has it no more."""
        server = self._parts.ranchers.get(hint.key.rancher)
        if server is None:
            return None
        try:
            snapshot = server.reader.cluster(hint.key.id)
        except NotFound:
            incident = self._parts.store.open_of(hint.key)
            if incident:
                self._send_gone(incident)
            return None
        look = self._judge(snapshot, self._parts.fleet.memory_of(hint.key, snapshot.identity.uid))
        self._parts.fleet.save([_assessed(look)])
        self._follow(look, hint.source)
        return look

    def take_up(self) -> None:
        """After a start: every open incident has its workflow, also one whose row was written a moment before a crash."""
        for incident in self._parts.store.all(only_open=True, limit=10_000):
            self._engine.start(INCIDENT, incident.id, incident.id)
            self._engine.revive(incident.id)

    def run(self, stop: threading.Event) -> None:
        """Work hints off until stopped. A Rancher that does not answer costs the hint nothing but time."""
        while not stop.is_set():
            hint = self._queue.get(timeout=0.5)
            if hint is None:
                continue
            try:
                self.look(hint)
            except DroverError as error:
                _log.warning("look_failed", cluster=str(hint.key), source=hint.source, error=error.message)
                self._queue.put(hint, not_before=self._parts.clock.now() + timedelta(seconds=30))

    def run_sweeps(self, every: timedelta, stop: threading.Event, leads: Callable[[], bool] = lambda: True) -> None:
        """Sweep now, and again and again until stopped. While another worker `leads`, it does that."""
        while not stop.is_set():
            for server in self._parts.ranchers.values() if leads() else ():
                try:
                    done = self.sweep(server)
                except DroverError as error:
                    self.coverage[server.name].error = error.message
                    _log.warning("sweep_failed", rancher=server.name, error=error.message, cure=error.cure)
                else:
                    stuck = sum(isinstance(look.verdict, Stuck) for look in done.looks)
                    _log.info(
                        "sweep_done", rancher=server.name, clusters=len(done.looks), stuck=stuck, requests=done.requests
                    )
            stop.wait(self._parts.clock.real_seconds(every))

    def _judge(self, snapshot: ClusterSnapshot, memory: Progress | None) -> Look:
        progress, verdict = assess(snapshot, memory, self._parts.limits)
        return Look(snapshot, verdict, progress)

    def _follow(self, look: Look, source: str) -> None:
        key = look.snapshot.key
        match look.verdict:
            case Stuck() as stuck:
                if self._is_closed(look, stuck):
                    return
                incident, new = self._parts.store.open(look.snapshot, stuck, source)
                if new:
                    _log.info(
                        "incident_opened", incident=incident.id, cluster=incident.cluster_name, reason=stuck.reason
                    )
                    self._parts.store.tell(
                        incident.id, look.snapshot.taken_at, "state", f"Stuck: {stuck.reason}", once="opened"
                    )
                self._engine.start(INCIDENT, incident.id, incident.id)
            case Progressing(recheck_at=recheck_at):
                self._queue.put(ClusterHint(key, "recheck"), not_before=recheck_at)
            case Healthy():
                self._heal(look)
            case OutOfScope():
                self._drop(look)
            case Unknown():
                return

    def _is_closed(self, look: Look, stuck: Stuck) -> bool:
        """Did somebody close this cluster's incident, and did nothing move since?"""
        identity = look.snapshot.identity
        closed = self._parts.store.note(closed_note(identity.key.rancher, identity.uid))
        if closed is None or stuck.since > datetime.fromisoformat(closed):
            return False
        # The workflow that is told to close notes it before it has ended.
        return self._parts.store.open_of(look.snapshot.key) is None

    def _drop(self, look: Look) -> None:
        """A cluster that somebody took out of our sight, by a label or another version, needs no incident any more."""
        incident = self._parts.store.open_of(look.snapshot.key)
        if incident:
            self._engine.send(incident.id, TOPIC, {"kind": "dropped"}, once=f"{incident.id}/dropped/{self._hour()}")

    def _heal(self, look: Look) -> None:
        """Health ends an incident once it has lasted; a spell between two crashes does not."""
        incident = self._parts.store.open_of(look.snapshot.key)
        if incident is None:
            return
        progress = look.progress
        if progress.ill_since is None:
            once = f"{incident.id}/healed/{progress.well_since}/{self._hour()}"
            self._engine.send(incident.id, TOPIC, {"kind": "healed"}, once=once)
        elif progress.well_since:
            self._queue.put(
                ClusterHint(look.snapshot.key, "recheck"), not_before=progress.well_since + self._parts.limits.settle
            )

    def _send_gone(self, incident: Incident) -> None:
        once = f"{incident.id}/gone/{self._hour()}"
        self._engine.send(incident.id, TOPIC, {"kind": "gone"}, once=once)

    def _hour(self) -> str:
        """A word that was heard at the wrong moment is said again, but not at every look."""
        return f"{self._parts.clock.now():%Y-%m-%dT%H}"

    def _tell_gone(self, server: RancherServer, present: Iterable[str]) -> None:
        known = set(present)
        for incident in self._parts.store.all(only_open=True, limit=10_000):
            if incident.cluster.rancher == server.name and incident.cluster_uid not in known:
                self._send_gone(incident)


def facts_of(look: Look) -> dict[str, Any]:
    """What pages and tables show of a cluster. Times are ISO 8601 in UTC, absent ones None."""
    snapshot, verdict = look.snapshot, look.verdict
    since: datetime | None = None
    reason, stage, recheck_at = "", "", None
    match verdict:
        case Stuck():
            since, reason, stage = verdict.since, verdict.reason, verdict.stage.value
        case Progressing():
            since, reason, stage, recheck_at = (
                look.progress.since,
                verdict.reason,
                verdict.stage.value,
                verdict.recheck_at,
            )
        case Unknown() | OutOfScope():
            reason = verdict.why
        case Healthy():
            since = look.progress.well_since
    return {
        "distribution": snapshot.distribution.value,
        "management": snapshot.management.value,
        "driver": snapshot.identity.driver,
        "cni": snapshot.cni.value,
        "cniSource": snapshot.cni_source.value,
        "kubernetes": snapshot.kubernetes.text if snapshot.kubernetes else "",
        "rancher": snapshot.rancher.text if snapshot.rancher else "",
        "nodes": len(snapshot.nodes) or snapshot.node_count or len(snapshot.machines),
        "nodesReady": sum(bool(node.ready) for node in snapshot.nodes) if snapshot.nodes else None,
        "connected": snapshot.connected,
        "stage": stage,
        "reason": reason,
        "since": since.isoformat() if since else None,
        "recheckAt": recheck_at.isoformat() if recheck_at else None,
    }


def _assessed(look: Look) -> Assessed:
    identity = look.snapshot.identity
    seen = SeenCluster(identity.key, identity.name, word(look.verdict), facts_of(look), look.snapshot.taken_at)
    return Assessed(identity.key, identity.uid, look.progress, seen)
