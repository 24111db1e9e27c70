"""What counts as a step forward, and what moves no clock?"""

import json
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from rancher_ext.detection import Milestones, Progress, Progressing, Stuck, assess
from rancher_ext.detection.progress import advance, last_advance_witnessed, merge, milestones_of
from rancher_ext.fleet.cluster import Distribution
from rancher_ext.fleet.snapshot import ClusterSnapshot
from tests.builders import (
    NOON,
    WAITING_FOR_AGENT,
    a_cluster,
    a_condition,
    a_dead_cni,
    a_machine,
    a_node,
    a_plan,
    hours,
    minutes,
    seconds,
    some_limits,
)

LIMITS = some_limits()
MINUTE = seconds(60)
ON = "configuring bootstrap node(s) edge-7-cp-1: "


def watched(*snapshots: ClusterSnapshot) -> Progress:
    memory: Progress | None = None
    for snapshot in snapshots:
        memory, _ = assess(snapshot, memory, LIMITS)
    assert memory is not None
    return memory


def dead(at: datetime, planner: str = WAITING_FOR_AGENT, **facts: object) -> ClusterSnapshot:
    """The dead CNI of noon, seen later: nothing about it has changed but what is named."""
    old = a_dead_cni(planner=planner, **facts)
    return replace(old, taken_at=at)


# --- no progress ---


@pytest.mark.parametrize(
    "texts",
    [
        [WAITING_FOR_AGENT, "non-ready bootstrap machine(s) edge-7-cp-1"],
        [ON + "waiting for probes: kubelet", ON + "waiting for cluster agent to connect"],
        ["configuring bootstrap node(s) edge-7-cp-1", "", WAITING_FOR_AGENT],
    ],
)
def test_a_text_that_changes_every_minute_moves_nothing(texts: list[str]) -> None:
    looks = [dead(NOON + minutes(n), texts[n % len(texts)]) for n in range(30)]

    assert watched(*looks).since == NOON - minutes(35)


def test_nodes_that_flap_move_the_clock_once_at_most() -> None:
    """A kubelet that restarts is Ready for half a minute each time."""

    def look(n: int) -> ClusterSnapshot:
        up = n % 3 == 0
        node = a_node(at=NOON + minutes(n), ready=up, no_network=not up, ready_for=seconds(30), age=hours(3))
        return dead(NOON + minutes(n), connected=True, nodes=[node])

    assert watched(*map(look, range(30))).since == NOON - minutes(35)


@pytest.mark.parametrize("high", [1, 2, 3])
def test_pods_that_crash_and_are_ready_in_between_move_nothing(high: int) -> None:
    def look(n: int) -> ClusterSnapshot:
        nodes = [a_node(f"n{i}", at=NOON, no_network=True, age=minutes(40)) for i in range(3)]
        return dead(NOON + minutes(n), connected=True, nodes=nodes, pods=(n * 7 % (high + 1), 3))

    assert watched(*map(look, range(40))).since == NOON - minutes(35)


def test_probes_that_go_up_and_down_count_for_their_best_alone() -> None:
    def look(n: int) -> ClusterSnapshot:
        failing = ["kube-apiserver", "kubelet"] if n % 2 else []
        machine = a_machine(age=minutes(41), plan=a_plan(at=NOON, failing=failing, updated_ago=minutes(38)))
        return dead(NOON + minutes(n), machines=[machine])

    assert watched(*map(look, range(20))).since == NOON - minutes(38)


def test_machines_that_are_deleted_and_made_again_move_nothing() -> None:
    """A machine health check replaces nodes that are not Ready, for ever."""

    def look(n: int) -> ClusterSnapshot:
        at = NOON + minutes(n)
        server = a_machine("s", age=minutes(41), plan=a_plan(updated_ago=minutes(38)))
        worker = a_machine(
            f"w-{n // 4}", roles=["worker"], at=at, age=minutes(n % 4), says="waiting for control plane to be available"
        )
        return dead(at, machines=[server, worker])

    assert watched(*map(look, range(40))).since <= NOON


