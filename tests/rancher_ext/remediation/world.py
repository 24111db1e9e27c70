"""Writing to a simulated Rancher as somebody else, and small questions to it."""

from typing import Any

import requests

from rancher_ext.client.kubernetes import PROVISIONING_CLUSTERS
from rancher_ext.remediation.action import NotPossible, PlannedStep
from rancher_ext.remediation.actions import gather

MERGE = "application/merge-patch+json"


def send(look, method: str, path: str, body: Any = None, *, cluster: str = "local", kind: str = MERGE):
    """A request of another client to one cluster's API; the answer must be a success."""
    headers = {
        "Authorization": f"Bearer {look.server.token}",
        "Content-Type": kind if method == "PATCH" else "application/json",
    }
    answer = requests.request(
        method, f"{look.server.url}/k8s/clusters/{cluster}{path}", json=body, headers=headers, timeout=10
    )
    assert answer.ok, answer.text
    return answer.json()


def inside(look, method: str, path: str, body: Any = None):
    """The same, in the downstream cluster."""
    return send(look, method, path, body, cluster=look.cluster.id)


def freeze(look) -> None:
    """From here on nothing but clients changes what is in the cluster: no controller of the simulator puts it right again."""
    assert inside(look, "GET", "/api/v1/nodes")["items"]
    look.cluster.render = lambda _: None


def edit(look, **rke_config: Any) -> None:
    """A person edits the cluster's specification."""
    identity = look().snapshot.identity
    path = f"/apis/provisioning.cattle.io/v1/namespaces/{identity.namespace}/clusters/{identity.name}"
    send(look, "PATCH", path, {"spec": {"rkeConfig": rke_config}})


def the_cluster(look) -> dict[str, Any]:
    identity = look().snapshot.identity
    return look().local.get(PROVISIONING_CLUSTERS, identity.name, identity.namespace)


def config(look) -> dict[str, Any]:
    return the_cluster(look)["spec"]["rkeConfig"]


def planned(look, action: str, **arguments: Any) -> PlannedStep:
    step = gather()[action].preview(look(), arguments)
    assert isinstance(step, PlannedStep), step
    # Asked again on an unchanged cluster, it says the same: an approval names a digest.
    assert gather()[action].preview(look(), arguments) == step
    return step


def refused(look, action: str, **arguments: Any) -> str:
    answer = gather()[action].preview(look(), arguments)
    assert isinstance(answer, NotPossible), answer
    return answer.why


def carry_out(look, step: PlannedStep) -> list[bool]:
    """Every write in order; which of them wrote."""
    return [gather()[step.action].apply(look(), write).wrote for write in step.writes]


def undo(look, step: PlannedStep) -> list[bool]:
    return [gather()[step.action].take_back(look(), write).wrote for write in reversed(step.writes)]


def settled(look, step: PlannedStep):
    look_once = gather()[step.action].settled
    assert look_once is not None
    return look_once(look(), step)
