"""What is an action? Something that can be previewed, applied, and taken back.

An action is one file under `actions/` that ends in `ACTION`. It never decides whether it may run: policy does. `preview` reads
and writes nothing; it says as data (`change.py`) what would be written. Applying and taking back may be done twice: they read
first, and what is already as it shall be is left alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any

from rancher_ext.remediation.change import StepResult, Target, Write, apply, take_back, write_from_json


class Risk(StrEnum):
    SAFE = "safe"
    DISRUPTIVE = "disruptive"
    DESTRUCTIVE = "destructive"

    @property
    def rank(self) -> int:
        return list(Risk).index(self)


class UndoKind(StrEnum):
    """`exact` restores the pre-image, `compensating` says how it makes up for the change, `none` cannot be taken back."""

    EXACT = "exact"
    COMPENSATING = "compensating"
    NONE = "none"


@dataclass(frozen=True)
class PlannedStep:
    """What one action would write, exactly. `diff` is what a reviewer reads, `effect` what happens then."""

    action: str
    title: str
    writes: tuple[Write, ...]
    diff: str
    effect: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def where(self) -> str:
        """The first place that is written, and how many more there are."""
        more = f" and {len(self.writes) - 1} more" if len(self.writes) > 1 else ""
        return f"{self.writes[0]}{more}"

    def to_json(self) -> dict[str, Any]:
        return {
            "action": self.action,
            "title": self.title,
            "writes": [write.to_json() for write in self.writes],
            "diff": self.diff,
            "effect": self.effect,
            "arguments": dict(self.arguments),
            # For pages and people that read the plan as JSON.
            "place": self.where,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "PlannedStep":
        # Before version 0.2 a step was one change, written flat. Incidents that wait keep such plans.
        writes = raw.get("writes", [raw])
        return cls(
            action=raw["action"],
            title=raw["title"],
            writes=tuple(write_from_json(each) for each in writes),
            diff=raw["diff"],
            effect=raw["effect"],
            arguments=raw["arguments"],
        )


@dataclass(frozen=True)
class NotPossible:
    """Why an action cannot be planned on this cluster: an expected answer that the issue shows."""

    why: str


@dataclass(frozen=True)
class NotNeeded:
    """Why a step has nothing to do on this cluster. The plan goes on without it: a fresh snapshot is there already."""

    why: str


@dataclass(frozen=True)
class Settled:
    """Has what was written taken its effect, as far as the next step needs it? `seen` is for people."""

    holds: bool
    seen: str


@dataclass(frozen=True)
class Action:
    """A plugin value. `expected` is how long the change usually takes to show.

    An action that the next one has to wait for (a CRD that must be Established, a snapshot that must be complete) has
    `settled`, which looks once; a step that does not settle within `settle_within` is a failed one.
    """

    name: str
    risk: Risk
    undo: UndoKind
    expected: timedelta
    preview: Callable[[Target, Mapping[str, Any]], PlannedStep | NotPossible | NotNeeded]
    help: str
    settled: Callable[[Target, PlannedStep], Settled] | None = None
    settle_within: timedelta = timedelta(minutes=10)
    # How a write of the action is made and taken back; an action changes it only where the general way does not do.
    apply: Callable[[Target, Write], StepResult] = apply
    take_back: Callable[[Target, Write], StepResult] = take_back
