"""How are the facts of a fleet, or of one cluster, read?

The whole fleet costs a handful of lists on the management side, whatever its size. Only clusters that are not well are asked
more closely: their machine plans (large, and secret), and their own API where Rancher reaches it.

Lists go by Fleet workspace, not over all namespaces: the rights that Rancher gives through
`inheritedFleetWorkspacePermissions` are bound in each workspace.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from difflib import get_close_matches
from typing import Any

from rancher_ext.client.kubernetes import (
    CONTROL_PLANES,
    DAEMON_SETS,
    MACHINES,
    MANAGEMENT_CLUSTERS,
    MANAGEMENT_NODES,
    NODES,
    PROVISIONING_CLUSTERS,
    SECRETS,
    KubernetesApi,
    Resource,
)
from rancher_ext.client.norman import Norman
from rancher_ext.client.transport import Transport
from rancher_ext.errors import NotFound, RancherError, ServerFailed, UnknownPath
from rancher_ext.fleet.cluster import ClusterKey, Distribution, Management
from rancher_ext.fleet.cni import cni_of_daemonset
from rancher_ext.fleet.parse import ClusterObjects, cluster_identity, cluster_snapshot, mapping, text
from rancher_ext.fleet.snapshot import ClusterSnapshot
from rancher_ext.fleet.versions import Version

_NAME_LABEL = "cluster.x-k8s.io/cluster-name"
_PLAN_NAME_LABEL = "rke.cattle.io/cluster-name"
_PLAN_TYPE = "type=rke.cattle.io/machine-plan"
# Where Rancher's distributions run their network; flannel's and calico's own manifests make namespaces of their own.
_CNI_NAMESPACES = ("kube-system", "kube-flannel", "calico-system")
# Shorter than the general limit: a sweep must not wait 70 s for one cluster that Rancher has just lost.
DOWNSTREAM_TIMEOUT = 45.0
# Rancher's proxy holds one tunnel per cluster; eight readers keep it busy without crowding it.
WORKERS = 8


class FleetReader:
    """Reads snapshots from one Rancher server. `closer` decides which clusters are worth a second, deeper look."""

    def __init__(self, transport: Transport, now: Callable[[], datetime]) -> None:
        self._transport = transport
        self._local = KubernetesApi(transport)
        self._now = now
        self._norman = Norman(transport)
        self._version: Version | None = None
        self._version_read = False

    @property
    def rancher(self) -> str:
        return self._transport.name

    def rancher_version(self, *, fresh: bool = False) -> Version | None:
        if fresh or not self._version_read:
            self._version = self._norman.server_version()
            self._version_read = True
        return self._version

    def fleet(
        self,
        closer: Callable[[ClusterSnapshot], bool],
        progress: Callable[[int, int], None] | None = None,
    ) -> list[ClusterSnapshot]:
        """Snapshots of every cluster, by id. `progress(done, of)` is called while clusters are looked at closely."""
        version = self.rancher_version(fresh=True)
        clusters = self._local.list(MANAGEMENT_CLUSTERS).items
        objects = self._join(clusters)
        taken_at = self._now()
        snapshots = [cluster_snapshot(self.rancher, each, version, taken_at) for each in objects]
        suspects = [index for index, snapshot in enumerate(snapshots) if closer(snapshot)]
        done = 0
        if progress:
            progress(0, len(suspects))
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="snapshot") as pool:
            for index, snapshot in zip(
                suspects, pool.map(lambda i: self._closer(objects[i], snapshots[i]), suspects), strict=True
            ):
                snapshots[index] = snapshot
                done += 1
                if progress:
                    progress(done, len(suspects))
        return sorted(snapshots, key=lambda snapshot: snapshot.key)

    def cluster(self, identifier: str) -> ClusterSnapshot:
        """One cluster by its management id, looked at closely. Raises NotFound when Rancher has it no more."""
        try:
            management = self._local.get(MANAGEMENT_CLUSTERS, identifier)
        except UnknownPath as error:
            # An ingress without a backend says 404, too. That must not look like a cluster that is gone.
            raise ServerFailed(error.message, cure=error.cure, status=404) from error
        try:
            (objects,) = self._join([management], only=identifier)
        except NotFound as error:
            raise ServerFailed(error.message, cure=error.cure, status=404) from error
        return self._closer(objects, cluster_snapshot(self.rancher, objects, self.rancher_version(), self._now()))

    def keys(self) -> dict[str, list[ClusterKey]]:
        """All clusters by id and by display name, in one list."""
        found: dict[str, list[ClusterKey]] = defaultdict(list)
        for cluster in self._local.list(MANAGEMENT_CLUSTERS).items:
            identity = cluster_identity(self.rancher, cluster, None)
            for name in {identity.id, identity.name}:
                found[name].append(identity.key)
        return found

    def find(self, name: str) -> ClusterKey:
        """The key of the cluster with this id or display name. Raises NotFound with near names, or when a name is not unique."""
        names: dict[str, list[str]] = defaultdict(list)
        for cluster in self._local.list(MANAGEMENT_CLUSTERS).items:
            identity = cluster_identity(self.rancher, cluster, None)
            if identity.id == name:
                return identity.key
            names[identity.name].append(identity.id)
        found = names.get(name, [])
        if len(found) == 1:
            return ClusterKey(self.rancher, found[0])
        if found:
            raise NotFound(
                f"{len(found)} clusters are named {name!r}: {', '.join(sorted(found))}",
                cure="Name the cluster by its id.",
                status=404,
            )
        near = get_close_matches(name, names, n=3)
        raise NotFound(
            f"{self._transport.url} has no cluster {name!r}",
            cure=f"Did you mean {', '.join(near)}?"
            if near
            else "`drover sweep` lists the clusters that the token may see.",
            status=404,
        )

    def _join(self, clusters: Sequence[dict[str, Any]], only: str = "") -> list[ClusterObjects]:
        """The management side of these clusters, in a few lists; of one cluster in a few objects."""
        workspaces = sorted(
            {_workspace(cluster) for cluster in clusters if not mapping(cluster, "spec").get("internal")}
        )
        provisioning = self._owner(clusters[0]) if only else None
        alone = provisioning is not None
        if provisioning is None:
            provisioning = self._by_workspace(PROVISIONING_CLUSTERS, workspaces)
        by_cluster = {text(mapping(item, "status").get("clusterName")): item for item in provisioning}
        label = ""
        if only:
            owner = by_cluster.get(only)
            label = f"{_NAME_LABEL}={text(mapping(owner or {}, 'metadata').get('name')) or only}"
        control_planes = (
            [item for item in (self._get(CONTROL_PLANES, *_place(each)) for each in provisioning) if item]
            if alone
            else self._by_workspace(CONTROL_PLANES, workspaces, optional=True)
        )
        planes = {_place(item): item for item in control_planes}
        machines: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        for machine in self._by_workspace(MACHINES, workspaces, labels=label, optional=True):
            namespace, _ = _place(machine)
            machines[namespace, text(mapping(machine, "metadata", "labels").get(_NAME_LABEL))].append(machine)
        nodes: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for node in self._local.list(MANAGEMENT_NODES, only).items:
            nodes[_place(node)[0]].append(node)
        joined = []
        for cluster in clusters:
            name = text(mapping(cluster, "metadata").get("name"))
            owner = by_cluster.get(name)
            place = _place(owner) if owner else ("", "")
            joined.append(
                ClusterObjects(
                    management=cluster,
                    provisioning=owner,
                    control_plane=planes.get(place),
                    machines=machines.get(place, []),
                    plans=None,
                    nodes=nodes.get(name, []),
                )
            )
        return joined

    def _owner(self, cluster: Mapping[str, Any]) -> list[dict[str, Any]] | None:
        """The provisioning object of one cluster, by the name it usually has; None where only a list can tell."""
        found = self._get(PROVISIONING_CLUSTERS, _workspace(cluster), text(mapping(cluster, "spec").get("displayName")))
        named = text(mapping(found or {}, "status").get("clusterName"))
        return [found] if found and named == text(mapping(cluster, "metadata").get("name")) else None

    def _get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any] | None:
        try:
            return self._local.get(resource, name, namespace) if name else None
        except NotFound:
            return None

    def _by_workspace(
        self, resource: Resource, workspaces: Iterable[str], *, labels: str = "", optional: bool = False
    ) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        for workspace in workspaces:
            try:
                items += self._local.list(resource, workspace, labels=labels).items
            except NotFound:
                # A Rancher without the kind (RKE1 only, or a later major of Cluster API) simply has none of it.
                if not optional:
                    raise
        return items

    def _closer(self, objects: ClusterObjects, snapshot: ClusterSnapshot) -> ClusterSnapshot:
        """The snapshot with machine plans and, where Rancher reaches the cluster, its nodes and DaemonSets.

        What cannot be read leaves the snapshot as it was: a second look may fail, the first one stands.
        """
        plans = self._plans(objects, snapshot)
        nodes: list[dict[str, Any]] | None = None
        daemonsets: list[dict[str, Any]] | None = None
        if is_reachable(snapshot):
            downstream = KubernetesApi(self._transport, snapshot.identity.id)
            try:
                nodes = downstream.list(NODES, timeout=DOWNSTREAM_TIMEOUT).items
                daemonsets = self._daemonsets(downstream, snapshot)
            except RancherError:
                nodes = nodes or None
        closer = replace(objects, plans=plans, downstream_nodes=nodes, daemonsets=daemonsets)
        return cluster_snapshot(self.rancher, closer, snapshot.rancher, snapshot.taken_at)

    def _daemonsets(self, downstream: KubernetesApi, snapshot: ClusterSnapshot) -> list[dict[str, Any]]:
        """Those of kube-system; of an imported cluster also those of the namespaces that upstream manifests use."""
        found: list[dict[str, Any]] = []
        for namespace in _CNI_NAMESPACES if snapshot.management is Management.IMPORTED else _CNI_NAMESPACES[:1]:
            found += downstream.list(DAEMON_SETS, namespace, timeout=DOWNSTREAM_TIMEOUT).items
            if any(cni_of_daemonset(_place(item)[1]) for item in found):
                break
        return found

    def _plans(self, objects: ClusterObjects, snapshot: ClusterSnapshot) -> list[dict[str, Any]] | None:
        if (
            snapshot.management is not Management.PROVISIONED
            or snapshot.distribution is Distribution.RKE1
            or not objects.provisioning
        ):
            return None
        namespace, name = _place(objects.provisioning)
        try:
            return self._local.list(SECRETS, namespace, labels=f"{_PLAN_NAME_LABEL}={name}", fields=_PLAN_TYPE).items
        except RancherError:
            return None


def is_reachable(snapshot: ClusterSnapshot) -> bool:
    """Does Rancher reach the cluster's own API? Asking an unreachable one costs up to 40 s.

    RKE1 falls back to the tunnels of its nodes, so a dead CNI does not cut it off once `rke up` has stored the endpoint
    (rancher-api 3.2); `Provisioned` tells that it has.
    """
    if snapshot.connected is True:
        return True
    if snapshot.distribution is Distribution.RKE1 and snapshot.management is Management.PROVISIONED:
        provisioned = snapshot.condition("Provisioned")
        return bool(provisioned and provisioned.status)
    return False


def _workspace(cluster: Mapping[str, Any]) -> str:
    return text(mapping(cluster, "spec").get("fleetWorkspaceName")) or "fleet-default"


def _place(item: Mapping[str, Any]) -> tuple[str, str]:
    metadata = mapping(item, "metadata")
    return text(metadata.get("namespace")), text(metadata.get("name"))
