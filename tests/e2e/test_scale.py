"""What does it cost to judge and diagnose one cluster of 3, 100 or 1,000 nodes, and does its size change the answer?

One RKE1 cluster grows on a real API server; KWOK plays its nodes and its canal pods. At each size it is well, then all nodes are
NotReady for want of a network while flannel crashes or its image cannot be pulled. The number of requests may grow by the
pages of lists and by nothing else. Seconds, bytes and memory are printed (`pytest -s`) and stand in docs/real-servers.md.
"""

import copy
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rancher_ext.client.kubernetes import PAGE as FLEET_PAGE
from rancher_ext.evidence.reach import PAGE as EVIDENCE_PAGE
from rancher_ext.evidence.reach import Caps
from rancher_ext.simulator.fleet import Fleet
from rancher_ext.simulator.scenario import load_scenario
from tests.e2e.cluster import ApiServer
from tests.e2e.kwok import ContainerLog, KwokNodes, NodeState, PodState
from tests.e2e.world import World, environment_of, real_world

pytestmark = pytest.mark.timeout(900)

Json = dict[str, Any]

WELL, DEAD = "rke1-canal-healthy", "rke1-canal-br-netfilter"
SIZES = (3, 100, 1000)
NAMESPACE, DAEMON_SET = "kube-system", "canal"
CONTAINERS = ("calico-node", "kube-flannel")
SHOWN_WITHIN = 180.0
# Lists that are as long as the cluster has nodes, by the page in which they are read: Rancher's nodes and the cluster's own
# twice (verdict and evidence), pods once.
GROWING = (FLEET_PAGE, FLEET_PAGE, EVIDENCE_PAGE, EVIDENCE_PAGE, EVIDENCE_PAGE)


@dataclass(frozen=True)
class Cost:
    """What one run of a command took."""

    lists: int
    logs: int
    megabytes: float
    seconds: float
    resident: float

    def __str__(self) -> str:
        requests = f"{self.lists + self.logs} requests ({self.logs} of them logs)"
        return f"{requests}, {self.megabytes:.2f} MB, {self.seconds:.1f} s, {self.resident:.0f} MB resident"


