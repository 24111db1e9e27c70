"""What has Rancher done and waited for, and since when? Its own log of the cluster's provisioning.

Rancher adds a line when the text changes, so the time of the last line tells since when it stands (rancher-api 3.5).
"""

from collections.abc import Iterator

from rancher_ext.evidence.collect import Collector, Item
from rancher_ext.evidence.kinds import CONFIG_MAP
from rancher_ext.evidence.reach import Reach, Side
from rancher_ext.fleet.cluster import Management
from rancher_ext.fleet.parse import mapping, text


def run(reach: Reach) -> Iterator[Item]:
    log = reach.one(Side.MANAGEMENT, CONFIG_MAP, "provisioning-log", reach.snapshot.identity.id)
    content = text(mapping(log or {}, "data").get("log"))
    if not content.strip():
        reach.remark("Rancher keeps no provisioning log of this cluster")
        return
    yield "logs/provisioning.log", content if content.endswith("\n") else content + "\n"


COLLECTOR = Collector(
    "provisioning_log",
    Side.MANAGEMENT,
    run,
    timeout=20,
    applies=lambda snapshot: snapshot.management is Management.PROVISIONED,
)
