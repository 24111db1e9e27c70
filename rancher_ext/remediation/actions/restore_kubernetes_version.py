"""Go back to an earlier minor version of Kubernetes by restoring the etcd copy that was taken with it.

Everything that changed in the cluster since that copy is lost, the API is away meanwhile, and a restore cannot be cancelled.
RKE1: `restoreFromEtcdBackup` with `restoreRkeConfig: kubernetesVersion`. RKE2 and K3s: `rkeConfig.etcdSnapshotRestore` with a higher number
and `restoreRKEConfig: kubernetesVersion`; Rancher then sets the version from the copy's metadata before it restores.

Its last two phases wait for the agent: with a network that stays broken the restore hangs for ever. So it is planned only
where the cluster has worked with that version and nothing but the version was changed since; and it needs a complete copy of
exactly that version which a machine that is still there can read.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from rancher_ext.client.changes import Value
from rancher_ext.client.norman import Norman
from rancher_ext.fleet.parse import integer, mapping, text
from rancher_ext.remediation import change
from rancher_ext.remediation.action import Action, NotPossible, PlannedStep, Risk, Settled, UndoKind
from rancher_ext.remediation.change import Call, Change, StepResult, Target, Write
from rancher_ext.remediation.control_plane import read_control_plane
from rancher_ext.remediation.diff import field_diff
from rancher_ext.remediation.earlier_version import EarlierVersion, earlier_version
from rancher_ext.remediation.etcd import EtcdCopy, etcd_copies
from rancher_ext.remediation.rke1 import CONFIG, cluster_object, is_rke1
from rancher_ext.remediation.spec import RKE_CONFIG, change_of

_NORMAN_RESTORE = "restoreFromEtcdBackup"
_MODE = "kubernetesVersion"


def preview(target: Target, arguments: Mapping[str, Any]) -> PlannedStep | NotPossible:
    """No arguments."""
    if not target.snapshot.initialized:
        return NotPossible("the cluster was never up: there is nothing to go back to")
    found = earlier_version(target)
    if isinstance(found, NotPossible):
        return found
    copy = next(
        (each for each in etcd_copies(target) if each.version == found.worked and _readable(target, found, each)), None
    )
    if copy is None:
        return NotPossible(
            f"there is no complete etcd snapshot of {found.worked} on a machine that is still there, or in S3"
        )
    writes, diff = _by_action(target, copy) if is_rke1(target.snapshot) else _by_field(target, found, copy)
    if not writes:
        return NotPossible("Rancher does not offer to restore a backup of this cluster to this token")
    return PlannedStep(
        action=ACTION.name,
        title=f"Restore Kubernetes {found.worked} with the etcd snapshot of {copy.created:%Y-%m-%d %H:%M} UTC",
        writes=writes,
        diff=diff,
        effect="The API is away until the restore is done. Everything that was changed in the cluster since the snapshot is lost.",
        arguments={**arguments, "version": found.worked},
    )


def _readable(target: Target, found: EarlierVersion, copy: EtcdCopy) -> bool:
    if not copy.done:
        return False
    if is_rke1(target.snapshot):
        if _restored(found.item) == f"{target.snapshot.identity.id}:{copy.name}":
            # It was restored before, and the cluster went on to where it is now.
            return False
        # A backup in S3 needs the cluster's own S3 configuration: Rancher answers 405 without it.
        return not copy.s3 or bool(
            mapping(found.item, *CONFIG, "services", "etcd", "backupConfig").get("s3BackupConfig")
        )
    there = {machine.node or machine.name for machine in target.snapshot.machines}
    return copy.s3 or copy.node in there


def _by_action(target: Target, copy: EtcdCopy) -> tuple[tuple[Call, ...], str]:
    identifier = target.snapshot.identity.id
    if not Norman(target.transport).offers("cluster", identifier, _NORMAN_RESTORE):
        return (), ""
    body = {"etcdBackupId": f"{identifier}:{copy.name}", "restoreRkeConfig": _MODE}
    shown = "\n".join(f"+  {key}: {value}" for key, value in body.items())
    return (
        Call("cluster", identifier, _NORMAN_RESTORE, body),
    ), f"+POST /v3/clusters/{identifier}?action={_NORMAN_RESTORE}\n{shown}"


def _by_field(target: Target, found: EarlierVersion, copy: EtcdCopy) -> tuple[tuple[Change, ...], str]:
    path = (*RKE_CONFIG, "etcdSnapshotRestore")
    number = read_control_plane(target).generation("etcdSnapshotRestore", found.item) + 1
    after = Value(present=True, value={"name": copy.name, "generation": number, "restoreRKEConfig": _MODE})
    # Any other value there, the earlier one too, would start another restore.
    write = change_of(target, found.item, path, after, stays=True)
    return (write,), field_diff(found.item, path, write.before, write.after)


def apply(target: Target, write: Write) -> StepResult:
    """As any write; but a backup that the cluster was told to restore is not asked for again: twice would lose twice."""
    if isinstance(write, Call):
        item = cluster_object(target)
        if not isinstance(item, NotPossible) and _restored(item) == write.body["etcdBackupId"]:
            return StepResult(wrote=False, seen=f"{write}: Rancher was asked already")
    return change.apply(target, write)


def _restored(item: Mapping[str, Any]) -> str:
    """The backup that an RKE1 cluster was last told to restore."""
    return text(mapping(item, *CONFIG, "restore").get("snapshotName"))


def settled(target: Target, step: PlannedStep) -> Settled:
    version = text(step.arguments.get("version"))
    if is_rke1(target.snapshot):
        now = target.snapshot.kubernetes
        holds = target.snapshot.updated is True and now is not None and now.text == version
        return Settled(holds, f"the cluster is {'at' if holds else 'not yet at'} {version}")
    (write,) = step.writes
    wanted = integer(mapping(write.after.value).get("generation")) or 0 if isinstance(write, Change) else 0
    status = read_control_plane(target).status
    reached = integer(mapping(status, "etcdSnapshotRestore").get("generation")) or 0
    phase = text(status.get("etcdSnapshotRestorePhase"))
    if reached < wanted:
        return Settled(holds=False, seen="the restore is not taken up yet")
    return Settled(phase == "Finished", f"restore: phase {phase or 'unknown'}")


ACTION = Action(
    name="restore-kubernetes-version",
    risk=Risk.DESTRUCTIVE,
    undo=UndoKind.NONE,
    expected=timedelta(minutes=30),
    preview=preview,
    settled=settled,
    apply=apply,
    settle_within=timedelta(hours=2),
    help="Restores the etcd snapshot of the Kubernetes version that last worked; what came after it is lost.",
)
