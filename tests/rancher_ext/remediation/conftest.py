"""A cluster under a simulated Rancher, as an action sees it."""

import time

import pytest

from rancher_ext.client.snapshot import FleetReader
from rancher_ext.client.transport import TokenSource, Transport
from rancher_ext.remediation.action import Target
from rancher_ext.simulator.clock import SimClock
from rancher_ext.simulator.fleet import Fleet
from rancher_ext.simulator.running import RunningRancher


@pytest.fixture
def rancher():
    """Starts a Rancher of a version; gives a function that takes a fresh look at a cluster of it."""
    running = []

    def start(version="v2.11.3", scenario="rke1-canal-br-netfilter", *, still=False, **options):
        """With `still` time stands: nothing happens in the cluster but what the test does."""
        now = time.time()
        fleet = Fleet(SimClock(real=lambda: now) if still else SimClock(), version)
        cluster = fleet.add(scenario, **options)
        server = RunningRancher(fleet).start()
        running.append(server)
        transport = Transport(server.url, TokenSource(server.token))
        reader = FleetReader(transport, fleet.clock.now)

        def look() -> Target:
            return Target(reader.cluster(cluster.id), transport)

        look.fleet, look.server, look.cluster = fleet, server, cluster
        return look

    yield start
    for server in running:
        server.stop()
