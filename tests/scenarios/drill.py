"""One trouble, one cure, and what goes wrong on the way: how does it end, and is everything as it was?

A drill is a whole incident: the real service, in process, between a simulated Rancher and a simulated GitHub, with a fast
clock, under the default policy. People approve as the policy asks. What is compared before and after an undo is every object
that a plan could touch: the specifications in Rancher, and workloads, roles, definitions, configuration and nodes inside.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from bot.incidents.incident import Incident
from rancher_ext.remediation.change import Call, Change
from rancher_ext.remediation.plan import Plan
from rancher_ext.simulator.faults import refused_by_webhook, right_taken_away
from rancher_ext.simulator.resources import resource_of
from tests.bot.workflows.world import World

NAME = "drill-01"
ADMINS = {"anna": "admin", "ben": "admin"}
_OVER = ("resolved", "rolled-back", "escalated", "superseded")
_WAITING = ("awaiting-approval", "reported", *_OVER)
_FIRST_LOOK = 120.0

Json = dict[str, Any]


class Injected(StrEnum):
    """What goes wrong while the cure is under way."""

    NOTHING = "nothing"
    NO_EFFECT = "cure has no effect"
    WORSE = "cure makes it worse"
    RELAPSE = "it falls ill again"
    EDITED = "somebody edits beside us"
    COLLIDES = "somebody edits the same"
    AWAY = "Rancher goes away"
    LATE = "agent connects late"
    REFUSED = "Rancher refuses the first write"
    REFUSED_LATER = "Rancher refuses a later write"
    REFUSED_UNDO = "Rancher refuses the undo"
    DISEMPOWERED = "the right to write goes half-way"


# The parameter of the trouble with which it comes about; without effect where the rest of the story needs an undo.
_PARAMETERS: Mapping[Injected, Mapping[str, bool]] = {
    Injected.NO_EFFECT: {"no_effect": True},
    Injected.WORSE: {"worse": True},
    Injected.RELAPSE: {"relapse": True},
    Injected.EDITED: {"no_effect": True},
    Injected.COLLIDES: {"no_effect": True},
    Injected.LATE: {"late": True},
    Injected.REFUSED_UNDO: {"no_effect": True},
    Injected.DISEMPOWERED: {"no_effect": True},
}
# What Drover may not write any more it cannot put back either: a person says `/drover rollback` once it may.
BY_A_PERSON = frozenset({Injected.REFUSED_UNDO, Injected.DISEMPOWERED})
_REFUSALS = ("denied the request", "is forbidden")
HEALS = frozenset({Injected.NOTHING, Injected.AWAY, Injected.LATE})


@dataclass(frozen=True)
class Result:
    """How one drill ended. `same` tells whether all is as it was: yes, as declared, or what is different."""

    scenario: str
    injected: Injected
    playbook: str
    actions: tuple[str, ...]
    undo: str
    ended: str
    same: str
    text: str
    good: bool
    took: float


class Patch:
    """What the world asks of pytest's monkeypatch."""

    def __init__(self) -> None:
        self._old: list[tuple[Any, str, Any]] = []

    def setattr(self, target: Any, name: str, value: Any) -> None:
        self._old.append((target, name, getattr(target, name)))
        setattr(target, name, value)

    def undo(self) -> None:
        while self._old:
            target, name, value = self._old.pop()
            setattr(target, name, value)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.undo()


@contextmanager
def a_world() -> Iterator[World]:
    with (
        tempfile.TemporaryDirectory(prefix="drover-drill-") as home,
        Patch() as patch,
        World(Path(home) / "home", patch) as world,
    ):
        world.github.people.update(ADMINS)
        yield world


