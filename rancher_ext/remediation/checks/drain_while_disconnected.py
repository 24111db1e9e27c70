"""Would the change wait for a drain that can never end?

Before Rancher restarts a machine it drains it where the specification says so, through the cluster agent. Without the agent the
plan stays at `draining node` for ever. A single machine is never drained.
"""

from rancher_ext.client.kubernetes import PROVISIONING_CLUSTERS
from rancher_ext.errors import NotFound
from rancher_ext.fleet.parse import mapping
from rancher_ext.remediation.change import Target
from rancher_ext.remediation.check import Answer, Caution, Check, Obstacle, Steps, of_the_cluster, restarts_service
from rancher_ext.remediation.rke1 import is_rke1
from rancher_ext.remediation.spec import RKE_CONFIG

_OPTIONS = ("controlPlaneDrainOptions", "workerDrainOptions")


def look(target: Target, steps: Steps) -> Answer:
    if is_rke1(target.snapshot) or not any(restarts_service(change) for change in of_the_cluster(steps)):
        return None
    identity = target.snapshot.identity
    try:
        cluster = target.local.get(PROVISIONING_CLUSTERS, identity.name, identity.namespace)
    except NotFound:
        return None
    switched_off = {
        part
        for change in of_the_cluster(steps)
        if change.place.path[-1:] == ("enabled",) and change.after.value is False
        for part in change.place.path
    }
    strategy = mapping(cluster, *RKE_CONFIG, "upgradeStrategy")
    drains = [name for name in _OPTIONS if mapping(strategy, name).get("enabled") is True and name not in switched_off]
    if not drains or len(target.snapshot.machines) < 2:
        return None
    if target.snapshot.connected is True:
        return Caution(
            "Each machine is drained before its restart: pods move, and a budget that forbids it holds the plan up."
        )
    return Obstacle(
        f"{', '.join(drains)} is enabled and the cluster agent is not connected, so a drain would never end",
        "switch it off first (Upgrade Strategy > Drain nodes)",
    )


CHECK = Check("drain-while-disconnected", "No change may wait for a drain without an agent.", look)
