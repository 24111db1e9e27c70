"""What every `FleetMemory` promises: in memory, on SQLite, on PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from bot.adapters.fleet_store import FleetStore
from bot.adapters.in_memory import InMemoryFleet
from bot.ports import Assessed, SeenCluster
from rancher_ext.detection import Milestones, Progress
from rancher_ext.fleet.cluster import ClusterKey
from tests.builders import NOON, hours, minutes


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def fleet(request, new_database):
    return InMemoryFleet() if request.param == "memory" else FleetStore(new_database(request.param))


def progress(nodes=1, *, since=NOON, **rest) -> Progress:
    return Progress(best=Milestones(machines=1, nodes=nodes), target="v1.32.2+rke2r1", since=since, **rest)


def a_look(cluster="c-1", *, uid="u1", rancher="default", name="", verdict="stuck", at=NOON, best=None) -> Assessed:
    key = ClusterKey(rancher, cluster)
    seen = SeenCluster(key, name or cluster, verdict, {"cni": "canal", "nodesReady": None}, at)
    return Assessed(key, uid, best or progress(), seen)


def test_what_was_saved_is_remembered_for_this_very_cluster(fleet):
    best = progress(3, since=NOON - hours(1), ill_since=NOON - minutes(30), well_since=NOON)
    fleet.save([a_look(best=best)])
    assert fleet.memory("default") == {"c-1": ("u1", best)}
    assert fleet.memory_of(ClusterKey("default", "c-1"), "u1") == best
    assert fleet.memory_of(ClusterKey("default", "c-1"), "another uid") is None
    assert fleet.memory_of(ClusterKey("default", "c-2"), "u1") is None


def test_the_fleet_is_seen_by_name_with_its_facts(fleet):
    fleet.save([a_look("c-1", name="zeta"), a_look("c-2", name="alpha", verdict="healthy")])
    assert [(cluster.name, cluster.verdict) for cluster in fleet.seen()] == [("alpha", "healthy"), ("zeta", "stuck")]
    assert fleet.seen()[0].facts == {"cni": "canal", "nodesReady": None}
    assert fleet.seen()[0].seen_at == NOON


def test_a_later_look_replaces_what_is_seen(fleet):
    fleet.save([a_look()])
    fleet.save([a_look(verdict="healthy", at=NOON + hours(1))])
    (seen,) = fleet.seen()
    assert (seen.verdict, seen.seen_at) == ("healthy", NOON + hours(1))


def test_of_two_workers_the_earlier_clock_of_an_equal_best_stands(fleet):
    fleet.save([a_look(best=progress(2, since=NOON - minutes(20)))])
    fleet.save([a_look(best=progress(2, since=NOON))])
    assert fleet.memory("default")["c-1"][1].since == NOON - minutes(20)


def test_a_new_best_moves_the_clock(fleet):
    fleet.save([a_look(best=progress(2, since=NOON - minutes(20)))])
    fleet.save([a_look(best=progress(3, since=NOON))])
    assert fleet.memory("default")["c-1"][1] == progress(3, since=NOON)


def test_a_cluster_made_anew_begins_afresh(fleet):
    fleet.save([a_look(best=progress(9, since=NOON - hours(9)))])
    fleet.save([a_look(uid="u2", best=progress(0, since=NOON))])
    assert fleet.memory("default") == {"c-1": ("u2", progress(0, since=NOON))}


def test_servers_do_not_mix(fleet):
    fleet.save([a_look(rancher="eu"), a_look(rancher="us", best=progress(5))])
    assert fleet.memory("eu") == {"c-1": ("u1", progress())}
    assert fleet.memory("us") == {"c-1": ("u1", progress(5))}
    fleet.forget_others("eu", [])
    assert fleet.memory("eu") == {}
    assert [cluster.key.rancher for cluster in fleet.seen()] == ["us"]


def test_only_what_rancher_has_no_more_is_forgotten(fleet):
    fleet.save([a_look("c-1"), a_look("c-2"), a_look("c-3")])
    fleet.forget_others("default", ["c-1", "c-3", "c-9"])
    assert sorted(fleet.memory("default")) == ["c-1", "c-3"]
    assert [cluster.key.id for cluster in fleet.seen()] == ["c-1", "c-3"]


def test_a_sweep_and_hints_may_save_side_by_side(fleet):
    def save(worker):
        for number in range(5):
            fleet.save([a_look(f"c-{n}", best=progress(worker + number)) for n in range(5)])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(save, range(4)))
    assert {best.best.nodes for _, best in fleet.memory("default").values()} == {7}
    assert len(fleet.seen()) == 5
