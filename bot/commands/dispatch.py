"""How does a line of a comment become an answer?

Unknown commands get a hint, people who may not a reason, everybody else the command's own answer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from bot.commands.authorize import Denied, authorize, nobody_knows
from bot.commands.command import Ask, Command, Reply, nothing_more
from bot.commands.gather import commands
from bot.commands.parse import ParsedCommand
from bot.policy.roles import Who
from bot.ports import Membership, Role
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


@dataclass(frozen=True)
class HouseRules:
    """What the policy asks for beyond the commands' own roles, for this speaker at this incident's cluster.

    `asked` and `member` may have to read Rancher and GitHub, so they are asked only when it matters. `unsure` says, for a command,
    why more may have been asked than holds here; empty when that is known.
    """

    asked: Callable[[str], Who] = nothing_more
    member: Callable[[str], Membership] = nobody_knows
    unsure: Callable[[str], str] = lambda _: ""


NO_RULES = HouseRules()


def dispatch(
    parsed: ParsedCommand,
    speaker: Speaker,
    desk: object,
    *,
    house: HouseRules = NO_RULES,
    known: Mapping[str, Command] | None = None,
) -> Reply | None:
    """None: nothing to say beyond the reaction that was given on receipt."""
    command = (commands() if known is None else known).get(parsed.name)
    if command is None:
        # Somebody without any role gets no hints: a public repository must not let strangers make us write.
        return unknown(parsed) if speaker.role > Role.NONE else None
    if speaker.role is Role.NONE:
        return Reply(reaction="-1")
    decision = authorize(command, speaker.role)
    if not isinstance(decision, Denied):
        decision = authorize(command, speaker.role, house.asked(command.name), house.member)
        if isinstance(decision, Denied):
            decision = Denied(" ".join(filter(None, (decision.reason, house.unsure(command.name)))))
    if isinstance(decision, Denied):
        return Reply(decision.reason, reaction="-1")
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
        asked=house.asked,
    )
    return command.run(ask, desk)


def unknown(parsed: ParsedCommand) -> Reply:
    hint = f"Did you mean `/drover {parsed.did_you_mean}`?" if parsed.did_you_mean else "`/drover help` lists them."
    name = parsed.name if len(parsed.name) <= 40 else parsed.name[:40] + "…"
    return Reply(f"There is no command {code_span(name)}. {hint}", reaction="confused")
