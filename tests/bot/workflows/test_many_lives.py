"""Killed at every step, every write and every word once, in one incident: each thing still happens exactly once."""

import re
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
import requests

from bot.adapters.database import Database
from bot.adapters.incident_store import IncidentStore
from bot.incidents.timeline import broken_link
from bot.simulator import RunningGitHub
from rancher_ext.simulator.clock import SimClock
from rancher_ext.simulator.fleet import Fleet
from rancher_ext.simulator.running import RunningRancher
from tests.bot.workflows.world import CLUSTERS, PEOPLE, SPEED, in_process_environment

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(900)]
SCRIPT = Path(__file__).with_name("many_lives.py")
OFFERED = r"^/drover approve ([0-9a-f]{6})"
ROOT = Path(__file__).parents[3]


class Stage:
    def __init__(
        self,
        home,
        scenario,
        label=None,
        *,
        workers=("many-lives",),
        database="",
        steps=False,
        script=SCRIPT,
        nodes=False,
    ):
        self.script, self.nodes = script, nodes
        self.home, self.origin, self.workers, self.steps = home, time.time(), workers, steps
        self.database = database or f"sqlite:///{home}/drover.sqlite"
        self.fleet = Fleet(SimClock(SPEED, self.origin))
        self.fleet.add(scenario, "edge-01")
        (home / "policy.yaml").write_text(
            "rules: [{when: {risk: safe}, decide: auto}]\n" if label == "auto" else "rules: []\n", encoding="utf-8"
        )

    def live(self, final):
        with (
            RunningRancher(self.fleet, tick_every=0.02) as rancher,
            RunningGitHub(people=PEOPLE) as github,
        ):
            if self.nodes:
                (cluster,) = [each for each in self.fleet.clusters.values() if each.name == "edge-01"]
                requests.patch(
                    f"{rancher.url}{CLUSTERS}/{cluster.id}",
                    json={"metadata": {"labels": {"drover.io/probe": "allow"}}},
                    headers={
                        "Authorization": f"Bearer {rancher.token}",
                        "Content-Type": "application/merge-patch+json",
                    },
                    timeout=10,
                ).raise_for_status()
                before = len(self.fleet.journal)
            else:
                before = 0
            environment = in_process_environment() | {
                "DROVER_HOME": str(self.home),
                "DROVER_CONFIG_DIR": str(self.home),
                "DROVER_RANCHER_URL": rancher.url,
                "DROVER_RANCHER_TOKEN": rancher.token,
                "DROVER_GITHUB_API_URL": github.url,
                "DROVER_GITHUB_REPOSITORY": github.repository,
                "DROVER_GITHUB_TOKEN": github.token,
                "DROVER_CLOCK_SPEED": str(SPEED),
                "DROVER_CLOCK_ORIGIN": repr(self.origin),
                "DROVER_DATABASE_URL": self.database,
                "MANY_LIVES_STEPS": "1" if self.steps else "",
                # Nobody answers there: the nodes of this stage stay silent.
                **({"DROVER_PUBLIC_URL": "http://127.0.0.1:9"} if self.nodes else {}),
                "PYTHONPATH": str(ROOT),
            }
            over = threading.Event()
            approver = threading.Thread(target=self._approve, args=(github, over))
            approver.start()
            try:
                done = subprocess.run(
                    [sys.executable, str(self.script), str(self.home), final, *self.workers],
                    env=environment,
                    cwd=ROOT,
                    capture_output=True,
                    text=True,
                    timeout=840,
                )
            finally:
                over.set()
                approver.join()
            places = (self.home / "places").read_text().splitlines() if (self.home / "places").exists() else []
            assert done.returncode == 0, (done.stdout[-2000:], done.stderr[-4000:], places[-5:])
            self.lives = int(done.stdout.split()[-2])
            self.places = places
            self.issues = github.issues
            self.writes = [
                f"{entry['body'][-1]['op']} {entry['body'][-1]['path'].rpartition('/')[2]}"
                for entry in list(self.fleet.journal)[before:]
                if entry["tookEffect"] and "selfsubject" not in entry["path"]
            ]
            self.bot = github.bot
        database = Database(self.database)
        self.store = IncidentStore(database)
        self.rows, self.audit = self.store.all(), self.store.audit()
        self.timeline = self.store.timeline(self.rows[0].id)
        database.close()

    def _approve(self, github, over):
        """Maria reads the issue and agrees, once; to asking the nodes it is Jan, who may."""
        by, pattern = ("jan", r"(?<=`)/drover approve ([0-9a-f]{6})") if self.nodes else ("maria", OFFERED)
        while not over.wait(0.05):
            for issue in github.issues:
                found = re.search(pattern, issue.body, re.MULTILINE)
                if found:
                    github.comment_as(by, issue.number, f"/drover approve {found[1]}")
                    return

    @property
    def markers(self):
        comments = [comment for comment in self.issues[0].comments if comment.author == self.bot]
        return Counter(re.search(r"drover:(\S+) -->", comment.body)[1] for comment in comments)


