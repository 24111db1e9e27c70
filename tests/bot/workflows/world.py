"""The real service between a simulated Rancher and a simulated GitHub. Nothing moves by itself: a test sweeps and reads comments."""

import itertools
import os
import re
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Self

import requests

import bot.app
from bot.app import App
from bot.incidents.incident import Incident
from bot.knowledge import LoadedKnowledge, load_knowledge
from bot.settings import load_settings
from bot.simulator import RunningGitHub
from rancher_ext.detection.verdict import word
from rancher_ext.listeners.hint import ClusterHint
from rancher_ext.simulator.clock import SimClock
from rancher_ext.simulator.fleet import Fleet
from rancher_ext.simulator.running import RunningRancher

# Half a minute between two looks takes a twentieth of a second.
SPEED = 600.0
PEOPLE = {"maria": "write", "jan": "maintain", "eve": "read", "tom": "triage"}
JAN = "token-jan:a-person-in-the-rancher-ui"
CLUSTERS = "/k8s/clusters/local/apis/management.cattle.io/v3/clusters"


@cache
def knowledge() -> LoadedKnowledge:
    return load_knowledge()


class World:
    """Enter it, add clusters, `live`, and look what happened."""

    def __init__(self, home: Path, monkeypatch: Any, *, rancher_version: str = "v2.11.3", **settings: str) -> None:
        self._monkeypatch = monkeypatch
        self.home = home
        self.origin = time.time()
        self.fleet = Fleet(SimClock(SPEED, self.origin), rancher_version)
        self.fleet.add_token(JAN, user="user-jan")
        self._settings = settings
        self._stack = ExitStack()
        self.app: App | None = None

    def __enter__(self) -> Self:
        monkeypatch = self._monkeypatch
        monkeypatch.setattr(bot.app, "load_knowledge", lambda *_: knowledge())
        self.rancher = self._stack.enter_context(RunningRancher(self.fleet, tick_every=0.02))
        # GitHub's times are whole seconds. Here each thing that happens has one of its own, as in life.
        seconds = itertools.count()
        began = datetime.now(UTC).replace(microsecond=0)
        clock = lambda: began + timedelta(seconds=next(seconds))  # noqa: E731
        self.github = self._stack.enter_context(RunningGitHub(people=PEOPLE, clock=clock))
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._stack.close()

    # --- the service ---

    def start(self) -> None:
        given = {
            "HOME": str(self.home),
            "CONFIG_DIR": str(self.home),
            "RANCHER_URL": self.rancher.url,
            "RANCHER_TOKEN": self.rancher.token,
            "GITHUB_API_URL": self.github.url,
            "GITHUB_REPOSITORY": self.github.repository,
            "GITHUB_TOKEN": self.github.token,
            "CLOCK_SPEED": str(SPEED),
            "CLOCK_ORIGIN": repr(self.origin),
            "EXECUTOR_ID": "test",
        } | self._settings
        self.app = App(load_settings({f"DROVER_{name}": value for name, value in given.items() if value}))
        self.app.engine.launch()
        self.app.watchman.take_up()

    def stop(self) -> None:
        if self.app is not None:
            self.app.stop()
            self.app = None

    @property
    def store(self) -> Any:
        return self.app.parts.store

    def sweep(self) -> dict[str, str]:
        """Every cluster's verdict by its name."""
        looks = [look for server in self.app.parts.ranchers.values() for look in self.app.watchman.sweep(server).looks]
        return {look.snapshot.identity.name: word(look.verdict) for look in looks}

    def hint(self, name: str) -> Any:
        (key,) = [cluster.key for cluster in self.app.fleet_store.seen() if cluster.name == name]
        return self.app.watchman.look(ClusterHint(key, "test"))

    def read_comments(self) -> int:
        return self.app.desk.catch_up()

    def incident(self, name: str) -> Incident:
        return next(row for row in self.store.all(limit=1000) if row.cluster_name == name)

    def state(self, name: str) -> str:
        return self.incident(name).state.value

    def timeline(self, name: str) -> list[str]:
        return [entry.text for entry in self.store.timeline(self.incident(name).id)]

    def wait(self, condition: Callable[[], Any], what: str, within: float = 30.0) -> Any:
        deadline = time.monotonic() + within
        while True:
            found = condition()
            if found:
                return found
            if time.monotonic() > deadline:
                rows = [(row.cluster_name, row.state.value, row.outcome) for row in self.store.all()]
                raise AssertionError(f"waited in vain for {what}: {rows}")
            time.sleep(0.02)

    def until(self, name: str, *states: str, within: float = 30.0) -> Incident:
        self.wait(lambda: self.state(name) in states, f"{name} to be {' or '.join(states)}", within)
        return self.incident(name)

    def ask(self, name: str) -> Incident:
        """Sweep, and wait until the incident asks for an approval in its issue."""
        self.sweep()
        row = self.until(name, "awaiting-approval")
        self.wait(lambda: self.issue_of(name) and self.digest(name), "the digest in the issue")
        return row

    # --- GitHub ---

    def issue_of(self, name: str) -> Any:
        number = self.incident(name).issue
        return self.github.issue(number) if number else None

    def digest(self, name: str) -> str:
        found = re.search(r"^/drover approve ([0-9a-f]{6})", self.issue_of(name).body, re.MULTILINE)
        return found[1] if found else ""

    def comment(self, name: str, body: str, by: str = "maria") -> int:
        number = self.github.comment_as(by, self.incident(name).issue, body)
        self.read_comments()
        return number

    def approve(self, name: str, by: str = "maria") -> int:
        return self.comment(name, f"/drover approve {self.digest(name)}", by)

    def comments(self, name: str) -> list[str]:
        """What we said beside the status."""
        found = [comment.body for comment in self.issue_of(name).comments if comment.author == self.github.bot]
        return [body for body in found if "drover:status:" not in body]

    def reactions(self, name: str, comment_id: int) -> list[str]:
        (found,) = [comment for comment in self.issue_of(name).comments if comment.id == comment_id]
        return list(found.reactions)

    # --- Rancher ---

    @property
    def writes(self) -> list[dict[str, Any]]:
        """What Drover wrote to Rancher: changes, not questions about rights."""
        return [
            entry
            for entry in self.fleet.journal
            if entry["user"] != "user-jan" and entry["tookEffect"] and "selfsubject" not in entry["path"]
        ]

    def cluster_object(self, name: str) -> dict[str, Any]:
        answer = requests.get(f"{self._url(name)}", headers={"Authorization": f"Bearer {JAN}"}, timeout=10)
        answer.raise_for_status()
        return answer.json()

    def network(self, name: str) -> dict[str, Any]:
        return self.cluster_object(name)["spec"]["rancherKubernetesEngineConfig"]["network"]

    def change(self, name: str, patch: dict[str, Any]) -> None:
        """A person changes the cluster in Rancher, by merge patch."""
        answer = requests.patch(
            self._url(name),
            json=patch,
            headers={"Authorization": f"Bearer {JAN}", "Content-Type": "application/merge-patch+json"},
            timeout=10,
        )
        answer.raise_for_status()

    def change_network(self, name: str, **options: Any) -> None:
        self.change(name, {"spec": {"rancherKubernetesEngineConfig": {"network": options}}})

    def sim(self, name: str) -> Any:
        return next(cluster for cluster in self.fleet.clusters.values() if cluster.name == name)

    def _url(self, name: str) -> str:
        return f"{self.rancher.url}{CLUSTERS}/{self.sim(name).id}"


def in_process_environment() -> dict[str, str]:
    """For subprocesses of tests: nothing of the machine's own settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith("DROVER_")}
