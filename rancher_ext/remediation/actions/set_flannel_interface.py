"""Bind flannel of an RKE2 cluster to the network over which its nodes know each other.

Flannel takes the interface of the default route, or the one that the chart's values name; on nodes with several that may be the
wrong one, or none. An interface can also be chosen by an expression that its address matches. It is made from the internal
addresses of all nodes: their common octets. A name that is configured goes, because names differ from node to node.
The overlay converges anew while the pods roll.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from rancher_ext.client.changes import ABSENT, Value
from rancher_ext.client.kubernetes import MACHINES
from rancher_ext.fleet.cluster import Distribution
from rancher_ext.fleet.cni import Cni
from rancher_ext.fleet.parse import mapping, text
from rancher_ext.remediation.action import Action, NotPossible, PlannedStep, Risk, UndoKind
from rancher_ext.remediation.change import Target
from rancher_ext.remediation.cidr import parse
from rancher_ext.remediation.diff import field_diff
from rancher_ext.remediation.spec import RKE_CONFIG, change_of, cluster_cidrs, read_cluster

_PUBLIC = "flannel.alpha.coreos.com/public-ip"
_OVERWRITE = "flannel.alpha.coreos.com/public-ip-overwrite"
_DEFAULTS = ["--ip-masq", "--kube-subnet-mgr"]


def preview(target: Target, arguments: Mapping[str, Any]) -> PlannedStep | NotPossible:
    """No arguments."""
    snapshot = target.snapshot
    if arguments:
        return NotPossible("the action has no arguments")
    if snapshot.distribution is not Distribution.RKE2 or snapshot.cni not in {Cni.CANAL, Cni.FLANNEL}:
        return NotPossible("only the charts of RKE2 for Canal and Flannel take such an expression")
    item = read_cluster(target)
    if isinstance(item, NotPossible):
        return item
    addresses = _addresses(target)
    wrong = [
        announced
        for node in snapshot.nodes
        if (announced := dict(node.annotations).get(_PUBLIC, "")) and announced != node.internal_ip
    ]
    chosen = next((node.name for node in snapshot.nodes if _OVERWRITE in dict(node.annotations)), None)
    if chosen:
        return NotPossible(
            f"somebody gave {chosen} the address by which flannel announces it ({_OVERWRITE}): that is meant"
        )
    expression = matching(addresses, wrong)
    if isinstance(expression, NotPossible):
        return expression
    shared = expression.removeprefix("^").replace("\\.", ".")
    pools = [parse(each) for each in cluster_cidrs(mapping(item, *RKE_CONFIG, "machineGlobalConfig"))]
    inside = next((pool for pool in pools if pool and str(pool.network_address).startswith(shared)), None)
    if inside:
        # Every node has bridges and devices of the pods' own network, and the first interface that matches is taken.
        return NotPossible(
            f"{expression} would match the pods' own addresses ({inside}), too: name the interface by hand"
        )
    chart = f"rke2-{snapshot.cni.value}"
    path = (*RKE_CONFIG, "chartValues", chart, "flannel")
    present = mapping(item, *path)
    if snapshot.cni is Cni.CANAL:
        wanted: dict[str, Value] = {"regexIface": Value(present=True, value=expression), "iface": ABSENT}
    else:
        args = present.get("args")
        kept = [each for each in (args if isinstance(args, list) else _DEFAULTS) if not str(each).startswith("--iface")]
        wanted = {"args": Value(present=True, value=[*kept, f"--iface-regex={expression}"])}
    changes = [change_of(target, item, (*path, key), value) for key, value in wanted.items()]
    changes = [change for change in changes if change.before != change.after]
    if not changes:
        return NotPossible(f"flannel is already bound to {expression}")
    return PlannedStep(
        action=ACTION.name,
        title="Bind flannel to the network of the nodes' internal addresses",
        writes=tuple(changes),
        diff="\n".join(field_diff(item, each.place.path, each.before, each.after) for each in changes),
        effect=f"helm applies {chart} again, its pods roll, and the overlay converges over the addresses {expression}.",
        arguments={},
    )


def matching(addresses: Sequence[str], wrong: Sequence[str]) -> str | NotPossible:
    """An expression for the octets that all addresses share and none of the wrong ones has."""
    found = []
    for each in addresses:
        try:
            address = ipaddress.ip_address(each)
        except ValueError:
            return NotPossible(f"{each!r} is no address")
        if address.version != 4:
            return NotPossible("the nodes have IPv6 addresses: name the interface by hand")
        found.append(each.split("."))
    if not found:
        return NotPossible("no node tells its internal address")
    if len({".".join(each) for each in found}) != len(found):
        return NotPossible("two nodes have the same internal address: mend node-ip first")
    shared: list[str] = []
    for octets in zip(*found, strict=True):
        if len(set(octets)) != 1 or len(shared) == 3:
            break
        shared.append(octets[0])
    if not shared:
        return NotPossible("the internal addresses of the nodes have nothing in common")
    prefix = ".".join(shared) + "."
    if any(each.startswith(prefix) for each in wrong):
        return NotPossible(f"the interface that flannel uses now has an address of {prefix}0 too: name it by hand")
    return "^" + prefix.replace(".", "\\.")


def _addresses(target: Target) -> list[str]:
    """Of the nodes, else of the machines: a cluster that never connected has only these."""
    known = sorted(node.internal_ip for node in target.snapshot.nodes if node.internal_ip)
    if known:
        return known
    identity = target.snapshot.identity
    labels = f"cluster.x-k8s.io/cluster-name={identity.name}"
    found = []
    for machine in target.local.list(MACHINES, identity.namespace, labels=labels).items:
        addresses = mapping(machine, "status").get("addresses")
        found += [
            text(mapping(each).get("address"))
            for each in (addresses if isinstance(addresses, list) else ())
            if mapping(each).get("type") == "InternalIP"
        ]
    return sorted(filter(None, found))


ACTION = Action(
    name="set-flannel-interface",
    risk=Risk.DISRUPTIVE,
    undo=UndoKind.EXACT,
    expected=timedelta(minutes=6),
    preview=preview,
    help="Binds flannel of an RKE2 cluster to the network of the nodes' internal addresses.",
)
