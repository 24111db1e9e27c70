"""What do the containers of the network plugin say, now and before their last restart?"""

from collections.abc import Iterator

from rancher_ext.evidence.collect import Collector, Item
from rancher_ext.evidence.collectors._pods import is_cni_pod, logs_of, network_pods, selected
from rancher_ext.evidence.reach import Reach, Side


def run(reach: Reach) -> Iterator[Item]:
    pods = [pod for pod in network_pods(reach) if is_cni_pod(reach, pod)]
    if not pods:
        reach.remark("no pod of a network plugin was found")
        return
    yield from logs_of(reach, selected(reach, pods, reach.caps.pods_per_workload, "logs of the network plugin"))


COLLECTOR = Collector("cni_logs", Side.DOWNSTREAM, run)
