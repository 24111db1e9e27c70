"""Which commands are there? Every module of this folder that is not a helper brings exactly one."""

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType, ModuleType

from bot.commands.command import Command
from bot.errors import BotError

HELPERS = frozenset({"authorize", "command", "dispatch", "gather", "parse"})


class CommandClash(BotError):
    """Two files claim one name, or a file brings no command."""


def gather(package: ModuleType) -> Mapping[str, Command]:
    """Name to command, in the order of the file names."""
    found: dict[str, Command] = {}
    origin: dict[str, str] = {}
    for module_info in sorted(pkgutil.iter_modules(package.__path__), key=lambda info: info.name):
        if module_info.name in HELPERS:
            continue
        module = importlib.import_module(f"{package.__name__}.{module_info.name}")
        file = f"{module_info.name}.py"
        command = getattr(module, "COMMAND", None)
        if not isinstance(command, Command):
            raise CommandClash(f"{file} ends in no COMMAND.", cure="Add one, or move the file out of bot/commands.")
        if command.name in found:
            raise CommandClash(
                f"{origin[command.name]} and {file} both claim `/drover {command.name}`.", cure="Rename one of them."
            )
        found[command.name], origin[command.name] = command, file
    return MappingProxyType(found)


@cache
def commands() -> Mapping[str, Command]:
    """The commands that ship with Drover."""
    import bot.commands

    return gather(bot.commands)
