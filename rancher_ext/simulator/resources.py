"""Which kinds does each simulated API server know?

`local` is Rancher's own cluster (with its management, provisioning and Cluster API kinds); `downstream` is what a
cluster of a customer serves. Only kinds that a diagnosis or a repair touches; every other path is refused as by a server
that lacks the resource.
"""

from dataclasses import dataclass

# Groups that are compiled into the API server: it refuses what they lack with a `Status`, other groups with plain text.
BUILT_IN_GROUPS = frozenset({"", "apps", "autoscaling", "batch", "policy"})
_WITH_STATUS = frozenset(
    {"CustomResourceDefinition", "DaemonSet", "Deployment", "Job", "Namespace", "Node", "Pod", "Service"}
)
# CRDs without a status subresource: a client's `status` is an ordinary field of theirs.
_CUSTOM_WITHOUT_STATUS = frozenset({"Setting", "Feature"})


def is_built_in(group: str) -> bool:
    return group in BUILT_IN_GROUPS or group.endswith(".k8s.io")


@dataclass(frozen=True, slots=True)
class Resource:
    """One row of an API server's discovery."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def custom(self) -> bool:
        """A CRD: refuses strategic merge, needs a resourceVersion on update, names its kind in every item of a list."""
        return not is_built_in(self.group)

    @property
    def has_status(self) -> bool:
        """Is there a `/status`? Then the main path leaves the status alone."""
        return self.kind not in _CUSTOM_WITHOUT_STATUS if self.custom else self.kind in _WITH_STATUS

    @property
    def has_generation(self) -> bool:
        return self.custom or self.kind in {"DaemonSet", "Deployment", "Job", "CustomResourceDefinition"}

    @property
    def steve(self) -> str:
        """Steve's schema id: singular by convention is the lower-case kind."""
        return f"{self.group}.{self.kind.lower()}" if self.group else self.kind.lower()


_CORE = (
    Resource("", "v1", "secrets", "Secret"),
    Resource("", "v1", "configmaps", "ConfigMap"),
    Resource("", "v1", "events", "Event"),
    Resource("", "v1", "pods", "Pod"),
    Resource("", "v1", "namespaces", "Namespace", namespaced=False),
    Resource("", "v1", "nodes", "Node", namespaced=False),
    Resource("", "v1", "serviceaccounts", "ServiceAccount"),
    Resource("", "v1", "services", "Service"),
    Resource("batch", "v1", "jobs", "Job"),
    Resource("apps", "v1", "deployments", "Deployment"),
    Resource("apps", "v1", "daemonsets", "DaemonSet"),
    Resource("coordination.k8s.io", "v1", "leases", "Lease"),
    Resource("rbac.authorization.k8s.io", "v1", "roles", "Role"),
    Resource("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding"),
    Resource("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", namespaced=False),
    Resource("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False),
    Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False),
)

_MANAGEMENT = (
    Resource("provisioning.cattle.io", "v1", "clusters", "Cluster"),
    Resource("management.cattle.io", "v3", "clusters", "Cluster", namespaced=False),
    Resource("management.cattle.io", "v3", "nodes", "Node"),
    Resource("management.cattle.io", "v3", "nodepools", "NodePool"),
    Resource("management.cattle.io", "v3", "settings", "Setting", namespaced=False),
    Resource("management.cattle.io", "v3", "features", "Feature", namespaced=False),
    Resource("management.cattle.io", "v3", "etcdbackups", "EtcdBackup"),
    Resource("management.cattle.io", "v3", "rkek8ssystemimages", "RkeK8sSystemImage"),
    Resource("rke.cattle.io", "v1", "rkecontrolplanes", "RKEControlPlane"),
    Resource("rke.cattle.io", "v1", "rkeclusters", "RKECluster"),
    Resource("rke.cattle.io", "v1", "rkebootstraps", "RKEBootstrap"),
    Resource("rke.cattle.io", "v1", "etcdsnapshots", "ETCDSnapshot"),
    Resource("rke.cattle.io", "v1", "custommachines", "CustomMachine"),
    Resource("rke-machine.cattle.io", "v1", "amazonec2machines", "Amazonec2Machine"),
    Resource("rke-machine.cattle.io", "v1", "vmwarevspheremachines", "VmwarevsphereMachine"),
    Resource("cluster.x-k8s.io", "v1beta1", "clusters", "Cluster"),
    Resource("cluster.x-k8s.io", "v1beta1", "machines", "Machine"),
    Resource("cluster.x-k8s.io", "v1beta1", "machinedeployments", "MachineDeployment"),
    Resource("cluster.x-k8s.io", "v1beta1", "machinesets", "MachineSet"),
    Resource("cluster.x-k8s.io", "v1beta1", "machinehealthchecks", "MachineHealthCheck"),
)

_CALICO = "crd.projectcalico.org"
CALICO_PLURALS = {
    "bgpconfigurations": "BGPConfiguration",
    "bgpfilters": "BGPFilter",
    "bgppeers": "BGPPeer",
    "blockaffinities": "BlockAffinity",
    "caliconodestatuses": "CalicoNodeStatus",
    "clusterinformations": "ClusterInformation",
    "felixconfigurations": "FelixConfiguration",
    "globalnetworkpolicies": "GlobalNetworkPolicy",
    "globalnetworksets": "GlobalNetworkSet",
    "hostendpoints": "HostEndpoint",
    "ipamblocks": "IPAMBlock",
    "ipamconfigs": "IPAMConfig",
    "ipamhandles": "IPAMHandle",
    "ippools": "IPPool",
    "ipreservations": "IPReservation",
    "kubecontrollersconfigurations": "KubeControllersConfiguration",
    "networkpolicies": "NetworkPolicy",
    "networksets": "NetworkSet",
    "stagedglobalnetworkpolicies": "StagedGlobalNetworkPolicy",
    "stagedkubernetesnetworkpolicies": "StagedKubernetesNetworkPolicy",
    "stagednetworkpolicies": "StagedNetworkPolicy",
    "tiers": "Tier",
}

# Of the CRDs that the network's charts bring.
NAMESPACED_KINDS = frozenset(
    {
        "HelmChart",
        "HelmChartConfig",
        "NetworkPolicy",
        "NetworkSet",
        "StagedKubernetesNetworkPolicy",
        "StagedNetworkPolicy",
    }
)

_DOWNSTREAM = (
    Resource("helm.cattle.io", "v1", "helmcharts", "HelmChart"),
    Resource("helm.cattle.io", "v1", "helmchartconfigs", "HelmChartConfig"),
    Resource(_CALICO, "v1", "felixconfigurations", "FelixConfiguration", namespaced=False),
    Resource(_CALICO, "v1", "ippools", "IPPool", namespaced=False),
    Resource(_CALICO, "v1", "clusterinformations", "ClusterInformation", namespaced=False),
)

LOCAL_RESOURCES = _CORE + _MANAGEMENT
DOWNSTREAM_RESOURCES = _CORE + _DOWNSTREAM

_BY_KIND = {(r.api_version, r.kind): r for r in LOCAL_RESOURCES + DOWNSTREAM_RESOURCES}


def resource_of(api_version: str, kind: str) -> Resource:
    """The resource an object belongs to; a KeyError means the renderer made something no server here serves."""
    return _BY_KIND[api_version, kind]


def collection(resource: Resource) -> str:
    """The resource's path below a cluster: `/apis/apps/v1/daemonsets`."""
    prefix = f"/apis/{resource.group}" if resource.group else "/api"
    return f"{prefix}/{resource.version}/{resource.plural}"
