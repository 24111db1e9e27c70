"""Does `drover diagnose` name the cause when the evidence comes from real servers?

The command is run on every scenario with the documented rights, once with kubelets that give their logs and once without.
Beside the truth of the scenario it has to say what it says of the simulator, and from the same evidence: logs, listings and
the set of files are compared, at one instant of Drover's clock.
"""

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.world import SCENARIOS, World, drover

pytestmark = pytest.mark.timeout(900)

EXIT = {"healthy": 0, "cni-failure": 10, "other-failure": 14, "unknown": 15}
# Masks are keyed anew for each bundle.
MASK = re.compile(r"<masked:(\w+):[0-9a-f]+>")
# The logs of pods, and what else is read through a kubelet.
LOG_COLLECTORS = {"cni_logs", "helm", "system_logs", "management_events"}


class Diagnosis:
    """What the command printed and wrote down."""

    def __init__(self, world: World, url: str, identifier: str, folder: Path) -> None:
        self.folder = folder / "evidence"
        arguments = ("diagnose", identifier, "--format", "json", "--out", str(self.folder))
        self.ran = drover(url, folder / "home", *arguments, settings=world.clock)
        assert self.ran.out, self.ran.err
        self.said: dict[str, Any] = json.loads(self.ran.out)

    @property
    def verdict(self) -> str:
        return str(self.said["verdict"])

    @property
    def findings(self) -> list[tuple[str, str, float]]:
        return [(each["signature"], each["cause"], each["confidence"]) for each in self.said["findings"]]

    @property
    def collectors(self) -> dict[str, str]:
        return {each["name"]: each["status"] for each in self.said["collectors"]}

    def reason(self, collector: str) -> str:
        (found,) = [each for each in self.said["collectors"] if each["name"] == collector]
        return str(found["reason"])

    def texts(self) -> dict[str, str]:
        """Logs and listings by their path in the bundle."""
        return {
            path: MASK.sub(r"<masked:\1>", (self.folder / path).read_text(encoding="utf-8"))
            for path in self.paths()
            if path.endswith((".log", ".txt"))
        }

    def paths(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def whole(world: World, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Diagnosis]:
    """The diagnosis of a scenario on the real servers, made when it is first asked for: nothing changes there meanwhile."""
    folder = tmp_path_factory.mktemp("whole")
    return cache(lambda scenario: Diagnosis(world, world.proxy.url, world.ids[scenario], folder / scenario))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_diagnosis_of_each_scenario_is_right_and_that_of_the_simulator(
    world: World, whole: Callable[[str], Diagnosis], scenario: str, tmp_path: Path
) -> None:
    identifier = world.ids[scenario]
    truth = world.fleet.clusters[identifier].truth

    real = whole(scenario)
    simulated = Diagnosis(world, world.simulator, identifier, tmp_path / "simulated")

    if truth.verdict == "stuck":
        assert real.verdict == "cni-failure"
        assert real.findings[0][1] == truth.cause
    if truth.verdict == "healthy":
        assert real.verdict == "healthy"
    assert real.ran.status == EXIT[real.verdict]
    assert "forbidden" not in real.collectors.values()
    assert real.findings == simulated.findings
    assert real.collectors == simulated.collectors
    assert real.paths() == simulated.paths()
    assert real.texts() == simulated.texts()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_without_logs_a_diagnosis_knows_less_and_nothing_false(
    world: World, whole: Callable[[str], Diagnosis], scenario: str, tmp_path: Path
) -> None:
    """Kubelets do not answer: the manifest says so, everything else is there, and a sick cluster is not called healthy."""
    known = whole(scenario)

    with world.tunnel.cut():
        found = Diagnosis(world, world.proxy.url, world.ids[scenario], tmp_path / "cut")

    assert found.verdict == known.verdict
    signatures = {signature for signature, _, _ in known.findings}
    assert {signature for signature, _, _ in found.findings} <= signatures
    for name, status in found.collectors.items():
        if status == known.collectors[name]:
            continue
        assert name in LOG_COLLECTORS
        assert status in {"failed", "partial"}
        assert re.search(r"\d+ of \d+ logs could not be read", found.reason(name))
    lost = set(known.paths()) - set(found.paths())
    assert all(path.startswith("logs/") for path in lost), lost
    if any(path.startswith("logs/kube-system/") for path in known.paths()):
        assert lost, "the kubelets were asked all the same"


def test_the_text_output_names_the_cause_and_the_line(world: World, tmp_path: Path) -> None:
    cluster = world.fleet.clusters[world.ids["rke1-canal-br-netfilter"]]

    ran = drover(world.proxy.url, tmp_path, "diagnose", cluster.name, settings=world.clock)

    assert ran.status == 10
    assert "The network plugin does not come up." in ran.out
    assert "br_netfilter" in ran.out
    assert re.search(r"Seen in\s+logs/kube-system/canal-\w+/kube-flannel\.log:\d+", ran.out)
