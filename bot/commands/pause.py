"""`/drover pause`: the global brake, for every cluster. As `drover pause` on Drover's machine."""

from bot.commands.command import Ask, BrakeDesk, Command, Reply
from bot.ports import Role


def run(ask: Ask, desk: BrakeDesk) -> Reply:
    return desk.pause(ask.text, ask.author).as_reply()


COMMAND = Command(
    "pause",
    run,
    # Stopping is easier than starting: going on needs more than stopping.
    who=Role.WRITE,
    usage="/drover pause [reason]",
    help="Stop acting on any cluster until somebody resumes; watching and reporting go on.",
    needs=BrakeDesk,
)
