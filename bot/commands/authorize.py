"""May this person give this command?

By role in the repository. A command names the least one; an installation may ask for more, never for less. What a plan's risk
demands on top is the policy's business (`bot.policy`), when it counts approvals.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bot.commands.command import Command
from bot.ports import Role


@dataclass(frozen=True)
class Allowed:
    pass


@dataclass(frozen=True)
class Denied:
    reason: str  # Markdown of ours


def authorize(command: Command, role: Role, stricter: Mapping[str, Role] | None = None) -> Allowed | Denied:
    """`stricter` maps a command's name to the role an installation asks for."""
    wanted = max(command.who, (stricter or {}).get(command.name, Role.NONE))
    if role >= wanted:
        return Allowed()
    has = f"you have {role.name.lower()}" if role is not Role.NONE else "you have none"
    return Denied(f"`/drover {command.name}` needs the role {wanted.name.lower()} in this repository; {has}.")
