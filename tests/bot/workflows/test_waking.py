"""Who is woken when a brake loosens: as many as there is room for, the oldest first, and everybody in the end."""

from datetime import timedelta
from types import SimpleNamespace

import pytest

from bot.adapters.in_memory import InMemoryIncidents, StandingClock
from bot.incidents.incident import State
from bot.workflows.waking import Waker
from tests.bot.reports.stories import an_incident
from tests.builders import NOON, seconds


class Scene:
    def __init__(self):
        self.book, self.clock, self.sent = InMemoryIncidents(), StandingClock(NOON), []
        brakes = SimpleNamespace(clusters_at_once=3)
        parts = SimpleNamespace(store=self.book, clock=self.clock, policy=lambda: SimpleNamespace(brakes=brakes))
        self.waker = Waker(parts, self)

    def send(self, workflow, topic, message, *, once):
        self.sent.append((workflow, message["kind"], once))
        return True

    def add(self, number, state=State.REPORTED, decision="wait"):
        row = an_incident(
            id=f"incident:{number:03}",
            state=state,
            decision={"decision": decision},
            opened_at=NOON + timedelta(minutes=number),
        )
        self.book._rows[row.id] = row

    def look(self):
        self.sent.clear()
        self.waker.look()
        self.clock.advance(seconds(5))
        return [int(workflow[-3:]) for workflow, *_ in self.sent]


@pytest.fixture
def scene():
    return Scene()


def test_nobody_is_woken_while_paused_and_afterwards_all_by_and_by(scene):
    for number in range(7):
        scene.add(number)
    scene.book.set_note("paused", {"by": "maria"})
    assert scene.look() == []
    scene.book.set_note("paused", False)
    assert [scene.look() for _ in range(4)] == [[0, 1, 2], [3, 4, 5], [6], []]


def test_no_more_than_there_is_room_for(scene):
    scene.add(1, State.REMEDIATING, "allow")
    scene.add(2, State.VERIFYING, "allow")
    for number in (3, 4):
        scene.add(number)
    assert scene.look() == [3]
    scene.add(3, State.REMEDIATING, "allow")
    assert scene.look() == []


def test_a_cure_that_has_ended_wakes_the_others_afresh(scene):
    scene.add(1, State.VERIFYING, "allow")
    scene.add(2)
    assert scene.look() == [2]
    first = list(scene.sent)
    assert scene.look() == []
    scene.add(1, State.RESOLVED, "allow")
    assert scene.look() == [2]
    assert scene.sent != first


def test_only_those_that_a_brake_holds(scene):
    scene.add(1, State.AWAITING_APPROVAL, "needs-approval")
    scene.add(2, State.REJECTED)
    scene.add(3, State.ESCALATED)
    scene.add(4, State.AWAITING_APPROVAL, "allow")
    scene.add(5, State.REPORTED, "refuse")
    assert scene.look() == [4]
