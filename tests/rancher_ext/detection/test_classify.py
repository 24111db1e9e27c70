"""Healthy, progressing, stuck, unknown or not ours: one noon, and clusters ill for longer or shorter before it."""

from datetime import timedelta

import pytest

from rancher_ext.detection import (
    Healthy,
    Limits,
    OutOfScope,
    Progress,
    Progressing,
    Stage,
    Stuck,
    Unknown,
    Verdict,
    assess,
    classify,
    deserves_closer_look,
)
from rancher_ext.detection.verdict import word
from rancher_ext.fleet.cluster import Distribution, Management
from rancher_ext.fleet.cni import Cni
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


def first_look(snapshot: ClusterSnapshot, limits: Limits = LIMITS) -> Verdict:
    return assess(snapshot, None, limits)[1]


def after(*snapshots: ClusterSnapshot, limits: Limits = LIMITS) -> Verdict:
    """The verdict on the last of several looks."""
    memory: Progress | None = None
    verdict: Verdict | None = None
    for snapshot in snapshots:
        memory, verdict = assess(snapshot, memory, limits)
    assert verdict is not None
    return verdict


# --- the limit ---


@pytest.mark.parametrize("stuck_for", [minutes(1), minutes(5), minutes(9), minutes(10) - seconds(1)])
def test_a_cluster_that_advanced_lately_is_given_its_time(stuck_for: timedelta) -> None:
    verdict = first_look(a_dead_cni(stuck_for=stuck_for))

    assert verdict == Progressing(
        recheck_at=NOON - stuck_for + minutes(10), stage=Stage.AGENT, reason=WAITING_FOR_AGENT
    )


@pytest.mark.parametrize("stuck_for", [minutes(10), minutes(11), minutes(35), hours(30)])
def test_a_cluster_without_progress_for_the_whole_limit_is_stuck(stuck_for: timedelta) -> None:
    verdict = first_look(a_dead_cni(stuck_for=stuck_for))

    assert verdict == Stuck(since=NOON - stuck_for, stage=Stage.AGENT, reason=WAITING_FOR_AGENT, nodes=("edge-7-cp-1",))


@pytest.mark.parametrize(
    ("label", "limit"),
    [
        ("30m", minutes(30)),
        ("90s", seconds(90)),
        ("2h", hours(2)),
        ("1d", hours(24)),
        ("", minutes(10)),
        ("0m", minutes(10)),
        ("soon", minutes(10)),
        ("-5m", minutes(10)),
        ("30", minutes(10)),
        ("30m ", minutes(10)),
        ("999999d", minutes(10)),
    ],
)
def test_a_label_gives_one_cluster_another_limit(label: str, limit: timedelta) -> None:
    """A label that is no duration is as if it were not there; no limit at all is no limit that anybody means."""
    early = a_dead_cni(stuck_for=limit - seconds(1), labels={"drover.io/limit": label})
    late = a_dead_cni(stuck_for=limit, labels={"drover.io/limit": label})

    assert isinstance(first_look(early), Progressing)
    assert isinstance(first_look(late), Stuck)


def test_the_longest_label_is_still_a_date() -> None:
    verdict = first_look(a_dead_cni(labels={"drover.io/limit": "99999d"}))

    assert isinstance(verdict, Progressing)
    assert verdict.recheck_at.year > 2200


def test_looking_again_at_the_given_time_decides() -> None:
    progressing = first_look(a_dead_cni(stuck_for=minutes(4)))
    assert isinstance(progressing, Progressing)

    then = progressing.recheck_at
    verdict = first_look(a_dead_cni(at=then, stuck_for=then - (NOON - minutes(4))))

    assert isinstance(verdict, Stuck)


# --- which clusters are watched ---


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"management": Management.LOCAL}, "Rancher's own cluster"),
        ({"management": Management.HOSTED}, "a hosted cluster: its provider runs the network"),
        ({"deleting": True}, "it is being deleted"),
        ({"cni": Cni.CALICO}, "its network is calico"),
        ({"cni": Cni.NONE}, "its network is none"),
        ({"kubernetes": "v1.31.9+rke2r1"}, "Kubernetes v1.31.9+rke2r1 is not watched"),
        ({"labels": {"drover.io/ignore": "true"}}, "label drover.io/ignore"),
        ({"labels": {"drover.io/ignore": ""}}, "label drover.io/ignore"),
    ],
)
def test_what_is_known_not_to_be_ours_is_left_alone_however_stuck(facts: dict[str, object], why: str) -> None:
    assert first_look(a_dead_cni(**facts)) == OutOfScope(why)


