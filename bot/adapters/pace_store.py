"""Where are the times of our writes to GitHub kept? In the database: every process counts them all, also after a restart."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import delete, insert, or_, select, update

from bot.adapters.database import Database, github_writes, notes
from bot.adapters.write_pace import Turn

_CLOSED = "github-closed-until"


class PaceStore:
    """The `Writes` of all processes that share this database. Their `now` has to be the world's time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def turn(self, now: float, longest: float) -> Iterator[Turn]:
        with self._database.transaction() as connection:
            self._database.one_writer(connection, "github")
            at = github_writes.c.at
            # One that is an hour ahead was noted by a clock that was wrong, and must not close the shop until then.
            connection.execute(delete(github_writes).where(or_(at <= now - longest, at > now + longest)))
            closed = connection.scalar(select(notes.c.value).where(notes.c.key == _CLOSED))
            turn = Turn(list(connection.scalars(select(at).order_by(at))), float("-inf") if closed is None else closed)
            yield turn
            if turn.granted is not None:
                connection.execute(insert(github_writes).values(at=turn.granted))

    def close_until(self, moment: float) -> None:
        with self._database.transaction() as connection:
            self._database.one_writer(connection, "github")
            closed = connection.scalar(select(notes.c.value).where(notes.c.key == _CLOSED))
            if closed is None:
                connection.execute(insert(notes).values(key=_CLOSED, value=moment))
            elif moment > closed:
                connection.execute(update(notes).where(notes.c.key == _CLOSED).values(value=moment))
