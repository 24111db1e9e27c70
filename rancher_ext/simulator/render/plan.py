"""What stands in a machine-plan secret?

Models name, labels, annotations, the plan with its files, instructions and probes, the applied copy, checksums and
probe results, all base64 as in the API. The plan holds join tokens, as the original does: `PLANTED_TOKEN` is a
recognisable false one, so that a test can prove that no evidence carries it.
Simplified: one plan per role; output is gzip of an empty object.
"""

import base64
import gzip
import hashlib
import json
import time
from functools import lru_cache
from typing import Any

from rancher_ext.simulator.cluster import SimCluster
from rancher_ext.simulator.identity import MachineName

Json = dict[str, Any]

PLANTED_TOKEN = "K10f00dplantedjointokenf00d::server:drover-planted-secret-7c21"  # noqa: S105 - planted on purpose

_PROBE_URLS = {
    "calico": "http://127.0.0.1:9099/liveness",
    "etcd": "http://127.0.0.1:2381/health",
    "kube-apiserver": "https://127.0.0.1:6443/readyz",
    "kube-controller-manager": "https://127.0.0.1:10257/healthz",
    "kube-scheduler": "https://127.0.0.1:10259/healthz",
    "kubelet": "http://127.0.0.1:10248/healthz",
}
_NOTHING = base64.b64encode(gzip.compress(b"{}", mtime=0)).decode()


def b64(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def cluster_spec_annotation(spec: Json) -> str:
    """base64(gzip(JSON)) of the provisioning spec without operation fields."""
    return _packed(json.dumps(spec, separators=(",", ":"), sort_keys=True))


@lru_cache(maxsize=512)
def _packed(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode(), compresslevel=1, mtime=0)).decode()


def probes_of(cluster: SimCluster, machine: MachineName) -> list[str]:
    """R13 pkg/capr/planner/probe.go: canal and flannel have none of their own."""
    k3s = cluster.scenario.distribution == "k3s"
    config = (cluster.planned.get("rkeConfig") or {}).get("machineGlobalConfig") or {}
    found = []
    cni = config.get("cni", "")
    if not k3s and machine.os == "linux" and cni in {"", "calico", "calico+multus"} and set(machine.roles) != {"etcd"}:
        found.append("calico")
    if machine.has("etcd") and not k3s:
        found.append("etcd")
    if machine.has("controlplane"):
        found += ["kube-apiserver", "kube-controller-manager", "kube-scheduler"]
    if not (k3s and set(machine.roles) == {"etcd"}):
        found.append("kubelet")
    return found


def plan_secret_data(cluster: SimCluster, machine: MachineName, *, beat: int) -> Json:
    """The `data` of one secret. `beat` moves with the node agent's polling, as success counts do."""
    facts = cluster.facts
    applied = machine.place < cluster.counts.checked_in
    spec = cluster.planned
    plan = _plan(
        cluster.scenario.distribution,
        json.dumps(_relevant(spec), sort_keys=True),
        machine.has("controlplane"),
        tuple(probes_of(cluster, machine)),
    )
    old = plan
    if cluster.planned is not cluster.delivered:
        old = _plan(
            cluster.scenario.distribution,
            json.dumps(_relevant(cluster.delivered), sort_keys=True),
            machine.has("controlplane"),
            tuple(probes_of(cluster, machine)),
        )
    bad = facts.probes_bad if facts.probes_bad_on == "all" or machine.place == 0 else ()
    data: Json = {
        "plan": plan[0],
        "failure-threshold": b64("1"),
        "max-failures": b64("-1"),
        "probe-period-seconds": b64("5"),
    }
    if applied:
        data |= {
            "appliedPlan": old[0],
            "applied-checksum": b64(old[1]),
            "applied-output": _NOTHING,
            "applied-periodic-output": _NOTHING,
            "failed-checksum": "",
            "failed-output": "",
            "failure-count": b64("0"),
            "success-count": b64("1"),
            "last-apply-time": b64(time.strftime("%a %b %e %H:%M:%S UTC %Y", time.gmtime(cluster.plan_updated + 30))),
            "probe-statuses": _probe_statuses(tuple(probes_of(cluster, machine)), tuple(bad), beat),
        }
    return data


def _relevant(spec: Json) -> Json:
    rke = spec.get("rkeConfig") or {}
    keys = ("machineGlobalConfig", "machineSelectorConfig", "chartValues", "additionalManifest")
    return {
        "v": spec.get("kubernetesVersion", ""),
        "g": rke.get("provisionGeneration", 0),
        **{k: rke.get(k) for k in keys},
    }


@lru_cache(maxsize=1024)
def _plan(distribution: str, relevant: str, server: bool, probes: tuple[str, ...]) -> tuple[str, str]:
    """The encoded plan and the checksum of its bytes."""
    spec = json.loads(relevant)
    config = {**(spec["machineGlobalConfig"] or {}), "token": PLANTED_TOKEN, "agent-token": PLANTED_TOKEN + "-agent"}
    for entry in spec["machineSelectorConfig"] or []:
        config |= entry.get("config") or {}
    data = f"/var/lib/rancher/{distribution}"
    files: list[Json] = [
        {"content": b64(json.dumps(config)), "path": f"/etc/rancher/{distribution}/config.yaml.d/50-rancher.yaml"}
    ]
    if server:
        charts = [
            {
                "apiVersion": "helm.cattle.io/v1",
                "kind": "HelmChartConfig",
                "metadata": {"name": name, "namespace": "kube-system"},
                "spec": {"valuesContent": json.dumps(values)},
            }
            for name, values in (spec["chartValues"] or {}).items()
        ]
        chart_text = "\n---\n".join(map(json.dumps, charts))
        files += [
            {
                "content": b64(chart_text),
                "path": f"{data}/server/manifests/rancher/managed-chart-config.yaml",
                "dynamic": True,
            },
            {
                "content": b64(spec["additionalManifest"] or ""),
                "path": f"{data}/server/manifests/rancher/addons.yaml",
                "dynamic": True,
            },
            {
                "content": b64("# cattle-cluster-agent"),
                "path": f"{data}/server/manifests/rancher/cluster-agent.yaml",
                "minor": True,
            },
        ]
    stamped = json.dumps([spec["v"], spec["g"], config], sort_keys=True)
    stamp = hashlib.sha256(stamped.encode()).hexdigest()
    plan = {
        "files": files,
        "instructions": [
            {
                "name": "install",
                "image": f"rancher/system-agent-installer-{distribution}:{spec['v'].replace('+', '-')}",
                "env": [
                    f"RESTART_STAMP={stamp}",
                    f"INSTALL_{distribution.upper()}_EXEC={'server' if server else 'agent'}",
                ],
                "args": ["-c", "run.sh"],
                "command": "sh",
            }
        ],
        "probes": {
            name: {
                "initialDelaySeconds": 1,
                "timeoutSeconds": 5,
                "successThreshold": 1,
                "failureThreshold": 2,
                "httpGet": {"url": _PROBE_URLS[name]},
            }
            for name in probes
        },
    }
    raw = json.dumps(plan, separators=(",", ":")).encode()
    return base64.b64encode(raw).decode(), hashlib.sha256(raw).hexdigest()


@lru_cache(maxsize=1024)
def _probe_statuses(probes: tuple[str, ...], bad: tuple[str, ...], beat: int) -> str:
    # Go leaves out false and 0.
    return b64(
        json.dumps(
            {
                p: {"failureCount": 2 + beat} if p in bad else {"healthy": True, "successCount": 1 + beat}
                for p in probes
            },
            separators=(",", ":"),
        )
    )
