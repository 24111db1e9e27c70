"""Which rights does Drover need in Rancher, what for, and which actions cannot run without one?

The one place that `drover doctor` asks from. `docs/rancher-rights.md` has the same as roles that people can apply, and as a table; a
test compares them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Where(StrEnum):
    """Where a right has to hold: in Rancher's own cluster, in each Fleet workspace of it, or inside the clusters of the fleet."""

    RANCHER = "rancher"
    WORKSPACES = "workspaces"
    DOWNSTREAM = "downstream"


@dataclass(frozen=True)
class Right:
    """One verb on one kind of object. With `name` for the object of that name alone."""

    where: Where
    verb: str
    group: str
    resource: str
    name: str = ""

    @property
    def kind(self) -> str:
        return f"{self.resource}.{self.group}" if self.group else self.resource

    def __str__(self) -> str:
        return f"{self.verb} {self.kind}"


@dataclass(frozen=True)
class RightsGroup:
    """What belongs together: one line of `drover doctor`. `what` follows `may`.

    `without` is what follows when one is missing; empty where Drover cannot work at all then, or where the actions that need it
    say so.
    """

    what: str
    rights: tuple[Right, ...]
    without: str = ""
    mends: bool = False

    @property
    def essential(self) -> bool:
        return not self.mends and not self.without


@dataclass(frozen=True)
class Needs:
    """What an action needs beside reading, as `verb, verb kind`. `unreached` is for clusters that Rancher does not reach."""

    rke1: tuple[str, ...] = ()
    rke2_k3s: tuple[str, ...] = ()
    unreached: tuple[str, ...] = ()

    def sides(self) -> dict[str, frozenset[str]]:
        """The rights by where the action needs them; those that it does not run on are left out."""
        named = {"RKE1": self.rke1, "RKE2 and K3s": self.rke2_k3s, "out of reach": self.unreached}
        return {side: frozenset(_each(phrases)) for side, phrases in named.items() if phrases}


def _each(phrases: Iterable[str]) -> Iterator[str]:
    for phrase in phrases:
        verbs, _, kind = phrase.rpartition(" ")
        yield from (f"{verb} {kind}" for verb in verbs.split(", "))


def _may(where: Where, *phrases: str, names: Sequence[str] = ("",)) -> tuple[Right, ...]:
    rights = []
    for each in _each(phrases):
        verb, _, kind = each.partition(" ")
        resource, _, group = kind.partition(".")
        rights += [Right(where, verb, group, resource, name) for name in names]
    return tuple(rights)


_RANCHER, _WORKSPACES, _DOWNSTREAM = Where.RANCHER, Where.WORKSPACES, Where.DOWNSTREAM
_OUR_ROLES = ("drover-canal", "drover-flannel")
_RBAC = "rbac.authorization.k8s.io"

