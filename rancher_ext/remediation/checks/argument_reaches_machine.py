"""Would Rancher drop a value without a word on its way to the machine?

Of `machineGlobalConfig` and `machineSelectorConfig` only keys that the release metadata list for this version reach a machine, and
only strings, booleans and lists of strings as values: a number vanishes. The write itself succeeds.
"""

from collections.abc import Iterator
from typing import Any

from rancher_ext.remediation.change import Change, Target
from rancher_ext.remediation.check import Answer, Check, Obstacle, Steps, of_the_cluster
from rancher_ext.remediation.spec import known_arguments


def look(target: Target, steps: Steps) -> Answer:
    written = [pair for change in of_the_cluster(steps) for pair in _arguments(change)]
    if not written:
        return None
    known = known_arguments(target)
    for key, value in written:
        if known and key not in known:
            return Obstacle(
                f"Rancher's metadata for {target.snapshot.kubernetes} do not know {key}, so it would vanish",
                "refresh the metadata, or use an argument of this version",
            )
        if not _survives(value):
            return Obstacle(
                f"{key} would be {value!r}: only strings, booleans and lists of strings reach a machine",
                "write it as a string",
            )
    return None


def _arguments(change: Change) -> Iterator[tuple[str, Any]]:
    """Key and value of each argument that a change writes. What it takes away needs no reading."""
    if not change.after.present:
        return
    path, value = change.place.path, change.after.value
    if path[:3] == ("spec", "rkeConfig", "machineGlobalConfig"):
        if len(path) > 3:
            yield path[3], value
        elif isinstance(value, dict):
            yield from value.items()
    if path[:3] == ("spec", "rkeConfig", "machineSelectorConfig"):
        if "config" in path and path[-1] != "config":
            yield path[path.index("config") + 1], value
        elif isinstance(value, list):
            before = change.before.value if isinstance(change.before.value, list) else []
            for entry in value:
                if entry not in before and isinstance(entry, dict):
                    yield from (entry.get("config") or {}).items()


def _survives(value: Any) -> bool:
    # False and true are read as YAML; a list keeps its strings.
    return isinstance(value, str | bool) or (isinstance(value, list) and all(isinstance(each, str) for each in value))


CHECK = Check("argument-reaches-machine", "Every argument is known to the metadata and of a kind that survives.", look)
