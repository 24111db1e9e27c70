"""Which custom resources of the network plugin and of Rancher does the cluster know, and are they established?"""

from collections.abc import Iterator

from rancher_ext.evidence.collect import Collector, Item, object_path
from rancher_ext.evidence.kinds import CRD
from rancher_ext.evidence.reach import Reach, Side


def run(reach: Reach) -> Iterator[Item]:
    found = reach.objects(Side.DOWNSTREAM, CRD)
    for item in found:
        yield object_path(Side.DOWNSTREAM, CRD, item), item
    if not found:
        # An empty list proves absence; no file at all would only mean that nobody looked.
        yield (
            f"objects/downstream/{CRD.resource.plural}/_/_none.json",
            {
                "apiVersion": "apiextensions.k8s.io/v1",
                "kind": "CustomResourceDefinitionList",
                "items": [],
            },
        )


COLLECTOR = Collector("crds", Side.DOWNSTREAM, run)
