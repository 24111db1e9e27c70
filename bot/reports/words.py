"""How are Rancher's and our own constants written in a sentence? An unknown one is returned as it came: the caller escapes it."""

from collections.abc import Mapping

from bot.incidents.incident import Incident

DISTRIBUTIONS = {"rke1": "RKE1", "rke2": "RKE2", "k3s": "K3s", "kubeadm": "kubeadm"}
CNIS = {
    "canal": "Canal",
    "flannel": "Flannel",
    "calico": "Calico",
    "cilium": "Cilium",
    "none": "no CNI",
    "other": "another CNI",
}

# Rancher's `status.driver` says `imported` and `rancherKubernetesEngine` where there is no machine driver to speak of.
_DRIVERS = {
    "amazonec2": "EC2 node driver",
    "aws": "on AWS",
    "azure": "Azure node driver",
    "digitalocean": "DigitalOcean node driver",
    "google": "Google Compute Engine node driver",
    "harvester": "Harvester node driver",
    "linode": "Linode node driver",
    "nutanix": "Nutanix node driver",
    "openstack": "OpenStack node driver",
    "vmwarevsphere": "vSphere node driver",
    "vsphere": "on vSphere",
    "imported": "imported",
    "rancherKubernetesEngine": "",
    "rke2": "",
    "k3s": "",
}

# How far a bring-up got, told by what it waits for (rancher_ext.detection.verdict.Stage).
REACHED = {
    "machines": "",
    "plan": "machines created",
    "control-plane": "machines checked in with Rancher",
    "kubelet": "control plane healthy",
    "addon": "control plane up",
    "agent": "every service on the nodes healthy",
    "api": "nodes registered",
    "nodes": "cluster agent connected",
    "other": "",
}

PROOFS = {
    "cni-ready-everywhere": "{cni} ready on {nodes}",
    "nodes-ready": "{nodes} Ready",
    "fresh-pod-has-address": "a new pod gets an address",
    "agent-connected": "cluster agent connected",
    "cluster-active": "cluster Active",
}

UNDO = {
    "exact": "is put back exactly if it does not help",
    "compensating": "is made up for by a second change if it does not help",
    "none": "**cannot be taken back**",
}

_COUNTS = ("no", "one", "two", "three", "four", "five")


def distribution(name: str) -> str:
    return DISTRIBUTIONS.get(name, "" if name == "unknown" else name)


def cni(name: str) -> str:
    return CNIS.get(name, "" if name == "unknown" else name)


def driver(name: str) -> str:
    return _DRIVERS.get(name, f"{name} node driver" if name else "")


def network(incident: Incident) -> str:
    """The CNI's name, or a word for it where nobody knows which one runs."""
    return cni(incident.cni) if incident.cni in {"canal", "flannel"} else "the network"


def nodes(count: int | None) -> str:
    if count is None:
        return "nodes: unknown"
    return "1 node" if count == 1 else f"{count} nodes"


def every_node(count: int | None) -> str:
    if count is None or count == 0:
        return "every node"
    return "its node" if count == 1 else f"all {count} nodes"


def counted(number: int, one: str, many: str) -> str:
    """`one approval`, `two approvals`, `7 approvals`."""
    word = _COUNTS[number] if 0 <= number < len(_COUNTS) else str(number)
    return f"{word} {one if number == 1 else many}"


def listed(items: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def who_agreed(decision: Mapping[str, object] | None) -> str:
    """The people behind an `allow`, or nothing when a rule of the policy allowed it."""
    by = str((decision or {}).get("by") or "")
    return "" if by == "policy" else by
