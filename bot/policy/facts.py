"""What may a decision rest on? Values only; whoever asks has gathered them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from bot.policy.approvals import Approval
from rancher_ext.remediation.action import Risk, UndoKind


@dataclass(frozen=True)
class Elsewhere:
    """What happens on other clusters. The incident that asks is never counted.

    `goes_first` is the cluster that gets the same cure at this moment, `proven` says that the cure has healed one lately,
    `fell_through` names the last one that it did not heal. `failures` counts the playbook's failures since its last success.
    """

    signature_begun: int = 0
    playbook_begun: int = 0
    goes_first: str = ""
    proven: bool = False
    fell_through: str = ""
    failures: int = 0
    stuck_lately: int = 0
    fleet: int = 0


@dataclass(frozen=True)
class Facts:
    """Everything a decision may rest on. `not_now` says why the cluster itself must not be written to at this moment.

    `begun` says that this cure has begun: brakes keep cures from beginning, and never leave one half done.
    `signature_since` is the day since when the catalogue knows the signature; one without a day is as new as can be.
    """

    risk: Risk
    undo: UndoKind
    cause: str
    signature: str
    digest: str
    labels: Mapping[str, str]
    initialized: bool
    mending_now: int
    paused: bool
    dry_run: bool
    failed_before: bool
    now: datetime
    not_now: str = ""
    approvals: Sequence[Approval] = ()
    playbook: str = ""
    actions: Sequence[str] = ()
    etcd_saved: bool = False
    signature_since: date | None = None
    begun: bool = False
    undecided: bool = False
    snoozed_until: datetime | None = None
    snoozed_by: str = ""
    elsewhere: Elsewhere = Elsewhere()

    @property
    def signature_age(self) -> timedelta:
        if self.signature_since is None:
            return timedelta()
        return max(timedelta(), timedelta(days=(self.now.date() - self.signature_since).days))