@pytest.mark.parametrize(
    "facts",
    [
        {"cni": Cni.UNKNOWN},
        {"kubernetes": None},
        {"cni": Cni.FLANNEL},
        {"labels": {"drover.io/ignore": "false"}},
        {"kubernetes": "v1.32.13+rke2r1"},
    ],
)
def test_what_is_not_known_excludes_nothing(facts: dict[str, object]) -> None:
    assert isinstance(first_look(a_dead_cni(**facts)), Stuck)


def test_labels_may_select_the_clusters_that_are_watched() -> None:
    limits = some_limits(only_labels=(("tier", "gold"),))

    assert first_look(a_dead_cni(labels={"tier": "iron"}), limits) == OutOfScope("no label tier=gold")
    assert isinstance(first_look(a_dead_cni(labels={"tier": "gold"}), limits), Stuck)


# --- health ---


def test_an_ordinary_cluster_is_healthy() -> None:
    assert first_look(a_cluster()) == Healthy()


@pytest.mark.parametrize(
    "illness",
    [
        {"ready": False},
        {"ready": None},
        {"updated": None},
        {"connected": False},
        {"connected": None},
        {"planner": "configuring worker node(s) edge-7-w-1"},
        {"nodes": [a_node("a"), a_node("b", no_network=True)]},
        {"nodes": [a_node("a"), a_node("b", ready=None)]},
        {"pods": (2, 3)},
    ],
)
def test_anything_amiss_is_not_healthy(illness: dict[str, object]) -> None:
    assert first_look(a_cluster(**illness)) != Healthy()


def test_an_imported_cluster_needs_no_word_of_the_planner() -> None:
    """Rancher sets `Updated` and the like only on clusters it made."""
    assert first_look(a_cluster(management=Management.IMPORTED, updated=None)) == Healthy()


def test_pods_that_are_down_for_a_roll_out_are_no_illness() -> None:
    """A new chart version replaces one pod after the other: in a cluster of a hundred nodes for more than half an hour."""
    assert first_look(a_cluster(pods=(99, 100), pods_updated=40)) == Healthy()
    assert first_look(a_cluster(pods=(99, 100), pods_updated=100)) != Healthy()


@pytest.mark.parametrize("snapshot", [a_cluster(), a_cluster(management=Management.LOCAL), a_dead_cni(cni=Cni.CALICO)])
def test_a_closer_look_is_kept_for_watched_clusters_that_are_not_well(snapshot: ClusterSnapshot) -> None:
    assert not deserves_closer_look(snapshot, LIMITS.scope)
    assert deserves_closer_look(a_dead_cni(), LIMITS.scope)


# --- stuck, but elsewhere ---


@pytest.mark.parametrize(
    "text",
    [
        "waiting for infrastructure ready",
        "failing bootstrap machine(s) edge-7-cp-1: CreateError: no such subnet",
        "configuring bootstrap node(s) edge-7-cp-1: waiting for agent to check in and apply initial plan",
        "configuring bootstrap node(s) edge-7-cp-1: waiting for probes: etcd",
        "shutting down cluster",
        "waiting for etcd restore",
    ],
)
def test_what_points_elsewhere_than_the_network_is_never_stuck(text: str) -> None:
    verdict = first_look(a_dead_cni(stuck_for=hours(5), planner=text, machines=[a_machine(age=hours(6))]))

    assert isinstance(verdict, Unknown)
    assert text in verdict.why


def test_a_long_restore_is_not_taken_for_a_missing_agent() -> None:
    """Servers are stopped on purpose: acting on such a cluster would be acting on a patient during surgery."""
    snapshot = a_cluster(connected=False, connected_ago=hours(1), ready=False, planner="waiting for etcd restore")

    assert isinstance(
        after(snapshot, a_cluster(at=NOON + hours(1), connected=False, planner="waiting for etcd restore")), Unknown
    )


