"""Are the rights of `docs/rancher-rights.md` enough for everything that Drover does, and is none of them too many?

Each verb on each resource is taken away alone, on real API servers with RBAC. Whatever used it is run again and must say so:
an error that names the right, a collector that was forbidden, a watch that is not connected. A right that nothing uses fails
its test and has no place in the document.
"""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rancher_ext.client.transport import RetryPolicy, TokenSource, Transport
from rancher_ext.listeners.watch import FleetWatch
from rancher_ext.remediation.actions import gather
from tests.e2e.cluster import ApiServer
from tests.e2e.mending import RKE1, TRIALS, UNREADABLE, Mender
from tests.e2e.mending import RKE2 as REACHED
from tests.e2e.proxy import Request
from tests.e2e.rights import (
    ASKED_BY_RANCHER,
    WORKSPACE,
    Right,
    Where,
    each_right,
    for_mending,
    grant,
    name_of,
    of_each_action,
    without,
)
from tests.e2e.world import DROVER, DROVER_TOKEN, World, drover, real_world

pytestmark = pytest.mark.timeout(900)

# A machine that was not made (jobs, pods and logs of a node driver), and one whose nodes people brought along. The others
# are those that can be mended.
REFUSED, CUSTOM = "rke2-machine-createerror", "k3s-flannel-cloud-uninitialized"
# What a server says when it is asked to give out rights that the user has not.
GRANTS = "is attempting to grant"
SEEN_WITHIN = 120.0


@dataclass
class Stage:
    """The world, what Drover does in it, and which rights each of these things uses."""

    world: World
    folder: Path
    mender: Mender
    uses: dict[str, set[Right]] = field(default_factory=dict)

    @property
    def activities(self) -> dict[str, Callable[[], list[str]]]:
        """Each returns what went wrong for want of a right, in Drover's words."""
        diagnoses = {
            f"diagnose {scenario}": lambda scenario=scenario: self.diagnose(scenario)
            for scenario in (RKE1, REFUSED, REACHED, CUSTOM)
        }
        mends = {str(trial): lambda trial=trial: self.mender(trial) for trial in TRIALS}
        return {**mends, **diagnoses, "sweep": self.sweep, "watch": self.watch}

    def sweep(self) -> list[str]:
        ran = drover(self.world.proxy.url, self.folder, "sweep", "--format", "json", settings=self.world.clock)
        return [ran.err] if ran.status == 2 else []

    def diagnose(self, scenario: str) -> list[str]:
        arguments = ("diagnose", self.world.ids[scenario], "--format", "json")
        ran = drover(self.world.proxy.url, self.folder, *arguments, settings=self.world.clock)
        if ran.status == 2:
            return [ran.err]
        reasons = [each["reason"] or "" for each in json.loads(ran.out)["collectors"]]
        return [reason for reason in reasons if "forbidden" in reason]

    def watch(self) -> list[str]:
        """Until every watch either hears something or says why not."""
        stop = threading.Event()
        transport = Transport(self.world.proxy.url, TokenSource(DROVER_TOKEN), retry=RetryPolicy(attempts=1))
        watch = FleetWatch(transport, lambda _: None, stop=stop, idle=5.0, timeout=1)
        begun = len(self.world.proxy.seen)
        watch.start()
        deadline = time.monotonic() + SEEN_WITHIN
        while True:
            states = watch.states
            # One that was refused is not heard; it counts once its watch says why.
            seen = self.world.proxy.seen[begun:]
            kinds = {request.path for request in seen if request.watches and request.status == 200}
            troubles = [
                f"{state.kind}: {state.reason}" for state in states if not state.connected and _told(state.reason)
            ]
            if len(kinds) + len(troubles) >= len(states) and all(
                state.connected or _told(state.reason) for state in states
            ):
                break
            assert time.monotonic() < deadline, (states, kinds)
            time.sleep(0.02)
        stop.set()
        assert watch.join(SEEN_WITHIN)
        return troubles


def _told(reason: str) -> bool:
    return reason not in {"", "not yet"}


