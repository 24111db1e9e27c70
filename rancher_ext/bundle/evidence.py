"""What did each collector bring, or why could it not?"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class CollectorStatus(StrEnum):
    OK = "ok"
    PARTIAL = "partial"
    FAILED = "failed"
    FORBIDDEN = "forbidden"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class CollectorReport:
    """One collector's outcome. A collector that failed is evidence too: `reason` says what it saw."""

    name: str
    status: CollectorStatus
    reason: str | None = None
    seconds: float = 0.0
    files: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "status": self.status.value,
            "reason": self.reason,
            "seconds": round(self.seconds, 3),
            "files": list(self.files),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "CollectorReport":
        """Raises KeyError, TypeError or ValueError on something else."""
        reason = value.get("reason")
        return cls(
            name=str(value["name"]),
            status=CollectorStatus(value["status"]),
            reason=None if reason is None else str(reason),
            seconds=float(value.get("seconds") or 0.0),
            files=tuple(str(path) for path in value.get("files") or ()),
        )