def drill(scenario: str, injected: Injected = Injected.NOTHING, *, patience: float = 240.0) -> Result:
    began = time.monotonic()
    with a_world() as world:
        world.fleet.add(scenario, NAME, **_PARAMETERS.get(injected, {}))
        row = _planned(world)
        if row.plan is None:
            return _unplanned(scenario, injected, row, time.monotonic() - began)
        before = portrait(world)
        written = len(world.writes)
        _refuse(world, injected)
        approve(world)
        _inject(world, injected, patience)
        world.until(NAME, *_OVER, within=patience)
        escalated = world.incident(NAME)
        if injected in BY_A_PERSON:
            _roll_back_by_hand(world, patience)
        row = world.incident(NAME)
        plan = Plan.from_json(row.plan or {})
        same, fine = _after_the_last_plan(world, before, plan)
        if injected in HEALS:
            good = row.state.value == "resolved"
            same = "mended" if good else same
        elif injected is Injected.COLLIDES:
            good = row.state.value == "escalated" and "could not be put back" in row.outcome
            same = "theirs kept"
        elif injected in BY_A_PERSON:
            told = " ".join(world.comments(NAME))
            called = escalated.state.value == "escalated" and "`/drover rollback`" in told
            good = called and _tells_refusal(escalated) and row.state.value == "rolled-back" and fine
            same = f"{same}, once a person said `/drover rollback`"
        elif injected is Injected.REFUSED:
            nothing = len(world.writes) == written
            good = nothing and _tells_refusal(row) and row.state.value == "rolled-back" and same == "yes"
            same = "nothing was written" if good else same
        elif not plan.undo_on_failure:
            good = row.state.value == "escalated"
            same = "kept, as its playbook says"
        else:
            good = row.state.value == "rolled-back" and fine
            good = good and (injected is not Injected.REFUSED_LATER or _tells_refusal(row))
        actions = tuple(step.action for step in plan.steps)
        took = time.monotonic() - began
        ended = escalated.state.value if injected in BY_A_PERSON else row.state.value
        outcome = escalated.outcome if injected in BY_A_PERSON else row.outcome
        return Result(scenario, injected, plan.playbook, actions, plan.undo.value, ended, same, outcome, good, took)


def _after_the_last_plan(world: World, before: Mapping[str, Json], plan: Plan) -> tuple[str, bool]:
    """What is put back in Rancher reaches the nodes with their next plan: it is given some minutes of the simulated time."""
    last = time.monotonic() + 3.0
    while True:
        same, fine = compared(before, portrait(world), plan)
        if fine or time.monotonic() > last:
            return same, fine
        time.sleep(0.1)


def _planned(world: World) -> Incident:
    """The incident with its plan, or with the reason why there is none."""
    world.sweep()

    def understood() -> Incident | None:
        rows = [row for row in world.store.all(limit=10) if row.cluster_name == NAME]
        if not rows:
            world.sweep()
            return None
        row = rows[0]
        told = row.state.value in _WAITING and row.decision is not None
        return row if told and (row.plan is None or (world.issue_of(NAME) and world.digest(NAME))) else None

    row: Incident = world.wait(understood, "a plan or an explanation", within=_FIRST_LOOK)
    return row


def _unplanned(scenario: str, injected: Injected, row: Incident, took: float) -> Result:
    found = (row.diagnosis or {}).get("findings") or [{}]
    why = (row.explanation or {}).get("why", "") or f"found {found[0].get('signature', 'nothing')}"
    playbook = str((row.explanation or {}).get("playbook", ""))
    return Result(scenario, injected, playbook, (), "", "no plan", "", why, good=False, took=took)


def approve(world: World) -> None:
    """As many people as the policy asks for, of the role that it asks for."""
    decision = world.incident(NAME).decision or {}
    people = {"write": ["maria"], "maintain": ["jan"], "admin": list(ADMINS)}[decision.get("role", "write")]
    for person in people[: decision.get("count", 1)]:
        world.approve(NAME, by=person)


def _tells_refusal(row: Incident) -> bool:
    """Do people read why, in the words of who refused?"""
    return any(words in row.outcome for words in _REFUSALS)


