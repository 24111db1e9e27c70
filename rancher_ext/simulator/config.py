"""Which specification does an ordinary cluster have?

The defaults Rancher's forms write, per distribution; a scenario lays its own keys over them. RKE1:
`rancherKubernetesEngineConfig` of the management cluster. RKE2/K3s: `spec` of the provisioning cluster.
"""

from typing import Any

from rancher_ext.simulator.identity import Identity
from rancher_ext.simulator.patching import merge_patch
from rancher_ext.simulator.scenario import Scenario

Json = dict[str, Any]

DRIVER_KINDS = {"amazonec2": "Amazonec2", "vmwarevsphere": "Vmwarevsphere"}


def wanted_config(scenario: Scenario, identity: Identity) -> tuple[Json, Json]:
    """What the specification says, and what it said before the trouble began."""
    if scenario.management == "provisioned" and scenario.distribution == "rke1":
        base = _rke1(scenario)
    elif scenario.management == "provisioned":
        base = _v2(scenario, identity)
    else:
        base = {}
    config: Json = merge_patch(base, scenario.config)
    before: Json = merge_patch(config, scenario.config_before)
    return config, before


def _rke1(scenario: Scenario) -> Json:
    network: Json = {"plugin": scenario.cni, "mtu": 0, "options": {f"{scenario.cni}_flannel_backend_type": "vxlan"}}
    if scenario.cni == "flannel":
        network["options"] = {"flannel_backend_type": "vxlan"}
    return {
        "kubernetesVersion": scenario.kubernetes,
        "addonJobTimeout": 45,
        "enableCriDockerd": True,
        "ignoreDockerVersion": True,
        "sshAgentAuth": False,
        "authentication": {"strategy": "x509"},
        "dns": {"provider": "coredns", "nodelocal": {}},
        "ingress": {"provider": "nginx", "defaultBackend": False},
        "monitoring": {"provider": "metrics-server", "replicas": 1},
        "network": network,
        "services": {
            "etcd": {
                "backupConfig": {
                    "enabled": True,
                    "intervalHours": 12,
                    "retention": 6,
                    "safeTimestamp": False,
                    "timeout": 300,
                },
                "creation": "12h",
                "extraArgs": {"election-timeout": "5000", "heartbeat-interval": "500"},
                "retention": "72h",
                "snapshot": False,
            },
            "kubeApi": {
                "alwaysPullImages": False,
                "serviceClusterIpRange": "10.43.0.0/16",
                "serviceNodePortRange": "30000-32767",
            },
            "kubeController": {"clusterCidr": "10.42.0.0/16", "serviceClusterIpRange": "10.43.0.0/16"},
            "kubelet": {"clusterDnsServer": "10.43.0.10", "clusterDomain": "cluster.local", "failSwapOn": False},
            "kubeproxy": {},
            "scheduler": {},
        },
        "upgradeStrategy": {
            "drain": False,
            "maxUnavailableControlplane": "1",
            "maxUnavailableWorker": "10%",
            "nodeDrainInput": {
                "deleteLocalData": False,
                "force": False,
                "gracePeriod": -1,
                "ignoreDaemonSets": True,
                "timeout": 120,
            },
        },
    }


def _drain(enabled: bool) -> Json:
    return {
        "enabled": enabled,
        "deleteEmptyDirData": True,
        "disableEviction": False,
        "force": False,
        "gracePeriod": -1,
        "ignoreDaemonSets": True,
        "skipWaitForDeleteTimeoutSeconds": 0,
        "timeout": 120,
    }


def _v2(scenario: Scenario, identity: Identity) -> Json:
    config: Json = {"disable-kube-proxy": False, "etcd-expose-metrics": False}
    if scenario.distribution == "rke2":
        config["cni"] = scenario.cni
    rke: Json = {
        "machineGlobalConfig": config,
        "machineSelectorConfig": [{"config": {"protect-kernel-defaults": False}}],
        "chartValues": {f"rke2-{scenario.cni}": {}} if scenario.distribution == "rke2" else {},
        "additionalManifest": "",
        "upgradeStrategy": {
            "controlPlaneConcurrency": "1",
            "controlPlaneDrainOptions": _drain(enabled=False),
            "workerConcurrency": "1",
            "workerDrainOptions": _drain(enabled=False),
        },
        "etcd": {"disableSnapshots": False, "snapshotRetention": 5, "snapshotScheduleCron": "0 */5 * * *"},
        "registries": {"configs": {}, "mirrors": {}},
    }
    kind = DRIVER_KINDS.get(scenario.driver)
    if kind:
        rke["machinePools"] = [
            {
                "name": pool.name,
                "quantity": pool.quantity,
                "etcdRole": "etcd" in pool.roles,
                "controlPlaneRole": "controlplane" in pool.roles,
                "workerRole": "worker" in pool.roles,
                "machineOS": pool.os,
                "drainBeforeDelete": True,
                "unhealthyNodeTimeout": "0s",
                "dynamicSchemaSpec": "{}",
                "machineConfigRef": {
                    "kind": f"{kind}Config",
                    "name": f"nc-{identity.name}-{pool.name}-{_tail(identity, pool.name)}",
                },
            }
            for pool in scenario.pools
        ]
    spec: Json = {
        "kubernetesVersion": scenario.kubernetes,
        "localClusterAuthEndpoint": {"enabled": False},
        "enableNetworkPolicy": False,
        "rkeConfig": rke,
    }
    if kind:
        spec["cloudCredentialSecretName"] = "cattle-global-data:cc-x7f2d"
    return spec


def _tail(identity: Identity, pool: str) -> str:
    return next((m.id[-5:] for m in identity.machines if m.pool == pool), "xxxxx")
