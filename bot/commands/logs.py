"""`/drover logs flannel`: the last lines of one component, from the evidence that was collected. Masked as all evidence is."""

from bot.commands.command import Ask, Command, EvidenceDesk, Reply
from bot.ports import Role


def run(ask: Ask, desk: EvidenceDesk) -> Reply:
    if len(ask.args) > 1:
        return Reply("One component at a time: `/drover logs flannel`.", reaction="confused")
    component = ask.args[0].strip("`") if ask.args else ""
    return Reply(desk.logs_text(ask.incident, component), reaction="+1")


COMMAND = Command(
    "logs",
    run,
    who=Role.TRIAGE,
    usage="/drover logs [component]",
    help="Show the last lines of a component's logs, such as `flannel` or `kubelet`.",
    needs=EvidenceDesk,
)