GROUPS: tuple[RightsGroup, ...] = (
    RightsGroup(
        "read the fleet",
        (
            *_may(_RANCHER, "get, list clusters.management.cattle.io", "list nodes.management.cattle.io"),
            *_may(
                _WORKSPACES,
                "get, list clusters.provisioning.cattle.io",
                "get, list rkecontrolplanes.rke.cattle.io",
                "list machines.cluster.x-k8s.io",
            ),
        ),
    ),
    RightsGroup(
        "hear of changes",
        (
            *_may(_RANCHER, "watch clusters.management.cattle.io", "watch nodes.management.cattle.io"),
            *_may(
                _WORKSPACES,
                "watch clusters.provisioning.cattle.io",
                "watch rkecontrolplanes.rke.cattle.io",
                "watch machines.cluster.x-k8s.io",
            ),
        ),
        without="a change of such objects is seen at the next sweep, not at once",
    ),
    RightsGroup(
        "collect evidence in Rancher",
        (
            *_may(_RANCHER, "get configmaps", names=("provisioning-log",)),
            *_may(
                _WORKSPACES,
                "list machinedeployments.cluster.x-k8s.io",
                "list machinesets.cluster.x-k8s.io",
                "list machinehealthchecks.cluster.x-k8s.io",
                "get, list *.rke-machine.cattle.io",
                "get, list custommachines.rke.cattle.io",
                "list events",
                "list pods",
                "get pods/log",
                "list jobs.batch",
            ),
        ),
        without="diagnoses lack this evidence and say so",
    ),
    RightsGroup(
        "read machine plans",
        _may(_WORKSPACES, "list secrets"),
        without="machine plans stay unread: probes and failures of single machines are not seen",
    ),
    RightsGroup(
        "mend RKE1 clusters",
        _may(
            _RANCHER,
            "patch clusters.management.cattle.io",
            "get, delete nodes.management.cattle.io",
            "get nodepools.management.cattle.io",
            "list etcdbackups.management.cattle.io",
            "get, list rkek8ssystemimages.management.cattle.io",
        ),
        mends=True,
    ),
    RightsGroup(
        "use Rancher's own actions",
        _may(
            _RANCHER,
            "create etcdbackups.management.cattle.io",
            "update clusters.management.cattle.io",
            "get, list, update kontainerdrivers.management.cattle.io",
        ),
        mends=True,
    ),
    RightsGroup(
        "mend RKE2 and K3s clusters",
        _may(
            _WORKSPACES,
            "patch clusters.provisioning.cattle.io",
            "list etcdsnapshots.rke.cattle.io",
            "get, delete machines.cluster.x-k8s.io",
        ),
        mends=True,
    ),
    RightsGroup(
        "look into clusters",
        _may(
            _DOWNSTREAM,
            "list nodes",
            "list pods",
            "list events",
            "get pods/log",
            "get configmaps",
            "list daemonsets.apps",
            "list deployments.apps",
            "list jobs.batch",
            "list helmcharts.helm.cattle.io",
            "list helmchartconfigs.helm.cattle.io",
            "list customresourcedefinitions.apiextensions.k8s.io",
        ),
        without="diagnoses rest on less, and proofs that look into the cluster are not seen",
    ),
    RightsGroup(
        "mend nodes and pod ranges",
        _may(_DOWNSTREAM, "get, patch, delete nodes", "create, patch configmaps", "get leases.coordination.k8s.io"),
        mends=True,
    ),
    RightsGroup(
        "restart what brings the network up",
        _may(
            _DOWNSTREAM,
            "get, patch daemonsets.apps",
            "get, delete jobs.batch",
            "get, create customresourcedefinitions.apiextensions.k8s.io",
        ),
        mends=True,
    ),
    RightsGroup("fix the nodes themselves", _may(_DOWNSTREAM, "create, delete daemonsets.apps"), mends=True),
    RightsGroup(
        "give the network's pods their roles",
        (
            *_may(_DOWNSTREAM, f"create clusterroles.{_RBAC}", f"create clusterrolebindings.{_RBAC}"),
            *_may(
                _DOWNSTREAM,
                f"get, delete clusterroles.{_RBAC}",
                f"get, delete clusterrolebindings.{_RBAC}",
                names=_OUR_ROLES,
            ),
            *_may(_DOWNSTREAM, f"escalate clusterroles.{_RBAC}"),
            *_may(_DOWNSTREAM, f"bind clusterroles.{_RBAC}", names=_OUR_ROLES),
        ),
        mends=True,
    ),
)

_RKE1_SPEC = ("patch clusters.management.cattle.io",)
_SPEC = ("patch clusters.provisioning.cattle.io",)
_CRDS = "get, create customresourcedefinitions.apiextensions.k8s.io"
_FIXES = ("get, create, delete daemonsets.apps",)
_TAINTS = ("get, patch nodes",)
_DRIVERS = "get, list, update kontainerdrivers.management.cattle.io"

