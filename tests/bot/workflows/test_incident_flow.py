"""Every turn an incident can take: the steps in their order, for each thing that can happen."""

import threading
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from bot.errors import BotError
from bot.workflows.incident_flow import brake_pause
from rancher_ext.client.changes import FieldMoved
from rancher_ext.errors import BadInput, Forbidden, NotFound, RancherUnreachable
from tests.bot.workflows.scripted import BEGUN, NOT_YET, PROVED, UNDERSTOOD, Runs

GONE = NotFound("there is no such cluster", status=404)
AWAY = RancherUnreachable("no answer", cure="wait")
ALLOW = {"decision": "allow", "by": "policy"}
WAIT = {"decision": "wait", "reasons": ["paused"]}
MENDED = ["begin", "apply", "prove", "prove", "prove", "resolved"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    runs = Runs(f"sqlite:///{tmp_path_factory.mktemp('flow')}/drover.sqlite")
    yield runs
    runs.engine.close()


def after_approval(steps_holder):
    """A policy that allows once somebody has agreed and nobody has taken it back."""

    def decide():
        counted = steps_holder[0].names.count("note_approval") - steps_holder[0].names.count("void_approvals")
        return ALLOW if counted > 0 else {"decision": "needs-approval"}

    return decide


def awaiting(runs, **script):
    """A run whose plan waits for a person."""
    holder = []
    run = runs.start(decide=lambda: after_approval(holder)() if holder else {"decision": "needs-approval"}, **script)
    holder.append(run.steps)
    run.steps.wait_for("decide", 2)
    return run


class TestMended:
    def test_the_policy_lets_it_run_by_itself(self, runs):
        run = runs.start(decide=ALLOW)
        assert run.end() == "resolved"
        assert run.steps.names == [*UNDERSTOOD, "decide", *MENDED]
        assert run.steps.args("apply") == [(0,)]
        assert run.steps.args("prove") == [("cure",), ("soak",), ("soak",)]
        assert run.steps.args("resolved") == [("canal 3/3",)]

    def test_a_person_agrees(self, runs):
        run = awaiting(runs)
        run.say("approve", approval={"by": "maria"})
        assert run.end() == "resolved"
        assert run.steps.names == [*UNDERSTOOD, "decide", "note_approval", "decide", *MENDED]

    def test_all_steps_of_a_plan_are_applied_in_order(self, runs):
        run = runs.start(decide=ALLOW, begin=BEGUN | {"steps": 3})
        run.end()
        assert run.steps.args("apply") == [(0,), (1,), (2,)]

    def test_a_proof_may_take_its_time(self, runs):
        run = runs.start(decide=ALLOW, prove=[NOT_YET, NOT_YET, NOT_YET, PROVED])
        assert run.end() == "resolved"
        assert run.steps.args("prove") == [("cure",)] * 4 + [("soak",)] * 2

    def test_rancher_away_while_proving_proves_nothing_either_way(self, runs):
        run = runs.start(decide=ALLOW, prove=[AWAY, AWAY, PROVED])
        assert run.end() == "resolved"

    def test_one_bad_look_in_the_soak_is_a_node_that_reports_late(self, runs):
        run = runs.start(decide=ALLOW, begin=BEGUN | {"soak": 120.0}, prove=[PROVED, PROVED, NOT_YET, PROVED])
        assert run.end() == "resolved"

    def test_rancher_away_in_the_soak_does_not_count_as_soaked(self, runs):
        run = runs.start(decide=ALLOW, begin=BEGUN | {"soak": 90.0}, prove=[PROVED, AWAY, AWAY, AWAY, PROVED])
        assert run.end() == "resolved"
        assert len(run.steps.args("prove")) == 1 + 3 + 3

    def test_words_that_come_while_it_is_proved_change_nothing(self, runs):
        run = runs.start(decide=ALLOW, begin=BEGUN | {"soak": 30.0}, prove=[NOT_YET] * 3 + [PROVED])
        for kind in ("approve", "healed", "again", "reject", "gone"):
            run.say(kind)
        assert run.end() == "resolved"
        assert not {"again", "reject", "superseded", "take_back"} & set(run.steps.names)


class TestBrakes:
    def test_a_brake_is_asked_again_and_the_issue_follows(self, runs):
        answers = [WAIT, WAIT | {"changed": False}, WAIT, ALLOW | {"changed": True}]
        run = runs.start(decide=answers)
        assert run.end() == "resolved"
        assert run.steps.names == [*UNDERSTOOD, "decide", "is_well", "decide", "is_well", "decide", *MENDED]

    def test_an_answer_that_changed_is_shown(self, runs):
        run = runs.start(decide=[WAIT, WAIT, {"decision": "refuse", "changed": True}])
        run.steps.wait_for("report", 2)
        assert run.steps.names[-2:] == ["decide", "report"]

    def test_a_brake_is_asked_less_and_less_often_and_a_weekend_is_a_short_record(self):
        pauses, asked = timedelta(), 0
        while pauses < timedelta(days=2):
            pauses += brake_pause(asked)
            asked += 1
        assert brake_pause(0) == timedelta(minutes=1)
        assert asked <= 110

    def test_a_word_that_the_brake_has_loosened_is_acted_upon_at_once(self, runs):
        run = runs.start(decide=[WAIT] * 12 + [ALLOW])
        run.steps.wait_for("decide", 8)
        for _ in range(5):
            run.say("wake")
        assert run.end() == "resolved"
        # What a message brought needs no look at the cluster; only silence does.
        assert run.steps.names.count("is_well") < 11

    def test_held_at_the_last_moment_it_asks_again_and_hears_what_is_said_meanwhile(self, runs):
        run = runs.start(decide=ALLOW, begin=[{"begun": False, "wait": True}] * 20 + [BEGUN])
        run.steps.wait_for("begin", 9)
        run.say("reject", by="jan")
        run.steps.wait_for("reject")
        run.say("dropped")
        assert run.end() == "dropped"
        assert "apply" not in run.steps.names


class TestNotMended:
    def test_a_rejected_plan_waits_for_a_fresh_look_and_approvals_do_not_help(self, runs):
        run = awaiting(runs)
        run.say("reject", by="jan", reason="fair")
        run.steps.wait_for("reject")
        run.say("approve", approval={})
        run.steps.wait_for("note_approval")
        run.steps.wait_for("is_well")  # it is quiet again
        assert run.steps.names.count("decide") == 2
        run.say("again", by="maria")
        run.steps.wait_for("collect", 2)
        assert run.end() == "resolved"  # the approval that the script still counts is good for the new plan
        assert run.steps.args("collect") == [("1",), ("2",)]

    @pytest.mark.parametrize(
        "why", [{"plan": None, "why": "no variant fits"}, {"plan": None}], ids=["explain", "unknown"]
    )
    def test_without_a_plan_it_waits_until_the_cluster_is_well(self, runs, why):
        run = runs.start(plan=why, decide={"decision": "nothing-to-do"}, is_well={"well": True})
        run.steps.wait_for("decide", 2)
        run.say("healed")
        assert run.end() == "superseded"
        assert run.steps.names == [*UNDERSTOOD, "decide", "is_well", "superseded"]
        assert run.steps.args("superseded") == [("it came up by itself",)]

    def test_an_old_word_of_health_is_checked_and_not_believed(self, runs):
        run = runs.start(is_well=[{"well": False}, {"well": True}])
        run.say("healed")
        run.steps.wait_for("is_well")
        run.say("healed")
        assert run.end() == "superseded"

    def test_a_cluster_that_is_gone_ends_it(self, runs):
        run = runs.start(is_well=GONE)
        run.say("gone")
        assert run.end() == "gone"
        assert run.steps.args("superseded") == [("the cluster is gone from Rancher",)]

    def test_a_cluster_that_is_still_there_does_not(self, runs):
        run = runs.start(is_well=[{"well": False}, {"well": False}, GONE])
        run.say("gone")
        run.steps.wait_for("is_well", 2)
        assert "superseded" not in run.steps.names[:-1]
        assert run.end() == "gone"  # noticed in the quiet, without any word

    def test_words_nobody_knows_are_ignored(self, runs):
        run = awaiting(runs)
        for kind in ("sing", "", "approve"):
            run.say(kind, approval={})
        assert run.end() == "resolved"

    def test_words_are_heard_in_their_order(self, runs):
        """An approval that is taken back before it was looked at lets nothing run."""
        heard = threading.Event()
        run = runs.start(collect=lambda _: heard.wait(10) and {}, decide={"decision": "needs-approval"})
        for kind in ("approve", "void", "reject"):
            run.say(kind, by="maria", comment=1, approval={})
        heard.set()
        run.steps.wait_for("reject")
        spoken = [name for name in run.steps.names if name in {"note_approval", "void_approvals", "reject"}]
        assert spoken == ["note_approval", "void_approvals", "reject"]

    def test_the_same_word_twice_is_heard_once(self, runs):
        run = runs.start()
        for _ in range(3):
            assert run.say("approve", once="comment-1", approval={})
        run.say("reject", once="comment-2", by="x")
        run.steps.wait_for("reject")
        assert run.steps.names.count("note_approval") == 1


class TestBegin:
    def test_what_changed_since_the_plan_leads_to_a_new_one(self, runs):
        run = runs.start(decide=[ALLOW, ALLOW, {"decision": "needs-approval"}], begin={"begun": False, "why": "drift"})
        run.steps.wait_for("decide", 4)
        assert run.steps.names == [*UNDERSTOOD, "decide", "begin", *UNDERSTOOD, "decide"]
        assert run.steps.args("collect") == [("1",), ("2",)]

    def test_a_cluster_that_came_up_meanwhile_is_left_alone(self, runs):
        run = runs.start(decide=ALLOW, begin={"begun": False, "well": True}, is_well={"well": True})
        assert run.end() == "superseded"
        assert "apply" not in run.steps.names

    def test_and_looked_at_afresh_when_that_did_not_last(self, runs):
        run = runs.start(decide=ALLOW, begin=[{"begun": False, "well": True}, BEGUN], is_well={"well": False})
        assert run.end() == "resolved"
        assert run.steps.names == [*UNDERSTOOD, "decide", "begin", "is_well", *UNDERSTOOD, "decide", *MENDED]

    def test_a_lock_that_another_holds_needs_a_person_and_nothing_is_written(self, runs):
        run = runs.start(decide=ALLOW, begin=[BadInput("another worker is changing edge-7"), BEGUN])
        run.steps.wait_for("escalate")
        run.say("approve", approval={})
        run.steps.wait_for("is_well")
        assert run.steps.args("escalate") == [("another worker is changing edge-7",)]
        assert "apply" not in run.steps.names
        run.say("again", by="maria")
        assert run.end() == "resolved"

    def test_a_cluster_that_vanished_ends_it(self, runs):
        run = runs.start(decide=ALLOW, begin=GONE)
        assert run.end() == "gone"
        assert not {"apply", "escalate"} & set(run.steps.names)

    def test_rancher_away_is_waited_for(self, runs):
        run = runs.start(decide=ALLOW, begin=[AWAY, AWAY, BEGUN], apply=[AWAY, {"wrote": True}])
        assert run.end() == "resolved"


class TestSettle:
    """A step that the next one builds on is waited for."""

    def test_the_next_step_waits_until_it_has_settled(self, runs):
        run = runs.start(
            decide=ALLOW,
            begin=BEGUN | {"steps": 2},
            apply=[{"wrote": True, "settle": 300.0}, {"wrote": True}],
            settled=[{"holds": False, "text": "not Established"}, AWAY, {"holds": True, "text": "Established"}],
        )
        assert run.end() == "resolved"
        mended = run.steps.names[run.steps.names.index("begin") :]
        assert mended[:6] == ["begin", "apply", "settled", "settled", "settled", "apply"]

    def test_what_does_not_settle_in_time_is_taken_back(self, runs):
        run = runs.start(
            decide=ALLOW,
            begin=BEGUN | {"steps": 2},
            apply={"wrote": True, "settle": 60.0},
            settled={"holds": False, "text": "not Established"},
            take_back=[{"done": False}, {"done": False}, {"done": True}],
        )
        run.steps.wait_for("rolled_back")
        assert run.steps.args("apply") == [(0,)]
        assert run.steps.args("rolled_back") == [("step 1 had no effect in time: not Established",)]

    def test_a_person_can_take_it_back_while_it_settles(self, runs):
        run = runs.start(
            decide=ALLOW,
            apply={"wrote": True, "settle": 3600.0},
            settled={"holds": False, "text": "waiting"},
            take_back=[{"done": False}, {"done": True}],
        )
        run.steps.wait_for("settled")
        run.say("rollback")
        run.steps.wait_for("rolled_back")
        assert "prove" not in run.steps.names

    def test_where_nobody_can_see_it_a_person_decides(self, runs):
        run = runs.start(
            decide=ALLOW, apply={"wrote": True, "settle": 60.0}, settled=Forbidden("may not read", status=403)
        )
        run.steps.wait_for("escalate")
        assert "take_back" not in run.steps.names


class TestPutBack:
    def test_a_step_that_cannot_be_applied(self, runs):
        run = runs.start(
            decide=ALLOW,
            begin=BEGUN | {"steps": 2},
            apply=[{"wrote": True}, Forbidden("may not patch", status=403)],
            take_back=[{"done": False}, {"done": False}, {"done": True}],
        )
        run.steps.wait_for("rolled_back")
        assert run.steps.names[6:] == [
            "begin", "apply", "apply", "failed_cure", "take_back", "take_back", "take_back", "rolled_back",
        ]  # fmt: skip
        assert run.steps.args("take_back") == [(0,), (1,), (2,)]
        (why,) = run.steps.args("rolled_back")
        assert why == ("step 2 could not be applied: may not patch",)

    def test_a_proof_that_does_not_come(self, runs):
        run = runs.start(decide=ALLOW, prove=NOT_YET)
        run.steps.wait_for("rolled_back")
        assert len(run.steps.args("prove")) == 5  # every 30 s for 120 s, and once at the end
        assert run.steps.args("rolled_back") == [("the proof did not come within 2 min: canal 1/3",)]
        assert "resolved" not in run.steps.names

    def test_a_proof_that_can_never_come_is_not_waited_for(self, runs):
        run = runs.start(decide=ALLOW, prove=Forbidden("may not read", status=403))
        run.steps.wait_for("escalate")
        assert len(run.steps.args("prove")) == 1
        # Taking it back unseen could break what it mended.
        assert "take_back" not in run.steps.names

    def test_a_rancher_that_is_away_while_the_cure_is_proved_says_nothing_about_the_cure(self, runs):
        run = runs.start(decide=ALLOW, begin=BEGUN | {"within": 60.0}, prove=[AWAY] * 20 + [PROVED])
        assert run.end() == "resolved"
        assert "take_back" not in run.steps.names

    def test_a_relapse_in_the_soak(self, runs):
        run = runs.start(decide=ALLOW, begin=BEGUN | {"soak": 300.0}, prove=[PROVED, PROVED, NOT_YET, NOT_YET])
        run.steps.wait_for("rolled_back")
        assert run.steps.args("rolled_back") == [("it came up and fell ill again: canal 1/3",)]
        assert len(run.steps.args("prove")) == 4

    def test_afterwards_it_waits_for_people_and_nothing_runs_by_itself(self, runs):
        run = runs.start(decide=ALLOW, prove=NOT_YET, is_well=[{"well": False}, {"well": True}])
        run.steps.wait_for("rolled_back")
        run.say("approve", approval={})
        run.steps.wait_for("is_well")
        assert run.steps.names.count("begin") == 1
        run.say("healed")
        assert run.end() == "superseded"

    def test_a_fresh_look_after_it_may_end_well(self, runs):
        run = runs.start(decide=ALLOW, prove=[NOT_YET] * 5 + [PROVED])
        run.steps.wait_for("rolled_back")
        run.say("again", by="maria")
        assert run.end() == "resolved"
        assert run.steps.names.count("begin") == 2

    def test_a_playbook_that_keeps_its_change_calls_a_person(self, runs):
        run = runs.start(decide=ALLOW, prove=NOT_YET, failed_cure={"keep": True})
        run.steps.wait_for("escalate")
        assert "take_back" not in run.steps.names

    def test_it_is_put_back_even_if_nothing_could_be_learnt(self, runs):
        run = runs.start(decide=ALLOW, prove=NOT_YET, failed_cure=Forbidden("may not read", status=403))
        run.steps.wait_for("rolled_back")
        assert "escalate" not in run.steps.names

    def test_a_field_that_somebody_else_changed_is_left_and_a_person_called(self, runs):
        moved = FieldMoved("spec.x is 3; the plan expected 2", status=409)
        run = runs.start(decide=ALLOW, prove=NOT_YET, take_back=moved)
        run.steps.wait_for("escalate")
        (why,) = run.steps.args("escalate")
        assert why[0].startswith("the proof did not come")
        assert why[0].endswith("it could not be put back: spec.x is 3; the plan expected 2")
        assert "rolled_back" not in run.steps.names

    def test_rancher_away_does_not_keep_the_undo_from_happening_later(self, runs):
        run = runs.start(decide=ALLOW, prove=NOT_YET, take_back=[AWAY, AWAY, {"done": False}, {"done": True}])
        run.steps.wait_for("rolled_back")
        assert run.steps.args("take_back") == [(0,), (0,), (0,), (1,)]


class TestRollbackByAPerson:
    @pytest.mark.parametrize("prove", [[NOT_YET] * 10_000 + [PROVED], [PROVED]], ids=["while proving", "in the soak"])
    def test_it_is_put_back_at_once(self, runs, prove):
        run = runs.start(decide=ALLOW, begin=BEGUN | {"within": 1e7, "soak": 1e7}, prove=prove)
        run.steps.wait_for("prove", 2)
        run.say("rollback", by="maria")
        run.steps.wait_for("rolled_back")
        assert run.steps.args("rolled_back") == [("a person asked for it",)]
        assert not {"resolved", "failed_cure"} & set(run.steps.names)

    def test_when_it_waits_for_people_after_a_failed_undo(self, runs):
        moved = FieldMoved("changed", status=409)
        run = runs.start(decide=ALLOW, prove=NOT_YET, take_back=[moved, {"done": False}, {"done": True}])
        run.steps.wait_for("escalate")
        run.say("rollback", by="maria")
        run.steps.wait_for("rolled_back")


class TestUnderstanding:
    @pytest.mark.parametrize("name", UNDERSTOOD)
    def test_what_may_pass_is_tried_again(self, runs, name):
        usual = {"decide": ALLOW}.get(name, {})
        run = runs.start(**{"decide": ALLOW, name: [AWAY, BotError("GitHub is away"), usual]})
        assert run.end() == "resolved"
        assert run.steps.names.count(name) >= 3

    def test_github_being_away_is_no_reason_to_stop(self, runs):
        run = runs.start(decide=ALLOW, report=Forbidden("may not", status=403))
        assert run.end() == "resolved"

    def test_a_cluster_that_is_no_longer_watched_ends_its_incident(self, runs):
        run = runs.start(decide={"decision": "needs-approval"})
        run.steps.wait_for("report")
        run.say("dropped")
        assert run.end() == "dropped"

    @pytest.mark.parametrize("name", ["collect", "diagnose", "plan"])
    def test_what_cannot_pass_needs_a_person_and_nothing_runs(self, runs, name):
        run = runs.start(**{"decide": ALLOW, name: Forbidden("may not", status=403)})
        run.steps.wait_for("is_well")
        assert run.steps.args("escalate") == [(f"{name}: may not",)]
        assert "begin" not in run.steps.names

    @pytest.mark.parametrize("name", ["collect", "plan"])
    def test_a_cluster_deleted_half_way_is_no_failure(self, runs, name):
        run = runs.start(**{name: GONE, "decide": GONE, "is_well": GONE})
        assert run.end() == "gone"
        assert "escalate" not in run.steps.names

    def test_patience_has_an_end(self, runs):
        run = runs.start(collect=AWAY)
        run.steps.wait_for("escalate", within=60)
        # Twelve hours with pauses that grow from five seconds to five minutes.
        assert 140 <= run.steps.names.count("collect") <= 160
        assert run.steps.args("escalate") == [("collect: no answer",)]


def test_a_bug_in_a_step_is_loud_and_reaches_a_person(runs):
    """
    The incident must not die of it: it stays open, and a person hears of the bug in the issue.
    """
    with capture_logs() as logs:
        run = runs.start(diagnose=KeyError("verdict"))
        run.steps.wait_for("escalate")
    assert run.steps.args("escalate") == [("diagnose: a bug in Drover (KeyError: 'verdict')",)]
    assert [entry["step"] for entry in logs if entry["event"] == "step_failed"] == ["diagnose"]
    assert run.running