@pytest.fixture(params=["sqlite, one worker", "postgresql, two workers"])
def new_stage(request, tmp_path):
    """Real processes, killed with SIGKILL. Two workers share one PostgreSQL, and each takes up what the other left."""

    def make(scenario, **options):
        if request.param.startswith("postgresql"):
            options |= {
                "workers": ("drover-0", "drover-1"),
                "database": request.getfixturevalue("postgres_server").new_database(),
            }
        return Stage(tmp_path, scenario, **options)

    return make


def killed_around(stage, *steps):
    return all(
        any(place.startswith(f"{when} step.{step}(") for place in stage.places)
        for step in steps
        for when in ("before", "after")
    )


def test_a_cure_that_works(new_stage):
    stage = new_stage("rke1-canal-br-netfilter")
    stage.live("resolved")
    assert stage.writes == ["add enableBrNetfilter"]
    (row,) = stage.rows
    assert (row.state, row.episode) == ("resolved", 1)
    (issue,) = stage.issues
    assert not issue.open
    assert set(stage.markers.values()) == {1}
    assert {marker.split(":")[0] for marker in stage.markers} == {"status", "healed"}
    assert [record.what for record in stage.audit] == ["intend", "write"]
    assert broken_link(stage.audit) is None
    told = Counter(entry.text for entry in stage.timeline)
    assert all(count == 1 for text, count in told.items() if "→" in text or "approved" in text or ": done" in text)
    assert stage.lives == len(stage.places) + len(stage.workers)
    assert killed_around(
        stage, "collect", "diagnose", "plan", "decide", "report", "note_approval", "begin", "apply", "prove", "resolved"
    )
    assert any(place.startswith("after action.apply(") for place in stage.places)


def test_a_plan_of_two_steps_and_three_writes_that_fails_and_is_put_back(new_stage):
    stage = new_stage("rke1-canal-cure-fails", label="auto", steps=True)
    stage.live("rolled-back")
    assert stage.writes == [
        "add one", "add two", "add enableBrNetfilter", "remove enableBrNetfilter", "remove two", "remove one",
    ]  # fmt: skip
    (row,) = stage.rows
    assert row.state == "rolled-back"
    (issue,) = stage.issues
    assert issue.open
    assert set(stage.markers.values()) == {1}
    assert [record.what for record in stage.audit] == ["intend", "write"] * 3 + ["intend-undo", "undo"] * 3
    assert broken_link(stage.audit) is None
    assert stage.lives == len(stage.places) + len(stage.workers)
    assert killed_around(stage, "begin", "apply", "settled", "prove", "failed_cure", "take_back", "rolled_back")
    assert sum(place.startswith("after action.apply(") for place in stage.places) == 3
    assert sum(place.startswith("after action.take_back(") for place in stage.places) == 3


def test_nodes_that_people_let_it_ask_are_asked_once(new_stage):
    stage = new_stage("rke2-canal-never-connected", nodes=True)
    stage.live("asked")
    # In, and out again.
    assert len(stage.writes) == 2
    (row,) = stage.rows
    assert row.state in {"reported", "awaiting-approval"}
    (issue,) = stage.issues
    assert issue.open
    assert set(stage.markers.values()) == {1}
    assert {marker.split(":")[0] for marker in stage.markers} == {"status", "nodes"}
    assert [record.what for record in stage.audit] == ["intend", "write", "intend undo", "undo"]
    assert broken_link(stage.audit) is None
    told = Counter(entry.text for entry in stage.timeline)
    assert all(count == 1 for text, count in told.items() if "nodes" in text or "probe" in text)
    assert stage.lives == len(stage.places) + len(stage.workers)
    for step in ("agreed", "begin", "deliver", "look", "take_out", "finish", "tell"):
        assert {f"before nodes.{step}()", f"after nodes.{step}()"} <= set(stage.places)
