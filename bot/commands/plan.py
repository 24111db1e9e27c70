"""`/drover plan`, `/drover plan enable-br-netfilter`: what would be done, in exact diffs?"""

from bot.commands.command import Ask, Command, IncidentDesk, Reply
from bot.ports import Role


def run(ask: Ask, desk: IncidentDesk) -> Reply:
    if len(ask.args) > 1:
        return Reply(
            "Name one playbook or one signature: `/drover plan <name>`; without a name it is the plan in force.",
            reaction="confused",
        )
    playbook = ask.args[0].strip("`") if ask.args else None
    return Reply(desk.plan_text(ask.incident, playbook or None), reaction="+1")


COMMAND = Command(
    "plan",
    run,
    who=Role.READ,
    usage="/drover plan [playbook or signature]",
    help="Show what would be done, without doing it.",
)
