"""`/drover snooze 2h`: leave this incident alone for a while. Nothing runs and nobody is reminded; what heals is still seen."""

from datetime import timedelta

from bot.commands.command import Ask, Command, QuietDesk, Reply
from bot.ports import Role
from bot.reports.escape import code_span
from rancher_ext.remediation.playbook import parse_duration

LONGEST = timedelta(days=30)
_EXPECTED = "For how long? For example `/drover snooze 90m`, `24h` or `7d`; 30 days at the most."


def run(ask: Ask, desk: QuietDesk) -> Reply:
    if len(ask.args) != 1:
        return Reply(_EXPECTED, reaction="confused")
    try:
        lasts = parse_duration(ask.args[0].strip("`").lower())
    except ValueError:
        return Reply(f"{code_span(ask.args[0][:40])} is no duration. {_EXPECTED}", reaction="confused")
    if not timedelta() < lasts <= LONGEST:
        return Reply(_EXPECTED, reaction="confused")
    return desk.snooze(ask.incident, lasts, ask.author).as_reply()


COMMAND = Command(
    "snooze",
    run,
    who=Role.TRIAGE,
    usage="/drover snooze <duration>",
    help="Leave this incident alone for a while; nothing runs until then.",
    needs=QuietDesk,
)
