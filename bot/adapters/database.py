"""Where do our own tables live? SQLite in a file by default, PostgreSQL in production, through SQLAlchemy for both.

Incidents and the audit record stay here for good; the durable engine's own tables are another matter (bot.workflows.engine).
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    DateTime,
    Dialect,
    Double,
    Engine,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    create_engine,
    event,
    func,
    insert,
    select,
)
from sqlalchemy.exc import ArgumentError, IntegrityError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from bot.errors import StoreError

SCHEMA_VERSION = 1


class UtcTime(TypeDecorator[datetime]):
    """Times in UTC, with their zone. SQLite would forget it."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _: Dialect) -> datetime | None:
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, _: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def clean(text: str) -> str:
    return text.replace("\0", "\ufffd").encode("utf-8", errors="replace").decode("utf-8")


class CleanText(TypeDecorator[str]):
    """Text without what a database refuses: PostgreSQL takes no NUL, and neither database takes half a surrogate pair.

    Clusters say what they like in their conditions; one that says such a thing must not stop the look at the others.
    """

    impl = Text
    cache_ok = True

    def __init__(self, length: int | None = None) -> None:
        super().__init__()
        self._length = length

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        return dialect.type_descriptor(String(self._length) if self._length else Text())

    def process_bind_param(self, value: str | None, _: Dialect) -> str | None:
        if value is None:
            return None
        return clean(value)[: self._length]


metadata = MetaData()

