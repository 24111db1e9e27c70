"""`/drover reject not during the fair`: this plan shall not run, and no other until the finding changes or somebody retries."""

from bot.commands.command import Ask, Command, IncidentDesk, Reply
from bot.ports import Role


def run(ask: Ask, desk: IncidentDesk) -> Reply:
    return desk.reject(ask.incident, ask.text, ask.author).as_reply()


COMMAND = Command(
    "reject",
    run,
    # Stopping is easier than starting: who may sort issues may stop a change.
    who=Role.TRIAGE,
    usage="/drover reject [reason]",
    help="Refuse the plan. No new one comes until the finding changes or somebody asks to retry.",
)
