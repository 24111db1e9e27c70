"""Does a service use this database at this moment?

Services hold a lock together, a command that runs the engine by itself holds it alone. The operating system (SQLite) or the
database server (PostgreSQL) lets go of it when its holder dies, however it dies: nobody has to clean up after a crash.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from bot.adapters.database import Database
from bot.errors import StoreError
from bot.settings import Settings

# Any number does, as long as nobody else in this database uses it for an advisory lock.
_KEY = 7_036_987_401
_TRY_AGAIN = 0.2


@contextmanager
def presence(settings: Settings, *, alone: bool, patience: float = 0.0) -> Iterator[bool]:
    """Whether we have the lock, for as long as the block runs. Tried again for `patience` seconds."""
    url = settings.database_url
    held = _file_lock if url.startswith("sqlite") else _server_lock
    deadline = time.monotonic() + patience
    while True:
        with held(url, alone=alone) as ours:
            if ours or time.monotonic() >= deadline:
                yield ours
                return
        time.sleep(_TRY_AGAIN)


def terminal_at_work(settings: Settings) -> bool:
    """Is it another command that keeps the lock from us, and no service? Services share it."""
    with presence(settings, alone=False) as shared:
        return not shared


def nobody_there(settings: Settings) -> bool:
    """Has whoever had the lock let go of it?"""
    with presence(settings, alone=True) as ours:
        return ours


@contextmanager
def _file_lock(url: str, *, alone: bool) -> Iterator[bool]:
    import fcntl

    path = Path(url.removeprefix("sqlite:///") + ".lock")
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(
            f"cannot open {path}: {error.strerror}", cure="Set DROVER_HOME to a folder that this user may write."
        ) from error
    try:
        try:
            fcntl.flock(handle, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


@contextmanager
def _server_lock(url: str, *, alone: bool) -> Iterator[bool]:
    """A lock of the session: it lives as long as this connection does."""
    database = Database(url)
    function = "pg_try_advisory_lock" if alone else "pg_try_advisory_lock_shared"
    try:
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            ours = bool(connection.scalar(text(f"SELECT {function}(:key)"), {"key": _KEY}))
            yield ours
    except SQLAlchemyError as error:
        raise StoreError(
            f"the database {database.where} failed: {type(error).__name__}",
            cure="Check DROVER_DATABASE_URL, and that the server runs and is reachable.",
        ) from error
    finally:
        database.close()
