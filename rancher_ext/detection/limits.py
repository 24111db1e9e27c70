"""How long is too long, and which clusters are watched at all?"""

from dataclasses import dataclass, field
from datetime import timedelta

from rancher_ext.fleet.cluster import Distribution
from rancher_ext.fleet.cni import Cni
from rancher_ext.fleet.versions import VersionRange

# Ten minutes without any step forward: the slowest image pulls take six, and one retry has to fit before a person is called.
NO_PROGRESS = timedelta(minutes=10)
# A readiness that does not last a minute is a crash loop between two crashes.
HOLD = timedelta(seconds=60)
# After five minutes of health an episode is over; a shorter pause belongs to the same illness.
SETTLE = timedelta(minutes=5)


@dataclass(frozen=True)
class Scope:
    """Which clusters are watched. An unknown CNI or version does not exclude a cluster: the facts may still come."""

    cnis: frozenset[Cni] = frozenset({Cni.FLANNEL, Cni.CANAL})
    distributions: frozenset[Distribution] = frozenset(
        {Distribution.RKE1, Distribution.RKE2, Distribution.K3S, Distribution.KUBEADM, Distribution.UNKNOWN}
    )
    kubernetes: tuple[VersionRange, ...] = (VersionRange.parse("1.32"),)
    ignore_label: str = "drover.io/ignore"
    only_labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Limits:
    """`no_progress` may be raised per cluster with the label `limit_label` (a duration such as `30m`)."""

    no_progress: timedelta = NO_PROGRESS
    hold: timedelta = HOLD
    settle: timedelta = SETTLE
    limit_label: str = "drover.io/limit"
    scope: Scope = field(default_factory=Scope)
