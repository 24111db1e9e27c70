"""Does a plan write through Norman in a way that has no lock?

Norman's PUT reads, merges and writes without any lock, and replaces string maps and lists as a whole: what another hand wrote in
between is lost. Fields go through the Kubernetes API with JSON Patch `test` only; of Norman only these actions are used.
"""

from rancher_ext.remediation.change import Target
from rancher_ext.remediation.check import Answer, Check, Obstacle, Steps, calls

KNOWN = frozenset({("cluster", "backupEtcd"), ("cluster", "restoreFromEtcdBackup"), ("kontainerDriver", "refresh")})


def look(_: Target, steps: Steps) -> Answer:
    for call in calls(steps):
        if (call.kind, call.action) not in KNOWN:
            return Obstacle(
                f"{call} is not one of the actions whose effect is known", "do it by hand, knowing what it does"
            )
    return None


CHECK = Check("known-calls", "Of Norman only actions with a known effect; never its PUT.", look)
