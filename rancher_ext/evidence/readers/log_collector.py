"""Whose log is this, in an archive that another tool made?

Rancher's log collectors for Linux (both layouts: `k8s/…` and `rke2/…`, `k3s/…`, `rke/…`, `kubeadm/…`) and Windows, support bundles of
troubleshoot.sh, Longhorn and Harvester, `kubectl cluster-info dump`, `kind export logs`, must-gather, plain `/var/log` copies and
our own layout further down: each has its own names. Only the path is looked at; what it does not tell stays unknown.
"""

import re
from dataclasses import replace

from rancher_ext.bundle.origin import (
    UNITS,
    Origin,
    OriginKind,
    container_origin,
    origin_of,
    unit_origin,
    workload_of_pod,
)

# Longest first: `cattle-fleet-local-system-x` is not a pod of `cattle-fleet`.
_NAMESPACES = tuple(
    sorted(
        (
            "kube-system", "kube-flannel", "kube-public", "kube-node-lease", "default", "calico-system", "calico-apiserver", "tigera-operator",
            "cattle-system", "cattle-alerting", "cattle-logging", "cattle-pipeline", "cattle-prometheus", "cattle-provisioning-capi-system",
            "cattle-resources-system", "cattle-global-data", "cattle-monitoring-system", "cattle-logging-system", "cattle-fleet-system",
            "cattle-fleet-local-system", "cattle-impersonation-system", "cattle-ui-plugin-system", "cattle-capi-system", "cattle-turtles-system",
            "cattle-csp-adapter-system", "cattle-elemental-system", "cattle-externalip-system", "cattle-gatekeeper-system", "cattle-local-user-passwords",
            "fleet-system", "fleet-default", "rancher-operator-system", "rancher-turtles-system", "ingress-nginx", "istio-system",
            "longhorn-system", "harvester-system", "suse-observability", "metallb-system", "cert-manager",
        ),
        key=len,
        reverse=True,
    )
)  # fmt: skip

