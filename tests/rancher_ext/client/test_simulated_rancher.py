"""Does the real client, over a real socket, read every kind of cluster as what it is?

The simulator judges here: each of its scenarios says what is true of it, and the verdict on what the client read has to
be just that.
"""

import itertools
import json
from collections.abc import Callable, Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler

import pytest

from rancher_ext.client.kubernetes import MACHINES, MANAGEMENT_CLUSTERS, PROVISIONING_CLUSTERS, SECRETS, KubernetesApi
from rancher_ext.client.norman import Norman
from rancher_ext.client.snapshot import FleetReader
from rancher_ext.client.transport import RetryPolicy, TokenSource, Transport
from rancher_ext.detection import Limits, Stuck, assess, deserves_closer_look
from rancher_ext.detection.verdict import word
from rancher_ext.errors import Forbidden, NotFound, NotRancher, RancherUnreachable, Unauthorized
from rancher_ext.fleet.cluster import Distribution, Management
from rancher_ext.fleet.cni import Cni
from rancher_ext.fleet.snapshot import ClusterSnapshot
from rancher_ext.simulator.clock import SimClock
from rancher_ext.simulator.fleet import Fleet
from rancher_ext.simulator.running import RunningRancher
from rancher_ext.simulator.scenario import load_scenario, scenario_ids
from tests.builders import NOON, hours, minutes
from tests.rancher_ext.client.servers import say

LIMITS = Limits()
SCOPE = LIMITS.scope
START = 1_790_000_000.0


class Hands:
    """The hands of the simulated clock, moved by the test alone."""

    def __init__(self) -> None:
        self.real = START

    def __call__(self) -> float:
        return self.real


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def fleet(hands: Hands) -> Fleet:
    return Fleet(SimClock(1.0, START, real=hands))


@pytest.fixture
def rancher(fleet: Fleet) -> Iterator[RunningRancher]:
    with RunningRancher(fleet, tick_every=3600.0) as running:
        yield running


def transport_to(rancher: RunningRancher, token: str = "") -> Transport:
    return Transport(
        rancher.url, TokenSource(token or rancher.token), retry=RetryPolicy(attempts=2), sleep=lambda _wait: None
    )


def reader_of(rancher: RunningRancher, token: str = "") -> FleetReader:
    return FleetReader(transport_to(rancher, token), rancher.fleet.clock.now)


def closer(snapshot: ClusterSnapshot) -> bool:
    return deserves_closer_look(snapshot, SCOPE)


# --- every scenario is what it says ---


@pytest.mark.parametrize("scenario", scenario_ids())
def test_the_verdict_on_each_scenario_is_its_truth(rancher: RunningRancher, fleet: Fleet, scenario: str) -> None:
    """As it stands in a fleet that Drover sees for the first time."""
    if scenario != "local":
        fleet.add(scenario)
    fleet.tick()
    truths = {cluster.id: cluster.truth.verdict for cluster in fleet.clusters.values()}

    snapshots = reader_of(rancher).fleet(closer)

    verdicts = {each.key.id: (word(assess(each, None, LIMITS)[1]), each.planner) for each in snapshots}
    assert {key: verdict for key, (verdict, _) in verdicts.items()} == truths, verdicts


@pytest.mark.parametrize("scenario", scenario_ids())
def test_the_verdict_on_each_scenario_stays_true_from_its_beginning(
    rancher: RunningRancher, fleet: Fleet, hands: Hands, scenario: str
) -> None:
    """Watched for an hour and a half from the moment it is made: nothing that is well or merely slow is ever called stuck,
    and what is stuck is called so in the end."""
    if scenario == "local":
        pytest.skip("every simulated Rancher has its local cluster from the start")
    cluster = fleet.add(scenario, age=0)
    reader = reader_of(rancher)
    memory = None
    seen: list[tuple[str, str]] = []
    for _ in range(30):
        fleet.tick()
        if cluster.id not in fleet.clusters:
            break
        memory, verdict = assess(reader.cluster(cluster.id), memory, LIMITS)
        seen.append((cluster.truth.verdict, word(verdict)))
        hands.real += 180.0

    assert [pair for pair in seen if pair[1] == "stuck" and pair[0] != "stuck"] == []
    if load_scenario(scenario).truth.verdict == "stuck":
        assert ("stuck", "stuck") in seen
    truth, verdict_word = seen[-1]
    assert verdict_word == truth, [pair for pair, _ in itertools.groupby(seen)]


