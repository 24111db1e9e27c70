"""Whole roads over both simulators: what is written to the cluster, what is told, and when nothing may happen at all."""

import copy
import time

import pytest

from bot.incidents.timeline import broken_link
from rancher_ext.simulator.faults import refused_by_webhook
from tests.builders import hours

pytestmark = pytest.mark.slow

FROZEN = refused_by_webhook("rancher.cattle.io.clusters.management.cattle.io", "clusters are frozen")
FOUNDING = "rke1-canal-br-netfilter"
NAME = "edge-01"


def without_the_servers_own(item):
    """An object without what Rancher keeps for itself."""
    kept = copy.deepcopy(item)
    kept.pop("status", None)
    for name in ("resourceVersion", "generation", "managedFields"):
        kept["metadata"].pop(name, None)
    return kept


class TestMended:
    def test_the_founding_case_takes_one_write_and_one_issue(self, world):
        world.fleet.add(FOUNDING, NAME)
        assert world.sweep()[NAME] == "stuck"
        world.ask(NAME)
        assert world.writes == []
        world.approve(NAME)
        world.until(NAME, "resolved")

        (write,) = world.writes
        assert write["method"] == "PATCH"
        assert write["body"][-1]["path"].endswith("/network/enableBrNetfilter")
        assert world.network(NAME)["enableBrNetfilter"] is True
        world.wait(lambda: not world.issue_of(NAME).open, "the issue to close")
        assert len(world.github.issues) == 1
        (healed,) = world.comments(NAME)
        assert "Approved by maria" in healed
        intend, wrote = world.store.audit(world.incident(NAME).id)
        assert (intend.what, wrote.what, wrote.actor) == ("intend", "write", "maria")
        assert wrote.before["present"] is False
        assert wrote.after == {"present": True, "value": True}
        assert broken_link(world.store.audit()) is None
        assert world.store.preimage(world.incident(NAME).id, world.incident(NAME).plan["digest"])
        assert world.store.mending_now() == 0

    def test_a_label_lets_it_run_without_asking(self, world):
        world.fleet.add(FOUNDING, NAME)
        world.change(NAME, {"metadata": {"labels": {"drover.io/mend": "auto"}}})
        world.sweep()
        world.until(NAME, "resolved")
        assert len(world.writes) == 1
        assert world.store.audit()[-1].actor == "policy"

    def test_the_same_with_flannel_alone(self, world):
        world.fleet.add("rke1-flannel-br-netfilter", NAME)
        world.ask(NAME)
        world.approve(NAME)
        world.until(NAME, "resolved")
        assert len(world.writes) == 1

    def test_a_label_is_the_labels_value_now_and_not_when_it_was_found(self, world):
        """Between the plan and the act somebody opts the cluster out."""
        world.fleet.add(FOUNDING, NAME)
        world.ask(NAME)
        world.change(NAME, {"metadata": {"labels": {"drover.io/ignore": "true"}}})
        world.approve(NAME)
        world.wait(lambda: (world.incident(NAME).decision or {}).get("decision") == "refuse", "the refusal")
        assert world.writes == []


class TestTeams:
    @pytest.fixture
    def world(self, new_world, tmp_path):
        file = tmp_path / "policy.yaml"
        file.write_text(
            "default:\n  safe: {by: team:acme/sre}\n"
            "commands:\n  retry: {by: team:acme/sre, labels: {environment: production}}\n",
            encoding="utf-8",
        )
        return new_world(POLICY_FILE=str(file))

    def test_a_team_agrees_and_nobody_else(self, world):
        """Over GitHub's API: who is not in it, who was only invited, who is, and what the issue says."""
        world.fleet.add(FOUNDING, NAME)
        world.ask(NAME)
        assert "by somebody in the team `acme/sre`" in world.issue_of(NAME).body
        world.approve(NAME, "jan")
        assert "Drover cannot see who is" in world.comments(NAME)[-1]
        world.github.teams["acme/sre"] = {"jan": "pending", "maria": "active"}
        world.approve(NAME, "jan")
        assert "you are not in it" in world.comments(NAME)[-1]
        assert world.writes == []
        world.approve(NAME, "maria")
        world.until(NAME, "resolved")
        assert len(world.writes) == 1
        assert world.incident(NAME).approval["approvals"][0]["teams"] == ["acme/sre"]

    def test_a_command_is_the_teams_where_the_label_says_so(self, world):
        world.fleet.add(FOUNDING, NAME)
        world.github.teams["acme/sre"] = {"jan": "active"}
        world.ask(NAME)
        attempt = world.incident(NAME).attempt
        world.change(NAME, {"metadata": {"labels": {"environment": "production"}}})
        world.comment(NAME, "/drover retry", "maria")
        assert "`/drover retry` needs somebody in the team `acme/sre`" in world.comments(NAME)[-1]
        world.comment(NAME, "/drover retry", "jan")
        world.wait(lambda: world.incident(NAME).attempt > attempt, "the retry")


