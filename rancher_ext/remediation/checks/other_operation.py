"""Is another operation of Rancher's at work on the cluster?

While a snapshot, a restore or a rotation runs no other plan reaches the machines of RKE2 and K3s, and what is changed meanwhile is
applied together with it, or overwritten by it.
"""

from rancher_ext.fleet.parse import text
from rancher_ext.remediation.change import Target
from rancher_ext.remediation.check import Answer, Check, Obstacle, Steps
from rancher_ext.remediation.control_plane import read_control_plane
from rancher_ext.remediation.rke1 import is_rke1

# Phases in which an operation is over.
_OVER = frozenset({"", "Finished", "Failed", "Done"})
_OPERATIONS = {
    "etcdSnapshotCreatePhase": "an etcd snapshot is being taken",
    "etcdSnapshotRestorePhase": "an etcd snapshot is being restored",
    "rotateEncryptionKeysPhase": "encryption keys are being rotated",
}


def look(target: Target, _: Steps) -> Answer:
    if is_rke1(target.snapshot):
        return None
    status = read_control_plane(target).status
    for field, what in _OPERATIONS.items():
        if text(status.get(field)) not in _OVER:
            return Obstacle(f"{what} (phase {status[field]})", "wait until it is over")
    return None


CHECK = Check("other-operation", "No plan beside a running operation of Rancher's.", look)
