"""`/drover rollback`: put back what the last plan changed. The desk asks for the approval that plan asked for."""

from bot.commands.command import Ask, Command, IncidentDesk, Reply
from bot.ports import Role


def run(ask: Ask, desk: IncidentDesk) -> Reply:
    return desk.request_rollback(ask.incident, ask.author, ask.role).as_reply()


COMMAND = Command(
    "rollback",
    run,
    who=Role.WRITE,
    usage="/drover rollback",
    help="Put back the values noted before the last plan's changes.",
)
