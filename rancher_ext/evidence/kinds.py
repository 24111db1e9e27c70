"""Which kinds of objects does evidence hold, and what is left out of each?

Objects are kept as Rancher returned them, without what only costs room (managedFields, last-applied copies, image lists,
packed charts) and without what nobody may see whatever the redaction rules say (SSH keys of nodes, contents of Secrets).
Field facts: Rancher 2.9 to 2.13.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rancher_ext.client import kubernetes as api
from rancher_ext.client.kubernetes import Resource
from rancher_ext.fleet.parse import mapping

Object = dict[str, Any]

# Copies of the object inside itself, packed or not: they repeat values (secret ones too) where no rule would look for them.
_COPIES = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        "objectset.rio.cattle.io/applied",
        "rke.cattle.io/cluster-spec",
        "lifecycle.cattle.io/create.cluster-provisioner-controller",
    }
)
_SECRET_DOCUMENT = re.compile(r"^kind:\s*[\"']?Secret[\"']?\s*$", re.MULTILINE)
_DOCUMENT_START = re.compile(r"^---[^\n]*$", re.MULTILINE)
# CRDs that a network plugin, Rancher or its charts bring. All others say nothing about a network.
_TOLD_GROUPS = (
    "projectcalico.org",
    "networking.k8s.io",
    "tigera.io",
    "cilium.io",
    "cattle.io",
    "cncf.io",
    "flannel.com",
)


def unchanged(item: Object) -> Object:
    return item


@dataclass(frozen=True)
class Kind:
    """A kind as its URL and its objects name it. Items of a list do not repeat it, so it is put back from here."""

    resource: Resource
    name: str
    reduce: Callable[[Object], Object | None] = unchanged

    def object(self, item: Mapping[str, Any]) -> Object | None:
        """The object as evidence keeps it, or None when evidence does not keep this one."""
        metadata = {key: value for key, value in mapping(item, "metadata").items() if key != "managedFields"}
        annotations = metadata.get("annotations")
        if isinstance(annotations, Mapping):
            metadata["annotations"] = {key: value for key, value in annotations.items() if key not in _COPIES}
        version = f"{self.resource.group}/{self.resource.version}" if self.resource.group else self.resource.version
        return self.reduce({"apiVersion": version, "kind": self.name, **item, "metadata": metadata})


def _without(item: Object, *paths: str) -> Object:
    """A copy of the object without these fields (dotted paths)."""
    for path in paths:
        head, _, rest = path.partition(".")
        inner = item.get(head)
        if not rest:
            item = {key: value for key, value in item.items() if key != head}
        elif isinstance(inner, Mapping):
            item = {**item, head: _without(dict(inner), rest)}
    return item


def _with_masked_manifest(item: Object, *path: str) -> Object:
    """The object with the Secrets taken out of a manifest that one of its fields carries as text."""
    head, *rest = path
    inner = item.get(head)
    if not rest:
        return {**item, head: without_secret_documents(inner)} if isinstance(inner, str) else item
    return {**item, head: _with_masked_manifest(dict(inner), *rest)} if isinstance(inner, Mapping) else item


def without_secret_documents(manifest: str) -> str:
    """YAML text with a remark in the place of every document that is a Secret; line numbers of the rest stay."""
    kept, position = [], 0
    for start in [*(found.start() for found in _DOCUMENT_START.finditer(manifest)), len(manifest)]:
        document = manifest[position:start]
        position = start
        if _SECRET_DOCUMENT.search(document):
            marker = "---\n" if document.startswith("---") else ""
            lines = document.removeprefix("---").strip("\n").count("\n")
            document = f"{marker}# a Secret was left out here" + "\n" * (lines + 1)
        kept.append(document)
    return "".join(kept)


def _management_cluster(item: Object) -> Object:
    item = _without(item, "status.serviceAccountToken", "status.caCert")
    for config in (("spec",), ("status", "appliedSpec"), ("status", "failedSpec")):
        item = _with_masked_manifest(item, *config, "rancherKubernetesEngineConfig", "addons")
    return item


def _provisioning_cluster(item: Object) -> Object:
    item = _with_masked_manifest(item, "spec", "rkeConfig", "additionalManifest")
    pools = mapping(item, "spec", "rkeConfig").get("machinePools")
    if isinstance(pools, list):
        slim = [_without(dict(pool), "dynamicSchemaSpec") if isinstance(pool, Mapping) else pool for pool in pools]
        item = {**item, "spec": {**item["spec"], "rkeConfig": {**item["spec"]["rkeConfig"], "machinePools": slim}}}
    return item


def _control_plane(item: Object) -> Object:
    for config in (("spec",), ("status", "appliedSpec")):
        item = _with_masked_manifest(item, *config, "additionalManifest")
    return item


def _management_node(item: Object) -> Object:
    # RKE1: the plan and the two configurations hold certificates, environment values and the node's SSH key.
    return _without(item, "status.nodePlan", "status.rkeNode", "status.nodeConfig", "spec.customConfig.sshKey", "spec.customConfig.sshCert", "status.internalNodeStatus.images")  # fmt: skip


def _node(item: Object) -> Object:
    return _without(item, "status.images", "status.volumesInUse", "status.volumesAttached", "status.daemonEndpoints")


def _pod(item: Object) -> Object:
    """Environment values and mounts stand in the workload's template; repeated for a thousand pods they only fill the bundle."""
    item = _without(item, "spec.volumes")
    spec = dict(mapping(item, "spec"))
    for key in ("containers", "initContainers"):
        containers = spec.get(key)
        if isinstance(containers, list):
            spec[key] = [
                _without(dict(container), "env", "envFrom", "volumeMounts", "livenessProbe", "readinessProbe")
                if isinstance(container, Mapping)
                else container
                for container in containers
            ]
    return {**item, "spec": spec}


