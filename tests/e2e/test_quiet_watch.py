"""What does a watch hear of a kind in which nothing happens, when etcd does not tell its progress?

Nothing at all until its time is over (seen for 200 s): bookmarks come once a minute only where the version moves on, and without
progress notifications it stands still. So a client that takes silence for a dead connection has to let the server end the
watch first.
"""

from pathlib import Path

import pytest

from rancher_ext.client.kubernetes import WATCH_IDLE, WATCH_TIMEOUT, KubernetesApi, Resource
from rancher_ext.client.transport import TokenSource, Transport
from rancher_ext.errors import RancherUnreachable
from rancher_ext.simulator.fleet import ADMIN_TOKEN
from tests.e2e.cluster import MASTERS, User, running_cluster
from tests.e2e.proxy import Rancher, RunningProxy

QUIET = Resource("apps", "v1", "daemonsets")


def test_a_quiet_watch_says_nothing_until_it_ends(servers_built: None, tmp_path: Path) -> None:
    with (
        running_cluster(tmp_path, tells_progress=False) as server,
        RunningProxy(Rancher(server, {ADMIN_TOKEN: User("user-admin", (MASTERS,))})) as proxy,
    ):
        api = KubernetesApi(Transport(proxy.url, TokenSource(ADMIN_TOKEN)))
        version = api.list(QUIET).resource_version
        # Something happens elsewhere; of that, too, this watch hears nothing.
        body = {"metadata": {"name": "elsewhere"}}
        assert server.call("POST", "/api/v1/namespaces/default/configmaps", body).ok

        assert list(api.watch(QUIET, version, timeout=4, idle=20.0)) == []
        with pytest.raises(RancherUnreachable):
            list(api.watch(QUIET, version, timeout=20, idle=3.0))


def test_the_server_ends_a_quiet_watch_before_the_client_takes_it_for_dead(servers_built: None) -> None:
    assert WATCH_TIMEOUT < WATCH_IDLE
