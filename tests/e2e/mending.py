"""Which requests does each action make, on real servers and without changing them?

Every action is planned for a cluster of the world that gives it something to do, its writes are carried out as dry runs, which
API servers authorise and check like any other, and it looks once whether the writes have settled. What would be made is
also deleted as its undo would do it. `prepare` puts into the servers what the scenarios lack: nodes that wait for a range, a
taint, a node without a machine. What an action needs of the verdict it gets by a snapshot that is changed in one point.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from rancher_ext.client.changes import delete_object
from rancher_ext.errors import Forbidden
from rancher_ext.fleet.node import Node
from rancher_ext.fleet.snapshot import ClusterSnapshot
from rancher_ext.remediation.action import NotNeeded, NotPossible
from rancher_ext.remediation.actions import gather
from rancher_ext.remediation.actions.remove_taint import UNAVAILABLE
from rancher_ext.remediation.change import Change, Target, apply
from rancher_ext.remediation.host_fix import LABEL
from rancher_ext.remediation.manifests import creation, shipped
from tests.e2e.cluster import ApiServer
from tests.e2e.world import DROVER_TOKEN, World

RKE1, RKE2 = "rke1-canal-br-netfilter", "rke2-flannel-kubelet-flag"
FRESH, GONE = "fresh-1", "gone-1"
MERGE = "application/merge-patch+json"
# An action goes on without these objects, and then knows less: it says so in these words.
UNREADABLE = "cannot be read"


@dataclass(frozen=True)
class Trial:
    """One action on one cluster. `look` changes the snapshot in the point that the action needs."""

    action: str
    scenario: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    look: Callable[[ClusterSnapshot], ClusterSnapshot] = lambda snapshot: snapshot

    def __str__(self) -> str:
        return f"{self.action} on {self.scenario}"


def _one_broken(snapshot: ClusterSnapshot) -> ClusterSnapshot:
    """Of the nodes that have a machine the last is not ready; in RKE1 that is a worker."""
    backed = [node for node in snapshot.nodes if node.name not in {FRESH, GONE}]
    return replace(snapshot, nodes=tuple(replace(node, ready=node is not backed[-1]) for node in backed))


def _one_gone(snapshot: ClusterSnapshot) -> ClusterSnapshot:
    backed = [node for node in snapshot.nodes if node.name not in {FRESH, GONE}]
    since = snapshot.taken_at - timedelta(days=1)
    return replace(snapshot, nodes=(*backed, Node(GONE, None, since, roles=frozenset({"worker"}))))


def _allowed(snapshot: ClusterSnapshot) -> ClusterSnapshot:
    return replace(snapshot, labels={**snapshot.labels, LABEL: "allow"})


def _grown_up(snapshot: ClusterSnapshot) -> ClusterSnapshot:
    return replace(snapshot, initialized=True)


TRIALS = (
    Trial("add-manifest", RKE1, {"manifests": ["canal-rbac", "flannel-rbac"]}),
    Trial("assign-pod-cidr", RKE1),
    Trial("assign-pod-cidr", RKE2),
    Trial("host-fix", RKE1, {"fix": "load-modules"}, _allowed),
    Trial("inject-kubelet-parameters", RKE2),
    Trial("refresh-kontainer-metadata", RKE1),
    Trial("register-crds", RKE1),
    Trial("remove-stale-node", RKE2, look=_one_gone),
    Trial("remove-taint", RKE1, {"key": UNAVAILABLE}),
    Trial("replace-machine", RKE1, look=_one_broken),
    Trial("replace-machine", RKE2, look=_one_broken),
    Trial("rerun-helm-job", RKE2, {"chart": "rke2-flannel"}),
    Trial("rerun-rke1-network-job", RKE1),
    Trial("restart-cni-pods", RKE1),
    Trial("set-rke1-network-option", RKE1, {"enableBrNetfilter": True}),
    Trial(
        "set-rke1-service-env",
        RKE1,
        {"service": "kubeproxy", "env": "RKE_KUBE_PROXY_BR_NETFILTER=true", "rke_tools": "v0.1.111"},
    ),
    Trial("take-etcd-snapshot", RKE1, look=_grown_up),
    # One that is fresh is there already: found by the list that the others need, too.
    Trial("take-etcd-snapshot", RKE2),
)


class Mender:
    """Carries out trials in a world, with the documented rights or what is left of them."""

    def __init__(self, world: World) -> None:
        self._world = world
        _prepare(world)
        # As an administrator sees them, once: a trial shows what the action itself asks.
        self._snapshots = {scenario: world.reader().cluster(world.ids[scenario]) for scenario in (RKE1, RKE2)}

    def __call__(self, trial: Trial) -> list[str]:
        """What went wrong for want of a right, in Drover's words."""
        target = Target(trial.look(self._snapshots[trial.scenario]), self._world.transport(DROVER_TOKEN))
        action = gather()[trial.action]
        try:
            step = action.preview(target, trial.arguments)
            if isinstance(step, NotNeeded):
                return []
            if isinstance(step, NotPossible):
                return [step.why]
            for write in step.writes:
                if isinstance(write, Change):
                    _rehearse(target, write)
            settled = action.settled(target, step) if action.settled else None
        except Forbidden as error:
            return [error.message]
        return [settled.seen] if settled and UNREADABLE in settled.seen else []


def _rehearse(target: Target, write: Change) -> None:
    if write.place.path == ("spec", "podCIDRs"):
        # Written together with the single range, in a way that has no dry run; another trial patches nodes.
        return
    apply(target, write, dry_run=True)
    if not write.place.path and write.after.present and not write.stays:
        delete_object(target.downstream if write.downstream else target.local, write.place, "of nobody", dry_run=True)


def _prepare(world: World) -> None:
    rke1, rke2 = (world.proxy.rancher.downstream[world.ids[each]] for each in (RKE1, RKE2))
    for server in (rke1, rke2):
        _do(server, "POST", "/api/v1/nodes", {"metadata": {"name": FRESH}})
    conditions = [{"type": "NetworkUnavailable", "status": "False"}]
    _do(rke1, "PATCH", f"/api/v1/nodes/{FRESH}", {"spec": {"taints": [{"key": UNAVAILABLE, "effect": "NoSchedule"}]}})
    _do(rke1, "PATCH", f"/api/v1/nodes/{FRESH}/status", {"status": {"conditions": conditions}})
    _do(rke2, "POST", "/api/v1/nodes", {"metadata": {"name": GONE}, "spec": {"podCIDR": "10.42.77.0/24"}})
    # Claims of an earlier run are there in one of the two, so that they are changed there and made in the other.
    claims = {"metadata": {"name": "drover-pod-cidrs"}, "data": {"elsewhere": "10.42.99.0/24"}}
    _do(rke1, "POST", "/api/v1/namespaces/kube-system/configmaps", claims)
    # The binding of one role can be tried only where the role is there.
    role = creation(shipped("canal-rbac").documents[0])
    _do(rke1, "POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles", role.after.value)
    crd = creation(shipped("calico-crds").documents[0]).place.name
    _do(rke1, "DELETE", f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{crd}")


def _do(server: ApiServer, method: str, path: str, body: object | None = None) -> None:
    content_type = MERGE if method == "PATCH" else "application/json"
    answer = server.call(method, path, body, content_type=content_type)
    assert answer.ok, f"{method} {path}: {answer.text}"
