"""What has the cluster complained about lately? Events of nodes and of the namespaces in which the network lives."""

from collections.abc import Iterator
from datetime import UTC, datetime

from rancher_ext.evidence.collect import Collector, Item
from rancher_ext.evidence.collectors._pods import AGENT_NAMESPACE, NETWORK_NAMESPACES
from rancher_ext.evidence.kinds import EVENT, Object
from rancher_ext.evidence.reach import Reach, Side
from rancher_ext.evidence.render import event_table, event_times

# Events of nodes have no namespace of their own and are kept in `default`.
_NAMESPACES = ("default", *NETWORK_NAMESPACES, AGENT_NAMESPACE)
# About 500 KB of listing: warnings first, then the newest.
_LIMIT = 2500
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def run(reach: Reach) -> Iterator[Item]:
    found: list[Object] = []
    for namespace in _NAMESPACES:
        with reach.tolerating():
            found += reach.objects(Side.DOWNSTREAM, EVENT, namespace)
    if not found:
        reach.remark("there are no events")
        return
    yield "events.txt", event_table(chosen_events(reach, found), reach.now)


def chosen_events(reach: Reach, found: list[Object]) -> list[Object]:
    """At most the limit, in the order of time; what is left out are old and normal ones."""
    if len(found) > _LIMIT:
        found = sorted(found, key=lambda event: (event.get("type") == "Warning", last_seen(event)))[-_LIMIT:]
        reach.problem(f"events.txt holds {_LIMIT} events, warnings and the newest first; the others are left out")
    return sorted(found, key=last_seen)


def last_seen(event: Object) -> datetime:
    return event_times(event)[1] or _LONG_AGO


COLLECTOR = Collector("events", Side.DOWNSTREAM, run)