@pytest.mark.parametrize(
    "facts", [{"paused": True}, {"planner": "CAPI cluster or RKEControlPlane is paused"}], ids=["annotation", "text"]
)
def test_a_paused_cluster_is_left_in_peace(facts: dict[str, object]) -> None:
    assert first_look(a_dead_cni(**facts)) == Unknown("its reconciliation is paused in Rancher")


def test_an_imported_cluster_that_cannot_be_reached_tells_nothing() -> None:
    snapshot = a_cluster(management=Management.IMPORTED, connected=False, connected_ago=hours(3), ready=False)

    assert first_look(snapshot) == Unknown("Rancher cannot reach it since 3 h: nothing is known")


def test_an_imported_cluster_whose_nodes_lack_a_network_is_stuck() -> None:
    nodes = [a_node("a", age=hours(48)), a_node("b", no_network=True, age=hours(48), ready_for=minutes(30))]
    snapshot = a_cluster(
        management=Management.IMPORTED, distribution=Distribution.UNKNOWN, ready=False, nodes=nodes, machines=[]
    )

    verdict = first_look(snapshot)

    assert isinstance(verdict, Stuck)
    assert (verdict.stage, verdict.nodes) == (Stage.NODES, ("b",))


# --- clusters that were up and lost their agent ---


def lost(
    ago: timedelta, *, seen_ago: timedelta | None, planner: str = WAITING_FOR_AGENT, **rest: object
) -> ClusterSnapshot:
    """A cluster that ran for a month and lost its agent `ago`; its system-agent last wrote `seen_ago`."""
    plan = a_plan(updated_ago=hours(24 * 20), passed_ago=hours(24 * 20), seen_ago=seen_ago)
    return a_cluster(
        connected=False,
        connected_ago=ago,
        ready=False,
        planner=planner,
        machines=[a_machine(age=hours(24 * 30), plan=plan)],
        **rest,
    )


def test_a_cluster_whose_nodes_fell_silent_with_it_is_unknown() -> None:
    """Somebody switched it off for the night; nothing says otherwise."""
    assert first_look(lost(hours(9), seen_ago=hours(9))) == Unknown(
        "it was up, and now neither its agent nor its nodes answer since 9 h"
    )


def test_a_cluster_whose_nodes_still_talk_is_stuck() -> None:
    assert isinstance(first_look(lost(hours(9), seen_ago=minutes(2))), Stuck)


def test_a_cluster_whose_nodes_spoke_after_the_agent_was_gone_is_stuck() -> None:
    """A system-agent writes only what changed: a node at peace is silent for hours and alive all the same."""
    assert isinstance(first_look(lost(hours(9), seen_ago=hours(9) - minutes(4))), Stuck)


def test_an_upgrade_that_lost_the_agent_is_stuck_though_its_nodes_have_nothing_to_write() -> None:
    """Half-way from 1.31: the new plan passed its probes three minutes after the agent went, and then nothing changed."""
    plan = a_plan(updated_ago=minutes(45), passed_ago=minutes(40), seen_ago=minutes(40))
    snapshot = a_cluster(
        connected=False,
        connected_ago=minutes(43),
        ready=False,
        planner=WAITING_FOR_AGENT,
        machines=[a_machine(age=hours(900), plan=plan)],
    )

    assert isinstance(first_look(snapshot), Stuck)


@pytest.mark.parametrize(("planner", "verdict"), [(WAITING_FOR_AGENT, Stuck), ("", Unknown)])
def test_without_right_to_read_plans_only_the_planner_can_tell(planner: str, verdict: type[Verdict]) -> None:
    snapshot = lost(hours(2), seen_ago=None, planner=planner, plans_readable=False)

    assert isinstance(first_look(snapshot), verdict)


def test_an_rke1_cluster_that_answers_through_its_nodes_is_stuck_and_one_that_does_not_is_unknown() -> None:
    facts = {
        "distribution": Distribution.RKE1,
        "connected": False,
        "connected_ago": hours(2),
        "ready": False,
        "conditions": [a_condition("Provisioned")],
        "planner": "Cluster agent is not connected",
    }

    assert isinstance(first_look(a_cluster(**facts, api_reached=True)), Stuck)
    assert isinstance(first_look(a_cluster(**facts, api_reached=None)), Unknown)