class Growing:
    """The cluster, as large as the test wants it, in the state that the test wants."""

    def __init__(self, world: World, kubelets: KwokNodes) -> None:
        self.world = world
        self.id = world.ids[WELL]
        self.server = world.proxy.rancher.downstream[self.id]
        self._kubelets = kubelets
        self._state = (NodeState.READY, PodState.RUNNING)
        self._size = 0
        self._template = world.local.call("GET", self._nodes).json()["items"][0]
        self._well = self._conditions(world.fleet)
        dead = Fleet(world.fleet.clock)
        dead.add(DEAD)
        self._dead = self._conditions(dead)
        self._clear()

    @property
    def _nodes(self) -> str:
        return f"/apis/management.cattle.io/v3/namespaces/{self.id}/nodes"

    def _conditions(self, fleet: Fleet) -> list[Json]:
        (cluster,) = [
            cluster
            for resource in fleet.local.resources.values()
            if (resource.group, resource.plural) == ("management.cattle.io", "clusters")
            for cluster in fleet.local.objects(resource)
            if cluster["metadata"]["name"] != "local"
        ]
        found: list[Json] = cluster["status"]["conditions"]
        return found

    def _clear(self) -> None:
        """Takes away the simulator's own nodes and pods: KWOK plays all of them."""
        for server, path in (
            (self.server, "/api/v1/nodes"),
            (self.server, f"/api/v1/namespaces/{NAMESPACE}/pods"),
            (self.server, "/api/v1/namespaces/cattle-system/pods"),
            (self.world.local, self._nodes),
        ):
            assert server.call("DELETE", path, params={"gracePeriodSeconds": "0"}).ok

    def become(self, size: int, node: NodeState, pod: PodState) -> None:
        """Returns once every node and pod shows its state."""
        if (node, pod) != self._state:
            self._each(range(self._size), lambda number: self._kubelets.turn(f"/api/v1/nodes/{_node(number)}", node))
            pods = f"/api/v1/namespaces/{NAMESPACE}/pods"
            self._each(range(self._size), lambda number: self._kubelets.turn(f"{pods}/{_pod(number)}", pod))
        self._state = (node, pod)
        self._each(range(self._size, size), self._add)
        self._size = size
        well = pod is PodState.RUNNING
        self._kubelets.say(NAMESPACE, "kube-flannel", _log("flannel-healthy" if well else _log_of(DEAD)))
        self._tell_rancher(well=well)
        self._wait(node, pod)

    def _each(self, numbers: Iterable[int], do: Callable[[int], None]) -> None:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(do, numbers))

    def _add(self, number: int) -> None:
        node, pod = self._state
        self._kubelets.add_node(_node(number), node, f"10.{42 + number // 256}.{number % 256}.0/24")
        owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": DAEMON_SET, "uid": "d1", "controller": True}
        annotations = {"drover.test/state": pod}
        metadata = {"labels": {"k8s-app": "canal"}, "ownerReferences": [owner], "annotations": annotations}
        self._kubelets.add_pod(NAMESPACE, _pod(number), _node(number), pod, CONTAINERS, metadata)
        copied = copy.deepcopy(self._template)
        name = f"m-{number:05d}"
        copied["metadata"] |= {"name": name, "uid": f"00000000-0000-0000-0000-{number:012d}"}
        copied["metadata"].pop("resourceVersion")
        copied["status"]["nodeName"] = copied["spec"]["requestedHostname"] = _node(number)
        key = f"{self.world.local.prefix}/management.cattle.io/nodes/{self.id}/{name}"
        self.world.local.etcd.write(key, copied)

    def _tell_rancher(self, *, well: bool) -> None:
        """The conditions of Rancher's own object, and the counts of the DaemonSet: what controllers would write."""
        key = f"{self.world.local.prefix}/management.cattle.io/clusters/{self.id}"
        stored = self.world.local.etcd.read(key)
        stored["status"]["conditions"] = self._well if well else self._dead
        stored["status"]["nodeCount"] = self._size
        self.world.local.etcd.write(key, stored)
        ready = self._size if well else 0
        counts = {
            "desiredNumberScheduled": self._size,
            "currentNumberScheduled": self._size,
            "updatedNumberScheduled": self._size,
            "numberReady": ready,
            "numberAvailable": ready,
            "numberUnavailable": self._size - ready,
        }
        path = f"/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets/{DAEMON_SET}/status"
        answer = self.server.call("PATCH", path, {"status": counts}, content_type="application/merge-patch+json")
        assert answer.ok, answer.text

    def _wait(self, node: NodeState, pod: PodState) -> None:
        reason = {NodeState.READY: "KubeletReady", NodeState.NETWORK_NOT_READY: "KubeletNotReady"}[node]
        waiting = {PodState.CRASH_LOOP: "CrashLoopBackOff", PodState.IMAGE_PULL: "ImagePullBackOff"}.get(pod, "")
        deadline = time.monotonic() + SHOWN_WITHIN
        while True:
            nodes = self.server.call("GET", "/api/v1/nodes").json()["items"]
            pods = self.server.call("GET", f"/api/v1/namespaces/{NAMESPACE}/pods").json()["items"]
            shown = sum(_ready(each) == reason for each in nodes), sum(_waits(each) == waiting for each in pods)
            if shown == (self._size, self._size):
                return
            assert time.monotonic() < deadline, f"{shown} of {self._size} nodes and pods are {node}, {pod}"
            time.sleep(0.3)


def _node(number: int) -> str:
    return f"scale-{number:04d}"


def _pod(number: int) -> str:
    return f"{DAEMON_SET}-{number:04d}"


def _ready(node: Json) -> str:
    return next((each["reason"] for each in node["status"].get("conditions") or [] if each["type"] == "Ready"), "")


def _waits(pod: Json) -> str | None:
    """What the containers wait for; empty for those that run, None before a kubelet has said anything."""
    states = [each["state"] for each in pod["status"].get("containerStatuses") or []]
    return states[0].get("waiting", {}).get("reason", "") if states else None


