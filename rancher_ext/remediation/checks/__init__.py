"""One file per trap, each ending in `CHECK`. `gather` finds them; adding one edits no other file."""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from rancher_ext.remediation.check import Check


@cache
def gather() -> Mapping[str, Check]:
    """Every check by name."""
    found: dict[str, Check] = {}
    for module in sorted(iter_modules(__path__), key=lambda module: module.name):
        check: Check = import_module(f"{__name__}.{module.name}").CHECK
        if check.name in found:
            raise RuntimeError(f"two files claim the check {check.name!r}, one of them {module.name}.py")
        found[check.name] = check
    return found