# --- first looks: Drover has just started and remembers nothing ---


def test_a_cluster_stuck_for_long_is_stuck_at_the_first_look() -> None:
    """Even while its message changed ten seconds ago: messages are no clock."""
    machine = a_machine(
        says="waiting for cluster agent to connect",
        age=minutes(41),
        registered_ago=minutes(39),
        plan=a_plan(updated_ago=minutes(38), passed_ago=minutes(35)),
    )
    assert machine.condition("Reconciled").since == NOON - seconds(5)  # type: ignore[union-attr]

    assert first_look(a_dead_cni(machines=[machine])) == Stuck(
        since=NOON - minutes(35), stage=Stage.AGENT, reason=WAITING_FOR_AGENT, nodes=("edge-7-cp-1",)
    )


@pytest.mark.parametrize("seen_ago", [seconds(10), minutes(3)])
@pytest.mark.parametrize("planner", ["", WAITING_FOR_AGENT, "Cluster agent is not connected"])
def test_an_agent_that_was_lost_a_minute_ago_is_no_stuck_cluster(planner: str, seen_ago: timedelta) -> None:
    """When Rancher restarts, every cluster is disconnected for a moment."""
    verdict = first_look(lost(minutes(1), seen_ago=seen_ago, planner=planner))

    assert isinstance(verdict, Progressing)
    assert verdict.recheck_at == NOON + minutes(9)


def test_a_dead_worker_of_last_week_does_not_date_an_agent_that_was_lost_now() -> None:
    nodes = [a_node("a"), a_node("b", ready=None, ready_for=hours(200))]

    assert isinstance(first_look(lost(minutes(1), seen_ago=seconds(20), nodes=nodes)), Progressing)


def test_a_dead_worker_that_drover_has_watched_for_days_does_not_either() -> None:
    """The cluster is never quite well, and not for its network: the clock for the network starts with the agent's loss."""
    ill = [a_node("a", age=hours(900), ready_for=hours(900)), a_node("b", ready=None, ready_for=hours(200))]
    days = [a_cluster(at=NOON - hours(48 - n), ready=True, nodes=ill) for n in range(48)]

    assert isinstance(after(*days), Unknown)
    assert isinstance(after(*days, lost(minutes(1), seen_ago=seconds(20), nodes=ill)), Progressing)


@pytest.mark.parametrize(
    "symptom",
    [
        pytest.param(
            {"conditions": [a_condition("Updated", None, since=NOON - minutes(40))]}, id="an update without end"
        ),
        pytest.param(
            {"machines": [a_machine(age=hours(900), plan=a_plan(failing=["kubelet"], updated_ago=minutes(40)))]},
            id="a plan that never was healthy",
        ),
        pytest.param({}, id="a node without network"),
    ],
)
def test_an_upgrade_that_stopped_before_drover_came_is_stuck_at_the_first_look(symptom: dict[str, object]) -> None:
    ready_for = minutes(1) if symptom else minutes(40)
    nodes = [a_node("a", age=hours(900), no_network=True, ready_for=ready_for)]
    facts: dict[str, object] = {
        "machines": [],
        "updated": None,
        "planner": "draining control plane node(s) a: draining node",
    }

    verdict = first_look(a_cluster(nodes=nodes, **(facts | symptom)))

    assert isinstance(verdict, Stuck)
    assert verdict.since == NOON - minutes(40)


def test_a_young_node_is_given_time() -> None:
    """A node that joined a minute ago is not blamed for a network that is still starting."""
    nodes = [a_node("a"), a_node("young", no_network=True, age=minutes(1), ready_for=minutes(1))]

    assert first_look(a_cluster(ready=True, nodes=nodes)) == Progressing(
        recheck_at=NOON + minutes(9),
        stage=Stage.NODES,
        reason="1 of 2 nodes are NotReady: the network plugin is not ready",
    )


def test_a_clock_ahead_of_rancher_s_does_not_make_a_cluster_of_the_future_stuck() -> None:
    assert isinstance(first_look(a_dead_cni(stuck_for=minutes(-30))), Progressing)


# --- large and slow ---


