"""People who read the issue of a cluster that nobody reaches ask its nodes: offered, shown, agreed to, asked once, diagnosed anew.

Everything is real but Rancher and GitHub: the desk, the durable incident, the route for reports, and the probes' processes.
"""

import re
import threading
from dataclasses import replace

import pytest
import requests
import uvicorn
from fastapi import FastAPI

import tests.bot.workflows.world as worlds
from bot.web import problems
from bot.web.ingest import ingest_router
from bot.workflows.desk import Heard
from bot.workflows.probe_offer import lacks_node_logs
from rancher_ext.bundle.bundle import Bundle, Manifest
from rancher_ext.bundle.evidence import CollectorReport, CollectorStatus
from rancher_ext.evidence.archive import open_bundle
from rancher_ext.simulator.node_agent import NodeAgent

NAME = "store-01"
# Slow enough for processes to start within the minutes that a run waits.
SPEED = 20.0
LABEL = "drover.io/probe"


class Inbox:
    """The one of whichever service runs at the moment: it is started again in the middle."""

    def __init__(self):
        self.app = None

    def __getattr__(self, name):
        return getattr(self.app.probing.inbox, name)


class Asked:
    """A world with one cluster that never connected, its issue, its kubelets, and a service that nodes reach."""

    def __init__(self, new_world, folder, label="allow", policy=None, silent=frozenset()):
        inbox = Inbox()
        app = FastAPI()
        problems.install(app)
        app.include_router(ingest_router(inbox))
        self.server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", ws="none"))
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        while not self.server.started and self.thread.is_alive():
            threading.Event().wait(0.01)
        url = f"http://127.0.0.1:{self.server.servers[0].sockets[0].getsockname()[1]}"
        settings = {"PUBLIC_URL": url}
        if policy is not None:
            file = folder / "policy.yaml"
            file.write_text(policy, encoding="utf-8")
            settings["POLICY_FILE"] = str(file)
        self.world = world = new_world(**settings)
        self.inbox = inbox
        inbox.app = world.app
        self.cluster = world.fleet.add("rke2-canal-never-connected", NAME)
        if label:
            world.change(NAME, {"metadata": {"labels": {LABEL: label}}})
        world.sweep()
        world.until(NAME, "reported", "awaiting-approval", "escalated")
        world.wait(lambda: world.issue_of(NAME) and "Timeline" in world.issue_of(NAME).body, "the issue")
        self.agent = NodeAgent(world.fleet, folder / "nodes", silent=silent).__enter__()
        self.manifest_before = self.manifest

    def close(self):
        self.agent.__exit__(None, None, None)
        self.server.should_exit = True
        self.thread.join(timeout=10)

    def mend_by_hand(self):
        answer = requests.patch(
            f"{self.world.rancher.url}/k8s/clusters/local/apis/provisioning.cattle.io/v1/namespaces/fleet-default/clusters/{NAME}",
            json={"spec": {"rkeConfig": {"chartValues": {"rke2-canal": {"flannel": {"iface": "eth2"}}}}}},
            headers={"Authorization": f"Bearer {worlds.JAN}", "Content-Type": "application/merge-patch+json"},
            timeout=10,
        )
        answer.raise_for_status()

    def restart(self):
        self.world.stop()
        self.world.start()
        self.inbox.app = self.world.app

    @property
    def manifest(self):
        item = requests.get(
            f"{self.world.rancher.url}/k8s/clusters/local/apis/provisioning.cattle.io/v1/namespaces/fleet-default/clusters/{NAME}",
            headers={"Authorization": f"Bearer {worlds.JAN}"},
            timeout=10,
        ).json()
        return item["spec"]["rkeConfig"].get("additionalManifest")

    @property
    def body(self):
        return self.world.issue_of(NAME).body

    @property
    def digest(self):
        """As the issue offers it, inline."""
        found = re.search(r"`/drover diagnose nodes` shows the plan, `/drover approve ([0-9a-f]{6})`", self.body)
        return found[1] if found else ""

    def say(self, text, by="jan"):
        return self.world.comment(NAME, text, by)

    def answers(self):
        return self.world.comments(NAME)

    def told(self, text):
        return [body for body in self.answers() if text in body]

    def run(self):
        return self.inbox.last(self.world.incident(NAME).id)

    def until_over(self):
        self.world.wait(lambda: self.told("The nodes were asked**"), "the end of the asking", within=60)
        self.world.wait(lambda: self.run().phase == "closed", "the run to be closed")

    @property
    def what(self):
        return [record.what for record in self.world.store.audit(self.world.incident(NAME).id)]


