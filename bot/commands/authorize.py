"""May this person give this command?

By role in the repository and by team. A command names the least role; what the policy asks for comes on top, never instead. What a
plan's risk demands of an approval is counted later (`bot.policy`), when it is decided.
"""

from collections.abc import Callable
from dataclasses import dataclass

from bot.commands.command import Command
from bot.policy.roles import Who, at_least
from bot.ports import Membership, Role
from bot.reports.escape import code_span, escape_markdown


@dataclass(frozen=True)
class Allowed:
    pass


@dataclass(frozen=True)
class Denied:
    reason: str  # Markdown of ours


def nobody_knows(team: str) -> Membership:
    """Where there is nothing to ask who is in a team."""
    return Membership(member=False, unseen=f"there is nothing to ask who is in {team}")


def authorize(
    command: Command, role: Role, asked: Who | None = None, member: Callable[[str], Membership] = nobody_knows
) -> Allowed | Denied:
    """`asked` is what the policy demands on top. `member` is asked only where a team is demanded of somebody with the role."""
    lack = lacking(Who(command.who.name.lower()) & (asked or Who()), role, member)
    return Denied(f"`/drover {command.name}` needs {lack}") if lack else Allowed()


def lacking(who: Who, role: Role, member: Callable[[str], Membership]) -> str:
    """What this person is not, as Markdown that follows `needs`; empty when nothing is missing."""
    if not at_least(role.name.lower(), who.role):
        has = f"you have {role.name.lower()}" if role is not Role.NONE else "you have none"
        return f"the role {who.role} in this repository; {has}."
    for team in who.teams:
        seen = member(team)
        if seen.unseen:
            return (
                f"somebody in the team {code_span(team)}, and Drover cannot see who is: {escape_markdown(seen.unseen)}. "
                "Until it can, nobody counts as a member; `drover doctor` says what it lacks."
            )
        if not seen.member:
            return f"somebody in the team {code_span(team)}; you are not in it."
    return ""
