"""Nodes that nobody reaches are asked by a pod: planned, allowed, delivered, heard, and taken out again whatever comes of it.

The pods are real processes over a folder that stands for the node; what they send comes in by the real route.
"""

import json
import threading

import pytest
import requests
import uvicorn
from fastapi import FastAPI

import tests.bot.workflows.world as worlds
from bot.policy.approvals import Approval
from bot.web import problems
from bot.web.ingest import ingest_router
from bot.workflows.own_walk import OwnWalk
from bot.workflows.probe_flow import run_in_service, run_probe
from bot.workflows.probe_inbox import with_last_run
from bot.workflows.probe_offer import ProbeOffer
from bot.workflows.probing import PROBE, Probing
from rancher_ext.bundle.bundle import Bundle
from rancher_ext.catalogue.redaction import load_redaction
from rancher_ext.evidence.archive import open_bundle
from rancher_ext.simulator.node_agent import NodeAgent

NAME = "store-01"
# Slow enough for processes to start within the minutes that a run waits.
SPEED = 20.0


class Probed:
    """A world with one cluster that never connected, the route for reports, and the cluster's kubelets."""

    def __init__(self, world, folder, label="allow", silent=frozenset()):
        self.world = world
        self.cluster = world.fleet.add("rke2-canal-never-connected", NAME)
        if label:
            world.change(NAME, {"metadata": {"labels": {"drover.io/probe": label}}})
        world.sweep()
        world.until(NAME, "reported", "awaiting-approval", "escalated")
        self.steps = Probing(world.app.parts, ProbeOffer("", "drover:1"), load_redaction())
        app = FastAPI()
        problems.install(app)
        app.include_router(ingest_router(self.steps.inbox))
        self.server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", ws="none"))
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        while not self.server.started and self.thread.is_alive():
            threading.Event().wait(0.01)
        url = f"http://127.0.0.1:{self.server.servers[0].sockets[0].getsockname()[1]}"
        self.steps = Probing(world.app.parts, ProbeOffer(url, "drover:1"), load_redaction())
        self.agent = NodeAgent(world.fleet, folder, silent=silent).__enter__()
        self.incident = world.incident(NAME).id
        self.manifest_before = self.manifest

    def close(self):
        self.agent.__exit__(None, None, None)
        self.server.should_exit = True
        self.thread.join(timeout=10)

    def approve(self, digest):
        self.steps.approve(self.incident, Approval("jan", "maintain", digest, self.world.app.parts.clock.now()))

    def walk(self, **more):
        return run_probe(OwnWalk(self.world.app.parts.clock.real_seconds), self.steps, self.incident, **more)

    @property
    def manifest(self):
        item = requests.get(
            f"{self.world.rancher.url}/k8s/clusters/local/apis/provisioning.cattle.io/v1/namespaces/fleet-default/clusters/{NAME}",
            headers={"Authorization": f"Bearer {worlds.JAN}"},
            timeout=10,
        ).json()
        return item["spec"]["rkeConfig"].get("additionalManifest")


