"""Let the job that installs the CNI's chart run again on an RKE2 cluster.

`kube-system/helm-install-<chart>` stays failed once its retries are used up. The chart controller makes the job anew as soon as it
is gone; what the job installs is unchanged. A job that is still at work is left alone: two helm runs at once lock each other out.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from rancher_ext.client.changes import ABSENT, Place, Value
from rancher_ext.client.kubernetes import JOBS, PODS
from rancher_ext.errors import NotFound
from rancher_ext.fleet.cluster import Distribution
from rancher_ext.fleet.parse import integer, mapping, text
from rancher_ext.remediation.action import Action, NotPossible, PlannedStep, Risk, Settled, UndoKind
from rancher_ext.remediation.change import Change, Target
from rancher_ext.remediation.inside import refusal

NAMESPACE = "kube-system"


def preview(target: Target, arguments: Mapping[str, Any]) -> PlannedStep | NotPossible:
    """`chart: rke2-canal`."""
    chart = text(arguments.get("chart"))
    if target.snapshot.distribution is not Distribution.RKE2 or not chart.startswith("rke2-"):
        return NotPossible("only RKE2 installs its network with a chart")
    refused = refusal(target, ", where the job is")
    if refused:
        return refused
    name = f"helm-install-{chart}"
    try:
        job = target.downstream.get(JOBS, name, NAMESPACE)
    except NotFound:
        return NotPossible(f"there is no job {name}: the chart controller makes it by itself")
    if _is_at_work(target, job):
        return NotPossible(f"the job {name} is still at work")
    place = Place(JOBS, NAMESPACE, name, ())
    uid = text(mapping(job, "metadata").get("uid"))
    # Its controller makes it anew, so the record needs no more than who it was.
    metadata = {"name": name, "namespace": NAMESPACE}
    before = Value(present=True, value={"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata})
    return PlannedStep(
        action=ACTION.name,
        title=f"Run the job `{name}` again",
        writes=(Change(place, uid, before, ABSENT, downstream=True, stays=True),),
        diff=f"-Job {NAMESPACE}/{name} ({_outcome(job)})",
        effect=f"The chart controller makes the job anew, and helm applies {chart} again.",
        arguments=dict(arguments),
    )


def settled(target: Target, step: PlannedStep) -> Settled:
    """Has a job of a newer uid completed?"""
    (write,) = step.writes
    assert isinstance(write, Change)
    try:
        job = target.downstream.get(JOBS, write.place.name, NAMESPACE)
    except NotFound:
        return Settled(holds=False, seen=f"{write.place.name} is not there again yet")
    if text(mapping(job, "metadata").get("uid")) == write.uid:
        return Settled(holds=False, seen=f"the old {write.place.name} is still there")
    if integer(mapping(job, "status").get("succeeded")):
        return Settled(holds=True, seen=f"{write.place.name} has completed")
    return Settled(holds=False, seen=f"{write.place.name} runs ({_outcome(job)})")


def _is_at_work(target: Target, job: Mapping[str, Any]) -> bool:
    """Does helm run at this moment?

    The job restarts its container within one pod, with a thousand tries: between two of them it counts as active, too, and only
    the container's state tells that nobody is at work. A pod that nobody sees may be at work.
    """
    status = mapping(job, "status")
    conditions = status.get("conditions")
    over = any(
        mapping(each).get("type") in {"Complete", "Failed"} and mapping(each).get("status") == "True"
        for each in (conditions if isinstance(conditions, list) else ())
    )
    if over or not integer(status.get("active")):
        return False
    labels = f"job-name={text(mapping(job, 'metadata').get('name'))}"
    pods = target.downstream.list(PODS, NAMESPACE, labels=labels).items
    states = [mapping(each, "state") for pod in pods for each in _containers(pod)]
    return not states or any("running" in state for state in states)


def _containers(pod: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    statuses = mapping(pod, "status").get("containerStatuses")
    return [mapping(each) for each in statuses] if isinstance(statuses, list) else []


def _outcome(job: Mapping[str, Any]) -> str:
    status = mapping(job, "status")
    counts = [f"{count} {word}" for word in ("succeeded", "failed") if (count := integer(status.get(word)))]
    return ", ".join(counts) or "without a result"


ACTION = Action(
    name="rerun-helm-job",
    risk=Risk.SAFE,
    undo=UndoKind.COMPENSATING,
    expected=timedelta(minutes=3),
    preview=preview,
    help="Deletes the ended job that installs the CNI's chart; the chart controller makes it anew.",
    settled=settled,
    settle_within=timedelta(minutes=10),
)
