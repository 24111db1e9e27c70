"""What would make one sure? Evidence that is missing, in words and with the command that brings it."""

from collections.abc import Collection, Sequence

from rancher_ext.bundle.evidence import CollectorReport, CollectorStatus
from rancher_ext.signatures.predicate_schema import (
    AgePredicate,
    AnyPredicate,
    ConditionPredicate,
    DaemonSetPredicate,
    EventPredicate,
    From,
    LogPredicate,
    NodePredicate,
    ObjectPredicate,
    PodPredicate,
    TextPredicate,
    Workload,
    inner,
)

# Where the log of a part stands, by distribution; "" for those that are not named or not known.
_KUBELET = {
    "rke1": "on the node `docker logs kubelet`",
    "rke2": "on the node `/var/lib/rancher/rke2/agent/logs/kubelet.log`",
    "k3s": "on the node `journalctl -u k3s -u k3s-agent`",
    "": "on the node `journalctl -u kubelet`",
}
_CONTAINERD = {
    "rke1": "on the node `journalctl -u docker`",
    "rke2": "on the node `/var/lib/rancher/rke2/agent/containerd/containerd.log`",
    "k3s": "on the node `/var/lib/rancher/k3s/agent/containerd/containerd.log`",
    "": "on the node `journalctl -u containerd`",
}
_KUBE_PROXY = {
    "rke1": "on the node `docker logs kube-proxy`",
    "k3s": "on the node `journalctl -u k3s -u k3s-agent`",
    "": "`kubectl -n kube-system logs kube-proxy-NODE`",
}
_UNITS: dict[str, tuple[str, dict[str, str]]] = {
    "kubelet": ("the kubelet's log", _KUBELET),
    "kube-proxy": ("the log of kube-proxy", _KUBE_PROXY),
    "containerd": ("the container runtime's log", _CONTAINERD),
    "docker": ("Docker's log", {"": "on the node `journalctl -u docker`"}),
    "kernel": ("the kernel's log", {"": "on the node `journalctl -k`"}),
    "k3s": ("the journal of k3s", {"": "on the node `journalctl -u k3s -u k3s-agent`"}),
    "rke2-server": ("the journal of rke2-server", {"": "on the node `journalctl -u rke2-server`"}),
    "rke2-agent": ("the journal of rke2-agent", {"": "on the node `journalctl -u rke2-agent`"}),
    "rancher-system-agent": (
        "the journal of rancher-system-agent",
        {"": "on the node `journalctl -u rancher-system-agent`"},
    ),
    "rancher-agent": ("the log of the agent that registers the node", {"": "on the node `docker logs rancher-agent`"}),
    "provisioning": ("Rancher's provisioning log", {"": "on the cluster's page in Rancher"}),
    "tcpdump": ("the packets of the overlay", {"": "on the node `tcpdump -ni any udp port 8472`"}),
}
_WORKLOADS: dict[Workload, tuple[str, dict[str, str]]] = {
    Workload.CNI: (
        "the log of the Flannel or Canal pods",
        {"k3s": "on the node `journalctl -u k3s -u k3s-agent`", "": "`kubectl -n kube-system logs POD`"},
    ),
    Workload.OTHER_CNI: ("the log of the other network plugin's pods", {"": "`kubectl -n kube-system logs POD`"}),
    Workload.KUBE_PROXY: ("the log of kube-proxy", _KUBE_PROXY),
    Workload.CLUSTER_AGENT: (
        "the log of Rancher's cluster agent",
        {"": "`kubectl -n cattle-system logs deployment/cattle-cluster-agent`"},
    ),
    Workload.NODE_AGENT: (
        "the log of Rancher's node agent",
        {"": "`kubectl -n cattle-system logs daemonset/cattle-node-agent`"},
    ),
    Workload.HELM_INSTALL: (
        "the log of the chart's installation job",
        {"": "`kubectl -n kube-system logs job/helm-install-NAME`"},
    ),
    Workload.NETWORK_DEPLOY_JOB: (
        "the log of the job that deploys the network",
        {"": "`kubectl -n kube-system logs job/rke-network-plugin-deploy-job`"},
    ),
    Workload.COREDNS: ("the log of CoreDNS", {"": "`kubectl -n kube-system logs -l k8s-app=kube-dns`"}),
}
_PLACES = {
    "events": "the events (`kubectl get events -A`)",
    "nodes": "the nodes (`kubectl describe nodes`)",
    "pods": "the pods (`kubectl describe pods -n kube-system`)",
    "conditions": "the cluster's conditions in Rancher",
    "helm": "the output of the chart's installation job (`kubectl -n kube-system logs job/helm-install-NAME`)",
    "logs": "the logs of the network's pods",
}
_CONDITIONS = {
    "cluster": "the cluster's conditions in Rancher",
    "machine": "the machines' conditions in Rancher",
    "node": "the nodes' conditions (`kubectl describe nodes`)",
}
# Which of our collectors brings what a predicate asks for.
_COLLECTOR_OF_UNIT = {"provisioning": "provisioning_log", "rancher-agent": "provisioning_log"}


