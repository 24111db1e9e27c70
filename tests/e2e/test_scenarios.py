"""Does Drover judge every kind of cluster right when a real API server tells it about them?

All scenarios of the simulator are loaded into one real API server for `local`, and each cluster that Rancher would reach into
one of its own. Drover's client reads them through the proxy, and each verdict has to be the scenario's truth. What the
servers refuse of the simulator's shapes on the way is compared with the faults that are known.
"""

import json
import os
import queue
import re
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.cli.main import main
from rancher_ext.client.kubernetes import CONTROL_PLANES, MACHINES, MANAGEMENT_CLUSTERS, KubernetesApi
from rancher_ext.client.snapshot import FleetReader
from rancher_ext.client.transport import RetryPolicy, TokenSource, Transport
from rancher_ext.detection import Limits, assess, deserves_closer_look
from rancher_ext.detection.verdict import word
from rancher_ext.errors import ClusterUnavailable
from rancher_ext.fleet.snapshot import ClusterSnapshot
from rancher_ext.listeners.watch import FleetWatch
from rancher_ext.simulator import reach
from rancher_ext.simulator.clock import SimClock
from rancher_ext.simulator.fleet import ADMIN_TOKEN, Fleet
from rancher_ext.simulator.running import RunningRancher
from rancher_ext.simulator.scenario import scenario_ids
from tests.e2e.certificates import Authority
from tests.e2e.cluster import MASTERS, ApiServer, Etcd, User
from tests.e2e.filling import Filled, fill, install_kinds, real_crds
from tests.e2e.proxy import Rancher, Refused, RunningProxy

LIMITS = Limits()
SCENARIOS = [each for each in scenario_ids() if each != "local"]
RIGHTS = Path(__file__).parents[2] / "docs" / "rancher-rights.md"
DROVER = User("u-drover")
DROVER_TOKEN = "token-drover:has-the-documented-rights"

# Fifteen servers are started and filled before the first test.
pytestmark = pytest.mark.timeout(900)

# What a real server says of the simulator's objects, names and numbers left out. Each is a fault of the simulator; whoever
# mends one takes its line away.
KNOWN_FAULTS = {
    "Cluster: spec.rkeConfig.machinePools.hostnameLengthLimit is below 10",
    "CustomResourceDefinition: has no schema",
    "CustomResourceDefinition: says Cluster and is served as Namespaced",
    "DaemonSet: its template has no containers",
    "Deployment: its template has no containers",
    "Job: its template has no containers",
    "Job: status: is complete without startTime or without SuccessCriteriaMet",
    "Job: status: is failed without startTime or without FailureTarget",
    "Machine: status: nodeInfo lacks required fields",
    "Pod: status: qosClass is not that of its containers",
}
NEED_REAL_CRDS = {
    "Cluster: spec.rkeConfig.machinePools.hostnameLengthLimit is below 10",
    "Machine: status: nodeInfo lacks required fields",
}
# Admission adds two tolerations to every pod; the simulator's pods have none of them.
KNOWN_CHANGES = {"Pod: spec.tolerations"}


@dataclass
class World:
    """A simulated fleet at one instant, and the same objects on real servers."""

    fleet: Fleet
    proxy: RunningProxy
    filled: list[Filled]
    ids: dict[str, str]

    def transport(self, token: str = ADMIN_TOKEN) -> Transport:
        return Transport(self.proxy.url, TokenSource(token), retry=RetryPolicy(attempts=2), sleep=lambda _: None)

    def reader(self, token: str = ADMIN_TOKEN) -> FleetReader:
        return FleetReader(self.transport(token), self.fleet.clock.now)

    @property
    def truths(self) -> dict[str, str]:
        return {cluster.id: cluster.truth.verdict for cluster in self.fleet.clusters.values()}


