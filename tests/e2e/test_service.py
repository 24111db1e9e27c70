"""Does the service itself, `drover serve`, see a fleet on real servers as it is, and does it leave it alone?

It runs as a process of its own with the documented rights, without GitHub and in dry run: it sweeps, watches, opens an incident
for every stuck cluster and diagnoses it. What it asked of Rancher is read from the proxy's list.
"""

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e.proxy import Request
from tests.e2e.world import World, drover, environment_of

pytestmark = pytest.mark.timeout(900)

WITHIN = 240.0
# Drover's clock runs slower than the world's: the scenarios stand still, and none must grow too old meanwhile.
SLOW = "0.1"
# The one question that is asked by POST and changes nothing: may I?
ASKS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


@contextmanager
def serving(world: World, home: Path) -> Iterator[str]:
    """The address of a running service."""
    home.mkdir(parents=True)
    log = home / "serve.log"
    settings = {"DROVER_LISTEN": "127.0.0.1:0", "DROVER_DRY_RUN": "true", "DROVER_CLOCK_SPEED": SLOW}
    settings["DROVER_CLOCK_ORIGIN"] = world.clock["DROVER_CLOCK_ORIGIN"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", "from bot.cli.main import main; main()", "serve"],
            env=environment_of(world.proxy.url, home) | settings,
            cwd=Path(__file__).parents[2],
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:

        def address() -> str:
            assert process.poll() is None, log.read_text()
            found = re.search(r"listens on (http://\S+)", log.read_text())
            return found[1] if found else ""

        yield until(address)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def until(look: Callable[[], Any]) -> Any:
    """What `look` returns once it is anything."""
    deadline = time.monotonic() + WITHIN
    while not (found := look()):
        assert time.monotonic() < deadline, f"{look.__name__} saw nothing within {WITHIN:.0f} s"
        time.sleep(0.1)
    return found


def asked(url: str) -> Any:
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(url, timeout=WITHIN)
        answer.raise_for_status()
        return answer.json()


def test_the_service_judges_opens_incidents_and_diagnoses(world: World, tmp_path: Path) -> None:
    begun = len(world.proxy.seen)
    stuck = {identifier for identifier, verdict in world.truths.items() if verdict == "stuck"}
    with serving(world, tmp_path / "home") as url:

        def clusters() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = asked(f"{url}/api/v1/clusters?per_page=1000")["clusters"]
            return found if len(found) == len(world.truths) else []

        assert {each["id"]: each["verdict"] for each in until(clusters)} == world.truths

        def diagnosed() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = asked(f"{url}/api/v1/incidents")["incidents"]
            return found if len(found) >= len(stuck) and all(each["cause"] for each in found) else []

        incidents = until(diagnosed)

        def watching() -> bool:
            return len({each.path for each in world.proxy.seen[begun:] if each.watches and each.status == 200}) >= 5

        assert until(watching)

    assert {each["cluster"] for each in incidents} == stuck
    for each in incidents:
        assert each["cause"] == world.fleet.clusters[each["cluster"]].truth.cause
    changed = [each for each in world.proxy.seen[begun:] if each.method != "GET" and not each.path.endswith(ASKS)]
    assert changed == [], "a dry run without approvals wrote to Rancher"
    assert steve(world.proxy.seen[begun:]) == []


def test_no_command_asks_steve(world: World, tmp_path: Path) -> None:
    """Steve (`/v1`) is not among the real servers, so nothing may rest on it: lists go by plain Kubernetes everywhere."""
    begun = len(world.proxy.seen)
    drover(world.proxy.url, tmp_path, "sweep")
    for scenario in (
        "rke1-canal-br-netfilter",
        "rke2-canal-cidr-exhausted",
        "k3s-flannel-healthy",
        "rke2-machine-createerror",
    ):
        drover(world.proxy.url, tmp_path, "diagnose", world.ids[scenario])
    drover(world.proxy.url, tmp_path, "doctor")

    seen = world.proxy.seen[begun:]
    assert len(seen) > 150
    assert steve(seen) == []
    own = {each.path.split("/")[1] for each in seen if not each.cluster}
    assert own <= {"rancherversion", "ping", "v3"}, "only the proxy to Kubernetes, Norman, and pages without a login"


def steve(seen: list[Request]) -> list[str]:
    """Rancher's own `/v1`, and that of a downstream cluster (`/k8s/clusters/<id>/v1`)."""
    return [each.path for each in seen if re.match(r"(/k8s/clusters/[^/]+)?/v1(/|$)", each.path)]
