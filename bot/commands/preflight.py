"""`/drover preflight edge-07 v1.33.1+rke2r1`: would this upgrade come up?"""

from bot.commands.command import Ask, Command, PreflightDesk, Reply
from bot.ports import Role


def run(ask: Ask, desk: PreflightDesk) -> Reply:
    if len(ask.args) != 2:
        return Reply("Name a cluster and a version: `/drover preflight edge-07 v1.33.1+rke2r1`.", reaction="confused")
    cluster, version = (word.strip("`") for word in ask.args)
    return Reply(desk.preflight_text(cluster, version), reaction="+1")


COMMAND = Command(
    "preflight",
    run,
    who=Role.READ,
    usage="/drover preflight <cluster> <version>",
    help="Tell whether an upgrade to this version would come up.",
    needs=PreflightDesk,
)
