"""The adapters that have to keep the same promises."""

import pytest

from bot.adapters.database import Database
from tests import postgres


@pytest.fixture(scope="session")
def postgres_server():
    if why := postgres.missing():
        pytest.skip(why)
    with postgres.running() as server:
        yield server


@pytest.fixture
def new_database(request, tmp_path):
    """Opens a fresh database of a kind, and closes all of them."""
    opened = []

    def make(kind: str) -> Database:
        if kind == "sqlite":
            url = f"sqlite:///{tmp_path}/drover-{len(opened)}.sqlite"
        else:
            url = request.getfixturevalue("postgres_server").new_database()
        database = Database(url)
        database.create()
        opened.append(database)
        return database

    yield make
    for database in opened:
        database.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, new_database):
    return new_database(request.param)
