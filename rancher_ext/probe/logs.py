"""What did the containers of this node say? From the files that the kubelet keeps, or from the local API server.

The API server has more to say: why a container does not even start stands in the pod, not in a log. But it may be what is
broken, so the kubelet's files come into play where it does not answer.
"""

import json
import re
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rancher_ext.bundle.origin import workload_of_pod
from rancher_ext.probe.root import NodeRoot

NAMESPACES = ("kube-system", "kube-flannel")
# Whose words tell why the network is down.
WORKLOADS = frozenset({"cni", "kube-proxy", "helm-install", "network-deploy-job"})
SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
# RKE2's API server on a server, its load balancer on an agent; K3s' load balancer on an agent.
API_SERVERS = ("https://127.0.0.1:6443", "https://127.0.0.1:6444")

_PODS = "/var/log/pods"
# <namespace>_<pod>_<uid>: none of the three can hold an underscore.
_FOLDER = re.compile(r"(?P<namespace>[a-z0-9.-]+)_(?P<pod>[a-z0-9.-]+)_(?P<uid>[A-Za-z0-9-]+)")
_LOG = re.compile(r"(?P<number>[0-9]{1,9})\.log")
# Logs of the distribution's own parts that are files; the journal is none that could be read without its tools.
_UNITS = (
    ("kubelet", "/var/lib/rancher/rke2/agent/logs/kubelet.log"),
    ("containerd", "/var/lib/rancher/rke2/agent/containerd/containerd.log"),
    ("containerd", "/var/lib/rancher/k3s/agent/containerd/containerd.log"),
)
# What an API server says when a right is missing.
_LACKS = re.compile(r'cannot (?P<verb>[a-z]{1,20}) resource \\?"(?P<resource>[a-z/]{1,60})\\?"')
_MOST_PODS = 40
_ANSWER = 8 << 20
_SECONDS = 15.0

File = tuple[str, bytes]


@dataclass(frozen=True)
class LocalApi:
    """The API server as this node reaches it, with the pod's own service account."""

    url: str
    token: str
    ca_file: str | None = None

    @classmethod
    def of_pod(cls, folder: Path, urls: tuple[str, ...] = API_SERVERS) -> "list[LocalApi]":
        """Where it may answer; nothing when the pod has no service account."""
        try:
            token = (folder / "token").read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            return []
        ca_file = folder / "ca.crt"
        return [cls(url, token, str(ca_file) if ca_file.is_file() else None) for url in urls]

    def get(self, path: str, **params: str | int) -> bytes:
        """The body, at most 8 MiB of it. Raises OSError or ValueError for everything else."""
        url = f"{self.url}{path}"
        if params:
            url += f"?{urllib.parse.urlencode(params)}"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {self.token}"})  # noqa: S310 - fixed schemes
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
        if url.startswith("https:"):
            handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=self.ca_file)))
        with urllib.request.build_opener(*handlers).open(request, timeout=_SECONDS) as answer:
            body: bytes = answer.read(_ANSWER)
        return body

    def get_json(self, path: str, **params: str | int) -> Mapping[str, Any]:
        found = json.loads(self.get(path, **params))
        if not isinstance(found, dict):
            raise TypeError(f"{path} is no object")
        return found


def from_api(apis: list[LocalApi], node: str, size: int, notes: list[str]) -> list[File]:
    """Pods of this node that belong to the network, their logs, and the Node itself. Nothing where no server answers."""
    for api in apis:
        try:
            return list(_read_api(api, node, size, notes))
        except (OSError, ValueError, TypeError) as error:
            notes.append(f"{api.url} did not help: {_said(error)}")
    return []


