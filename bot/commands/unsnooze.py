"""`/drover unsnooze`: the time is over early. It begins with a fresh look."""

from bot.commands.command import Ask, Command, QuietDesk, Reply
from bot.ports import Role


def run(ask: Ask, desk: QuietDesk) -> Reply:
    return desk.unsnooze(ask.incident, ask.author).as_reply()


COMMAND = Command(
    "unsnooze",
    run,
    who=Role.TRIAGE,
    usage="/drover unsnooze",
    help="End the snooze and look again.",
    needs=QuietDesk,
)
