"""Who tells the incidents that a brake holds that it has loosened? They ask by themselves only now and then.

When a pause is over, or a cure has ended, as many of them are woken as there is room for, the oldest first, and more of them at
the next look while there is still room. Waking all three hundred for one free place would only make them ask in vain.
"""

from collections.abc import Sequence

from bot.incidents.incident import Incident, State
from bot.workflows.engine import Engine
from bot.workflows.incident_flow import TOPIC
from bot.workflows.parts import Parts

_WAITS = frozenset({State.REPORTED, State.AWAITING_APPROVAL})
_HELD = frozenset({"wait", "allow"})


class Waker:
    """Looks at the brakes, in one worker. What it remembers may be lost: after a start it takes every brake for loosened."""

    def __init__(self, parts: Parts, engine: Engine) -> None:
        self._parts = parts
        self._engine = engine
        self._paused = True
        self._mending = 0
        self._loosened = ""
        self._woken: set[str] = set()
        self._all_woken = True

    def look(self) -> int:
        """Returns how many incidents were woken."""
        paused = bool(self._parts.store.note("paused", default=False))
        mending = self._parts.store.mending_now()
        if (self._paused and not paused) or mending < self._mending:
            self._loosened = f"{self._parts.clock.now():%Y-%m-%dT%H:%M:%S.%f}"
            self._woken, self._all_woken = set(), False
        self._paused, self._mending = paused, mending
        room = self._parts.policy().brakes.clusters_at_once - mending
        if paused or self._all_woken or room <= 0:
            return 0
        held = self._held()
        for row in held[:room]:
            self._woken.add(row.id)
            self._engine.send(row.id, TOPIC, {"kind": "wake"}, once=f"{row.id}/wake/{self._loosened}")
        self._all_woken = len(held) <= room
        return len(held[:room])

    def _held(self) -> Sequence[Incident]:
        rows = self._parts.store.all(only_open=True, limit=10_000)
        held = [
            row
            for row in rows
            if row.state in _WAITS and (row.decision or {}).get("decision") in _HELD and row.id not in self._woken
        ]
        return sorted(held, key=lambda row: (row.opened_at, row.id))