_NAME = r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?"
# /var/log/pods/<namespace>_<pod>_<uid>/<container>/<n>.log
VAR_LOG_PODS = re.compile(
    rf"(?:^|/)(?P<ns>[a-z0-9-]+)_(?P<pod>{_NAME})_[0-9a-f-]{{8,40}}/(?P<container>[a-z0-9-]+)/(?P<run>\d{{1,9}})\.log(?P<rotated>\.[\w.-]+)?$"
)
# /var/log/containers/<pod>_<namespace>_<container>-<64 hex>.log
_VAR_LOG_CONTAINERS = re.compile(
    rf"(?:^|/)(?P<pod>{_NAME})_(?P<ns>[a-z0-9-]+)_(?P<container>[a-z0-9-]+)-[0-9a-f]{{12,64}}\.log"
)
# Rancher's collector on RKE1: <k8s or rke>/podlogs/<Docker's name of the container>
DOCKER_NAME = re.compile(
    rf"(?:^|/)podlogs/k8s_(?P<container>[A-Za-z0-9-]+)_(?P<pod>{_NAME})_(?P<ns>[a-z0-9-]+)_[0-9a-f-]{{8,40}}_(?P<run>\d{{1,9}})$"
)
# kubectl cluster-info dump: <namespace>/<pod>/logs.txt, and what people add beside it
_DUMP = re.compile(
    rf"(?:^|/)(?P<ns>[a-z0-9-]+)/(?P<pod>{_NAME})/logs(?:-(?P<container>[a-z0-9-]+?))?(?P<previous>-previous)?\.txt$"
)
# Rancher's collector elsewhere: <distribution>/podlogs/<namespace>-<pod>[-previous]
_POD_LOGS = re.compile(r"(?:^|/)podlogs/(?P<name>[a-z0-9.-]+)$")
# troubleshoot.sh: cluster-resources/pods/logs/<namespace>/<pod>/<container>[-previous].log
_TROUBLESHOOT = re.compile(
    rf"(?:^|/)cluster-resources/pods/logs/(?P<ns>[a-z0-9-]+)/(?P<pod>{_NAME})/(?P<container>[a-z0-9-]+?)(?P<previous>-previous)?\.log$"
)
# troubleshoot.sh, logs collector: <name>/<pod>/<container>[-previous].log or <name>/<pod>[-previous].log
_NAMED_LOGS = re.compile(
    rf"(?:^|/)[\w.-]+/(?P<pod>{_NAME})/(?P<container>[a-z0-9-]+?)(?P<previous>-previous|\.previous)?\.log(?:\.\d{{1,3}})?$"
)
# must-gather: namespaces/<ns>/pods/<pod>/<container>/<container>/logs/current.log
_MUST_GATHER = re.compile(
    rf"(?:^|/)namespaces/(?P<ns>[a-z0-9-]+)/pods/(?P<pod>{_NAME})/(?P<container>[a-z0-9-]+)/[a-z0-9-]+/logs/(?P<which>current|previous)\.log$"
)
_JOURNAL = re.compile(
    r"(?:^|/)(?:journald|systemlogs|journal|containerlogs|host-collectors/journald|agent-logs|server-logs|k8s/components|nodes/[^/]+/logs)"
    r"/(?P<unit>[A-Za-z0-9_.@-]+)$"
)
# Rancher's collector for Windows: k8s/containerlogs/<container>-<12 hex>.log
_WINDOWS_CONTAINER = re.compile(r"(?:^|/)containerlogs/(?P<container>[a-z0-9-]+)-[0-9a-f]{12}\.log$")
_RANCHER = re.compile(r"(?:^|/)rancher/containerlogs/(?P<what>server|agent)-[0-9a-f]+$")
_KUBECTL = re.compile(
    r"(?:^|/)kubectl/(?:(?P<what>events?|nodes?|nodesdescribe|pods?|daemonsets?)(?:\.txt|\.log)?|(?P<described>poddescribe)/[^/]+)$"
)
_NAMED = re.compile(r"(?:^|/)(?P<what>events?|nodes?|pods?|conditions?|describe[-_]?(?:nodes?|pods?)|get[-_]?(?:pods?|nodes?|events?))[^/]*\.(?:txt|log|out)$", re.IGNORECASE)  # fmt: skip
# Figures about the host, and its programs and packages: nothing in them is said by a component that fails.
_FIGURES = re.compile(
    r"(?:^|/)(?:systeminfo/(?:lsof|ps|top|vmstat|pidstatx|iostathx|cpuinfo|packages-\w+|sysctla|systemd-unit\S*|freem|dfh|dfi|lsblk|uptime|limits\.conf)"
    r"|networking/(?:ss\w+|netstat\w*|ipaddrshow|ifconfiga|ip\w*neighbour|iplinkshow|ethtool\w*)|systemlogs/\w+-data/[^/]+"
    r"|(?:atop|sysstat|sa)-data/[^/]+|certs/.+|etcd/etcd-metrics-[^/]+|crictl/(?:statsa|images|imagefsinfo)|collector-output\.log)$"
)
_KERNEL_FILES = frozenset({"dmesg", "kern", "kernel"})
# Whose words a container says wherever it runs; calico-node is Canal's here and Calico's there.
_CNI_CONTAINERS = frozenset({"kube-flannel", "install-cni", "install-cni-plugin", "flanneld"})
_LUMBERJACK = re.compile(r"-\d{4}-\d\d-\d\dt[\d.-]+$")


