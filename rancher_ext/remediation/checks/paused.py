"""Would a change stay on paper because the cluster's reconciliation is paused?"""

from rancher_ext.remediation.change import Target
from rancher_ext.remediation.check import Answer, Check, Obstacle, Steps, of_the_cluster


def look(target: Target, steps: Steps) -> Answer:
    if target.snapshot.paused and any(of_the_cluster(steps)):
        return Obstacle(
            "reconciliation of the cluster is paused, so no change reaches its machines",
            "take the pause away where it was set, or wait for whoever set it",
        )
    return None


CHECK = Check("paused", "No change of a specification that nobody carries out.", look)
