"""Does a plan touch what must never change on a living cluster?

The plugin, the pod and service ranges, the backend, its VXLAN id and port: every node and pod was made with them. No playbook asks
for such a change; this check holds for playbooks that people write themselves, too.

A write may set one such field, or a whole that holds it: all arguments, all values of a chart, an object, a manifest with documents
in it, a document with values in it. So what is there before and after is taken apart, down to the last text, and compared.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from rancher_ext.client.changes import Value
from rancher_ext.client.kubernetes import PROVISIONING_CLUSTERS
from rancher_ext.evidence.readers.documents import too_deep
from rancher_ext.fleet.parse import mapping
from rancher_ext.remediation.action import NotPossible
from rancher_ext.remediation.change import Change, Target
from rancher_ext.remediation.check import Answer, Check, Obstacle, Steps, changes
from rancher_ext.remediation.manifests import documents_of, key_of
from rancher_ext.remediation.spec import RKE_CONFIG, cluster_cidrs

_PLUGIN, _PODS, _SERVICES = "the network plugin", "the pod range", "the service range"
_BACKEND, _VNI, _PORT = "the overlay's backend", "the overlay's VXLAN id", "the overlay's port"
_CHART_RANGE = "the pod range of the chart"
_NAMES = {
    "cni": _PLUGIN,
    "cluster-cidr": _PODS,
    "clusterCidr": _PODS,
    "podCidr": _CHART_RANGE,
    "podCidrv6": _CHART_RANGE,
    "service-cidr": _SERVICES,
    "service-cluster-ip-range": _SERVICES,
    "serviceClusterIpRange": _SERVICES,
    "backend": _BACKEND,
    "flannel-backend": _BACKEND,
    "vni": _VNI,
    "backendPort": _PORT,
    "net-conf.json": "the overlay's network",
}
_ENDS = {"_backend_type": _BACKEND, "_backend_vni": _VNI, "_backend_port": _PORT}
# Words of many meanings, and what they are in that says which one is meant.
_WITHIN = {("network", "plugin"): _PLUGIN, ("flannel", "port"): _PORT}
# What holds where nothing is said (RKE1, RKE2 and K3s agree): to say it changes nothing.
_DEFAULTS = {
    _PLUGIN: "canal",
    _PODS: "10.42.0.0/16",
    _SERVICES: "10.43.0.0/16",
    _BACKEND: "vxlan",
    _VNI: "1",
    _PORT: "8472",
}
# There something else may be said beside it, so that a default is not what holds.
_BESIDE = frozenset({"extraArgs", "extraArgsArray", "set"})
_VALUES, _MANIFESTS = "valuesContent", frozenset({"additionalManifest", "addons"})
_SELECTOR = "machineLabelSelector"
_UNREADABLE = "what cannot be read in it"
_CHARTS = frozenset({"HelmChart", "HelmChartConfig"})
_SPECIFIED = frozenset({"clusters", "rkecontrolplanes", "helmcharts", "helmchartconfigs"})
# More than any specification has. A few lines of YAML can repeat themselves without end.
_MOST, _DEEPEST = 200_000, 150

Path = tuple[str, ...]


class TooMuchError(Exception):
    """Nobody can say what is in there."""


@dataclass(frozen=True)
class Guarded:
    """One value that has to stay. `default` is what holds without it; None where that is not known."""

    what: str
    value: str
    default: str | None = None


def look(target: Target, steps: Steps) -> Answer:
    for change in changes(steps):
        if change.before == change.after:
            continue
        place = str(change.place)
        try:
            moved = list(differences(change, initialized=target.snapshot.initialized))
        except TooMuchError:
            return Obstacle(f"{place} has more in it than can be compared", "write a smaller part of it")
        for path, what, value in moved:
            if what == _CHART_RANGE and _follows(target, value):
                continue
            inside = ".".join(path[len(change.place.path) :])
            return Obstacle(
                f"{what} of a living cluster is never changed ({place}{f': {inside}' if inside else ''})",
                "a cluster with another one has to be made anew",
            )
    return None


def differences(change: Change, *, initialized: bool) -> Iterator[tuple[Path, str, Any]]:
    """Where, what and to which value (None: it goes) the change moves something that has to stay.

    On a cluster that never was up, something may be said for the first time.
    """
    before, after = (dict(_guarded(change, value)) for value in (change.before, change.after))
    for path, old in before.items():
        new = after.get(path)
        if new is None or new.value != old.value:
            yield path, old.what, json.loads(new.value) if new else None
    for path, new in after.items():
        value = json.loads(new.value)
        if path not in before and initialized and (new.default is None or str(value) != new.default):
            yield path, new.what, value


def _follows(target: Target, value: Any) -> bool:
    """The chart takes the cluster's own range where it names none: it may be told that one, or nothing."""
    if value is None:
        return True
    identity = target.snapshot.identity
    item = target.local.get(PROVISIONING_CLUSTERS, identity.name, identity.namespace)
    ranges = cluster_cidrs(mapping(item, *RKE_CONFIG, "machineGlobalConfig"))
    return value in {*ranges, ",".join(ranges)}


