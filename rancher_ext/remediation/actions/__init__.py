"""One file per action, each ending in `ACTION`. `gather` finds them; adding one edits no other file."""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from rancher_ext.remediation.action import Action


@cache
def gather() -> Mapping[str, Action]:
    """Every action by name. Two files that claim one name are a bug and both are named."""
    found: dict[str, Action] = {}
    claimed: dict[str, str] = {}
    for module in sorted(iter_modules(__path__), key=lambda module: module.name):
        action: Action = import_module(f"{__name__}.{module.name}").ACTION
        if action.name in found:
            raise RuntimeError(f"{claimed[action.name]}.py and {module.name}.py both claim the action {action.name!r}")
        found[action.name], claimed[action.name] = action, module.name
    return found
