"""What do those say that the network needs or that need it: kube-proxy, Rancher's agent, DNS, the controller that gives out pod ranges?"""

from collections.abc import Iterator, Mapping
from typing import Any

from rancher_ext.bundle.origin import workload_of_pod
from rancher_ext.evidence.collect import Collector, Item
from rancher_ext.evidence.collectors._pods import (
    AGENT_NAMESPACE,
    is_well,
    logs_of,
    name_of,
    pods_of,
    worst_first,
)
from rancher_ext.evidence.reach import Reach, Side

# How many pods of each. RKE1 runs kube-proxy and the controllers as host containers: there is no pod to ask.
_PODS = {
    "kube-proxy": 3,
    "cluster-agent": 2,
    "kube-controller-manager": 3,
    "cloud-controller-manager": 2,
    "calico-kube-controllers": 1,
    "coredns": 2,
}
# Their words only matter while they are not well.
_ONLY_ILL = {"coredns", "calico-kube-controllers"}


def run(reach: Reach) -> Iterator[Item]:
    pods = []
    for namespace in ("kube-system", AGENT_NAMESPACE):
        with reach.tolerating():
            pods += pods_of(reach, namespace)
    taken: dict[str, int] = {}
    chosen = []
    for pod in worst_first(pods):
        workload = _workload(pod)
        if taken.get(workload, 0) < _PODS.get(workload, 0) and not (workload in _ONLY_ILL and is_well(pod)):
            taken[workload] = taken.get(workload, 0) + 1
            chosen.append(pod)
    if not chosen:
        reach.remark("no such pod has run")
    yield from logs_of(reach, chosen)


def _workload(pod: Mapping[str, Any]) -> str:
    return workload_of_pod(name_of(pod)) or ""


COLLECTOR = Collector("system_logs", Side.DOWNSTREAM, run)