def test_a_rename_moves_nothing() -> None:
    assert watched(dead(NOON), dead(NOON + minutes(1), name="edge-seven")).since == NOON - minutes(35)


def test_a_version_that_cannot_be_read_for_a_while_is_no_new_target() -> None:
    looks = [dead(NOON + minutes(n), kubernetes=None if n % 2 else "v1.32.2+rke2r1") for n in range(20)]

    memory = watched(*looks)

    assert memory.since == NOON - minutes(35)
    assert memory.target == "v1.32.2+rke2r1"


def test_losing_ground_and_regaining_it_is_no_progress() -> None:
    three = [a_node(f"n{i}", age=hours(3)) for i in range(3)]
    memory = watched(
        dead(NOON, connected=True, nodes=three),
        dead(NOON + minutes(2), connected=True, nodes=three[:1]),
        dead(NOON + minutes(4), connected=True, nodes=three),
    )

    assert memory.since == NOON - minutes(35)


# --- progress ---


BEFORE = {
    "machines": [a_machine(age=minutes(41), plan=a_plan(probes=["etcd"], failing=["kubelet"], updated_ago=minutes(38)))]
}


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(
            {"machines": [*BEFORE["machines"], a_machine("edge-7-cp-2", age=minutes(41))]},
            id="another machine registered",
        ),
        pytest.param(
            {"machines": [a_machine(age=minutes(41), plan=a_plan(probes=["etcd", "kubelet"]))]}, id="a probe passed"
        ),
        pytest.param({"nodes": [a_node(ready_for=minutes(2), age=minutes(50))]}, id="a node Ready for two minutes"),
        pytest.param({"pods": (1, 1), "pods_ready_ago": minutes(2)}, id="a CNI pod ready for two minutes"),
        pytest.param({"kubernetes": "v1.32.3+rke2r1"}, id="a new target version"),
    ],
)
def test_a_step_further_than_ever_moves_the_clock(step: dict[str, object]) -> None:
    later = NOON + minutes(3)

    memory = watched(dead(NOON, **BEFORE), dead(later, **(BEFORE | step)))

    assert memory.since == later


def test_a_plan_that_is_applied_at_last_is_progress() -> None:
    pending = a_machine(age=minutes(41), plan=a_plan(applied=False, probes=[], updated_ago=minutes(38)))
    applied = a_machine(age=minutes(41), plan=a_plan(applied=True, probes=[], updated_ago=minutes(38)))

    assert watched(dead(NOON, machines=[pending]), dead(NOON + MINUTE, machines=[applied])).since == NOON + MINUTE


def test_without_right_to_read_plans_the_machines_own_conditions_count() -> None:
    pending = a_machine(conditions=[a_condition("PlanApplied", None)])
    applied = a_machine(conditions=[a_condition("PlanApplied", True, since=NOON)])

    assert milestones_of(dead(NOON, machines=[pending], plans_readable=False), LIMITS.hold).plans == 0
    assert milestones_of(dead(NOON, machines=[applied], plans_readable=False), LIMITS.hold).plans == 1


@pytest.mark.parametrize(("ready_for", "counts"), [(seconds(1), 0), (seconds(59), 0), (seconds(60), 1), (hours(1), 1)])
def test_readiness_counts_after_a_minute(ready_for: timedelta, counts: int) -> None:
    snapshot = a_cluster(nodes=[a_node(ready_for=ready_for)], pods=(1, 1), pods_ready_ago=ready_for)

    reached = milestones_of(snapshot, LIMITS.hold)

    assert (reached.nodes, reached.cni_pods) == (counts, counts)


