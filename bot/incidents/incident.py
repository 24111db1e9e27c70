"""What state is an incident in, and where may it go from there?

One incident per cluster and episode. Its id is deterministic, so that two workers that see the same stuck cluster open the
same incident, and a restart finds it again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from rancher_ext.fleet.cluster import ClusterKey

# A relapse within a day belongs to the same issue; a later one is a new story.
RELAPSE = timedelta(hours=24)


class State(StrEnum):
    DETECTED = "detected"
    DIAGNOSING = "diagnosing"
    REPORTED = "reported"
    AWAITING_APPROVAL = "awaiting-approval"
    REMEDIATING = "remediating"
    VERIFYING = "verifying"
    RESOLVED = "resolved"
    SNOOZED = "snoozed"
    REJECTED = "rejected"
    ROLLING_BACK = "rolling-back"
    ROLLED_BACK = "rolled-back"
    ESCALATED = "escalated"
    SUPERSEDED = "superseded"

    @property
    def over(self) -> bool:
        """No workflow runs any more and the issue is closed."""
        return self in {State.RESOLVED, State.SUPERSEDED}


_S = State
MOVES: Mapping[State, frozenset[State]] = {
    _S.DETECTED: frozenset({_S.DIAGNOSING, _S.SUPERSEDED, _S.ESCALATED}),
    _S.DIAGNOSING: frozenset({_S.REPORTED, _S.SUPERSEDED, _S.ESCALATED}),
    _S.REPORTED: frozenset(
        {
            _S.ROLLING_BACK,
            _S.AWAITING_APPROVAL,
            _S.REMEDIATING,
            _S.DIAGNOSING,
            _S.SUPERSEDED,
            _S.SNOOZED,
            _S.REJECTED,
            _S.ESCALATED,
        }
    ),
    _S.AWAITING_APPROVAL: frozenset(
        {
            _S.ROLLING_BACK,
            _S.REMEDIATING,
            _S.REJECTED,
            _S.DIAGNOSING,
            _S.REPORTED,
            _S.SUPERSEDED,
            _S.SNOOZED,
            _S.ESCALATED,
        }
    ),
    _S.REMEDIATING: frozenset({_S.VERIFYING, _S.ROLLING_BACK, _S.ESCALATED}),
    _S.VERIFYING: frozenset({_S.RESOLVED, _S.ROLLING_BACK, _S.ESCALATED}),
    _S.ROLLING_BACK: frozenset({_S.ROLLED_BACK, _S.ESCALATED}),
    _S.ROLLED_BACK: frozenset({_S.ESCALATED, _S.DIAGNOSING, _S.SUPERSEDED}),
    _S.ESCALATED: frozenset({_S.DIAGNOSING, _S.SUPERSEDED, _S.REPORTED, _S.ROLLING_BACK}),
    _S.REJECTED: frozenset({_S.ROLLING_BACK, _S.DIAGNOSING, _S.SUPERSEDED}),
    # A snooze ends by itself: then everything is open to it that was before.
    _S.SNOOZED: frozenset(
        {
            _S.DIAGNOSING,
            _S.REPORTED,
            _S.AWAITING_APPROVAL,
            _S.REMEDIATING,
            _S.ROLLING_BACK,
            _S.REJECTED,
            _S.SUPERSEDED,
            _S.ESCALATED,
        }
    ),
    _S.RESOLVED: frozenset(),
    _S.SUPERSEDED: frozenset(),
}


class IllegalMoveError(RuntimeError):
    """A bug: the flow tried a move that the table above does not know."""


def check_move(current: State, new: State) -> None:
    if new is not current and new not in MOVES[current]:
        raise IllegalMoveError(f"an incident cannot go from {current} to {new}")


def incident_id(rancher: str, cluster_uid: str, episode: int) -> str:
    return f"incident:{rancher}:{cluster_uid}:{episode}"


@dataclass(frozen=True)
class Incident:
    """One row. `story` is the first episode told in its issue: a relapse within a day continues it. `diagnosis` and `plan` are JSON of `Diagnosis` and `Plan`; `explanation` stands where there is no plan.

    `approval` holds who approved what and until when. `issue` is None until the issue exists.
    """

    id: str
    cluster: ClusterKey
    cluster_uid: str
    cluster_name: str
    episode: int
    story: int
    state: State
    opened_at: datetime
    updated_at: datetime
    stuck_since: datetime
    stage: str
    reason: str
    distribution: str
    cni: str
    kubernetes: str
    driver: str = ""
    node_count: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    attempt: int = 1
    issue: int | None = None
    issue_url: str = ""
    diagnosis: Mapping[str, Any] | None = None
    plan: Mapping[str, Any] | None = None
    explanation: Mapping[str, Any] | None = None
    decision: Mapping[str, Any] | None = None
    approval: Mapping[str, Any] | None = None
    outcome: str = ""
    evidence: str = ""
    changed_at: datetime | None = None
    closed_at: datetime | None = None

    @property
    def marker(self) -> str:
        """The hidden marker of its issue: one issue for all episodes of a story."""
        return f"incident:{self.cluster.rancher}:{self.cluster_uid}:{self.story}"


def first_signature(diagnosis: Mapping[str, Any] | None) -> str | None:
    """The best finding's signature, if the network is what failed."""
    if not diagnosis or diagnosis.get("verdict") != "cni-failure" or not diagnosis.get("findings"):
        return None
    return str(diagnosis["findings"][0]["signature"])
