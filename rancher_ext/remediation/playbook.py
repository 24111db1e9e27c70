"""Which actions, in which order, mend which signature, and how is the cure proved?

A playbook is YAML under `config/playbooks/`. Its `for` is the one place that ties signatures to cures. The first variant whose
conditions hold is planned; where none holds, `explain` tells a person the exact steps.
"""

import hashlib
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from rancher_ext.fleet.cluster import Distribution
from rancher_ext.fleet.cni import Cni
from rancher_ext.fleet.snapshot import ClusterSnapshot
from rancher_ext.fleet.versions import Version, VersionRange

_DURATION = re.compile(r"^(?P<count>\d{1,5})\s*(?P<unit>s|m|h|d)$")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

ProofName = Literal["cni-ready-everywhere", "nodes-ready", "fresh-pod-has-address", "agent-connected", "cluster-active"]


def parse_duration(value: object) -> timedelta:
    """`20m` as a timedelta. Raises ValueError with an example."""
    if isinstance(value, timedelta):
        return value
    match = _DURATION.match(str(value).strip())
    if match is None:
        raise ValueError(f"{value!r} is not a duration; write for example 90s, 20m, 24h or 14d")
    return timedelta(seconds=int(match["count"]) * _UNITS[match["unit"]])


def _ranges(value: object) -> tuple[VersionRange, ...]:
    texts = value if isinstance(value, list | tuple) else [value]
    return tuple(each if isinstance(each, VersionRange) else VersionRange.parse(str(each)) for each in texts)


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
Ranges = Annotated[tuple[VersionRange, ...], BeforeValidator(_ranges)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class When(_Strict):
    """Conditions of a variant. A version that is not known fulfils no range: a plan must not rest on a guess."""

    distributions: tuple[Distribution, ...] = ()
    cni: tuple[Cni, ...] = ()
    rancher: Ranges = ()
    kubernetes: Ranges = ()

    def holds(self, snapshot: ClusterSnapshot) -> bool:
        return (
            (not self.distributions or snapshot.distribution in self.distributions)
            and (not self.cni or snapshot.cni in self.cni)
            and _within(self.rancher, snapshot.rancher)
            and _within(self.kubernetes, snapshot.kubernetes)
        )


class Step(_Strict):
    action: str
    arguments: Mapping[str, Any] = Field(default_factory=dict, alias="with")


class Variant(_Strict):
    when: When = When()
    steps: tuple[Step, ...] = Field(min_length=1)


class Cure(_Strict):
    """What must be seen, within which time, and for how long without a relapse."""

    proof: tuple[ProofName, ...] = Field(min_length=1)
    within: Duration = timedelta(minutes=20)
    soak: Duration = timedelta(minutes=5)


class Playbook(_Strict):
    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{1,62}$")
    title: str
    signatures: tuple[str, ...] = Field(alias="for", min_length=1)
    variants: tuple[Variant, ...] = ()
    otherwise: Literal["explain"] = "explain"
    explain: tuple[str, ...] = Field(min_length=1)
    cure: Cure
    on_failure: Literal["undo", "keep"] = "undo"

    @property
    def version(self) -> str:
        """Changes with the content: an approval is given to these steps, not to a name."""
        # What the file does not say is left out, so that a new key of the format voids nobody's approval.
        written = self.model_dump_json(by_alias=True, exclude_unset=True, fallback=str)
        return hashlib.sha256(written.encode()).hexdigest()[:12]

    def variants_for(self, snapshot: ClusterSnapshot) -> tuple[Variant, ...]:
        """Those whose conditions hold, in the order in which they are tried."""
        return tuple(variant for variant in self.variants if variant.when.holds(snapshot))


def _within(ranges: tuple[VersionRange, ...], version: Version | None) -> bool:
    return not ranges or (version is not None and any(wanted.contains(version) for wanted in ranges))