NEEDS: Mapping[str, Needs] = {
    "add-manifest": Needs(
        (
            _CRDS,
            f"get, create, delete clusterroles.{_RBAC}",
            f"escalate, bind clusterroles.{_RBAC}",
            f"get, create, delete clusterrolebindings.{_RBAC}",
        ),
        _SPEC,
    ),
    "assign-pod-cidr": Needs((*_TAINTS, "create, patch configmaps"), (*_TAINTS, "create, patch configmaps")),
    "host-fix": Needs(_FIXES, _FIXES, _SPEC),
    "end-host-fix": Needs(_FIXES, _FIXES, _SPEC),
    "inject-kubelet-parameters": Needs(rke2_k3s=_SPEC),
    "put-back-kubernetes-version": Needs(_RKE1_SPEC, _SPEC),
    "refresh-kontainer-metadata": Needs((_DRIVERS, "list rkek8ssystemimages.management.cattle.io"), (_DRIVERS,)),
    "register-crds": Needs((_CRDS,), (_CRDS,), _SPEC),
    "remove-stale-node": Needs(
        ("get, delete nodes", "get leases.coordination.k8s.io"), ("get, delete nodes", "get leases.coordination.k8s.io")
    ),
    "remove-taint": Needs(_TAINTS, _TAINTS),
    "replace-machine": Needs(
        ("get, delete nodes.management.cattle.io", "get nodepools.management.cattle.io"),
        ("get, delete machines.cluster.x-k8s.io",),
    ),
    "rerun-helm-job": Needs(rke2_k3s=("get, delete jobs.batch",)),
    "rerun-rke1-network-job": Needs(("get, delete jobs.batch", *_RKE1_SPEC)),
    "restart-cni-pods": Needs(("get, patch daemonsets.apps",), ("get, patch daemonsets.apps",)),
    "restore-kubernetes-version": Needs(
        ("list etcdbackups.management.cattle.io", "update clusters.management.cattle.io"),
        ("list etcdsnapshots.rke.cattle.io", *_SPEC),
    ),
    "set-chart-values": Needs(rke2_k3s=_SPEC),
    "set-cluster-drain": Needs(_RKE1_SPEC, _SPEC),
    "set-flannel-interface": Needs(rke2_k3s=_SPEC),
    "set-machine-config": Needs(rke2_k3s=_SPEC),
    "set-rke1-network-option": Needs(_RKE1_SPEC),
    "set-rke1-service-argument": Needs(_RKE1_SPEC),
    "set-rke1-service-env": Needs((*_RKE1_SPEC, "get rkek8ssystemimages.management.cattle.io")),
    "take-etcd-snapshot": Needs(
        ("list, create etcdbackups.management.cattle.io",), ("list etcdsnapshots.rke.cattle.io", *_SPEC)
    ),
}


def every_right() -> tuple[Right, ...]:
    return tuple(right for group in GROUPS for right in group.rights)


def missing_in(group: RightsGroup, may: Callable[[Right], bool]) -> list[Right]:
    return [right for right in group.rights if not may(right)]


def stopped_by(missing: Iterable[Right]) -> list[str]:
    """The actions that cannot run without these rights, each with where it cannot, unless that is everywhere."""
    names = {str(right) for right in missing}
    stopped = []
    for action, needs in sorted(NEEDS.items()):
        sides = needs.sides()
        hit = [side for side, needed in sides.items() if needed & names]
        if hit:
            stopped.append(action if len(hit) == len(sides) else f"{action} ({', '.join(hit)})")
    return stopped


def told(rights: Iterable[Right]) -> str:
    """In as few words as can be: `get, delete nodes.management.cattle.io; list secrets`."""
    verbs: dict[str, dict[str, None]] = {}
    for right in rights:
        verbs.setdefault(right.kind, {})[right.verb] = None
    return "; ".join(f"{', '.join(each)} {kind}" for kind, each in verbs.items())
