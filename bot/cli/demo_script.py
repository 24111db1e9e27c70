"""Who plays in the demo, what do the people do, and how must each cluster end?"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bot.app import App
from bot.incidents.incident import Incident, State
from bot.simulator import RunningGitHub

PEOPLE: tuple[tuple[str, str], ...] = (("maria", "maintain"), ("tom", "read"))
_APPROVE = re.compile(r"^/drover approve ([0-9a-f]{6,64})$", re.MULTILINE)


@dataclass(frozen=True)
class Part:
    """One cluster. `ends` is the state its incident must reach, or None where there must never be one.

    `writes` is how often its Rancher object may be changed by us.
    """

    name: str
    scenario: str
    ends: State | None
    writes: int
    tells: str
    asks: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)


CAST: tuple[Part, ...] = (
    Part(
        "edge-07",
        "rke1-canal-br-netfilter",
        State.RESOLVED,
        1,
        "the founding case: approved, mended, proved",
        asks="/drover status",
    ),
    Part("edge-09", "rke1-flannel-br-netfilter", State.RESOLVED, 1, "the same with Flannel, approved in its own issue"),
    Part("branch-12", "rke1-canal-cure-fails", State.ROLLED_BACK, 2, "the cure failed: everything was put back"),
    Part(
        "prod-eu3",
        "rke2-canal-cidr-exhausted",
        State.AWAITING_APPROVAL,
        0,
        "the cause is named; its cure cannot be taken back and waits for administrators",
    ),
    Part(
        "kiosk-4",
        "k3s-flannel-cloud-uninitialized",
        State.RESOLVED,
        1,
        "out of Rancher's reach: diagnosed and mended from its side alone",
    ),
    Part(
        "field-3",
        "rke2-canal-heals-itself",
        State.SUPERSEDED,
        0,
        "it came up by itself: the issue was closed",
        params={"heals_after": "50m"},
    ),
    Part("lab-2", "rke2-canal-slow", None, 0, "slow, not stuck: left alone"),
    Part("office-1", "rke2-calico-waiting", None, 0, "another network: not watched"),
    Part("prod-us1", "rke2-canal-healthy", None, 0, "healthy: left alone"),
    Part("shop-5", "k3s-flannel-healthy", None, 0, "healthy: left alone"),
)


class Person:
    """Reads the issues and answers as a person would, through GitHub."""

    def __init__(self, github: RunningGitHub, person: tuple[str, str]) -> None:
        self._github = github
        self._login = person[0]
        self._answered: set[tuple[int, str]] = set()

    def act(self, cast: Sequence[Part]) -> None:
        """Approve every plan that asks for it, once; and ask what the script has her ask."""
        asks = {part.name: part.asks for part in cast if part.asks}
        for issue in self._github.issues:
            wanted = _APPROVE.search(issue.body)
            if not issue.open or wanted is None or (issue.number, wanted[1]) in self._answered:
                continue
            self._answered.add((issue.number, wanted[1]))
            lines = [text for name, text in asks.items() if f"cluster/{name}" in issue.labels]
            self._github.comment_as(self._login, issue.number, "\n".join([*lines, f"/drover approve {wanted[1]}"]))


def ended(app: App, part: Part) -> bool:
    """Has this part reached its end? A cluster without an incident has when it is up, or is not watched."""
    incident = _incident(app, part)
    if part.ends is not None:
        return incident is not None and incident.state is part.ends and incident.issue is not None
    seen = next((cluster for cluster in app.fleet_store.seen() if cluster.name == part.name), None)
    return seen is not None and seen.verdict in {"healthy", "out-of-scope"}


def check(app: App, cast: Sequence[Part], journal: Sequence[Mapping[str, Any]]) -> list[str]:
    """Everything that is not as scripted; empty when all went well."""
    problems = []
    ids = {cluster.name: cluster.key.id for cluster in app.fleet_store.seen()}
    for part in cast:
        incident = _incident(app, part)
        state = incident.state if incident else None
        if state is not part.ends:
            problems.append(f"{part.name}: ended {state or 'without an incident'}, expected {part.ends or 'none'}")
        elif not ended(app, part):
            problems.append(f"{part.name}: did not come up in time")
        touched = [
            write
            for write in journal
            if (ids.get(part.name, part.name) in write["path"] or write["path"].endswith(f"/{part.name}"))
            and write["method"] in {"PATCH", "PUT", "DELETE"}
        ]
        if len(touched) != part.writes:
            problems.append(f"{part.name}: was written to {len(touched)} times, expected {part.writes}")
    return problems


def _incident(app: App, part: Part) -> Incident | None:
    return next((incident for incident in app.parts.store.all() if incident.cluster_name == part.name), None)
