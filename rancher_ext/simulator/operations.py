"""How far is an etcd snapshot or restore that the specification of an RKE2 or K3s cluster asks for?

A request is a new `generation` in `rkeConfig.etcdSnapshotCreate` or `.etcdSnapshotRestore`. Rancher's planner goes through phases
and tells them in the status of the RKEControlPlane. The last one waits for the cluster agent: on a cluster whose network is dead
a restore hangs before it. On a cluster that was never up a request is passed over.
"""

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

CREATE, RESTORE = "etcdSnapshotCreate", "etcdSnapshotRestore"
# Seconds after the request at which a phase is reached.
_PHASES: Mapping[str, tuple[tuple[float, str], ...]] = {
    CREATE: ((3, "Started"), (18, "RestartCluster"), (33, "Finished")),
    RESTORE: (
        (3, "Started"),
        (10, "Shutdown"),
        (25, "Restore"),
        (45, "PostRestorePodCleanup"),
        (55, "InitialRestartCluster"),
        (65, "PostRestoreNodeCleanup"),
        (80, "RestartCluster"),
        (100, "Finished"),
    ),
}


class Operations:
    """The requests of one cluster."""

    def __init__(self) -> None:
        self._asked: dict[str, tuple[Json, float]] = {}
        self._told: set[tuple[str, int]] = set()

    def note(self, old: Json, new: Json, at: float) -> None:
        """A client wrote another specification."""
        for kind in (CREATE, RESTORE):
            before, after = ((config.get("rkeConfig") or {}).get(kind) for config in (old, new))
            if after and after != before:
                self._asked[kind] = (after, at)

    def due(self, now: float) -> float:
        """When the next phase begins."""
        times = (at + age for kind, (_, at) in self._asked.items() for age, _ in _PHASES[kind])
        return min((each for each in times if each > now), default=float("inf"))

    def phase(self, kind: str, now: float, *, connected: bool) -> str:
        if kind not in self._asked:
            return ""
        at = self._asked[kind][1]
        reached = [name for age, name in _PHASES[kind] if now >= at + age]
        if reached and reached[-1] == "Finished" and not connected:
            reached.pop()
        return reached[-1] if reached else ""

    def status(self, now: float, *, connected: bool) -> Json:
        """Their part of the RKEControlPlane's status."""
        found: Json = {}
        for kind, (request, _) in self._asked.items():
            if phase := self.phase(kind, now, connected=connected):
                found |= {kind: request, f"{kind}Phase": phase}
        return found

    def restored(self, now: float) -> bool:
        """Has a restore put the old state back that nobody was told of yet? It is so before the last phases."""
        if RESTORE not in self._asked:
            return False
        request, at = self._asked[RESTORE]
        key = (RESTORE, int(request.get("generation", 0)))
        if now < at + 55 or key in self._told:
            return False
        self._told.add(key)
        return True
