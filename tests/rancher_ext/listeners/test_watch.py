"""Watches over real sockets: what is hinted, and that nothing is lost when they break."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from rancher_ext.client.kubernetes import (
    CONTROL_PLANES,
    MACHINES,
    MANAGEMENT_CLUSTERS,
    MANAGEMENT_NODES,
    PROVISIONING_CLUSTERS,
    KubernetesApi,
)
from rancher_ext.client.transport import RetryPolicy, TokenSource, Transport
from rancher_ext.fleet.cluster import ClusterKey
from rancher_ext.listeners import FleetWatch
from rancher_ext.simulator.kube import WatchLimits
from rancher_ext.simulator.running import RunningRancher

PROVISIONING_PATH = "provisioning.cattle.io/v1/clusters"


def eventually(holds, what="it"):
    """Waits until something is so; a deadline that only a failure reaches."""
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end, f"{what} did not happen"
        time.sleep(0.005)


class Heard:
    """What a watch has told."""

    def __init__(self):
        self.hints = []
        self.states = []
        self.pauses = []
        self.stop = threading.Event()

    def watch(self, transport, **more):
        def sleep(seconds):
            self.pauses.append(seconds)
            self.stop.wait(0.01)

        return FleetWatch(
            transport,
            self.hints.append,
            stop=self.stop,
            on_state=self.states.append,
            **{"idle": 2.0, "sleep": sleep, **more},
        )

    def clusters(self, source=""):
        return [hint.key.id for hint in self.hints if source in hint.source]

    def lost(self, kind):
        return any(state.kind == kind and not state.connected for state in self.states)


@pytest.fixture
def heard():
    return Heard()


@pytest.fixture
def rancher():
    with RunningRancher(watch=WatchLimits(bookmark_every=0.1, poll=0.02), tick_every=30.0) as running:
        running.fleet.add("rke2-canal-healthy", name="one")
        running.fleet.add("rke2-canal-healthy", name="two")
        running.fleet.add("rke1-canal-healthy", name="old")
        yield running


@pytest.fixture
def transport(rancher):
    return Transport(rancher.url, TokenSource(rancher.token), retry=RetryPolicy(attempts=1))


@pytest.fixture
def api(transport):
    return KubernetesApi(transport)


@pytest.fixture
def watching(heard, transport):
    """A watch that has listed everything and listens."""
    running = []

    def start(**more):
        watch = heard.watch(transport, **more)
        watch.start()
        running.append(watch)
        eventually(lambda: len([state for state in watch.states if state.connected]) == 5, "connecting")
        return watch

    yield start
    heard.stop.set()
    assert all(watch.join(10) for watch in running)


def cluster_id(rancher, name):
    return rancher.fleet.named("fleet-default", name).id


def touch(api, resource, name, namespace, value="now"):
    return api.merge_patch(resource, name, namespace, {"metadata": {"annotations": {"touched": value}}})


def some(api, resource, namespace, owner):
    """The metadata of an object that belongs to the cluster."""
    for item in api.list(resource, namespace).items:
        labels = item["metadata"].get("labels", {})
        if owner in {item["metadata"]["name"], labels.get("cluster.x-k8s.io/cluster-name")}:
            return item["metadata"]
    raise AssertionError(f"{owner} has no {resource.plural}")


def test_the_first_list_hints_nobody(rancher, watching, heard):
    watching()

    assert heard.hints == []


@pytest.mark.parametrize(
    ("resource", "owner"),
    [(PROVISIONING_CLUSTERS, "two"), (CONTROL_PLANES, "two"), (MACHINES, "two")],
    ids=["provisioning cluster", "control plane", "machine"],
)
def test_a_change_in_the_workspace_hints_the_cluster_it_belongs_to(rancher, watching, heard, api, resource, owner):
    watching()
    found = some(api, resource, "fleet-default", owner)
    touch(api, resource, found["name"], found["namespace"])

    eventually(lambda: heard.hints, "a hint")
    assert set(heard.clusters(f"watch:{resource.plural}.{resource.group}")) == {cluster_id(rancher, owner)}
    assert heard.hints[0].key == ClusterKey("default", cluster_id(rancher, owner))


def test_a_change_of_the_management_cluster_or_of_an_rke1_node_hints_the_cluster(rancher, watching, heard, api):
    watching()
    old = cluster_id(rancher, "old")
    touch(api, MANAGEMENT_CLUSTERS, old, "")
    eventually(lambda: old in heard.clusters("watch:clusters.management"), "the cluster's hint")
    node = api.list(MANAGEMENT_NODES, old).items[0]["metadata"]
    touch(api, MANAGEMENT_NODES, node["name"], old)

    eventually(lambda: old in heard.clusters("watch:nodes"), "the node's hint")


def test_a_cluster_that_appears_or_goes_is_hinted(rancher, watching, heard):
    watching()
    new = rancher.fleet.add("rke2-canal-never-connected", name="new").id
    eventually(lambda: new in heard.clusters(), "the hint of its coming")
    heard.hints.clear()
    rancher.fleet.remove(new)

    eventually(lambda: new in heard.clusters(), "the hint of its going")


def test_a_broken_connection_is_made_again_and_what_happened_meanwhile_is_hinted(rancher, watching, heard, api):
    """The lists fail for a while, so the change is certain to fall into the gap."""
    rancher.fleet.faults.add("watch-drop", path=PROVISIONING_PATH, delay=0.15, count=1)
    watch = watching()
    rancher.fleet.faults.add("status", path=PROVISIONING_PATH, method="GET", status=503)
    eventually(lambda: heard.lost("clusters.provisioning.cattle.io"), "losing the watch")
    assert not watch.connected
    touch(api, PROVISIONING_CLUSTERS, "two", "fleet-default")
    rancher.fleet.faults.clear()

    eventually(lambda: heard.hints, "a hint")
    assert set(heard.clusters("watch:clusters.provisioning")) == {cluster_id(rancher, "two")}
    eventually(lambda: watch.connected, "connecting again")


def test_a_cluster_that_went_during_a_gap_is_hinted(heard, api_server, quiet):
    api_server.objects = [a_cluster("one"), a_cluster("two")]
    api_server.script = [[("ERROR", {"code": 410, "message": "too old"})]]
    api_server.before_list[2] = api_server.objects.pop
    quiet()

    eventually(lambda: heard.hints, "a hint")
    assert heard.clusters() == ["c-m-two"]


def test_a_watch_that_falls_silent_counts_as_dead_and_loses_nothing(rancher, watching, heard, api):
    """The socket stays open, and not even bookmarks come."""
    watching(idle=0.4)
    rancher.fleet.faults.add("watch-hang", path=PROVISIONING_PATH)
    touch(api, PROVISIONING_CLUSTERS, "two", "fleet-default")

    eventually(lambda: heard.lost("clusters.provisioning.cattle.io"), "losing the watch")
    eventually(lambda: cluster_id(rancher, "two") in heard.clusters(), "a hint")
    rancher.fleet.faults.clear()


def test_410_in_the_stream_leads_to_a_list_that_hints_what_changed(rancher, watching, heard, api):
    rancher.fleet.faults.add("expired-watch", path=PROVISIONING_PATH)
    watch = watching()
    touch(api, PROVISIONING_CLUSTERS, "two", "fleet-default")

    eventually(lambda: cluster_id(rancher, "two") in heard.clusters("watch:clusters.provisioning"), "a hint")
    assert not heard.lost("clusters.provisioning.cattle.io")
    # A server that calls its own fresh lists too old is asked less and less often.
    eventually(lambda: len(heard.pauses) >= 6, "pausing")
    assert heard.pauses[5] > heard.pauses[0]
    rancher.fleet.faults.clear()
    eventually(lambda: watch.connected, "connecting again")


def test_a_version_that_the_server_has_forgotten_loses_nothing(heard, api_server, quiet):
    api_server.version = "5"
    api_server.objects = [a_cluster("one"), a_cluster("two")]
    api_server.script = [[("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"})]]
    api_server.before_list[2] = lambda: api_server.objects.__setitem__(1, a_cluster("two", spec={"changed": True}))
    quiet()

    eventually(lambda: heard.hints, "a hint")
    assert heard.clusters() == ["c-m-two"]


def test_the_regular_end_of_a_watch_goes_on_from_the_last_version_without_a_list(heard, api_server, quiet):
    api_server.objects = [a_cluster("one")]
    api_server.script = [
        [
            ("MODIFIED", a_cluster("one", version="8", spec={"a": 1})),
            ("BOOKMARK", {"metadata": {"resourceVersion": "9"}}),
        ]
    ]
    quiet()

    eventually(lambda: len(api_server.watches) == 2, "watching again")
    assert [query["resourceVersion"] for query in api_server.watches] == ["7", "9"]
    assert api_server.lists == 1
    assert heard.clusters() == ["c-m-one"]


def test_a_server_that_ends_every_watch_at_once_is_asked_less_and_less_often(heard, api_server, quiet):
    api_server.script = [[] for _ in range(8)]
    quiet()

    eventually(lambda: len(heard.pauses) >= 7, "pausing")
    assert heard.pauses[6] > heard.pauses[0]


def test_heartbeats_are_not_news(heard, api_server, quiet):
    def beat(time_, status="True"):
        conditions = [{"type": "Ready", "status": status, "lastHeartbeatTime": time_}]
        return a_cluster("one", version=time_, status={"clusterName": "c-m-one", "conditions": conditions})

    api_server.objects = [beat("1")]
    api_server.script = [[("MODIFIED", beat("2")), ("MODIFIED", beat("3")), ("MODIFIED", beat("4", "False"))]]
    quiet()

    eventually(lambda: len(api_server.watches) == 2, "watching again")
    assert heard.clusters() == ["c-m-one"]


def test_a_machine_is_hinted_once_its_cluster_has_an_id(heard, api_server, quiet):
    api_server.objects = [a_cluster("one", status={})]
    api_server.script = [
        [("MODIFIED", a_cluster("one", version="8", status={"x": 1})), ("MODIFIED", a_cluster("one", version="9"))]
    ]
    quiet()

    eventually(lambda: len(api_server.watches) == 2, "watching again")
    assert heard.clusters() == ["c-m-one"]


@pytest.mark.parametrize(
    "line",
    [b"not json\n", b'{"type": "MODIFIED"}\n', b'{"type": "MODIFIED", "object": 7}\n', b'{"type": "ERROR", "object": {}}\n', b"[1]\n"],
)  # fmt: skip
def test_a_damaged_stream_is_left_for_a_list(heard, api_server, quiet, line):
    api_server.script = [[line]]
    quiet()

    eventually(lambda: api_server.lists >= 2, "listing again")
    eventually(lambda: heard.states[-1].connected, "connecting again")
    assert heard.lost("clusters.provisioning.cattle.io")


def test_a_kind_that_may_only_be_listed_in_a_workspace_is_watched_there(heard, api_server, quiet):
    """As `inheritedFleetWorkspacePermissions` of a GlobalRole allow it."""
    api_server.forbidden_over_all = True
    api_server.objects = [a_cluster("one")]
    api_server.script = [[("MODIFIED", a_cluster("one", version="8", spec={"a": 1}))]]
    watch = quiet()

    eventually(lambda: heard.hints, "a hint")
    assert heard.clusters() == ["c-m-one"]
    assert [(state.kind, state.namespace) for state in watch.states] == [
        ("clusters.provisioning.cattle.io", "fleet-default")
    ]
    assert watch.connected


def test_a_workspace_that_appears_later_is_watched_as_well(heard, api_server, quiet):
    api_server.forbidden_over_all = True
    api_server.management = [
        {"metadata": {"name": "c-m-x"}, "spec": {"fleetWorkspaceName": "team-b"}},
        {"metadata": {"name": "local"}, "spec": {"fleetWorkspaceName": "fleet-local", "internal": True}},
    ]
    watch = quiet(watched=(PROVISIONING_CLUSTERS, MANAGEMENT_CLUSTERS))

    wanted = {"fleet-default", "team-b"}
    eventually(
        lambda: {s.namespace for s in watch.states if s.kind.endswith("provisioning.cattle.io")} == wanted, "watching"
    )


def test_a_missing_right_is_told_and_asked_for_again_soon_then_seldom(rancher, heard):
    """An API server that has just started refuses everybody for a moment: its rights are not read yet."""
    rancher.fleet.add_token("token-poor:x", deny={"nodes.management.cattle.io"})
    transport = Transport(rancher.url, TokenSource("token-poor:x"), retry=RetryPolicy(attempts=1))
    watch = heard.watch(transport, watched=(MANAGEMENT_NODES,))
    watch.start()

    eventually(lambda: heard.states, "a state")
    assert not heard.states[0].connected
    assert 'cannot list resource "nodes"' in heard.states[0].reason
    eventually(lambda: len(heard.pauses) > 7, "pauses")
    assert heard.pauses[0] <= 1.0
    assert heard.pauses[:6] == sorted(heard.pauses[:6])
    assert sum(heard.pauses[:6]) < 64.0
    assert heard.pauses[6:8] == [600.0, 600.0]
    heard.stop.set()
    assert watch.join(10)


@pytest.mark.parametrize("refusal", [403, 404])
def test_a_server_that_refuses_for_a_moment_after_its_start_is_heard_again_at_once(heard, api_server, quiet, refusal):
    """Rights and kinds come a little later than the server itself. What changed meanwhile is hinted."""
    api_server.objects = [a_cluster("one")]
    api_server.script = [[]]
    watch = quiet(watched=(PROVISIONING_CLUSTERS,))
    eventually(lambda: watch.connected and len(api_server.watches) == 1, "watching")

    api_server.refusal = refusal
    api_server.objects = [a_cluster("one", "8", spec={"changed": True})]
    api_server.over.set()
    eventually(lambda: not watch.connected and len(heard.pauses) > 1, "being refused")
    api_server.refusal = 0

    eventually(lambda: watch.connected and heard.clusters() == ["c-m-one"], "hearing again")
    assert max(heard.pauses) < 600.0


def test_a_kind_that_this_rancher_does_not_know_is_no_failure(rancher, heard, transport):
    from dataclasses import replace

    watch = heard.watch(transport, watched=(replace(MACHINES, version="v9"),))
    watch.start()

    eventually(lambda: heard.states, "a state")
    assert heard.states[0].connected
    assert heard.states[0].reason == "this Rancher does not know the kind"
    heard.stop.set()
    assert watch.join(10)


def test_an_expired_token_is_told_and_a_new_one_connects(rancher, heard, tmp_path):
    file = tmp_path / "token"
    file.write_text("token-wrong:x")
    watch = heard.watch(Transport(rancher.url, TokenSource(file=file), retry=RetryPolicy(attempts=1)))
    watch.start()
    eventually(lambda: len(heard.states) == 5, "being refused")
    assert not watch.connected
    (tmp_path / "new").write_text(rancher.token)
    (tmp_path / "new").replace(file)

    eventually(lambda: watch.connected, "connecting")
    heard.stop.set()
    assert watch.join(10)


def test_a_server_that_is_not_there_is_tried_ever_less_often_up_to_a_minute(heard):
    transport = Transport("http://127.0.0.1:1", TokenSource("x"), retry=RetryPolicy(attempts=1))
    watch = heard.watch(transport, watched=(PROVISIONING_CLUSTERS,))
    watch.start()
    eventually(lambda: len(heard.pauses) >= 12, "pausing")
    heard.stop.set()
    assert watch.join(10)

    for number, pause in enumerate(heard.pauses[:12]):
        longest = min(60.0, 2.0**number)
        assert longest / 2 <= pause <= longest
    assert [state.connected for state in heard.states] == [False]


def test_the_states_tell_what_is_heard(rancher, watching):
    watch = watching()

    assert watch.connected
    assert sorted(state.kind for state in watch.states) == [
        "clusters.management.cattle.io",
        "clusters.provisioning.cattle.io",
        "machines.cluster.x-k8s.io",
        "nodes.management.cattle.io",
        "rkecontrolplanes.rke.cattle.io",
    ]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_in_the_listener_is_loud_and_shows_in_the_state(heard, api_server):
    api_server.objects = [a_cluster("one")]
    api_server.script = [[("MODIFIED", a_cluster("one", version="8", spec={"a": 1}))]]

    def broken(_hint):
        raise KeyError("typo")

    watch = heard.watch(api_server.transport(), watched=(PROVISIONING_CLUSTERS,))
    watch._on_hint = broken
    watch.start()

    eventually(lambda: heard.lost("clusters.provisioning.cattle.io"), "losing the watch")
    assert "KeyError('typo')" in heard.states[-1].reason
    assert watch.join(10)


def a_cluster(name, version="7", **more):
    return {
        "metadata": {"name": name, "namespace": "fleet-default", "resourceVersion": version},
        "status": {"clusterName": f"c-m-{name}"},
        **more,
    }


class ScriptedApi:
    """An API server that plays what a test wrote: one list of events per watch, then silence."""

    def __init__(self):
        self.objects, self.management, self.script, self.watches = [], [], [], []
        self.before_list = {}
        self.lists = 0
        self.version = "7"
        self.forbidden_over_all = False
        self.refusal = 0
        self.over = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                parts = urlsplit(self.path)
                query = {key: values[0] for key, values in parse_qs(parts.query).items()}
                if server.refusal:
                    self._answer({"kind": "Status", "code": server.refusal, "message": "not yet"}, server.refusal)
                elif server.forbidden_over_all and "provisioning" in parts.path and "/namespaces/" not in parts.path:
                    message = 'clusters.provisioning.cattle.io is forbidden: User "u" cannot list resource "clusters"'
                    self._answer({"kind": "Status", "code": 403, "reason": "Forbidden", "message": message}, 403)
                elif "watch" in query:
                    self._play(parts.path, query)
                else:
                    management = "management.cattle.io" in parts.path
                    if not management:
                        server.lists += 1
                        server.before_list.get(server.lists, lambda: None)()
                    items = server.management if management else server.objects
                    self._answer({"metadata": {"resourceVersion": server.version}, "items": items})

            def _answer(self, body, code=200):
                raw = json.dumps(body).encode()
                self.send_response(code)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def _play(self, path, query):
                self.send_response(200)
                self.end_headers()
                if "provisioning" in path:
                    server.watches.append(query)
                    if len(server.watches) <= len(server.script):
                        for event in server.script[len(server.watches) - 1]:
                            if isinstance(event, tuple):
                                self.wfile.write(json.dumps({"type": event[0], "object": event[1]}).encode() + b"\n")
                            else:
                                self.wfile.write(event)
                        return
                server.over.wait(20)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def transport(self):
        url = f"http://127.0.0.1:{self._server.server_address[1]}"
        return Transport(url, TokenSource("x"), retry=RetryPolicy(attempts=1))

    def stop(self):
        self.over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def api_server():
    server = ScriptedApi()
    yield server
    server.stop()


@pytest.fixture
def quiet(heard, api_server):
    """A watch on the provisioning clusters of the scripted server."""
    running = []

    def start(**more):
        watch = heard.watch(api_server.transport(), **{"watched": (PROVISIONING_CLUSTERS,), "idle": 20.0, **more})
        watch.start()
        running.append(watch)
        return watch

    yield start
    heard.stop.set()
    api_server.over.set()
    assert all(watch.join(10) for watch in running)
