"""Which kinds does an API server say it has, and what does a path mean?

Discovery pages, and the reading of `/apis/<group>/<version>/namespaces/<namespace>/<plural>/<name>/<subresource>`. Facts of
kube-apiserver 1.32: what a built-in group does not have is refused with a `Status` (404 without a name), what a custom group
does not have with the plain text `404 page not found`, and so is a custom kind whose CRD is not there (yet).
"""

from dataclasses import dataclass

from rancher_ext.simulator import status as refuse
from rancher_ext.simulator.cluster import SimCluster
from rancher_ext.simulator.http import Answer, Json, as_json, as_text, refusal
from rancher_ext.simulator.resources import Resource, is_built_in
from rancher_ext.simulator.store import Store

_POD_SUBRESOURCES = {"log": ("Pod", ["get"]), "eviction": ("Eviction", ["create"])}


@dataclass(frozen=True)
class Target:
    """What a path is about. `name` and `sub` are empty for a collection."""

    resource: Resource
    namespace: str
    name: str
    sub: str


def not_served(group: str) -> Answer:
    return refusal(refuse.no_such_resource()) if is_built_in(group) else as_text("404 page not found\n", 404)


def _rows(resource: Resource) -> list[Json]:
    """The kind and its subresources."""
    row: Json = {
        "name": resource.plural,
        "kind": resource.kind,
        "namespaced": resource.namespaced,
        "singularName": resource.kind.lower(),
        "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
    }
    below = {"status": (resource.kind, ["get", "patch", "update"])} if resource.has_status else {}
    if resource.plural == "pods":
        below |= _POD_SUBRESOURCES
    return [row] + [
        {**row, "name": f"{resource.plural}/{sub}", "singularName": "", "kind": kind, "verbs": verbs}
        for sub, (kind, verbs) in below.items()
    ]


def discovery(parts: list[str], store: Store, cluster: SimCluster | None) -> Answer | None:
    groups: dict[str, set[str]] = {}
    for resource in store.resources.values():
        if store.serves(resource):
            groups.setdefault(resource.group, set()).add(resource.version)
    if parts == ["version"]:
        version = cluster.scenario.kubernetes.split("-rancher")[0] if cluster else "v1.32.8+rke2r1"
        minor = version.split(".")[1]
        return as_json(
            {"major": "1", "minor": minor, "gitVersion": version, "platform": "linux/amd64", "goVersion": "go1.23.6"}
        )
    if parts in (["healthz"], ["readyz"], ["livez"]):
        return as_text("ok")
    if parts == ["api"]:
        return as_json({"kind": "APIVersions", "versions": ["v1"]})
    if parts == ["apis"]:
        found = []
        for group, versions in sorted(groups.items()):
            if group:
                listed = [{"groupVersion": f"{group}/{v}", "version": v} for v in sorted(versions)]
                found.append({"name": group, "versions": listed, "preferredVersion": listed[0]})
        return as_json({"kind": "APIGroupList", "apiVersion": "v1", "groups": found})
    if len(parts) == 2 and parts[0] == "apis":
        if parts[1] not in groups:
            return not_served(parts[1])
        listed = [{"groupVersion": f"{parts[1]}/{v}", "version": v} for v in sorted(groups[parts[1]])]
        group_said: Json = {"kind": "APIGroup", "apiVersion": "v1", "name": parts[1], "versions": listed}
        return as_json({**group_said, "preferredVersion": listed[0]})
    if parts == ["api", "v1"] or (len(parts) == 3 and parts[0] == "apis"):
        group, version = ("", "v1") if parts[0] == "api" else (parts[1], parts[2])
        if version not in groups.get(group, set()):
            return not_served(group)
        resources = [
            row
            for r in store.resources.values()
            if (r.group, r.version) == (group, version) and store.serves(r)
            for row in _rows(r)
        ]
        return as_json(
            {
                "kind": "APIResourceList",
                "apiVersion": "v1",
                "groupVersion": f"{group}/{version}".lstrip("/"),
                "resources": resources,
            }
        )
    return None


def target(parts: list[str], store: Store) -> Target | Answer:
    """What the path is about, or the server's word on a path that is about nothing."""
    if parts[:1] == ["api"] and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[:1] == ["apis"] and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return as_text("404 page not found\n", 404) if parts[:1] != ["api"] else not_served("")
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2:] != ["status"]:
        namespace, rest = rest[1], rest[2:]
    resource = store.find(group, version, rest[0])
    name, sub = (rest[1] if len(rest) > 1 else ""), (rest[2] if len(rest) > 2 else "")
    if (
        len(rest) > 3
        or resource is None
        or not store.serves(resource)
        or (namespace and not resource.namespaced)
        or (name and resource.namespaced and not namespace)
    ):
        return not_served(group)
    below = {"status"} if resource.has_status else set()
    if resource.plural == "pods":
        below |= set(_POD_SUBRESOURCES)
    if sub and sub not in below:
        return not_served(group)
    return Target(resource, namespace, name, sub)
