"""What did one reader find? Lists that the readers fill, and small helpers they share."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from rancher_ext.bundle.facts import (
    ConditionFact,
    DaemonSetFacts,
    EventFact,
    NodeFacts,
    ObjectFact,
    Place,
    PodFacts,
)

_AGE = re.compile(r"(\d{1,6})([ydhms])")
_SECONDS = {"y": 31_536_000, "d": 86_400, "h": 3_600, "m": 60, "s": 1}


@dataclass
class Reading:
    nodes: list[NodeFacts] = field(default_factory=list)
    pods: list[PodFacts] = field(default_factory=list)
    daemonsets: list[DaemonSetFacts] = field(default_factory=list)
    conditions: list[ConditionFact] = field(default_factory=list)
    events: list[EventFact] = field(default_factory=list)
    objects: list[ObjectFact] = field(default_factory=list)
    listed: set[str] = field(default_factory=set)
    messages: list[tuple[str, Place]] = field(default_factory=list)

    @classmethod
    def joined(cls, readings: Iterable["Reading"]) -> "Reading":
        whole = cls()
        for reading in readings:
            whole.nodes += reading.nodes
            whole.pods += reading.pods
            whole.daemonsets += reading.daemonsets
            whole.conditions += reading.conditions
            whole.events += reading.events
            whole.objects += reading.objects
            whole.listed |= reading.listed
            whole.messages += reading.messages
        return whole


def age_seconds(text: str | None) -> int | None:
    """kubectl's `19h`, `2h41m`, `3m2s`, `2y14d` in seconds; None for anything else."""
    if not text or _AGE.sub("", text):
        return None
    return sum(int(number) * _SECONDS[unit] for number, unit in _AGE.findall(text))
