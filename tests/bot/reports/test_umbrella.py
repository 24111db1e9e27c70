"""The overview of a storm: a row for each incident, those that wait for people first, within what GitHub takes."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.incidents.incident import State
from bot.reports.umbrella import Storm, umbrella_draft
from tests.bot.reports.inert import active, shown
from tests.bot.reports.stories import BR_NETFILTER, NO_CNI_CONF, NOW, OPENED, a_diagnosis, an_incident


def a_row(number, state=State.AWAITING_APPROVAL, finding=BR_NETFILTER, **changes):
    return replace(
        an_incident(
            id=f"incident:default:uid-{number}:1",
            cluster_name=f"edge-{number:02}",
            issue=number,
            diagnosis=a_diagnosis(finding),
        ),
        state=state,
        **changes,
    )


def a_storm(*rows, **changes):
    return replace(Storm(began_at=OPENED, now=NOW, rows=rows, fleet=148), **changes)


def test_those_that_wait_for_people_stand_first_and_what_is_over_last():
    storm = a_storm(a_row(1, State.RESOLVED), a_row(2, State.VERIFYING), a_row(3), a_row(4, State.ESCALATED))
    draft = umbrella_draft(storm)
    names = [line.split("`")[1] for line in draft.body.splitlines() if line.startswith("| `edge-")]
    assert names == ["edge-03", "edge-04", "edge-02", "edge-01"]
    assert draft.title == "Storm: 3 of 148 clusters are stuck since 09:42 UTC"
    assert "1 waits for approval; 1 up again." in draft.body
    assert "| `edge-03` | #3 | **waits for approval** |" in draft.body


def test_what_they_have_in_common_is_said():
    body = umbrella_draft(a_storm(a_row(1), a_row(2), a_row(3, finding=NO_CNI_CONF))).body
    assert "is not loaded (2), The container runtime of a node has no CNI configuration (1)." in shown(body).replace(
        "\n", ""
    )
    assert "**All of them share:** version v1.32.2-rancher1-1" in body
    other = umbrella_draft(a_storm(a_row(1), a_row(2, kubernetes="v1.32.4+rke2r1"))).body
    assert "version" not in other


def test_a_storm_that_is_over_says_so():
    draft = umbrella_draft(a_storm(a_row(1, State.RESOLVED), a_row(2, State.SUPERSEDED), ended_at=NOW))
    assert "is over: 2 clusters were stuck" in draft.title
    assert "2 are up again" in draft.body
    assert "state/storm-over" in draft.labels


def test_nothing_new_gives_the_same_draft_and_the_same_issue():
    one, two = a_storm(a_row(1), a_row(2)), a_storm(a_row(2), a_row(1))
    assert umbrella_draft(one) == umbrella_draft(two)
    assert one.marker == two.marker == "storm:20250304T094208"


def test_a_thousand_clusters_fit():
    rows = [a_row(number, cluster_name="x&" * 31) for number in range(2_000)]
    body = umbrella_draft(a_storm(*rows, fleet=None)).body
    assert len(body) <= 65_000
    assert "more have no room here" in body


@pytest.mark.parametrize("text", ["@tom #12", "<img src=x>", "a | b", "[x](https://evil.invalid)", "```"])
def test_nothing_from_a_cluster_does_anything(text):
    finding = {**BR_NETFILTER, "title": text}
    row = a_row(7, finding=finding, cluster_name=text, kubernetes=text, driver=text)
    body = umbrella_draft(a_storm(row, replace(row, id="b"), reason=text)).body
    assert [each for each in active(body) if each != "#7"] == []


def test_a_row_is_as_old_as_its_cluster_was_stuck():
    healed = a_row(1, State.RESOLVED, closed_at=NOW + timedelta(hours=5))
    assert "| 5h |" in umbrella_draft(a_storm(healed, now=NOW + timedelta(days=3))).body
