"""`/drover status`: where does this incident stand?"""

from bot.commands.command import Ask, Command, IncidentDesk, Reply
from bot.ports import Role


def run(ask: Ask, desk: IncidentDesk) -> Reply:
    return Reply(desk.status_text(ask.incident), reaction="+1")


COMMAND = Command("status", run, who=Role.READ, usage="/drover status", help="Tell where this incident stands.")
