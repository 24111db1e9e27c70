"""How does a real API server come to hold what a simulated one holds?

Kinds first: Rancher's own CRDs where they lie beside the checkout, else permissive ones (`management.cattle.io` has no YAML
upstream, so those are always ours). Then every object goes the way of a client: created through the API, where defaults,
pruning, admission and validation meet it, its status through the subresource. What the server refuses or changes is
reported, since there the simulator shows a shape that does not exist; a refused object is missing then. Last, what only a server may set is put back into
etcd as the restore of a backup does: times, uids and the mark of deletion. Verdicts depend on them.
"""

import copy
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
import yaml

from rancher_ext.simulator.resources import Resource
from rancher_ext.simulator.store import Store
from tests.e2e.cluster import ApiServer

Json = dict[str, Any]

SHARED_CRDS = Path(__file__).parents[3] / "shared" / "data" / "crds"
OWN_CRDS = "management.cattle.io"
SERVER_OWNED = (
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "generation",
    "managedFields",
    "deletionTimestamp",
    "selfLink",
)
# `managedFields` tell when a machine's agent last wrote its plan; Drover reads that.
RESTORED = ("uid", "generation", "deletionTimestamp", "managedFields")
WITHOUT_STATUS = frozenset({"Setting", "Feature"})
ESTABLISHED_WITHIN = 120.0
NOISE = frozenset({"resourceVersion", "managedFields", "lastHeartbeatTime"})
ANYTHING: Json = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
# Where a kind's name in etcd is not its plural.
STORED_AS = {"nodes": "minions", "services": "services/specs", "endpoints": "services/endpoints"}


@dataclass
class Filled:
    """What became of the objects. `refused` and `changed` are sentences; an empty list is a simulator that tells the truth."""

    created: int = 0
    refused: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)


def install_kinds(server: ApiServer, resources: Iterable[Resource]) -> None:
    """A CRD for each custom resource, served before this returns."""
    custom = [resource for resource in resources if resource.custom]
    for resource in custom:
        answer = server.call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd_of(resource))
        if answer.status_code not in {201, 409}:
            raise RuntimeError(f"the CRD of {resource.plural}.{resource.group} is refused: {answer.text[:600]}")
    deadline = time.monotonic() + ESTABLISHED_WITHIN
    for resource in custom:
        while not server.call("GET", f"{path_of(resource)}?limit=1").ok:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{resource.plural}.{resource.group} is not served after {ESTABLISHED_WITHIN:.0f} s")
            time.sleep(0.05)


def crd_of(resource: Resource) -> Json:
    file = SHARED_CRDS / f"{resource.group}_{resource.plural}.yaml"
    if resource.group != OWN_CRDS and file.is_file():
        crd = yaml.safe_load(file.read_text(encoding="utf-8"))
        # Conversion needs a webhook that is not here; objects are read in the version in which they were written.
        crd["spec"].pop("conversion", None)
        for version in crd["spec"]["versions"]:
            version["storage"] = version["name"] == resource.version
            version["served"] = version["served"] or version["storage"]
        crd.pop("status", None)
        return dict(crd)
    version: Json = {
        "name": resource.version,
        "served": True,
        "storage": True,
        "schema": ANYTHING,
    }
    if resource.kind not in WITHOUT_STATUS:
        version["subresources"] = {"status": {}}
    names = {"plural": resource.plural, "kind": resource.kind, "listKind": f"{resource.kind}List"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource.plural}.{resource.group}"},
        "spec": {
            "group": resource.group,
            "names": {**names, "singular": resource.kind.lower()},
            "scope": "Namespaced" if resource.namespaced else "Cluster",
            "versions": [version],
        },
    }


def fill(server: ApiServer, store: Store) -> Filled:
    """Everything a simulated cluster holds. Custom kinds that lie in it without a CRD of their own get one of ours."""
    filled = Filled()
    first = {"Namespace": 0, "CustomResourceDefinition": 1}
    ordered = sorted(store.resources.values(), key=lambda resource: (first.get(resource.kind, 2), resource.plural))
    _namespaces_of(server, store, ordered)
    for resource in ordered:
        objects = store.objects(resource)
        if objects and resource.custom:
            install_kinds(server, [resource])
        for obj in objects:
            _put(server, resource, obj, filled)
    return filled


class Mirror:
    """Keeps a server that was filled at the present of its simulated cluster. Watches hear of what came, changed and went."""

    def __init__(self, server: ApiServer, store: Store) -> None:
        self._server = server
        self._store = store
        self._known = self._present()

    def refresh(self) -> list[str]:
        """Returns the plurals of the kinds in which more than a version or a heartbeat has changed."""
        before, self._known = self._known, self._present()
        _namespaces_of(self._server, self._store, list(self._store.resources.values()))
        changed = []
        for place, obj in self._known.items():
            resource, namespace, name = place
            if place not in before:
                filled = Filled()
                _put(self._server, resource, obj, filled)
                assert filled.refused == []
            elif obj == before[place]:
                continue
            else:
                key = etcd_key(self._server, resource, namespace, name)
                stored = self._server.etcd.read(key)
                self._server.etcd.write(key, {**stored, **obj, "metadata": {**stored["metadata"], **obj["metadata"]}})
            if without_noise(obj) != without_noise(before.get(place)):
                changed.append(resource.plural)
        for resource, namespace, name in before.keys() - self._known.keys():
            assert self._server.call("DELETE", f"{path_of(resource, namespace)}/{name}").ok
            changed.append(resource.plural)
        return changed

    def _present(self) -> dict[tuple[Resource, str, str], Json]:
        found = {}
        for resource in self._store.resources.values():
            for obj in self._store.objects(resource):
                metadata = {key: value for key, value in obj["metadata"].items() if key != "resourceVersion"}
                place = (resource, metadata.get("namespace", ""), metadata["name"])
                found[place] = copy.deepcopy({**obj, "metadata": metadata})
        return found


