"""Comments: short, compared whole, inert."""

import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bot.incidents.incident import State
from bot.incidents.timeline import TimelineEntry
from bot.reports.comment import (
    healed_comment,
    not_applied_comment,
    put_back_comment,
    reopened_comment,
    status_comment,
    superseded_comment,
)
from bot.reports.story import Sibling, Story
from rancher_ext.client.changes import Value
from tests.bot.reports import stories
from tests.bot.reports.inert import active
from tests.bot.reports.stories import NOW, SINCE, a_change, a_plan, a_step, a_story, an_incident

GOLDEN = Path(__file__).parents[2] / "golden"
PROOF = "canal 3/3, nodes 3/3, new pod 10.42.1.7, agent connected, cluster Active"


def golden(name: str, text: str) -> None:
    path = GOLDEN / f"{name}.md"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text + "\n", encoding="utf-8")
    assert text + "\n" == path.read_text(encoding="utf-8")


def test_healed_reads_as_kept():
    golden("comment-healed", healed_comment(stories.healed(), PROOF, timedelta(seconds=372)))


def test_put_back_reads_as_kept():
    golden(
        "comment-put-back",
        put_back_comment(
            stories.put_back(), "the proof did not come within 20 min: canal 0/3, nodes 0/3, agent not connected", True
        ),
    )


def test_what_could_not_be_put_back_is_said_first():
    text = put_back_comment(stories.put_back(), "canal stayed 0/3", False)
    assert text.startswith("**Put back in part.**")
    assert "All fields equal" not in text
    assert "**Not every field equals its value of 2025-03-04 09:53 UTC**" in text


@pytest.mark.parametrize(
    ("state", "changes", "line"),
    [
        (State.DETECTED, {}, "**Looking** · collecting evidence"),
        (
            State.AWAITING_APPROVAL,
            {},
            f"**Waiting for approval** · plan `{a_plan().short}` · 0 of 1 given · valid until 2025-03-05 09:53 UTC",
        ),
        (
            State.REMEDIATING,
            {"changed_at": NOW - timedelta(seconds=110)},
            f"**Mending** · plan `{a_plan().short}` · 1 min 50 s",
        ),
        (State.RESOLVED, {"outcome": "canal 3/3"}, "**Healed** · canal 3/3"),
        (
            State.ESCALATED,
            {"outcome": "No playbook fits."},
            "**Waiting for a person** · No playbook fits · stuck for 41m",
        ),
    ],
)
def test_status_is_one_line_that_begins_with_the_state(state: State, changes: dict, line: str):
    assert status_comment(a_story(an_incident(state=state, **changes))) == line


def test_status_tells_the_progress_and_how_long_it_lasts():
    incident = an_incident(state=State.VERIFYING, changed_at=NOW - timedelta(minutes=3))
    story = a_story(incident, progress_text="step 4 of 5 · canal 2/3")
    assert status_comment(story) == "**Proving the cure** · step 4 of 5 · canal 2/3 · 3 min"


def test_every_state_has_a_status():
    for state in State:
        assert status_comment(a_story(an_incident(state=state))).startswith("**")


def test_healed_names_the_rule_where_nobody_was_asked():
    story = replace(stories.healed(), decision={"decision": "allow", "by": "policy", "reasons": []}, siblings=())
    text = healed_comment(story, PROOF, timedelta(minutes=2))
    assert f"It ran by itself under the policy, plan `{a_plan().short}`." in text
    assert "Approved by" not in text


def test_healed_names_every_change_and_one_sibling_in_the_singular():
    plan = a_plan(
        a_step(),
        a_step(writes=(a_change(after=Value(present=False)),)),
        a_step(writes=(a_change(after=Value(present=True, value="x" * 100)),)),
    )
    story = replace(
        stories.healed(), plan=plan, siblings=[Sibling("edge-09", 13, "awaiting-approval"), Sibling("b", 1, "resolved")]
    )
    text = healed_comment(story, PROOF, timedelta(minutes=2))
    assert (
        "`enableBrNetfilter: true`, `enableBrNetfilter` removed and `enableBrNetfilter` (see the plan above)." in text
    )
    assert "edge-09 (#13) still waits for its approval." in text


def test_superseded_says_why_and_whether_drover_had_changed_something():
    up = superseded_comment(a_story(an_incident(outcome="it came up by itself")))
    gone = superseded_comment(a_story(an_incident(outcome="the cluster is gone from Rancher", changed_at=NOW)))
    assert up == (
        "**It came up by itself**, 41 min 20 s after it got stuck. Drover changed nothing. "
        "A relapse within 24 h reopens this issue."
    )
    assert gone.startswith("**The cluster is gone from Rancher**, 41 min 20 s after it got stuck.")
    assert "changed nothing" not in gone
    assert "relapse" not in gone


def test_a_rejection_names_who_and_why():
    story = a_story(
        an_incident(state=State.REJECTED, outcome="stale"),
        timeline=[TimelineEntry(NOW, "command", "maria rejected the plan: not today")],
    )
    assert status_comment(story) == "**Rejected** · maria rejected the plan: not today · stuck for 41m"


def test_what_an_earlier_attempt_left_is_not_taken_for_progress():
    story = a_story(an_incident(outcome="the proof did not come"), progress_text="the proof did not come")
    assert "proof" not in status_comment(story)


def test_reopened_counts_the_episodes_of_this_story():
    text = reopened_comment(a_story(an_incident(episode=5, story=4, stuck_since=SINCE)))
    assert text.startswith("**It is stuck again**, since 2025-03-04 09:12 UTC (episode 2).")


def test_not_applied_says_that_nothing_was_changed():
    text = not_applied_comment(a_story(), "the field `network.plugin` was changed after the approval")
    assert text.startswith(
        f"**Nothing was changed.** Plan `{a_plan().short}` did not run. The field `network.plugin` was"
    )


def test_after_a_change_nobody_is_told_that_nothing_was_changed():
    text = not_applied_comment(a_story(an_incident(changed_at=NOW)), "it could not be put back")
    assert text.startswith(
        f"**A person has to look.** Drover stopped with plan `{a_plan().short}`. It could not be put back."
    )
    assert "/drover rollback" not in text


def test_what_is_left_in_the_cluster_comes_with_the_way_to_take_it_back():
    text = not_applied_comment(a_story(an_incident(changed_at=NOW)), "it could not be put back", left=True)
    assert "`/drover rollback` puts back what Drover wrote" in text


@pytest.mark.parametrize("text", ["@maria #12 https://evil.example", "[x](https://e.example) <b> `", "```\n# h\n| a |"])
def test_no_comment_carries_markup_of_others(text: str):
    told: list[Story] = [
        a_story(an_incident(state=state, outcome=text, reason=text, cluster_name=text), progress_text=progress)
        for state in State
        for progress in ("", text)
    ]
    for plain in told:
        story = replace(
            plain,
            siblings=[Sibling(text, None, "awaiting-approval")],
            decision={"decision": "allow", "by": text, "reasons": [text]},
            diagnosis=stories.a_diagnosis(
                {**stories.BR_NETFILTER, "signature": text, "title": text, "missing": [text]}
            ),
        )
        for comment in (
            status_comment(story),
            healed_comment(story, text, timedelta(seconds=1)),
            put_back_comment(story, text, True),
            superseded_comment(story),
            reopened_comment(story),
            not_applied_comment(story, text),
        ):
            assert active(comment) == []
            assert len(comment) < 10_000
