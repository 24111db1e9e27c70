"""Who agreed, to exactly what, until when?"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.policy.roles import Who

_DIGEST = re.compile(r"^[0-9a-f]{6,64}$")


@dataclass(frozen=True)
class Approval:
    """One person's agreement to one plan, by its digest. `comment_version` is the comment's edit time: an edit voids it.

    Role and teams are those at that time. `teams` are the ones that the policy asks for and that the person was seen to be in.
    """

    by: str
    role: str
    digest: str
    at: datetime
    comment: int | None = None
    comment_version: str = ""
    teams: tuple[str, ...] = ()

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
            "teams": list(self.teams),
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
            # One of an older Drover knows no teams, and counts for none.
            tuple(raw.get("teams", ())),
        )


def names_plan(given: str, digest: str) -> bool:
    """Do these hex digits (six or more) name this plan?"""
    return bool(_DIGEST.match(given.lower())) and digest.startswith(given.lower())


def valid_approvals(
    approvals: Sequence[Approval], digest: str, who: Who, expires_after: Any, now: datetime
) -> list[Approval]:
    """Those that count: for this plan, not expired, by people who are asked for, one per person."""
    counted: dict[str, Approval] = {}
    for approval in approvals:
        is_for_this = approval.digest == digest and now - approval.at <= expires_after
        if is_for_this and who.is_met(approval.role, approval.teams):
            counted.setdefault(approval.by.lower(), approval)
    return list(counted.values())
