"""Would nodes be deleted while they are mended?

A machine pool with `unhealthyNodeTimeout` makes a MachineHealthCheck (RKE1: `deleteNotReadyAfterSecs` of the node pool). It deletes
machines whose node is not ready for so long, and a dead network makes all of them so. A plan works beside it only where the
timeout is far longer than the plan takes, or where it switches it off itself.
"""

import re
from collections.abc import Iterator
from datetime import timedelta

from rancher_ext.client.kubernetes import PROVISIONING_CLUSTERS
from rancher_ext.errors import NotFound
from rancher_ext.fleet.parse import integer, mapping, text
from rancher_ext.remediation.actions.replace_machine import NODE_POOLS
from rancher_ext.remediation.change import Target
from rancher_ext.remediation.check import Answer, Caution, Check, Obstacle, Steps, of_the_cluster
from rancher_ext.remediation.rke1 import is_rke1
from rancher_ext.remediation.spec import RKE_CONFIG

# Longer than any plan takes with its undo, and half a day for a person to look.
ENOUGH = timedelta(hours=12)
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def look(target: Target, steps: Steps) -> Answer:
    if any("machinePools" in change.place.path for change in of_the_cluster(steps)):
        return None
    pools = [(name, after) for name, after in _pools(target) if after]
    short = [(name, after) for name, after in pools if after < ENOUGH]
    if short:
        name, after = short[0]
        return Obstacle(
            f"machine pool {name} deletes nodes that are not ready for {after}, while they are mended",
            "set its unhealthy node timeout to 0 first (RKE1: the node pool's auto replace)",
        )
    if pools:
        return Caution(f"Machine pool {pools[0][0]} deletes nodes that are not ready for {pools[0][1]}.")
    return None


def duration(value: str) -> timedelta:
    """`10m0s` as Go writes it; zero where it says nothing."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|h|m|s)", value)
    return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in parts))


def _pools(target: Target) -> Iterator[tuple[str, timedelta]]:
    identity = target.snapshot.identity
    try:
        if is_rke1(target.snapshot):
            for item in target.local.list(NODE_POOLS, identity.id).items:
                seconds = integer(mapping(item, "spec").get("deleteNotReadyAfterSecs")) or 0
                yield text(mapping(item, "metadata").get("name")), timedelta(seconds=seconds)
            return
        cluster = target.local.get(PROVISIONING_CLUSTERS, identity.name, identity.namespace)
    except NotFound:
        return
    listed = mapping(cluster, *RKE_CONFIG).get("machinePools")
    for pool in listed if isinstance(listed, list) else ():
        yield text(mapping(pool).get("name")), duration(text(mapping(pool).get("unhealthyNodeTimeout")))


CHECK = Check("unhealthy-node-timeout", "No pool may delete the nodes that are being mended.", look)
