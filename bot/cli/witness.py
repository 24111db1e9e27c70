"""Who keeps the record when a command at the terminal looks into nodes? The service's own tables, where there are any.

Without them nobody would know later what was done there, so no shell is opened on any machine.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from bot.adapters.clock import PolicyClock
from bot.adapters.incident_store import IncidentStore
from bot.cli.shared import existing_database, who
from bot.policy.schema import Policy
from bot.settings import Settings
from bot.workflows.shell_record import ShellRecord
from rancher_ext.evidence.witness import Witness
from rancher_ext.fleet.snapshot import ClusterSnapshot


@contextmanager
def terminal_witness(settings: Settings, snapshot: ClusterSnapshot, policy: Policy) -> Iterator[Witness | None]:
    with existing_database(settings) as database:
        yield None if database is None else witness_in(IncidentStore(database), settings, snapshot, policy)


def witness_in(store: IncidentStore, settings: Settings, snapshot: ClusterSnapshot, policy: Policy) -> Witness:
    """Under the cluster's open incident where there is one. The lease is that of terminals on this machine."""
    return ShellRecord(
        store,
        PolicyClock(settings.clock_speed, settings.clock_origin),
        f"{settings.executor_id}-terminal",
        lambda: policy,
        snapshot.labels,
        store.open_of(snapshot.key),
        f"{who()} (terminal)",
    )
