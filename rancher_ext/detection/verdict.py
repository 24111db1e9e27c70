"""What can be said of a cluster? Four answers and "not ours to judge". *Unknown* never leads to an action."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Stage(StrEnum):
    """How far the cluster got: what it waits for now, in the order in which a bring-up passes."""

    MACHINES = "machines"  # no machine, or the infrastructure is not ready
    PLAN = "plan"  # a machine did not check in or its plan fails
    CONTROL_PLANE = "control-plane"  # etcd, the API server or another probe is not healthy
    KUBELET = "kubelet"  # the only probe that fails is the kubelet's (K3s: any, as flannel takes its process down)
    ADDON = "addon"  # RKE1's network add-on job does not finish
    AGENT = "agent"  # everything on the nodes is healthy, the cluster agent does not connect
    API = "api"  # RKE1: the API cannot be reached or is not ready
    NODES = "nodes"  # connected, but nodes are not Ready for want of a network
    OTHER = "other"  # nodes are not Ready and do not name the network, or Rancher waits for something else

    @property
    def can_be_network(self) -> bool:
        """Could a network plugin that does not come up look like this?"""
        return self in {Stage.KUBELET, Stage.ADDON, Stage.AGENT, Stage.API, Stage.NODES}


@dataclass(frozen=True)
class Healthy:
    """Up: connected, ready, every node Ready."""


@dataclass(frozen=True)
class Progressing:
    """Not up, and not for long enough to say more. Looking again before `recheck_at` tells nothing new."""

    recheck_at: datetime
    stage: Stage
    reason: str


@dataclass(frozen=True)
class Stuck:
    """No progress since `since`, at a stage where the network can be the cause. `reason` is what Rancher says."""

    since: datetime
    stage: Stage
    reason: str
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unknown:
    """Too little is known, or what is known points elsewhere."""

    why: str


@dataclass(frozen=True)
class OutOfScope:
    """Not watched: another CNI, version, distribution, an opt-out, or a cluster that is being deleted."""

    why: str


Verdict = Healthy | Progressing | Stuck | Unknown | OutOfScope

_WORDS: dict[type[object], str] = {
    Healthy: "healthy",
    Progressing: "progressing",
    Stuck: "stuck",
    Unknown: "unknown",
    OutOfScope: "out-of-scope",
}


def word(verdict: Verdict) -> str:
    """The verdict's name in tables, JSON, metrics and pages."""
    return _WORDS[type(verdict)]
