"""Whose words are in each file of this bundle, and on which node were they said?

The path tells most. The rest is told by its neighbours: one log collection is one node's, a container's run 3 came after its
run 2, and a pod's node stands in the list of pods.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from rancher_ext.bundle.bundle import Bundle, BundleFile
from rancher_ext.bundle.facts import NodeFacts, PodFacts
from rancher_ext.bundle.origin import Origin, OriginKind, origin_of
from rancher_ext.bundle.text import chunks
from rancher_ext.evidence.readers.journal import journal_host
from rancher_ext.evidence.readers.log_collector import DOCKER_NAME, VAR_LOG_PODS, foreign_origin

_HEAD = 8 << 10
# Folders that a log collector makes at the top of one node's collection.
_COLLECTOR = re.compile(
    r"^(?P<root>(?:.*?/)?)(?:systeminfo|networking|journald|systemlogs|rke2|k3s|rke|k8s|kubeadm|docker|rancher|etcd|system|services)/"
)
# <host>-2025-03-04_10_15_00 (Linux), rancher_rke2_<host>_2025-03-04 (Windows), and our guess for nodes/<name>/…
_COLLECTION_NAME = re.compile(r"^(?P<host>[A-Za-z0-9][A-Za-z0-9.-]{0,252})-(?P<when>\d{4}-\d\d-\d\d_\d\d_\d\d_\d\d)")
_WINDOWS_NAME = re.compile(r"^rancher_(?:rke2_)?(?P<host>[A-Za-z0-9][A-Za-z0-9.-]{0,252})_\d{4}-\d\d-\d\d")
_NODE_FOLDER = re.compile(r"(?:^|/)nodes/(?P<host>[a-z0-9][a-z0-9.-]{0,252})/")
_HOST = re.compile(r"^[A-Za-z0-9][A-Za-z0-9.-]{0,252}$")
# What the API gave is about the whole cluster, wherever it was asked.
_OF_THE_CLUSTER = re.compile(r"(?:^|/)(?:kubectl|cluster-resources)/|(?:^|/)podlogs/(?!k8s_)[^/_]+$")
_NODES = re.compile(r"(?:^|/)nodes?\.(?:json|ya?ml)$")
_LIST_OF_NODES = 8 << 20
_HEARTBEAT = re.compile(rb'lastHeartbeatTime"?: "?(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)Z')
_DATES = ("%a %b %d %H:%M:%S %Z %Y", "%a %b %d %I:%M:%S %p %Z %Y", "%a %d %b %Y %I:%M:%S %p %Z")


def ascribed(bundle: Bundle) -> dict[str, Origin]:
    """The origin of every file that holds words."""
    origins = {path: origin for path in bundle if (origin := _origin(bundle[path])).kind is not OriginKind.NOT_TEXT}
    hosts = collection_hosts(bundle)
    for path, origin in origins.items():
        if origin.node is not None or origin.kind not in {OriginKind.UNIT, OriginKind.CONTAINER}:
            continue
        node = _host_of(path, hosts)
        if node is None and origin.kind is OriginKind.UNIT:
            node = journal_host(_head(bundle[path]))
        if node is not None:
            origins[path] = replace(origin, node=node)
    return _runs_in_order(origins)


def _origin(file: BundleFile) -> Origin:
    if file.origin is not None:
        return file.origin
    origin = origin_of(file.path)
    return foreign_origin(file.path) or origin if origin.kind is OriginKind.UNKNOWN else origin


def _head(file: BundleFile) -> bytes:
    """The first lines as people read them."""
    sample = BundleFile.of(file.path, file.read_bytes(_HEAD))
    return next((chunk.seen for chunk in chunks(sample)), b"")


def collection_hosts(bundle: Bundle) -> Mapping[str, str]:
    """The host of every log collection in the bundle, by the folder it lies in (with its last slash, "" for the top)."""
    hosts: dict[str, str] = {}
    roots = {match["root"] for path in bundle if (match := _COLLECTOR.match(path)) is not None}
    for root in roots:
        told = bundle.files.get(f"{root}systeminfo/hostname")
        name = told.read_bytes(300).decode("utf-8", "replace").strip() if told is not None else ""
        folder = root.rstrip("/").rpartition("/")[2] or bundle.name
        if not _HOST.match(name) or name == "localhost":
            named = _COLLECTION_NAME.match(folder) or _WINDOWS_NAME.match(folder)
            name = named["host"] if named else ""
        if name:
            hosts[root] = name
    return hosts


def _host_of(path: str, hosts: Mapping[str, str]) -> str | None:
    if (folder := _NODE_FOLDER.search(path)) is not None:
        return folder["host"]
    match = _COLLECTOR.match(path)
    if match is None or _OF_THE_CLUSTER.search(path):
        return None
    return hosts.get(match["root"])


def _runs_in_order(origins: dict[str, Origin]) -> dict[str, Origin]:
    """Of a container's runs the last is the current one; Docker and the kubelet number them."""
    runs: dict[tuple[str, ...], list[tuple[int, bool, str]]] = defaultdict(list)
    for path in origins:
        match = VAR_LOG_PODS.search(path) or DOCKER_NAME.search(path)
        if match is not None:
            folder = path[: match.start()]
            rotated = bool(match.groupdict().get("rotated"))
            runs[folder, match["ns"], match["pod"], match["container"]].append((int(match["run"]), rotated, path))
    for found in runs.values():
        newest = max(run for run, _, _ in found)
        for run, _, path in found:
            if run < newest:
                origins[path] = replace(origins[path], previous=True)
    return origins


