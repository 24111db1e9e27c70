"""What is a Rancher of real servers, filled with the simulator's scenarios, and how is Drover run against it?

`real_world` loads scenarios into one real API server for `local` and one of its own for each cluster that Rancher would reach;
a proxy plays Rancher before them, KWOK plays the kubelets. The simulator holds the same objects and stays beside it, so that a
test can ask both. `drover` runs the command as a user does, in this process.
"""

import io
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from bot.cli.main import main
from rancher_ext.client.snapshot import FleetReader
from rancher_ext.client.transport import RetryPolicy, TokenSource, Transport
from rancher_ext.simulator import reach
from rancher_ext.simulator.clock import SimClock
from rancher_ext.simulator.fleet import ADMIN_TOKEN, Fleet
from rancher_ext.simulator.running import RunningRancher
from rancher_ext.simulator.scenario import scenario_ids
from tests.e2e.certificates import Authority
from tests.e2e.cluster import MASTERS, ApiServer, Etcd, User
from tests.e2e.filling import Filled, fill, install_kinds
from tests.e2e.kubelets import KubeletTunnel, SimulatedLogs, logs_of
from tests.e2e.kwok import ContainerLog, KwokNodes
from tests.e2e.proxy import Rancher, Refused, RunningProxy
from tests.e2e.rights import grant_all

# All but `local`, which is in every fleet.
SCENARIOS = [each for each in scenario_ids() if each != "local"]
DROVER = User("u-drover")
DROVER_TOKEN = "token-drover:has-the-documented-rights"
# Filling takes two API servers at a time: each start and each fill keeps one core busy.
AT_ONCE = 3


@dataclass
class World:
    """A simulated fleet at one instant, and the same objects on real servers. `ids` tells the cluster of each scenario."""

    fleet: Fleet
    proxy: RunningProxy
    tunnel: KubeletTunnel
    simulator: str
    filled: list[Filled]
    ids: dict[str, str]

    def transport(self, token: str = ADMIN_TOKEN, *, name: str = "default") -> Transport:
        retry = RetryPolicy(attempts=2)
        return Transport(self.proxy.url, TokenSource(token), name=name, retry=retry, sleep=lambda _: None)

    def reader(self, token: str = ADMIN_TOKEN) -> FleetReader:
        return FleetReader(self.transport(token), self.fleet.clock.now)

    @property
    def clock(self) -> Mapping[str, str]:
        """Settings under which Drover's clock stands still at the instant of this world."""
        return {"DROVER_CLOCK_SPEED": "0.000001", "DROVER_CLOCK_ORIGIN": str(self.fleet.clock.origin)}

    @property
    def local(self) -> ApiServer:
        return self.proxy.rancher.local

    @property
    def truths(self) -> dict[str, str]:
        return {cluster.id: cluster.truth.verdict for cluster in self.fleet.clusters.values()}


@contextmanager
def real_world(folder: Path, scenarios: Sequence[str]) -> Iterator[World]:
    now = float(int(time.time()))
    # The clock of the simulated world stands still, so that both sides are asked about one instant.
    fleet = Fleet(SimClock(1.0, now, real=lambda: now))
    fleet.add_token(DROVER_TOKEN, user=DROVER.name)
    ids = {scenario: fleet.add(scenario).id for scenario in scenarios}
    fleet.tick()
    with ExitStack() as running:
        # The path of a Unix socket has 108 bytes at the most; pytest's folders may be longer.
        sockets = running.enter_context(TemporaryDirectory(prefix="drover-e2e-"))
        tunnel = running.enter_context(KubeletTunnel(Path(sockets) / "kubelets"))
        etcd = running.enter_context(Etcd(folder, Authority(folder / "certificates")))
        local = running.enter_context(ApiServer(folder, etcd, tunnel=tunnel.path))
        install_kinds(local, fleet.local.resources.values())
        norman = running.enter_context(RunningRancher(fleet, tick_every=3600.0))
        rancher = Rancher(local, {ADMIN_TOKEN: User("user-admin", (MASTERS,)), DROVER_TOKEN: DROVER}, norman=norman.url)
        filled = [fill(local, fleet.local)]

        def open_up(identifier: str) -> SimulatedLogs:
            """The cluster as Rancher reaches it: an API server of its own, or Rancher's refusal."""
            cluster = fleet.clusters[identifier]
            if answer := reach.refusal(cluster, steve=False):
                rancher.refused[identifier] = Refused(answer[0].status, answer[0].body)
                return SimulatedLogs()
            server = running.enter_context(ApiServer(folder, etcd, identifier, tunnel=tunnel.path))
            filled.append(fill(server, cluster.downstream))
            rancher.downstream[identifier] = server
            return logs_of(norman.url, identifier, cluster.downstream)

        with ThreadPoolExecutor(AT_ONCE) as pool:
            logs = [logs_of(norman.url, "local", fleet.local), *pool.map(open_up, ids.values())]
        for each in logs:
            tunnel.gone |= each.gone
        kubelets = running.enter_context(KwokNodes(folder, local, _distinct(logs)))
        tunnel.port = kubelets.port
        grant_all(local, list(rancher.downstream.values()), DROVER)
        proxy = running.enter_context(RunningProxy(rancher))
        yield World(fleet, proxy, tunnel, norman.url, filled, ids)


def _distinct(clusters: Sequence[SimulatedLogs]) -> list[ContainerLog]:
    """One KWOK serves all clusters, and knows a log by namespace, pod and container alone."""
    logs = [log for cluster in clusters for log in cluster.logs]
    places = {(log.namespace, log.pod, log.container) for log in logs}
    assert len(places) == len(logs), "two clusters have a pod of the same name"
    return logs


@dataclass(frozen=True)
class Ran:
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str = field(repr=False, default="")


def drover(
    rancher: str, home: Path, *arguments: str, token: str = DROVER_TOKEN, settings: Mapping[str, str] = {}
) -> Ran:
    """`drover` with these arguments, and with these settings and no others."""
    out, err = io.StringIO(), io.StringIO()
    with (
        patch.dict(os.environ, environment_of(rancher, home, token) | settings, clear=True),
        patch.object(sys, "argv", ["drover", *arguments]),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as ended:
            return Ran(int(ended.code or 0), out.getvalue(), err.getvalue())
    raise AssertionError("drover came back without an exit status")


def environment_of(rancher: str, home: Path, token: str = DROVER_TOKEN) -> dict[str, str]:
    """This environment with no other setting of Drover than these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DROVER_")}
    return kept | {
        "DROVER_HOME": str(home),
        "DROVER_CONFIG_DIR": str(home / "config"),
        "DROVER_RANCHER_URL": rancher,
        "DROVER_RANCHER_TOKEN": token,
    }
