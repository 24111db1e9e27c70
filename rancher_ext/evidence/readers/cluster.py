"""Which distribution, which CNI, which version is this? What evidence tells, else unknown.

The manifest and Rancher's objects say it outright. Otherwise version strings and the names of workloads give it away; when
two of them contradict each other, nothing is known.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from rancher_ext.bundle.bundle import Bundle
from rancher_ext.bundle.facts import ClusterFacts, Facts
from rancher_ext.bundle.origin import K3S_UNITS, RKE2_UNITS, OriginKind
from rancher_ext.fleet.cni import Cni, cni_named
from rancher_ext.fleet.versions import Version

_HEAD = 256 * 1024
_MARKED = re.compile(rb"v1\.\d{1,2}\.\d{1,2}(?:-(rancher)\d+-\d+|\+(rke2)r\d+|\+(k3s)\d+)")
_DISTRIBUTION = {b"rancher": "rke1", b"rke2": "rke2", b"k3s": "k3s"}
_CNI_OF_POD = (
    ("canal", re.compile(r"^(?:rke2-)?canal(?:-|$)")),
    ("flannel", re.compile(r"^(?:rke2-|kube-)?flannel(?:-|$)")),
    ("calico", re.compile(r"^(?:calico-(?:node|typha)|rke2-calico|tigera-operator)(?:-|$)")),
    ("cilium", re.compile(r"^(?:rke2-)?cilium(?:-|$)")),
    ("other", re.compile(r"^(?:weave-net|kube-router|antrea-agent|aws-node|kube-ovn|ovs-ovn)(?:-|$)")),
)


def cluster_facts(bundle: Bundle, facts: Facts) -> ClusterFacts:
    """Identity as far as it is known; the first source that knows a field wins."""
    known: dict[str, str] = {}
    for source in (_from_manifest(bundle), _from_objects(facts), _from_names(bundle, facts)):
        for key, value in source.items():
            if value and value != "unknown":
                known.setdefault(key, value)
    return ClusterFacts(**known)


def _from_manifest(bundle: Bundle) -> Mapping[str, str]:
    manifest = bundle.manifest
    if manifest is None:
        return {}
    return {
        "id": manifest.cluster_id,
        "name": manifest.cluster_name,
        "distribution": manifest.distribution,
        "cni": manifest.cni,
        "kubernetes": manifest.kubernetes,
        "rancher": manifest.rancher_version,
    }


def _from_objects(facts: Facts) -> Mapping[str, str]:
    known: dict[str, str] = {}
    for fact in facts.objects:
        group = str(fact.object.get("apiVersion") or "")
        spec: Any = fact.object.get("spec")
        if fact.kind == "Setting" and fact.name == "server-version" and "cattle.io" in group:
            known.setdefault("rancher", str(fact.object.get("value") or ""))
        if fact.kind != "Cluster" or "cattle.io" not in group or not isinstance(spec, dict):
            continue
        rke1 = spec.get("rancherKubernetesEngineConfig")
        if group.startswith("management.cattle.io"):
            known["id"] = fact.name
            known.setdefault("name", str(spec.get("displayName") or ""))
        else:
            known["name"] = fact.name
        if isinstance(rke1, dict):
            network = rke1.get("network")
            known["distribution"] = "rke1"
            known["kubernetes"] = str(rke1.get("kubernetesVersion") or "")
            known["cni"] = _cni(network.get("plugin") if isinstance(network, dict) else None)
            continue
        version = str(spec.get("kubernetesVersion") or "")
        if not version:
            continue
        known["kubernetes"] = version
        known["distribution"] = "rke2" if "+rke2" in version else "k3s" if "+k3s" in version else ""
        config = spec.get("rkeConfig")
        machine = config.get("machineGlobalConfig") if isinstance(config, dict) else None
        if isinstance(machine, dict) and known["distribution"] == "rke2":
            known["cni"] = _cni(machine.get("cni"))
        elif isinstance(machine, dict) and known["distribution"] == "k3s":
            known["cni"] = "" if machine.get("flannel-backend") == "none" else "flannel"
    return known


def _cni(value: object) -> str:
    cni = cni_named(value)
    return "" if cni in {Cni.UNKNOWN, Cni.NONE} else cni.value


def _from_names(bundle: Bundle, facts: Facts) -> Mapping[str, str]:
    pods = {pod.name.removeprefix("pod/") for pod in facts.pods} | {o.pod for o in facts.origins.values() if o.pod}
    names = pods | {daemonset.name for daemonset in facts.daemonsets}
    units = {origin.unit for origin in facts.origins.values() if origin.unit}
    marks = _marks(bundle, facts)
    versions = [node.kubelet for node in facts.nodes if node.kubelet]
    distributions = {distribution for distribution, _ in marks}
    distributions |= {d for v in versions for d in [_distribution(v)] if d}
    if units & RKE2_UNITS or any(name.startswith("rke2-") for name in names):
        distributions.add("rke2")
    if units & K3S_UNITS:
        distributions.add("k3s")
    if any(name.startswith("rke-network-plugin") for name in names):
        distributions.add("rke1")
    cnis = {cni for cni, pattern in _CNI_OF_POD if any(pattern.match(name) for name in names)}
    return {
        "distribution": next(iter(distributions)) if len(distributions) == 1 else "",
        "cni": next(iter(cnis)) if len(cnis) == 1 else "",
        "kubernetes": _newest(versions) or (next(iter(marks))[1] if len(marks) == 1 else ""),
    }


def _distribution(version: str) -> str | None:
    match = _MARKED.search(version.encode("utf-8", "replace"))
    return _DISTRIBUTION[next(group for group in match.groups() if group)] if match else None


def _marks(bundle: Bundle, facts: Facts) -> set[tuple[str, str]]:
    """Distribution and version of every marked version string at the beginning of the texts."""
    found: Counter[tuple[str, str]] = Counter()
    for path, origin in facts.origins.items():
        if origin.kind is OriginKind.OBJECT:
            continue
        for match in _MARKED.finditer(bundle[path].read_bytes(_HEAD)):
            mark = next(group for group in match.groups() if group)
            found[_DISTRIBUTION[mark], match[0].decode()] += 1
    return set(found)


def _newest(versions: Iterable[str]) -> str:
    parsed = [version for text in versions if (version := Version.parse(text)) is not None]
    return max(parsed).text if parsed else ""
