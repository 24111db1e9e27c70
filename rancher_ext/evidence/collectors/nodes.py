"""Which nodes has the cluster, are they ready, and what stands in their taints, annotations and pod ranges?"""

from collections.abc import Iterator

from rancher_ext.evidence.collect import Collector, Item, object_path
from rancher_ext.evidence.collectors._pods import name_of
from rancher_ext.evidence.kinds import NODE
from rancher_ext.evidence.reach import Reach, Side
from rancher_ext.evidence.render import node_description, node_ready, node_table


def run(reach: Reach) -> Iterator[Item]:
    nodes = sorted(reach.objects(Side.DOWNSTREAM, NODE), key=name_of)
    if not nodes:
        reach.remark("the cluster has no nodes")
        return
    # All in the table; described at length are those that are not ready, then some that are, to compare with.
    unwell_first = sorted(nodes, key=lambda node: node_ready(node) == "True")
    described = unwell_first[: reach.caps.described_nodes]
    if len(described) < len(nodes):
        reach.remark(f"nodes.txt describes {len(described)} of {len(nodes)} nodes, those that are not ready first")
    yield "nodes.txt", "\n".join([node_table(nodes, reach.now), *(node_description(node) for node in described)])
    for node in unwell_first:
        yield object_path(Side.DOWNSTREAM, NODE, node), node


COLLECTOR = Collector("nodes", Side.DOWNSTREAM, run)
