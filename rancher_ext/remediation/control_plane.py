"""What has Rancher carried out on an RKE2 or K3s cluster, as opposed to what its specification asks for?

The status of the RKEControlPlane tells: the specification of the last complete reconcile, the operations (snapshot, restore)
that ran, and their numbers. A cluster that never had a complete reconcile has no `appliedSpec`: nothing is known to work there.
"""

import base64
import binascii
import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rancher_ext.client.kubernetes import CONTROL_PLANES
from rancher_ext.errors import NotFound
from rancher_ext.fleet.parse import integer, mapping, text
from rancher_ext.remediation.change import Target
from rancher_ext.remediation.spec import RKE_CONFIG

Json = Mapping[str, Any]

# Requests, not configuration: they differ from the last reconcile without meaning a change of the cluster.
_REQUESTS = frozenset({"etcdSnapshotCreate", "etcdSnapshotRestore", "rotateCertificates", "rotateEncryptionKeys"})


@dataclass(frozen=True)
class ControlPlane:
    """One RKEControlPlane, read."""

    item: Json

    @property
    def status(self) -> Json:
        return mapping(self.item, "status")

    @property
    def applied_version(self) -> str:
        """The Kubernetes version of the last complete reconcile; empty for a cluster that never had one."""
        return text(mapping(self.status, "appliedSpec").get("kubernetesVersion"))

    @property
    def changed_besides_version(self) -> tuple[str, ...]:
        """Which parts of the specification differ from the last complete reconcile, the version apart."""
        applied, now = mapping(self.status, "appliedSpec"), mapping(self.item, "spec")
        keys = (set(applied) | set(now)) - _REQUESTS - {"kubernetesVersion"}
        return tuple(sorted(key for key in keys if (applied.get(key) or None) != (now.get(key) or None)))

    def generation(self, operation: str, cluster: Json) -> int:
        """The highest number with which this operation was ever asked for. A lower one would start it again."""
        asked = integer(mapping(cluster, *RKE_CONFIG, operation).get("generation")) or 0
        done = integer(mapping(self.status, operation).get("generation")) or 0
        return max(asked, done)


def read_control_plane(target: Target) -> ControlPlane:
    """One without content where Rancher has none (yet): then nothing was carried out."""
    identity = target.snapshot.identity
    try:
        return ControlPlane(target.local.get(CONTROL_PLANES, identity.name, identity.namespace))
    except NotFound:
        return ControlPlane({})


def version_in_snapshot(metadata: str) -> str:
    """The Kubernetes version at the time of an etcd snapshot, from `snapshotFile.metadata`; empty where it does not tell.

    Base64 of JSON, in which the cluster's specification is base64 of gzip of JSON.
    """
    try:
        outer = json.loads(base64.b64decode(metadata, validate=True))
        packed = base64.b64decode(text(mapping(outer).get("provisioning-cluster-spec")), validate=True)
        spec = json.loads(gzip.decompress(packed))
    except (binascii.Error, ValueError, OSError, EOFError):
        return ""
    return text(mapping(spec).get("kubernetesVersion"))
