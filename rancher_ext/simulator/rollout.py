"""Which pods does a write to a workload replace, and what else can be seen of what clients did?

A changed template under the strategy RollingUpdate makes the DaemonSet controller replace its pods (`kubectl rollout restart`
changes an annotation there); under OnDelete nothing happens until somebody deletes them. Simplified: all are replaced at
once, not one after the other; a pod whose kubelet is gone stays as it is. A Job that somebody deletes is made again by
whoever made it first (the helm controller, Rancher) and runs anew.
"""

from typing import Any

from rancher_ext.simulator.paging import Key
from rancher_ext.simulator.records import Written
from rancher_ext.simulator.resources import resource_of
from rancher_ext.simulator.store import Store

Json = dict[str, Any]

POD = resource_of("v1", "Pod")
_NODE = resource_of("v1", "Node")
_UNINITIALIZED = "node.cloudprovider.kubernetes.io/uninitialized"


def is_rollout(written: Written) -> bool:
    spec, before = written.obj.get("spec") or {}, (written.previous or {}).get("spec") or {}
    strategy = (spec.get("updateStrategy") or {}).get("type") or "RollingUpdate"
    return strategy == "RollingUpdate" and spec.get("template") != before.get("template")


def pods_of(store: Store, kind: str, key: Key) -> list[str]:
    """The names of a workload's pods that somebody is there to end."""
    namespace, name = key
    return [
        pod["metadata"]["name"]
        for pod in store.objects(POD, namespace)
        if any((o.get("kind"), o.get("name")) == (kind, name) for o in pod["metadata"].get("ownerReferences") or [])
        and not (store.lingers and store.lingers(POD, pod))
    ]


def has_objects(store: Store, wanted: tuple[str, ...]) -> bool:
    """Is each of them there? They are named `Kind name`."""
    there = {
        f"{each['kind']} {each['metadata']['name']}"
        for resource in store.resources.values()
        if any(name.startswith(resource.kind + " ") for name in wanted)
        for each in store.objects(resource)
    }
    return there.issuperset(wanted)


def node_deeds(store: Store) -> set[str]:
    """What is true of all nodes after a client wrote to one: `ranges-given`, `taints-gone`."""
    specs = [each.get("spec") or {} for each in store.objects(_NODE)]
    found = {"ranges-given"} if all(spec.get("podCIDR") for spec in specs) else set()
    tainted = any(taint.get("key") == _UNINITIALIZED for spec in specs for taint in spec.get("taints") or [])
    return found if tainted else found | {"taints-gone"}
