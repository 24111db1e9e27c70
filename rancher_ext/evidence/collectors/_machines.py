"""Which machines does this cluster have, and what in the workspace belongs to them?"""

from collections.abc import Mapping
from typing import Any

from rancher_ext.evidence.kinds import MACHINE, Kind, Object, infrastructure_kind
from rancher_ext.evidence.reach import Reach, Side
from rancher_ext.fleet.cluster import Distribution, Management
from rancher_ext.fleet.parse import mapping, text
from rancher_ext.fleet.snapshot import ClusterSnapshot

CLUSTER_LABEL = "cluster.x-k8s.io/cluster-name"


def has_capi_machines(snapshot: ClusterSnapshot) -> bool:
    return snapshot.management is Management.PROVISIONED and snapshot.distribution is not Distribution.RKE1


def machines(reach: Reach) -> list[Object]:
    identity = reach.snapshot.identity
    return reach.objects(Side.MANAGEMENT, MACHINE, identity.namespace, labels=f"{CLUSTER_LABEL}={identity.name}")


def infrastructure_of(machine: Mapping[str, Any]) -> tuple[Kind, str] | None:
    """Kind and name of the object that stands for the machine's server."""
    reference = mapping(machine, "spec", "infrastructureRef")
    kind, name = infrastructure_kind(reference), text(reference.get("name"))
    return (kind, name) if kind and name else None


def names_of(machine: Mapping[str, Any]) -> set[str]:
    """Every name that objects about this machine go by: its own, its server's, its bootstrap's, its node's."""
    return {
        text(mapping(machine, *path).get("name"))
        for path in (
            ("metadata",),
            ("spec", "infrastructureRef"),
            ("spec", "bootstrap", "configRef"),
            ("status", "nodeRef"),
        )
    } - {""}
