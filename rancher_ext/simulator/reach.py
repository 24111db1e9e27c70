"""May a request for a downstream cluster get through, and what does Rancher say when not?

The rules and texts of Rancher 2.9 to 2.13 (rancher/rancher pkg/clusterrouter, pkg/clustermanager, pkg/dialer): the cluster
must exist and be provisioned; RKE2, K3s and imported clusters need the agent's tunnel; RKE1 (Rancher up to 2.11) falls
back to the tunnel of a node, so its API answers with a dead CNI. A lost tunnel is only noticed after 20 to 40 s in life;
here after `disconnected_delay` real seconds, by default at once.
"""

from rancher_ext.simulator.cluster import SimCluster
from rancher_ext.simulator.http import Answer, as_text

NEVER_CONNECTED = "unable to create impersonator account: ClusterUnavailable 503: cluster not found"


def unavailable(message: str) -> Answer:
    """Go's own field names, and not announced as JSON: httperror.APIError written by the router."""
    body = f'{{"Code":{{"Code":"ClusterUnavailable","Status":503}},"Message":"{message}","Cause":null,"FieldName":""}}'
    return Answer(503, body.encode(), "text/plain; charset=utf-8")


def refusal(cluster: SimCluster | None, *, steve: bool) -> tuple[Answer, bool] | None:
    """None when the request may pass; else the answer, and whether it is one that takes its time."""
    if cluster is None:
        return unavailable("cluster not found"), False
    if not cluster.facts.provisioned:
        return unavailable("cluster not provisioned"), False
    if cluster.reachable():
        return None
    if not cluster.was_connected:
        return as_text(NEVER_CONNECTED, 500), False
    lost = f"failed to find Session for client {cluster.id}: cluster agent disconnected"
    if steve:
        return as_text(f"lost connection to cluster: {lost}", 500), True
    server = f"{cluster.identity.api_server}/api/v1/namespaces/cattle-impersonation-system"
    return as_text(
        f'unable to create impersonator account: error getting namespace: Get "{server}": cluster agent disconnected',
        500,
    ), True