def joined_to_nodes(
    origins: Mapping[str, Origin], pods: Iterable[PodFacts], nodes: Iterable[NodeFacts]
) -> dict[str, Origin]:
    """Logs of containers get their pod's node, and hosts the name under which the cluster knows them."""
    node_of: dict[str, str | None] = {}
    for pod in pods:
        if pod.node:
            # Two pods of one name in two namespaces: then only the namespace can tell, and logs often lack it.
            node_of[f"{pod.namespace}/{pod.name}"] = pod.node
            node_of[pod.name] = pod.node if node_of.get(pod.name, pod.node) == pod.node else None
    known = node_names(nodes)
    joined = {}
    for path, origin in origins.items():
        node = origin.node
        if node is None and origin.pod is not None:
            node = node_of.get(f"{origin.namespace}/{origin.pod}") or node_of.get(origin.pod)
        if node is not None:
            node = known.get(node.lower()) or known.get(node.lower().partition(".")[0]) or node
        joined[path] = replace(origin, node=node) if node != origin.node else origin
    return joined


def node_names(nodes: Iterable[NodeFacts]) -> dict[str, str]:
    """Node names by how hosts call themselves: in full and by their first part, where that is one node's only."""
    names: dict[str, str | None] = {}
    for node in nodes:
        if not node.name:
            continue
        short = node.name.lower().partition(".")[0]
        names[short] = node.name if names.get(short, node.name) == node.name else None
    names |= {node.name.lower(): node.name for node in nodes if node.name}
    return {host: name for host, name in names.items() if name is not None}


def collected_at(bundle: Bundle) -> datetime | None:
    """When the evidence was taken: from our manifest, from a log collector's clock or folder, by the last time that a node was
    heard of in a list of nodes; else unknown.
    """
    if bundle.manifest is not None:
        return bundle.manifest.collected_at
    moments = []
    roots = {match["root"] for path in bundle if (match := _COLLECTOR.match(path)) is not None}
    for root in roots:
        told = bundle.files.get(f"{root}systeminfo/date")
        moment = _date(told.read_bytes(200).decode("utf-8", "replace")) if told is not None else None
        if moment is None and (named := _COLLECTION_NAME.match(root.rstrip("/").rpartition("/")[2] or bundle.name)):
            try:
                moment = datetime.strptime(named["when"], "%Y-%m-%d_%H_%M_%S").replace(tzinfo=UTC)
            except ValueError:
                moment = None
        if moment is not None:
            moments.append(moment)
    return max(moments or _heartbeats(bundle), default=None)


def _heartbeats(bundle: Bundle) -> list[datetime]:
    """Nodes report every five minutes at the latest, and nobody hears of them after the list was asked for."""
    heads = (bundle[path].read_bytes(_LIST_OF_NODES) for path in bundle if _NODES.search(path))
    found = {stamp for head in heads for stamp in _HEARTBEAT.findall(head)}
    moments = []
    for stamp in found:
        try:
            moments.append(datetime.fromisoformat(stamp.decode()).replace(tzinfo=UTC))
        except ValueError:
            continue
    return moments


def _date(text: str) -> datetime | None:
    """`date` in C or English, where it names UTC. Other zones have no unique abbreviations."""
    text = " ".join(text.split())
    if "UTC" not in text and "GMT" not in text:
        return None
    for form in _DATES:
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    return None
