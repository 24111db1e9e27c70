"""What do the steps work with? Handed over once, by the composition root."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from bot.policy.schema import Policy
from bot.ports import Clock, FleetMemory, IncidentBook, IssueTracker
from rancher_ext.bundle.bundle import Bundle
from rancher_ext.client.snapshot import FleetReader
from rancher_ext.client.transport import Transport
from rancher_ext.detection import Limits
from rancher_ext.fleet.snapshot import ClusterSnapshot
from rancher_ext.remediation.action import Action
from rancher_ext.remediation.playbook import Playbook
from rancher_ext.signatures.match import Diagnosis


@dataclass(frozen=True)
class RancherServer:
    """One Rancher server and what reads it."""

    name: str
    transport: Transport
    reader: FleetReader


@dataclass(frozen=True)
class Knowledge:
    """What we know about failures and cures. `diagnose` matches a bundle; a signature id leads to its playbook."""

    diagnose: Callable[[Bundle], Diagnosis]
    remedy_json: Callable[[Diagnosis], Mapping[str, Any]]
    playbooks: Mapping[str, Playbook]
    actions: Mapping[str, Action]
    # Since when the catalogue knows each signature: policy may ask for more while one is new.
    since: Mapping[str, date]


@dataclass(frozen=True)
class Parts:
    ranchers: Mapping[str, RancherServer]
    store: IncidentBook
    fleet: FleetMemory
    tracker: IssueTracker | None
    knowledge: Knowledge
    collect: Callable[[RancherServer, ClusterSnapshot], Bundle]
    policy: Callable[[], Policy]
    limits: Limits
    clock: Clock
    evidence_dir: Path
    holder: str
    dry_run: bool = False
    public_url: str = ""
    coverage: Callable[[], str] = lambda: ""