def rolling_upgrade(*, at_minute: int, of: int = 100, each: int = 4, no_network: bool = True) -> ClusterSnapshot:
    """Minute by minute of an upgrade from 1.31, node by node; the node in work is NotReady, for its network as it seems."""
    at = NOON + minutes(at_minute)
    done = min(at_minute // each, of)
    nodes = [
        a_node(
            f"n-{number}",
            at=at,
            age=hours(500),
            ready_for=minutes(at_minute % each) if number == done else hours(20),
            no_network=no_network and number == done,
            kubelet="v1.32.2+rke2r1" if number < done else "v1.31.9+rke2r1",
        )
        for number in range(of)
    ]
    working = f"configuring worker node(s) n-{done}: waiting for kubelet to update" if done < of else ""
    return a_cluster(
        at=at,
        nodes=nodes,
        machines=[],
        planner=working,
        updated=True if not working else None,
        pods=(of - (done < of), of),
        pods_updated=done,
        kubernetes="v1.31.9+rke2r1" if at_minute < 0 else "v1.32.2+rke2r1",
    )


@pytest.mark.parametrize("every", [1, 3, 5])
def test_a_rolling_upgrade_of_a_hundred_nodes_is_progressing_throughout(every: int) -> None:
    """Every node takes four minutes, and the whole nearly seven hours. How often Drover looks does not matter."""
    memory: Progress | None = None
    for minute in range(-10, 400, every):
        memory, verdict = assess(rolling_upgrade(at_minute=minute), memory, LIMITS)
        assert not isinstance(verdict, Stuck), minute

    assert after(rolling_upgrade(at_minute=400)) == Healthy()


def test_a_rolling_upgrade_that_stops_half_way_is_stuck() -> None:
    memory: Progress | None = None
    for minute in range(-10, 200):
        memory, _ = assess(rolling_upgrade(at_minute=minute), memory, LIMITS)
    for later in range(200, 220):
        frozen = rolling_upgrade(at_minute=200)
        nodes = [
            a_node(
                node.name,
                at=NOON + minutes(later),
                no_network=node.name == "n-50",
                kubelet=node.kubelet,
                age=hours(500),
            )
            for node in frozen.nodes
        ]
        snapshot = a_cluster(at=NOON + minutes(later), nodes=nodes, planner=frozen.planner, updated=None, machines=[])
        memory, verdict = assess(snapshot, memory, LIMITS)

    assert isinstance(verdict, Stuck)
    assert verdict.nodes == ("n-50",)


def test_a_rolling_restart_without_a_new_version_is_progressing_throughout() -> None:
    """A new kubelet argument: plans are written anew, machine by machine, and every count was at its best before."""
    memory, _ = assess(a_cluster(at=NOON - minutes(5)), None, LIMITS)
    for minute in range(240):
        at = NOON + minutes(minute)
        done = minute // 4
        machines = [
            a_machine(
                f"m-{number}",
                at=at,
                age=hours(900),
                plan=a_plan(
                    at=at, updated_ago=minutes(minute - number * 4), passed_ago=minutes(minute - number * 4 - 3)
                )
                if number < done
                else a_plan(at=at, updated_ago=hours(600), passed_ago=hours(600)),
            )
            for number in range(60)
        ]
        nodes = [a_node(f"m-{number}", at=at, age=hours(900), no_network=number == done) for number in range(60)]
        snapshot = a_cluster(
            at=at, machines=machines, nodes=nodes, updated=None, planner=f"configuring worker node(s) m-{done}"
        )
        memory, verdict = assess(snapshot, memory, LIMITS)
        assert isinstance(verdict, Progressing), minute


def replacement(at_minute: int, *, works: bool) -> ClusterSnapshot:
    """Thirty nodes replaced by new ones, one every five minutes; each needs two minutes to be Ready, or never is."""
    at = NOON + minutes(at_minute)
    turn = at_minute // 5
    in_work = minutes(at_minute % 5)
    kept = turn if works else 0
    nodes = [a_node(f"old-{number}", at=at, age=hours(900)) for number in range(kept, 30)]
    nodes += [
        a_node(
            f"new-{number}", at=at, age=minutes(at_minute - number * 5), ready_for=minutes(at_minute - number * 5 - 2)
        )
        for number in range(kept)
    ]
    up = works and in_work >= minutes(2)
    nodes.append(
        a_node(f"new-{turn}", at=at, age=in_work, no_network=not up, ready_for=in_work - minutes(2) if up else in_work)
    )
    return a_cluster(at=at, nodes=nodes, machines=[], updated=None, planner=f"configuring worker node(s) new-{turn}")


def test_machines_that_are_replaced_one_by_one_are_progress_as_each_comes_up() -> None:
    memory: Progress | None = None
    for minute in range(145):
        memory, verdict = assess(replacement(minute, works=True), memory, LIMITS)
        assert not isinstance(verdict, Stuck), minute


def test_machines_that_are_replaced_for_ever_without_coming_up_are_stuck() -> None:
    """A machine health check deletes nodes that are not Ready and makes new ones: there is always a young one."""
    verdicts = []
    memory: Progress | None = None
    for minute in range(30):
        memory, verdict = assess(replacement(minute, works=False), memory, LIMITS)
        verdicts.append(verdict)

    assert isinstance(verdicts[5], Progressing)
    assert isinstance(verdicts[-1], Stuck)


def slow_bring_up(at_minute: int) -> ClusterSnapshot:
    """A site with a thin line: a step forward every eight minutes, an hour in all."""
    at = NOON + minutes(at_minute)
    step = at_minute // 8
    texts = [
        "waiting for infrastructure ready",
        "configuring bootstrap node(s) s: waiting for agent to check in and apply initial plan",
        "configuring bootstrap node(s) s: waiting for probes: etcd, kube-apiserver, kubelet",
        "configuring bootstrap node(s) s: waiting for probes: kube-apiserver, kubelet",
        "configuring bootstrap node(s) s: waiting for probes: kubelet",
        "configuring bootstrap node(s) s: waiting for cluster agent to connect",
    ]
    plan = a_plan(
        at=at,
        applied=step >= 2,
        probes=["etcd", "kube-apiserver", "kubelet"],
        failing=["etcd", "kube-apiserver", "kubelet"][max(0, step - 2) :],
        updated_ago=minutes(at_minute - 8),
        passed_ago=minutes(at_minute - 40) if step >= 5 else None,
    )
    server = a_machine(
        "s",
        at=at,
        age=minutes(at_minute),
        registered=step >= 1,
        registered_ago=minutes(at_minute - 8),
        plan=plan if step >= 1 else None,
    )
    return a_dead_cni(at=at, age=minutes(at_minute), planner=texts[min(step, 5)], machines=[server])


def test_a_slow_cluster_is_progressing_as_long_as_it_takes_steps() -> None:
    memory: Progress | None = None
    for minute in range(50):
        memory, verdict = assess(slow_bring_up(minute), memory, LIMITS)
        assert isinstance(verdict, Progressing), minute
        assert verdict.recheck_at > NOON + minutes(minute)


def test_the_same_slow_cluster_is_stuck_ten_minutes_after_its_last_step() -> None:
    verdicts = {}
    memory: Progress | None = None
    for minute in range(60):
        memory, verdicts[minute] = assess(slow_bring_up(minute), memory, LIMITS)

    assert isinstance(verdicts[49], Progressing)
    assert verdicts[51] == Stuck(
        since=NOON + minutes(40),
        stage=Stage.AGENT,
        reason="configuring bootstrap node(s) s: waiting for cluster agent to connect",
        nodes=("s",),
    )


def test_verdicts_have_words_for_tables() -> None:
    verdicts = [first_look(a_cluster()), first_look(a_dead_cni()), first_look(a_dead_cni(stuck_for=minutes(1)))]

    assert [word(verdict) for verdict in verdicts] == ["healthy", "stuck", "progressing"]
    assert [word(Unknown("x")), word(OutOfScope("x"))] == ["unknown", "out-of-scope"]


def test_classify_alone_judges_by_the_objects_when_nothing_is_remembered() -> None:
    assert isinstance(classify(a_dead_cni(), None, LIMITS, NOON), Stuck)
    assert isinstance(classify(a_dead_cni(stuck_for=minutes(2)), None, LIMITS, NOON), Progressing)