def _read_api(api: LocalApi, node: str, size: int, notes: list[str]) -> Iterator[File]:
    for namespace in NAMESPACES:
        try:
            listed = api.get_json(
                f"/api/v1/namespaces/{namespace}/pods", fieldSelector=f"spec.nodeName={node}", limit=500
            )
        except urllib.error.HTTPError as error:
            if error.code in {403, 404} and namespace != NAMESPACES[0]:
                continue
            if error.code != 403:
                raise
            # The rest may be allowed; and the kubelet's files have logs, too.
            notes.append(f"pods of {namespace}: {_said(error)}")
            continue
        found = listed.get("items")
        pods = [pod for pod in (found if isinstance(found, list) else ()) if workload_of_pod(_name(pod)) in WORKLOADS]
        for pod in pods[:_MOST_PODS]:
            whole = {"apiVersion": "v1", "kind": "Pod", **pod}
            whole["metadata"] = {key: value for key, value in whole["metadata"].items() if key != "managedFields"}
            yield f"objects/downstream/pods/{namespace}/{_name(pod)}.json", json.dumps(whole, indent=1).encode()
            yield from _logs_of(api, pod, namespace, size, notes)
    try:
        seen = dict(api.get_json(f"/api/v1/nodes/{urllib.parse.quote(node, safe='')}"))
    except (OSError, ValueError, TypeError) as error:
        notes.append(f"the Node could not be read: {_said(error)}")
        return
    metadata = {key: value for key, value in (seen.get("metadata") or {}).items() if key != "managedFields"}
    status = {key: value for key, value in (seen.get("status") or {}).items() if key != "images"}
    whole = {"apiVersion": "v1", "kind": "Node", **seen, "metadata": metadata, "status": status}
    yield f"objects/downstream/nodes/_/{node}.json", json.dumps(whole, indent=1).encode()


def _logs_of(api: LocalApi, pod: Mapping[str, Any], namespace: str, size: int, notes: list[str]) -> Iterator[File]:
    status = pod.get("status") or {}
    for each in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
        container = str(each.get("name"))
        for previous in (False, True):
            if previous and not (each.get("lastState") or {}).get("terminated"):
                continue
            path = f"/api/v1/namespaces/{namespace}/pods/{_name(pod)}/log"
            params: dict[str, str | int] = {
                "container": container, "tailLines": 2000, "limitBytes": size, "timestamps": "true"
            }  # fmt: skip
            if previous:
                params["previous"] = "true"
            try:
                text = api.get(path, **params)
            except (OSError, ValueError) as error:
                notes.append(f"log of {_name(pod)}/{container}: {_said(error)}")
                continue
            if text:
                yield log_path(namespace, _name(pod), container, previous=previous), text


def from_files(root: NodeRoot, size: int, notes: list[str]) -> Iterator[File]:
    """What the kubelet keeps: the last log of every container, and the one before."""
    folders = root.names(_PODS)
    if folders is None:
        notes.append(f"{_PODS} cannot be read")
        return
    taken = 0
    for folder in folders:
        found = _FOLDER.fullmatch(folder)
        if found is None or found["namespace"] not in NAMESPACES or workload_of_pod(found["pod"]) not in WORKLOADS:
            continue
        taken += 1
        if taken > _MOST_PODS:
            notes.append(f"more than {_MOST_PODS} pods of the network have logs here: the rest is left out")
            return
        for container in root.names(f"{_PODS}/{folder}") or []:
            numbers = sorted(
                int(log["number"])
                for log in map(_LOG.fullmatch, root.names(f"{_PODS}/{folder}/{container}") or [])
                if log
            )
            for previous, number in zip((False, True), reversed(numbers), strict=False):
                text = root.tail(f"{_PODS}/{folder}/{container}/{number}.log", size)
                if text:
                    yield log_path(found["namespace"], found["pod"], container, previous=previous), text


def units(root: NodeRoot, node: str, size: int) -> Iterator[File]:
    """Logs of kubelet and containerd, where they are files."""
    for unit, path in _UNITS:
        text = root.tail(path, size)
        if text:
            yield f"logs/{unit}/{node}.log", text


def log_path(namespace: str, pod: str, container: str, *, previous: bool = False) -> str:
    return f"logs/{namespace}/{pod}/{container}{'.previous' if previous else ''}.log"


def _name(pod: Mapping[str, Any]) -> str:
    return str((pod.get("metadata") or {}).get("name") or "")


def _said(error: BaseException) -> str:
    if isinstance(error, urllib.error.HTTPError):
        lacks = _LACKS.search(_body(error)) if error.code == 403 else None
        return f"forbidden: needs {lacks['verb']} {lacks['resource']}" if lacks else f"HTTP {error.code}"
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return str(reason)[:200]


def _body(error: urllib.error.HTTPError) -> str:
    try:
        return error.read(4096).decode("utf-8", "replace")
    except OSError:
        return ""
