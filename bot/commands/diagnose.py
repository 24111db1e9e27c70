"""`/drover diagnose`: collect the evidence anew and look again. `/drover diagnose nodes`: what would asking the nodes themselves be?

Asking them is a change to the cluster. So that word only shows its plan; `/drover approve` with its digest agrees to it.
"""

from bot.commands.command import Ask, Command, DiagnosisDesk, Reply
from bot.ports import Role


def run(ask: Ask, desk: DiagnosisDesk) -> Reply:
    if not ask.args:
        return desk.request_diagnosis(ask.incident, ask.author).as_reply()
    if [word.strip("`").lower() for word in ask.args] == ["nodes"]:
        told = desk.nodes_plan(ask.incident)
        return Reply(told.text, reaction="+1" if told.done else "confused")
    return Reply(
        "`/drover diagnose` collects anew; `/drover diagnose nodes` shows what asking the nodes themselves would be.",
        reaction="confused",
    )


COMMAND = Command(
    "diagnose",
    run,
    who=Role.TRIAGE,
    usage="/drover diagnose [nodes]",
    help="Collect the evidence again and update this issue; with `nodes`, show the plan for asking the nodes themselves.",
    needs=DiagnosisDesk,
)
