"""Let RKE1 apply its network manifest once more: delete the job that did it, and ask for a reconcile.

RKE applies the manifest in the ConfigMap `rke-network-plugin` by the job `kube-system/rke-network-plugin-deploy-job`. It makes the
job anew by itself only when the manifest changed or the job did not complete. Where it completed and a CRD, a role or
the DaemonSet is missing all the same, or where it hangs, the job has to go first. The reconcile is asked for by the
annotation `rke.cattle.io/force-update` on the management cluster, through the raw proxy: Norman drops annotations with
`cattle.io/`. Rancher takes the annotation away when it is done.

On RKE1 Rancher reaches the cluster through the tunnels of its nodes, so a dead network is no hindrance. The job's deletion is not
taken back: RKE makes a new one. Applying a manifest again changes only what differs from it.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from rancher_ext.client.changes import ABSENT, Place, Value
from rancher_ext.client.kubernetes import JOBS
from rancher_ext.client.snapshot import is_reachable
from rancher_ext.errors import NotFound
from rancher_ext.fleet.parse import integer, mapping, text, timestamp
from rancher_ext.remediation.action import Action, NotPossible, PlannedStep, Risk, Settled, UndoKind
from rancher_ext.remediation.change import Change, Target, manifest_of
from rancher_ext.remediation.rke1 import CONFIG, cluster_object, config_change

NAMESPACE, JOB = "kube-system", "rke-network-plugin-deploy-job"
FORCE_UPDATE = ("metadata", "annotations", "rke.cattle.io/force-update")
# RKE waits this long for the job where the configuration says nothing.
_JOB_TIMEOUT = 45


def preview(target: Target, arguments: Mapping[str, Any]) -> PlannedStep | NotPossible:
    """No arguments."""
    item = cluster_object(target)
    if isinstance(item, NotPossible):
        return item
    if not is_reachable(target.snapshot):
        return NotPossible("the cluster's API was never up, so RKE has not come to its network yet")
    force = config_change(item, FORCE_UPDATE, Value(present=True, value="true"))
    if force.before.present:
        return NotPossible("Rancher was already asked to reconcile the cluster")
    job = _job(target)
    runs = mapping(job or {}, "status")
    started = timestamp(runs.get("startTime"))
    timeout = timedelta(seconds=integer(mapping(item, *CONFIG).get("addonJobTimeout")) or _JOB_TIMEOUT)
    if runs.get("active") and started and target.snapshot.taken_at - started < timeout:
        return NotPossible("the job is running at this moment")
    writes: tuple[Change, ...] = (force,)
    lines = ["+metadata.annotations[rke.cattle.io/force-update]: 'true'   # on the management cluster"]
    if job is not None:
        place = Place(JOBS, NAMESPACE, JOB, ())
        uid = text(mapping(job, "metadata").get("uid"))
        gone = Change(place, uid, Value(present=True, value=_record(job)), ABSENT, downstream=True, stays=True)
        writes = (gone, force)
        lines.insert(0, f"-job {NAMESPACE}/{JOB}   # RKE makes it anew")
    return PlannedStep(
        action=ACTION.name,
        title="Apply RKE1's network manifest again",
        writes=writes,
        diff="\n".join(lines),
        effect="Rancher runs `rke up`; the job applies the whole network manifest, with its CRDs and roles. Pods whose template is unchanged stay.",
        arguments=dict(arguments),
    )


def settled(target: Target, step: PlannedStep) -> Settled:
    """A job other than the deleted one has completed."""
    job = _job(target)
    if job is None:
        return Settled(holds=False, seen=f"{JOB} is not made anew yet")
    old = next((write.uid for write in step.writes if isinstance(write, Change) and write.downstream), "")
    if mapping(job, "metadata").get("uid") == old:
        return Settled(holds=False, seen=f"the old {JOB} is still there")
    conditions = mapping(job, "status").get("conditions")
    said = {
        text(each.get("type")): text(each.get("message"))
        for each in (conditions if isinstance(conditions, list) else [])
        if each.get("status") == "True"
    }
    if "Failed" in said:
        return Settled(holds=False, seen=f"{JOB} failed: {said['Failed']}")
    return Settled("Complete" in said, f"{JOB} {'has completed' if 'Complete' in said else 'runs'}")


def _job(target: Target) -> dict[str, Any] | None:
    try:
        return target.downstream.get(JOBS, JOB, NAMESPACE)
    except NotFound:
        return None


def _record(job: Mapping[str, Any]) -> dict[str, Any]:
    """What the plan keeps of the job: enough to know it by. Its pod template holds nothing that anybody would put back."""
    manifest = manifest_of(job)
    return {key: manifest[key] for key in ("apiVersion", "kind") if key in manifest} | {
        "metadata": {"name": JOB, "namespace": NAMESPACE}
    }


ACTION = Action(
    name="rerun-rke1-network-job",
    risk=Risk.SAFE,
    undo=UndoKind.COMPENSATING,
    expected=timedelta(minutes=5),
    preview=preview,
    settled=settled,
    settle_within=timedelta(minutes=15),
    help="Deletes RKE1's network job and asks Rancher to reconcile, which applies the whole network manifest again.",
)
