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
from rancher_ext.remediation.spec import still_to_reach, taken_over
from rancher_ext.simulator import cluster
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
        monkeypatch.setattr(undoing, "taken_over", lambda *_: True)

    def ask(self, *, now=NOON, write=None, connected=False, updated=CHANGED, audit=None):
        records = [a_record("write", CHANGED), a_record("undo", RESTORED)] if audit is None else audit
        parts = SimpleNamespace(store=SimpleNamespace(audit=lambda _: records))
        room = SimpleNamespace(_now=now, _parts=parts, _tell=lambda *_, **__: None)
        plan = SimpleNamespace(steps=[SimpleNamespace(writes=[a_write()])])
        snapshot = replace(a_cluster(machines=machines(updated)), connected=connected)
        Undoing._after_the_machines(
            room, SimpleNamespace(id="i", attempt=1), plan, SimpleNamespace(snapshot=snapshot), write or a_write()
        )

    def test_not_before_the_machines_have_what_was_put_back(self):
        with pytest.raises(NotReachedYetError, match="1 of 1 machines"):
            self.ask()
        self.ask(updated=RESTORED + minutes(1))

    def test_after_half_an_hour_it_stays_off_and_a_person_is_told_the_field(self):
        with pytest.raises(NotReachedError, match="left off") as raised:
            self.ask(now=RESTORED + timedelta(minutes=30))
        assert raised.value.lasting
        assert "upgradeStrategy.workerDrainOptions.enabled of the cluster is set to true" in raised.value.message

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


FIELDS = tuple(
    f"spec.rkeConfig.upgradeStrategy.{name}.enabled" for name in ("controlPlaneDrainOptions", "workerDrainOptions")
)


@pytest.mark.slow
def test_machines_that_never_get_it_leave_drain_off_until_a_person_has_it_tried_again(world, monkeypatch):
    """
    Everything but drain is back, the fields that are left are told, and the same undo ends well once the machines have it.
    """
    name = "edge-01"
    world.fleet.add("kubelet-flag-while-drained@rke2-canal", name, no_effect=True)
    world.ask(name)
    sim = world.sim(name)
    before = sim.wanted
    world.approve(name, by="jan")
    world.until(name, "verifying")
    with monkeypatch.context() as here:
        here.setattr(cluster, "RESTART_TAKES", 1e7)
        row = world.until(name, "escalated", within=60)
        world.wait(lambda: world.comments(name), "the call for a person")
    for field in FIELDS:
        assert field in row.outcome
        assert field in world.comments(name)[-1]
    assert "`/drover rollback`" in world.comments(name)[-1]
    assert any("drain stays off until" in told for told in world.timeline(name))
    rke = sim.wanted["rkeConfig"]
    assert rke["machineGlobalConfig"] == before["rkeConfig"]["machineGlobalConfig"]
    assert [options["enabled"] for key, options in rke["upgradeStrategy"].items() if key.endswith("Options")] == [
        False
    ] * 2

    with world.fleet.lock:
        sim.write_config(sim.wanted, world.fleet.clock.seconds(), forced=True)
    world.wait(lambda: sim.delivered["rkeConfig"]["machineGlobalConfig"] == rke["machineGlobalConfig"], "the machines")
    world.comment(name, "/drover rollback", by="jan")
    world.until(name, "rolled-back", within=60)
    assert sim.wanted == before


class TestWhetherRancherHasTakenItOver:
    """Before the planner has read what was put back, a machine without a plan of the cure may still get one."""

    @pytest.mark.parametrize(
        ("observed", "value", "taken"), [(7, ["a"], True), (6, ["a"], False), (None, ["a"], False), (7, ["b"], False)]
    )
    def test_by_the_object_that_the_machines_plans_are_made_from(self, observed, value, taken):
        args = {"machineGlobalConfig": {"kubelet-arg": ["a"]}}
        plane = {
            "metadata": {"generation": 7},
            "status": {"observedGeneration": observed},
            "spec": {"machineGlobalConfig": {"kubelet-arg": value}},
        }
        local = SimpleNamespace(
            get=lambda resource, *_: {"spec": {"rkeConfig": args}} if resource is PROVISIONING_CLUSTERS else plane
        )
        argument = a_write(("spec", "rkeConfig", "machineGlobalConfig", "kubelet-arg"))
        target = SimpleNamespace(local=local, snapshot=a_cluster())
        assert taken_over(target, [argument, a_write()]) is taken
