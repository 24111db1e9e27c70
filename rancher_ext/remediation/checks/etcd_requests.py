"""Is an etcd snapshot or restore asked for where it stays pending or hangs?

A snapshot request to a cluster that was never up is passed over, and carried out some day later. The last phases of a restore wait
for the cluster agent: with a network that stays dead it hangs, and meanwhile it has put the specification's version back,
over whatever was edited. What was changed here is therefore taken back field by field, never by a restore.
"""

from rancher_ext.remediation.change import Target
from rancher_ext.remediation.check import Answer, Caution, Check, Obstacle, Steps, calls, of_the_cluster
from rancher_ext.remediation.rke1 import is_rke1


def look(target: Target, steps: Steps) -> Answer:
    asked = {part for change in of_the_cluster(steps) for part in change.place.path}
    restores = "etcdSnapshotRestore" in asked or any(call.action == "restoreFromEtcdBackup" for call in calls(steps))
    snapshots = "etcdSnapshotCreate" in asked or any(call.action == "backupEtcd" for call in calls(steps))
    if (snapshots or restores) and not target.snapshot.initialized:
        return Obstacle(
            "the cluster was never up: an etcd snapshot stays pending there, and there is none to restore",
            "leave out what concerns etcd",
        )
    if restores and not is_rke1(target.snapshot) and target.snapshot.connected is not True:
        return Caution(
            "The last phases of a restore wait for the cluster agent: if the network stays dead it hangs, and no other "
            "change reaches the machines."
        )
    return None


CHECK = Check(
    "etcd-requests", "No snapshot of a never-up cluster, no restore into a network that stays dead unsaid.", look
)