def _helm_chart(item: Object) -> Object:
    chart = mapping(item, "spec").get("chartContent")
    if not isinstance(chart, str):
        return item
    return {**item, "spec": {**item["spec"], "chartContent": f"({len(chart)} characters of a packed chart)"}}


def _crd(item: Object) -> Object | None:
    """Name, versions and conditions: the schemas are megabytes, and a network needs the CRD to exist and to be established."""
    spec, status, metadata = mapping(item, "spec"), mapping(item, "status"), mapping(item, "metadata")
    group = str(spec.get("group") or "")
    if not any(group == told or group.endswith("." + told) for told in _TOLD_GROUPS):
        return None
    versions = spec.get("versions")
    return {
        "apiVersion": item["apiVersion"],
        "kind": item["kind"],
        "metadata": {key: metadata[key] for key in ("name", "creationTimestamp", "labels", "deletionTimestamp") if key in metadata},
        "spec": {
            "group": group,
            "scope": spec.get("scope"),
            "versions": [
                {key: version.get(key) for key in ("name", "served", "storage")}
                for version in (versions if isinstance(versions, list) else ())
                if isinstance(version, Mapping)
            ],
        },
        "status": {key: status[key] for key in ("conditions", "storedVersions") if key in status},
    }  # fmt: skip


MANAGEMENT_CLUSTER = Kind(api.MANAGEMENT_CLUSTERS, "Cluster", _management_cluster)
PROVISIONING_CLUSTER = Kind(api.PROVISIONING_CLUSTERS, "Cluster", _provisioning_cluster)
CONTROL_PLANE = Kind(api.CONTROL_PLANES, "RKEControlPlane", _control_plane)
MACHINE = Kind(api.MACHINES, "Machine")
MACHINE_DEPLOYMENT = Kind(Resource("cluster.x-k8s.io", "v1beta1", "machinedeployments"), "MachineDeployment")
MACHINE_SET = Kind(Resource("cluster.x-k8s.io", "v1beta1", "machinesets"), "MachineSet")
MACHINE_HEALTH_CHECK = Kind(Resource("cluster.x-k8s.io", "v1beta1", "machinehealthchecks"), "MachineHealthCheck")
MANAGEMENT_NODE = Kind(api.MANAGEMENT_NODES, "Node", _management_node)
CONFIG_MAP = Kind(api.CONFIG_MAPS, "ConfigMap")
EVENT = Kind(api.EVENTS, "Event")
JOB = Kind(api.JOBS, "Job")
NODE = Kind(api.NODES, "Node", _node)
POD = Kind(api.PODS, "Pod", _pod)
DAEMON_SET = Kind(api.DAEMON_SETS, "DaemonSet")
DEPLOYMENT = Kind(api.DEPLOYMENTS, "Deployment")
CRD = Kind(api.CRDS, "CustomResourceDefinition", _crd)
HELM_CHART = Kind(api.HELM_CHARTS, "HelmChart", _helm_chart)
HELM_CHART_CONFIG = Kind(Resource("helm.cattle.io", "v1", "helmchartconfigs"), "HelmChartConfig")


def infrastructure_kind(reference: Mapping[str, Any]) -> Kind | None:
    """The kind that a Machine's `infrastructureRef` names: `Amazonec2Machine` in v1beta1, with `apiGroup` alone in v1beta2."""
    name = reference.get("kind")
    version = reference.get("apiVersion") or (f"{reference['apiGroup']}/v1" if reference.get("apiGroup") else None)
    if not isinstance(name, str) or not isinstance(version, str) or not re.fullmatch(r"[A-Za-z0-9]{1,80}", name):
        return None
    group, _, number = version.partition("/")
    if not re.fullmatch(r"[a-z0-9.-]{1,120}", group) or not re.fullmatch(r"v[a-z0-9]{1,20}", number):
        return None
    return Kind(Resource(group, number, name.lower() + "s"), name)
