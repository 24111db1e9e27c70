"""What does `pods/<name>/log` answer?

The text of a container, or the refusals a person knows from kubectl, in the API server's and the kubelet's words: no
container named, no such container, waiting to start, no previous container, no node yet, kubelet not reachable.
"""

from datetime import datetime

from rancher_ext.simulator import status as refuse
from rancher_ext.simulator.cluster import SimCluster
from rancher_ext.simulator.http import Answer, Ask, Json, as_text
from rancher_ext.simulator.render.logs import render_log
from rancher_ext.simulator.render.workloads import CNI
from rancher_ext.simulator.resources import resource_of
from rancher_ext.simulator.store import Store

_POD = resource_of("v1", "Pod")
_BY_CONTAINER = {
    "cluster-register": "agent-connected",
    "agent": "agent-node",
    "coredns": "coredns",
    "kube-proxy": "kube-proxy",
    "helm": "helm-install",
    "rke-network-plugin-pod": "network-plugin-job",
    "machine": "machine-error",
}
_OF_THE_JOB = {"helm", "rke-network-plugin-pod"}


def pod_log(ask: Ask, store: Store, cluster: SimCluster | None, namespace: str, name: str) -> Answer:
    _check_options(ask, name)
    pod = store.get(_POD, (namespace, name)).obj
    spec, status = pod["spec"], pod.get("status") or {}
    container = _container(ask.one("container"), name, spec)
    if not spec.get("nodeName") and status.get("phase") == "Pending":
        return Answer(204, content_type="")
    statuses = (status.get("containerStatuses") or []) + (status.get("initContainerStatuses") or [])
    found = next((s for s in statuses if s["name"] == container), None)
    if found is None:
        raise refuse.bad_request(f'container "{container}" in pod "{name}" is not available')
    if cluster is not None and cluster.kubelet_is_gone(spec["nodeName"]):
        message = f'Get "https://{status.get("hostIP", "")}:10250/containerLogs/{namespace}/{name}/{container}": dial tcp {status.get("hostIP", "")}:10250: connect: connection refused'
        raise refuse.ApiStatus(500, "InternalError", message)
    started = _started(found, container, name, previous=ask.flag("previous"))
    text = _text(cluster, pod, container)
    names = {
        "node": spec.get("nodeName", ""),
        "ip": status.get("hostIP", ""),
        "pod": name,
        "cni": cluster.scenario.cni if cluster else "",
        "rancher": ask.base_url,
    }
    since_seconds = ask.number("sinceSeconds")
    written = render_log(
        text,
        started,
        names,
        tail=ask.number("tailLines"),
        limit_bytes=ask.number("limitBytes"),
        timestamps=ask.flag("timestamps"),
        since=store_now(store) - since_seconds if since_seconds is not None else None,
    )
    return as_text(written)


def _check_options(ask: Ask, pod: str) -> None:
    causes = []
    for name, least, words in (
        ("tailLines", 0, "greater than or equal to 0"),
        ("limitBytes", 1, "greater than 0"),
        ("sinceSeconds", 1, "greater than 0"),
    ):
        given = ask.number(name)
        if given is not None and given < least:
            causes.append(refuse.Cause(name, f"Invalid value: {given}: must be {words}"))
    if ask.one("sinceSeconds") and ask.one("sinceTime"):
        what = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"
        causes.append(refuse.Cause("[]", what))
    if causes:
        raise refuse.invalid_object("PodLogOptions", "", pod, causes)


def store_now(store: Store) -> float:
    return store.clock.seconds()


def _container(asked: str, pod: str, spec: Json) -> str:
    main = [c["name"] for c in spec["containers"]]
    init = [c["name"] for c in spec.get("initContainers") or []]
    if not asked and len(main) == 1 and not init:
        return str(main[0])
    if not asked:
        choice = f"choose one of: [{' '.join(init + main)}]"
        raise refuse.bad_request(f"a container name must be specified for pod {pod}, {choice}")
    if asked not in main + init:
        raise refuse.bad_request(f"container {asked} is not valid for pod {pod}")
    return asked


def _started(status: Json, container: str, pod: str, *, previous: bool) -> float:
    """When the container whose log is asked for started; refuses as the kubelet does when there is none."""
    last = (status.get("lastState") or {}).get("terminated")
    if previous:
        if not last:
            raise refuse.bad_request(f'previous terminated container "{container}" in pod "{pod}" not found')
        return _stamp(last["startedAt"])
    state = status["state"]
    for kind in ("running", "terminated"):
        if kind in state:
            return _stamp(state[kind]["startedAt"])
    if last:
        return _stamp(last["startedAt"])
    reason = state["waiting"]["reason"]
    raise refuse.bad_request(f'container "{container}" in pod "{pod}" is waiting to start: {reason}')


def _stamp(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _text(cluster: SimCluster | None, pod: Json, container: str) -> str:
    if cluster is None:
        return "@p 1.0 Running pre-create checks...\n"
    logs = cluster.scenario.logs
    workload = CNI.get((cluster.scenario.distribution, cluster.scenario.cni))
    owner = (pod["metadata"].get("ownerReferences") or [{}])[0].get("name")
    if workload and owner == workload.daemonset:
        fact = cluster.facts.cni
        node = pod["spec"].get("nodeName")
        machine = next((m for m in cluster.identity.machines if m.node == node), None)
        if machine and container == fact.container and cluster.cni_manner(machine) != "ready" and fact.log:
            return logs[fact.log]
        named = {n: log for n, _, log in workload.containers + workload.init}
        return logs[named[container]]
    if cluster.facts.job == "crash-loop" and container in _OF_THE_JOB:
        return logs["trouble-job"]
    return logs.get(_BY_CONTAINER.get(container, "control-plane"), "")