@pytest.fixture
def probed(new_world, tmp_path, monkeypatch):
    monkeypatch.setattr(worlds, "SPEED", SPEED)
    made = []

    def make(**options):
        made.append(Probed(new_world(), tmp_path / "nodes", **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.slow
def test_the_nodes_tell_the_cause_that_nobody_could_read(probed):
    it = probed()
    before = it.world.incident(NAME)
    prepared = it.steps.prepare(it.incident)
    assert it.steps.prepare(it.incident)["plan"] == prepared["plan"]
    assert prepared["decision"]["decision"] == "needs-approval"
    it.approve(prepared["plan"])

    ended = it.walk()

    # Only one machine has got as far as to run a kubelet; nobody waits for the two others.
    (node,) = ended["reported"]
    assert ended["done"]
    assert ended["out"]
    assert ended["missing"] == []
    assert ended["verdict"] == "cni-failure"
    assert "interface" in ended["signature"]
    assert ended["signature"] not in str((before.diagnosis or {}).get("findings"))
    # Nothing is left of it, on the cluster and on the nodes.
    assert it.manifest == it.manifest_before
    it.world.wait(lambda: not it.agent.pods, "the pods to end")
    assert len(it.agent.started) == 1
    bundle = open_bundle(it.world.incident(NAME).evidence)
    assert f"host/{node}.txt" in bundle
    told = next(each for each in bundle.collectors if each.name == "probe")
    assert told.status == "ok"
    # Two writes, each intended before and told after, and never with the key.
    records = it.world.store.audit(it.incident)
    assert [record.what for record in records] == ["intend", "write", "intend undo", "undo"]
    assert {record.actor for record in records} == {"jan"}
    assert len(it.world.writes) == 2
    shown = json.dumps([[record.before, record.after] for record in records]) + prepared["diff"]
    assert "PROBE_KEY: (the key of this run)" in shown
    assert "PROBE_KEY: '" not in shown.replace("(the key of this run)", "")
    assert it.world.store.mending_now() == 0
    assert it.steps.unfinished() == []
    # A later collection keeps it, for a day.
    now, run = it.world.app.parts.clock.now(), it.steps.inbox.last(it.incident)
    later = with_last_run(Bundle.of({"events.txt": "x"}), run, now)
    assert {"events.txt", f"host/{node}.txt"} <= set(later)
    assert set(with_last_run(Bundle.of({"events.txt": "x"}), run, now + worlds.timedelta(hours=25))) == {"events.txt"}


@pytest.mark.slow
def test_where_nobody_reports_it_is_taken_out_all_the_same(probed, monkeypatch):
    it = probed(silent=frozenset({"everybody"}))
    monkeypatch.setattr(it.agent, "_takes", lambda *_: False)
    it.approve(it.steps.prepare(it.incident)["plan"])

    ended = it.walk(stop=lambda: bool(it.manifest))

    assert ended["out"]
    assert ended["reported"] == []
    assert it.manifest == it.manifest_before


def test_without_the_label_nothing_is_planned(probed):
    it = probed(label="")

    prepared = it.steps.prepare(it.incident)

    assert prepared["plan"] is None
    assert "drover.io/probe=allow" in prepared["why"]
    assert "drover.io/probe=allow" in it.walk()["why"]
    assert it.world.writes == []


def test_without_an_approval_nothing_is_written(probed):
    it = probed()
    it.steps.prepare(it.incident)

    ended = it.walk()

    assert not ended["done"]
    assert "approval" in ended["why"]
    assert it.world.writes == []
    assert it.manifest == it.manifest_before


def test_an_approval_of_another_plan_counts_for_nothing(probed):
    it = probed()
    it.steps.prepare(it.incident)
    it.approve("0" * 64)

    assert not it.walk()["done"]
    assert it.world.writes == []


def test_a_killed_run_is_found_and_taken_out_by_the_next_process(probed):
    """Everything up to the write is in the database; whoever comes next goes on there."""
    it = probed()
    it.approve(it.steps.prepare(it.incident)["plan"])
    assert it.steps.begin(it.incident)["begun"]
    it.steps.deliver(it.incident)
    assert "drover:begin probe" in it.manifest
    # Another process with the same name: it knows nothing but the database.
    heir = Probing(it.world.app.parts, ProbeOffer("", ""), load_redaction())
    assert [row.id for row in heir.unfinished()] == [it.incident]
    heir.deliver(it.incident)
    assert len(it.world.writes) == 1

    heir.take_out(it.incident)
    heir.take_out(it.incident)
    heir.finish(it.incident, "")

    assert it.manifest == it.manifest_before
    assert heir.unfinished() == []
    assert len(it.world.writes) == 2


def test_what_people_wrote_beside_it_meanwhile_stays(probed):
    it = probed()
    it.approve(it.steps.prepare(it.incident)["plan"])
    it.steps.begin(it.incident)
    it.steps.deliver(it.incident)
    theirs = "---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: theirs\n"
    answer = requests.patch(
        f"{it.world.rancher.url}/k8s/clusters/local/apis/provisioning.cattle.io/v1/namespaces/fleet-default/clusters/{NAME}",
        json={"spec": {"rkeConfig": {"additionalManifest": it.manifest + theirs}}},
        headers={"Authorization": f"Bearer {worlds.JAN}", "Content-Type": "application/merge-patch+json"},
        timeout=10,
    )
    answer.raise_for_status()

    it.steps.take_out(it.incident)

    assert it.manifest == theirs


def test_a_cure_that_is_under_way_is_not_disturbed(probed):
    it = probed()
    it.approve(it.steps.prepare(it.incident)["plan"])
    row = it.world.incident(NAME)
    it.world.store.lease(row.cluster, f"other#{row.id}", it.world.app.parts.clock.now(), worlds.timedelta(hours=1))

    ended = it.walk()

    assert "another worker" in ended["why"]
    assert it.world.writes == []


@pytest.mark.slow
def test_in_the_service_it_survives_a_restart_in_its_middle(new_world, tmp_path, monkeypatch):
    """As a durable workflow: the service ends while the probe is in the cluster, and takes it out when it is back."""
    monkeypatch.setattr(worlds, "SPEED", 100.0)
    make_app = worlds.App

    def app(settings):
        made = make_app(settings)
        steps = Probing(made.parts, ProbeOffer("http://127.0.0.1:9", "drover:1"), load_redaction())
        made.engine.register(PROBE, lambda flow, incident: run_in_service(flow, steps, incident))
        made.probing = steps
        return made

    monkeypatch.setattr(worlds, "App", app)
    it = Probed(new_world(), tmp_path / "nodes")
    try:
        probing = it.world.app.probing
        digest = probing.prepare(it.incident)["plan"]
        it.approve(digest)
        it.world.app.engine.start(PROBE, probing.workflow_id(it.incident), it.incident)
        it.world.wait(lambda: "drover:begin probe" in it.manifest, "the probe to be delivered")

        it.world.stop()
        assert "drover:begin probe" in it.manifest
        it.world.start()

        it.world.wait(lambda: it.manifest == it.manifest_before, "the probe to be taken out")
        probing = it.world.app.probing
        it.world.wait(lambda: not probing.unfinished(), "the run to end")
        assert [record.what for record in it.world.store.audit(it.incident)] == [
            "intend",
            "write",
            "intend undo",
            "undo",
        ]
        assert len(it.world.writes) == 2
    finally:
        it.close()