class TestPutBack:
    def test_a_failed_cure_leaves_the_cluster_as_it_was(self, world):
        world.fleet.add("rke1-canal-cure-fails", NAME)
        world.ask(NAME)
        before = without_the_servers_own(world.cluster_object(NAME))
        world.approve(NAME)
        world.until(NAME, "rolled-back", within=60)
        assert without_the_servers_own(world.cluster_object(NAME)) == before
        assert [write["body"][-1]["op"] for write in world.writes] == ["add", "remove"]
        assert [record.what for record in world.store.audit()] == ["intend", "write", "intend-undo", "undo"]
        world.wait(lambda: len(world.comments(NAME)) == 1, "the story of the undo")
        assert world.issue_of(NAME).open

    def test_what_rancher_refuses_is_told_in_its_words_and_recorded(self, world):
        world.fleet.add(FOUNDING, NAME)
        world.ask(NAME)
        world.fleet.faults.add("deny", **FROZEN)
        world.approve(NAME)
        row = world.until(NAME, "rolled-back", within=60)
        assert "denied the request: clusters are frozen" in row.outcome
        assert world.writes == []
        assert [record.what for record in world.store.audit()] == ["intend", "refused", "intend-undo", "undo"]
        world.wait(lambda: any("clusters are frozen" in said for said in world.comments(NAME)), "the refusal's words")

    def test_an_undo_that_is_refused_is_left_to_people_who_can_have_it_tried_again(self, world):
        world.fleet.add("rke1-canal-cure-fails", NAME)
        world.ask(NAME)
        before = without_the_servers_own(world.cluster_object(NAME))
        world.approve(NAME)
        world.until(NAME, "verifying")
        world.fleet.faults.add("deny", **FROZEN)
        row = world.until(NAME, "escalated", within=60)
        assert "it could not be put back" in row.outcome
        world.wait(lambda: len(world.comments(NAME)) == 1, "the call for a person")
        assert "clusters are frozen" in world.comments(NAME)[0]
        assert "`/drover rollback` puts back what Drover wrote" in world.comments(NAME)[0]

        world.comment(NAME, "/drover rollback")
        world.wait(lambda: "refused" in [each.what for each in world.store.audit()[5:]], "the second refusal")
        world.until(NAME, "escalated")
        world.fleet.faults.clear()
        world.comment(NAME, "/drover rollback")
        world.until(NAME, "rolled-back")
        assert without_the_servers_own(world.cluster_object(NAME)) == before
        refused = ["intend-undo", "refused"]
        told = [record.what for record in world.store.audit()]
        assert told == ["intend", "write", *refused, *refused, "intend-undo", "undo"]

    def test_and_nothing_runs_by_itself_there_again(self, world):
        world.fleet.add("rke1-canal-cure-fails", NAME)
        world.change(NAME, {"metadata": {"labels": {"drover.io/mend": "auto"}}})
        world.sweep()
        world.until(NAME, "rolled-back", within=60)
        world.comment(NAME, "/drover retry")
        world.until(NAME, "awaiting-approval")
        assert any("failed on this cluster before" in reason for reason in world.incident(NAME).decision["reasons"])
        assert len(world.writes) == 2

    def test_what_somebody_else_wrote_meanwhile_is_kept(self, world):
        world.fleet.add("rke1-canal-cure-fails", NAME)
        world.ask(NAME)
        world.approve(NAME)
        world.until(NAME, "verifying")
        world.change_network(NAME, enableBrNetfilter=False, options={"canal_iface": "eth1"})
        world.until(NAME, "escalated", within=60)
        assert world.network(NAME)["enableBrNetfilter"] is False
        assert world.network(NAME)["options"]["canal_iface"] == "eth1"
        assert len(world.writes) == 1
        assert "could not be put back" in world.incident(NAME).outcome

    def test_another_field_of_theirs_stays_and_ours_goes_back(self, world):
        world.fleet.add("rke1-canal-cure-fails", NAME)
        world.ask(NAME)
        world.approve(NAME)
        world.until(NAME, "verifying")
        world.change_network(NAME, mtu=1400)
        world.until(NAME, "rolled-back", within=60)
        assert world.network(NAME)["mtu"] == 1400
        assert "enableBrNetfilter" not in world.network(NAME)

    def test_a_person_takes_it_back_while_it_is_proved(self, world):
        world.fleet.add("rke1-canal-cure-fails", NAME)
        world.ask(NAME)
        world.approve(NAME)
        world.until(NAME, "verifying")
        asked = world.comment(NAME, "/drover rollback")
        world.until(NAME, "rolled-back")
        assert world.incident(NAME).outcome == "a person asked for it"
        assert "enableBrNetfilter" not in world.network(NAME)
        assert "rocket" in world.reactions(NAME, asked)

    def test_asking_again_afterwards_is_answered_and_breaks_nothing(self, world):
        world.fleet.add("rke1-canal-cure-fails", NAME)
        world.ask(NAME)
        world.approve(NAME)
        world.until(NAME, "rolled-back", within=60)
        asked = world.comment(NAME, "/drover rollback")
        assert "confused" in world.reactions(NAME, asked)
        world.comment(NAME, "/drover retry")
        world.until(NAME, "awaiting-approval")
        world.comment(NAME, "/drover rollback")
        assert world.app.engine.is_running(world.incident(NAME).id)
        assert len(world.writes) == 2

    def test_a_late_word_to_take_it_back_finds_nothing_to_do(self, world):
        """It was said while the plan ran and is read when everything is back already."""
        world.fleet.add("rke1-canal-cure-fails", NAME)
        world.ask(NAME)
        world.approve(NAME)
        row = world.until(NAME, "rolled-back", within=60)
        world.app.engine.send(row.id, "desk", {"kind": "rollback", "by": "maria"}, once="late")
        world.app.engine.send(row.id, "desk", {"kind": "again", "by": "maria"}, once="after that")
        world.wait(lambda: world.incident(NAME).attempt > row.attempt, "the word after that")
        world.until(NAME, "awaiting-approval")
        assert len(world.writes) == 2


