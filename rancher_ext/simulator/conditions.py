"""Which conditions do Rancher's objects carry for given facts, and since when?

Models rancher-made conditions of the management cluster, the provisioning cluster, the RKEControlPlane, Cluster API
machines and nodes, in the order in which Rancher keeps them (the order decides the computed state). `Since` remembers
when status, reason or message last changed: Rancher moves `lastUpdateTime` on every such change and never sets
`lastTransitionTime`; Cluster API moves `lastTransitionTime`; the kubelet moves it with the status only.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from rancher_ext.simulator.clock import rfc3339
from rancher_ext.simulator.facts import Counts, Facts
from rancher_ext.simulator.identity import MachineName

Json = dict[str, Any]


class Cond(NamedTuple):
    type: str
    status: str
    reason: str = ""
    message: str = ""


class Since:
    """When did each condition of each object last change?"""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], tuple[tuple[str, ...], float]] = {}

    def note(self, owner: str, conditions: Iterable[Cond], at: float, *, status_only: bool = False) -> None:
        for condition in conditions:
            value = (condition.status,) if status_only else tuple(condition[1:])
            key = (owner, condition.type)
            seen = self._seen.get(key)
            if seen is None or seen[0] != value:
                self._seen[key] = (value, at)

    def when(self, owner: str, kind: str, default: float) -> float:
        seen = self._seen.get((owner, kind))
        return seen[1] if seen else default

    def rancher(self, owner: str, conditions: Iterable[Cond], default: float) -> list[Json]:
        return [_json(c, "lastUpdateTime", self.when(owner, c.type, default)) for c in conditions]

    def capi(self, owner: str, conditions: Iterable[Cond], default: float) -> list[Json]:
        return [
            _json(c, "lastTransitionTime", self.when(owner, c.type, default))
            | ({"severity": "Info"} if c.status != "True" and c.reason else {})
            for c in conditions
        ]

    def kubelet(self, owner: str, conditions: Iterable[Cond], default: float, heartbeat: float) -> list[Json]:
        beat = rfc3339(heartbeat)
        return [
            {"lastHeartbeatTime": beat, **_json(c, "lastTransitionTime", self.when(owner, c.type, default))}
            for c in conditions
        ]


def _json(condition: Cond, stamp: str, at: float) -> Json:
    found = {"type": condition.type, "status": condition.status, stamp: rfc3339(at)}
    if condition.reason:
        found["reason"] = condition.reason
    if condition.message:
        found["message"] = condition.message
    return found


@dataclass(frozen=True, slots=True)
class Standing:
    """What the facts alone do not tell: the text with its names filled in, and what the cluster once was."""

    facts: Facts
    counts: Counts
    text: str
    distribution: str
    management: str
    was_connected: bool
    was_active: bool

    @property
    def active(self) -> bool:
        return not self.text and self.facts.connected


def _b(value: bool) -> str:
    return "True" if value else "False"


DISCONNECTED = "Cluster agent is not connected"
API_WAIT = "Waiting for API to be available"


def waiting(standing: Standing, kind: str) -> Cond:
    if not standing.text:
        return Cond(kind, "True")
    if standing.facts.error:
        return Cond(kind, "False", "Error", standing.text)
    return Cond(kind, "Unknown", "Waiting", standing.text)


def control_plane(s: Standing) -> list[Cond]:
    """RKEControlPlane. `Bootstrapped` is True after the first pass, even if that pass only waits."""
    ready = waiting(s, "Ready")
    reconciled = (
        Cond("Reconciled", "True")
        if ready.status == "True"
        else Cond("Reconciled", "Unknown", "Waiting", "RKEControlPlane has not been fully reconciled yet")
    )
    return [
        ready,
        reconciled,
        Cond("Provisioned", "True") if s.facts.provisioned else Cond("Provisioned", "Unknown", "Waiting", s.text),
        Cond("Bootstrapped", "True") if s.counts.checked_in else Cond("Bootstrapped", "Unknown", "Waiting", s.text),
        Cond("Stable", _b(s.was_active)),
        Cond("SystemUpgradeControllerReady", "True" if s.active else "Unknown"),
        Cond("ScalingUp", "False"),
        Cond("ScalingDown", "False"),
        Cond("RollingOut", "False"),
    ]


_ALWAYS = (
    "BackingNamespaceCreated",
    "DefaultProjectCreated",
    "SystemProjectCreated",
    "InitialRolesPopulated",
    "CreatorMadeOwner",
    "SecretsMigrated",
    "ServiceAccountSecretsMigrated",
    "RKESecretsMigrated",
)


def management_cluster(s: Standing) -> list[Cond]:
    """management.cattle.io/v3 Cluster."""
    f = s.facts
    conditions = [Cond(kind, "True") for kind in _ALWAYS]
    if s.distribution == "rke1" and s.management == "provisioned":
        for kind in ("Provisioned", "Updated") if f.provisioned else ("Provisioned",):
            conditions.append(waiting(s, kind) if f.condition == kind else _provisioned(kind, f.provisioned))
        api = f.condition != "Waiting" and f.provisioned
        if f.condition == "Waiting":
            conditions.append(Cond("Waiting", "Unknown", "", s.text))
        elif api and (f.connected or s.was_connected):
            conditions.append(Cond("Waiting", "True"))
    elif s.management == "provisioned":
        ready = waiting(s, "Updated")
        conditions += [
            Cond("Provisioned", "True") if f.provisioned else Cond("Provisioned", "Unknown", "Waiting", s.text),
            ready,
        ]
        conditions.append(Cond("Waiting", "True") if s.was_connected else Cond("Waiting", "Unknown", "", API_WAIT))
    else:
        conditions += [Cond("Provisioned", "True"), Cond("Waiting", "True")]
    conditions.append(Cond("Connected", _b(f.connected)))
    if f.provisioned and not f.connected:
        conditions.append(Cond("Ready", "False", "Disconnected", DISCONNECTED))
    elif f.connected:
        conditions.append(Cond("Ready", "True"))
    if s.was_connected:
        conditions += [
            Cond("AgentDeployed", "True"),
            Cond("SystemAccountCreated", "True"),
            Cond("GlobalAdminsSynced", "True"),
            Cond("ServiceAccountMigrated", "True"),
            Cond("NoDiskPressure", "True"),
            Cond("NoMemoryPressure", "True"),
        ]
    if f.deleting:
        conditions.append(Cond("Removed", "Unknown", "", "waiting for cluster to be removed"))
    return conditions


def _provisioned(kind: str, done: bool) -> Cond:
    return Cond(kind, "True" if done else "Unknown")


_MIRRORED = ("Connected", "AgentDeployed", "SystemAccountCreated", "ServiceAccountMigrated", "Waiting")


def provisioning_cluster(s: Standing, management: list[Cond]) -> list[Cond]:
    """provisioning.cattle.io/v1 Cluster: `Updated` and `Provisioned` both repeat the RKEControlPlane's Ready."""
    theirs = {c.type: c for c in management}
    conditions = [Cond("Reconciling", "False"), Cond("Stalled", "False"), Cond("Created", "True")]
    if s.management == "provisioned" and s.distribution != "rke1":
        conditions += [Cond("RKECluster", "True"), waiting(s, "Provisioned"), waiting(s, "Updated")]
        ready = theirs.get("Ready", Cond("Ready", "Unknown")) if s.was_active else waiting(s, "Ready")
    else:
        conditions += [theirs[k] for k in ("Provisioned", "Updated") if k in theirs]
        ready = theirs.get("Ready", Cond("Ready", "Unknown"))
    conditions += [theirs[k] for k in _MIRRORED if k in theirs]
    conditions.append(ready)
    if s.facts.deleting:
        conditions.append(Cond("Removed", "Unknown", "Waiting", "waiting for infrastructure to be removed"))
    return conditions


