"""Which pods are worth reading, which of their logs, and in which order?"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rancher_ext.errors import ClusterUnavailable, Forbidden, NotRancher, RancherError, ServerFailed, Unauthorized
from rancher_ext.evidence.collect import Item, log_path
from rancher_ext.evidence.kinds import DAEMON_SET, POD, Object
from rancher_ext.evidence.reach import Reach, Side
from rancher_ext.evidence.render import container_state, mappings, pod_readiness, pod_restarts, pod_status
from rancher_ext.fleet.cni import cni_of_daemonset, workload_of
from rancher_ext.fleet.parse import integer, mapping, text

# Where the distributions put their network, and where Rancher puts its agent.
NETWORK_NAMESPACES = ("kube-system", "kube-flannel")
AGENT_NAMESPACE = "cattle-system"
# Beside the exact names that `fleet.cni` knows: Windows and per-architecture variants, and what runs beside the DaemonSet.
_CNI_PREFIXES = (
    "canal",
    "rke2-canal",
    "kube-flannel",
    "rke2-flannel",
    "calico-",
    "rke2-calico-",
    "cilium",
    "weave-net",
)


def pods_of(reach: Reach, namespace: str, side: Side = Side.DOWNSTREAM) -> list[Object]:
    return reach.objects(side, POD, namespace)


def network_pods(reach: Reach) -> list[Object]:
    """All pods of the namespaces in which a network plugin may live."""
    return [pod for namespace in NETWORK_NAMESPACES for pod in pods_of(reach, namespace)]


def daemonsets(reach: Reach) -> list[Object]:
    return [item for namespace in NETWORK_NAMESPACES for item in reach.objects(Side.DOWNSTREAM, DAEMON_SET, namespace)]


def name_of(item: Mapping[str, Any]) -> str:
    return text(mapping(item, "metadata").get("name"))


def namespace_of(item: Mapping[str, Any]) -> str:
    return text(mapping(item, "metadata").get("namespace"))


def owner_of(pod: Mapping[str, Any]) -> str:
    """The workload that made the pod: its controller's name, else its own."""
    owners = mappings(mapping(pod, "metadata").get("ownerReferences"))
    named = [text(owner.get("name")) for owner in owners if owner.get("controller") is True] or [
        text(owner.get("name")) for owner in owners
    ]
    return named[0] if named and named[0] else name_of(pod)


def is_cni_pod(reach: Reach, pod: Mapping[str, Any]) -> bool:
    """Does the pod carry the cluster's network: by the DaemonSet that is known to, or by its owner's name?"""
    owner = owner_of(pod)
    workload = workload_of(reach.snapshot.distribution, reach.snapshot.cni)
    if workload and owner == workload.name and namespace_of(pod) == workload.namespace:
        return True
    return cni_of_daemonset(owner) is not None or owner.startswith(_CNI_PREFIXES)


def is_well(pod: Mapping[str, Any]) -> bool:
    """Running with all containers ready, or ended as it should."""
    if pod_status(pod) in {"Completed", "Succeeded"}:
        return True
    ready, total = pod_readiness(pod)
    return pod_status(pod) == "Running" and ready == total > 0


def severity(pod: Mapping[str, Any]) -> int:
    """0 crash-looping or failed, 1 cannot start, 2 running and not ready, 3 well. Lower is read first."""
    if is_well(pod):
        return 3
    status = pod_status(pod)
    crashed = any(word in status for word in ("CrashLoop", "Error", "OOMKilled", "ExitCode", "Signal", "Evicted"))
    if crashed or (pod_restarts(pod) > 0 and _ended_badly(pod)):
        return 0
    return 2 if status == "Running" else 1


def _ended_badly(pod: Mapping[str, Any]) -> bool:
    status = mapping(pod, "status")
    return any(
        (integer(container_state(entry, "lastState")[1].get("exitCode")) or 0) != 0
        for key in ("initContainerStatuses", "containerStatuses")
        for entry in mappings(status.get(key))
    )


def worst_first(pods: Iterable[Object]) -> list[Object]:
    return sorted(pods, key=lambda pod: (severity(pod), -pod_restarts(pod), namespace_of(pod), name_of(pod)))


def logs_of(reach: Reach, pods: Sequence[Object], side: Side = Side.DOWNSTREAM) -> Iterator[Item]:
    """The current and the previous logs of all containers that have run, pod by pod.

    One log that cannot be read (the pod has just gone, its kubelet does not answer) does not cost the others; how many there
    were and what the first one said stands in the notes. A node whose kubelet does not answer is asked once: each further attempt
    could take as long as the first.
    """
    unreadable, first, asked = 0, "", 0
    silent: set[str] = set()
    for pod in pods:
        namespace, name = namespace_of(pod), name_of(pod)
        node = text(mapping(pod, "spec").get("nodeName"))
        for container, runs in _containers_that_ran(pod):
            current = ""
            for previous in runs:
                asked += 1
                if node in silent:
                    unreadable += 1
                    continue
                try:
                    content = reach.log(side, namespace, name, container, previous=previous)
                except (ClusterUnavailable, Unauthorized, NotRancher):
                    raise
                except Forbidden as error:
                    # It will not be allowed for the next one either.
                    reach.failed(error)
                    return
                except RancherError as error:
                    unreadable += 1
                    if isinstance(error, ServerFailed) and node:
                        silent.add(node)
                    first = first or f"{namespace}/{name}/{container}: {error.message}"
                    continue
                # While a container waits for its restart, the kubelet gives its last run as the current one as well.
                if not content.strip() or (previous and content == current):
                    continue
                current = content
                yield log_path(namespace, name, container, previous=previous), content
    if unreadable:
        reach.problem(f"{unreadable} of {asked} logs could not be read; {first}")


def _containers_that_ran(pod: Mapping[str, Any]) -> Iterator[tuple[str, tuple[bool, ...]]]:
    """Container names, each with what to ask for: False the current log, True the previous one."""
    status = mapping(pod, "status")
    for key in ("containerStatuses", "initContainerStatuses"):
        for entry in mappings(status.get(key)):
            state, _ = container_state(entry)
            ran_before = bool(container_state(entry, "lastState")[0]) or (integer(entry.get("restartCount")) or 0) > 0
            name = text(entry.get("name"))
            if name and (state in {"running", "terminated"} or ran_before):
                yield name, (False, True) if ran_before else (False,)


def selected(reach: Reach, pods: Iterable[Object], limit: int, what: str) -> list[Object]:
    """The worst pods that have a log, at most `limit` of each workload; says how many were left out.

    A pod that never ran (its image cannot be pulled) has nothing to tell, and takes no place from one that has.
    """
    taken: dict[str, int] = {}
    chosen, left_ill, left_well = [], 0, 0
    for pod in worst_first(pods):
        owner = owner_of(pod)
        if not any(_containers_that_ran(pod)):
            continue
        if taken.get(owner, 0) < limit:
            taken[owner] = taken.get(owner, 0) + 1
            chosen.append(pod)
        elif is_well(pod):
            left_well += 1
        else:
            left_ill += 1
    if left_ill or left_well:
        what_left = f"{what}: read {len(chosen)} pods, worst first; left out {left_ill + left_well}, of them {left_ill} not well"
        (reach.problem if left_ill else reach.remark)(what_left)
    return chosen