@pytest.mark.parametrize(
    ("distribution", "target", "kubelet", "counts"),
    [
        (Distribution.RKE2, "v1.32.2+rke2r1", "v1.32.2+rke2r1", 1),
        (Distribution.RKE2, "v1.32.2+rke2r1", "v1.32.2+rke2r2", 0),
        (Distribution.RKE2, "v1.32.2+rke2r1", "v1.31.9+rke2r1", 0),
        (Distribution.RKE2, "v1.32.0-rc2+rke2r1", "v1.32.0+rke2r1", 0),
        (Distribution.RKE1, "v1.32.6-rancher1-1", "v1.32.6", 1),
        (Distribution.RKE1, "v1.32.6-rancher1-1", "v1.31.6", 0),
        (Distribution.RKE2, "v1.32.2+rke2r1", "", 0),
        (Distribution.RKE2, None, "v1.32.2+rke2r1", 0),
    ],
)
def test_nodes_count_as_upgraded_by_what_their_kubelets_run(
    distribution: Distribution, target: str | None, kubelet: str, counts: int
) -> None:
    snapshot = a_cluster(distribution=distribution, kubernetes=target, nodes=[a_node(kubelet=kubelet)])

    assert milestones_of(snapshot, LIMITS.hold).upgraded == counts


def test_a_machine_counts_as_renewed_once_in_an_illness() -> None:
    """Plans that are written again and again, each passing its probes, are one machine going round in circles."""
    looks = [dead(NOON)]
    for n in range(1, 30):
        at = NOON + minutes(n)
        plan = a_plan(at=at, updated_ago=minutes(n % 3 + 1), passed_ago=minutes(n % 3))
        looks.append(dead(at, machines=[a_machine(age=minutes(41), plan=plan)]))

    assert watched(*looks).since == NOON - minutes(35)


# --- what the objects of a first look testify ---


def test_the_first_clock_starts_at_the_latest_good_thing() -> None:
    assert last_advance_witnessed(a_dead_cni(stuck_for=minutes(35)), LIMITS.hold) == NOON - minutes(35)


def test_what_lies_in_the_future_testifies_nothing() -> None:
    snapshot = a_dead_cni(
        machines=[a_machine(age=minutes(41), plan=a_plan(updated_ago=minutes(-5), passed_ago=minutes(-3)))]
    )

    assert last_advance_witnessed(snapshot, LIMITS.hold) <= NOON
    assert last_advance_witnessed(a_cluster(age=minutes(-5)), LIMITS.hold) == NOON


# --- health and episodes ---


def test_a_short_spell_of_health_does_not_end_the_episode() -> None:
    spell = [a_cluster(at=NOON + minutes(2 + n), age=hours(1)) for n in range(3)]

    memory = watched(dead(NOON), *spell, dead(NOON + minutes(5)))

    assert memory.ill_since == NOON - minutes(41)
    assert memory.well_since is None


def test_five_minutes_of_health_end_it() -> None:
    spell = [a_cluster(at=NOON + minutes(2 + n), age=hours(1)) for n in range(6)]

    memory = watched(dead(NOON), *spell)
    again = watched(dead(NOON), *spell, dead(NOON + minutes(9)))

    assert (memory.ill_since, memory.well_since) == (None, NOON + minutes(2))
    assert again.ill_since == NOON + minutes(9)


def test_an_agent_that_comes_and_goes_is_stuck_all_the_same() -> None:
    """Connected for two minutes out of every four, for half an hour."""
    memory, verdict = None, None
    for n in range(32):
        up = n % 4 < 2
        at = NOON + minutes(n)
        snapshot = (
            a_cluster(at=at)
            if up
            else a_cluster(
                at=at, connected=False, connected_ago=minutes(n % 4 - 2), ready=False, planner=WAITING_FOR_AGENT
            )
        )
        memory, verdict = assess(snapshot, memory, LIMITS)

    assert isinstance(verdict, Stuck)