TIERS = (("bootstrap", "waiting for bootstrap etcd to be available"), ("etcd", "waiting for etcd to be available"))


def machine_text(s: Standing, machine: MachineName) -> str:
    """What the planner says about one machine; the cluster's text keeps this only when one machine is listed."""
    if not s.text:
        return ""
    listed = machine.name in s.text
    detail = s.text.split(": ", 1)[1] if ": " in s.text else ""
    if machine.place >= s.counts.machines:
        return ""
    if listed and detail:
        return detail
    if machine.place >= s.counts.checked_in:
        if machine.place == 0:
            return "waiting for agent to check in and apply initial plan"
        if machine.has("etcd"):
            return "waiting for bootstrap etcd to be available"
        return "waiting for control plane to be available"
    return ""


def machine_conditions(s: Standing, machine: MachineName, *, node_ready: bool | None, failed: str) -> list[Cond]:
    """cluster.x-k8s.io Machine. `node_ready` is None while no Node is known (never connected)."""
    up = machine.place < s.counts.machines
    bootstrapped = up and machine.place < s.counts.checked_in
    infra = (
        Cond("InfrastructureReady", "True")
        if up
        else Cond("InfrastructureReady", "False", "WaitingForInfrastructure" if not failed else "Error", failed)
    )
    text = machine_text(s, machine)
    conditions = [
        Cond("Ready", "True")
        if up and not text
        else Cond("Ready", "False", "Waiting" if up else infra.reason, text or failed),
        Cond("BootstrapReady", "True"),
        infra,
    ]
    if node_ready is not None:
        conditions.append(
            Cond("NodeHealthy", "True")
            if node_ready
            else Cond(
                "NodeHealthy",
                "False",
                "NodeConditionsFailed",
                "Condition Ready on node is reporting status False for more than 30s",
            )
        )
    if bootstrapped:
        conditions.append(Cond("PlanApplied", "True"))
    if up:
        conditions.append(Cond("Reconciled", "Unknown", "Waiting", text) if text else Cond("Reconciled", "True"))
    return conditions


