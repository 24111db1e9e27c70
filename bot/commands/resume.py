"""`/drover resume`: let go of the global brake. What waited for it goes on."""

from bot.commands.command import Ask, BrakeDesk, Command, Reply
from bot.ports import Role


def run(ask: Ask, desk: BrakeDesk) -> Reply:
    return desk.resume(ask.author).as_reply()


COMMAND = Command(
    "resume",
    run,
    who=Role.MAINTAIN,
    usage="/drover resume",
    help="Act again after a pause, on every cluster.",
    needs=BrakeDesk,
)
