"""May two processes start at once, and is a newer database refused? The same on both databases."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import update

from bot.adapters.database import SCHEMA_VERSION, Database, notes
from bot.errors import StoreError


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/drover.sqlite"
    return request.getfixturevalue("postgres_server").new_database()


def test_processes_that_start_at_once_all_find_their_tables(url):
    start = threading.Barrier(4)

    def begin(_):
        database = Database(url)
        start.wait()
        database.create()
        database.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(begin, range(4)))


def test_creating_again_keeps_what_is_there(url):
    for _ in range(2):
        database = Database(url)
        database.create()
        database.close()


def test_a_database_of_a_newer_drover_is_refused_before_anything_is_written(url):
    database = Database(url)
    database.create()
    with database.transaction() as connection:
        connection.execute(update(notes).where(notes.c.key == "schema").values(value=SCHEMA_VERSION + 1))
    with pytest.raises(StoreError, match=f"schema {SCHEMA_VERSION + 1}, this Drover knows {SCHEMA_VERSION}") as caught:
        database.create()
    database.close()
    assert "newer Drover" in caught.value.cure


def test_a_failed_transaction_leaves_nothing(url):
    database = Database(url)
    database.create()

    def half_way():
        with database.transaction() as connection:
            connection.execute(notes.insert().values(key="half", value=1))
            raise RuntimeError("crash")

    with pytest.raises(RuntimeError):
        half_way()
    with database.reading() as connection:
        assert connection.execute(notes.select().where(notes.c.key == "half")).one_or_none() is None
    database.close()


def test_a_worker_that_stands_still_in_a_transaction_loses_it_in_a_minute(postgres_server):
    database = Database(postgres_server.new_database())
    database.create()
    with database.reading() as connection:
        assert connection.exec_driver_sql("SHOW idle_in_transaction_session_timeout").scalar() == "1min"
    database.close()