def _guarded(change: Change, value: Value) -> Iterator[tuple[Path, Guarded]]:
    """What has to stay in the object with this value at the change's place."""
    if not value.present:
        return
    item = value.value
    for key in reversed(change.place.path):
        item = {key: item}
    parts = ("spec", "data") if change.place.resource.plural in _SPECIFIED else ("data",)
    for part in parts:
        yield from _Walk().into(mapping(item).get(part), (part,))


class _Walk:
    """Goes through a value once, texts with documents in them included."""

    def __init__(self) -> None:
        self._left = _MOST

    def into(self, value: Any, path: Path, *, alone: bool = True) -> Iterator[tuple[Path, Guarded]]:
        """`alone`: nothing beside it says the same in another way, so that its defaults hold."""
        self._left -= 1
        if self._left < 0 or len(path) > _DEEPEST:
            raise TooMuchError
        if isinstance(value, Mapping):
            for key, inner in value.items():
                yield from self._entry(str(key), inner, path, alone=alone and key not in _BESIDE)
        elif isinstance(value, list):
            yield from self._items(value, path)

    def _entry(self, key: str, value: Any, path: Path, *, alone: bool) -> Iterator[tuple[Path, Guarded]]:
        here = (*path, key)
        what = _named(key, path)
        if what:
            if value is not None:
                default = _DEFAULTS.get(what) if alone else None
                yield here, Guarded(what, _canonical(_decoded(key, value)), default)
        elif isinstance(value, str) and key == _VALUES:
            yield from self._values(value, here)
        elif isinstance(value, str) and key in _MANIFESTS:
            yield from self._documents(value, here)
        else:
            yield from self.into(value, here, alone=alone)

    def _items(self, items: list[Any], path: Path) -> Iterator[tuple[Path, Guarded]]:
        """Arguments such as `cluster-cidr=10.42.0.0/16`, or entries of which those count that have something to guard.

        The order of the latter, and which machines one is for, belongs to what it says.
        """
        count = 0
        for item in items:
            name, equals, value = item.partition("=") if isinstance(item, str) else ("", "", "")
            what = _named(name.lstrip("-"), path) if equals else ""
            here = (*path, str(count))
            found = [((*here, name.lstrip("-")), Guarded(what, _canonical(value)))] if what else []
            found = found or list(self.into(item, here, alone=False))
            if found:
                count += 1
                yield from found
                if isinstance(item, Mapping) and "config" in item:
                    selector = Guarded("which machines have it", _canonical(item.get(_SELECTOR)))
                    yield (*here, _SELECTOR), selector

    def _values(self, text: str, path: Path) -> Iterator[tuple[Path, Guarded]]:
        try:
            values = None if too_deep(text) else yaml.safe_load(text)
        except (yaml.YAMLError, ValueError):
            values = None
        if isinstance(values, Mapping):
            yield from self.into(values, path, alone=False)
        elif text.strip():
            yield path, Guarded(_UNREADABLE, _canonical(text))

    def _documents(self, text: str, path: Path) -> Iterator[tuple[Path, Guarded]]:
        documents = NotPossible("") if too_deep(text) else documents_of(text)
        if isinstance(documents, NotPossible):
            yield path, Guarded(_UNREADABLE, _canonical(text))
            return
        for document in documents:
            kind = str(document.get("kind"))
            part = "spec" if kind in _CHARTS else "data" if kind == "ConfigMap" else ""
            if part:
                name = "/".join(filter(None, key_of(document)[1:]))
                yield from self.into(document.get(part), (*path, name), alone=False)


def _named(key: str, path: Path) -> str:
    """What this key stands for where it is; empty for all that may change. `set` of a chart has keys with dots."""
    if key in _NAMES:
        return _NAMES[key]
    words = (*path, *key.split("."))
    within = _WITHIN.get((words[-2], words[-1]), "") if len(words) > 1 else ""
    return within or _NAMES.get(words[-1], "") or next((what for end, what in _ENDS.items() if key.endswith(end)), "")


def _decoded(key: str, value: Any) -> Any:
    """Blanks in a configuration are no change of it."""
    if key != "net-conf.json" or not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


CHECK = Check("never-changed", "Plugin, ranges, backend and VXLAN id of a living cluster stay as they are.", look)
