"""`/drover retry`: after a refusal, a failure or an undone change, start over with a fresh diagnosis and a new plan."""

from bot.commands.command import Ask, Command, IncidentDesk, Reply
from bot.ports import Role


def run(ask: Ask, desk: IncidentDesk) -> Reply:
    return desk.request_retry(ask.incident, ask.author).as_reply()


COMMAND = Command(
    "retry",
    run,
    who=Role.WRITE,
    usage="/drover retry",
    help="Start over: new evidence, a new plan, and the approvals it needs.",
)
