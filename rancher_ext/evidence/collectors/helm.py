"""Did the network plugin get installed? HelmCharts and their jobs on RKE2 and K3s, the network job on RKE1."""

from collections.abc import Iterator, Mapping
from typing import Any

from rancher_ext.evidence.collect import Collector, Item, object_path
from rancher_ext.evidence.collectors._pods import (
    is_well,
    logs_of,
    name_of,
    namespace_of,
    pods_of,
    worst_first,
)
from rancher_ext.evidence.kinds import HELM_CHART, HELM_CHART_CONFIG, JOB, Object
from rancher_ext.evidence.reach import Reach, Side
from rancher_ext.evidence.render import mappings, pod_status
from rancher_ext.fleet.parse import integer, mapping, text

_JOBS = ("helm-install-", "helm-delete-", "rke-network-plugin-deploy-job", "rke-network-plugin")
_HELM_PODS = ("helm-install-", "helm-delete-")
_RKE1_PODS = ("rke-network-plugin-deploy-job",)
_NETWORK_CHARTS = ("canal", "flannel", "calico", "cilium", "multus")
_LOGS = 12


def run(reach: Reach) -> Iterator[Item]:
    lines: list[str] = []
    for kind in (HELM_CHART, HELM_CHART_CONFIG):
        with reach.tolerating():
            for item in reach.objects(Side.DOWNSTREAM, kind, "kube-system"):
                yield object_path(Side.DOWNSTREAM, kind, item), item
                if kind is HELM_CHART:
                    lines.append(_chart_line(item))
    with reach.tolerating():
        for job in reach.objects(Side.DOWNSTREAM, JOB, "kube-system"):
            if name_of(job).startswith(_JOBS):
                yield object_path(Side.DOWNSTREAM, JOB, job), job
                lines.append(_job_line(job))
    pods = []
    with reach.tolerating():
        pods = pods_of(reach, "kube-system")
    yield from logs_of(reach, worst_first(pod for pod in pods if name_of(pod).startswith(_RKE1_PODS))[:3])
    # Charts of the network first, then those that failed; a chart that is installed has nothing to tell.
    helm = [
        pod
        for pod in worst_first(pod for pod in pods if name_of(pod).startswith(_HELM_PODS))
        if not is_well(pod) or _is_network(pod)
    ]
    helm.sort(key=lambda pod: not _is_network(pod))
    if len(helm) > _LOGS:
        reach.problem(f"logs of {len(helm) - _LOGS} of {len(helm)} helm pods were left out")
    for pod in helm[:_LOGS]:
        for path, content in logs_of(reach, [pod]):
            run_ = "previous log" if path.endswith(".previous.log") else "log"
            lines.append(f"# {run_} of pod {namespace_of(pod)}/{name_of(pod)} ({pod_status(pod)})")
            lines.append(str(content).rstrip("\n"))
    if lines:
        yield "helm.txt", "\n".join(lines) + "\n"


def _is_network(pod: Mapping[str, Any]) -> bool:
    return any(word in name_of(pod) for word in _NETWORK_CHARTS)


def _chart_line(chart: Object) -> str:
    spec, status = mapping(chart, "spec"), mapping(chart, "status")
    conditions = [
        f"{text(condition.get('type'))}={text(condition.get('status'))} {text(condition.get('message'))}".strip()
        for condition in mappings(status.get("conditions"))
    ]
    said = f", {'; '.join(conditions)}" if conditions else ""
    return (
        f"# HelmChart {namespace_of(chart)}/{name_of(chart)}: chart {text(spec.get('chart')) or 'packed'}, "
        f"version {text(spec.get('version')) or 'as packed'}, job {text(status.get('jobName')) or 'none'}{said}"
    )


def _job_line(job: Object) -> str:
    status = mapping(job, "status")
    counts = ", ".join(f"{integer(status.get(key)) or 0} {key}" for key in ("active", "succeeded", "failed"))
    failing = [
        f"; {text(condition.get('reason'))}: {text(condition.get('message'))}"
        for condition in mappings(status.get("conditions"))
        if condition.get("type") == "Failed" and condition.get("status") == "True"
    ]
    return f"# Job {namespace_of(job)}/{name_of(job)}: {counts}{''.join(failing)}"


COLLECTOR = Collector("helm", Side.DOWNSTREAM, run)
