"""How is the network configured? The ConfigMaps that Flannel and Canal read."""

from collections.abc import Iterator

from rancher_ext.evidence.collect import Collector, Item, object_path
from rancher_ext.evidence.kinds import CONFIG_MAP
from rancher_ext.evidence.reach import Reach, Side

# RKE1 canal and flannel, RKE2 canal and flannel, upstream's manifest (imported clusters).
_CONFIG_MAPS = (
    ("kube-system", "canal-config"),
    ("kube-system", "rke2-canal-config"),
    ("kube-system", "kube-flannel-cfg"),
    ("kube-flannel", "kube-flannel-cfg"),
)


def run(reach: Reach) -> Iterator[Item]:
    found = 0
    for namespace, name in _CONFIG_MAPS:
        with reach.tolerating():
            item = reach.one(Side.DOWNSTREAM, CONFIG_MAP, name, namespace)
            if item:
                found += 1
                yield object_path(Side.DOWNSTREAM, CONFIG_MAP, item), item
    if not found and not reach.notes.problems:
        reach.remark("there is no ConfigMap of Flannel or Canal")


COLLECTOR = Collector("network_config", Side.DOWNSTREAM, run, timeout=30)
