"""What is an action? Something that can be previewed, applied, and taken back.

An action is one file under `actions/` that ends in `ACTION`. It never decides whether it may run: policy does. `preview` reads
and writes nothing. `apply` and `undo` may be called twice: they read first, and what is already as it shall be is left alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any

from rancher_ext.client.changes import Place, Value
from rancher_ext.client.kubernetes import KubernetesApi, Resource
from rancher_ext.client.transport import Transport
from rancher_ext.fleet.snapshot import ClusterSnapshot


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
class Target:
    """The cluster an action works on, and the ways to reach it."""

    snapshot: ClusterSnapshot
    transport: Transport

    @property
    def local(self) -> KubernetesApi:
        return KubernetesApi(self.transport)

    @property
    def downstream(self) -> KubernetesApi:
        return KubernetesApi(self.transport, self.snapshot.identity.id)


@dataclass(frozen=True)
class PlannedStep:
    """One change, exactly: which field, from which value, to which. `diff` is what a reviewer reads."""

    action: str
    title: str
    uid: str
    place: Place
    before: Value
    after: Value
    diff: str
    effect: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        resource = self.place.resource
        return {
            "action": self.action,
            "title": self.title,
            "uid": self.uid,
            "resource": [resource.group, resource.version, resource.plural, resource.namespaced],
            "namespace": self.place.namespace,
            "name": self.place.name,
            "path": list(self.place.path),
            "before": self.before.to_json(),
            "after": self.after.to_json(),
            "diff": self.diff,
            "effect": self.effect,
            "arguments": dict(self.arguments),
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "PlannedStep":
        return cls(
            action=raw["action"],
            title=raw["title"],
            uid=raw["uid"],
            place=Place(Resource(*raw["resource"]), raw["namespace"], raw["name"], tuple(raw["path"])),
            before=Value.from_json(raw["before"]),
            after=Value.from_json(raw["after"]),
            diff=raw["diff"],
            effect=raw["effect"],
            arguments=raw["arguments"],
        )


@dataclass(frozen=True)
class NotPossible:
    """Why an action cannot be planned on this cluster: an expected answer that the issue shows."""

    why: str


@dataclass(frozen=True)
class StepResult:
    """What happened. `wrote` is False when everything was already as it should be (a repeated step)."""

    wrote: bool
    seen: str
    resource_version: str = ""


@dataclass(frozen=True)
class Action:
    """A plugin value. `expected` is how long the change usually takes to show."""

    name: str
    risk: Risk
    undo: UndoKind
    expected: timedelta
    preview: Callable[[Target, Mapping[str, Any]], PlannedStep | NotPossible]
    apply: Callable[[Target, PlannedStep], StepResult]
    take_back: Callable[[Target, PlannedStep], StepResult]
    help: str
