"""Who agreed, to exactly what, until when?"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.policy.roles import at_least
from bot.policy.schema import Need

_DIGEST = re.compile(r"^[0-9a-f]{6,64}$")


@dataclass(frozen=True)
class Approval:
    """One person's agreement to one plan, by its digest. `comment_version` is the comment's edit time: an edit voids it."""

    by: str
    role: str
    digest: str
    at: datetime
    comment: int | None = None
    comment_version: str = ""

    def is_void_by(self, change: Mapping[str, Any]) -> bool:
        """Was this comment deleted, or is it another version of it that stands now?"""
        return self.comment == change["comment"] and (
            bool(change.get("deleted")) or self.comment_version != change.get("version")
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "by": self.by,
            "role": self.role,
            "digest": self.digest,
            "at": self.at.isoformat(),
            "comment": self.comment,
            "commentVersion": self.comment_version,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Approval":
        return cls(
            raw["by"],
            raw["role"],
            raw["digest"],
            datetime.fromisoformat(raw["at"]),
            raw["comment"],
            raw["commentVersion"],
        )


def names_plan(given: str, digest: str) -> bool:
    """Do these hex digits (six or more) name this plan?"""
    return bool(_DIGEST.match(given.lower())) and digest.startswith(given.lower())


def valid_approvals(
    approvals: Sequence[Approval], digest: str, need: Need, expires_after: Any, now: datetime
) -> list[Approval]:
    """Those that count: for this plan, not expired, by people of the role, one per person."""
    counted: dict[str, Approval] = {}
    for approval in approvals:
        if approval.digest == digest and now - approval.at <= expires_after and at_least(approval.role, need.by):
            counted.setdefault(approval.by.lower(), approval)
    return list(counted.values())