def test_an_old_best_of_the_last_illness_is_no_measure_for_the_next() -> None:
    """Sixty machines renewed in spring must not hide the first one that is renewed in autumn."""
    memory = Progress(
        best=Milestones(renewed=60, joined=60),
        target="v1.32.2+rke2r1",
        since=NOON - hours(900),
        well_since=NOON - hours(800),
    )

    memory = advance(memory, a_cluster(planner="configuring worker node(s) a"), LIMITS, well=False)

    assert (memory.best.renewed, memory.best.joined, memory.ill_since) == (0, 0, NOON)


# --- several workers, and restarts ---


def test_a_restart_in_the_middle_changes_no_verdict() -> None:
    """The row goes out as JSON and times, and comes back."""
    memory = watched(dead(NOON), dead(NOON + minutes(1)))
    row = json.loads(json.dumps({"best": list(memory.best.as_tuple()), "since": memory.since.isoformat()}))
    back = replace(memory, best=Milestones(*row["best"]), since=datetime.fromisoformat(row["since"]))

    assert back == memory
    assert assess(dead(NOON + minutes(2)), back, LIMITS) == assess(dead(NOON + minutes(2)), memory, LIMITS)


def test_a_row_of_an_older_drover_has_fewer_counts() -> None:
    assert Milestones(*[1, 2, 3, 4, 5]) == Milestones(machines=1, plans=2, probes=3, nodes=4, cni_pods=5)


def a_row(since: datetime, best: Milestones | None = None, **more: object) -> Progress:
    facts: dict[str, object] = {"target": "v1.32.2+rke2r1", "ill_since": NOON - minutes(9)}
    return Progress(best=best or Milestones(1, 1, 4), since=since, **(facts | more))  # type: ignore[arg-type]


def test_of_two_workers_the_earlier_clock_wins() -> None:
    early, late = a_row(NOON - minutes(8)), a_row(NOON - minutes(3))

    assert merge(late, early).since == merge(early, late).since == NOON - minutes(8)


def test_of_two_workers_the_earlier_beginning_of_an_illness_wins() -> None:
    early, late = a_row(NOON, ill_since=NOON - minutes(9)), a_row(NOON, ill_since=NOON - minutes(2))

    assert merge(late, early).ill_since == merge(early, late).ill_since == NOON - minutes(9)


def test_the_better_best_brings_its_own_clock() -> None:
    better, worse = a_row(NOON - minutes(1), Milestones(2, 1, 4)), a_row(NOON - minutes(8))

    for merged in (merge(better, worse), merge(worse, better)):
        assert (merged.best, merged.since) == (Milestones(2, 1, 4), NOON - minutes(1))


def test_two_bests_that_each_lack_something_are_both_kept() -> None:
    """Or the worker that knows less would take old ground for new."""
    one, other = a_row(NOON - minutes(4), Milestones(3, 1, 4)), a_row(NOON - minutes(2), Milestones(1, 2, 4))

    for merged in (merge(one, other), merge(other, one)):
        assert (merged.best, merged.since) == (Milestones(3, 2, 4), NOON - minutes(2))


def test_another_target_replaces_the_row() -> None:
    old = a_row(NOON - hours(9), target="v1.31.9+rke2r1")
    new = a_row(NOON)

    assert merge(new, old) == new
    assert merge(new, None) == new


def test_the_first_row_of_a_new_illness_does_not_take_up_the_counts_of_the_last() -> None:
    stored = a_row(NOON - hours(9), Milestones(3, 3, 12, renewed=3, joined=2), ill_since=None)
    mine = a_row(NOON - hours(9), Milestones(3, 3, 12), ill_since=NOON)

    assert merge(mine, stored).best == Milestones(3, 3, 12)


def test_what_is_left_of_the_limit_is_told_with_every_look() -> None:
    rechecks = []
    memory: Progress | None = None
    for n in range(5):
        at = NOON + minutes(n)
        memory, verdict = assess(replace(a_dead_cni(stuck_for=minutes(1)), taken_at=at), memory, LIMITS)
        assert isinstance(verdict, Progressing)
        rechecks.append(verdict.recheck_at)

    assert rechecks == [NOON + minutes(9)] * 5
