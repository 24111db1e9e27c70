"""`/drover sweep`: look at the whole fleet now, instead of at the next turn."""

from bot.commands.command import Ask, Command, FleetDesk, Reply
from bot.ports import Role


def run(ask: Ask, desk: FleetDesk) -> Reply:
    return desk.request_sweep(ask.incident, ask.author).as_reply()


COMMAND = Command(
    "sweep",
    run,
    who=Role.TRIAGE,
    usage="/drover sweep",
    help="Look at every cluster of this Rancher now.",
    needs=FleetDesk,
)
