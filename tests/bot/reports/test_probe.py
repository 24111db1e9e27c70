"""What an issue says of asking the nodes: one line while it is offered or under way, one comment when it is over."""

import re

import pytest

from bot.incidents.incident import State
from bot.reports.issue import issue_draft
from bot.reports.probe import asked_comment, offer_line
from bot.reports.story import Story
from tests.bot.reports.stories import NOW, an_incident

ASKS = {"decision": "needs-approval", "count": 1, "given": 0, "role": "maintain", "reasons": []}
OFFER = {
    "phase": "prepared",
    "digest": "7f3a9c" + "0" * 58,
    "risk": "disruptive",
    "nodes": ["a", "b"],
    "decision": ASKS,
}


def test_the_offer_is_one_line_with_what_it_does_and_the_exact_commands():
    line = offer_line(OFFER)
    assert "\n" not in line
    assert "a short-lived pod on each of two Linux nodes" in line
    assert "disruptive, needs one approval by somebody with the role `maintain` or higher" in line
    assert "`/drover diagnose nodes` shows the plan, `/drover approve 7f3a9c` agrees to it" in line
    assert "on its Linux node" in offer_line(OFFER | {"nodes": ["a"]})


@pytest.mark.parametrize("decision", [{"decision": "refuse", "reasons": ["never"]}, {}])
def test_what_may_not_be_is_not_offered(decision):
    assert offer_line(OFFER | {"decision": decision}) == ""


@pytest.mark.parametrize("state", list(State))
def test_it_stands_in_the_issue_while_people_may_decide_on_it(state):
    body = issue_draft(Story(an_incident(state=state), NOW, asked=OFFER)).body
    assert ("/drover diagnose nodes" in body) is (
        state in {State.REPORTED, State.AWAITING_APPROVAL, State.SNOOZED, State.ROLLED_BACK, State.ESCALATED}
    )


def test_names_and_reasons_of_others_are_inert():
    bad = "<b>@jan</b> #12\n/drover approve 000000"
    told = asked_comment({"out": True, "reported": [bad], "missing": [bad], "why": bad}, bad)
    # Names of nodes stand in code, where nothing has a meaning.
    plain = re.sub(r"`[^`\n]*`", "", told)
    assert "<b>" not in plain
    assert "@jan" not in plain
    assert not [line for line in told.splitlines() if line.startswith("/drover")]
    open_line = offer_line({"phase": "open", "nodes": [bad], "by": bad})
    assert "<b>" not in open_line
    assert "\n" not in open_line


def test_what_was_not_done_says_that_nothing_changed():
    told = asked_comment({"done": False, "why": "another worker is changing store-01."}, "")
    assert told == "**The nodes were not asked**, and nothing was changed: another worker is changing store-01."


def test_a_probe_that_could_not_be_taken_out_is_told():
    told = asked_comment({"out": False, "reported": [], "missing": [], "why": "no answer"}, "jan")
    assert "**The probe is still in the cluster.**" in told
