"""Who wants to hear nothing of an incident, until when? While it lasts nothing runs and nobody is asked; what heals is still seen.

A snooze is a note beside the incident and a brake of the policy (`bot.policy.brakes`), so it ends by itself, without anybody's
step. The state `snoozed` follows when the incident is told next.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.incidents.incident import State

# Where an incident waits for people or for the policy. One that is being mended or put back is finished first.
SNOOZABLE = frozenset({State.REPORTED, State.AWAITING_APPROVAL, State.SNOOZED})


def snoozed_note(incident: str) -> str:
    """Under this note lies the snooze; None ends it early."""
    return f"snoozed:{incident}"[:100]


@dataclass(frozen=True)
class Snooze:
    until: datetime
    by: str

    def lasts(self, now: datetime) -> bool:
        return now < self.until

    def to_json(self) -> dict[str, Any]:
        return {"until": self.until.isoformat(), "by": self.by}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any] | None) -> "Snooze | None":
        return cls(datetime.fromisoformat(raw["until"]), raw["by"]) if raw else None
