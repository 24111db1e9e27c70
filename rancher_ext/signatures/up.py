"""Is the network up now, whatever the logs of an hour ago say?

Logs and events keep what is over: the first tries of a young node, the restart of an API server, a reboot. What nodes and pods say
of themselves is how it is now.
"""

from rancher_ext.bundle.facts import DaemonSetFacts, Facts, Place, PodFacts
from rancher_ext.bundle.origin import workload_of_pod

# Between two tries a container that ends at once looks ready for a moment; the kubelet waits five minutes at the most.
_CALM_SECONDS = 120
_CALM_SECONDS_AFTER_MANY = 600
_MANY_RESTARTS = 3


def network_up(facts: Facts) -> tuple[Place, ...]:
    """Where it stands that every node is Ready and every CNI pod ready and calm (K3s has none); nothing when that is not shown."""
    pods, daemonsets = cni_pods(facts), cni_daemonsets(facts)
    if not facts.nodes or any(node.ready != "True" for node in facts.nodes):
        return ()
    if any(not _is_calm(pod) for pod in pods) or any(not d.desired or d.ready != d.desired for d in daemonsets):
        return ()
    if not pods and not daemonsets and facts.cluster.distribution != "k3s":
        return ()
    return (*(pod.at for pod in pods), *(d.at for d in daemonsets), *(node.at for node in facts.nodes))


def cni_pods(facts: Facts) -> list[PodFacts]:
    return [pod for pod in facts.pods if workload_of_pod(pod.name) == "cni"]


def cni_daemonsets(facts: Facts) -> list[DaemonSetFacts]:
    return [daemonset for daemonset in facts.daemonsets if workload_of_pod(daemonset.name) == "cni"]


def _is_calm(pod: PodFacts) -> bool:
    if not pod.all_ready:
        return False
    restarts = pod.restarts or 0
    if not restarts:
        return True
    if pod.restarted is None:
        return restarts < _MANY_RESTARTS
    return pod.restarted >= (_CALM_SECONDS if restarts < _MANY_RESTARTS else _CALM_SECONDS_AFTER_MANY)
