"""The issue of an incident: compared whole, inert whatever a cluster says, and never too long.

`UPDATE_GOLDEN=1 pytest tests/bot/reports` writes `tests/golden/*.md` anew; the difference is then read as prose.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.incidents.incident import State
from bot.incidents.timeline import TimelineEntry
from bot.reports.issue import MAX_BODY, issue_draft
from bot.reports.story import EvidenceSummary, Sibling, Story
from rancher_ext.remediation.action import Risk, UndoKind
from tests.bot.reports import stories
from tests.bot.reports.inert import active, shown
from tests.bot.reports.stories import BR_NETFILTER, NOW, a_diagnosis, a_plan, a_step, a_story, an_incident

GOLDEN = Path(__file__).parents[2] / "golden"

NASTY = [
    "@maria look at #12 and gh-7",
    "https://evil.example/x www.evil.example mailto:a@b.example",
    "[click](https://evil.example) ![i](https://evil.example/p.png)",
    "<img src=x onerror=alert(1)> <!-- hidden --> </details></sub>",
    "``` fence ~~~ ```` `` `",
    "| a | b |\n|---|---|\n# heading\n> quote\n- [ ] task\n1. one",
    "**bold** _em_ ~~gone~~ \\ $$x$$ &lt; 0123456789abcdef0123456789abcdef01234567",
    "line\r\nend\u2028sep\x00\x1b[31mred\u202etxt",
]


def golden(name: str, text: str) -> None:
    """Compare with the kept text, or keep this one when UPDATE_GOLDEN is set."""
    path = GOLDEN / f"{name}.md"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text + "\n", encoding="utf-8")
    assert text + "\n" == path.read_text(encoding="utf-8")


def as_read(story: Story) -> str:
    """Title and labels above the body."""
    draft = issue_draft(story)
    return f"Title: {draft.title}\nLabels: {' '.join(draft.labels)}\n\n{draft.body}"


@pytest.mark.parametrize(
    ("name", "story"),
    [
        ("issue-awaiting-approval", stories.a_story),
        ("issue-explain-only", stories.explain_only),
        ("issue-unknown-cause", stories.unknown_cause),
        ("issue-other-failure", stories.other_failure),
        ("issue-put-back", stories.put_back),
        ("issue-healed", stories.healed),
    ],
)
def test_issue_reads_as_kept(name: str, story: Callable[[], Story]):
    golden(name, as_read(story()))


def test_the_same_story_gives_the_same_body_later():
    """An edit that changes nothing costs no request, so time alone must not change the text."""
    story = a_story()
    assert issue_draft(story) == issue_draft(replace(story, now=story.now + timedelta(hours=3)))


def test_the_approve_line_stands_only_where_an_approval_is_asked_for():
    assert f"/drover approve {a_plan().short}" in issue_draft(a_story()).body
    for state in State:
        if state not in {State.REPORTED, State.AWAITING_APPROVAL}:
            assert "/drover approve" not in issue_draft(a_story(an_incident(state=state))).body, state
    for decision in ("allow", "wait", "refuse"):
        body = issue_draft(a_story(decision={"decision": decision, "by": "policy", "reasons": ["because 3 of 3"]})).body
        assert "/drover approve" not in body
        assert "because 3 of 3" in body


def test_two_approvals_are_counted_in_words():
    story = a_story(
        plan=a_plan(risk=Risk.DESTRUCTIVE, undo=UndoKind.NONE),
        decision={"decision": "needs-approval", "count": 2, "given": 1, "role": "admin", "reasons": []},
    )
    body = issue_draft(story).body
    assert "**two approvals** by somebody with the role `admin` or higher (1 given)" in body
    assert "destructive and **cannot be taken back**" in body
    assert "**nothing is taken back by itself**" in body


def test_a_team_that_has_to_approve_is_named_and_not_called():
    """`@acme/sre` would write to everybody in it at each edit."""
    decision = {
        "decision": "needs-approval",
        "count": 1,
        "given": 0,
        "role": "none",
        "teams": ["acme/sre"],
        "reasons": [],
    }
    body = issue_draft(a_story(decision=decision)).body
    assert "**one approval** by somebody in the team `acme/sre`;" in body
    assert "@acme" not in body


def test_a_plan_without_undo_on_failure_promises_none():
    body = issue_draft(a_story(plan=a_plan(undo_on_failure=False))).body
    assert "is taken back, and this issue says so" not in body
    assert "**nothing is taken back by itself**" in body
    assert "put back exactly" not in body


def test_several_steps_are_numbered_and_all_are_taken_back():
    plan = a_plan(a_step(), a_step(title="Second", diff="-a: 1\n+a: 2"), a_step(title="Third"))
    body = issue_draft(a_story(plan=plan)).body
    assert "\n4. Third, in " in body
    assert "\n6. Without that proof within 20 min: steps 2, 3 and 4 are taken back" in body


def test_every_state_has_a_first_screen():
    for state in State:
        draft = issue_draft(a_story(an_incident(state=state, outcome="Told so.")))
        assert draft.body.startswith("**edge-07")
        assert f"state/{state.value}" in draft.labels


def test_before_the_first_diagnosis_the_issue_says_that_it_is_coming():
    story = Story(incident=an_incident(state=State.DIAGNOSING), now=NOW)
    draft = issue_draft(story)
    assert draft.title == "edge-07 is stuck since 09:12 UTC (Canal, RKE1 v1.32.2)"
    assert "Evidence is being collected; the cause will stand here." in draft.body


def test_title_names_the_day_when_the_issue_was_opened_on_another_one():
    story = a_story(an_incident(stuck_since=stories.SINCE - timedelta(days=1)))
    assert "since 2025-03-03 09:12 UTC:" in issue_draft(story).title


def test_title_stays_short_and_keeps_what_runs_there():
    finding = {**BR_NETFILTER, "title": "A very long title " * 40}
    title = issue_draft(a_story(an_incident(cluster_name="n" * 300), diagnosis=a_diagnosis(finding))).title
    assert len(title) <= 200
    assert title.endswith("(Canal, RKE1 v1.32.2)")


def test_labels_are_short_and_names_that_had_to_change_stay_apart():
    one = issue_draft(a_story(an_incident(cluster_name="Straße 1, Süd"))).labels[1]
    two = issue_draft(a_story(an_incident(cluster_name="Straße 1; Süd"))).labels[1]
    long = issue_draft(a_story(an_incident(cluster_name="c" * 90))).labels[1]
    assert one.startswith("cluster/Stra-e-1-S-d-")
    assert one != two
    assert len(long) == 50


def test_a_hundred_pods_that_fail_alike_are_shown_once():
    lines = [
        {**BR_NETFILTER["evidence"][0], "source": f"logs/kube-system/canal-{n}/kube-flannel.log"} for n in range(100)
    ]
    body = issue_draft(a_story(diagnosis=a_diagnosis({**BR_NETFILTER, "evidence": lines}))).body
    assert body.count("Failed to check") == 1
    assert "(the same in 99 more places)" in body


def test_references_lead_through_the_redirect_that_leaves_no_backlink():
    assert [each for each in active(issue_draft(a_story()).body) if each.startswith("link")] == [
        "link https://rancher.example/dashboard/",
        "link https://redirect.github.com/rancher/rancher/issues/49246",
        "link https://redirect.github.com/flannel-io/flannel/pull/2082",
        f"link https://drover.example/incidents/incident:default:{stories.UID}:1",
    ]


def test_a_change_too_long_for_the_issue_says_where_it_stands_in_full():
    diff = "\n".join(f"+line {number}: {'x' * 60}" for number in range(2_000))
    body = issue_draft(a_story(plan=a_plan(a_step(diff=diff)))).body
    assert "more lines of this change are not shown here" in body
    assert "before you approve" in body
    assert len(body) <= MAX_BODY


WIREGUARD = {
    **BR_NETFILTER,
    "signature": "wireguard-unsupported",
    "title": "The kernel has no WireGuard for Flannel's backend",
    "confidence": 0.9,
    "explainedBy": None,
}


def test_the_nodes_concerned_stand_under_the_evidence():
    finding = {**BR_NETFILTER, "affected": {"known": 5, "text": "all 3 el10 nodes, none elsewhere"}}
    alone = {**BR_NETFILTER, "affected": {"known": 1, "text": "node w1"}}

    assert (
        "\n**Where:** all 3 el10 nodes, none elsewhere.\n" in issue_draft(a_story(diagnosis=a_diagnosis(finding))).body
    )
    assert "**Where:**" not in issue_draft(a_story(diagnosis=a_diagnosis(alone))).body


def test_causes_that_cannot_be_told_apart_both_stand_with_the_reason():
    undecided = {
        "signatures": [BR_NETFILTER["signature"], "wireguard-unsupported"],
        "why": "both rest on the same lines. What would tell: net-conf.json of the CNI",
    }
    body = issue_draft(a_story(diagnosis=a_diagnosis(BR_NETFILTER, WIREGUARD, undecided=undecided))).body

    assert "**Not decided.** It may also be: The kernel has no WireGuard for Flannel's backend (90% sure)." in body
    assert "does not tell which: both rest on the same lines. What would tell: net-conf.json of the CNI." in body
    assert "**Not decided.**" not in issue_draft(a_story(diagnosis=a_diagnosis(BR_NETFILTER, WIREGUARD))).body


def test_what_speaks_against_the_cause_is_not_kept_back():
    finding = {**BR_NETFILTER, "against": [{"source": "nodes.txt", "line": 7, "text": "edge-07-a   Ready"}]}
    body = issue_draft(a_story(diagnosis=a_diagnosis(finding))).body

    assert "**What speaks against it**" in body
    assert "edge-07-a   Ready" in shown(body)


def test_the_moments_of_the_evidence_are_folded_in_their_order():
    moments = [
        {"when": "2025-03-04 09:11:31 UTC", "text": "kubelet on w1: no network", "alike": 2},
        {"when": "Mar 04 09:12:00", "text": "cluster: Waiting is Unknown", "alike": 0},
    ]
    body = issue_draft(a_story(diagnosis=a_diagnosis(BR_NETFILTER, timeline=moments))).body

    assert "What happened when: 2 moments that the evidence dates" in body
    rows = shown(body)
    assert rows.index("2025-03-04 09:11:31 UTC") < rows.index("Mar 04 09:12:00")
    assert "kubelet on w1: no network (and 2 alike)" in rows
    assert (
        "What happened when" not in issue_draft(a_story(diagnosis=a_diagnosis(BR_NETFILTER, timeline=moments[:1]))).body
    )


def everything_is(text: str) -> Story:
    """A story in which every word that is not ours is `text`."""
    finding = {
        **BR_NETFILTER,
        **dict.fromkeys(("signature", "cause", "title", "because", "advice", "explainedBy"), text),
        "evidence": [
            {"source": text, "line": 3, "text": text},
            {"source": f"logs/{text}/b/c.log", "line": 4, "text": text},
        ]
        * 4,
        "against": [{"source": text, "line": 5, "text": text}] * 3,
        "affected": {"nodes": [text], "known": 3, "unseen": 0, "group": text, "text": text},
        "missing": [text] * 3,
        "references": [text, f"https://example.com/{text} "],
    }
    return a_story(
        an_incident(
            cluster_name=text,
            reason=text,
            distribution=text,
            cni=text,
            kubernetes=text,
            driver=text,
            source=text,
            outcome=text,
            labels={text: text},
        ),
        timeline=[TimelineEntry(NOW, "found", text)] * 3,
        diagnosis=a_diagnosis(
            finding,
            finding,
            summary=text,
            missing=[text],
            undecided={"signatures": [text], "why": text},
            timeline=[{"when": text, "text": text, "alike": 2, "source": text, "line": 1}] * 3,
        ),
        plan=a_plan(a_step(title=text, diff=text, effect=text), title=text, proof=(text,)),
        explanation={"playbook": text, "title": text, "why": text, "steps": [text] * 3},
        decision={"decision": "needs-approval", "count": 1, "given": 0, "role": "write", "reasons": [text]},
        siblings=[Sibling(text, None, text)],
        evidence=EvidenceSummary(3, 3, 3, [{"name": text, "status": text, "reason": text}], [(text, text)]),
        coverage=text,
        public_url=text,
        rancher_url=text,
    )


def variants(story: Story) -> list[Story]:
    """The same in every shape an issue can have."""
    no_plan = replace(story, plan=None)
    diagnosis = dict(story.diagnosis or {})
    return [
        story,
        no_plan,
        *(
            replace(story, diagnosis={**diagnosis, "verdict": verdict})
            for verdict in ("other-failure", "unknown", "healthy")
        ),
        *(
            replace(story, decision={**(story.decision or {}), "decision": each})
            for each in ("allow", "wait", "refuse")
        ),
        *(replace(no_plan, incident=replace(story.incident, state=state)) for state in State),
    ]


@pytest.mark.parametrize("text", NASTY)
def test_nothing_from_a_cluster_becomes_markup(text: str):
    for story in variants(everything_is(text)):
        assert active(issue_draft(story).body) == []


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=40)
@given(
    st.integers(0, 7),
    st.lists(
        st.sampled_from([*NASTY, "`", "``", "|", "\n", " ", "\\", "&", "*", "_", "a", "~~~", "](", "<"]), max_size=12
    ).map("".join),
)
def test_nothing_becomes_markup_however_it_is_put_together(shape: int, text: str):
    assert active(issue_draft(variants(everything_is(text))[shape]).body) == []


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], max_examples=15)
@given(st.sampled_from([*"&`|@_\n/", "line of a log\n", "`a` ", "_ "]), st.integers(200, 20_000), st.integers(0, 7))
def test_body_stays_within_githubs_limit_and_keeps_its_first_screen(piece: str, times: int, shape: int):
    text = piece * times
    story = everything_is(text)
    many = replace(
        story,
        timeline=list(story.timeline) * 200,
        plan=a_plan(*[a_step(title=text, diff=text, effect=text)] * 12),
        explanation={"playbook": text, "title": text, "why": text, "steps": [text] * 80},
        siblings=list(story.siblings) * 100,
        evidence=replace(
            story.evidence, excerpts=list(story.evidence.excerpts) * 50, collectors=list(story.evidence.collectors) * 60
        ),
    )
    draft = issue_draft(variants(many)[shape])
    assert len(draft.body) <= MAX_BODY
    assert len(draft.title) <= 200
    assert all(len(label) <= 50 for label in draft.labels)
    assert "| Rancher says |" in draft.body
    assert draft.body.endswith("</sub>")


def test_what_was_left_out_is_counted():
    story = a_story(timeline=[TimelineEntry(NOW, "found", f"entry {number} " + "x" * 250) for number in range(900)])
    body = issue_draft(story).body
    assert "more earlier entries left out" in body
    assert "entry 899 " in shown(body)
    assert "entry 0 " not in shown(body)


def test_what_to_mind_and_what_has_nothing_to_do_stand_before_the_steps():
    plan = a_plan(cautions=("drain stays on",), done=(("take-etcd-snapshot", "one of 10:00 is fresh enough"),))
    body = issue_draft(a_story(plan=plan)).body
    assert body.index("**Mind:** drain stays on") < body.index("1. Save the values")
    assert "`take-etcd-snapshot` has nothing to do: one of 10:00 is fresh enough" in body
