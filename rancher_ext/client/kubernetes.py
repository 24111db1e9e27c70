"""How do we read, watch and patch Kubernetes objects through Rancher's proxy?

`/k8s/clusters/local/…` reaches the management objects and behaves the same on every Rancher version: watch, merge patch,
JSON patch, dry run and resourceVersion locks are those of Kubernetes (rancher-api 2.5, 4.1). `/k8s/clusters/<id>/…` reaches a
downstream cluster while Rancher has a tunnel to it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rancher_ext.client.transport import Transport
from rancher_ext.errors import Conflict, Gone, Invalid, NotRancher

PAGE = 500
FIELD_MANAGER = "drover"
# Kubernetes sends a bookmark about once a minute; twice that without a byte is a dead connection.
WATCH_IDLE = 150.0
# The server ends a watch before that, because an etcd that tells no progress (its default) sends no bookmarks either: a quiet
# kind then brings no byte in minutes (measured with etcd 3.5 and Kubernetes 1.32).
WATCH_TIMEOUT = 120

Json = Mapping[str, Any]
Page = list[dict[str, Any]]


@dataclass(frozen=True)
class Resource:
    """A kind of object as its URL names it. `group` is empty for the core API."""

    group: str
    version: str
    plural: str
    namespaced: bool = True

    @property
    def base(self) -> str:
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str = "", name: str = "") -> str:
        middle = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{self.base}{middle}/{self.plural}" + (f"/{name}" if name else "")


MANAGEMENT_CLUSTERS = Resource("management.cattle.io", "v3", "clusters", namespaced=False)
MANAGEMENT_NODES = Resource("management.cattle.io", "v3", "nodes")
PROVISIONING_CLUSTERS = Resource("provisioning.cattle.io", "v1", "clusters")
CONTROL_PLANES = Resource("rke.cattle.io", "v1", "rkecontrolplanes")
MACHINES = Resource("cluster.x-k8s.io", "v1beta1", "machines")
SECRETS = Resource("", "v1", "secrets")
CONFIG_MAPS = Resource("", "v1", "configmaps")
EVENTS = Resource("", "v1", "events")
NODES = Resource("", "v1", "nodes", namespaced=False)
PODS = Resource("", "v1", "pods")
DAEMON_SETS = Resource("apps", "v1", "daemonsets")
DEPLOYMENTS = Resource("apps", "v1", "deployments")
JOBS = Resource("batch", "v1", "jobs")
CRDS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", namespaced=False)
HELM_CHARTS = Resource("helm.cattle.io", "v1", "helmcharts")


@dataclass(frozen=True)
class Listing:
    items: list[dict[str, Any]]
    resource_version: str


@dataclass(frozen=True)
class WatchEvent:
    """`type` is ADDED, MODIFIED, DELETED or BOOKMARK."""

    type: str
    object: dict[str, Any]

    @property
    def resource_version(self) -> str:
        return str((self.object.get("metadata") or {}).get("resourceVersion") or "")


class KubernetesApi:
    """The Kubernetes API of one cluster, by its Rancher id (`local` for the management objects)."""

    def __init__(self, transport: Transport, cluster: str = "local") -> None:
        self.transport = transport
        self.cluster = cluster
        self._prefix = f"/k8s/clusters/{cluster}"

    def list(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        page: int = PAGE,
        timeout: float | None = None,
    ) -> Listing:
        """All objects, page by page. A `continue` token that expires half-way begins the list once more, without pages."""
        params: dict[str, Any] = {"limit": page}
        if labels:
            params["labelSelector"] = labels
        if fields:
            params["fieldSelector"] = fields
        path = self._prefix + resource.path(namespace)
        items: list[dict[str, Any]] = []
        while True:
            try:
                answer = self.transport.get_json(path, params, timeout=timeout)
            except Gone:
                if "limit" not in params:
                    raise
                params.pop("continue", None)
                params.pop("limit")
                items = []
                continue
            found = answer.get("items")
            if not isinstance(found, list | None) or not isinstance(answer.get("metadata"), dict):
                raise NotRancher(
                    f"GET {path}: the answer of {self.transport.url} is not a Kubernetes list",
                    cure="Check DROVER_RANCHER_URL: it must be the address of Rancher itself.",
                )
            items += found or []
            metadata = answer["metadata"]
            if not metadata.get("continue"):
                return Listing(items, str(metadata.get("resourceVersion") or ""))
            params["continue"] = metadata["continue"]

    def pages(self, resource: Resource, namespace: str = "", *, page: int = PAGE) -> Iterator[Page]:
        """As `list`, page by page, for who may stop early. An expired `continue` token ends it: what was seen was seen."""
        params: dict[str, Any] = {"limit": page}
        while True:
            try:
                answer = self.transport.get_json(self._prefix + resource.path(namespace), params)
            except Gone:
                return
            yield answer.get("items") or []
            params["continue"] = (answer.get("metadata") or {}).get("continue")
            if not params["continue"]:
                return

    def get(
        self, resource: Resource, name: str, namespace: str = "", *, timeout: float | None = None
    ) -> dict[str, Any]:
        return self.transport.get_json(self._prefix + resource.path(namespace, name), timeout=timeout)

    def log(self, namespace: str, pod: str, container: str, *, previous: bool, tail: int, limit_bytes: int) -> str:
        """The end of a container's log, with the runtime's time stamps."""
        params: dict[str, Any] = {
            "container": container,
            "tailLines": tail,
            "limitBytes": limit_bytes,
            "timestamps": "true",
        }
        if previous:
            params["previous"] = "true"
        return self.transport.get_text(f"{self._prefix}{PODS.path(namespace, pod)}/log", params)

    def json_patch(
        self, resource: Resource, name: str, namespace: str, operations: Sequence[Json], *, dry_run: bool = False
    ) -> dict[str, Any]:
        """A JSON Patch. A failed `test` is a `Conflict`: Kubernetes says 422 `Invalid`, as it does for a bad object."""
        try:
            return self._patch(
                resource, name, namespace, list(operations), "application/json-patch+json", dry_run=dry_run
            )
        except Invalid as error:
            if (
                error.status == 422
                and any(operation["op"] == "test" for operation in operations)
                and _is_failed_test(error.message)
            ):
                raise Conflict(
                    error.message, cure="A value changed since it was read; it is read again first.", status=422
                ) from error
            raise

    def merge_patch(
        self, resource: Resource, name: str, namespace: str, patch: Json, *, dry_run: bool = False
    ) -> dict[str, Any]:
        return self._patch(resource, name, namespace, patch, "application/merge-patch+json", dry_run=dry_run)

    def create(self, resource: Resource, item: Json, namespace: str = "", *, dry_run: bool = False) -> dict[str, Any]:
        """Make an object. `Conflict` when one of this name is there already."""
        params = {"fieldManager": FIELD_MANAGER} | ({"dryRun": "All"} if dry_run else {})
        path = self._prefix + resource.path(namespace)
        return self.transport.json_of(self.transport.request("POST", path, params=params, body=dict(item)))

    def delete(self, resource: Resource, name: str, namespace: str = "", *, uid: str, dry_run: bool = False) -> None:
        """Delete the object with this uid, and in the background what it owns. `Conflict` when it is another one by now."""
        body: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid},
            "propagationPolicy": "Background",
        }
        params: dict[str, Any] = {}
        if dry_run:
            # A server reads its options from the body when there is one; proxies and audit logs show the query.
            body["dryRun"], params = ["All"], {"dryRun": "All"}
        self.transport.request("DELETE", self._prefix + resource.path(namespace, name), params=params, body=body)

    def _patch(
        self, resource: Resource, name: str, namespace: str, body: object, content_type: str, *, dry_run: bool
    ) -> dict[str, Any]:
        params = {"fieldManager": FIELD_MANAGER} | ({"dryRun": "All"} if dry_run else {})
        path = self._prefix + resource.path(namespace, name)
        return self.transport.json_of(
            self.transport.request("PATCH", path, params=params, body=body, content_type=content_type)
        )

    def may(self, verb: str, resource: Resource, namespace: str = "", name: str = "") -> bool:
        """Has the token's user this right? Asked of the API server itself (SelfSubjectAccessReview), which changes nothing.

        A subresource is named as rules of roles name it: `pods/log`. Without a `name` the right is asked for all objects.
        """
        plural, _, subresource = resource.plural.partition("/")
        attributes = {"verb": verb, "group": resource.group, "resource": plural, "namespace": namespace}
        attributes |= {"subresource": subresource} if subresource else {}
        attributes |= {"name": name} if name else {}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        path = f"{self._prefix}/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        answer = self.transport.json_of(self.transport.request("POST", path, body=review))
        return bool((answer.get("status") or {}).get("allowed"))

    def watch(
        self, resource: Resource, resource_version: str, *, idle: float = WATCH_IDLE, timeout: int = WATCH_TIMEOUT
    ) -> Iterator[WatchEvent]:
        """Events since `resource_version`, until the server ends the watch (normal). `Gone` means: list again."""
        params = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(timeout),
        }
        path = self._prefix + resource.path()
        for line in self.transport.lines(path, params, idle=idle):
            if not line.strip():
                continue
            kind, body = _event(line, path)
            if kind == "ERROR":
                message = str(body.get("message", "")) if isinstance(body, dict) else ""
                if isinstance(body, dict) and body.get("code") == 410:
                    raise Gone(f"watch {path}: {message}", status=410)
                raise NotRancher(f"watch {path}: {message or 'an error without text'}")
            yield WatchEvent(kind, body)


def _event(line: bytes, path: str) -> tuple[str, Any]:
    """The kind and the object of a watch's line; the object of an ERROR may be anything."""
    try:
        event = json.loads(line)
        kind, body = str(event["type"]), event["object"]
    except (ValueError, KeyError, TypeError, RecursionError):
        kind, body = "", None
    if not kind or (kind != "ERROR" and not isinstance(body, dict)):
        raise NotRancher(
            f"watch {path}: a line is not a watch event ({len(line)} bytes)",
            cure="Look at proxies between Drover and Rancher.",
        )
    return kind, body


def _is_failed_test(message: str) -> bool:
    """The words of Kubernetes 1.32 for a patch that cannot be applied; a result that is not valid names kind and object instead."""
    return "rejected our request" in message.lower()
