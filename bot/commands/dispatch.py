"""How does a line of a comment become an answer?

Unknown commands get a hint, people without the role a reason, everybody else the command's own answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from bot.commands.authorize import Denied, authorize
from bot.commands.command import Ask, Command, Reply
from bot.commands.gather import commands
from bot.commands.parse import ParsedCommand
from bot.ports import Role
from bot.reports.escape import code_span


@dataclass(frozen=True)
class Speaker:
    """Who said it, where: what all commands of one comment share."""

    author: str
    role: Role
    comment_id: int
    comment_updated_at: datetime
    issue: int
    incident: str


def dispatch(
    parsed: ParsedCommand,
    speaker: Speaker,
    desk: object,
    *,
    stricter: Mapping[str, Role] | None = None,
    known: Mapping[str, Command] | None = None,
) -> Reply | None:
    """None: nothing to say beyond the reaction that was given on receipt."""
    command = (commands() if known is None else known).get(parsed.name)
    if command is None:
        # Somebody without any role gets no hints: a public repository must not let strangers make us write.
        return unknown(parsed) if speaker.role > Role.NONE else None
    decision = authorize(command, speaker.role, stricter)
    if isinstance(decision, Denied):
        return Reply(decision.reason, reaction="-1") if speaker.role > Role.NONE else Reply(reaction="-1")
    if not isinstance(desk, command.needs):
        return Reply(f"`/drover {command.name}` is not in this version of Drover.", reaction="confused")
    ask = Ask(
        command=parsed.name,
        args=parsed.args,
        text=parsed.text,
        comment_id=speaker.comment_id,
        comment_updated_at=speaker.comment_updated_at,
        author=speaker.author,
        role=speaker.role,
        issue=speaker.issue,
        incident=speaker.incident,
    )
    return command.run(ask, desk)


def unknown(parsed: ParsedCommand) -> Reply:
    hint = f"Did you mean `/drover {parsed.did_you_mean}`?" if parsed.did_you_mean else "`/drover help` lists them."
    name = parsed.name if len(parsed.name) <= 40 else parsed.name[:40] + "…"
    return Reply(f"There is no command {code_span(name)}. {hint}", reaction="confused")
