"""Worlds for the tests of the service between both simulators."""

import pytest

from tests import postgres
from tests.bot.workflows.world import World


@pytest.fixture(scope="session")
def postgres_server():
    if why := postgres.missing():
        pytest.skip(why)
    with postgres.running() as server:
        yield server


@pytest.fixture
def new_world(tmp_path, monkeypatch):
    worlds = []

    def make(**options):
        world = World(tmp_path / f"home-{len(worlds)}", monkeypatch, **options).__enter__()
        worlds.append(world)
        return world

    yield make
    for world in worlds:
        world.__exit__()


@pytest.fixture
def world(new_world):
    return new_world()
