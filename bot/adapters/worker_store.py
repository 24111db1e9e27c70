"""Which workers live, and who took over from one that does not? Rows that beat; the database lets exactly one take over."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, insert, or_, select, update

from bot.adapters.database import Database, leases, workers

# Before any clock of ours, policy time of a demo included.
_OVER = datetime.fromtimestamp(0, UTC)


class WorkerStore:
    """The rows of all workers that share this database. Times are the world's: the demo's clock must declare nobody dead."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, name: str, now: datetime) -> int:
        """A worker starts. The number of this life; what an earlier one held is free, and its numbers are old."""
        with self._database.transaction() as connection:
            self._database.one_writer(connection, "workers")
            before = connection.scalar(select(workers.c.life).where(workers.c.name == name))
            life = (before or 0) + 1
            values = {"life": life, "beat_at": now, "taken_by": ""}
            if before is None:
                connection.execute(insert(workers).values(name=name, **values))
            else:
                connection.execute(update(workers).where(workers.c.name == name).values(**values))
            _fence(connection, name)
        return int(life)

    def beat(self, name: str, life: int, now: datetime) -> bool:
        """Still alive. False when this life was declared dead, or another process bears the name."""
        mine = (workers.c.name == name, workers.c.life == life, workers.c.taken_by == "")
        with self._database.transaction() as connection:
            return connection.execute(update(workers).where(*mine).values(beat_at=now)).rowcount == 1

    def silent(self, besides: str, now: datetime, limit: timedelta) -> list[str]:
        """Workers that did not beat for so long and that nobody has taken over."""
        query = select(workers.c.name).where(
            workers.c.name != besides, workers.c.taken_by == "", workers.c.beat_at < now - limit
        )
        with self._database.reading() as connection:
            return list(connection.scalars(query.order_by(workers.c.name)))

    def take_over(self, name: str, by: str, now: datetime, limit: timedelta) -> list[str]:
        """Declare one dead. The names whose incidents are now the taker's: its own, and those that it had taken over itself.

        Empty for all but the first who asks. Whatever the dead one holds is fenced: should it wake up, it writes nothing more.
        """
        with self._database.transaction() as connection:
            self._database.one_writer(connection, "workers")
            still = (workers.c.name == name, workers.c.taken_by == "", workers.c.beat_at < now - limit)
            if connection.execute(update(workers).where(*still).values(taken_by=by)).rowcount == 0:
                return []
            _fence(connection, name)
            connection.execute(update(workers).where(workers.c.taken_by == name).values(taken_by=by))
            taken = select(workers.c.name).where(or_(workers.c.name == name, workers.c.taken_by == by))
            return sorted(connection.scalars(taken))

    def taken_by(self, name: str) -> list[str]:
        """Whose incidents this worker took over, also in an earlier life that may have ended in the middle of it."""
        with self._database.reading() as connection:
            return list(connection.scalars(select(workers.c.name).where(workers.c.taken_by == name)))


def _fence(connection: Connection, name: str) -> None:
    """Every lease of this worker is over, under a number that it does not know."""
    held = [row for row in connection.execute(select(leases)) if row.holder.partition("#")[0] == name]
    for row in held:
        connection.execute(
            update(leases)
            .where(leases.c.cluster == row.cluster, leases.c.number == row.number)
            # Who had it last stays: the incident goes on under its own name.
            .values(number=row.number + 1, until=_OVER)
        )
