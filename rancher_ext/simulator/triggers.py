"""When does a scenario's transition see its condition fulfilled, and what does this Rancher version know?"""

from typing import Any

from rancher_ext.simulator.scenario import When


def has_br_netfilter(rancher_version: str) -> bool:
    """Does this Rancher know `network.enableBrNetfilter`? From 2.9.8, 2.10.4 and 2.11.0-alpha8 on."""
    numbers, _, pre = rancher_version.removeprefix("v").partition("-")
    major, minor, patch = (int(n) for n in numbers.split("."))
    if (major, minor) == (2, 9):
        return patch >= 8
    if (major, minor) == (2, 10):
        return patch >= 4
    if (major, minor, patch) == (2, 11, 0) and pre.startswith("alpha"):
        return int(pre.removeprefix("alpha") or 0) >= 8
    return (major, minor) >= (2, 11)


def at_path(config: Any, path: str) -> Any:
    for part in path.split("."):
        config = config.get(part) if isinstance(config, dict) else None
    return config


def tested(when: When, found: Any) -> bool:
    if when.test == "is":
        return bool(found == when.value)
    if when.test == "is_not":
        return bool(found != when.value)
    if when.test == "present":
        return (found is not None) is bool(when.value)
    text = " ".join(map(str, found)) if isinstance(found, list) else str(found or "")
    return (str(when.value) in text) is (when.test == "contains")
