"""What `/drover plan` answers: everything a reviewer needs, and nothing of a cluster's words that does anything."""

from datetime import timedelta

import pytest

from bot.knowledge import load_policy
from bot.policy.explain import Line, explain
from bot.policy.facts import Facts
from bot.reports.plan import explanation_reply, plan_reply, policy_answer
from rancher_ext.remediation.action import Risk, UndoKind
from rancher_ext.remediation.plan import Explanation
from tests.bot.reports.inert import active, shown
from tests.bot.reports.stories import NOW, a_plan, a_step

NASTY = ["@tom #12", "```\n@tom\n```", "<img src=x>", "[x](https://evil.invalid)", "a | b", "1234567abcdef"]


def facts(**changes):
    plan = a_plan()
    known = {
        "risk": Risk.SAFE,
        "undo": UndoKind.EXACT,
        "cause": "kernel-module-missing",
        "signature": plan.signature,
        "digest": plan.digest,
        "labels": {},
        "initialized": True,
        "mending_now": 0,
        "paused": False,
        "dry_run": False,
        "failed_before": False,
        "now": NOW,
    }
    return Facts(**known | changes)


def test_every_step_with_its_diff_proof_and_undo():
    text = plan_reply(a_plan(done=(("take-etcd-snapshot", "a fresh one is there"),)))
    assert f"Plan `{a_plan().short}`" in text
    assert "+    enableBrNetfilter: true" in text
    assert "has nothing to do: a fresh one is there" in text
    assert "everything is taken back" in text
    assert active(text) == []


def test_the_policy_says_what_it_looked_at():
    text = plan_reply(a_plan(), explain(load_policy(), facts(paused=True)))
    assert "**Policy**: " in text
    assert "rules and brakes looked at" in text
    assert "`pause`" in text
    assert active(text) == []


def test_a_plan_that_is_not_in_force_says_so():
    assert "cannot be approved here" in plan_reply(a_plan(), in_force=False)
    assert "cannot be approved here" not in plan_reply(a_plan())


def test_a_plan_that_is_not_in_force_and_would_help_says_how_to_choose_it():
    assert f"/drover approve {a_plan().short}" in plan_reply(a_plan(), in_force=False, offered=True)


@pytest.mark.parametrize("text", NASTY)
def test_what_a_cluster_says_stays_text(text):
    plan = a_plan(a_step(title=text, diff=text, effect=text), title=text, proof=(text,), done=((text, text),))
    told = explain(load_policy(), facts())
    told = type(told)(told.decision, (Line(text, "passes", text),))
    assert active(plan_reply(plan, told)) == []
    assert active(policy_answer(told)) == []
    assert active(explanation_reply(Explanation("x", text, text, (text, text)))) == []


def test_a_change_too_long_for_a_comment_says_what_is_missing():
    plan = a_plan(a_step(diff="\n".join(f"+line {number}" for number in range(50_000))))
    text = plan_reply(plan)
    assert len(text) < 60_000
    assert "more lines of this change are not shown here" in text
    many = a_plan(*[a_step(effect="x" * 390) for _ in range(400)], soak=timedelta(minutes=5))
    assert len(plan_reply(many)) < 60_000
    assert "more steps are not shown here" in plan_reply(many)


def test_steps_for_a_person_are_numbered():
    text = explanation_reply(Explanation("x", "Load the module", "no variant fits", ("modprobe br_netfilter", "wait")))
    assert "1. modprobe `br_netfilter`\n2. wait" in text
    assert "Load the module" in shown(text)
