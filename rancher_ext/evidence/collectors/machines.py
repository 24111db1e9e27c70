"""Are there machines, and what do they wait for? Cluster API's machines and their servers, RKE1's nodes."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from rancher_ext.evidence.collect import Collector, Item, object_path
from rancher_ext.evidence.collectors._machines import (
    CLUSTER_LABEL,
    has_capi_machines,
    infrastructure_of,
    machines,
)
from rancher_ext.evidence.kinds import MACHINE, MACHINE_DEPLOYMENT, MACHINE_HEALTH_CHECK, MANAGEMENT_NODE, Kind
from rancher_ext.evidence.reach import Reach, Side
from rancher_ext.evidence.render import condition_rows, mappings
from rancher_ext.fleet.parse import mapping, text

# Servers that the list by label did not bring are asked for one by one; more than these would tell nothing new.
_SINGLE_READS = 20
# A line per condition that does not hold: thousands of them would say the same.
_SHOWN_MACHINES = 300


def run(reach: Reach) -> Iterator[Item]:
    identity = reach.snapshot.identity
    rows = []
    if has_capi_machines(reach.snapshot):
        found = []
        with reach.tolerating():
            found = machines(reach)
        found.sort(key=_is_well)
        for machine in found:
            yield object_path(Side.MANAGEMENT, MACHINE, machine), machine
            rows.append(_rows(machine))
        yield from _servers(reach, found)
        for kind in (MACHINE_DEPLOYMENT, MACHINE_HEALTH_CHECK):
            with reach.tolerating():
                for item in reach.objects(
                    Side.MANAGEMENT, kind, identity.namespace, labels=f"{CLUSTER_LABEL}={identity.name}"
                ):
                    yield object_path(Side.MANAGEMENT, kind, item), item
    # RKE1's machines. For the others Rancher's copies of the nodes: stale, and all there is while the cluster is cut off.
    if reach.downstream is None or not has_capi_machines(reach.snapshot):
        with reach.tolerating():
            for node in sorted(reach.objects(Side.MANAGEMENT, MANAGEMENT_NODE, identity.id), key=_is_well):
                yield object_path(Side.MANAGEMENT, MANAGEMENT_NODE, node), node
                rows.append(_rows(node))
    shown = [row for row in rows if row]
    if len(shown) > _SHOWN_MACHINES:
        reach.remark(f"conditions.txt shows {_SHOWN_MACHINES} of {len(shown)} machines that are not well")
    if shown:
        yield "conditions.txt", "".join(shown[:_SHOWN_MACHINES])


def _servers(reach: Reach, found: list[dict[str, Any]]) -> Iterator[Item]:
    """The infrastructure machines. Not every kind carries the cluster's label, so what is missing is read by name."""
    namespace = reach.snapshot.identity.namespace
    wanted: dict[Kind, list[str]] = defaultdict(list)
    for machine in found:
        reference = infrastructure_of(machine)
        if reference:
            wanted[reference[0]].append(reference[1])
    for kind, names in wanted.items():
        with reach.tolerating():
            listed = {
                text(mapping(item, "metadata").get("name")): item
                for item in reach.objects(
                    Side.MANAGEMENT, kind, namespace, labels=f"{CLUSTER_LABEL}={reach.snapshot.identity.name}"
                )
            }
            missing = [name for name in names if name not in listed]
            for name in missing[:_SINGLE_READS]:
                item = reach.one(Side.MANAGEMENT, kind, name, namespace)
                if item:
                    listed[name] = item
            for name in names:
                if name in listed:
                    yield object_path(Side.MANAGEMENT, kind, listed[name]), listed[name]
            if len(missing) > _SINGLE_READS:
                reach.problem(f"{len(missing) - _SINGLE_READS} objects of kind {kind.name} were not read")


def _conditions(item: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    status = mapping(item, "status")
    # Cluster API v1beta2 (Rancher 2.14) keeps the familiar list under `deprecated`.
    return mappings(mapping(status, "deprecated", "v1beta1").get("conditions") or status.get("conditions"))


def _is_well(item: Mapping[str, Any]) -> bool:
    return all(condition.get("status") == "True" for condition in _conditions(item))


def _rows(item: Mapping[str, Any]) -> str:
    """What does not hold. A node's pressure conditions are False when all is well."""
    failing = [
        condition
        for condition in _conditions(item)
        if condition.get("status") != "True" and (condition.get("message") or condition.get("reason"))
        and not text(condition.get("type")).endswith("Pressure")
    ]  # fmt: skip
    return condition_rows(f"machine/{text(mapping(item, 'metadata').get('name'))}", failing)


COLLECTOR = Collector("machines", Side.MANAGEMENT, run, timeout=45)
