"""Healthy, progressing and unknown clusters receive zero writes: 1,000 clusters over 24 simulated hours, a sweep every 5 minutes.

Everything runs under the widest policy there can be: what runs by itself anywhere would run here. Among the thousand are clusters
that are slow, that cannot be reached, that are of another network, on their way out, or come up late; a few are truly ill, and are
mended or, where the cure fails, put back. Rancher itself goes away now and then. So a run without any write at all would fail, too.
"""

import gc
import time
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.incidents.timeline import broken_link
from rancher_ext.client import snapshot as reading
from rancher_ext.errors import RancherError
from tests.promises.baton import taking_turns
from tests.promises.house import WIDEST, House

EVERY = timedelta(minutes=5)
WELL = (
    "rke2-canal-healthy",
    "k3s-flannel-healthy",
    "rke1-canal-healthy",
    "rke2-flannel-healthy",
    "rke1-canal-1-31-healthy",
)
# In a thousand; further ones come through the day.
NOT_WELL = {
    "imported-unreachable": 25,
    "hosted-eks": 10,
    "rke2-calico-waiting": 10,
    "rke2-canal-being-deleted": 5,
    "rke2-canal-slow": 5,
}
THROUGH_THE_DAY = ("rke2-canal-slow", "rke2-canal-healthy", "rke1-canal-healthy", "k3s-flannel-healthy")
# Truly ill: these are mended, put back, mended, and the last one comes up by itself.
ILL = ("rke1-canal-br-netfilter", "rke1-canal-cure-fails", "rke1-flannel-br-netfilter", "rke2-canal-heals-itself")


def run(house: House, clusters: int, span: timedelta, ills: list[str]) -> dict[str, object]:
    fleet, started = house.fleet, time.monotonic()
    ill: set[str] = set()
    written: Counter[str] = Counter()
    wrongly: list[str] = []
    verdicts: Counter[str] = Counter()

    def watch_writes(entry, record=fleet.record):
        """At the moment of the write: which cluster, and what is really the matter with it?"""
        record(entry)
        if not entry["tookEffect"] or "selfsubject" in str(entry["path"]):
            return
        words = set(entry["path"].removeprefix("/k8s/clusters/local/").split("/"))
        named = [each for each in fleet.clusters.values() if {each.id, each.name} & words]
        for cluster in named:
            written[cluster.name] += 1
        if not named or any(cluster.id not in ill for cluster in named):
            wrongly.append(f"{entry['time']} {entry['method']} {entry['path']}")

    fleet.record = watch_writes
    for scenario, count in NOT_WELL.items():
        for _ in range(max(1, count * clusters // 1000)):
            fleet.add(scenario)
    late = [THROUGH_THE_DAY[number % len(THROUGH_THE_DAY)] for number in range(clusters // 20)]
    while len(fleet.clusters) < clusters - len(late) - len(ills):
        fleet.add(WELL[len(fleet.clusters) % len(WELL)], nodes=1)
    sweeps = span // EVERY
    for number in range(sweeps):
        if late and number % max(1, sweeps // (len(late) + 1)) == 0:
            scenario = late.pop()
            fleet.add(scenario, age=0, **({} if scenario == "rke2-canal-slow" else {"nodes": 1}))
        if ills and number % (sweeps // 12) == 1:
            ill.add(fleet.add(ills.pop(0), age=0).id)
        if number % 60 == 59:
            fleet.faults.add("status", path="^/(k8s|v3)/", count=40, status=503)
        try:
            swept = house.watchman.sweep(house.server)
        except RancherError:
            verdicts["(no answer)"] += 1
        else:
            verdicts.update(type(look.verdict).__name__ for look in swept.looks if look.snapshot.identity.id not in ill)
        fleet.faults.clear()
        house.engine.run_until(house.clock.at + EVERY)
        while (hint := house.queue.get(timeout=0)) is not None:
            house.watchman.look(hint)
    return {
        "clusters": len(fleet.clusters),
        "sweeps": sweeps,
        "looks": sum(verdicts.values()),
        "verdicts": verdicts,
        "incidents": Counter(row.state.value for row in house.book.all(limit=10_000)),
        "writes": sum(written.values()),
        "written": written,
        "wrongly": wrongly,
        "ill": ill,
        "requests": house.transport.counters.requests,
        "seconds": round(time.monotonic() - started, 1),
    }


def judged(house: House, found: dict[str, object], ill: int) -> None:
    assert house.engine.bugs == []
    assert found["wrongly"] == []
    assert len(found["ill"]) == ill
    verdicts = found["verdicts"]
    for word in ("Healthy", "Progressing", "Unknown", "OutOfScope"):
        assert verdicts[word], f"no cluster was ever {word}"
    assert not verdicts["Stuck"], "a cluster that is not ill was called stuck"
    assert found["writes"] > 0, "the ill ones were to be mended"
    assert found["incidents"]["resolved"]
    assert found["incidents"]["rolled-back"]
    assert {row.cluster.id for row in house.book.all(limit=10_000)} <= found["ill"], (
        "an incident for one that is not ill"
    )
    audited = [record for record in house.book.audit() if record.what in {"write", "undo"}]
    assert len(audited) == found["writes"]
    assert broken_link(house.book.audit()) is None


class Unchanged:
    """Reading an object is a function of the object: what Rancher has not changed since the last sweep is not read again.

    Only so that a thousand clusters and a day fit into minutes; the small run reads everything.
    """

    def __init__(self, read):
        self._read, self._known = read, {}

    def __call__(self, rancher, objects, version, taken_at):
        name = objects.management["metadata"]["name"]
        known, snapshot = self._known.get(name, (None, None))
        if known != (rancher, objects, version):
            snapshot = self._read(rancher, objects, version, taken_at)
            self._known[name] = ((rancher, objects, version), snapshot)
        return replace(snapshot, taken_at=taken_at)


def told(found: dict[str, object]) -> str:
    shown = {name: dict(value) if isinstance(value, Counter) else value for name, value in found.items()}
    return "; ".join(f"{name} {shown[name]}" for name in shown if name not in {"wrongly", "ill"})


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_few_clusters_over_hours(tmp_path, monkeypatch, capsys):
    """The same in small, for every run of the tests."""
    house = House(tmp_path, WIDEST)
    with taking_turns(house.engine, monkeypatch):
        found = run(house, 30, timedelta(hours=3), list(ILL[:2]))
    judged(house, found, ill=2)


@pytest.mark.thorough
@pytest.mark.timeout(1800)
def test_a_thousand_clusters_over_a_day(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(reading, "cluster_snapshot", Unchanged(reading.cluster_snapshot))
    house = House(tmp_path, WIDEST)
    # A thousand clusters are many objects that stay: to look for garbage among them again and again doubles the time.
    gc.disable()
    try:
        with taking_turns(house.engine, monkeypatch):
            found = run(house, 1000, timedelta(hours=24), list(ILL * 2))
    finally:
        gc.enable()
    with capsys.disabled():
        print(f"\n  {told(found)}")
    judged(house, found, ill=8)
