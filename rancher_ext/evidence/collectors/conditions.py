"""What does Rancher itself say about the cluster? Its objects and every condition with its message."""

from collections.abc import Iterator, Mapping
from typing import Any

from rancher_ext.evidence.collect import Collector, Item, object_path
from rancher_ext.evidence.kinds import CONTROL_PLANE, MANAGEMENT_CLUSTER, PROVISIONING_CLUSTER
from rancher_ext.evidence.reach import Reach, Side
from rancher_ext.evidence.render import condition_rows, mappings
from rancher_ext.fleet.cluster import Distribution, Management
from rancher_ext.fleet.parse import mapping, text


def run(reach: Reach) -> Iterator[Item]:
    identity = reach.snapshot.identity
    management = None
    with reach.tolerating():
        management = reach.one(Side.MANAGEMENT, MANAGEMENT_CLUSTER, identity.id)
        if management is None:
            reach.problem(f"Rancher has no cluster {identity.id} any more")
    if management:
        yield object_path(Side.MANAGEMENT, MANAGEMENT_CLUSTER, management), management
    made_by_planner = identity.management is Management.PROVISIONED and identity.distribution is not Distribution.RKE1
    # RKE1 and older imported clusters have a mirror in the workspace that bears the management id.
    provisioning = None
    for name in dict.fromkeys((identity.name, identity.id)):
        with reach.tolerating():
            provisioning = provisioning or reach.one(Side.MANAGEMENT, PROVISIONING_CLUSTER, name, identity.namespace)
    if provisioning:
        yield object_path(Side.MANAGEMENT, PROVISIONING_CLUSTER, provisioning), provisioning
    elif made_by_planner and not reach.notes.problems:
        reach.problem(f"Rancher has no provisioning cluster {identity.namespace}/{identity.name}")
    plane = None
    if made_by_planner:
        with reach.tolerating():
            plane = reach.one(Side.MANAGEMENT, CONTROL_PLANE, identity.name, identity.namespace)
    if plane:
        yield object_path(Side.MANAGEMENT, CONTROL_PLANE, plane), plane
    # The control plane's own words come first: they are the earliest and unmixed (rancher-api 1.1). Rancher copies conditions
    # from one object to the next; what says the same is shown once.
    shown: dict[tuple[str, ...], Mapping[str, Any]] = {}
    for item in (plane, provisioning, management):
        for condition in mappings(mapping(item or {}, "status").get("conditions")):
            said = tuple(text(condition.get(key)) for key in ("type", "status", "reason", "message"))
            shown.setdefault(said, condition)
    if shown:
        yield "conditions.txt", condition_rows(f"cluster/{identity.name}", list(shown.values()))


COLLECTOR = Collector("conditions", Side.MANAGEMENT, run, timeout=30)
