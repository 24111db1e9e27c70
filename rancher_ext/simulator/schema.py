"""Which fields does an API server keep of an object that a client sends?

Fields that a kind's type or schema does not have are dropped without an error: silently with `fieldValidation=Ignore`, with
a `Warning` header by default, and refused with 400 by `Strict`. Maps whose values are texts (labels, annotations, the data
of a ConfigMap) refuse numbers: 400 in an object, 422 in a patch's result. Read from kube-apiserver 1.32.

Simplified: the fields of built-in kinds are known to the depth of containers, those of Rancher's kinds (which have YAML for
their schemas) for the provisioning cluster alone; what is not known of a kind is kept. Types of values are not checked.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Json = dict[str, Any]

# A value is the fields below; None is anything.
Fields = Mapping[str, Any]


def _any(names: str, **below: Any) -> Fields:
    return {**dict.fromkeys(names.split()), **below}


_METADATA = _any(
    "annotations creationTimestamp deletionGracePeriodSeconds deletionTimestamp finalizers generateName generation labels "
    "managedFields name namespace ownerReferences resourceVersion selfLink uid"
)
_CONTAINER = _any(
    "args command env envFrom image imagePullPolicy lifecycle livenessProbe name ports readinessProbe resizePolicy resources "
    "restartPolicy securityContext startupProbe stdin stdinOnce terminationMessagePath terminationMessagePolicy tty "
    "volumeDevices volumeMounts workingDir"
)
_POD_SPEC = _any(
    "activeDeadlineSeconds affinity automountServiceAccountToken dnsConfig dnsPolicy enableServiceLinks ephemeralContainers "
    "hostAliases hostIPC hostNetwork hostPID hostUsers hostname imagePullSecrets nodeName nodeSelector os overhead "
    "preemptionPolicy priority priorityClassName readinessGates resourceClaims resources restartPolicy runtimeClassName "
    "schedulerName schedulingGates securityContext serviceAccount serviceAccountName setHostnameAsFQDN shareProcessNamespace "
    "subdomain terminationGracePeriodSeconds tolerations topologySpreadConstraints volumes",
    containers=[_CONTAINER],
    initContainers=[_CONTAINER],
)
_TEMPLATE: Fields = {"metadata": _METADATA, "spec": _POD_SPEC}
_TAINT = _any("effect key timeAdded value")

_BUILT_IN: Mapping[str, Fields] = {
    "ClusterRole": _any("aggregationRule rules"),
    "ClusterRoleBinding": _any("roleRef subjects"),
    "ConfigMap": _any("binaryData data immutable"),
    "CustomResourceDefinition": {
        "spec": _any("conversion group names preserveUnknownFields scope versions"),
        "status": None,
    },
    "DaemonSet": {
        "spec": _any("minReadySeconds revisionHistoryLimit selector updateStrategy", template=_TEMPLATE),
        "status": None,
    },
    "Deployment": {
        "spec": _any(
            "minReadySeconds paused progressDeadlineSeconds replicas revisionHistoryLimit selector strategy",
            template=_TEMPLATE,
        ),
        "status": None,
    },
    "Event": _any(
        "action count eventTime firstTimestamp involvedObject lastTimestamp message reason related reportingComponent "
        "reportingInstance series source type"
    ),
    "Job": {
        "spec": _any(
            "activeDeadlineSeconds backoffLimit backoffLimitPerIndex completionMode completions managedBy manualSelector "
            "maxFailedIndexes parallelism podFailurePolicy podReplacementPolicy selector successPolicy suspend "
            "ttlSecondsAfterFinished",
            template=_TEMPLATE,
        ),
        "status": None,
    },
    "Lease": {
        "spec": _any(
            "acquireTime holderIdentity leaseDurationSeconds leaseTransitions preferredHolder renewTime strategy"
        )
    },
    "Namespace": {"spec": _any("finalizers"), "status": None},
    "Node": {
        "spec": _any("configSource externalID podCIDR podCIDRs providerID unschedulable", taints=[_TAINT]),
        "status": None,
    },
    "Pod": {"spec": _POD_SPEC, "status": None},
    "Role": _any("rules"),
    "RoleBinding": _any("roleRef subjects"),
    "Secret": _any("data immutable stringData type"),
    "Service": {"spec": None, "status": None},
    "ServiceAccount": _any("automountServiceAccountToken imagePullSecrets secrets"),
}

_MACHINE_POOL = _any(
    "autoscalingMaxSize autoscalingMinSize cloudCredentialSecretName controlPlaneRole displayName drainBeforeDelete "
    "drainBeforeDeleteTimeout dynamicSchemaSpec etcdRole hostnameLengthLimit labels machineConfigRef "
    "machineDeploymentAnnotations machineDeploymentLabels machineOS maxUnhealthy name nodeStartupTimeout paused quantity "
    "rollingUpdate taints unhealthyNodeTimeout unhealthyRange workerRole"
)
_PROVISIONING_CLUSTER: Fields = {
    "spec": _any(
        "agentEnvVars cloudCredentialSecretName clusterAPIConfig clusterAgentDeploymentCustomization "
        "defaultClusterRoleForProjectMembers defaultPodSecurityAdmissionConfigurationTemplateName enableNetworkPolicy "
        "fleetAgentDeploymentCustomization kubernetesVersion localClusterAuthEndpoint redeploySystemAgentGeneration",
        rkeConfig=_any(
            "additionalManifest chartValues dataDirectories etcd etcdSnapshotCreate etcdSnapshotRestore infrastructureRef "
            "machineGlobalConfig machinePoolDefaults machineSelectorConfig machineSelectorFiles networking "
            "provisionGeneration registries rotateCertificates rotateEncryptionKeys upgradeStrategy",
            machinePools=[_MACHINE_POOL],
        ),
    ),
    "status": None,
}
_TEXTS: Mapping[str, tuple[str, ...]] = {"ConfigMap": ("data", "binaryData"), "Secret": ("data", "stringData")}


def fields_of(group: str, kind: str) -> Fields | None:
    """The fields of a kind below its root, or None when its schema keeps whatever it is given (or is not known here)."""
    if (group, kind) == ("provisioning.cattle.io", "Cluster"):
        found: Fields = _PROVISIONING_CLUSTER
    elif kind in _BUILT_IN and ("." not in group or group.endswith(".k8s.io")):
        found = _BUILT_IN[kind]
    else:
        return None
    return {"apiVersion": None, "kind": None, "metadata": _METADATA, **found}


def pruned(obj: Json, fields: Fields | None) -> tuple[Json, list[str]]:
    """The object without what its kind does not have, and the paths of that."""
    if fields is None:
        return obj, []
    unknown: list[str] = []
    return _prune(obj, fields, "", unknown), unknown


def _prune(value: Any, fields: Any, path: str, unknown: list[str]) -> Any:
    if isinstance(fields, list):
        if not isinstance(value, list):
            return value
        return [_prune(each, fields[0], f"{path}[{i}]", unknown) for i, each in enumerate(value)]
    if fields is None or not isinstance(value, dict):
        return value
    kept = {}
    for key, below in value.items():
        where = f"{path}.{key}" if path else str(key)
        if key in fields:
            kept[key] = _prune(below, fields[key], where, unknown)
        else:
            unknown.append(where)
    return kept


def not_texts(obj: Json, kind: str, *, custom: bool) -> str:
    """What the decoder says of the first map of texts that holds something else; empty when there is none."""
    for owner, path, value in _text_maps(obj, kind, "" if custom else "metadata."):
        if isinstance(value, dict):
            for each in value.values():
                if each is not None and not isinstance(each, str):
                    return f"json: cannot unmarshal {_go(each)} into Go struct field {owner}.{path} of type string"
    return ""


def _text_maps(obj: Json, kind: str, prefix: str) -> Iterator[tuple[str, str, Any]]:
    metadata = obj.get("metadata") or {}
    for name in ("labels", "annotations"):
        yield "ObjectMeta", prefix + name, metadata.get(name)
    for name in _TEXTS.get(kind, ()):
        yield kind, name, obj.get(name)


def _go(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    return "array" if isinstance(value, list) else "object"
