"""Drain is switched on again only when the machines have what was put back: without the agent a drain never ends."""

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest

from bot.workflows import undoing
from bot.workflows.undoing import NotReachedError, NotReachedYetError, Undoing
from rancher_ext.client.changes import ABSENT, Place, Value
from rancher_ext.client.kubernetes import PROVISIONING_CLUSTERS
from rancher_ext.remediation.change import Change
from rancher_ext.remediation.spec import still_to_reach
from tests.builders import NOON, a_cluster, a_condition, a_machine, a_plan, minutes

CHANGED, RESTORED = NOON - minutes(40), NOON - minutes(5)
STRATEGY = ("spec", "rkeConfig", "upgradeStrategy", "workerDrainOptions", "enabled")
ON, OFF = Value(present=True, value=True), Value(present=True, value=False)


def a_write(path=STRATEGY, before=ON):
    return Change(Place(PROVISIONING_CLUSTERS, "fleet-default", "edge-07", path), "uid", before, OFF)


def a_record(what, at, path="spec.rkeConfig.machineGlobalConfig.kubelet-arg"):
    return SimpleNamespace(what=what, at=at, place=f"clusters.provisioning.cattle.io fleet-default/edge-07 {path}")


def machines(*updated, applied=True):
    return [a_machine(f"m{n}", plan=replace(a_plan(), applied=applied, updated=at)) for n, at in enumerate(updated)]


class TestWhoStillHasTheChange:
    @pytest.mark.parametrize(
        ("updated", "applied", "waiting"),
        [
            (RESTORED + minutes(1), True, []),
            (RESTORED + minutes(1), False, ["m0"]),
            (RESTORED - minutes(1), True, ["m0"]),
            (CHANGED, True, ["m0"]),
            (CHANGED - minutes(10), True, []),  # its plan was never made anew: it has nothing to get rid of
            (None, True, ["m0"]),
        ],
    )
    def test_by_the_plans_of_the_machines(self, updated, applied, waiting):
        snapshot = a_cluster(machines=machines(updated, applied=applied))
        assert still_to_reach(snapshot, changed=CHANGED, restored=RESTORED) == waiting

    @pytest.mark.parametrize(
        ("since", "waiting"), [(RESTORED + minutes(1), []), (RESTORED - minutes(9), ["m0"]), (None, ["m0"])]
    )
    def test_by_their_conditions_where_plans_may_not_be_read(self, since, waiting):
        condition = replace(a_condition("PlanApplied", True), since=since)
        snapshot = a_cluster(machines=[a_machine("m0", plan=None, conditions=(condition,))])
        assert still_to_reach(snapshot, changed=CHANGED, restored=RESTORED) == waiting

    def test_a_machine_that_never_registered_gets_no_plan(self):
        snapshot = a_cluster(machines=[replace(machines(None)[0], registered=False)])
        assert still_to_reach(snapshot, changed=CHANGED, restored=RESTORED) == []


class TestWhenDrainComesBack:
    @pytest.fixture(autouse=True)
    def _not_back_yet(self, monkeypatch):
        monkeypatch.setattr(undoing, "is_back", lambda *_: False)

    def ask(self, *, now=NOON, write=None, connected=False, updated=CHANGED, audit=None):
        records = [a_record("write", CHANGED), a_record("undo", RESTORED)] if audit is None else audit
        room = SimpleNamespace(_now=now, _parts=SimpleNamespace(store=SimpleNamespace(audit=lambda _: records)))
        snapshot = replace(a_cluster(machines=machines(updated)), connected=connected)
        Undoing._after_the_machines(
            room, SimpleNamespace(id="i"), SimpleNamespace(snapshot=snapshot), write or a_write()
        )

    def test_not_before_the_machines_have_what_was_put_back(self):
        with pytest.raises(NotReachedYetError, match="1 of 1 machines"):
            self.ask()
        self.ask(updated=RESTORED + minutes(1))

    def test_after_half_an_hour_it_stays_off_and_a_person_is_told_the_field(self):
        with pytest.raises(NotReachedError, match="left off") as raised:
            self.ask(now=RESTORED + timedelta(minutes=30))
        assert raised.value.lasting
        assert "upgradeStrategy.workerDrainOptions.enabled to true" in raised.value.cure

    def test_with_the_agent_a_drain_ends(self):
        self.ask(connected=True)

    @pytest.mark.parametrize("write", [a_write(before=ABSENT), a_write(("spec", "rkeConfig", "chartValues"))])
    def test_other_writes_wait_for_nothing(self, write):
        self.ask(write=write)

    def test_the_other_drain_option_that_came_back_a_moment_ago_begins_no_new_wait(self):
        later = a_record("undo", NOON, ".".join(STRATEGY))
        self.ask(updated=RESTORED + minutes(1), audit=[a_record("write", CHANGED), a_record("undo", RESTORED), later])

    def test_an_earlier_cure_of_the_incident_does_not_count(self):
        earlier = [a_record("write", CHANGED - minutes(90)), a_record("undo", CHANGED - minutes(60))]
        self.ask(audit=[*earlier, a_record("write", CHANGED)])
