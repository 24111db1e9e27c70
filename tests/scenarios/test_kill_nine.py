"""Killed at the worst moments, the service goes on after a restart: nothing is told twice, nothing is written twice."""

import importlib.util
import re
import time
from pathlib import Path

import pytest

from bot.simulator import RunningGitHub
from rancher_ext.simulator.clock import SimClock
from rancher_ext.simulator.fleet import Fleet
from rancher_ext.simulator.running import RunningRancher

_spec = importlib.util.spec_from_file_location("drover_service", Path(__file__).with_name("service.py"))
service_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(service_module)

pytestmark = pytest.mark.slow


@pytest.fixture
def stage(tmp_path):
    origin = time.time()
    fleet = Fleet(SimClock(service_module.SPEED, origin))
    fleet.add("rke1-canal-br-netfilter", "edge-07")
    with RunningRancher(fleet) as rancher, RunningGitHub(people={"maria": "maintain"}) as github:
        service = service_module.Service(tmp_path, rancher, github, origin)
        service.start()
        yield service, fleet, github
        service.stop()


def writes_to_rancher(fleet):
    return [entry for entry in fleet.journal if entry["method"] in {"PATCH", "PUT", "DELETE"}]


def approve(github):
    (issue,) = github.issues
    digest = re.search(r"^/drover approve ([0-9a-f]{6})", issue.body, re.MULTILINE)[1]
    github.comment_as("maria", issue.number, f"/drover approve {digest}")


def asks_for_approval(github):
    return len(github.issues) == 1 and "/drover approve" in github.issues[0].body


def test_killed_between_detection_and_report(stage):
    """
    The incident is in the database, the issue is not there yet: after a restart there is exactly one, and it can be approved.
    """
    service, fleet, github = stage
    github.faults.delay(3.0, path="/issues", method="POST")
    service.wait_for(lambda: service.states().get("edge-07") in {"detected", "diagnosing", "reported"}, "the incident")
    assert not github.issues
    service.kill()
    github.faults.clear()
    service.start()
    service.wait_for(lambda: asks_for_approval(github), "the issue")
    approve(github)
    service.wait_for(lambda: service.states()["edge-07"] == "resolved", "the cure")
    assert len(github.issues) == 1
    assert len(writes_to_rancher(fleet)) == 1


def test_killed_after_github_made_the_issue_and_before_we_heard(stage):
    """
    The answer to the creation is lost with the process: the issue is found again by its mark.
    """
    service, fleet, github = stage
    service.wait_for(lambda: len(github.issues) == 1, "the issue")
    service.kill()
    service.start()
    service.wait_for(lambda: asks_for_approval(github), "the plan in the issue")
    approve(github)
    service.wait_for(lambda: service.states()["edge-07"] == "resolved", "the cure")
    assert len(github.issues) == 1
    assert len(writes_to_rancher(fleet)) == 1


def test_killed_between_apply_and_verify(stage):
    """
    The field is written, nobody has looked yet: after a restart it is proved, and not written again.
    """
    service, fleet, github = stage
    service.wait_for(lambda: asks_for_approval(github), "the issue")
    approve(github)
    service.wait_for(lambda: writes_to_rancher(fleet), "the write")
    service.kill()
    service.start()
    service.wait_for(lambda: not github.issues[0].open, "the end of the issue")
    assert service.states()["edge-07"] == "resolved"
    assert len(writes_to_rancher(fleet)) == 1
    (issue,) = github.issues
    assert sum("Healed in" in comment.body for comment in issue.comments) == 1


def test_ends_in_order_on_sigterm_while_an_incident_waits(stage):
    """
    A workflow that waits for people for hours does not keep the process alive, and is still there after the next start.
    """
    service, fleet, github = stage
    service.wait_for(lambda: service.states().get("edge-07") == "awaiting-approval", "the question")
    assert service.stop() == 0
    service.start()
    approve(github)
    service.wait_for(lambda: service.states()["edge-07"] == "resolved", "the cure")
    assert len(github.issues) == 1
    assert len(writes_to_rancher(fleet)) == 1