RUNTIME_NOT_READY = (
    "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady "
    "message:Network plugin returns error: cni plugin not initialized"
)
DOCKER_NOT_READY = (
    "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady "
    "message:docker: network plugin is not ready: cni config uninitialized"
)


def node_conditions(s: Standing, *, ready: bool, network: bool) -> list[Cond]:
    """A Kubernetes Node. `network` says whether flannel has set NetworkUnavailable to False at all."""
    if not ready and s.facts.not_ready_as == "kubelet-stopped":
        lost = "Kubelet stopped posting node status."
        kinds = ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready")
        return [Cond("NetworkUnavailable", "False", "FlannelIsUp", "Flannel is running on this node")] + [
            Cond(kind, "Unknown", "NodeStatusUnknown", lost) for kind in kinds
        ]
    found = []
    if network:
        found.append(Cond("NetworkUnavailable", "False", "FlannelIsUp", "Flannel is running on this node"))
    found += [
        Cond("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        Cond("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        Cond("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ]
    if ready:
        found.append(Cond("Ready", "True", "KubeletReady", "kubelet is posting ready status"))
    else:
        message = DOCKER_NOT_READY if s.distribution == "rke1" else RUNTIME_NOT_READY
        found.append(Cond("Ready", "False", "KubeletNotReady", message))
    return found


def rke1_machine(s: Standing, machine: MachineName) -> list[Cond]:
    """management.cattle.io/v3 Node of an RKE1 cluster."""
    up, registered = machine.place < s.counts.machines, machine.place < s.counts.checked_in
    return [
        Cond("Initialized", "True"),
        Cond("Provisioned", "True" if up else "Unknown"),
        Cond("Saved", "True" if up else "Unknown"),
        Cond(
            "Registered",
            "True" if registered else "Unknown",
            "",
            "" if registered else "waiting to register with Kubernetes",
        ),
        Cond("Updated", "True" if registered else "Unknown"),
    ]


# WR pkg/summary: the first condition in list order that is Unknown names the state.
_TRANSITIONING = {
    "Provisioned": "provisioning",
    "Updated": "updating",
    "Waiting": "waiting",
    "Pending": "pending",
    "Upgraded": "upgrading",
    "Reconciled": "reconciling",
    "AgentDeployed": "provisioning",
    "Removed": "removing",
}


class Computed(NamedTuple):
    name: str
    transitioning: bool
    error: bool
    message: str


def computed_state(conditions: Iterable[Json], *, removing: bool = False) -> Computed:
    """The state Rancher shows; Steve and Norman compute it from conditions in list order."""
    name, messages, transitioning, error = "", [], False, False
    for c in conditions:
        kind, status, message = c["type"], c["status"], c.get("message", "")
        if kind in _TRANSITIONING and status == "Unknown":
            name, transitioning = name or _TRANSITIONING[kind], True
        elif kind in _TRANSITIONING and status == "False" and c.get("reason") != "Waiting":
            error = True
        elif kind == "Ready" and status == "False":
            name, error = name or "unavailable", True
        else:
            continue
        if message and message not in messages:
            messages.append(message)
    if removing:
        return Computed("removing", True, False, "; ".join(messages))
    return Computed(
        name or ("error" if error else "active"), transitioning, error and not transitioning, "; ".join(messages)
    )