@pytest.fixture
def asked(new_world, tmp_path, monkeypatch):
    monkeypatch.setattr(worlds, "SPEED", SPEED)
    made = []

    def make(**options):
        made.append(Asked(new_world, tmp_path, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.slow
def test_what_people_agree_to_in_the_issue_is_done_and_diagnosed_anew(asked):
    it = asked()
    world = it.world
    before = world.incident(NAME)
    assert it.digest, it.body
    assert "taken out within 10 min" in it.body

    it.say("/drover diagnose nodes", by="tom")
    (plan,) = it.told("Ask the nodes themselves")
    (node,) = re.findall(r"expected to report: `([^`]+)`", plan)
    assert "kind: DaemonSet" in plan
    assert "(the key of this run)" in plan
    assert f"/drover approve {it.digest}" in plan
    assert "default" in plan
    assert world.writes == []

    comment = it.say(f"/drover approve {it.digest}")
    assert world.reactions(NAME, comment) == ["eyes", "rocket"]
    it.until_over()

    (ended,) = it.told("The nodes were asked**")
    assert f"approved by jan. Reported: `{node}`" in ended
    assert "taken out again" in ended
    assert it.manifest == it.manifest_before
    world.wait(lambda: world.incident(NAME).attempt == before.attempt + 1, "a fresh look")
    world.wait(lambda: "interface" in str((world.incident(NAME).diagnosis or {}).get("findings")), "the new cause")
    world.until(NAME, "reported", "awaiting-approval")
    world.wait(lambda: "interface" in it.world.issue_of(NAME).title, "the issue to tell it")
    assert f"host/{node}.txt" in open_bundle(world.incident(NAME).evidence)
    # They have spoken: nothing is offered any more.
    world.wait(lambda: not it.digest, "the offer to go")
    assert it.what == ["intend", "write", "intend undo", "undo"]
    assert {record.actor for record in world.store.audit(world.incident(NAME).id)} == {"jan"}
    assert len(world.writes) == 2
    # The same word again finds that it was done.
    old = re.search(r"approve ([0-9a-f]{6})", plan)[1]
    it.say(f"/drover approve {old}", by="jan")
    assert it.told("were asked with that plan already")
    assert len(world.writes) == 2


@pytest.mark.slow
def test_killed_in_its_middle_every_word_is_said_once(asked):
    it = asked(silent=frozenset({"everybody"}))
    it.say(f"/drover approve {it.digest}")
    it.world.wait(lambda: "drover:begin probe" in (it.manifest or ""), "the probe to be delivered")

    it.restart()

    # A second request while one runs is told so, and begins nothing.
    it.say("/drover diagnose nodes")
    assert it.told("being asked already")
    assert "**Drover is asking one Linux node now**, approved by jan" in it.body
    it.until_over()
    assert it.manifest == it.manifest_before
    assert len(it.told("The nodes were asked**")) == 1
    assert it.what == ["intend", "write", "intend undo", "undo"]
    assert len(it.world.writes) == 2
    assert it.world.app.probing.unfinished() == []


def test_without_the_label_it_is_refused_with_the_reason(asked):
    it = asked(label="")
    assert it.digest == ""

    it.say("/drover diagnose nodes")

    assert it.told("nothing reads its nodes without the label drover.io/probe=allow")
    assert it.run() is None
    assert it.world.writes == []


def test_a_label_that_went_away_refuses_what_was_agreed_to(asked):
    it = asked()
    digest = it.digest
    it.world.change(NAME, {"metadata": {"labels": {LABEL: None}}})

    it.say(f"/drover approve {digest}")

    assert it.told("nothing reads its nodes without the label")
    assert it.world.writes == []


NEVER = """\
default:
  safe: {needs: 1 approval, by: write}
  disruptive: {needs: 1 approval, by: maintain}
  destructive: {needs: 2 approvals, by: admin}
rules:
  - {when: {risk: disruptive}, decide: never, reason: nobody disturbs our clusters}
"""
TWO = """\
default:
  safe: {needs: 1 approval, by: write}
  disruptive: {needs: 2 approvals, by: write}
  destructive: {needs: 2 approvals, by: admin}
"""


def test_a_policy_that_never_lets_it_offers_nothing_and_says_why(asked):
    it = asked(policy=NEVER)
    assert it.digest == ""

    it.say("/drover diagnose nodes")
    (plan,) = it.told("nobody disturbs our clusters")
    digest = re.search(r"Plan `([0-9a-f]{6})`", plan)[1]
    it.say(f"/drover approve {digest}")

    assert "cannot be approved here" in plan
    assert it.told("does not let the nodes be asked: nobody disturbs our clusters")
    assert it.world.writes == []


@pytest.mark.slow
def test_one_approval_of_two_is_counted_and_the_second_begins_it(asked):
    it = asked(policy=TWO, silent=frozenset({"everybody"}))

    first = it.say(f"/drover approve {it.digest}", by="maria")
    it.world.wait(lambda: "needs two approvals (1 given)" in it.body, "the count in the issue")
    # The same person twice is one person.
    it.say(f"/drover approve {it.digest}", by="maria")
    threading.Event().wait(0.3)
    assert it.world.writes == []

    # Edited, the first word counts no more; the other one of hers does.
    it.world.github.edit_comment_as("maria", first, "hm")
    it.world.read_comments()
    it.world.wait(lambda: any("approval to ask the nodes is void" in each for each in it.world.timeline(NAME)), "void")
    it.say(f"/drover approve {it.digest}", by="jan")

    it.until_over()
    assert "jan" in it.told("The nodes were asked**")[0]
    assert it.manifest == it.manifest_before


def test_a_comment_edited_before_it_begins_agrees_to_nothing(asked):
    it = asked(policy=TWO)
    first = it.say(f"/drover approve {it.digest}", by="maria")
    it.world.wait(lambda: "(1 given)" in it.body, "the count in the issue")

    it.world.github.edit_comment_as("maria", first, "/drover approve 000000")
    it.world.read_comments()
    it.world.wait(lambda: "given)" not in it.body, "the count to go")
    it.say(f"/drover approve {it.digest}", by="jan")
    it.world.wait(lambda: "(1 given)" in it.body, "only one to count")

    assert it.world.writes == []


def test_an_edit_that_nobody_heard_of_is_found_before_the_write(asked):
    it = asked(policy=TWO)
    first = it.say(f"/drover approve {it.digest}", by="maria")
    it.world.wait(lambda: "(1 given)" in it.body, "the count in the issue")
    it.world.github.edit_comment_as("maria", first, "I did not mean it")
    # The service reads comments in order: this one is handed to it as by a webhook that overtook the edit.
    number = it.world.github.comment_as("jan", it.world.incident(NAME).issue, f"/drover approve {it.digest}")
    view = it.world.app.tracker.comment(number)
    it.world.app.desk.hear(as_heard(view))
    it.world.wait(lambda: any("is void" in each for each in it.world.timeline(NAME)), "void")

    assert it.world.writes == []
    assert it.manifest == it.manifest_before


def as_heard(view):
    return Heard("created", view.issue, view.id, view.author, view.author_is_bot, view.body, view.updated_at)


def test_an_approval_expires_as_others_do(asked):
    it = asked(policy=TWO + "approvals: {expire: 1m}\n")
    it.say(f"/drover approve {it.digest}", by="maria")
    it.world.wait(lambda: "(1 given)" in it.body, "the count in the issue")
    # A minute of the policy.
    threading.Event().wait(60 / SPEED + 0.2)

    it.say(f"/drover approve {it.digest}", by="jan")
    it.world.wait(lambda: len(it.run().approvals) == 2, "the second approval")

    threading.Event().wait(0.5)
    assert "(1 given)" in it.body
    assert it.world.writes == []


def test_what_people_changed_meanwhile_makes_another_plan(asked):
    it = asked()
    digest = it.digest
    url = f"{it.world.rancher.url}/k8s/clusters/local/apis/provisioning.cattle.io/v1/namespaces/fleet-default/clusters/{NAME}"
    theirs = "---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: theirs\n"
    requests.patch(
        url,
        json={"spec": {"rkeConfig": {"additionalManifest": theirs}}},
        headers={"Authorization": f"Bearer {worlds.JAN}", "Content-Type": "application/merge-patch+json"},
        timeout=10,
    ).raise_for_status()

    it.say(f"/drover approve {digest}")

    (told,) = it.told("The plan for asking the nodes is now")
    assert f"not `{digest}`" in told
    it.say(f"/drover approve {digest}")
    assert len(it.told("The plan for asking the nodes is now")) == 2
    assert it.world.writes == []


@pytest.mark.parametrize("by", ["maria", "tom", "eve"])
def test_the_role_is_that_of_the_risk(asked, by):
    it = asked()

    it.say(f"/drover approve {it.digest}", by=by)

    assert it.told("needs the role")
    assert it.run().approvals == ()
    assert it.world.writes == []


@pytest.mark.slow
def test_a_cluster_that_came_up_meanwhile_is_left_alone(asked):
    it = asked(policy=TWO)
    digest = it.digest
    it.say(f"/drover approve {digest}", by="maria")
    it.world.wait(lambda: "(1 given)" in it.body, "the count in the issue")

    it.mend_by_hand()
    it.world.wait(lambda: it.world.sweep()[NAME] == "healthy", "the cluster to come up")
    it.say(f"/drover approve {digest}", by="jan")

    it.world.wait(lambda: it.world.sweep() and it.world.state(NAME) == "superseded", "the end", within=60)
    assert it.world.writes == []
    assert it.manifest == it.manifest_before
    assert not it.told("The nodes were asked**")


@pytest.mark.slow
def test_a_pause_holds_it_and_its_end_lets_it_go(asked):
    it = asked(silent=frozenset({"everybody"}))
    it.say("/drover pause we look first")
    it.say(f"/drover approve {it.digest}")
    it.world.wait(lambda: any("has to wait" in each for each in it.world.timeline(NAME)), "it to be held")
    assert it.world.writes == []

    it.say("/drover resume")

    it.until_over()
    assert len(it.world.writes) == 2


def test_logs_of_the_nodes_are_told_from_others():
    def bundle(name, files):
        report = CollectorReport(name=name, status=CollectorStatus.OK, reason=None, files=files)
        return Bundle.of({"events.txt": "x"}).with_manifest(replace(Manifest(), collectors=(report,)))

    assert lacks_node_logs(bundle("management_events", ("logs/fleet-default/create/machine.log",)))
    assert lacks_node_logs(bundle("cni_logs", ()))
    assert not lacks_node_logs(bundle("machine_shell", ("logs/rke2-server/a.log",)))
    assert not lacks_node_logs(bundle("probe", ("host/a.txt",)))
