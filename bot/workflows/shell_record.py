"""What stands in the audit record of a machine's shell? Each session and each command, before and after, under the cluster's lease.

A shell on a machine only reads, but it is an act on somebody's node: a pause and the opt-out label keep it closed, and where the
record cannot be written nothing is typed. What the machine said is evidence; here stand its size and the exit alone.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from bot.incidents.incident import Incident, State
from bot.policy.brakes import OFF
from bot.policy.schema import Policy
from bot.ports import Clock, IncidentBook
from bot.workflows.lease import LeaseHeld, Leases, holder_name
from bot.workflows.parts import Parts
from bot.workflows.probe_inbox import ProbeInbox
from rancher_ext.errors import ShellRefused
from rancher_ext.evidence.collectors.machine_shell import LABEL
from rancher_ext.evidence.witness import ShellAct

RULE = f"the label {LABEL}=allow on the Rancher cluster"
_ACTING = frozenset({State.REMEDIATING, State.VERIFYING, State.ROLLING_BACK})


@dataclass(frozen=True)
class ShellRecord:
    """The witness of one collection. Without an incident (`row`) nothing of ours can be at work on the cluster: no lease is needed."""

    store: IncidentBook
    clock: Clock
    holder: str
    policy: Callable[[], Policy]
    labels: Mapping[str, str]
    row: Incident | None
    actor: str = "drover"

    @contextmanager
    def watching(self) -> Iterator[None]:
        if self.store.note("paused", default=False):
            raise ShellRefused("Drover is paused: no shell is opened", cure="`drover resume` lets it act again.")
        out = self.policy().opt_out
        if self.labels.get(out, "false").lower() not in OFF:
            raise ShellRefused(
                f"the cluster carries the label {out}: no shell is opened", cure="Take the label away in Rancher."
            )
        if self.row is None:
            yield
            return
        with self._leased(self.row):
            yield

    def note(self, act: ShellAct) -> None:
        kind = "command" if act.command else "shell"
        self.store.record(
            self.row.id if self.row else "",
            self.clock.now(),
            once=f"shell-{act.session}-{act.number}-{'after' if act.result else 'before'}",
            what=kind if act.result else f"intend {kind}",
            place=f"machine {act.machine}",
            actor=self.actor,
            rule=RULE,
            before=None,
            after={"session": act.session} | ({"command": act.command} if act.command else {}),
            result=act.result or ("about to run" if act.command else "about to open"),
        )

    @contextmanager
    def _leased(self, row: Incident) -> Iterator[None]:
        """Its own lease, so that nobody changes the cluster meanwhile. A cure or a probe of ours that looks for itself has one already."""
        run = ProbeInbox(self.store, self.clock).current(row.id)
        if row.state in _ACTING or (run is not None and run.phase == "open"):
            mine = holder_name(self.holder, row.id)
            if self.store.lease_holder(row.cluster) not in {mine, f"{mine}/probe"}:
                raise _held(row)
            yield
            return
        leases, session = Leases(self.store, self.holder, self.clock), replace(row, id=f"{row.id}/shell")
        try:
            leases.take(session)
        except LeaseHeld:
            raise _held(row) from None
        try:
            yield
        finally:
            leases.release(session)


def witness_of(parts: Parts, labels: Mapping[str, str], row: Incident) -> ShellRecord:
    """The witness of a collection under an incident, in the service."""
    return ShellRecord(parts.store, parts.clock, parts.holder, parts.policy, labels, row)


def _held(row: Incident) -> ShellRefused:
    return ShellRefused(
        f"another worker is changing {row.cluster_name}: no shell is opened", cure="Look again when it is done."
    )