@pytest.fixture(scope="module")
def stage(servers_built: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with real_world(tmp_path_factory.mktemp("rights"), [REFUSED, CUSTOM, REACHED, RKE1]) as world:
        _unlabel_servers(world)
        stage = Stage(world, tmp_path_factory.mktemp("home"), Mender(world))
        for name, activity in stage.activities.items():
            begun = len(world.proxy.seen)
            assert activity() == [], f"{name} lacks a right that the document does not give"
            stage.uses[name] = {right for request in world.proxy.seen[begun:] for right in _rights_of(request)}
        yield stage


def _unlabel_servers(world: World) -> None:
    """One server of each kind without the cluster's label, as some node drivers leave them: it is then read by its name."""
    for path in (
        "rke-machine.cattle.io/v1/namespaces/fleet-default/amazonec2machines",
        "rke.cattle.io/v1/namespaces/fleet-default/custommachines",
    ):
        found = world.local.call("GET", f"/apis/{path}").json()["items"][0]["metadata"]
        patch = {"metadata": {"labels": {"cluster.x-k8s.io/cluster-name": None}}}
        answer = world.local.call(
            "PATCH", f"/apis/{path}/{found['name']}", patch, content_type="application/merge-patch+json"
        )
        assert answer.ok, answer.text


def _rights_of(request: Request) -> Iterator[Right]:
    """What an API server asks for before it answers this request; nothing for what needs no right of ours."""
    if not request.cluster:
        return
    parts = [part for part in request.path.removeprefix(f"/k8s/clusters/{request.cluster}").split("/") if part]
    group, rest = ("", parts[2:]) if parts[0] == "api" else (parts[1], parts[3:])
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    where = Where.DOWNSTREAM
    if request.cluster == "local":
        where = Where.WORKSPACES if namespace == WORKSPACE else Where.RANCHER
    resource = rest[0] + (f"/{rest[2]}" if len(rest) > 2 else "")
    if group == "rke-machine.cattle.io":
        resource = "*"
    reads = "watch" if request.watches else "get" if len(rest) > 1 else "list"
    verb = {"GET": reads, "PATCH": "patch", "POST": "create", "DELETE": "delete"}[request.method]
    yield Right(where, verb, group, resource)
    # Who gives out rights needs the right to do so, beside that to make the object.
    if (gives := {"clusterroles": "escalate", "clusterrolebindings": "bind"}.get(resource)) and verb == "create":
        yield Right(where, gives, group, "clusterroles")


def test_the_table_names_every_action_and_the_rights_for_mending_and_no_others() -> None:
    table = of_each_action()
    reading = {right.plain for right in each_right()} - for_mending()

    assert table.keys() == gather().keys()
    assert set().union(*table.values()) == for_mending()
    assert not {right for rights in table.values() for right in rights} & reading


def test_an_action_asks_for_no_more_than_its_line_of_the_table_and_reading(stage: Stage) -> None:
    table, mending = of_each_action(), for_mending()
    given = {right.plain for right in each_right()}

    for trial in TRIALS:
        asked = {right.plain for right in stage.uses[str(trial)]}
        assert asked <= given
        assert asked & mending <= table[trial.action], trial


@pytest.mark.parametrize("right", [each for each in each_right() if each not in ASKED_BY_RANCHER], ids=str)
def test_without_this_right_something_is_missing_and_says_so(stage: Stage, right: Right) -> None:
    users = [name for name, used in stage.uses.items() if right in used]
    assert users, f"nothing uses the right to {right}: take it out of the document"

    try:
        _give(stage.world, right, kept=False)
        # A sweep makes do with less where it can; whoever asks for evidence hears what is missing.
        troubles = next((found for name in users if (found := stage.activities[name]())), [])
    finally:
        _give(stage.world, right, kept=True)

    resource = re.escape(f"{right.resource}.{right.group}" if right.group else right.resource).replace(r"\*", r"\w+")
    named = rf'{right.verb} {resource}|{right.verb} resource "{resource.split(chr(92))[0]}"'
    if right.verb in {"escalate", "bind"}:
        named = GRANTS
    if right.resource == "rkek8ssystemimages":
        named = UNREADABLE
    assert any(re.search(named, trouble) for trouble in troubles), troubles


def test_with_all_rights_doctor_finds_none_missing_that_drover_needs(stage: Stage) -> None:
    ran = drover(stage.world.proxy.url, stage.folder, "doctor", "--format", "json")

    asked = [each for each in json.loads(ran.out) if ": may " in each["check"]]
    assert asked
    assert [each["check"] for each in asked if each["ok"] is False] == []


def _give(world: World, right: Right, *, kept: bool) -> None:
    """Takes the right away, or gives it back, and waits until the servers act on it."""
    servers = list(world.proxy.rancher.downstream.values()) if right.where is Where.DOWNSTREAM else [world.local]
    for server in servers:
        grant(server, DROVER, right.where, None if kept else without(right))
    deadline = time.monotonic() + SEEN_WITHIN
    for server in servers:
        while _may(server, right) is not kept:
            assert time.monotonic() < deadline, f"{server.name} still does not know that {right} is {kept}"
            time.sleep(0.01)


def _may(server: ApiServer, right: Right) -> bool:
    resource, _, sub = right.resource.partition("/")
    attributes = {
        "verb": right.verb,
        "group": right.group,
        "resource": "amazonec2machines" if resource == "*" else resource,
        "subresource": sub,
        "namespace": WORKSPACE if right.where is Where.WORKSPACES else "",
        "name": name_of(right),
    }
    review = {"spec": {"user": DROVER.name, "resourceAttributes": attributes}}
    answer = server.call("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    assert answer.ok, answer.text
    return bool(answer.json()["status"]["allowed"])
