"""With which Kubernetes version did this cluster last work, and is the version all that has changed since?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rancher_ext.client.changes import Value
from rancher_ext.fleet.parse import mapping, text
from rancher_ext.remediation.action import NotPossible
from rancher_ext.remediation.change import Change, Target
from rancher_ext.remediation.control_plane import read_control_plane
from rancher_ext.remediation.rke1 import CONFIG, config_change, editable_cluster, is_rke1
from rancher_ext.remediation.spec import change_of, read_cluster

# Of an RKE1 configuration these decide about the network. Other parts hold secrets, which the copy in the status lacks.
_RKE1_PARTS = (("network",), ("services", "kubelet"), ("services", "kubeproxy"), ("services", "kubeController"))


@dataclass(frozen=True)
class EarlierVersion:
    """`item` is the object whose `path` holds the wanted version; `worked` is the one of the last complete run."""

    item: Mapping[str, Any]
    path: tuple[str, ...]
    wanted: str
    worked: str

    def change(self, target: Target, after: Value) -> Change:
        if is_rke1(target.snapshot):
            return config_change(self.item, self.path, after)
        return change_of(target, self.item, self.path, after)


def earlier_version(target: Target) -> EarlierVersion | NotPossible:
    rke1 = is_rke1(target.snapshot)
    item = editable_cluster(target) if rke1 else read_cluster(target)
    if isinstance(item, NotPossible):
        return item
    path: tuple[str, ...] = (*CONFIG, "kubernetesVersion") if rke1 else ("spec", "kubernetesVersion")
    wanted = text(Value.of(item, path).value)
    if rke1:
        applied = mapping(item, "status", "appliedSpec", "rancherKubernetesEngineConfig")
        worked, now = text(applied.get("kubernetesVersion")), mapping(item, *CONFIG)
        others = tuple(".".join(part) for part in _RKE1_PARTS if mapping(applied, *part) != mapping(now, *part))
    else:
        plane = read_control_plane(target)
        worked, others = plane.applied_version, plane.changed_besides_version
    if not worked:
        return NotPossible("the cluster never came up with any version")
    if worked == wanted:
        return NotPossible(f"the cluster last worked with the version it has, {wanted}")
    if others:
        return NotPossible(
            f"since it last worked, with {worked}, more than the version was changed ({', '.join(others)}): "
            "nobody knows whether the earlier version works with that"
        )
    return EarlierVersion(item, path, wanted, worked)
