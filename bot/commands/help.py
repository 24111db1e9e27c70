"""`/drover help`: what can be said here, and who may say it?"""

from collections.abc import Iterable

from bot.commands.command import Ask, Command, Reply
from bot.ports import Role


def run(ask: Ask, desk: object) -> Reply:
    from bot.commands.gather import commands

    offered = [command for command in commands().values() if isinstance(desk, command.needs)]
    return Reply(help_text(offered, ask.role), reaction="+1")


def help_text(commands: Iterable[Command], role: Role) -> str:
    """A table of all commands; those this person may not give are marked with the role they need."""
    rows = ["| Command | What it does | Role |", "|---|---|---|"]
    for command in commands:
        needed = command.who.name.lower()
        rows.append(f"| `{command.usage}` | {command.help} | {needed if role >= command.who else f'**{needed}**'} |")
    rows += ["", "Several commands fit in one comment, one per line. Quoted text and code are not commands."]
    return "\n".join(rows)


COMMAND = Command("help", run, who=Role.READ, usage="/drover help", help="List the commands.", needs=object)
