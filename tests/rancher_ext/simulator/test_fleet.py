"""A fleet of any size, the same for the same seed, quick to make and to list."""

import ast
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import requests

from rancher_ext.simulator.clock import SimClock, rfc3339
from rancher_ext.simulator.fleet import Fleet
from rancher_ext.simulator.running import RunningRancher
from rancher_ext.simulator.scenario import scenario_ids


def test_the_clock_is_one_formula():
    clock = SimClock(60.0, 1000.0, real=lambda: 1010.0)
    assert clock.seconds() == 1600.0
    assert rfc3339(clock.seconds()) == "1970-01-01T00:26:40Z"


def test_a_generated_fleet_is_mostly_well_and_shows_every_scenario():
    truth = Fleet.generate(160, 3, seed=7).truth()["clusters"]
    verdicts = Counter(c["verdict"] for c in truth.values() if c["scenario"] != "local")

    assert sum(verdicts.values()) == 160
    assert verdicts["healthy"] == 136
    assert {c["scenario"] for c in truth.values()} == set(scenario_ids())


def test_the_same_seed_makes_the_same_fleet_and_another_another():
    def shape(seed):
        fleet = Fleet.generate(30, 2, seed=seed, clock=SimClock(origin=1_772_539_200.0))
        return [(c.id, c.name, c.scenario.id, [m.name for m in c.identity.machines]) for c in fleet.clusters.values()]

    assert shape(3) == shape(3)
    assert shape(3) != shape(4)


def test_ids_tell_the_kind_of_cluster(fleet):
    assert fleet.add("rke2-canal-healthy").id.startswith("c-m-")
    assert fleet.add("k3s-flannel-healthy").id.startswith("c-m-")
    assert len(fleet.add("rke1-canal-healthy").id) == len("c-xxxxx")
    assert len(fleet.add("imported-unreachable").id) == len("c-xxxxx")
    assert "local" in fleet.clusters


@pytest.mark.slow
def test_five_hundred_clusters_and_one_of_a_thousand_nodes_are_served():
    fleet = Fleet.generate(500, 3, seed=1)
    fleet.add("rke2-canal-healthy", name="huge", nodes=1000)
    with RunningRancher(fleet) as running:
        session = requests.Session()
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {running.token}"
        base = running.url + "/k8s/clusters/local/apis"
        clusters = session.get(base + "/management.cattle.io/v3/clusters", timeout=30).json()["items"]
        machines = session.get(base + "/cluster.x-k8s.io/v1beta1/machines", timeout=30).json()["items"]

    assert len(clusters) == 502
    assert sum(m["spec"]["clusterName"] == "huge" for m in machines) == 1000


SERVE = """
from rancher_ext.simulator.fleet import Fleet
from rancher_ext.simulator.running import serve_forever
serve_forever(Fleet(), port=0, started=lambda url: print(url, flush=True))
"""


def test_it_serves_in_the_foreground_until_interrupted():
    with subprocess.Popen([sys.executable, "-c", SERVE], stdout=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().strip()
            assert requests.get(url + "/ping", timeout=10).text == "pong"
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
        finally:
            process.kill()


def test_a_port_that_is_taken_is_said_so(rancher):
    port = int(rancher.url.rsplit(":", 1)[1])
    with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}"):
        RunningRancher(Fleet(), port=port).start()


def test_clusters_come_and_go_by_the_simulators_own_pages(client, fleet):
    made = client.post("/simulator/clusters", json={"scenario": "rke2-canal-slow", "name": "slow-1", "age": 0}).json()
    assert client.get("/simulator/truth").json()["clusters"][made["id"]]["verdict"] == "progressing"
    assert client.delete(f"/simulator/clusters/{made['id']}").status_code == 204
    assert made["id"] not in fleet.clusters
    assert client.post("/simulator/clusters", json={"scenario": "none"}).status_code == 400


def test_requests_are_counted(client):
    for _ in range(3):
        client.get("/v3/clusters")
    counts = client.get("/simulator/requests").json()
    assert counts["by_path"] == {"/v3/clusters": 3}


def test_the_simulator_imports_nothing_of_what_it_judges():
    folder = Path(sys.modules["rancher_ext.simulator"].__file__).parent
    allowed = {"starlette", "uvicorn", "yaml"} | set(sys.stdlib_module_names)
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = (
                [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else [a.name for a in node.names]
                if isinstance(node, ast.Import)
                else []
            )
            for name in names:
                assert name.startswith("rancher_ext.simulator") or name.split(".")[0] in allowed, f"{file.name}: {name}"
