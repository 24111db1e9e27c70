"""What happened to this cluster's machines in Rancher's own cluster? Events, jobs and pods that made or lost a server.

Events of a workspace concern all its clusters. Those of this one are told by the exact names of its objects: a name that only
begins alike (`edge` and `edge-7`) is another cluster's.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from rancher_ext.evidence.collect import Collector, Item, object_path
from rancher_ext.evidence.collectors._machines import CLUSTER_LABEL, has_capi_machines, machines, names_of
from rancher_ext.evidence.collectors._pods import logs_of, name_of, worst_first
from rancher_ext.evidence.collectors.events import chosen_events
from rancher_ext.evidence.kinds import EVENT, JOB, MACHINE_DEPLOYMENT, MACHINE_SET, POD
from rancher_ext.evidence.reach import Reach, Side
from rancher_ext.evidence.render import event_table
from rancher_ext.fleet.parse import mapping, text

_SERVER_LABEL = "rke.cattle.io/infra-machine-name"
_LOGS = 5


def run(reach: Reach) -> Iterator[Item]:
    identity = reach.snapshot.identity
    names = {identity.name} | {machine.name for machine in reach.snapshot.machines}
    with reach.tolerating():
        for machine in machines(reach):
            names |= names_of(machine)
    for kind in (MACHINE_SET, MACHINE_DEPLOYMENT):
        with reach.tolerating():
            labels = f"{CLUSTER_LABEL}={identity.name}"
            names |= {name_of(each) for each in reach.objects(Side.MANAGEMENT, kind, identity.namespace, labels=labels)}
    pods = []
    for kind in (JOB, POD):
        with reach.tolerating():
            for item in reach.objects(Side.MANAGEMENT, kind, identity.namespace, labels=_SERVER_LABEL):
                if text(mapping(item, "metadata", "labels").get(_SERVER_LABEL)) in names:
                    names.add(name_of(item))
                    yield object_path(Side.MANAGEMENT, kind, item), item
                    if kind is POD:
                        pods.append(item)
    with reach.tolerating():
        found = [
            event for event in reach.objects(Side.MANAGEMENT, EVENT, identity.namespace) if _concerned(event) in names
        ]
        if found:
            yield "events.txt", event_table(chosen_events(reach, found), reach.now)
    yield from logs_of(reach, worst_first(pods)[:_LOGS], Side.MANAGEMENT)


def _concerned(event: Mapping[str, Any]) -> str:
    return text((mapping(event, "involvedObject") or mapping(event, "regarding")).get("name"))


COLLECTOR = Collector("management_events", Side.MANAGEMENT, run, timeout=45, applies=has_capi_machines)
