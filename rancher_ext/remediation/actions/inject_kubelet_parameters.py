"""Make the kubelet arguments of an RKE2 or K3s cluster fit its Kubernetes version.

A kubelet that is given a flag it does not know ends at once, and after an upgrade that is every node. Flags that the version
has no more are taken out of `kubelet-arg`, for all machines and for pools; what a version newly needs is put in where the
playbook asks for it. When each flag went: the table below, from the pull requests that removed them.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from rancher_ext.fleet.parse import mapping
from rancher_ext.fleet.versions import Version
from rancher_ext.remediation.action import Action, NotPossible, PlannedStep, Risk, UndoKind
from rancher_ext.remediation.actions.set_machine_config import described, plan_configuration, settled
from rancher_ext.remediation.change import Target
from rancher_ext.remediation.spec import RKE_CONFIG, flag_of, items_of, read_cluster

KUBELET_ARG = "kubelet-arg"
# The first minor version of Kubernetes whose kubelet no longer knows the flag.
REMOVED_IN: Mapping[str, tuple[int, int]] = {
    # With the built-in Docker support (KEP 2221).
    "network-plugin": (1, 24),
    "cni-conf-dir": (1, 24),
    "cni-bin-dir": (1, 24),
    "cni-cache-dir": (1, 24),
    "network-plugin-mtu": (1, 24),
    "docker-endpoint": (1, 24),
    "image-pull-progress-deadline": (1, 24),
    "dynamic-config-dir": (1, 24),
    "container-runtime": (1, 27),
    "keep-terminated-pod-volumes": (1, 31),  # kubernetes/kubernetes PR 122082
    "iptables-masquerade-bit": (1, 31),  # PR 122363
    "iptables-drop-bit": (1, 31),
    "register-schedulable": (1, 33),  # PR 122384
    "cloud-config": (1, 34),  # PR 130161
    "pod-infra-container-image": (1, 35),  # PR 133779
}
# What a version needs of a host that is as described, since which version.
NEEDED: Mapping[str, tuple[tuple[int, int], str]] = {
    # From 1.35 on a kubelet refuses to start on cgroup v1 unless it is told not to.
    "cgroup-v1": ((1, 35), "fail-cgroupv1=false"),
}


def unknown_flags(version: Version, items: Iterable[str]) -> list[str]:
    """The flags among these arguments that a kubelet of this version refuses."""
    line = (version.major, version.minor)
    found = {flag_of(item)[0] for item in items}
    return sorted(flag for flag in found if flag in REMOVED_IN and line >= REMOVED_IN[flag])


def preview(target: Target, arguments: Mapping[str, Any]) -> PlannedStep | NotPossible:
    """`hosts: [cgroup-v1]` puts in what the version needs on such hosts. Without it flags are only taken out."""
    hosts = arguments.get("hosts", [])
    if set(arguments) - {"hosts"} or not isinstance(hosts, list) or set(hosts) - set(NEEDED):
        return NotPossible(f"the action understands hosts: {', '.join(NEEDED)}")
    version = target.snapshot.kubernetes
    if version is None:
        return NotPossible("its Kubernetes version is not known, so nobody knows which flags it has")
    item = read_cluster(target)
    if isinstance(item, NotPossible):
        return item
    flags = unknown_flags(version, _all_items(item))
    needed = [flag for since, flag in (NEEDED[host] for host in hosts) if (version.major, version.minor) >= since]
    if not flags and not needed:
        return NotPossible(f"its kubelet arguments have no flag that Kubernetes {version.line} does not know")
    wishes: dict[str, Any] = {}
    if flags:
        wishes["remove"] = {KUBELET_ARG: flags}
    if needed:
        wishes["add"] = {KUBELET_ARG: needed}
    return plan_configuration(
        target,
        item,
        wishes,
        action=ACTION.name,
        title=f"Fit the kubelet arguments to Kubernetes {version.line}"
        + (f": without {described(wishes)}" if flags else ""),
        nothing="the kubelet arguments",
    )


def _all_items(item: Mapping[str, Any]) -> list[str]:
    config = mapping(item, *RKE_CONFIG)
    found = items_of(mapping(config, "machineGlobalConfig").get(KUBELET_ARG))
    selected = config.get("machineSelectorConfig")
    for entry in selected if isinstance(selected, list) else ():
        found += items_of(mapping(entry, "config").get(KUBELET_ARG))
    return found


ACTION = Action(
    name="inject-kubelet-parameters",
    risk=Risk.DISRUPTIVE,
    undo=UndoKind.EXACT,
    expected=timedelta(minutes=15),
    preview=preview,
    help="Takes kubelet flags out that the cluster's Kubernetes version no longer knows, and puts in what it needs.",
    settled=settled,
    settle_within=timedelta(minutes=5),
)