def test_a_generated_fleet_is_read_in_one_pass_and_judged_right(rancher: RunningRancher, fleet: Fleet) -> None:
    fleet.generate(60)
    fleet.tick()
    steps: list[tuple[int, int]] = []
    reader = reader_of(rancher)

    snapshots = reader.fleet(closer, lambda done, of: steps.append((done, of)))

    truths = {cluster.id: cluster.truth.verdict for cluster in fleet.clusters.values()}
    assert {each.key.id: word(assess(each, None, LIMITS)[1]) for each in snapshots} == truths
    assert [each.key.id for each in snapshots] == sorted(truths)
    suspects = steps[-1][1]
    assert steps == [(done, suspects) for done in range(suspects + 1)]


def test_well_clusters_cost_nothing_but_the_lists(rancher: RunningRancher, fleet: Fleet) -> None:
    """Whatever their number: a handful of requests."""
    for _ in range(25):
        fleet.add("rke2-canal-healthy", nodes=3)
    fleet.tick()
    transport = transport_to(rancher)

    snapshots = FleetReader(transport, fleet.clock.now).fleet(closer)

    assert len(snapshots) == 26
    assert transport.counters.requests <= 10


# --- single clusters ---


def test_a_cluster_is_found_by_its_id_and_by_its_name(rancher: RunningRancher, fleet: Fleet) -> None:
    cluster = fleet.add("rke2-canal-never-connected", "edge-7")
    fleet.tick()
    reader = reader_of(rancher)

    assert reader.find("edge-7") == reader.find(cluster.id)
    assert reader.cluster(cluster.id).identity.name == "edge-7"
    with pytest.raises(NotFound) as caught:
        reader.find("edge-8")
    assert "Did you mean edge-7" in caught.value.cure


def test_a_cluster_that_never_connected_is_known_from_the_management_side_alone(
    rancher: RunningRancher, fleet: Fleet
) -> None:
    cluster = fleet.add("rke2-canal-never-connected")
    fleet.tick()

    snapshot = reader_of(rancher).cluster(cluster.id)

    assert (snapshot.distribution, snapshot.management) == (Distribution.RKE2, Management.PROVISIONED)
    assert "waiting for cluster agent to connect" in snapshot.planner
    assert (snapshot.nodes, snapshot.api_reached, snapshot.initialized) == ((), None, False)
    assert snapshot.plans_readable
    assert any(machine.plan and machine.plan.healthy for machine in snapshot.machines)


def test_one_cluster_looks_the_same_alone_and_in_the_fleet(rancher: RunningRancher, fleet: Fleet) -> None:
    clusters = [fleet.add("rke2-canal-cidr-exhausted"), fleet.add("rke1-flannel-podcidr-not-assigned")]
    fleet.tick()
    reader = reader_of(rancher)

    whole = {snapshot.key.id: snapshot for snapshot in reader.fleet(closer)}

    for cluster in clusters:
        assert reader.cluster(cluster.id) == whole[cluster.id]


def test_without_right_to_secrets_the_first_look_stands(rancher: RunningRancher, fleet: Fleet) -> None:
    cluster = fleet.add("rke2-canal-never-connected")
    fleet.add_token("token-poor:abc", deny={"secrets"})
    fleet.tick()

    snapshot = reader_of(rancher, "token-poor:abc").cluster(cluster.id)

    assert not snapshot.plans_readable
    assert isinstance(assess(snapshot, None, LIMITS)[1], Stuck)


def test_a_rancher_that_drops_the_second_look_still_gives_the_first(rancher: RunningRancher, fleet: Fleet) -> None:
    """One cluster's secrets that cannot be read must not cost the whole sweep."""
    fleet.add("rke2-canal-never-connected")
    fleet.tick()
    reader = reader_of(rancher)
    local = reader._local
    plain = local.list

    def drop_secrets(resource, *args, **options):  # type: ignore[no-untyped-def]
        if resource == SECRETS:
            raise RancherUnreachable("cut", cure="")
        return plain(resource, *args, **options)

    local.list = drop_secrets  # type: ignore[method-assign]

    snapshots = reader.fleet(closer)

    assert [snapshot.plans_readable for snapshot in snapshots] == [False, False]


def test_a_token_that_may_read_nothing_is_told_so(rancher: RunningRancher, fleet: Fleet) -> None:
    fleet.add_token("token-none:abc", deny={"clusters"})

    with pytest.raises(Forbidden):
        reader_of(rancher, "token-none:abc").fleet(closer)
    with pytest.raises(Unauthorized):
        reader_of(rancher, "token-wrong:abc").fleet(closer)


# --- imported clusters ---


