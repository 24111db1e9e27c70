"""What does a person read when the database cannot be used? Never the password."""

import pytest

from bot.adapters.database import Database
from bot.errors import StoreError


@pytest.mark.parametrize(
    "url",
    [
        "drover.sqlite",
        "",
        "oracle://drover:s3cr3t@db/drover",
        "postgresql+nodriver://drover:s3cr3t@db/drover",
        "postgresql://drover:s3cr3t@db:port/drover",
        "postgresql:drover:s3cr3t@db",
    ],
)
def test_an_address_that_is_none_is_refused_with_an_example(url):
    with pytest.raises(StoreError) as caught:
        Database(url)
    assert "DROVER_DATABASE_URL" in caught.value.message
    assert "postgresql+psycopg://user:password@host/drover" in caught.value.cure
    assert "s3cr3t" not in caught.value.message
    assert caught.value.__suppress_context__


def test_a_server_that_does_not_answer_is_named_without_the_password(tmp_path):
    database = Database(f"postgresql://drover:s3cr3t@/drover?host={tmp_path}")
    with pytest.raises(StoreError) as caught:
        database.create()
    database.close()
    assert "postgresql+psycopg://drover:***@" in caught.value.message
    assert "s3cr3t" not in caught.value.message + caught.value.cure
    assert "Check DROVER_DATABASE_URL" in caught.value.cure


def test_a_folder_that_is_missing_and_a_file_that_is_no_database(tmp_path):
    (tmp_path / "text").write_text("this is not a database, and long enough to be sure of it" * 20, encoding="utf-8")
    for url in (f"sqlite:///{tmp_path}/missing/drover.sqlite", f"sqlite:///{tmp_path}/text"):
        database = Database(url)
        with pytest.raises(StoreError) as caught:
            database.create()
        database.close()
        assert str(tmp_path) in caught.value.message


def test_a_database_that_is_lost_later_is_an_error_of_ours(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/drover.sqlite")
    with pytest.raises(StoreError, match="no such table"), database.reading() as connection:
        connection.exec_driver_sql("SELECT * FROM incidents")
    with pytest.raises(StoreError, match="no such table"), database.transaction() as connection:
        connection.exec_driver_sql("SELECT * FROM incidents")
    database.close()


def test_readers_wait_for_no_writer(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/drover.sqlite")
    database.create()
    with database.transaction(), database.reading() as reading:
        assert reading.exec_driver_sql("SELECT count(*) FROM incidents").scalar() == 0
    database.close()
