"""The one issue of a storm: opened with it, kept up to date sparingly, closed when all of it is over."""

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest

from bot.adapters.in_memory import InMemoryFleet, InMemoryIncidents, InMemoryIssues, StandingClock
from bot.incidents.incident import State
from bot.policy.schema import Policy
from bot.workflows.umbrella import TOLD_EVERY, keep_umbrella
from rancher_ext.fleet.cluster import ClusterKey
from tests.bot.reports.stories import BR_NETFILTER, NOW, a_diagnosis, an_incident


@pytest.fixture
def parts():
    policy = Policy.model_validate({"brakes": {"storm": {"clusters": 2, "at_least": 2, "within": "30m"}}})
    return SimpleNamespace(
        tracker=InMemoryIssues(),
        policy=lambda: policy,
        clock=StandingClock(NOW),
        store=InMemoryIncidents(),
        fleet=InMemoryFleet(),
    )


def fall_ill(parts, *numbers):
    for number in numbers:
        row = an_incident(
            id=f"incident:default:uid-{number}:1",
            cluster_name=f"edge-{number}",
            cluster_uid=f"uid-{number}",
            cluster=ClusterKey("default", f"c-{number}"),
            issue=number,
            opened_at=parts.clock.now(),
            diagnosis=a_diagnosis(BR_NETFILTER),
        )
        parts.store._rows[row.id] = row


def become(parts, state):
    for key, row in parts.store._rows.items():
        parts.store._rows[key] = replace(row, state=state, closed_at=parts.clock.now())


def test_without_a_storm_there_is_none(parts):
    fall_ill(parts, 1, 2)
    assert keep_umbrella(parts) is None
    assert parts.tracker.did == []


def test_it_has_a_row_each_and_is_edited_sparingly(parts):
    fall_ill(parts, 1, 2, 3)
    number = keep_umbrella(parts)
    body = parts.tracker.get(number).body
    assert [f"`edge-{each}`" in body for each in (1, 2, 3)] == [True] * 3
    assert "something larger is wrong" in body
    done = len(parts.tracker.did)
    parts.clock.advance(timedelta(minutes=1))
    fall_ill(parts, 4)
    assert keep_umbrella(parts) == number
    assert len(parts.tracker.did) == done
    parts.clock.advance(TOLD_EVERY)
    assert keep_umbrella(parts) == number
    assert "`edge-4`" in parts.tracker.get(number).body


def test_it_is_closed_when_all_of_it_is_over_and_the_next_storm_has_its_own(parts):
    fall_ill(parts, 1, 2, 3)
    number = keep_umbrella(parts)
    parts.clock.advance(timedelta(hours=2))
    fall_ill(parts, 9)
    assert keep_umbrella(parts) == number
    assert "edge-9" not in parts.tracker.get(number).body
    become(parts, State.RESOLVED)
    assert keep_umbrella(parts) is None
    assert not parts.tracker.get(number).open
    assert keep_umbrella(parts) is None
    parts.clock.advance(timedelta(hours=2))
    fall_ill(parts, 11, 12, 13)
    assert keep_umbrella(parts) not in {None, number}


def test_a_crash_in_the_middle_opens_no_second_one(parts, monkeypatch):
    fall_ill(parts, 1, 2, 3)
    edit = parts.tracker.edit
    monkeypatch.setattr(parts.tracker, "edit", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        keep_umbrella(parts)
    monkeypatch.setattr(parts.tracker, "edit", edit)
    parts.clock.advance(timedelta(minutes=20))
    fall_ill(parts, 4, 5, 6)
    assert keep_umbrella(parts) == 1
    assert sum(line.startswith("open ") for line in parts.tracker.did) == 1


def test_without_github_or_with_the_brake_off_nothing_is_told(parts):
    fall_ill(parts, 1, 2, 3)
    parts.tracker, tracker = None, parts.tracker
    assert keep_umbrella(parts) is None
    parts.tracker = tracker
    parts.policy = lambda: Policy.model_validate({"brakes": {"storm": "off"}})
    assert keep_umbrella(parts) is None