class TestNothingIsWritten:
    def test_where_the_version_has_no_such_field_a_person_is_told_the_steps(self, new_world):
        world = new_world(rancher_version="v2.11.0-alpha7")
        world.fleet.add(FOUNDING, NAME)
        world.sweep()
        world.wait(lambda: world.incident(NAME).state == "reported" and world.issue_of(NAME), "the report")
        assert world.incident(NAME).plan is None
        assert "modprobe br_netfilter" in world.issue_of(NAME).body
        refused = world.comment(NAME, "/drover approve 123456")
        assert "confused" in world.reactions(NAME, refused)
        assert world.writes == []

    def test_in_a_dry_run(self, new_world):
        world = new_world(DRY_RUN="true")
        world.fleet.add(FOUNDING, NAME)
        world.change(NAME, {"metadata": {"labels": {"drover.io/mend": "auto"}}})
        world.sweep()
        world.wait(lambda: (world.incident(NAME).decision or {}).get("decision") == "refuse", "the decision")
        world.wait(lambda: world.issue_of(NAME), "the issue")
        assert world.incident(NAME).plan is not None
        assert world.writes == []

    def test_while_paused_and_then_it_goes_on(self, world):
        world.store.set_note("paused", True)
        world.fleet.add(FOUNDING, NAME)
        world.ask(NAME)
        world.approve(NAME)
        world.wait(lambda: world.incident(NAME).decision["decision"] == "wait", "the brake")
        assert world.writes == []
        world.store.set_note("paused", False)
        world.until(NAME, "resolved")

    def test_while_another_worker_holds_the_cluster_and_then_it_goes_on(self, world):
        world.fleet.add(FOUNDING, NAME)
        row = world.ask(NAME)
        assert world.store.lease(row.cluster, "somebody else", world.app.clock.now(), hours(10))
        world.approve(NAME)
        world.wait(lambda: any("another worker" in text for text in self_told(world)), "the refusal")
        assert world.writes == []
        world.store.release(row.cluster, "somebody else", world.app.clock.now())
        world.until(NAME, "resolved")

    def test_when_another_one_took_the_cluster_in_the_middle(self, world):
        """Between two steps, or while it is proved: the lease is gone, and nothing more is written under it."""
        world.fleet.add("rke1-canal-cure-fails", NAME)
        row = world.ask(NAME)
        world.approve(NAME)
        world.until(NAME, "verifying")
        assert world.store.lease(row.cluster, "somebody else", world.app.clock.now(), hours(1)) is None
        world.store.release(row.cluster, world.store.lease_holder(row.cluster), world.app.clock.now())
        assert world.store.lease(row.cluster, "somebody else", world.app.clock.now(), hours(10))
        world.until(NAME, "escalated")
        assert "went to another one" in world.incident(NAME).outcome
        assert len(world.writes) == 1

    def test_without_a_saved_pre_image(self, world, monkeypatch):
        monkeypatch.setattr(world.store, "save_preimage", lambda *_: None)
        world.fleet.add(FOUNDING, NAME)
        world.ask(NAME)
        world.approve(NAME)
        world.wait(lambda: any("no saved pre-image" in text for text in self_told(world)), "the refusal")
        assert world.writes == []

    def test_when_the_field_changes_between_plan_and_act(self, world):
        """The approval was for another plan: it is void, and a new plan is made from what is there now."""
        world.fleet.add(FOUNDING, NAME)
        old = world.ask(NAME).plan["digest"]
        world.change_network(NAME, enableBrNetfilter=False)
        world.approve(NAME)
        world.wait(lambda: world.incident(NAME).plan["digest"] != old, "a new plan")
        world.until(NAME, "awaiting-approval")
        assert world.writes == []
        assert world.incident(NAME).approval is None
        world.wait(lambda: world.digest(NAME) != old[:6], "the new digest in the issue")
        world.approve(NAME)
        world.until(NAME, "resolved")
        assert len(world.writes) == 1

    def test_when_somebody_did_by_hand_what_the_plan_says(self, world):
        world.fleet.add(FOUNDING, NAME)
        world.ask(NAME)
        world.change_network(NAME, enableBrNetfilter=True)
        world.approve(NAME)
        world.wait(lambda: world.sweep()[NAME] == "healthy", "health")
        world.wait(lambda: world.sweep() and world.state(NAME) == "superseded", "the end")
        assert world.writes == []

    def test_when_the_cluster_is_deleted_half_way(self, world):
        world.fleet.add(FOUNDING, NAME)
        world.ask(NAME)
        world.fleet.remove(world.sim(NAME).id)
        world.sweep()
        world.until(NAME, "superseded")
        assert "gone from Rancher" in world.incident(NAME).outcome
        world.wait(lambda: not world.issue_of(NAME).open, "the issue to close")
        assert world.writes == []

    def test_when_it_was_made_anew_under_the_same_name(self, world):
        """The name and perhaps the id are the same, the uid is not: what was approved was for the other one."""
        world.fleet.add(FOUNDING, NAME)
        world.ask(NAME)
        first = world.incident(NAME)
        world.fleet.remove(world.sim(NAME).id)
        world.fleet.add(FOUNDING, NAME, age=0)
        uid = world.cluster_object(NAME)["metadata"]["uid"]
        if uid == first.cluster_uid:
            pytest.skip("the simulator makes the same cluster again")
        world.github.comment_as("maria", first.issue, f"/drover approve {first.plan['digest'][:6]}")
        world.read_comments()
        world.wait(lambda: world.store.get(first.id).state.over, "the end of the first")
        assert world.writes == []

    def test_when_the_approving_comment_is_edited_before_the_act(self, world):
        world.store.set_note("paused", True)
        world.fleet.add(FOUNDING, NAME)
        world.ask(NAME)
        comment = world.approve(NAME)
        world.wait(lambda: world.incident(NAME).approval, "the approval")
        world.github.edit_comment_as("maria", comment, "on second thoughts, no")
        world.read_comments()
        world.wait(lambda: world.incident(NAME).approval == {"approvals": []}, "the approval to be void")
        world.store.set_note("paused", False)
        world.wait(lambda: world.incident(NAME).decision["decision"] == "needs-approval", "the question")
        assert world.writes == []

    def test_to_a_healthy_slow_or_unknown_cluster_over_many_sweeps(self, world):
        for scenario in (
            "rke2-canal-healthy", "k3s-flannel-healthy", "rke1-canal-healthy", "rke2-flannel-healthy",
            "rke2-canal-slow", "imported-unreachable", "hosted-eks", "rke2-calico-waiting", "rke2-canal-being-deleted",
        ):  # fmt: skip
            world.fleet.add(scenario)
        seen = set()
        world.wait(
            lambda: seen.update(world.sweep().values()) or world.app.clock.now().timestamp() > world.origin + 2700,
            "three quarters of an hour",
        )
        assert "stuck" not in seen
        assert {"healthy", "progressing", "unknown", "out-of-scope"} <= seen
        assert world.store.all() == []
        assert world.writes == []
        assert world.github.writes == []


