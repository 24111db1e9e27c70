"""`/drover close it is being rebuilt`: a person takes this over, or gives it up. If the cluster stays stuck, a new incident comes.

It needs a reason: whoever reads the closed issue later wants to know why it was not mended.
"""

from bot.commands.command import Ask, Command, QuietDesk, Reply
from bot.ports import Role


def run(ask: Ask, desk: QuietDesk) -> Reply:
    if not ask.text:
        return Reply("Why? Write `/drover close` and the reason; it stands in the record.", reaction="confused")
    return desk.close(ask.incident, ask.text, ask.author).as_reply()


COMMAND = Command(
    "close",
    run,
    who=Role.WRITE,
    usage="/drover close <reason>",
    help="End this incident without mending it.",
    needs=QuietDesk,
)
