"""What exactly is written, how do we know that it is there, and how is it taken back?

A change is data: it stands in the plan, in the digest that a person approves, in the pre-image and in the audit record. There
are two kinds. A `Change` gives one field, or a whole object, another value. A `Call` runs an action that only Rancher's own API
has; it changes no object of which a value could be kept, so it may be run twice and cannot be taken back.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rancher_ext.client.changes import (
    ABSENT,
    FieldMoved,
    Place,
    Value,
    contains,
    create_object,
    delete_object,
    merge,
    set_field,
)
from rancher_ext.client.kubernetes import KubernetesApi, Resource
from rancher_ext.client.norman import Norman
from rancher_ext.client.transport import Transport
from rancher_ext.errors import NotFound
from rancher_ext.fleet.snapshot import ClusterSnapshot


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
class StepResult:
    """What happened. `wrote` is False when everything was already as it should be (a repeated step)."""

    wrote: bool
    seen: str
    resource_version: str = ""


@dataclass(frozen=True)
class Change:
    """One field from one value to another, or one object that is made or deleted (`place.path` is empty then).

    `uid` is that of the object, empty for one that is to be made. `downstream` tells on which side it lives. What `stays` is
    left by an undo: a CRD with data in it, a pod that its controller makes anew.
    """

    place: Place
    uid: str
    before: Value
    after: Value
    downstream: bool = False
    stays: bool = False

    def __str__(self) -> str:
        return str(self.place)

    def to_json(self) -> dict[str, Any]:
        resource = self.place.resource
        return {
            "resource": [resource.group, resource.version, resource.plural, resource.namespaced],
            "namespace": self.place.namespace,
            "name": self.place.name,
            "path": list(self.place.path),
            "uid": self.uid,
            "before": self.before.to_json(),
            "after": self.after.to_json(),
            "downstream": self.downstream,
            "stays": self.stays,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Change":
        return cls(
            place=Place(Resource(*raw["resource"]), raw["namespace"], raw["name"], tuple(raw["path"])),
            uid=raw["uid"],
            before=Value.from_json(raw["before"]),
            after=Value.from_json(raw["after"]),
            # A plan of an older Drover knows neither.
            downstream=raw.get("downstream", False),
            stays=raw.get("stays", False),
        )

    def covered(self) -> list[Any]:
        """What the plan's digest is made of."""
        side = ["downstream"] if self.downstream else []
        return [str(self.place), self.uid, self.before.to_json(), self.after.to_json(), *side]


@dataclass(frozen=True)
class Call:
    """An action of Rancher's own API (Norman): on one object, such as `backupEtcd` of a cluster, or on a whole kind.

    `name` is empty for the latter: `refresh` of `kontainerDriver` has no object of its own.
    """

    kind: str
    name: str
    action: str
    body: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}: {self.action}" if self.name else f"{self.kind}: {self.action}"

    def to_json(self) -> dict[str, Any]:
        return {"call": self.action, "kind": self.kind, "name": self.name, "body": dict(self.body)}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Call":
        return cls(raw["kind"], raw["name"], raw["call"], raw["body"])

    def covered(self) -> list[Any]:
        return [str(self), dict(self.body)]


Write = Change | Call


def write_from_json(raw: Mapping[str, Any]) -> Write:
    return Call.from_json(raw) if "call" in raw else Change.from_json(raw)


def apply(target: Target, write: Write, *, dry_run: bool = False) -> StepResult:
    """Write it, unless it is there already. Raises FieldMoved when the place is neither as before nor as wanted.

    With `dry_run` the server checks and stores nothing; a call is not made then.
    """
    if isinstance(write, Call):
        if dry_run:
            return StepResult(wrote=False, seen=f"{write}: not asked")
        norman = Norman(target.transport)
        if write.name:
            norman.action(write.kind, write.name, write.action, write.body)
        else:
            norman.collection_action(write.kind, write.action, write.body)
        return StepResult(wrote=True, seen=f"{write}: asked for")
    api = _side(target, write)
    if write.place.path:
        replaced = set_field(api, write.place, write.after, expected=write.before, uid=write.uid, dry_run=dry_run)
        seen = "written" if replaced.wrote else "it already had this value"
        return StepResult(replaced.wrote, f"{write.place}: {seen}", replaced.resource_version)
    if write.after.present:
        version = create_object(api, write.place, write.after.value, dry_run=dry_run)
        return StepResult(bool(version), f"{write.place}: {'made' if version else 'it was there already'}", version)
    deleted = delete_object(api, write.place, write.uid, dry_run=dry_run)
    return StepResult(deleted, f"{write.place}: {'deleted' if deleted else 'it was gone already'}")


