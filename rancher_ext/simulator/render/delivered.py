"""What becomes of objects that a client brought into a cluster: by `additionalManifest`, or a DaemonSet of its own?

The text of `additionalManifest` lies as a file on the control plane nodes, and they apply it themselves, whether or not Rancher
reaches the cluster. What leaves the text is deleted with it. A DaemonSet gets a pod on every Linux node whose kubelet lives,
ready after a few seconds; taints are not looked at, and its pods themselves are not shown.
"""

from typing import Any

import yaml

from rancher_ext.simulator.clock import rfc3339
from rancher_ext.simulator.cluster import DAEMON_SET, SimCluster
from rancher_ext.simulator.paging import Key
from rancher_ext.simulator.render.objects import Rendering
from rancher_ext.simulator.resources import Resource, resource_of
from rancher_ext.simulator.store import Store
from rancher_ext.simulator.strategy import established
from rancher_ext.simulator.triggers import at_path

Json = dict[str, Any]

STARTS_AFTER = 8.0


def render_manifest(cluster: SimCluster, out: Rendering) -> None:
    """The documents of `additionalManifest` that the control plane nodes have got."""
    written = at_path(cluster.delivered, "rkeConfig.additionalManifest")
    if not isinstance(written, str) or not written.strip() or not cluster.counts.checked_in:
        return
    for document in yaml.safe_load_all(written):
        if not isinstance(document, dict):
            continue
        resource = _served(document)
        metadata = document.get("metadata") or {}
        key = (metadata.get("namespace", "") if resource and resource.namespaced else "", str(metadata.get("name")))
        if resource is None or (resource, key) in out.seen:
            continue
        content = {name: value for name, value in document.items() if name not in {"apiVersion", "kind", "metadata"}}
        if resource.kind == "CustomResourceDefinition":
            content["status"] = established(document | {"status": {"storedVersions": ["v1"]}}, rfc3339(cluster.now))
        elif resource is DAEMON_SET:
            content["status"] = _status(cluster, cluster.now - STARTS_AFTER)
        out.add(
            document["apiVersion"],
            resource.kind,
            key[1],
            key[0],
            created=cluster.now,
            labels=metadata.get("labels"),
            annotations=metadata.get("annotations"),
            manager="deploy@" + cluster.identity.first.node,
            **content,
        )
        if resource is DAEMON_SET:
            cluster.did(f"ran {key[1]}")
    cluster.look_again()


def run_daemon_sets(cluster: SimCluster, store: Store, rendered: set[tuple[Resource, Key]]) -> None:
    """DaemonSets that a client made itself."""
    for item in store.objects(DAEMON_SET):
        key = (item["metadata"]["namespace"], item["metadata"]["name"])
        if (DAEMON_SET, key) in rendered or "deletionTimestamp" in item["metadata"]:
            continue
        made = cluster.made.setdefault(item["metadata"]["uid"], cluster.now)
        status = _status(cluster, made)
        store.put(DAEMON_SET, {**item, "status": status}, manager="kube-controller-manager")
        if status["numberReady"]:
            cluster.did(f"ran {key[1]}")


def _served(document: Json) -> Resource | None:
    try:
        return resource_of(str(document.get("apiVersion")), str(document.get("kind")))
    except KeyError:
        return None


def _status(cluster: SimCluster, made: float) -> Json:
    machines = [m for m in cluster.identity.machines if m.place < cluster.counts.nodes and m.os == "linux"]
    alive = [m for m in machines if not cluster.kubelet_is_gone(m.node)]
    ready = len(alive) if cluster.now >= made + STARTS_AFTER else 0
    return {
        "currentNumberScheduled": len(machines),
        "desiredNumberScheduled": len(machines),
        "numberAvailable": ready,
        "numberMisscheduled": 0,
        "numberReady": ready,
        "numberUnavailable": len(machines) - ready,
        "observedGeneration": 1,
        "updatedNumberScheduled": len(machines),
    }