def _refuse(world: World, injected: Injected) -> None:
    """What stands in the way before the first write is made."""
    write, *later = _writes(world)
    if injected is Injected.REFUSED:
        world.fleet.faults.add("deny", **_webhook(write))
    elif injected is Injected.REFUSED_LATER:
        # One no: what was written before can be put back.
        world.fleet.faults.add("deny", skip=1, count=1, **_webhook(later[0]))
    elif injected is Injected.DISEMPOWERED:
        place, verb = write.place, "patch" if write.place.path else "create"
        words = right_taken_away(
            "user-admin", verb, place.resource.plural, place.resource.group, place.namespace, place.name
        )
        world.fleet.faults.add("deny", skip=1, **words)


def _roll_back_by_hand(world: World, patience: float) -> None:
    world.wait(lambda: "/drover rollback" in " ".join(world.comments(NAME)), "the call for a person", within=patience)
    world.fleet.faults.clear()
    world.comment(NAME, "/drover rollback", by="anna")
    world.until(NAME, "rolled-back", within=patience)


def _webhook(write: Change) -> Json:
    resource = write.place.resource
    return refused_by_webhook(
        f"rancher.cattle.io.{resource.plural}.{resource.group or 'core'}", "changes are frozen until the audit is over"
    )


def _writes(world: World) -> list[Change]:
    plan = Plan.from_json(world.incident(NAME).plan or {})
    return [each for step in plan.steps for each in step.writes if not isinstance(each, Call)]


def _inject(world: World, injected: Injected, patience: float) -> None:
    if injected is Injected.AWAY:
        world.until(NAME, "remediating", "verifying", *_OVER, within=patience)
        world.fleet.faults.add("drop", path="^/(k8s|v3)/")
        retries = world.app.parts.ranchers["default"].transport.counters  # type: ignore[union-attr]
        world.wait(lambda: retries.retries > 3 or world.state(NAME) in _OVER, "some failures", within=patience)
        world.fleet.faults.clear()
    elif injected in {Injected.EDITED, Injected.COLLIDES}:
        world.until(NAME, "verifying", *_OVER, within=patience)
        _edit(world, same=injected is Injected.COLLIDES)
    elif injected is Injected.REFUSED_UNDO:
        world.until(NAME, "verifying", *_OVER, within=patience)
        world.fleet.faults.add("deny", **_webhook(_writes(world)[0]))


def _edit(world: World, *, same: bool) -> None:
    """Another hand writes into the object that the plan wrote to: beside our field, or into it."""
    write = _writes(world)[0]
    cluster = world.sim(NAME)
    store = cluster.downstream if write.downstream else world.fleet.local
    resource = store.find(write.place.resource.group, write.place.resource.version, write.place.resource.plural)
    body: Json = {"metadata": {"labels": {"somebody": "else"}}}
    if same and write.place.path:
        body = {}
        inner = body
        for part in write.place.path[:-1]:
            inner = inner.setdefault(part, {})
        inner[write.place.path[-1]] = "theirs"
    key = (write.place.namespace if resource.namespaced else "", write.place.name)
    store.patch(resource, key, "application/merge-patch+json", body, manager="somebody-else")


# -- what is compared ----------------------------------------------------------------------------------------------------

_LOCAL = (
    resource_of("provisioning.cattle.io/v1", "Cluster"),
    resource_of("management.cattle.io/v3", "Cluster"),
    resource_of("cluster.x-k8s.io/v1beta1", "MachineDeployment"),
)
_INSIDE = tuple(
    resource_of(version, kind)
    for version, kind in (
        ("apps/v1", "DaemonSet"),
        ("v1", "ConfigMap"),
        ("v1", "Node"),
        ("batch/v1", "Job"),
        ("rbac.authorization.k8s.io/v1", "ClusterRole"),
        ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
        ("helm.cattle.io/v1", "HelmChartConfig"),
    )
)
_ON_NODES = "on the nodes of"


