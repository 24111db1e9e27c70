"""What people say beside deciding on a plan: be quiet, stop, go on, show me; over both simulators."""

import pytest

from tests.bot.workflows.scripted import UNDERSTOOD, Runs

FOUNDING = "rke1-canal-br-netfilter"
NAME = "edge-01"


@pytest.mark.slow
class TestQuiet:
    def test_a_snooze_ends_when_somebody_says_so(self, world):
        world.fleet.add(FOUNDING, NAME)
        world.ask(NAME)
        asked = world.comment(NAME, "/drover snooze 7d")
        world.until(NAME, "snoozed")
        world.wait(lambda: "state/snoozed" in world.issue_of(NAME).labels, "the issue to say so")
        assert "rocket" in world.reactions(NAME, asked)
        assert any("Quiet for 7 days" in body for body in world.comments(NAME))
        world.comment(NAME, "/drover unsnooze")
        world.until(NAME, "awaiting-approval")
        assert world.writes == []

    def test_or_when_its_time_is_up_and_it_can_be_mended_then(self, world):
        world.fleet.add(FOUNDING, NAME)
        world.ask(NAME)
        world.comment(NAME, "/drover snooze 10m")
        world.until(NAME, "snoozed")
        world.until(NAME, "awaiting-approval")
        world.wait(lambda: world.issue_of(NAME) and world.digest(NAME), "the digest")
        world.approve(NAME)
        world.until(NAME, "resolved")

    def test_what_is_closed_stays_closed_while_nothing_moves(self, world):
        world.fleet.add(FOUNDING, NAME)
        world.ask(NAME)
        world.comment(NAME, "/drover close it is being rebuilt")
        row = world.until(NAME, "superseded")
        assert row.outcome == "maria closed it: it is being rebuilt"
        world.wait(lambda: not world.issue_of(NAME).open, "the issue to close")
        world.sweep()
        assert len(world.store.all()) == 1
        assert world.writes == []


@pytest.mark.slow
class TestService:
    def test_logs_plan_sweep_and_the_brake(self, world):
        world.fleet.add(FOUNDING, NAME)
        world.ask(NAME)
        world.comment(NAME, "/drover logs flannel\n/drover plan\n/drover plan renew-certificates\n/drover sweep")
        logs, plan, other, swept = world.comments(NAME)
        assert "Failed to check br_netfilter" in logs
        assert "+    enableBrNetfilter: true" in plan
        assert "rules and brakes looked at" in plan
        assert "By hand it would be:" in other
        assert "Every cluster of this Rancher is looked at anew" in swept
        world.comment(NAME, "/drover pause until the fair is over")
        assert world.store.note("paused")["by"] == "maria"
        world.comment(NAME, "/drover resume", "maria")
        assert world.store.note("paused")
        world.comment(NAME, "/drover resume", "jan")
        assert world.store.note("paused") is False
        assert [(each.what, each.actor) for each in world.store.audit()] == [("pause", "maria"), ("resume", "jan")]
        assert world.writes == []


@pytest.fixture
def runs(tmp_path):
    runs = Runs(f"sqlite:///{tmp_path}/drover.sqlite")
    yield runs
    runs.engine.close()


class TestFlow:
    def test_closing_ends_the_workflow(self, runs):
        run = runs.start()
        run.steps.wait_for("report")
        run.say("close", reason="x", by="maria")
        assert run.end() == "closed"
        assert run.steps.names[: len(UNDERSTOOD)] == UNDERSTOOD
        assert len(run.steps.args("close")) == 1
        assert "begin" not in run.steps.names
