"""What could go wrong with a plan although each of its steps is right?

A check knows one trap. It looks at the whole plan before anybody approves it, reads what it needs, and answers with an
`Obstacle` (the plan is not made; a person gets the reason and what to do), a `Caution` (people read it in the plan), or nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rancher_ext.remediation.action import PlannedStep
from rancher_ext.remediation.change import Call, Change, Target


@dataclass(frozen=True)
class Obstacle:
    """Why the plan must not run, and what a person does about it."""

    why: str
    cure: str

    def __str__(self) -> str:
        return f"{self.why}: {self.cure}" if self.cure else self.why


@dataclass(frozen=True)
class Caution:
    """What people should know before they approve."""

    text: str


Steps = Sequence[PlannedStep]
Answer = Obstacle | Caution | None


@dataclass(frozen=True)
class Check:
    """A plugin value: one file under `checks/` ends in `CHECK`."""

    name: str
    help: str
    look: Callable[[Target, Steps], Answer]


def changes(steps: Steps) -> Iterator[Change]:
    for step in steps:
        yield from (write for write in step.writes if isinstance(write, Change))


def calls(steps: Steps) -> Iterator[Call]:
    for step in steps:
        yield from (write for write in step.writes if isinstance(write, Call))


def of_the_cluster(steps: Steps) -> Iterator[Change]:
    """Changes of the cluster's specification in Rancher: the provisioning or the management cluster."""
    return (each for each in changes(steps) if not each.downstream and each.place.resource.plural == "clusters")


def restarts_service(change: Change) -> bool:
    """Does Rancher restart the distribution's service on the machines for this? Chart values and manifests need no restart."""
    path = change.place.path
    if path[:1] != ("spec",):
        return False
    quiet = {"chartValues", "additionalManifest", "upgradeStrategy"}
    return path[1:2] == ("kubernetesVersion",) or (
        path[1:2] == ("rkeConfig",) and len(path) > 2 and path[2] not in quiet
    )