def self_told(world):
    row = world.incident(NAME)
    return [row.outcome, *world.timeline(NAME)]


class TestBrakes:
    def test_at_most_so_many_clusters_at_once_even_if_all_begin_together(self, new_world, tmp_path, monkeypatch):
        (tmp_path / "policy.yaml").write_text(
            "rules: [{when: {risk: safe}, decide: auto}]\nbrakes: {clusters_at_once: 1}\n", encoding="utf-8"
        )
        world = new_world(POLICY_FILE=str(tmp_path / "policy.yaml"))
        names = [world.fleet.add(FOUNDING).name for _ in range(3)]
        saving = world.store.save_preimage

        def save_slowly(*given):
            # Between the question to the policy and the move of the state: here the others would slip through.
            time.sleep(0.5)
            saving(*given)

        monkeypatch.setattr(world.store, "save_preimage", save_slowly)
        world.sweep()
        most = 0

        def all_resolved():
            nonlocal most
            most = max(most, world.store.mending_now())
            return all(world.state(name) == "resolved" for name in names)

        world.wait(all_resolved, "all three", within=90)
        assert most == 1
        assert len(world.writes) == 3


class TestAway:
    def test_rancher_goes_away_while_it_is_proved_and_comes_back(self, world):
        world.fleet.add(FOUNDING, NAME)
        world.ask(NAME)
        world.approve(NAME)
        world.until(NAME, "verifying")
        world.fleet.faults.add("drop", path="^/(k8s|v3)/")
        world.wait(lambda: world.app.parts.ranchers["default"].transport.counters.retries > 3, "some failures")
        world.fleet.faults.clear()
        world.until(NAME, "resolved", within=60)
        assert len(world.writes) == 1

    def test_the_answer_to_the_write_is_lost(self, world):
        """It took effect and nobody heard: it is found again, not written again."""
        world.fleet.add(FOUNDING, NAME)
        world.ask(NAME)
        world.fleet.faults.add("drop", path=CLUSTER_PATH, method="PATCH", count=1, after_handling=True)
        world.approve(NAME)
        world.until(NAME, "resolved", within=60)
        assert len(world.writes) == 1

    def test_github_is_down_while_it_is_reported_and_comes_back(self, world):
        world.github.faults.fail(path="/issues", method="POST", status=502, times=3)
        world.fleet.add(FOUNDING, NAME)
        world.ask(NAME)
        assert len(world.github.issues) == 1

    def test_github_made_the_issue_and_the_answer_was_lost(self, world):
        world.github.faults.drop(path="/issues$", method="POST", after_the_write=True)
        world.fleet.add(FOUNDING, NAME)
        world.ask(NAME)
        assert len(world.github.issues) == 1

    def test_github_is_down_while_a_cure_is_under_way_and_that_does_not_hold_it_up(self, world):
        world.fleet.add(FOUNDING, NAME)
        world.ask(NAME)
        world.approve(NAME)
        world.until(NAME, "remediating", "verifying")
        world.github.faults.fail(status=502, times=1_000_000)
        world.until(NAME, "resolved", within=60)
        world.github.faults.clear()
        world.wait(lambda: not world.issue_of(NAME).open, "the issue to close")
        assert len(world.comments(NAME)) == 1
        assert len(world.writes) == 1

    def test_a_failed_cure_is_put_back_while_github_is_down(self, world):
        world.fleet.add("rke1-canal-cure-fails", NAME)
        world.ask(NAME)
        world.approve(NAME)
        world.until(NAME, "verifying")
        world.github.faults.fail(status=502, times=1_000_000)
        world.until(NAME, "rolled-back", within=60)
        assert "enableBrNetfilter" not in world.network(NAME)
        world.github.faults.clear()
        world.wait(lambda: len(world.comments(NAME)) == 1, "the story of the undo", within=60)


