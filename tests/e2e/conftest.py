"""What do the end-to-end tests run against? Real servers, started once a session, or the simulator under the same names.

`DROVER_E2E=1` (`make e2e`) runs them and fails where they cannot run; without it whatever needs the servers is skipped, so that
`make test` needs neither Go nor minutes. Of several workers (`-n 2 --dist loadfile`) one gets all files that share servers, so
that each is started once; groups of xdist would say so at the tests, but pytest 9.2 ignores them without a word. In the end it
says what processors had to do: seconds depend on who else is at work, and this does not.
"""

import os
import resource
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from rancher_ext.client.kubernetes import KubernetesApi
from rancher_ext.client.transport import RetryPolicy, TokenSource, Transport
from rancher_ext.simulator.fleet import ADMIN_TOKEN, Fleet
from rancher_ext.simulator.kube import WatchLimits
from rancher_ext.simulator.resources import LOCAL_RESOURCES
from rancher_ext.simulator.running import RunningRancher
from tests.e2e.build import missing
from tests.e2e.cluster import MASTERS, ApiServer, User, running_cluster
from tests.e2e.filling import install_kinds
from tests.e2e.proxy import Rancher, RunningProxy
from tests.e2e.world import SCENARIOS, World, real_world

READER_TOKEN = "token-looker:may-read-config-maps-alone"
NOBODY_TOKEN = "token-nobody:is-not-known"
LOCAL = "/k8s/clusters/local"
NOT_ASKED_FOR = "end-to-end tests run with DROVER_E2E=1 (make e2e), on servers that tests/e2e/build.py builds"
SIDES = ("simulator", "kube-apiserver")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "e2e: runs on real servers that `tests/e2e/build.py` builds; DROVER_E2E=1 turns them on"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            # Servers start in seconds, but several test runs may share two cores.
            if os.environ.get("DROVER_E2E") != "1" and "servers_built" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.skip(reason=NOT_ASKED_FOR))
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(300))


# Files that share servers that live as long as the session.
SHARED = {
    **dict.fromkeys(("test_scenarios.py", "test_diagnose.py", "test_service.py"), "world"),
    **dict.fromkeys(
        ("test_contract.py", "test_contract_writes.py", "test_contract_repairs.py", "test_repairs_inside.py"),
        "contract",
    ),
}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object | None:
    """By file, as `--dist loadfile`, but for those that belong together. Other ways of distribution stay as they are."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class ByServers(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return scope_of(nodeid)

    return ByServers(config, log)


def scope_of(nodeid: str) -> str:
    """Tests of one scope run on one worker."""
    file = nodeid.partition("::")[0]
    return SHARED.get(Path(file).name, file) if "tests/e2e/" in file else file


# Of processors, by who used them: the processes of pytest (with Drover in them) and those of their servers.
_spent = {"tests": 0.0, "servers": 0.0}


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """All servers have ended and were waited for by now."""
    mine, theirs = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    spent = {"tests": mine.ru_utime + mine.ru_stime, "servers": theirs.ru_utime + theirs.ru_stime}
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["spent"] = spent
    elif not session.config.getoption("numprocesses", None):
        _count(spent)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    _count(getattr(node, "workeroutput", {}).get("spent", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if os.environ.get("DROVER_E2E") == "1":
        terminalreporter.write_line(
            f"processor time: {_spent['tests']:.0f} s in the tests, {_spent['servers']:.0f} s in servers and commands"
        )


def _count(spent: dict[str, float]) -> None:
    for who, seconds in spent.items():
        _spent[who] += seconds


@pytest.fixture(scope="session")
def servers_built() -> None:
    """Whoever asks for real servers gets them or a failure, never a skipped test."""
    if lacking := missing():
        pytest.fail(f"not built: {', '.join(lacking)}; run: python3 tests/e2e/build.py", pytrace=False)


@pytest.fixture(scope="session")
def api_server(servers_built: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A real API server with Rancher's kinds and nothing in it."""
    folder = tmp_path_factory.mktemp("cluster")
    with running_cluster(folder, users=[User("user-reader")], tells_progress=True) as server:
        install_kinds(server, LOCAL_RESOURCES)
        yield server


@pytest.fixture(scope="session")
def world(servers_built: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Every scenario of the simulator on real servers."""
    with real_world(tmp_path_factory.mktemp("world"), SCENARIOS) as running:
        yield running


@dataclass(frozen=True)
class Side:
    """One Rancher under test: its `local` cluster behind `/k8s/clusters/local`, spoken to as several users."""

    name: str
    url: str
    forget_history: Callable[[], None]

    @property
    def real(self) -> bool:
        return self.name != "simulator"

    def call(
        self,
        method: str,
        path: str,
        body: object | None = None,
        *,
        token: str = ADMIN_TOKEN,
        content_type: str = "application/json",
        stream: bool = False,
        **params: str,
    ) -> requests.Response:
        session = requests.Session()
        session.trust_env = False
        headers = {"Authorization": f"Bearer {token}", "Content-Type": content_type}
        with session:
            return session.request(
                method,
                f"{self.url}{LOCAL}{path}",
                json=body,
                params=params,
                headers=headers,
                timeout=120,
                stream=stream,
            )

    def json(self, method: str, path: str, body: object | None = None, **options: Any) -> dict[str, Any]:
        answer = self.call(method, path, body, **options)
        assert answer.ok, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def client(self, token: str = ADMIN_TOKEN) -> KubernetesApi:
        """Drover's own client, as it is shipped."""
        retry = RetryPolicy(attempts=2)
        return KubernetesApi(Transport(self.url, TokenSource(token), retry=retry, sleep=lambda _wait: None))


@pytest.fixture(scope="session")
def simulated_side() -> Iterator[Side]:
    fleet = Fleet()
    fleet.add_token(READER_TOKEN, user="user-reader", read_only=True, deny={"secrets", "pods", "nodes"})
    with RunningRancher(fleet, watch=WatchLimits(bookmark_every=0.2, poll=0.02), tick_every=0.02) as running:
        yield Side("simulator", running.url, fleet.local.forget_history)


@pytest.fixture(scope="session")
def real_side(api_server: ApiServer) -> Iterator[Side]:
    _let_read(api_server, "user-reader", ["configmaps"])
    users = {ADMIN_TOKEN: User("user-admin", (MASTERS,)), READER_TOKEN: User("user-reader")}
    with RunningProxy(Rancher(api_server, users)) as proxy:
        yield Side("kube-apiserver", proxy.url, api_server.etcd.compact)


@pytest.fixture(params=SIDES)
def side(request: pytest.FixtureRequest, servers_built: None) -> Side:
    """The same assertions on both: where they differ, the simulator is wrong."""
    found: Side = request.getfixturevalue("simulated_side" if request.param == "simulator" else "real_side")
    return found


@pytest.fixture
def space(side: Side, request: pytest.FixtureRequest) -> str:
    """A namespace of the test's own."""
    name = "t-" + "".join(c if c.isalnum() else "-" for c in request.node.originalname.lower())[:50].strip("-")
    side.json("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return name


def _let_read(server: ApiServer, user: str, resources: list[str]) -> None:
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    rule = {"apiGroups": [""], "resources": resources, "verbs": ["get", "list", "watch"]}
    assert server.call("POST", f"{rbac}/clusterroles", {"metadata": {"name": user}, "rules": [rule]}).ok
    binding = {
        "metadata": {"name": user},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": user},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }
    assert server.call("POST", f"{rbac}/clusterrolebindings", binding).ok
