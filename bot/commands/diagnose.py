"""`/drover diagnose`: collect the evidence anew and look again."""

from bot.commands.command import Ask, Command, IncidentDesk, Reply
from bot.ports import Role


def run(ask: Ask, desk: IncidentDesk) -> Reply:
    return desk.request_diagnosis(ask.incident, ask.author).as_reply()


COMMAND = Command(
    "diagnose",
    run,
    who=Role.TRIAGE,
    usage="/drover diagnose",
    help="Collect the evidence again and update this issue.",
)
