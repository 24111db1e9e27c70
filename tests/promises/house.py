"""The whole service on one turned clock: real watchman, real steps, real runbook; simulator in process, everything else in memory."""

import itertools
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from bot.adapters.in_memory import InMemoryFleet, InMemoryIncidents, InMemoryIssues
from bot.collecting import collect_evidence
from bot.knowledge import LoadedKnowledge, load_knowledge
from bot.policy.schema import Policy
from bot.ports import Role
from bot.settings import load_settings
from bot.workflows.desk import Desk
from bot.workflows.parts import Knowledge, Parts, RancherServer
from bot.workflows.steps import IncidentSteps
from bot.workflows.watchman import Watchman
from rancher_ext.client.snapshot import FleetReader
from rancher_ext.client.transport import RetryPolicy
from rancher_ext.detection import Limits
from rancher_ext.listeners.queue import HintQueue
from rancher_ext.simulator.fleet import Fleet
from tests.promises.baton import BatonEngine
from tests.promises.in_process import URL, InProcessTransport, TurnedClock

# Everything runs by itself, everywhere, all at once: what holds now holds under every policy.
WIDEST = Policy.model_validate(
    {
        "rules": [{"when": {}, "decide": "auto", "reason": "everything runs"}],
        "brakes": {
            "clusters_at_once": 10_000,
            "per_signature_per_hour": 100,
            "per_playbook_per_hour": 100,
            "canary": "off",
            "storm": "off",
            "demote_after": 50,
        },
    }
)


@cache
def shipped() -> LoadedKnowledge:
    return load_knowledge()


def shipped_limits(home: Path) -> Limits:
    given = {"HOME": str(home), "CONFIG_DIR": str(home), "RANCHER_URL": URL, "RANCHER_TOKEN": "token-a:b"}
    return load_settings({f"DROVER_{name}": value for name, value in given.items()}).limits


class House:
    def __init__(
        self,
        home: Path,
        policy: Policy,
        *,
        book: InMemoryIncidents | None = None,
        between: Callable[[str, str], None] = lambda *_: None,
        after: Callable[[str, str], None] = lambda *_: None,
    ) -> None:
        self.clock = TurnedClock()
        self.fleet = Fleet(self.clock.simulated())
        self.transport = InProcessTransport(self.fleet, retry=RetryPolicy(attempts=2))
        self.server = RancherServer("default", self.transport, FleetReader(self.transport, self.clock.now))
        seconds = itertools.count()
        self.tracker = InMemoryIssues(
            {"maria": Role.WRITE, "jan": Role.ADMIN, "ann": Role.ADMIN},
            now=lambda: self.clock.at.replace(microsecond=next(seconds) % 1_000_000),
        )
        self.policy = policy
        self.book = book or InMemoryIncidents()
        self.parts = Parts(
            ranchers={"default": self.server},
            store=self.book,
            fleet=InMemoryFleet(),
            tracker=self.tracker,
            knowledge=Knowledge(
                shipped().diagnose, shipped().remedy_json, shipped().playbooks, shipped().actions, shipped().since
            ),
            collect=lambda server, snapshot: collect_evidence(server, snapshot, self.clock.now()),
            policy=lambda: self.policy,
            limits=shipped_limits(home),
            clock=self.clock,
            evidence_dir=home,
            holder="worker",
        )
        self.steps = IncidentSteps(self.parts)
        self.engine = BatonEngine(self.clock, self.steps, between=between, after=after, tick=self.fleet.tick)
        self.queue = HintQueue(self.clock.now, real_seconds=lambda _: 0.0)
        self.watchman = Watchman(self.parts, self.engine, self.queue, lambda: 0.0)
        self.desk = Desk(self.parts, self.engine)

    @property
    def writes(self) -> list[Mapping[str, Any]]:
        """What took effect in Rancher and was no question about rights."""
        return [
            entry for entry in self.fleet.journal if entry["tookEffect"] and "selfsubject" not in str(entry["path"])
        ]
