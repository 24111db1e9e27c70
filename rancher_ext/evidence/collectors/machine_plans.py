"""What did each node's system-agent make of Rancher's plan: applied, failed, which probes pass, when was it last heard of?

The Secret that carries a plan holds join tokens, registry passwords and S3 keys. It is reduced the moment it arrives to what
tells its state: checksums, counts, probes, times, paths of files and names of environment variables. No content is kept.
"""

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

from rancher_ext.client import kubernetes as api
from rancher_ext.evidence.collect import Collector, Item
from rancher_ext.evidence.collect import object_path as path_of
from rancher_ext.evidence.collectors._machines import has_capi_machines
from rancher_ext.evidence.kinds import Kind, Object
from rancher_ext.evidence.reach import Reach, Side
from rancher_ext.evidence.render import mappings
from rancher_ext.fleet.parse import integer, machine_plan, mapping, text

_PREFIX = "rke.cattle.io/"
_ANNOTATIONS = ("plan-last-updated", "plan-probes-passed", "joined-to", "join-url", "drain-done", "drain-error")
_LABELS = ("machine-name", "cluster-name", "init-node", "etcd-role", "control-plane-role", "worker-role")
_COUNTS = ("failure-count", "failure-threshold", "max-failures", "success-count")


class _PlanKind(Kind):
    """Machine-plan Secrets, which never become an object of the bundle as they are."""

    def object(self, item: Mapping[str, Any]) -> Object | None:
        return reduced_plan(item)


PLAN = _PlanKind(api.SECRETS, "MachinePlan")
# Where it lies and what it is called in a bundle: no API knows this kind.
_KEPT = Kind(api.Resource("", "v1", "machineplans"), "MachinePlan")


def reduced_plan(secret: Mapping[str, Any]) -> Object:
    """The state of a plan without anything of its content."""
    metadata, data = mapping(secret, "metadata"), mapping(secret, "data")
    labels, annotations = mapping(metadata, "labels"), mapping(metadata, "annotations")
    state = machine_plan(secret)
    plan, applied = _decoded(data.get("plan")), _decoded(data.get("appliedPlan"))
    return {
        "apiVersion": "drover/v1",
        "kind": "MachinePlan",
        "metadata": {
            "name": text(metadata.get("name")),
            "namespace": text(metadata.get("namespace")),
            "creationTimestamp": metadata.get("creationTimestamp"),
            "labels": {_PREFIX + key: text(labels.get(_PREFIX + key)) for key in _LABELS if labels.get(_PREFIX + key)},
            "annotations": {
                _PREFIX + key: text(annotations.get(_PREFIX + key))
                for key in _ANNOTATIONS
                if isinstance(annotations.get(_PREFIX + key), str)
            },
        },
        "status": {
            "delivered": bool(plan),
            "everApplied": bool(applied),
            "applied": state.applied,
            "failed": state.failed,
            "lastSeen": state.last_seen.isoformat() if state.last_seen else None,
            "lastApplyTime": _decoded(data.get("last-apply-time")).decode(errors="replace")[:60],
            "counts": {key: integer(_decoded(data.get(key)).decode(errors="replace")) for key in _COUNTS if key in data},
            "checksums": {
                "plan": sha256(plan).hexdigest() if plan else "",
                "appliedPlan": sha256(applied).hexdigest() if applied else "",
                "failed": _checksum(data.get("failed-checksum")),
            },
            "probes": _probes(data.get("probe-statuses")),
        },
        "plan": _outline(plan),
        "appliedPlan": None if not applied else "the same" if applied == plan else _outline(applied),
    }  # fmt: skip


def _outline(plan: bytes) -> Object:
    """Which files and which instructions, never what is in them."""
    try:
        outline = json.loads(plan) if plan else {}
    except (ValueError, RecursionError):
        outline = {}
    return {
        "files": [
            {"path": text(file.get("path")), "dynamic": file.get("dynamic") is True}
            for file in mappings(mapping(outline).get("files"))
        ],
        "instructions": [
            {
                "name": text(instruction.get("name")),
                "image": text(instruction.get("image")),
                "env": sorted(str(each).partition("=")[0] for each in _list(instruction.get("env"))),
            }
            for instruction in mappings(mapping(outline).get("instructions"))
        ],
        "probes": sorted(str(name) for name in mapping(outline, "probes")),
    }


def _probes(raw: object) -> dict[str, Object]:
    try:
        statuses = json.loads(_decoded(raw) or b"{}")
    except (ValueError, RecursionError):
        return {}
    # Go leaves out what is false or zero.
    return {
        str(name): {
            "healthy": mapping(statuses, name).get("healthy") is True,
            "successCount": integer(mapping(statuses, name).get("successCount")) or 0,
            "failureCount": integer(mapping(statuses, name).get("failureCount")) or 0,
        }
        for name in mapping(statuses)
    }


def _checksum(raw: object) -> str:
    """A checksum, and only that: anything else in its place might be something secret."""
    value = _decoded(raw).decode(errors="replace").strip()
    return value if len(value) == 64 and all(letter in "0123456789abcdef" for letter in value) else ""


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _decoded(value: object) -> bytes:
    try:
        return base64.b64decode(value, validate=True) if isinstance(value, str) else b""
    except (binascii.Error, ValueError):
        return b""


def run(reach: Reach) -> Iterator[Item]:
    identity = reach.snapshot.identity
    plans = reach.objects(
        Side.MANAGEMENT,
        PLAN,
        identity.namespace,
        labels=f"rke.cattle.io/cluster-name={identity.name}",
        fields="type=rke.cattle.io/machine-plan",
    )
    if not plans:
        reach.remark("there is no machine plan")
    # The unapplied and the unhealthy first: they are the ones to read when a cap cuts the rest off.
    for plan in sorted(plans, key=_is_well):
        yield path_of(Side.MANAGEMENT, _KEPT, plan), plan


def _is_well(plan: Mapping[str, Any]) -> bool:
    status = mapping(plan, "status")
    probes = mapping(status, "probes")
    return status.get("applied") is True and all(mapping(probes, name).get("healthy") is True for name in probes)


COLLECTOR = Collector("machine_plans", Side.MANAGEMENT, run, timeout=45, applies=has_capi_machines)
