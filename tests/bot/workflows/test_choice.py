"""Another playbook than the catalogue's: shown in the issue, agreed to by its own digest, planned anew, and only then written."""

import re

import pytest

pytestmark = pytest.mark.slow

FOUNDING = "rke1-canal-br-netfilter"
NAME = "edge-01"
OTHER = "restart-cni"


def shown(world, playbook=OTHER):
    """Ask for the plan of another playbook; its digest."""
    world.comment(NAME, f"/drover plan {playbook}")
    reply = world.comments(NAME)[-1]
    return re.search(r"Plan `([0-9a-f]{6})`", reply)[1], reply


@pytest.fixture
def asked(world):
    world.fleet.add(FOUNDING, NAME)
    world.ask(NAME)
    return world


def test_the_digest_tells_which_plan_is_meant(asked):
    """
    Restarting the network's pods is disruptive, so a maintainer has to agree; it does not help here, and is put back.
    """
    digest, reply = shown(asked)
    assert f"`/drover approve {digest}` agrees to it all the same" in reply
    assert digest != asked.digest(NAME)

    asked.comment(NAME, f"/drover approve {digest}", "maria")
    assert "needs the role maintain" in asked.comments(NAME)[-1]
    assert asked.incident(NAME).plan["playbook"] == "enable-br-netfilter"

    asked.comment(NAME, f"/drover approve {digest}", "jan")
    row = asked.until(NAME, "rolled-back", within=60)
    assert row.plan["playbook"] == OTHER
    assert {write["path"].split("?")[0].rpartition("/")[2] for write in asked.writes} == {"canal"}


def test_a_fresh_start_returns_to_the_catalogues_own(asked):
    digest, _ = shown(asked)
    asked.comment(NAME, f"/drover approve {digest}", "jan")
    asked.until(NAME, "rolled-back", within=60)

    asked.comment(NAME, "/drover retry")
    asked.until(NAME, "awaiting-approval")
    assert asked.incident(NAME).plan["playbook"] == "enable-br-netfilter"
    asked.wait(lambda: asked.digest(NAME) == asked.incident(NAME).plan["digest"][:6], "the plan in the issue")
    asked.approve(NAME)
    asked.until(NAME, "resolved", within=60)


def test_what_mends_nothing_that_was_found_is_shown_and_not_offered(asked):
    digest, reply = shown(asked, "rerun-rke1-network-job")
    assert "cannot be approved here" in reply
    asked.comment(NAME, f"/drover approve {digest}", "jan")
    assert "The plan is now" in asked.comments(NAME)[-1]
    assert asked.writes == []
