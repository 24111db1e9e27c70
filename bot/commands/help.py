"""`/drover help`: what can be said here, and who may say it?"""

from collections.abc import Callable, Iterable

from bot.commands.command import Ask, Command, Reply, nothing_more
from bot.policy.roles import Who, at_least
from bot.ports import Role
from bot.reports.escape import code_span


def run(ask: Ask, desk: object) -> Reply:
    from bot.commands.gather import commands

    offered = [command for command in commands().values() if isinstance(desk, command.needs)]
    return Reply(help_text(offered, ask.role, ask.asked), reaction="+1")


def help_text(commands: Iterable[Command], role: Role, asked: Callable[[str], Who] = nothing_more) -> str:
    """A table of all commands; those this person may not give are marked with the role they need.

    Who is in a team is not looked up for a table: a team is only named.
    """
    rows = ["| Command | What it does | Role |", "|---|---|---|"]
    for command in commands:
        who = Who(command.who.name.lower()) & asked(command.name)
        needed = who.role if at_least(role.name.lower(), who.role) else f"**{who.role}**"
        teams = "".join(f", team {code_span(team)}" for team in who.teams)
        rows.append(f"| `{command.usage}` | {command.help} | {needed}{teams} |")
    rows += ["", "Several commands fit in one comment, one per line. Quoted text and code are not commands."]
    return "\n".join(rows)


COMMAND = Command("help", run, who=Role.READ, usage="/drover help", help="List the commands.", needs=object)