@pytest.fixture(scope="module")
def world(servers_built: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("scenarios")
    now = float(int(time.time()))
    # The clock of the simulated world stands still, so that both sides are asked about one instant.
    fleet = Fleet(SimClock(1.0, now, real=lambda: now))
    fleet.add_token(DROVER_TOKEN, user=DROVER.name)
    ids = {scenario: fleet.add(scenario).id for scenario in SCENARIOS}
    fleet.tick()
    with ExitStack() as running:
        etcd = running.enter_context(Etcd(folder, Authority(folder / "certificates")))
        local = running.enter_context(ApiServer(folder, etcd))
        install_kinds(local, fleet.local.resources.values())
        norman = running.enter_context(RunningRancher(fleet, tick_every=3600.0))
        rancher = Rancher(local, {ADMIN_TOKEN: User("user-admin", (MASTERS,)), DROVER_TOKEN: DROVER}, norman=norman.url)
        filled = [fill(local, fleet.local)]
        grant_documented_rights(local, "GlobalRole")

        def open_up(identifier: str) -> None:
            """The cluster as Rancher reaches it: an API server of its own, or Rancher's refusal."""
            cluster = fleet.clusters[identifier]
            if answer := reach.refusal(cluster, steve=False):
                rancher.refused[identifier] = Refused(answer[0].status, answer[0].body)
                return
            server = running.enter_context(ApiServer(folder, etcd, identifier))
            filled.append(fill(server, cluster.downstream))
            grant_documented_rights(server, "RoleTemplate")
            rancher.downstream[identifier] = server

        with ThreadPoolExecutor(3) as pool:
            list(pool.map(open_up, ids.values()))
        yield World(fleet, running.enter_context(RunningProxy(rancher)), filled, ids)


def grant_documented_rights(server: ApiServer, kind: str) -> None:
    """The rights of `docs/rancher-rights.md` as Rancher binds them: `rules` everywhere, those of Fleet workspaces in each
    workspace but `fleet-local`, the role template's in every downstream cluster."""
    (block,) = re.findall(r"```yaml\n(.*?)```", RIGHTS.read_text(encoding="utf-8"), re.DOTALL)
    (role,) = [document for document in yaml.safe_load_all(block) if document["kind"] == kind]
    _grant(server, role["rules"])
    if inherited := role.get("inheritedFleetWorkspacePermissions"):
        _grant(server, inherited["resourceRules"], "fleet-default")


def _grant(server: ApiServer, rules: list[dict[str, Any]], namespace: str = "") -> None:
    kind = "Role" if namespace else "ClusterRole"
    base = "/apis/rbac.authorization.k8s.io/v1" + (f"/namespaces/{namespace}" if namespace else "")
    group = "rbac.authorization.k8s.io"
    binding = {
        "metadata": {"name": DROVER.name},
        "roleRef": {"apiGroup": group, "kind": kind, "name": DROVER.name},
        "subjects": [{"apiGroup": group, "kind": "User", "name": DROVER.name}],
    }
    for plural, body in (
        (f"{kind.lower()}s", {"metadata": {"name": DROVER.name}, "rules": rules}),
        (f"{kind.lower()}bindings", binding),
    ):
        answer = server.call("POST", f"{base}/{plural}", body)
        assert answer.ok, answer.text


def closer(snapshot: ClusterSnapshot) -> bool:
    return deserves_closer_look(snapshot, LIMITS.scope)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_verdict_on_each_scenario_is_its_truth(world: World, scenario: str) -> None:
    """And every field that Drover read is what it reads from the simulator."""
    identifier = world.ids[scenario]
    norman = Transport(world.proxy.rancher.norman, TokenSource(ADMIN_TOKEN))

    snapshot = world.reader().cluster(identifier)

    assert word(assess(snapshot, None, LIMITS)[1]) == world.truths[identifier], snapshot.planner
    assert snapshot == FleetReader(norman, world.fleet.clock.now).cluster(identifier)


def test_one_sweep_with_the_documented_rights_judges_every_cluster_right(world: World) -> None:
    snapshots = world.reader(DROVER_TOKEN).fleet(closer)

    assert {each.key.id: word(assess(each, None, LIMITS)[1]) for each in snapshots} == world.truths
    assert snapshots == world.reader().fleet(closer), "an administrator sees no more than the documented rights show"


def test_drover_sweep_prints_these_verdicts(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in [name for name in os.environ if name.startswith("DROVER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DROVER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DROVER_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("DROVER_RANCHER_URL", world.proxy.url)
    monkeypatch.setenv("DROVER_RANCHER_TOKEN", DROVER_TOKEN)
    monkeypatch.setattr(sys, "argv", ["drover", "sweep", "--format", "json"])

    with pytest.raises(SystemExit) as ended:
        main()

    said = json.loads(capsys.readouterr().out)
    assert ended.value.code == 10
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
        deadline = time.monotonic() + 30
        while not (watch.states and all(state.connected for state in watch.states)):
            assert time.monotonic() < deadline, watch.states
            time.sleep(0.05)
        # The name of the control plane is the cluster's; its kind is watched in its workspace alone.
        path = f"/apis/rke.cattle.io/v1/namespaces/fleet-default/rkecontrolplanes/{cluster.name}"
        patch = {"metadata": {"annotations": {"drover.test/touched": "yes"}}}
        answer = world.proxy.rancher.local.call("PATCH", path, patch, content_type="application/merge-patch+json")
        assert answer.ok, answer.text

        assert hints.get(timeout=20) == changed
        assert watch.connected
    finally:
        stop.set()
        assert watch.join(30)


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


def test_shapes_that_a_real_server_refuses_are_known(world: World) -> None:
    """A fault that was mended must leave the list."""
    refused = {fault(each) for filled in world.filled for each in filled.refused}

    assert refused == (KNOWN_FAULTS if real_crds() else KNOWN_FAULTS - NEED_REAL_CRDS)


def test_what_real_servers_change_is_known(world: World) -> None:
    changed = {
        f"{each.split(' ')[0]}: {what}"
        for filled in world.filled
        for each in filled.changed
        for what in each.split("drops or changes ")[1].split(", ")
    }

    assert changed <= KNOWN_CHANGES


def fault(refusal: str) -> str:
    """The sentence of a refusal without what differs from object to object."""
    kind = refusal.partition(" ")[0]
    patterns = {
        "hostnameLengthLimit": "spec.rkeConfig.machinePools.hostnameLengthLimit is below 10",
        "schemas are required": "has no schema",
        "says scope Cluster": "says Cluster and is served as Namespaced",
        "spec.template.spec.containers: Required": "its template has no containers",
        "cannot set Complete=True": "status: is complete without startTime or without SuccessCriteriaMet",
        "cannot set Failed=True": "status: is failed without startTime or without FailureTarget",
        "status.nodeInfo": "status: nodeInfo lacks required fields",
        "status.qosClass": "status: qosClass is not that of its containers",
    }
    for text, short in patterns.items():
        if text in refusal:
            return f"{kind}: {short}"
    return re.sub(r"\S+/\S+", "…", refusal)
