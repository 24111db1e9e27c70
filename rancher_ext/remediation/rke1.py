"""May the configuration of this RKE1 cluster be edited, and what does it say?

RKE1 is managed until Rancher 2.11. Its whole configuration lives in the management cluster's
`spec.rancherKubernetesEngineConfig`, and any change of it makes Rancher run `rke up`. Writes go through the raw proxy to the
`local` cluster: Norman's PUT has no lock and replaces string maps and lists as a whole.
"""

from collections.abc import Mapping
from typing import Any

from rancher_ext.client.changes import Place, Value
from rancher_ext.client.kubernetes import MANAGEMENT_CLUSTERS
from rancher_ext.fleet.cluster import Distribution, Management
from rancher_ext.fleet.parse import mapping, text
from rancher_ext.fleet.snapshot import ClusterSnapshot
from rancher_ext.remediation.action import NotPossible
from rancher_ext.remediation.change import Change, Target

CONFIG = ("spec", "rancherKubernetesEngineConfig")

Json = Mapping[str, Any]


def is_rke1(snapshot: ClusterSnapshot) -> bool:
    """Did this Rancher make it, with RKE1?"""
    return snapshot.distribution is Distribution.RKE1 and snapshot.management is Management.PROVISIONED


def cluster_object(target: Target) -> dict[str, Any] | NotPossible:
    """The management cluster of an RKE1 cluster that this Rancher made."""
    if not is_rke1(target.snapshot):
        return NotPossible("it is not an RKE1 cluster made by this Rancher")
    if target.snapshot.deleting:
        return NotPossible("it is being deleted")
    return target.local.get(MANAGEMENT_CLUSTERS, target.snapshot.identity.id)


def editable_cluster(target: Target) -> dict[str, Any] | NotPossible:
    """As `cluster_object`, where its configuration is its own: a template's fields cannot be edited in the cluster."""
    item = cluster_object(target)
    if isinstance(item, NotPossible):
        return item
    if mapping(item, "spec").get("clusterTemplateRevisionId"):
        return NotPossible(
            "it follows a cluster template, and Rancher refuses edits of template fields: change the template"
        )
    return item


def config_change(item: Json, path: tuple[str, ...], after: Value) -> Change:
    """One field below `rancherKubernetesEngineConfig` (or any other path from the object's root) to another value."""
    metadata = mapping(item, "metadata")
    place = Place(MANAGEMENT_CLUSTERS, "", text(metadata.get("name")), path)
    return Change(place, text(metadata.get("uid")), Value.of(item, path), after)


def nodes_of(snapshot: ClusterSnapshot) -> str:
    """How many nodes a change of all of them concerns, in words."""
    count = snapshot.node_count or len(snapshot.nodes) or len(snapshot.machines)
    return "1 node" if count == 1 else f"{count} nodes"
