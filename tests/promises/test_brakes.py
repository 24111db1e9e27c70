"""The brakes on the whole service: who begins, who waits, who is asked, when several clusters are stuck at once."""

from datetime import timedelta

import pytest

from bot.incidents.snooze import Snooze, snoozed_note
from bot.knowledge import load_policy
from bot.policy.schema import Policy
from bot.workflows.cure_logs import read_log, resume_playbook
from bot.workflows.desk import Heard
from bot.workflows.incident_flow import TOPIC
from rancher_ext.remediation.plan import Plan
from tests.promises.baton import taking_turns
from tests.promises.house import House

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

MENDABLE, FAILING = "rke1-canal-br-netfilter", "rke1-canal-cure-fails"
PLAYBOOK = "enable-br-netfilter"
AUTO = {"rules": [{"when": {}, "decide": "auto"}]}


@pytest.fixture
def house(tmp_path, monkeypatch):
    made = House(tmp_path, Policy.model_validate(AUTO))
    with taking_turns(made.engine, monkeypatch):
        yield made


def live(house: House, minutes: int, watch=lambda: None, until=lambda: False) -> None:
    """A sweep every five minutes; `watch` looks every minute. Ends early when `until` holds."""
    for minute in range(minutes):
        if until():
            return
        if minute % 5 == 0:
            house.watchman.sweep(house.server)
        house.engine.run_until(house.clock.at + timedelta(minutes=1))
        watch()


def all_are(house: House, state: str, count: int):
    return lambda: list(states(house).values()).count(state) == count


def states(house: House) -> dict[str, str]:
    return {row.cluster_name: row.state.value for row in house.book.all()}


def mending(house: House) -> set[str]:
    return {name for name, state in states(house).items() if state in {"remediating", "verifying", "rolling-back"}}


def reasons(house: House) -> str:
    return " | ".join(reason for row in house.book.all() for reason in (row.decision or {}).get("reasons", ()))


def add(house: House, scenario: str, count: int) -> list[str]:
    return [house.fleet.add(scenario, age="40m").name for _ in range(count)]


def test_one_goes_first_and_the_others_follow_once_it_is_healed(house):
    add(house, MENDABLE, 3)
    together, order, told = [], [], []

    def watch():
        now = mending(house)
        together.append((len(now), "resolved" in states(house).values()))
        order.extend(sorted(now - set(order)))
        told.append(reasons(house))

    live(house, 120, watch, until=all_are(house, "resolved", 3))
    assert set(states(house).values()) == {"resolved"}
    assert max(count for count, healed in together if not healed) == 1
    assert max(count for count, healed in together if healed) > 1
    assert any(f"{order[0]} goes first with this cure" in said for said in told)


def test_when_the_first_one_is_not_healed_the_others_are_not_touched_unasked(house):
    names = add(house, FAILING, 2)
    live(house, 150, until=all_are(house, "rolled-back", 1))
    live(house, 15)
    assert sorted(states(house).values()) == ["awaiting-approval", "rolled-back"]
    assert len(house.writes) == 2
    (first,) = [name for name in names if states(house)[name] == "rolled-back"]
    assert f"{first} was the first to get this cure and was not healed by it" in reasons(house)


def test_a_person_may_let_the_next_one_go_and_its_success_gives_the_wheel_back(house):
    add(house, FAILING, 1)
    live(house, 60, until=all_are(house, "rolled-back", 1))
    second = add(house, MENDABLE, 1)[0]
    live(house, 30)
    assert states(house)[second] == "awaiting-approval"
    row = next(row for row in house.book.all() if row.cluster_name == second)
    said = house.tracker.say("maria", row.issue, f"/drover approve {row.plan['digest'][:6]}")
    house.desk.hear(
        Heard("created", said.issue, said.id, "maria", author_is_bot=False, body=said.body, updated_at=said.updated_at)
    )
    live(house, 60, until=all_are(house, "resolved", 1))
    assert states(house)[second] == "resolved"
    third = add(house, MENDABLE, 1)[0]
    live(house, 60, until=all_are(house, "resolved", 2))
    assert states(house)[third] == "resolved"


