"""Which sentences hold for every cluster and every history, however odd?"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rancher_ext.detection import (
    Healthy,
    Milestones,
    OutOfScope,
    Progress,
    Progressing,
    Stuck,
    Unknown,
    assess,
    classify,
)
from rancher_ext.detection.classify import is_well
from rancher_ext.detection.progress import merge, milestones_of
from rancher_ext.fleet.cluster import Distribution, Management
from rancher_ext.fleet.cni import Cni
from rancher_ext.fleet.snapshot import ClusterSnapshot
from tests.builders import (
    NO_NETWORK,
    NOON,
    WAITING_FOR_AGENT,
    a_cluster,
    a_condition,
    a_machine,
    a_node,
    a_plan,
    some_limits,
)

LIMITS = some_limits()

spans = st.integers(-600, 90_000).map(lambda count: timedelta(seconds=count))
maybe = st.sampled_from([True, False, None])
texts = st.sampled_from(
    [
        "",
        WAITING_FOR_AGENT,
        "waiting for infrastructure ready",
        "configuring bootstrap node(s) a: waiting for probes: etcd, kubelet",
        "configuring bootstrap node(s) a: waiting for probes: kubelet",
        "configuring bootstrap node(s) a: waiting for agent to check in and apply initial plan",
        "non-ready bootstrap machine(s) a",
        "Waiting for API to be available",
        "Failed to get job complete status for job rke-network-plugin-deploy-job in namespace kube-system",
        "waiting for etcd restore",
        "CAPI cluster or RKEControlPlane is paused",
    ]
) | st.text(max_size=30)

nodes = st.builds(
    a_node,
    st.sampled_from(["a", "b", "c", "d"]),
    ready=maybe,
    ready_for=spans,
    age=spans,
    message=st.sampled_from(["", NO_NETWORK, "PLEG is not healthy"]),
    kubelet=st.sampled_from(["v1.31.9+rke2r1", "v1.32.2+rke2r1", "odd"]),
)
plans = st.builds(
    a_plan,
    applied=st.booleans(),
    failed=st.booleans(),
    failing=st.lists(st.sampled_from(["etcd", "kubelet"]), max_size=2),
    updated_ago=st.none() | spans,
    passed_ago=st.none() | spans,
    seen_ago=st.none() | spans,
)
machines = st.builds(
    a_machine,
    st.sampled_from(["a", "b", "c"]),
    roles=st.sampled_from([["controlplane", "etcd"], ["worker"], []]),
    says=texts,
    registered=st.booleans(),
    plan=st.none() | plans,
    age=spans,
    conditions=st.lists(
        st.builds(a_condition, st.just("PlanApplied"), maybe, since=st.none() | spans.map(lambda span: NOON - span)),
        max_size=1,
    ),
)


def clusters(**fixed: st.SearchStrategy[Any]) -> st.SearchStrategy[ClusterSnapshot]:
    facts: dict[str, st.SearchStrategy[Any]] = {
        "age": spans,
        "distribution": st.sampled_from(Distribution),
        "management": st.sampled_from(Management),
        "cni": st.sampled_from([Cni.CANAL, Cni.FLANNEL, Cni.UNKNOWN, Cni.CALICO]),
        "kubernetes": st.sampled_from(["v1.32.2+rke2r1", "v1.32.3+rke2r1", "v1.31.9+rke2r1", None]),
        "connected": maybe,
        "connected_ago": st.none() | spans,
        "ready": maybe,
        "updated": maybe,
        "initialized": st.booleans(),
        "deleting": st.booleans(),
        "paused": st.booleans(),
        "planner": texts,
        "conditions": st.lists(
            st.builds(a_condition, st.sampled_from(["Provisioned", "Waiting"]), maybe, texts), max_size=2
        ),
        "machines": st.lists(machines, max_size=3),
        "nodes": st.lists(nodes, max_size=4),
        "pods": st.none() | st.tuples(st.integers(0, 4), st.integers(0, 4)),
        "pods_updated": st.none() | st.integers(0, 4),
        "labels": st.dictionaries(
            st.sampled_from(["drover.io/limit", "drover.io/ignore"]),
            st.sampled_from(["30m", "0s", "false", "x"]),
            max_size=2,
        ),
        "plans_readable": st.booleans(),
        "api_reached": st.sampled_from([True, None]),
    }
    return st.builds(a_cluster, **(facts | fixed))


def at(snapshot: ClusterSnapshot, when: datetime) -> ClusterSnapshot:
    return replace(snapshot, taken_at=when)


def history(
    snapshots: list[ClusterSnapshot], every: timedelta = timedelta(minutes=2)
) -> tuple[Progress | None, datetime]:
    memory, now = None, NOON
    for snapshot in snapshots:
        memory, _ = assess(at(snapshot, now), memory, LIMITS)
        now += every
    return memory, now


@given(clusters(), st.lists(clusters(), max_size=4))
def test_every_cluster_has_a_verdict(snapshot: ClusterSnapshot, before: list[ClusterSnapshot]) -> None:
    memory, now = history(before)

    _, verdict = assess(at(snapshot, now), memory, LIMITS)

    assert isinstance(verdict, Healthy | Progressing | Stuck | Unknown | OutOfScope)
    assert isinstance(classify(snapshot, None, LIMITS, NOON), Healthy | Progressing | Stuck | Unknown | OutOfScope)


@given(clusters(), st.lists(clusters(), max_size=5))
def test_a_well_cluster_is_never_stuck_whatever_happened_before(
    snapshot: ClusterSnapshot, before: list[ClusterSnapshot]
) -> None:
    memory, now = history(before)
    _, verdict = assess(at(snapshot, now), memory, LIMITS)

    if is_well(snapshot):
        assert isinstance(verdict, Healthy | OutOfScope)
    if snapshot.ready and snapshot.connected and snapshot.updated and not snapshot.planner and not snapshot.nodes:
        assert not isinstance(verdict, Stuck) or snapshot.workload is not None


OURS = {
    "management": st.just(Management.PROVISIONED),
    "distribution": st.just(Distribution.RKE2),
    "cni": st.just(Cni.CANAL),
    "kubernetes": st.just("v1.32.2+rke2r1"),
    "deleting": st.just(False),
    "paused": st.just(False),
    "labels": st.just({}),
}


@given(clusters(**OURS), st.integers(0, 5000), st.integers(0, 5000))
def test_time_alone_never_turns_stuck_into_progressing(snapshot: ClusterSnapshot, first: int, more: int) -> None:
    """The same facts, looked at later: what was stuck stays stuck, or its nodes fell silent meanwhile."""
    now = NOON + timedelta(seconds=first)
    memory, verdict = assess(at(snapshot, now), None, LIMITS)

    later = classify(at(snapshot, now + timedelta(seconds=more)), memory, LIMITS, now + timedelta(seconds=more))

    if isinstance(verdict, Stuck):
        assert isinstance(later, Stuck | Unknown)
    if isinstance(verdict, Progressing):
        early = now + timedelta(seconds=more) < verdict.recheck_at
        assert isinstance(later, Progressing) is early


@given(clusters(**OURS), st.lists(clusters(**OURS), min_size=1, max_size=6))
def test_the_clock_never_runs_backwards_nor_into_the_future(
    first: ClusterSnapshot, rest: list[ClusterSnapshot]
) -> None:
    memory, _ = assess(first, None, LIMITS)
    now = NOON
    for snapshot in rest:
        now += timedelta(minutes=1)
        after, _ = assess(at(snapshot, now), memory, LIMITS)
        assert memory.since <= after.since <= now
        assert after.since in {memory.since, now}
        assert after.best.merged(memory.best).as_tuple()[:6] == after.best.as_tuple()[:6], "the best is never forgotten"
        assert after.ill_since is None or after.ill_since <= now
        assert after.ill_since is not None or after.well_since is not None
        memory = after


@given(clusters(**OURS), st.integers(1, 40))
def test_a_cluster_that_only_ages_makes_no_progress(snapshot: ClusterSnapshot, looks: int) -> None:
    """The same facts again and again. Only what has been Ready for too short a time may count later, and once."""
    memory, _ = assess(snapshot, None, LIMITS)
    moves = 0
    for n in range(1, looks + 1):
        after, _ = assess(at(snapshot, NOON + timedelta(minutes=n * 20)), memory, LIMITS)
        moves += after.since != memory.since
        memory = after

    assert moves <= len(snapshot.nodes) + len(snapshot.machines)


@given(clusters(**OURS), st.integers(0, 8), st.text(max_size=20))
def test_names_and_texts_move_no_milestone(snapshot: ClusterSnapshot, count: int, text: str) -> None:
    renamed = replace(
        snapshot,
        planner=text,
        identity=replace(snapshot.identity, name=text),
        machines=tuple(replace(machine, name=f"{text}-{n}") for n, machine in enumerate(snapshot.machines)),
        nodes=tuple(replace(node, name=f"{text}-{n}", message=text) for n, node in enumerate(snapshot.nodes)),
        node_count=count,
    )

    assert milestones_of(renamed, LIMITS.hold, NOON) == milestones_of(snapshot, LIMITS.hold, NOON)


counts = st.builds(Milestones, *[st.integers(0, 5)] * 8)
rows = st.builds(
    Progress,
    best=counts,
    target=st.just("v1.32.2+rke2r1"),
    since=spans.map(lambda span: NOON - span),
    ill_since=spans.map(lambda span: NOON - span),
)


@given(rows, rows, rows)
def test_the_order_in_which_workers_write_does_not_matter(a: Progress, b: Progress, c: Progress) -> None:
    assert merge(a, b) == merge(b, a)
    assert merge(a, a) == a
    assert merge(merge(a, b), b) == merge(a, b)
    merged = merge(merge(a, b), c)
    assert not any(row.best.beyond(merged.best) for row in (a, b, c))
    assert min(a.since, b.since, c.since) <= merged.since <= max(a.since, b.since, c.since)


@given(
    clusters(),
    st.sampled_from([{"deleting": True}, {"management": Management.LOCAL}, {"labels": {"drover.io/ignore": "true"}}]),
)
def test_an_opt_out_holds_in_every_state(snapshot: ClusterSnapshot, opt_out: dict[str, Any]) -> None:
    if "management" in opt_out:
        snapshot = replace(snapshot, identity=replace(snapshot.identity, management=opt_out["management"]))
    else:
        snapshot = replace(snapshot, **opt_out)

    assert isinstance(classify(snapshot, None, LIMITS, NOON), OutOfScope)
