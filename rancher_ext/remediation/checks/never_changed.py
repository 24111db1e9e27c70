"""Does a plan touch what must never change on a living cluster?

The plugin, the pod and service ranges, the backend, its VXLAN id and port: every node and pod was made with them. No playbook asks
for such a change; this check holds for playbooks that people write themselves, too.
"""

from rancher_ext.remediation.change import Change, Target
from rancher_ext.remediation.check import Answer, Check, Obstacle, Steps, changes

_LAST = {
    "cni": "the network plugin",
    "plugin": "the network plugin",
    "cluster-cidr": "the pod range",
    "clusterCidr": "the pod range",
    "service-cidr": "the service range",
    "serviceClusterIpRange": "the service range",
    "backend": "the overlay's backend",
    "flannel-backend": "the overlay's backend",
    "vni": "the overlay's VXLAN id",
    "backendPort": "the overlay's port",
    "net-conf.json": "the overlay's network",
}
_ENDS = {
    "_backend_type": "the overlay's backend",
    "_backend_vni": "the overlay's VXLAN id",
    "_backend_port": "its port",
}


def look(_: Target, steps: Steps) -> Answer:
    for change in changes(steps):
        what = _touched(change)
        if what:
            return Obstacle(
                f"{what} of a living cluster is never changed ({change.place})",
                "a cluster with another one has to be made anew",
            )
    return None


def _touched(change: Change) -> str:
    path = change.place.path
    if not path:
        return ""
    if path[:2] not in {("spec", "rkeConfig"), ("spec", "rancherKubernetesEngineConfig")} and path[0] != "data":
        return ""
    last = path[-1]
    return _LAST.get(last, "") or next((what for end, what in _ENDS.items() if last.endswith(end)), "")


CHECK = Check("never-changed", "Plugin, ranges, backend and VXLAN id of a living cluster stay as they are.", look)