def without_noise(value: Any) -> Any:
    """The object without what moves although nothing has happened."""
    if isinstance(value, dict):
        return {key: without_noise(each) for key, each in value.items() if key not in NOISE}
    return [without_noise(each) for each in value] if isinstance(value, list) else value


def _namespaces_of(server: ApiServer, store: Store, resources: Sequence[Resource]) -> None:
    """A namespace in which something lies exists, whether or not the simulator troubles to list it."""
    wanted = {obj["metadata"].get("namespace", "") for resource in resources for obj in store.objects(resource)}
    for name in sorted(wanted - {""}):
        server.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})


def _put(server: ApiServer, resource: Resource, obj: Json, filled: Filled) -> None:
    metadata = obj["metadata"]
    namespace, name = metadata.get("namespace", ""), metadata["name"]
    where = f"{resource.kind} {namespace}/{name}".replace(" /", " ")
    body = copy.deepcopy(obj)
    for key in SERVER_OWNED:
        body["metadata"].pop(key, None)
    status = body.pop("status", None)
    if resource.kind == "CustomResourceDefinition":
        status = None  # the server's own word on whether it serves the kind
    path = path_of(resource, namespace)
    answer = server.call("POST", path, body)
    if answer.status_code == 409:
        answer = server.call("PUT", f"{path}/{name}", body)
    if not answer.ok:
        filled.refused.append(f"{where}: {_said(answer)}")
        return
    if resource.kind == "Node":
        # Admission taints every new node; what stands later is what a controller left.
        taints = {"spec": {"taints": (body.get("spec") or {}).get("taints")}}
        answer = server.call("PATCH", f"{path}/{name}", taints, content_type="application/merge-patch+json")
    if dropped := sorted(_lost(body, answer.json())):
        filled.changed.append(f"{where}: the server drops or changes {', '.join(dropped)}")
    if status is not None:
        answer = _put_status(server, f"{path}/{name}", status)
        if not answer.ok:
            filled.refused.append(f"{where}: status: {_said(answer)}")
        elif lost := sorted(_lost({"status": status}, answer.json())):
            filled.changed.append(f"{where}: the server drops or changes {', '.join(lost)}")
    _restore(server, resource, metadata)
    filled.created += 1


def _put_status(server: ApiServer, path: str, status: Json) -> requests.Response:
    return server.call("PATCH", f"{path}/status", {"status": status}, content_type="application/merge-patch+json")


def _restore(server: ApiServer, resource: Resource, metadata: Json) -> None:
    """What only the server may set, as it was."""
    key = etcd_key(server, resource, metadata.get("namespace", ""), metadata["name"])
    stored = server.etcd.read(key)
    # A CRD under another uid is another kind to the server: it would stop serving it for a while.
    kept = () if resource.kind == "CustomResourceDefinition" else RESTORED
    for each in ("creationTimestamp", *kept):
        if each in metadata:
            stored["metadata"][each] = metadata[each]
    server.etcd.write(key, stored)


def etcd_key(server: ApiServer, resource: Resource, namespace: str, name: str) -> str:
    """Custom kinds lie below their group; of the built-in groups only that of the CRDs themselves does."""
    grouped = resource.custom or resource.group == "apiextensions.k8s.io"
    kind = resource.plural if grouped else STORED_AS.get(resource.plural, resource.plural)
    parts = [*([resource.group] if grouped else []), kind, *([namespace] if resource.namespaced else []), name]
    return f"{server.prefix}/" + "/".join(parts)


def path_of(resource: Resource, namespace: str = "") -> str:
    base = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
    return base + (f"/namespaces/{namespace}" if namespace and resource.namespaced else "") + f"/{resource.plural}"


def _lost(sent: Any, got: Any, path: str = "") -> set[str]:
    """Fields that were sent and are not there. What the server added is no loss."""
    if isinstance(sent, dict) and isinstance(got, dict):
        found: set[str] = set()
        for key, value in sent.items():
            where = f"{path}.{key}".lstrip(".")
            if key not in got:
                if value not in (None, "", [], {}, False, 0):
                    found.add(where)
            else:
                found |= _lost(value, got[key], where)
        return found
    if isinstance(sent, list) and isinstance(got, list) and len(sent) == len(got):
        return {each for a, b in zip(sent, got, strict=True) for each in _lost(a, b, f"{path}[]")}
    return set() if sent == got or _same_time(sent, got) else {path}


def _same_time(sent: Any, got: Any) -> bool:
    """Quantities, times and empty values have several spellings; only texts of the same meaning pass here."""
    return (
        isinstance(sent, str)
        and isinstance(got, str)
        and sent.rstrip("Z").split(".")[0] == got.rstrip("Z").split(".")[0]
    )


def _said(answer: requests.Response) -> str:
    try:
        return f"{answer.status_code} {answer.json()['message']}"[:400]
    except (json.JSONDecodeError, KeyError, TypeError):
        return f"{answer.status_code} {answer.text[:200]}"
