"""Which copies of etcd does a cluster have, how old are they, and with which version were they made?

RKE1: EtcdBackup objects in the namespace of the management cluster, written by Rancher itself. RKE2 and K3s: ETCDSnapshot objects
beside the provisioning cluster, which Rancher fills from the cluster's own records. They appear only while its agent is
connected, so a cluster that is cut off may have newer files than Rancher knows of.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rancher_ext.client.kubernetes import Resource
from rancher_ext.fleet.parse import mapping, text, timestamp
from rancher_ext.remediation.change import Target
from rancher_ext.remediation.control_plane import version_in_snapshot
from rancher_ext.remediation.rke1 import is_rke1

BACKUPS = Resource("management.cattle.io", "v3", "etcdbackups")
SNAPSHOTS = Resource("rke.cattle.io", "v1", "etcdsnapshots")


@dataclass(frozen=True)
class EtcdCopy:
    """`done` is None while it is being made. `node` is empty for one that lies in S3, where any server can fetch it."""

    name: str
    created: datetime
    done: bool | None
    version: str
    node: str
    s3: bool
    message: str = ""


def etcd_copies(target: Target) -> list[EtcdCopy]:
    """All of the cluster, the newest first."""
    snapshot = target.snapshot
    if is_rke1(snapshot):
        found = [_backup(item) for item in target.local.list(BACKUPS, snapshot.identity.id).items]
    else:
        items = target.local.list(SNAPSHOTS, snapshot.identity.namespace).items
        found = [
            _snapshot(item) for item in items if mapping(item, "spec").get("clusterName") == snapshot.identity.name
        ]
    return sorted((each for each in found if each), key=lambda copy: (copy.created, copy.name), reverse=True)


def _backup(item: Mapping[str, Any]) -> EtcdCopy | None:
    created = timestamp(mapping(item, "metadata").get("creationTimestamp"))
    if created is None:
        return None
    conditions = mapping(item, "status").get("conditions")
    completed: Mapping[str, Any] = next(
        (each for each in (conditions if isinstance(conditions, list) else []) if each.get("type") == "Completed"), {}
    )
    return EtcdCopy(
        name=text(mapping(item, "metadata").get("name")),
        created=created,
        done={"True": True, "False": False}.get(text(completed.get("status"))),
        version=text(mapping(item, "status").get("kubernetesVersion")),
        node="",
        s3=bool(mapping(item, "spec", "backupConfig").get("s3BackupConfig")),
        message=text(completed.get("message")),
    )


def _snapshot(item: Mapping[str, Any]) -> EtcdCopy | None:
    file = mapping(item, "snapshotFile")
    created = timestamp(file.get("createdAt"))
    if created is None:
        return None
    s3 = bool(mapping(file, "s3")) or text(file.get("location")).startswith("s3:")
    missing = mapping(item, "status").get("missing") is True
    return EtcdCopy(
        name=text(mapping(item, "metadata").get("name")),
        created=created,
        done=text(file.get("status")) == "successful" and not missing,
        version=version_in_snapshot(text(file.get("metadata"))),
        node="" if s3 else text(file.get("nodeName")),
        s3=s3,
        message="its file is gone" if missing else text(file.get("message")),
    )