def foreign_origin(path: str) -> Origin | None:
    """What the path of another tool's file tells, or None when it tells nothing."""
    if _FIGURES.search(path) is not None:
        return Origin(OriginKind.NOT_TEXT)
    for form in (VAR_LOG_PODS, _VAR_LOG_CONTAINERS, DOCKER_NAME, _TROUBLESHOOT, _MUST_GATHER, _DUMP):
        if (match := form.search(path)) is not None:
            named = match.groupdict()
            previous = bool(named.get("previous")) or named.get("which") == "previous"
            return container_origin(named["ns"], named["pod"], named.get("container"), previous=previous)
    if (match := _POD_LOGS.search(path)) is not None:
        return _pod_log(match["name"])
    if (match := _RANCHER.search(path)) is not None:
        return unit_origin("rancher-agent" if match["what"] == "agent" else "rancher-server")
    if (match := _WINDOWS_CONTAINER.search(path)) is not None:
        container = match["container"]
        if container in _CNI_CONTAINERS:
            return Origin(OriginKind.CONTAINER, container=container, workload="cni")
        return unit_origin(container) if container in UNITS else None
    if (match := _JOURNAL.search(path)) is not None:
        return _unit(match["unit"], anything="journald/" in path or "containerlogs/" in path)
    if path.endswith("systeminfo/dmesg"):
        return unit_origin("kernel")
    if (match := _KUBECTL.search(path) or _NAMED.search(path)) is not None:
        return _listing(match)
    return _ours_further_down(path) or _by_name(path)


def _listing(match: re.Match[str]) -> Origin | None:
    named = match.groupdict()
    if named.get("described"):
        return Origin(OriginKind.PODS)
    what = named["what"].lower()
    # A collector's file holds one listing and nothing else. A person's `pods.txt` may be a mixed paste, which is read as everything.
    surely = match.re is _KUBECTL
    if "event" in what:
        return Origin(OriginKind.EVENTS)
    if surely:
        return Origin(OriginKind.NODES if "node" in what else OriginKind.PODS)
    return None


def _ours_further_down(path: str) -> Origin | None:
    """Our own layout inside another folder, as when bundles of several clusters are packed together."""
    _, found, rest = path.partition("/logs/")
    if found:
        origin = origin_of(f"logs/{rest}")
        if origin.kind is OriginKind.CONTAINER or origin.unit in UNITS:
            return origin
    match = _NAMED_LOGS.search(path)
    if match is None or workload_of_pod(match["pod"]) is None or not re.search(r"-[a-z0-9]{5}$", match["pod"]):
        return None
    # Longhorn's and Harvester's logs/<ns>/<pod>/<container>.log, troubleshoot's <collector>/<pod>/<container>.log
    namespace = re.search(rf"(?:^|/)logs/(?P<ns>[a-z0-9-]+)/{re.escape(match['pod'])}/", path)
    return container_origin(
        namespace["ns"] if namespace else None, match["pod"], match["container"], previous=bool(match["previous"])
    )


def _pod_log(name: str) -> Origin:
    previous = name.endswith("-previous")
    name = name.removesuffix("-previous")
    for namespace in _NAMESPACES:
        if name.startswith(namespace + "-"):
            return container_origin(namespace, name.removeprefix(namespace + "-"), None, previous=previous)
    return container_origin(None, name, None, previous=previous)


def _unit(name: str, *, anything: bool = False) -> Origin | None:
    """`anything`: the folder says that it is a unit, even one that nobody asks about."""
    stem = re.sub(r"(?:\.service)?(?:\.(?:log|txt|out))?(?:\.\d{1,3})?$", "", name.lower())
    stem = _LUMBERJACK.sub("", stem)
    previous = re.search(r"[-_.]previous$", stem) is not None
    stem = re.sub(r"[-_.](?:previous|current|journal)$", "", stem)
    stem = "kernel" if stem in _KERNEL_FILES else {"kubeproxy": "kube-proxy"}.get(stem, stem)
    if stem in UNITS or (anything and stem not in {"syslog", "messages", "journal", "all"}):
        return replace(unit_origin(stem), previous=previous)
    return None


def _by_name(path: str) -> Origin | None:
    """A single file that was named after its unit or pod: `kubelet.log`, `rke2-canal-x5wq7.log`, `k3s-journal.txt`."""
    name = path.rpartition("/")[2].lower()
    stem = re.sub(r"\.(?:log|txt|out)(?:\.\d{1,3})?$", "", name)
    if stem == name:
        return None
    if (unit := _unit(stem)) is not None:
        return unit
    previous = re.search(r"[-_.]previous$", stem) is not None
    stem = re.sub(r"[-_.]previous$", "", stem)
    if re.search(r"-[a-z0-9]{5}$", stem) and workload_of_pod(stem):
        return container_origin(None, stem, None, previous=previous)
    return None