def wish(predicate: AnyPredicate, distribution: str = "", reports: Sequence[CollectorReport] = ()) -> str:
    """The evidence that would have answered, the command that shows it, and why our own collector could not bring it."""
    text = _words(predicate, distribution)
    names = {name for each in (predicate, *inner(predicate)) for name in _collectors(each)}
    return text + _reason(names, reports)


def _words(predicate: AnyPredicate, distribution: str) -> str:
    match predicate:
        case LogPredicate():
            sources = [_log(each, distribution) for each in predicate.from_ or ()]
            return " or ".join(dict.fromkeys(sources[:2])) or "the logs of the network's pods"
        case TextPredicate():
            return " or ".join(_PLACES.get(place, "more text") for place in predicate.in_ or ("logs",))
        case ConditionPredicate():
            return _CONDITIONS.get(predicate.condition.of, "the cluster's and the nodes' conditions")
        case EventPredicate():
            kinds = f" of {' and '.join(predicate.event.kind)} objects" if predicate.event.kind else ""
            return f"the events{kinds} (`kubectl get events -A`)"
        case ObjectPredicate():
            return f"the {predicate.object.kind} objects (`kubectl get {predicate.object.kind.lower()} -A -o yaml`)"
        case AgePredicate():
            return f"the age of the {predicate.age.of}s (`kubectl get {predicate.age.of}s -A`)"
        case NodePredicate():
            return "the nodes in full (`kubectl get nodes -o yaml`)"
        case PodPredicate():
            return "the pods in full (`kubectl get pods -A -o yaml`)"
        case DaemonSetPredicate():
            return "the DaemonSets (`kubectl get daemonsets -A -o yaml`)"
    return " and ".join(dict.fromkeys(_words(each, distribution) for each in inner(predicate)[:2]))


def _log(wanted: From, distribution: str) -> str:
    if wanted.unit is not None:
        named = [_UNITS[unit] for unit in wanted.unit if unit in _UNITS] or [
            (f"the log of {wanted.unit[0]}", {"": f"on the node `journalctl -u {wanted.unit[0]}`"})
        ]
    elif wanted.workload is not None:
        first = wanted.workload[0]
        named = [_WORKLOADS.get(first, (f"the log of {first.value}", {"": "`kubectl -n kube-system logs POD`"}))]
    else:
        named = [("the log of the component", {"": "`kubectl logs POD`"})]
    words, commands = named[0]
    command = commands.get(distribution) or commands[""]
    if wanted.container is not None and "kubectl" in command:
        words, command = (
            f"{words}, container {wanted.container[0]}",
            command.rstrip("`") + f" -c {wanted.container[0]}`",
        )
    if wanted.previous and "kubectl" in command:
        words, command = f"{words}, of the run before the last restart", command.rstrip("`") + " --previous`"
    return f"{words} ({command})"


def _collectors(predicate: AnyPredicate) -> Collection[str]:
    match predicate:
        case LogPredicate():
            units = {unit for each in predicate.from_ or () for unit in each.unit or ()}
            workloads = {workload for each in predicate.from_ or () for workload in each.workload or ()}
            names = {_COLLECTOR_OF_UNIT.get(unit, "system_logs") for unit in units}
            if Workload.CNI in workloads:
                names.add("cni_logs")
            return names | ({"system_logs"} if workloads - {Workload.CNI} else set())
        case EventPredicate():
            return {"events"}
        case NodePredicate():
            return {"nodes"}
        case PodPredicate() | DaemonSetPredicate():
            return {"cni_workloads"}
        case AgePredicate():
            return {"nodes" if predicate.age.of == "node" else "cni_workloads"}
        case ConditionPredicate():
            return {"nodes" if predicate.condition.of == "node" else "conditions"}
    return ()


def _reason(names: Collection[str], reports: Sequence[CollectorReport]) -> str:
    bad = [
        f"{report.name}: {report.reason or report.status.value}"
        for report in reports
        if report.name in names and report.status not in {CollectorStatus.OK, CollectorStatus.SKIPPED}
    ]
    return f"; not collected ({', '.join(bad)})" if bad else ""
