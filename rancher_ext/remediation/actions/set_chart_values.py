"""Set or remove values of the chart that brings the CNI of an RKE2 cluster.

`spec.rkeConfig.chartValues.<chart>` becomes a HelmChartConfig on the servers; no service restarts, and it works while Rancher
does not reach the cluster (rancher-api 1.5). helm applies the chart again and the CNI's pods roll. Every value is a change of
its own, so that an undo takes back exactly these keys. A HelmChartConfig of the same name in `additionalManifest` would fight
over the chart, and the backend, its id and port of a living overlay are never touched.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from rancher_ext.client.changes import ABSENT, Value
from rancher_ext.client.kubernetes import CONTROL_PLANES
from rancher_ext.errors import NotFound
from rancher_ext.fleet.cluster import Distribution
from rancher_ext.fleet.parse import mapping, text
from rancher_ext.remediation.action import Action, NotPossible, PlannedStep, Risk, UndoKind
from rancher_ext.remediation.change import Change, Target
from rancher_ext.remediation.cidr import parse, within
from rancher_ext.remediation.diff import field_diff
from rancher_ext.remediation.manifests import documents_of, key_of, present_text
from rancher_ext.remediation.spec import RKE_CONFIG, change_of, cluster_cidrs, read_cluster

CHARTS = ("rke2-canal", "rke2-flannel", "rke2-coredns")
# Stands for the cluster's own range, so that nobody has to write it into a playbook.
CLUSTER_CIDR = "{cluster-cidr}"
_NEVER = {
    ("flannel", "backend"): "the backend of a living overlay is not changed",
    ("flannel", "vni"): "the VXLAN id of a living overlay is not changed",
    ("flannel", "backendPort"): "the VXLAN port of a living overlay is not changed",
    ("flannel", "port"): "the VXLAN port of a living overlay is not changed",
    ("podCidr",): "the pod range of a living cluster is not changed",
    ("podCidrv6",): "the pod range of a living cluster is not changed",
}
_POD_CIDR = ("podCidr",)


def preview(target: Target, arguments: Mapping[str, Any]) -> PlannedStep | NotPossible:
    """`chart: name`, and `values: {…}`, `remove: [dotted.key]` or `restore: true` (those of the last complete reconcile)."""
    chart, values, remove = text(arguments.get("chart")), mapping(arguments, "values"), arguments.get("remove", [])
    if target.snapshot.distribution is not Distribution.RKE2:
        return NotPossible("only RKE2 installs its network with a chart")
    if chart not in CHARTS:
        return NotPossible(f"{chart or 'a chart without a name'} is not one of {', '.join(CHARTS)}")
    item = read_cluster(target)
    if isinstance(item, NotPossible):
        return item
    documents = documents_of(present_text(item))
    if isinstance(documents, NotPossible):
        return documents
    if any(key_of(each)[1] == "HelmChartConfig" and key_of(each)[3] == chart for each in documents):
        return NotPossible(
            f"additionalManifest has a HelmChartConfig {chart}: two sources would fight, change it there"
        )
    families = cluster_cidrs(mapping(item, *RKE_CONFIG, "machineGlobalConfig"))
    ranges = ",".join(part.strip() for each in families for part in each.split(","))
    changes: list[Change] = []
    if arguments.get("restore") is True:
        good = _last_good(target, item, chart)
        moved = _overlay_moves(good)
        if moved:
            return NotPossible(f"{moved}, and the last good values have another one: correct the wrong value by hand")
        changes.append(good)
    for keys, value in _leaves(values):
        if value == CLUSTER_CIDR and ("," in ranges or ":" in ranges):
            return NotPossible(
                f"its pods have the ranges {ranges}, and the chart wants each family under a key of its own: a person sets them"
            )
        after = Value(present=True, value=ranges if value == CLUSTER_CIDR else value)
        if keys in _NEVER and value != CLUSTER_CIDR:
            return NotPossible(_NEVER[keys])
        changes.append(change_of(target, item, (*RKE_CONFIG, "chartValues", chart, *keys), after))
    for dotted in remove:
        keys = tuple(str(dotted).split("."))
        refused = _NEVER.get(keys) if keys != _POD_CIDR else _stray_range(target, item, chart, ranges)
        if refused:
            return NotPossible(refused)
        changes.append(change_of(target, item, (*RKE_CONFIG, "chartValues", chart, *keys), ABSENT))
    changes = [change for change in changes if change.before != change.after]
    if not changes:
        return NotPossible(f"the chart {chart} already has these values: setting them again changes nothing")
    return PlannedStep(
        action=ACTION.name,
        title=f"Change values of the chart `{chart}`",
        writes=tuple(changes),
        diff="\n".join(field_diff(item, each.place.path, each.before, each.after) for each in changes),
        effect=f"helm applies {chart} again and its pods roll, node by node. No service restarts.",
        arguments=dict(arguments),
    )


def _last_good(target: Target, item: Mapping[str, Any], chart: str) -> Change:
    """The chart's values of the last complete reconcile; none where there never was one."""
    identity = target.snapshot.identity
    path = (*RKE_CONFIG, "chartValues", chart)
    try:
        plane = target.local.get(CONTROL_PLANES, identity.name, identity.namespace)
    except NotFound:
        plane = {}
    good = Value.of(mapping(plane, "status", "appliedSpec"), ("chartValues", chart))
    return change_of(target, item, path, good if good.present else ABSENT)


def _overlay_moves(change: Change) -> str | None:
    """Why the values as a whole must not be exchanged: with the wrong one the overlay's shape would change, too."""
    before, after = (mapping(value.value) if value.present else {} for value in (change.before, change.after))
    return next((why for keys, why in _NEVER.items() if Value.of(before, keys) != Value.of(after, keys)), None)


def _stray_range(target: Target, item: Mapping[str, Any], chart: str, ranges: str) -> str | None:
    """Why a pod range in the chart's values must stay. One that differs from the cluster's own, in which all nodes are, may go."""
    given = text(mapping(item, *RKE_CONFIG, "chartValues", chart).get("podCidr"))
    if given == ranges:
        return "podCidr already is the cluster's own range"
    pools = [pool for each in ranges.split(",") if (pool := parse(each))]
    nodes = [(node.name, network) for node in target.snapshot.nodes if (network := parse(node.pod_cidr))]
    if not nodes:
        return "the pod ranges of its nodes are not known"
    outside = next((name for name, network in nodes if not any(within(network, pool) for pool in pools)), None)
    return f"{outside} has a pod range outside {ranges}: it has to be made anew" if outside else None


def _leaves(values: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key in sorted(values):
        value = values[key]
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, (*above, key))
        else:
            yield (*above, key), value


ACTION = Action(
    name="set-chart-values",
    # The pods of the CNI roll, as with restart-cni-pods.
    risk=Risk.DISRUPTIVE,
    undo=UndoKind.EXACT,
    expected=timedelta(minutes=5),
    preview=preview,
    help="Sets or removes values of the chart that brings the CNI of an RKE2 cluster.",
)
