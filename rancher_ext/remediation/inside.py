"""May Drover write into the cluster itself, beside the objects that Rancher keeps of it?

Only where this Rancher made the cluster: an imported one has an owner of its own, with tools that put everything back as they
have it. There Drover reads and explains. A cluster that is being deleted is left to that.
"""

from rancher_ext.client.snapshot import is_reachable
from rancher_ext.fleet.cluster import Management
from rancher_ext.remediation.action import NotPossible
from rancher_ext.remediation.change import Target


def refusal(target: Target, consequence: str = "") -> NotPossible | None:
    """Why nothing may be written in there; `consequence` ends the sentence where Rancher does not reach the cluster."""
    snapshot = target.snapshot
    if snapshot.management is not Management.PROVISIONED:
        return NotPossible("it was not made by this Rancher: Drover reads such a cluster and changes nothing in it")
    if snapshot.deleting:
        return NotPossible("it is being deleted")
    if not is_reachable(snapshot):
        return NotPossible(f"Rancher does not reach the cluster's API{consequence}")
    return None