@pytest.mark.parametrize(
    ("where", "cni"),
    [
        ("kube-system", Cni.FLANNEL),
        ("kube-flannel", Cni.FLANNEL),
        ("calico-system", Cni.CALICO),
        ("monitoring", Cni.UNKNOWN),
    ],
)
def test_the_network_of_an_imported_cluster_is_found_where_its_own_manifests_put_it(
    serve, connect: Callable[..., Transport], where: str, cni: Cni
) -> None:
    name = {"calico-system": "calico-node"}.get(where, "kube-flannel-ds")
    management = {
        "metadata": {"name": "c-1", "uid": "u", "creationTimestamp": "2026-09-01T00:00:00Z"},
        "spec": {"displayName": "bare"},
        "status": {"conditions": [{"type": "Connected", "status": "True"}, {"type": "Ready", "status": "False"}]},
    }

    def answer(handler: BaseHTTPRequestHandler) -> None:
        body: dict[str, object] = {"metadata": {}, "items": []}
        path = handler.path.partition("?")[0]
        if path.endswith("/clusters/c-1"):
            body = management
        elif path == f"/k8s/clusters/c-1/apis/apps/v1/namespaces/{where}/daemonsets":
            body["items"] = [{"metadata": {"name": name, "namespace": where}, "status": {"desiredNumberScheduled": 1}}]
        elif path == "/rancherversion":
            body = {"Version": "v2.13.8"}
        say(200, json.dumps(body))(handler)

    snapshot = FleetReader(connect(serve(answer)), lambda: NOON).cluster("c-1")

    assert (snapshot.management, snapshot.cni, snapshot.api_reached) == (Management.IMPORTED, cni, True)


# --- Norman, through Rancher's own client ---


def test_norman_tells_version_settings_and_state(rancher: RunningRancher, fleet: Fleet) -> None:
    cluster = fleet.add("rke2-canal-never-connected")
    fleet.tick()
    norman = Norman(transport_to(rancher))

    assert str(norman.server_version()) == fleet.rancher_version
    assert norman.setting("server-url") == rancher.url
    assert norman.setting("there-is-no-such-setting") == ""
    state, message = norman.cluster_state(cluster.id)
    assert state not in {"", "active"}
    assert "waiting for cluster agent to connect" in message


def test_norman_tells_when_the_token_expires(rancher: RunningRancher, fleet: Fleet) -> None:
    fleet.add_token("token-short:abc", expires_in=86_400.0)
    norman = Norman(transport_to(rancher))

    expires = norman.token_expires("token-short")

    assert isinstance(expires, datetime)
    assert abs(expires - fleet.clock.now() - hours(24)) < minutes(1)
    assert norman.token_expires("token-nobody") is None


def test_norman_offers_only_the_actions_of_the_moment(rancher: RunningRancher, fleet: Fleet) -> None:
    cluster = fleet.add("rke1-canal-healthy")
    fleet.tick()
    norman = Norman(transport_to(rancher))

    assert norman.action("cluster", cluster.id, "backupEtcd") is not None
    with pytest.raises(NotFound, match="does not offer the action 'launchRockets' now"):
        norman.action("cluster", cluster.id, "launchRockets")
    with pytest.raises(NotFound):
        norman.cluster_state("c-nobody")
    with pytest.raises(NotFound, match="no type 'unicorn'"):
        norman._by_id("unicorn", "x")


@pytest.mark.parametrize("answer", [say(200, '{"message": "welcome"}'), say(200, "<html>hello</html>")])
def test_norman_says_when_it_is_not_rancher_that_answers(serve, connect: Callable[..., Transport], answer) -> None:
    with pytest.raises(NotRancher):
        Norman(connect(serve(answer))).setting("server-url")


def test_the_version_of_a_development_build_is_not_known(serve, connect: Callable[..., Transport]) -> None:
    assert Norman(connect(serve(say(200, '{"Version": "v2.12-head"}')))).server_version() is None


# --- lists against a server that pages ---


@pytest.mark.parametrize("page", [1, 2, 7, 500])
def test_pages_of_any_size_make_the_same_list(rancher: RunningRancher, fleet: Fleet, page: int) -> None:
    for _ in range(9):
        fleet.add("rke2-canal-healthy", nodes=1)
    fleet.tick()
    api = KubernetesApi(transport_to(rancher))

    for resource, namespace in [
        (MANAGEMENT_CLUSTERS, ""),
        (PROVISIONING_CLUSTERS, "fleet-default"),
        (MACHINES, "fleet-default"),
    ]:
        paged = api.list(resource, namespace, page=page).items
        names = [item["metadata"]["name"] for item in paged]
        assert names == [item["metadata"]["name"] for item in api.list(resource, namespace).items]
        assert len(names) == len(set(names)) >= 9