def test_a_playbook_that_failed_often_in_a_row_runs_only_with_approval_until_somebody_resumes_it(house):
    house.policy = Policy.model_validate(AUTO | {"brakes": {"canary": "off", "clusters_at_once": 1}})
    add(house, FAILING, 3)
    live(house, 240, until=all_are(house, "rolled-back", 2))
    live(house, 15)
    assert sorted(states(house).values()) == ["awaiting-approval", "rolled-back", "rolled-back"]
    assert f"{PLAYBOOK} failed 2 times in a row" in reasons(house)
    assert read_log(house.book, PLAYBOOK).failures == 2
    resume_playbook(house.book, PLAYBOOK, house.clock.now())
    live(house, 400, until=all_are(house, "rolled-back", 3))
    assert set(states(house).values()) == {"rolled-back"}


def test_no_more_cures_of_one_signature_begin_within_an_hour_than_the_policy_says(house):
    house.policy = Policy.model_validate(
        AUTO | {"brakes": {"canary": "off", "clusters_at_once": 10, "per_signature_per_hour": 2}}
    )
    add(house, MENDABLE, 3)
    begun = []
    live(house, 50, lambda: begun.append(len(read_log(house.book, PLAYBOOK).runs)))
    assert max(begun) == 2
    live(house, 180, until=all_are(house, "resolved", 3))
    assert set(states(house).values()) == {"resolved"}


def test_in_a_storm_nothing_runs_by_itself(house):
    house.policy = Policy.model_validate(
        AUTO | {"brakes": {"storm": {"clusters": 50, "share": "25%", "at_least": 4, "within": "30m"}}}
    )
    for _ in range(6):
        house.fleet.add("rke1-canal-healthy", nodes=1)
    add(house, MENDABLE, 4)
    live(house, 10)
    assert set(states(house).values()) == {"awaiting-approval"}
    assert house.writes == []
    assert "more than 25% of the fleet became stuck within 30 min" in reasons(house)


def test_a_freeze_holds_everything_until_its_end(house):
    """The clock begins on a Friday at noon."""
    house.policy = Policy.model_validate(AUTO | {"freeze": [{"from": "fri 11:00", "to": "fri 14:00"}]})
    add(house, MENDABLE, 1)
    live(house, 60)
    assert house.writes == []
    assert "no change begins until Fri 2026-10-02 14:00 UTC" in reasons(house)
    live(house, 120, until=all_are(house, "resolved", 1))
    assert set(states(house).values()) == {"resolved"}


def test_while_somebody_snoozes_an_incident_nothing_runs_and_nobody_is_asked(house):
    house.book.set_note("paused", True)
    (name,) = add(house, MENDABLE, 1)
    live(house, 10)
    row = house.book.all()[0]
    snooze = Snooze(house.clock.now() + timedelta(hours=1), "maria")
    house.book.set_note(snoozed_note(row.id), snooze.to_json())
    house.engine.send(row.id, TOPIC, {"kind": "wake"}, once="snoozed")
    house.book.set_note("paused", False)
    live(house, 50)
    assert states(house) == {name: "snoozed"}
    assert reasons(house) == f"maria snoozed it until {snooze.until:%Y-%m-%d %H:%M} UTC"
    assert house.writes == []
    live(house, 120, until=all_are(house, "resolved", 1))
    assert states(house) == {name: "resolved"}


def test_the_shipped_policy_asks_for_every_cluster_that_has_no_label(house):
    house.policy = load_policy()
    add(house, MENDABLE, 2)
    live(house, 20)
    assert set(states(house).values()) == {"awaiting-approval"}
    assert house.writes == []


def test_the_service_hands_every_fact_to_the_policy(house):
    """A fact that nobody fills in is a brake that never holds."""
    add(house, MENDABLE, 1)
    live(house, 10)
    (row,) = house.book.all()
    plan = Plan.from_json(row.plan)
    facts = house.steps._facts(row, plan, house.server.reader.cluster(row.cluster.id))
    assert facts.playbook == PLAYBOOK
    assert facts.actions == tuple(step.action for step in plan.steps)
    assert facts.signature_since is not None
    assert facts.elsewhere.fleet == len(house.fleet.clusters)
    assert facts.elsewhere.stuck_lately == 1
