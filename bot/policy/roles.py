"""Who can a policy ask for? Somebody with a role in the repository, as GitHub ranks them, or somebody in a team.

A role comes with the speaker. A team has to be looked up, and what could not be looked up counts as no.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

ROLES = ("none", "read", "triage", "write", "maintain", "admin")
TEAM = "team:"
_TEAM_NAME = re.compile(r"[a-z0-9][a-z0-9-]*/[a-z0-9_][a-z0-9_-]*")


@dataclass(frozen=True)
class Who:
    """At least this role, and a member of every one of these teams (`organisation/team`). Nothing asked: anybody."""

    role: str = "none"
    teams: tuple[str, ...] = ()

    @classmethod
    def named(cls, by: str) -> "Who":
        """What a checked `by:` of the policy asks for."""
        return cls(teams=(by.removeprefix(TEAM),)) if by.startswith(TEAM) else cls(by)

    def __and__(self, other: "Who") -> "Who":
        """Somebody who is both."""
        return Who(max(self.role, other.role, key=ROLES.index), tuple(dict.fromkeys((*self.teams, *other.teams))))

    def is_met(self, role: str, teams: Collection[str]) -> bool:
        return at_least(role, self.role) and set(self.teams) <= set(teams)

    def told(self, quote: Callable[[str], str] = str) -> str:
        """As it follows `somebody`: with the role maintain or higher, in the team acme/network."""
        words = [f"with the role {quote(self.role)} or higher"] if self.role != "none" or not self.teams else []
        if self.teams:
            words.append(f"in the team{'s' if len(self.teams) > 1 else ''} {' and '.join(map(quote, self.teams))}")
        return ", ".join(words)


def who_named(value: object) -> str:
    """A role, or `team:acme/network`. GitHub tells neither organisations nor teams apart by case."""
    name = str(value).strip().lower()
    if name.startswith(TEAM):
        if not _TEAM_NAME.fullmatch(name.removeprefix(TEAM)):
            raise ValueError(
                f"{value!r} names no team; write for example team:acme/network, as the team's page has it: "
                "github.com/orgs/acme/teams/network"
            )
        return name
    if name not in ROLES[1:]:
        raise ValueError(f"{value!r} is not a role; choose one of {', '.join(ROLES[1:])}, or a team: team:acme/network")
    return name


def at_least(role: str, wanted: str) -> bool:
    return ROLES.index(role) >= ROLES.index(wanted)