def portrait(world: World) -> dict[str, Json]:
    """What a plan could change, by kind and name, without what servers and controllers keep there for themselves."""
    cluster = world.sim(NAME)
    found: dict[str, Json] = {}
    strategy = {"upgradeStrategy": None}
    with world.fleet.lock:
        for resource in _LOCAL:
            for item in world.fleet.local.objects(resource):
                if cluster.name in str(item["metadata"]["name"]) or item["metadata"]["name"] == cluster.id:
                    found[f"{resource.group} {resource.kind} {item['metadata']['name']}"] = _bare(item)
        for resource in _INSIDE:
            for item in cluster.downstream.objects(resource):
                found[f"{resource.kind} {item['metadata']['name']}"] = _bare(item)
        # What is put back in Rancher and never reaches the machines is not put back. How they are drained is no part of their plans.
        ran = cluster.delivered
        found[f"{_ON_NODES} {cluster.name}"] = {**ran, "rkeConfig": {**(ran.get("rkeConfig") or {}), **strategy}}
    return found


def _bare(item: Json) -> Json:
    metadata = item["metadata"]
    kept = {key: value for key, value in item.items() if key not in {"metadata", "status", "apiVersion", "kind"}}
    if item["kind"] == "Job":
        # Whoever made it makes it anew; its pods' names and its selector differ from life to life.
        return {}
    if item["kind"] == "Node":
        # Where it stands is the controllers' affair; which taints people and the cloud gave it is not.
        taints = [t for t in kept["spec"].get("taints") or [] if not t["key"].startswith("node.kubernetes.io/")]
        return {"podCIDRs": kept["spec"].get("podCIDRs"), "taints": taints}
    # `somebody` is the hand beside us; provider.cattle.io and the like are Rancher's own, learned from a cluster that connected.
    labels = {
        key: value
        for key, value in (metadata.get("labels") or {}).items()
        if key != "somebody" and not key.endswith("cattle.io")
    }
    annotations = {
        key: value
        for key, value in (metadata.get("annotations") or {}).items()
        if key != "deprecated.daemonset.template.generation"
    }
    return kept | {"labels": labels, "annotations": annotations}


def compared(before: Mapping[str, Json], after: Mapping[str, Json], plan: Plan) -> tuple[str, bool]:
    """In words, and whether it is as it has to be: equal where the undo is exact, else different only where that is declared."""
    different = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    if not different:
        return "yes", True
    stays = {
        (write.place.resource.plural, write.place.name)
        for step in plan.steps
        for write in step.writes
        if not isinstance(write, Call) and write.stays
    }
    names = {name for _, name in stays}
    # A deleted machine does not come back: its pool makes another, whose node has a name that nobody could foresee.
    gone = [each for each in before.keys() - after.keys() if each.startswith("Node ") and each.split()[-1] in names]
    successors = [each for each in after.keys() - before.keys() if each.startswith("Node ")][: len(gone)]
    names.update(each.split()[-1] for each in successors)
    undeclared = [each for each in different if each.split()[-1] not in names]
    if undeclared:
        return f"NO: {', '.join(undeclared)}", False
    kinds = sorted({each.split()[-2] for each in different if not each.startswith(_ON_NODES)})
    return f"as declared ({', '.join(kinds)} stay)", True


def main() -> None:
    """Run single drills by hand: `python -m tests.scenarios.drill <scenario> [injected]`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("scenario", nargs="+")
    parser.add_argument("--injected", type=Injected, default=Injected.NOTHING, choices=list(Injected))
    given = parser.parse_args()
    for scenario in given.scenario:
        print(line(drill(scenario, given.injected)), flush=True)
    sys.exit(0)


def line(result: Result) -> str:
    mark = "ok  " if result.good else "BAD "
    return (
        f"{mark} {result.took:5.1f}s {result.scenario} | {result.injected} | {result.playbook}"
        f" [{', '.join(result.actions)}] {result.undo} | {result.ended} | {result.same} | {result.text[:300]}"
    )


if __name__ == "__main__":
    main()
