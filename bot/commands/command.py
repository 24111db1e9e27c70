"""What is a command, and what may it ask of the service?

A command never touches GitHub, the database or Rancher. It turns an `Ask` into a call on the `IncidentDesk`, and what the desk
says into a `Reply`. Reply texts are Markdown of ours; what people or clusters said goes through `bot.reports.escape` first.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol, runtime_checkable

from bot.policy.roles import Who
from bot.ports import Role


def nothing_more(_: str) -> Who:
    """A policy that asks nothing beyond the commands' own roles."""
    return Who()


@dataclass(frozen=True)
class Ask:
    """One command of one comment, by somebody who may."""

    command: str
    args: tuple[str, ...]
    text: str  # all that follows the command's name on its line, as typed
    comment_id: int
    comment_updated_at: datetime  # the version that was read: an edit voids an approval
    author: str
    role: Role
    issue: int
    incident: str  # the incident's id
    asked: Callable[[str], Who] = nothing_more  # what the policy asks of a command here, beyond its own role


@dataclass(frozen=True)
class Reply:
    """What we answer. Without `text` only the reaction is given."""

    text: str = ""
    reaction: str | None = None  # eyes, rocket, confused, +1 or -1


@dataclass(frozen=True)
class Outcome:
    """What became of a request. `text` is Markdown of ours, empty when the issue will tell by itself."""

    done: bool
    text: str = ""

    def as_reply(self) -> Reply:
        return Reply(self.text, reaction="rocket" if self.done else "confused")


@runtime_checkable
class IncidentDesk(Protocol):
    """What most commands need of the service. Texts that come back are Markdown of ours, escaped where they quote."""

    def status_text(self, incident: str) -> str: ...

    def plan_text(self, incident: str, playbook: str | None) -> str:
        """The plan in force, or what this playbook (or the one for this signature) would do. An unknown name is told in the text."""
        ...

    def request_diagnosis(self, incident: str, by: str) -> Outcome: ...

    def approve(
        self,
        incident: str,
        digest_prefix: str,
        *,
        by: str,
        role: Role,
        comment_id: int,
        comment_updated_at: datetime,
    ) -> Outcome: ...

    def reject(self, incident: str, reason: str, by: str) -> Outcome:
        """`reason` is as typed, perhaps empty."""
        ...

    def request_retry(self, incident: str, by: str) -> Outcome: ...

    def request_rollback(self, incident: str, by: str, role: Role) -> Outcome: ...


@runtime_checkable
class DiagnosisDesk(Protocol):
    def request_diagnosis(self, incident: str, by: str) -> Outcome: ...

    def nodes_plan(self, incident: str) -> Outcome:
        """What it would take to ask the nodes themselves, where nobody else reaches them."""
        ...


@runtime_checkable
class QuietDesk(Protocol):
    """Incidents that nobody wants to hear of for a while, or at all."""

    def snooze(self, incident: str, lasts: timedelta, by: str) -> Outcome: ...

    def unsnooze(self, incident: str, by: str) -> Outcome: ...

    def close(self, incident: str, reason: str, by: str) -> Outcome:
        """`reason` is as typed, and not empty."""
        ...


@runtime_checkable
class BrakeDesk(Protocol):
    """The global brake. It is the same as `drover pause`."""

    def pause(self, reason: str, by: str) -> Outcome: ...

    def resume(self, by: str) -> Outcome: ...


@runtime_checkable
class EvidenceDesk(Protocol):
    def logs_text(self, incident: str, component: str) -> str:
        """The last lines of a component's logs, as they were collected; without a name, which there are."""
        ...


@runtime_checkable
class FleetDesk(Protocol):
    def request_sweep(self, incident: str, by: str) -> Outcome:
        """Look at every cluster of this incident's Rancher server, soon."""
        ...


@runtime_checkable
class PreflightDesk(Protocol):
    def preflight_text(self, cluster: str, version: str) -> str: ...


# `desk` is of the type that the command says it needs.
Run = Callable[[Ask, Any], Reply | None]


@dataclass(frozen=True)
class Command:
    """`run` returns None when there is nothing to say. `who` is the least role; policy may ask for more.

    `needs` is the part of the service that the command asks; where a service has it not, the command is not offered.
    """

    name: str
    run: Run
    who: Role
    usage: str
    help: str
    needs: type = IncidentDesk