def take_back(target: Target, write: Write) -> StepResult:
    """Put the earlier value back, keeping what others changed beside it; FieldMoved where theirs and ours collide."""
    if isinstance(write, Call):
        return StepResult(wrote=False, seen=f"{write}: cannot be taken back")
    if write.stays:
        return StepResult(wrote=False, seen=f"{write.place}: stays as it is")
    api = _side(target, write)
    if write.place.path:
        try:
            replaced = set_field(api, write.place, write.before, expected=write.after, uid=write.uid, keep_others=True)
        except NotFound:
            # With the object everything of ours is gone, and the other writes still have to be taken back.
            return StepResult(wrote=False, seen=f"{write.place}: the object is gone")
        seen = "put back" if replaced.wrote else "it already had its earlier value"
        return StepResult(replaced.wrote, f"{write.place}: {seen}", replaced.resource_version)
    if write.before.present:
        version = create_object(api, write.place, write.before.value)
        return StepResult(bool(version), f"{write.place}: {'made again' if version else 'it is there'}", version)
    try:
        found = api.get(write.place.resource, write.place.name, write.place.namespace)
    except NotFound:
        return StepResult(wrote=False, seen=f"{write.place}: it was gone already")
    if not contains(found, write.after.value):
        raise FieldMoved(
            f"{write.place} is not as Drover made it",
            cure="Somebody changed it meanwhile. Drover leaves it as it is; delete it by hand if nobody needs it.",
            status=409,
        )
    delete_object(api, write.place, str(found["metadata"]["uid"]))
    return StepResult(wrote=True, seen=f"{write.place}: deleted again")


def is_applied(target: Target, write: Write) -> bool:
    """Is there nothing left to write? Reads only."""
    if isinstance(write, Call):
        return False
    now, uid = _now(target, write)
    if write.place.path:
        return now == write.after
    if write.after.present:
        return now.present and contains(now.value, write.after.value)
    # One that was made anew under the same name is another one: ours is gone.
    return not now.present or uid != write.uid


def is_back(target: Target, write: Write) -> bool:
    """Has the place its earlier value again, read back and not concluded? Where an undo leaves things, that is as declared."""
    if isinstance(write, Call) or write.stays:
        return True
    now, uid = _now(target, write)
    if write.place.path:
        if not uid or _is_undone(write.before, write.after, now):
            return True
        # What others changed beside ours meanwhile is theirs to keep.
        return now == write.before or (now != write.after and merge(write.after, now, write.before) == now)
    if write.before.present:
        return now.present and contains(now.value, write.before.value)
    return not now.present


def _is_undone(before: Value, after: Value, now: Value) -> bool:
    """In a list of objects, such as a node's taints: has it again what we took, and nothing that we put in?

    The rest of the list, and its order, are others' work.
    """
    lists = [value.value if value.present else [] for value in (before, after, now)]
    if not all(isinstance(each, list) for each in lists) or not any(isinstance(item, Mapping) for item in lists[0]):
        return False
    old, new, found = ([Value(present=True, value=item) for item in each] for each in lists)
    taken, put_in = [item for item in old if item not in new], [item for item in new if item not in old]
    return all(item in found for item in taken) and not any(item in found for item in put_in)


def manifest_of(item: Mapping[str, Any]) -> dict[str, Any]:
    """An object without what only the server may write, so that it can be made again."""
    owned = {
        "resourceVersion",
        "uid",
        "creationTimestamp",
        "generation",
        "managedFields",
        "selfLink",
        "deletionTimestamp",
    }
    metadata = {key: value for key, value in (item.get("metadata") or {}).items() if key not in owned}
    return {key: value for key, value in item.items() if key not in {"metadata", "status"}} | {"metadata": metadata}


def _side(target: Target, write: Change) -> KubernetesApi:
    return target.downstream if write.downstream else target.local


def _now(target: Target, write: Change) -> tuple[Value, str]:
    """The present value, and the uid of the object that has it."""
    try:
        item = _side(target, write).get(write.place.resource, write.place.name, write.place.namespace)
    except NotFound:
        return ABSENT, ""
    return Value.of(item, write.place.path), str((item.get("metadata") or {}).get("uid") or "")