class TestRestart:
    def test_what_waits_for_a_person_waits_after_a_restart(self, world):
        world.fleet.add(FOUNDING, NAME)
        world.ask(NAME)
        world.stop()
        world.start()
        world.approve(NAME)
        world.until(NAME, "resolved")
        assert len(world.writes) == 1
        assert len(world.github.issues) == 1

    def test_an_approval_given_while_nobody_listened_is_found(self, world):
        world.fleet.add(FOUNDING, NAME)
        world.ask(NAME)
        digest, number = world.digest(NAME), world.incident(NAME).issue
        world.stop()
        world.github.comment_as("maria", number, f"/drover approve {digest}")
        world.start()
        world.read_comments()
        world.until(NAME, "resolved")

    def test_a_row_without_its_workflow_gets_one(self, world):
        """The process died between the row and the start of its workflow."""
        world.fleet.add(FOUNDING, NAME)
        started = world.app.engine.start
        world.app.engine.start = lambda *_: None
        world.sweep()
        world.app.engine.start = started
        assert world.state(NAME) == "detected"
        world.stop()
        world.start()
        world.until(NAME, "awaiting-approval")


class TestRelapse:
    def test_within_a_day_it_is_the_same_issue(self, world):
        world.fleet.add(FOUNDING, NAME, forgets=True)
        world.ask(NAME)
        world.approve(NAME)
        world.until(NAME, "resolved")
        world.wait(lambda: not world.issue_of(NAME).open, "the issue to close")
        world.change_network(NAME, enableBrNetfilter=None)
        world.wait(lambda: world.sweep()[NAME] == "stuck", "the relapse", within=60)
        second = world.incident(NAME)
        assert (second.episode, second.story) == (2, 1)
        world.until(NAME, "awaiting-approval")
        world.wait(lambda: world.issue_of(NAME) and world.issue_of(NAME).open, "the issue to open again")
        assert len(world.github.issues) == 1
        assert world.github.issues[0].number == world.incident(NAME).issue
        world.wait(lambda: world.digest(NAME), "the plan")
        world.approve(NAME)
        world.until(NAME, "resolved")
        assert len(world.writes) == 2


CLUSTER_PATH = "/apis/management.cattle.io/v3/clusters/"
