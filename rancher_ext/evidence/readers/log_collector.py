"""Whose log is this, in an archive that another tool made?

Rancher's log collector scripts, RKE2's and K3s's support archives, `kubectl cluster-info dump` and plain `/var/log` copies
have layouts of their own. Only the path is looked at; what it does not tell stays unknown.
"""

import re

from rancher_ext.bundle.origin import (
    UNITS,
    Origin,
    OriginKind,
    container_origin,
    origin_of,
    unit_origin,
    workload_of_pod,
)

_NAMESPACES = (
    "kube-system",
    "kube-flannel",
    "cattle-system",
    "calico-system",
    "tigera-operator",
    "kube-public",
    "default",
)

# /var/log/pods/<namespace>_<pod>_<uid>/<container>/<n>.log
_VAR_LOG_PODS = re.compile(
    r"(?:^|/)(?P<ns>[a-z0-9-]+)_(?P<pod>[a-z0-9.-]+)_[0-9a-f-]{8,40}/(?P<container>[a-z0-9-]+)/(?P<run>\d+)\.log"
)
# /var/log/containers/<pod>_<namespace>_<container>-<64 hex>.log
_VAR_LOG_CONTAINERS = re.compile(
    r"(?:^|/)(?P<pod>[a-z0-9.-]+)_(?P<ns>[a-z0-9-]+)_(?P<container>[a-z0-9-]+)-[0-9a-f]{12,64}\.log"
)
# kubectl cluster-info dump: <namespace>/<pod>/logs.txt
_DUMP = re.compile(r"(?:^|/)(?P<ns>[a-z0-9-]+)/(?P<pod>[a-z0-9.-]+)/logs\.txt$")
# Rancher's collector: <distribution>/podlogs/<namespace>-<pod>[-previous]
_POD_LOGS = re.compile(r"(?:^|/)podlogs/(?P<name>[a-z0-9.-]+)$")
# Rancher's collector on RKE1: k8s/containerlogs/<container>, journald/<unit>
_JOURNAL = re.compile(
    r"(?:^|/)(?:journald|systemlogs|journal|k8s/containerlogs|containerlogs)/(?P<unit>[A-Za-z0-9_.-]+)$"
)
_KUBECTL = re.compile(r"(?:^|/)kubectl/(?P<what>events?|nodes?|nodesdescribe|pods?)(?:\.\w+)?$")
_NAMED = re.compile(r"(?:^|/)(?P<what>events?|nodes?|pods?|conditions?|describe[-_]?(?:nodes?|pods?)|get[-_]?(?:pods?|nodes?|events?))[^/]*\.(?:txt|log|out)$", re.IGNORECASE)  # fmt: skip


def foreign_origin(path: str) -> Origin | None:
    """What the path of another tool's file tells, or None when it tells nothing."""
    if (match := _VAR_LOG_PODS.search(path)) is not None:
        return container_origin(match["ns"], match["pod"], match["container"])
    if (match := _VAR_LOG_CONTAINERS.search(path)) is not None:
        return container_origin(match["ns"], match["pod"], match["container"])
    if (match := _DUMP.search(path)) is not None:
        return container_origin(match["ns"], match["pod"], None)
    if (match := _POD_LOGS.search(path)) is not None:
        return _pod_log(match["name"])
    if (match := _JOURNAL.search(path)) is not None:
        return _unit(match["unit"])
    if (match := _KUBECTL.search(path) or _NAMED.search(path)) is not None:
        what = match["what"].lower()
        for word, kind in (
            ("event", OriginKind.EVENTS),
            ("node", OriginKind.NODES),
            ("pod", OriginKind.PODS),
            ("condition", OriginKind.CONDITIONS),
        ):
            if word in what:
                # Mixed pastes are often called so: they are read as everything when they are not ours.
                return Origin(kind) if kind is OriginKind.EVENTS else None
    return _ours_further_down(path) or _by_name(path)


def _ours_further_down(path: str) -> Origin | None:
    """Our own layout inside another folder, as when bundles of several clusters are packed together."""
    _, found, rest = path.partition("/logs/")
    if not found:
        return None
    origin = origin_of(f"logs/{rest}")
    ours = origin.kind is OriginKind.CONTAINER or origin.unit in UNITS
    return origin if ours else None


def _pod_log(name: str) -> Origin:
    previous = name.endswith("-previous")
    name = name.removesuffix("-previous")
    for namespace in _NAMESPACES:
        if name.startswith(namespace + "-"):
            return container_origin(namespace, name.removeprefix(namespace + "-"), None, previous=previous)
    return container_origin(None, name, None, previous=previous)


def _unit(name: str) -> Origin | None:
    stem = re.sub(r"(?:\.service)?(?:\.(?:log|txt))?$", "", name).lower()
    stem = re.sub(r"[-_](?:previous|current|journal)$", "", stem)
    return unit_origin(stem) if stem in UNITS else None


def _by_name(path: str) -> Origin | None:
    """A single file that was named after its unit or pod: `kubelet.log`, `rke2-canal-x5wq7.log`, `k3s-journal.txt`."""
    name = path.rpartition("/")[2].lower()
    stem = re.sub(r"\.(?:log|txt|out)$", "", name)
    if stem == name:
        return None
    if (unit := _unit(stem)) is not None:
        return unit
    if re.search(r"-[a-z0-9]{5}$", stem) and workload_of_pod(stem):
        return container_origin(None, stem, None)
    return None