incidents = Table(
    "incidents",
    metadata,
    Column("id", String(200), primary_key=True),
    Column("rancher", String(100), nullable=False),
    Column("cluster_id", String(200), nullable=False),
    Column("cluster_uid", String(100), nullable=False),
    Column("cluster_name", CleanText(300), nullable=False),
    Column("episode", Integer, nullable=False),
    Column("story", Integer, nullable=False),
    Column("state", String(30), nullable=False),
    Column("opened_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    Column("stuck_since", UtcTime, nullable=False),
    Column("stage", String(30), nullable=False),
    Column("reason", CleanText(), nullable=False),
    Column("distribution", String(20), nullable=False),
    Column("cni", String(20), nullable=False),
    Column("kubernetes", CleanText(60), nullable=False),
    Column("driver", CleanText(60), nullable=False, default=""),
    Column("node_count", Integer),
    Column("labels", JSON, nullable=False, default=dict),
    Column("source", String(60), nullable=False, default=""),
    Column("attempt", Integer, nullable=False, default=1),
    Column("issue", Integer),
    Column("issue_url", CleanText(), nullable=False, default=""),
    Column("diagnosis", JSON(none_as_null=True)),
    Column("plan", JSON(none_as_null=True)),
    Column("explanation", JSON(none_as_null=True)),
    Column("decision", JSON(none_as_null=True)),
    Column("approval", JSON(none_as_null=True)),
    Column("outcome", CleanText(), nullable=False, default=""),
    Column("evidence", CleanText(), nullable=False, default=""),
    Column("changed_at", UtcTime),
    Column("closed_at", UtcTime),
    UniqueConstraint("rancher", "cluster_uid", "episode"),
    Index("incidents_by_state", "state"),
    Index("incidents_by_issue", "issue"),
)

timeline = Table(
    "timeline",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("incident", String(200), nullable=False, index=True),
    Column("at", UtcTime, nullable=False),
    Column("kind", String(30), nullable=False),
    Column("text", CleanText(), nullable=False),
    # A repeated step writes the same line: it must stand there once.
    Column("once", CleanText(300), nullable=False, unique=True),
)

audit = Table(
    "audit",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("at", UtcTime, nullable=False),
    Column("incident", String(200), nullable=False, index=True),
    Column("actor", CleanText(), nullable=False),
    Column("rule", CleanText(), nullable=False),
    Column("what", String(60), nullable=False),
    Column("place", CleanText(), nullable=False),
    Column("before", JSON),
    Column("after", JSON),
    Column("result", CleanText(), nullable=False),
    Column("previous", String(64), nullable=False, unique=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("once", CleanText(300), nullable=False, unique=True),
)

preimages = Table(
    "preimages",
    metadata,
    Column("incident", String(200), primary_key=True),
    Column("digest", String(64), primary_key=True),
    Column("steps", JSON, nullable=False),
    Column("saved_at", UtcTime, nullable=False),
)

progress = Table(
    "progress",
    metadata,
    Column("rancher", String(100), primary_key=True),
    Column("cluster_id", String(200), primary_key=True),
    Column("uid", String(100), nullable=False),
    Column("best", JSON, nullable=False),
    Column("target", CleanText(60), nullable=False),
    Column("since", UtcTime, nullable=False),
    Column("ill_since", UtcTime),
    Column("well_since", UtcTime),
)

fleet = Table(
    "fleet",
    metadata,
    Column("rancher", String(100), primary_key=True),
    Column("cluster_id", String(200), primary_key=True),
    Column("name", CleanText(300), nullable=False),
    Column("verdict", String(20), nullable=False),
    Column("facts", JSON, nullable=False),
    Column("seen_at", UtcTime, nullable=False),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("guid", String(100), primary_key=True),
    Column("event", String(60), nullable=False),
    Column("payload", JSON, nullable=False),
    Column("received_at", UtcTime, nullable=False),
    Column("handled_at", UtcTime),
)

handled = Table(
    "handled",
    metadata,
    Column("key", String(200), primary_key=True),
    Column("at", UtcTime, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("cluster", String(300), primary_key=True),
    Column("holder", String(300), nullable=False),
    Column("number", Integer, nullable=False),
    Column("until", UtcTime, nullable=False),
)

workers = Table(
    "workers",
    metadata,
    Column("name", String(100), primary_key=True),
    # Grows with each start, so that an earlier process of the same name is known as such.
    Column("life", Integer, nullable=False),
    Column("beat_at", UtcTime, nullable=False),
    # Who declared it dead and took its incidents over; empty while it lives.
    Column("taken_by", String(100), nullable=False, default=""),
)

github_writes = Table(
    "github_writes",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    # Seconds since 1970, by the clock that the budget is counted with.
    Column("at", Double, nullable=False, index=True),
)

notes = Table(
    "notes",
    metadata,
    Column("key", String(100), primary_key=True),
    Column("value", JSON, nullable=False),
)


class Database:
    """One engine, and transactions on it."""

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            self.engine = _engine(url)
        except (ArgumentError, ImportError, ValueError):
            raise StoreError(
                "DROVER_DATABASE_URL is not a database address that can be used",
                cure="Write for example postgresql+psycopg://user:password@host/drover, or leave it unset for SQLite.",
            ) from None  # the original quotes the address, password and all

    def create(self) -> None:
        """Make the tables that are missing. A database of a newer Drover is refused."""
        try:
            # In one transaction and one at a time: two processes that start at once do not trip over each other's tables.
            with self.engine.begin() as connection:
                self.one_writer(connection, "create")
                metadata.create_all(connection)
                found = connection.scalar(select(notes.c.value).where(notes.c.key == "schema"))
                if found is None:
                    connection.execute(insert(notes).values(key="schema", value=SCHEMA_VERSION))
                elif int(found) > SCHEMA_VERSION:
                    raise StoreError(
                        f"the database has schema {found}, this Drover knows {SCHEMA_VERSION}",
                        cure="Start the newer Drover that wrote it.",
                    )
        except SQLAlchemyError as error:
            raise StoreError(
                f"cannot use the database {self.where}: {_short(error)}",
                cure="Check DROVER_DATABASE_URL, that the server runs, and that its user may create tables.",
            ) from error

    @property
    def where(self) -> str:
        """The address without its password."""
        return self.engine.url.render_as_string(hide_password=True)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """All or nothing. An IntegrityError passes: two workers wrote the same row, and the caller reads the winner's."""
        with self._spoken(), self.engine.begin() as connection:
            yield connection

    def one_writer(self, connection: Connection, name: str) -> None:
        """Until this transaction ends nobody else passes here. SQLite has one writer anyway."""
        if self.engine.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(func.hashtext(name))))

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """As `transaction`, for reads alone: on SQLite they then wait for no writer and keep none waiting."""
        with self._spoken(), self.engine.connect() as plain:
            connection = plain.execution_options(drover_read=True)
            with connection.begin():
                yield connection

    @contextmanager
    def _spoken(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError:
            raise
        except SQLAlchemyError as error:
            raise StoreError(
                f"the database {self.where} failed: {_short(error)}", cure="Check that it runs and is reachable."
            ) from error

    def close(self) -> None:
        self.engine.dispose()


def _engine(url: str) -> Engine:
    # A bare postgresql:// would ask for psycopg2, which we do not ship.
    for prefix in ("postgresql://", "postgres://"):
        if url.startswith(prefix):
            url = "postgresql+psycopg://" + url.removeprefix(prefix)
    if not url.startswith("sqlite"):
        engine = create_engine(url, pool_pre_ping=True, pool_size=10, max_overflow=20)
        if engine.dialect.name == "postgresql":
            event.listen(engine, "connect", _lets_go)
        return engine
    engine = create_engine(url, connect_args={"timeout": 30})

    @event.listens_for(engine, "connect")
    def _settings(connection: Any, _: ConnectionPoolEntry) -> None:
        # Readers do not block the writer, and a power cut loses at most the last moment, never the file.
        connection.isolation_level = None
        _write_ahead(connection)
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # Take the write lock at once: a read that turns into a write in the middle cannot wait for its turn.
        reading = connection.get_execution_options().get("drover_read")
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def _lets_go(connection: Any, _: ConnectionPoolEntry) -> None:
    """A machine that is paused in the middle of a transaction must not keep the others from its rows for hours."""
    connection.execute("SET idle_in_transaction_session_timeout = '60s'")
    connection.commit()


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Kept in the file once set. SQLite does not wait for its turn here, as it does elsewhere: two first starts collide."""
    for _ in range(100):
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            time.sleep(0.05)
        else:
            return


def _short(error: SQLAlchemyError) -> str:
    text = str(getattr(error, "orig", None) or error).strip().splitlines()
    return text[0][:200] if text else type(error).__name__
