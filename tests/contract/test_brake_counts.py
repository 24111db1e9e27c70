"""What the brakes count, in every store: clusters that became stuck lately, and the size of the fleet."""

import pytest

from bot.adapters.fleet_store import FleetStore
from bot.adapters.in_memory import InMemoryFleet, InMemoryIncidents
from bot.adapters.incident_store import IncidentStore
from bot.incidents.incident import State
from bot.ports import Assessed, SeenCluster
from rancher_ext.detection import Milestones, Progress, Stage, Stuck
from rancher_ext.fleet.cluster import ClusterKey
from tests.builders import NOON, a_cluster, minutes


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def stores(request, new_database):
    if request.param == "memory":
        return InMemoryIncidents(), InMemoryFleet()
    database = new_database(request.param)
    return IncidentStore(database), FleetStore(database)


def stuck(book, cluster: str, ago: float):
    at = NOON - minutes(ago)
    snapshot = a_cluster(id=cluster, uid=f"uid-{cluster}", at=at)
    return book.open(snapshot, Stuck(at - minutes(20), Stage.AGENT, "it waits"), "sweep")[0]


def test_each_cluster_counts_once_and_only_within_the_time(stores):
    book, _ = stores
    assert book.opened_since(NOON - minutes(30)) == 0
    stuck(book, "c-1", 31)
    first = stuck(book, "c-2", 20)
    book.update(first.id, NOON - minutes(19), state=State.SUPERSEDED)
    stuck(book, "c-2", 10)
    stuck(book, "c-3", 5)
    assert book.opened_since(NOON - minutes(30)) == 2


def test_the_fleet_is_counted(stores):
    _, fleet = stores
    assert fleet.count() == 0
    progress = Progress(best=Milestones(), target="v1.32.2+rke2r1", since=NOON)
    for name in ("c-1", "c-2", "c-1"):
        key = ClusterKey("default", name)
        fleet.save([Assessed(key, "u1", progress, SeenCluster(key, name, "healthy", {}, NOON))])
    assert fleet.count() == 2
