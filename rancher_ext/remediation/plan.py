"""What exactly would happen? A plan binds a playbook to one cluster, and its digest is what a person approves.

The digest covers the cluster's uid, the playbook and its version, the ordered changes and the values they replace. It is void
as soon as one of these differs; status, resourceVersion and untouched fields are not part of it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from rancher_ext.errors import Forbidden
from rancher_ext.fleet.snapshot import ClusterSnapshot
from rancher_ext.remediation.action import Action, NotNeeded, NotPossible, PlannedStep, Risk, UndoKind
from rancher_ext.remediation.change import Target
from rancher_ext.remediation.check import Caution, Check, Obstacle
from rancher_ext.remediation.checks import gather
from rancher_ext.remediation.playbook import Playbook, Variant

SHORT = 6
# The action that a destructive step needs before it, unless a fresh snapshot is there already.
SNAPSHOT = "take-etcd-snapshot"


@dataclass(frozen=True)
class Plan:
    """Exact steps with their risk, undo and proof. Times are policy time.

    `done` names the actions of the playbook that have nothing to do here, and why: they are no steps. `cautions` is what people
    should know before they approve.
    """

    cluster_uid: str
    playbook: str
    playbook_version: str
    title: str
    signature: str
    steps: tuple[PlannedStep, ...]
    risk: Risk
    undo: UndoKind
    proof: tuple[str, ...]
    within: timedelta
    soak: timedelta
    undo_on_failure: bool
    expected: timedelta
    done: tuple[tuple[str, str], ...] = ()
    cautions: tuple[str, ...] = ()

    @property
    def etcd_saved(self) -> bool:
        """Is a fresh etcd snapshot there before anything else is changed, or does the plan take one first?"""
        return self.steps[0].action == SNAPSHOT or any(action == SNAPSHOT for action, _ in self.done)

    @property
    def digest(self) -> str:
        covered = [
            self.cluster_uid,
            self.playbook,
            self.playbook_version,
            [[*_covered(step), step.diff] for step in self.steps],
        ]
        return hashlib.sha256(json.dumps(covered, sort_keys=True, default=str).encode()).hexdigest()

    @property
    def short(self) -> str:
        return self.digest[:SHORT]

    def to_json(self) -> dict[str, Any]:
        return {
            "digest": self.digest,
            "clusterUid": self.cluster_uid,
            "playbook": self.playbook,
            "playbookVersion": self.playbook_version,
            "title": self.title,
            "signature": self.signature,
            "steps": [step.to_json() for step in self.steps],
            "risk": self.risk.value,
            "undo": self.undo.value,
            "proof": list(self.proof),
            "withinSeconds": self.within.total_seconds(),
            "soakSeconds": self.soak.total_seconds(),
            "undoOnFailure": self.undo_on_failure,
            "expectedSeconds": self.expected.total_seconds(),
            "done": [list(each) for each in self.done],
            "cautions": list(self.cautions),
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Plan":
        return cls(
            cluster_uid=raw["clusterUid"],
            playbook=raw["playbook"],
            playbook_version=raw["playbookVersion"],
            title=raw["title"],
            signature=raw["signature"],
            steps=tuple(PlannedStep.from_json(step) for step in raw["steps"]),
            risk=Risk(raw["risk"]),
            undo=UndoKind(raw["undo"]),
            proof=tuple(raw["proof"]),
            within=timedelta(seconds=raw["withinSeconds"]),
            soak=timedelta(seconds=raw["soakSeconds"]),
            undo_on_failure=raw["undoOnFailure"],
            expected=timedelta(seconds=raw["expectedSeconds"]),
            # A plan of an older Drover knows no such actions.
            done=tuple((action, why) for action, why in raw.get("done", ())),
            cautions=tuple(raw.get("cautions", ())),
        )


@dataclass(frozen=True)
class Explanation:
    """Nothing that Drover may or can do here; the exact steps for a person instead."""

    playbook: str
    title: str
    why: str
    steps: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {"playbook": self.playbook, "title": self.title, "why": self.why, "steps": list(self.steps)}


def make_plan(
    playbook: Playbook,
    signature: str,
    target: Target,
    actions: Mapping[str, Action],
    checks: Mapping[str, Check] | None = None,
) -> Plan | Explanation:
    """Reads the cluster and plans. What cannot be planned, or runs into a trap, becomes an explanation that says why."""
    if checks is None:
        checks = gather()
    snapshot = target.snapshot
    fitting = playbook.variants_for(snapshot)
    if not fitting:
        return _explain(playbook, f"no variant of {playbook.id} fits {_named(snapshot)}")
    reasons: list[str] = []
    for variant in fitting:
        planned = _planned(variant, target, actions)
        if not isinstance(planned, NotPossible):
            planned = _checked(planned, target, checks)
        if not isinstance(planned, NotPossible):
            break
        reasons.append(planned.why)
    else:
        return _explain(playbook, "; ".join(dict.fromkeys(reasons)))
    steps, done, cautions = planned
    used = [actions[step.action] for step in steps]
    return Plan(
        cluster_uid=snapshot.identity.uid,
        playbook=playbook.id,
        playbook_version=playbook.version,
        title=playbook.title,
        signature=signature,
        steps=steps,
        risk=max((action.risk for action in used), key=lambda risk: risk.rank),
        undo=_weakest([action.undo for action in used]),
        proof=playbook.cure.proof,
        within=playbook.cure.within,
        soak=playbook.cure.soak,
        undo_on_failure=playbook.on_failure == "undo",
        expected=sum((action.expected for action in used), timedelta()),
        done=done,
        cautions=cautions,
    )


_Done = tuple[tuple[str, str], ...]
_Steps = tuple[tuple[PlannedStep, ...], _Done, tuple[str, ...]]


def _planned(variant: Variant, target: Target, actions: Mapping[str, Action]) -> _Steps | NotPossible:
    """Every step of a variant that has something to do, and those that have not; or why there is none.

    Where one step cannot be planned there are none: half a cure is no cure.
    """
    planned: list[PlannedStep] = []
    done: list[tuple[str, str]] = []
    for step in variant.steps:
        try:
            preview = actions[step.action].preview(target, step.arguments)
        except Forbidden as error:
            # Reading suffices for watching; who gave no more rights gets the steps for a person.
            return NotPossible(f"{step.action} needs a right that the token has not: {error.message}")
        if isinstance(preview, NotPossible):
            return preview
        if isinstance(preview, NotNeeded):
            done.append((step.action, preview.why))
        else:
            planned.append(preview)
    if not planned:
        return NotPossible("; ".join(why for _, why in done))
    return tuple(planned), tuple(done), ()


def _checked(planned: _Steps, target: Target, checks: Mapping[str, Check]) -> _Steps | NotPossible:
    """The same with what people should know, or the first trap that stands in the way."""
    steps, done, _ = planned
    cautions: list[str] = []
    for check in checks.values():
        try:
            answer = check.look(target, steps)
        except Forbidden as error:
            return NotPossible(f"the check {check.name} needs a right that the token has not: {error.message}")
        if isinstance(answer, Obstacle):
            return NotPossible(str(answer))
        if isinstance(answer, Caution):
            cautions.append(answer.text)
    return steps, done, tuple(cautions)


def _covered(step: PlannedStep) -> list[Any]:
    # One write stands flat, as it always did: an approval outlives an upgrade of Drover.
    writes = [write.covered() for write in step.writes]
    return writes[0] if len(writes) == 1 else writes


def _weakest(kinds: Sequence[UndoKind]) -> UndoKind:
    order = [UndoKind.EXACT, UndoKind.COMPENSATING, UndoKind.NONE]
    return max(kinds, key=order.index)


def _explain(playbook: Playbook, why: str) -> Explanation:
    return Explanation(playbook=playbook.id, title=playbook.title, why=why, steps=playbook.explain)


def _named(snapshot: ClusterSnapshot) -> str:
    rancher = f"Rancher {snapshot.rancher}" if snapshot.rancher else "this Rancher version"
    return f"{snapshot.distribution} {snapshot.kubernetes or ''}".strip() + f" under {rancher}"
