"""Does Drover judge every kind of cluster right when a real API server tells it about them?

All scenarios of the simulator are loaded into one real API server for `local`, and each cluster that Rancher would reach into
one of its own. Drover's client reads them through the proxy, and each verdict has to be the scenario's truth. On the way the
servers must take every object of the simulator, and change none but where that is known.
"""

import json
import queue
import threading
import time
from pathlib import Path

import pytest

from rancher_ext.client.kubernetes import CONTROL_PLANES, MACHINES, MANAGEMENT_CLUSTERS, KubernetesApi
from rancher_ext.client.snapshot import FleetReader
from rancher_ext.client.transport import RetryPolicy, TokenSource, Transport
from rancher_ext.detection import Limits, assess, deserves_closer_look
from rancher_ext.detection.verdict import word
from rancher_ext.errors import ClusterUnavailable
from rancher_ext.fleet.snapshot import ClusterSnapshot
from rancher_ext.listeners.watch import FleetWatch
from rancher_ext.simulator.fleet import ADMIN_TOKEN
from tests.e2e.world import DROVER_TOKEN, SCENARIOS, World, drover

LIMITS = Limits()
WITHIN = 120.0

# Fifteen servers are started and filled before the first test, once for all tests of this group.
pytestmark = pytest.mark.timeout(900)

# Admission adds two tolerations to every pod; the simulator's pods have none of them.
KNOWN_CHANGES = {"Pod: spec.tolerations"}


def closer(snapshot: ClusterSnapshot) -> bool:
    return deserves_closer_look(snapshot, LIMITS.scope)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_verdict_on_each_scenario_is_its_truth(world: World, scenario: str) -> None:
    """And every field that Drover read is what it reads from the simulator."""
    identifier = world.ids[scenario]
    norman = Transport(world.simulator, TokenSource(ADMIN_TOKEN))

    snapshot = world.reader().cluster(identifier)

    assert word(assess(snapshot, None, LIMITS)[1]) == world.truths[identifier], snapshot.planner
    assert snapshot == FleetReader(norman, world.fleet.clock.now).cluster(identifier)


def test_one_sweep_with_the_documented_rights_judges_every_cluster_right(world: World) -> None:
    snapshots = world.reader(DROVER_TOKEN).fleet(closer)

    assert {each.key.id: word(assess(each, None, LIMITS)[1]) for each in snapshots} == world.truths
    assert snapshots == world.reader().fleet(closer), "an administrator sees no more than the documented rights show"


def test_drover_sweep_prints_these_verdicts(world: World, tmp_path: Path) -> None:
    ran = drover(world.proxy.url, tmp_path, "sweep", "--format", "json")

    said = json.loads(ran.out)
    assert ran.status == 10
    assert {cluster["id"]: cluster["verdict"] for cluster in said["clusters"]} == world.truths


def test_the_watch_hints_a_cluster_that_changes(world: World) -> None:
    """With the documented rights: kinds that may not be watched everywhere are watched in their workspace."""
    changed = world.ids["rke2-canal-healthy"]
    cluster = world.fleet.clusters[changed]
    hints: queue.Queue[str] = queue.Queue()
    stop = threading.Event()
    transport = Transport(world.proxy.url, TokenSource(DROVER_TOKEN), retry=RetryPolicy(attempts=1))
    watch = FleetWatch(transport, lambda hint: hints.put(hint.key.id), stop=stop, idle=20.0, timeout=3)
    watch.start()
    try:
        deadline = time.monotonic() + WITHIN
        while not (watch.states and all(state.connected for state in watch.states)):
            assert time.monotonic() < deadline, watch.states
            time.sleep(0.05)
        # The name of the control plane is the cluster's; its kind is watched in its workspace alone.
        path = f"/apis/rke.cattle.io/v1/namespaces/fleet-default/rkecontrolplanes/{cluster.name}"
        patch = {"metadata": {"annotations": {"drover.test/touched": "yes"}}}
        answer = world.proxy.rancher.local.call("PATCH", path, patch, content_type="application/merge-patch+json")
        assert answer.ok, answer.text

        assert hints.get(timeout=WITHIN) == changed
        assert watch.connected
    finally:
        stop.set()
        assert watch.join(WITHIN)


@pytest.mark.parametrize("page", [1, 3, 500])
def test_pages_of_any_size_make_the_same_list(world: World, page: int) -> None:
    api = KubernetesApi(world.transport())

    for resource, namespace in [
        (MANAGEMENT_CLUSTERS, ""),
        (CONTROL_PLANES, "fleet-default"),
        (MACHINES, "fleet-default"),
    ]:
        paged = [item["metadata"]["uid"] for item in api.list(resource, namespace, page=page).items]
        whole = [item["metadata"]["uid"] for item in api.list(resource, namespace).items]
        assert paged == whole
        assert len(whole) == len(set(whole)) > 10


def test_a_cluster_that_rancher_cannot_reach_is_unavailable(world: World) -> None:
    with pytest.raises(ClusterUnavailable):
        KubernetesApi(world.transport(), "c-m-nobody00").list(MANAGEMENT_CLUSTERS)


def test_real_servers_take_every_object_of_every_scenario_as_it_is(world: World) -> None:
    assert [each for filled in world.filled for each in filled.refused] == []


def test_what_real_servers_change_is_known(world: World) -> None:
    changed = {
        f"{each.split(' ')[0]}: {what}"
        for filled in world.filled
        for each in filled.changed
        for what in each.split("drops or changes ")[1].split(", ")
    }

    assert changed <= KNOWN_CHANGES