@pytest.fixture(scope="module")
def growing(servers_built: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Growing]:
    logs = [
        ContainerLog(NAMESPACE, "", "calico-node", _log("calico-healthy"), _log("calico-healthy")),
        ContainerLog(NAMESPACE, "", "kube-flannel", "", _log(_log_of(DEAD))),
    ]
    with real_world(tmp_path_factory.mktemp("scale"), [WELL]) as world:
        server: ApiServer = world.proxy.rancher.downstream[world.ids[WELL]]
        with KwokNodes(tmp_path_factory.mktemp("scale-kwok"), server, for_all=logs) as kubelets:
            world.tunnel.port = kubelets.port
            yield Growing(world, kubelets)


def _log_of(scenario: str) -> str:
    loaded = load_scenario(scenario)
    return str(loaded.states[loaded.start].facts.cni.log)


def _log(name: str) -> str:
    """A log of the simulator without the marks that stand for times."""
    lines = load_scenario(DEAD).logs[name].strip().splitlines()
    return "\n".join(line.split(" ", 3)[-1] if line.startswith("@") else line for line in lines)


def run(growing: Growing, home: Path, *arguments: str) -> tuple[int, Json, Cost]:
    """The command in a process of its own, half an hour later by its clock: what shows now has then lasted."""
    world = growing.world
    later = {"DROVER_CLOCK_SPEED": "0.000001", "DROVER_CLOCK_ORIGIN": str(time.time() + 1800)}
    command = [sys.executable, "-c", "from bot.cli.main import main; main()", *arguments, "--format", "json"]
    begun, started = len(world.proxy.seen), time.monotonic()
    process = subprocess.Popen(
        command,
        env=environment_of(world.proxy.url, home) | later,
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        out, err = process.stdout.read(), process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seen = world.proxy.seen[begun:]
    logs = sum(each.path.endswith("/log") for each in seen)
    size = sum(each.size for each in seen) / 1e6
    seconds = time.monotonic() - started
    assert out, err.decode()
    return process.returncode, json.loads(out), Cost(len(seen) - logs, logs, size, seconds, usage.ru_maxrss / 1024)


STATES = {
    "well": (NodeState.READY, PodState.RUNNING, "healthy", 0, None),
    "crashing": (NodeState.NETWORK_NOT_READY, PodState.CRASH_LOOP, "stuck", 10, "kernel-module-missing"),
    "image missing": (NodeState.NETWORK_NOT_READY, PodState.IMAGE_PULL, "stuck", 10, "image-pull"),
}


# The size that takes a minute, and the state of it that asks most; the other two tell nothing that those of 100 do not.
ALWAYS = [(size, state) for size in SIZES for state in STATES if size < 1000 or state == "crashing"]
THOROUGH = [(1000, "well"), (1000, "image missing")]


@pytest.mark.parametrize(
    ("size", "state"), [*ALWAYS, *(pytest.param(*each, marks=pytest.mark.thorough) for each in THOROUGH)]
)
def test_the_answer_is_right_at_every_size_and_costs_no_more_than_the_pages(
    growing: Growing, tmp_path: Path, size: int, state: str, record_property: Callable[[str, object], None]
) -> None:
    node, pod, verdict, status, cause = STATES[state]
    growing.become(size, node, pod)

    swept, fleet, sweeping = run(growing, tmp_path, "sweep")
    diagnosed, found, diagnosing = run(growing, tmp_path, "diagnose", growing.id)

    print(f"\n{size} nodes, {state}: sweep {sweeping}\n{size} nodes, {state}: diagnose {diagnosing}")
    for name, cost in (("sweep", sweeping), ("diagnose", diagnosing)):
        record_property(name, str(cost))
    (seen,) = [each for each in fleet["clusters"] if each["id"] == growing.id]
    assert (seen["verdict"], swept, diagnosed) == (verdict, status, status), found["findings"][:1]
    assert (seen["nodes"], seen["nodesReady"]) == (size, size if state == "well" else 0)
    if cause:
        assert found["findings"][0]["cause"] == cause
    assert [each for each in found["collectors"] if each["status"] in {"failed", "forbidden"}] == []
    # Every kubelet's log would be thousands of requests: the worst pods tell.
    assert diagnosing.logs <= Caps().pods_per_workload * len(CONTAINERS) * 2
    pages = sum(math.ceil(size / page) for page in GROWING)
    assert diagnosing.lists - pages <= 40
    assert sweeping.lists - pages <= 15
