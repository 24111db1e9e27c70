"""How did the cures of one playbook go lately? What brakes ask: how many have begun, who goes first, did it heal, did it fail?

One log per playbook, kept as a note. It outlives incidents: a `/drover retry` makes a failed incident new, and the failure stays here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from bot.policy.facts import Elsewhere

HOUR = timedelta(hours=1)
# A cure whose end nobody noted (its incident was taken out of the database, say) does not go first for ever.
ABANDONED = timedelta(hours=24)
# More than the brakes count; older ones say nothing about today.
KEPT = 300


def cures_note(playbook: str) -> str:
    """Under this note lies the log of a playbook."""
    return f"cures:{playbook}"[:100]


@dataclass(frozen=True)
class CureRun:
    """One cure of one cluster, from its permission to its end. `version` is the playbook's: another one is another cure."""

    incident: str
    attempt: int
    cluster: str
    signature: str
    version: str
    began: datetime
    ended: datetime | None = None
    healed: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "incident": self.incident,
            "attempt": self.attempt,
            "cluster": self.cluster,
            "signature": self.signature,
            "version": self.version,
            "began": self.began.isoformat(),
            "ended": self.ended.isoformat() if self.ended else None,
            "healed": self.healed,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "CureRun":
        times = {name: datetime.fromisoformat(raw[name]) if raw[name] else None for name in ("began", "ended")}
        return cls(**{**raw, **times})


@dataclass(frozen=True)
class CureLog:
    """Oldest first. `resumed` is when a person last said that the playbook may run by itself again."""

    runs: tuple[CureRun, ...] = ()
    resumed: datetime | None = None

    def begin(self, run: CureRun) -> "CureLog":
        """Noted once, however often the step that notes it is repeated."""
        if any((each.incident, each.attempt) == (run.incident, run.attempt) for each in self.runs):
            return self
        # An earlier run of the same incident that is still open was left without a word.
        ended = (
            replace(each, ended=run.began) if each.incident == run.incident and each.ended is None else each
            for each in self.runs
        )
        return replace(self, runs=(*ended, run)[-KEPT:])

    def end(self, incident: str, at: datetime, *, healed: bool) -> "CureLog":
        """The run of this incident that is still open, if there is one."""
        runs = tuple(
            replace(each, ended=at, healed=healed) if each.incident == incident and each.ended is None else each
            for each in self.runs
        )
        return replace(self, runs=runs)

    def resume(self, at: datetime) -> "CureLog":
        return replace(self, resumed=at)

    def elsewhere(self, incident: str, signature: str, version: str, now: datetime, proven_for: timedelta) -> Elsewhere:
        """What the brakes of a plan have to know. The cure that asks, running already, does not count against itself."""
        runs = [run for run in self.runs if not (run.incident == incident and run.ended is None)]
        lately = [run for run in runs if now - run.began < HOUR]
        same = [run for run in runs if (run.signature, run.version) == (signature, version)]
        running = [run for run in same if run.ended is None and now - run.began < ABANDONED]
        ended = _ended(same)
        failed = [run for run in ended[-1:] if not run.healed and self._counts(run)]
        return Elsewhere(
            signature_begun=sum(run.signature == signature for run in lately),
            playbook_begun=len(lately),
            goes_first=running[0].cluster if running else "",
            proven=any(run.healed and run.ended and now - run.ended <= proven_for for run in ended),
            fell_through=failed[0].cluster if failed else "",
            failures=self.failures,
        )

    @property
    def failures(self) -> int:
        """In a row, up to now."""
        count = 0
        for run in reversed(_ended(self.runs)):
            if run.healed or not self._counts(run):
                break
            count += 1
        return count

    def _counts(self, run: CureRun) -> bool:
        return self.resumed is None or (run.ended is not None and run.ended > self.resumed)

    def to_json(self) -> dict[str, Any]:
        return {
            "runs": [run.to_json() for run in self.runs],
            "resumed": self.resumed.isoformat() if self.resumed else None,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any] | None) -> "CureLog":
        """The empty log where there is none yet."""
        if raw is None:
            return cls()
        resumed = datetime.fromisoformat(raw["resumed"]) if raw["resumed"] else None
        return cls(tuple(CureRun.from_json(each) for each in raw["runs"]), resumed)


def _ended(runs: tuple[CureRun, ...] | list[CureRun]) -> list[CureRun]:
    return sorted((run for run in runs if run.ended), key=lambda run: (run.ended, run.incident))
