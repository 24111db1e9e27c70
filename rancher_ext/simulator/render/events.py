"""Which Events does a downstream cluster hold?

Those that follow from the state of a pod (scheduling, back-off, readiness), and those a scenario adds. Counts and last times
grow with the simulated time; one object per reason and subject, as the event recorder aggregates them.
"""

from typing import Any

from rancher_ext.simulator.clock import rfc3339
from rancher_ext.simulator.cluster import SimCluster
from rancher_ext.simulator.facts import EventFact
from rancher_ext.simulator.identity import MachineName
from rancher_ext.simulator.render.objects import Rendering
from rancher_ext.simulator.render.pods import PodShape, short_hash

Json = dict[str, Any]


def render_events(cluster: SimCluster, out: Rendering, pods: list[PodShape]) -> None:
    """The scenario's own Events, and those that follow from the state of a pod."""
    agent = next((p for p in pods if p.labels.get("app") == "cattle-cluster-agent"), None)
    dns = next((p for p in pods if p.labels.get("k8s-app") == "kube-dns"), None)
    for pod in (agent, dns):
        if pod and pod.pending:
            fact = EventFact("pod", "FailedScheduling", pod.pending, source="default-scheduler", every=300)
            _add_event(cluster, out, fact, "Pod", pod.name, pod.namespace, pod.created)
    for pod in pods:
        for box in pod.boxes:
            if box.state == "crash-loop":
                message = f"Back-off restarting failed container {box.name} in pod {pod.name}_{pod.namespace}"
                _add_event(
                    cluster,
                    out,
                    EventFact("pod", "BackOff", message, every=30),
                    "Pod",
                    pod.name,
                    pod.namespace,
                    pod.created,
                )
            elif box.state == "not-ready":
                message = "Readiness probe failed: HTTP probe failed with statuscode: 503"
                _add_event(
                    cluster,
                    out,
                    EventFact("pod", "Unhealthy", message, every=10),
                    "Pod",
                    pod.name,
                    pod.namespace,
                    pod.created,
                )
    by_node = {
        p.node: p for p in pods if p.owner[0] == "DaemonSet" and p.host_network and p.namespace != "cattle-system"
    }
    for fact in cluster.facts.events:
        for m in _event_nodes(cluster, fact):
            pod = {"cni-pod": by_node.get(m.node), "agent-pod": agent, "dns-pod": dns}.get(fact.about)
            filled = EventFact(
                fact.about,
                fact.reason,
                fact.message.replace("{node}", m.node).replace("{pod}", pod.name if pod else ""),
                fact.type,
                fact.source,
                fact.nodes,
                fact.every,
            )
            if fact.about == "node":
                _add_event(cluster, out, filled, "Node", m.node, "default", cluster.entered)
            elif pod:
                _add_event(cluster, out, filled, "Pod", pod.name, pod.namespace, cluster.entered)


def _event_nodes(cluster: SimCluster, fact: EventFact) -> list[MachineName]:
    machines = [m for m in cluster.identity.machines if m.place < cluster.counts.nodes]
    if fact.nodes == "not-ready":
        return [m for m in machines if not cluster.is_ready(m)]
    if fact.nodes == "first":
        return machines[:1]
    return machines[-1:] if fact.nodes == "last" else machines


def _add_event(
    cluster: SimCluster, out: Rendering, fact: EventFact, kind: str, name: str, namespace: str, first: float
) -> None:
    first = min(max(first, cluster.born), cluster.now)
    count = 1 + int((cluster.now - first) // fact.every)
    last = first + (count - 1) * fact.every
    involved: Json = {"kind": kind, "name": name, "apiVersion": "v1", "uid": name if kind == "Node" else ""}
    if kind != "Node":
        involved["namespace"] = namespace
    out.add(
        "v1",
        "Event",
        f"{name}.{short_hash(fact.reason + fact.message, 16)}",
        namespace,
        created=first,
        involvedObject=involved,
        reason=fact.reason,
        message=fact.message,
        type=fact.type,
        count=count,
        firstTimestamp=rfc3339(first),
        lastTimestamp=rfc3339(last),
        source={"component": fact.source},
        reportingComponent=fact.source,
    )
