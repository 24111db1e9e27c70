"""Do the workloads that make a network exist, and in which state are their pods?

DaemonSets and Deployments as a whole, every pod in the listing, and as objects the pods of the network and those that are
not well: thousands of healthy pods would tell the same a thousand times.
"""

from collections.abc import Iterator

from rancher_ext.evidence.collect import Collector, Item, object_path
from rancher_ext.evidence.collectors._pods import (
    AGENT_NAMESPACE,
    NETWORK_NAMESPACES,
    is_cni_pod,
    is_well,
    name_of,
    namespace_of,
    pods_of,
    worst_first,
)
from rancher_ext.evidence.kinds import DAEMON_SET, DEPLOYMENT, POD, Object
from rancher_ext.evidence.reach import Reach, Side
from rancher_ext.evidence.render import pod_table

_NAMESPACES = (*NETWORK_NAMESPACES, AGENT_NAMESPACE)
# Objects of pods that are neither the network's nor well: enough to see a pattern.
_OTHER_ILL_PODS = 100


def run(reach: Reach) -> Iterator[Item]:
    found = 0
    for kind in (DAEMON_SET, DEPLOYMENT):
        for namespace in _NAMESPACES:
            with reach.tolerating():
                for item in reach.objects(Side.DOWNSTREAM, kind, namespace):
                    found += kind is DAEMON_SET
                    yield object_path(Side.DOWNSTREAM, kind, item), item
    if not found and not reach.notes.problems:
        # An empty list proves absence; no file at all would only mean that nobody looked.
        yield (
            f"objects/downstream/{DAEMON_SET.resource.plural}/_/_none.json",
            {
                "apiVersion": "apps/v1",
                "kind": "DaemonSetList",
                "items": [],
            },
        )
    pods: list[Object] = []
    for namespace in _NAMESPACES:
        with reach.tolerating():
            pods += pods_of(reach, namespace)
    if pods:
        ordered = sorted(pods, key=lambda pod: (namespace_of(pod), name_of(pod)))
        yield "pods.txt", pod_table(ordered, reach.now)
    others = 0
    for pod in worst_first(pods):
        if not is_cni_pod(reach, pod):
            others += 1
            if is_well(pod) or others > _OTHER_ILL_PODS:
                continue
        yield object_path(Side.DOWNSTREAM, POD, pod), pod


COLLECTOR = Collector("cni_workloads", Side.DOWNSTREAM, run)
