"""Take a copy of etcd before something that cannot be taken back, and wait until it is complete.

RKE1: Norman's action `backupEtcd`, offered where the cluster has a backup configuration. It works through the nodes, so a dead
network is no hindrance; the EtcdBackup object tells when it is `Completed`.

RKE2 and K3s: a higher number in `rkeConfig.etcdSnapshotCreate.generation`. On a cluster that was never up Rancher passes over the
request and carries it out some day later: it is not asked there. The plan of the operation installs the wanted
version, so after a change of the version it would upgrade every etcd node: then it must not be asked for. When the phase
reaches `RestartCluster` the files are saved; the rest of the operation needs a connected agent. The number is never
lowered again, since any change of it starts another snapshot.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from rancher_ext.client.changes import Value
from rancher_ext.client.norman import Norman
from rancher_ext.fleet.parse import integer, mapping, text
from rancher_ext.remediation.action import Action, NotNeeded, NotPossible, PlannedStep, Risk, Settled, UndoKind
from rancher_ext.remediation.change import Call, Target
from rancher_ext.remediation.control_plane import read_control_plane
from rancher_ext.remediation.diff import field_diff
from rancher_ext.remediation.etcd import EtcdCopy, etcd_copies
from rancher_ext.remediation.plan import SNAPSHOT
from rancher_ext.remediation.playbook import parse_duration
from rancher_ext.remediation.rke1 import cluster_object, is_rke1
from rancher_ext.remediation.spec import RKE_CONFIG, change_of, read_cluster

_SAVED = frozenset({"RestartCluster", "Finished"})
# Rancher's own schedules take one every 5 (RKE2) or 12 hours (RKE1).
_FRESH = "12h"
_NORMAN_BACKUP = "backupEtcd"


def preview(target: Target, arguments: Mapping[str, Any]) -> PlannedStep | NotPossible | NotNeeded:
    """`fresh_within` (12h) says how old a complete one may be to do."""
    snapshot = target.snapshot
    if not snapshot.initialized:
        # Not a hindrance for what comes after it: there is nothing that could be lost.
        return NotNeeded("the cluster was never up: its etcd holds nothing to save")
    fresh = parse_duration(arguments.get("fresh_within", _FRESH))
    if is_rke1(snapshot):
        return _by_backup(target, arguments, fresh)
    cluster = read_cluster(target)
    if isinstance(cluster, NotPossible):
        return cluster
    found = _fresh(target, fresh)
    if found:
        return _have(found)
    plane = read_control_plane(target)
    wanted = text(mapping(cluster, "spec").get("kubernetesVersion"))
    if wanted != plane.applied_version:
        return NotPossible(
            f"the cluster is on its way from {plane.applied_version or 'an unknown version'} to {wanted}: "
            "a snapshot now would install the new version on every etcd node first"
        )
    done = integer(mapping(plane.status, "etcdSnapshotCreate").get("generation")) or 0
    number = plane.generation("etcdSnapshotCreate", cluster)
    if number > done:
        return NotPossible(f"snapshot request {number} is not carried out yet")
    path = (*RKE_CONFIG, "etcdSnapshotCreate", "generation")
    change = change_of(target, cluster, path, Value(present=True, value=number + 1), stays=True)
    return PlannedStep(
        action=SNAPSHOT,
        title="Take an etcd snapshot",
        writes=(change,),
        diff=field_diff(cluster, path, change.before, change.after),
        effect="Every etcd node saves a snapshot and restarts its service, one after another.",
        arguments=dict(arguments),
    )


def _by_backup(target: Target, arguments: Mapping[str, Any], fresh: timedelta) -> PlannedStep | NotPossible | NotNeeded:
    item = cluster_object(target)
    if isinstance(item, NotPossible):
        return item
    found = _fresh(target, fresh)
    if found:
        return _have(found)
    identifier = target.snapshot.identity.id
    if not Norman(target.transport).offers("cluster", identifier, _NORMAN_BACKUP):
        return NotPossible(
            "Rancher offers no etcd backup here: the cluster has no backup configuration, or the token no right"
        )
    return PlannedStep(
        action=SNAPSHOT,
        title="Take an etcd backup",
        writes=(Call("cluster", identifier, _NORMAN_BACKUP),),
        diff=f"+POST /v3/clusters/{identifier}?action={_NORMAN_BACKUP}",
        effect="Rancher saves etcd on every etcd node. Nothing restarts.",
        # What is there already is not what this step made.
        arguments={**arguments, "known": sorted(copy.name for copy in etcd_copies(target))},
    )


def settled(target: Target, step: PlannedStep) -> Settled:
    if is_rke1(target.snapshot):
        known = set(step.arguments.get("known", ()))
        made = [copy for copy in etcd_copies(target) if copy.name not in known]
        done = next((copy for copy in made if copy.done), None)
        if done:
            return Settled(holds=True, seen=f"etcd backup {done.name} is complete")
        failed = next((copy for copy in made if copy.done is False), None)
        return Settled(
            holds=False, seen=f"etcd backup failed: {failed.message}" if failed else "the etcd backup is being made"
        )
    (write,) = step.writes
    wanted = write.after.value if not isinstance(write, Call) else 0
    status = read_control_plane(target).status
    reached = integer(mapping(status, "etcdSnapshotCreate").get("generation")) or 0
    phase = text(status.get("etcdSnapshotCreatePhase"))
    if reached < wanted:
        return Settled(holds=False, seen=f"snapshot request {wanted} is not taken up yet")
    return Settled(reached > wanted or phase in _SAVED, f"etcd snapshot: phase {phase or 'unknown'}")


def _fresh(target: Target, within: timedelta) -> EtcdCopy | None:
    """The newest complete copy that could be fetched: one that lies on a machine which is gone, or which is the broken one, saves nobody."""
    snapshot = target.snapshot
    ready = {node.name for node in snapshot.nodes if node.ready}
    machines = {name for machine in snapshot.machines for name in (machine.node, machine.name) if name}
    # Where the network is down everywhere, no node is ready, and their disks are as good as before.
    there = machines & ready or machines
    copies = [copy for copy in etcd_copies(target) if copy.done and snapshot.taken_at - copy.created <= within]
    return next((copy for copy in copies if copy.s3 or not copy.node or copy.node in there), None)


def _have(copy: EtcdCopy) -> NotNeeded:
    return NotNeeded(f"the etcd snapshot {copy.name} of {copy.created:%Y-%m-%d %H:%M} UTC is fresh enough")


ACTION = Action(
    name=SNAPSHOT,
    risk=Risk.DISRUPTIVE,
    undo=UndoKind.COMPENSATING,
    expected=timedelta(minutes=5),
    preview=preview,
    settled=settled,
    settle_within=timedelta(minutes=30),
    help="Takes an etcd snapshot and waits until it is complete; nothing to do where a fresh one is there.",
)
