"""What do we remember of each cluster? The best it ever reached and since when, and its last verdict for the pages."""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Row, Table, delete, func, insert, select, update
from sqlalchemy.engine import Connection

from bot.adapters.database import Database, fleet, progress
from bot.ports import Assessed, SeenCluster
from rancher_ext.detection import Milestones, Progress
from rancher_ext.detection.progress import merge
from rancher_ext.fleet.cluster import ClusterKey


class FleetStore:
    """The memory that `classify` needs, and the fleet as last seen."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def memory(self, rancher: str) -> dict[str, tuple[str, Progress]]:
        """Uid and progress by cluster id, of one Rancher server."""
        with self._database.reading() as connection:
            return {
                row.cluster_id: (row.uid, _progress(row))
                for row in connection.execute(select(progress).where(progress.c.rancher == rancher))
            }

    def memory_of(self, key: ClusterKey, uid: str) -> Progress | None:
        """The row of this very cluster: one made anew under the same id begins afresh."""
        with self._database.reading() as connection:
            row = connection.execute(
                select(progress).where(
                    progress.c.rancher == key.rancher, progress.c.cluster_id == key.id, progress.c.uid == uid
                )
            ).one_or_none()
        return _progress(row) if row else None

    def save(self, looks: Iterable[Assessed]) -> None:
        """Upsert both tables in one transaction. With several workers the earlier clock of an equal best stands."""
        with self._database.transaction() as connection:
            # A sweep and a hint that look at the same cluster would each overwrite what the other has just seen.
            self._database.one_writer(connection, "fleet")
            for look in looks:
                where = {"rancher": look.key.rancher, "cluster_id": look.key.id}
                stored = connection.execute(_select(progress, where)).one_or_none()
                mine = merge(look.progress, _progress(stored)) if stored and stored.uid == look.uid else look.progress
                _upsert(
                    connection,
                    progress,
                    where,
                    {
                        "uid": look.uid,
                        "best": list(mine.best.as_tuple()),
                        "target": mine.target,
                        "since": mine.since,
                        "ill_since": mine.ill_since,
                        "well_since": mine.well_since,
                    },
                    exists=stored is not None,
                )
                seen = connection.execute(_select(fleet, where)).one_or_none()
                _upsert(
                    connection,
                    fleet,
                    where,
                    {
                        "name": look.seen.name,
                        "verdict": look.seen.verdict,
                        "facts": dict(look.seen.facts),
                        "seen_at": look.seen.seen_at,
                    },
                    exists=seen is not None,
                )

    def forget_others(self, rancher: str, ids: Iterable[str]) -> None:
        """After a complete sweep: clusters that Rancher has no more."""
        kept = set(ids)
        with self._database.transaction() as connection:
            self._database.one_writer(connection, "fleet")
            for table in (progress, fleet):
                known = connection.scalars(select(table.c.cluster_id).where(table.c.rancher == rancher)).all()
                for gone in set(known) - kept:
                    connection.execute(delete(table).where(table.c.rancher == rancher, table.c.cluster_id == gone))

    def seen(self) -> list[SeenCluster]:
        with self._database.reading() as connection:
            return [_seen(row) for row in connection.execute(select(fleet).order_by(fleet.c.name))]

    def count(self) -> int:
        """How many clusters the last looks saw."""
        with self._database.reading() as connection:
            return int(connection.scalar(select(func.count()).select_from(fleet)) or 0)

    def seen_one(self, identifier: str) -> SeenCluster | None:
        with self._database.reading() as connection:
            row = connection.execute(select(fleet).where(fleet.c.cluster_id == identifier).limit(1)).one_or_none()
        return _seen(row) if row else None


def _select(table: Table, where: Mapping[str, str]) -> Any:
    return select(table).where(*(table.c[name] == value for name, value in where.items()))


def _upsert(
    connection: Connection, table: Table, where: Mapping[str, str], values: Mapping[str, Any], *, exists: bool
) -> None:
    if exists:
        connection.execute(
            update(table).where(*(table.c[name] == value for name, value in where.items())).values(**values)
        )
    else:
        connection.execute(insert(table).values(**where, **values))


def _progress(row: Row[Any]) -> Progress:
    return Progress(
        best=Milestones(*row.best),
        target=row.target,
        since=row.since,
        ill_since=row.ill_since,
        well_since=row.well_since,
    )


def _seen(row: Row[Any]) -> SeenCluster:
    return SeenCluster(ClusterKey(row.rancher, row.cluster_id), row.name, row.verdict, row.facts, row.seen_at)
