"""The whole road once with PostgreSQL under the incidents and under the engine, as in production."""

import pytest

from bot.incidents.timeline import broken_link
from tests.bot.workflows.world import World

pytestmark = pytest.mark.slow
NAME = "edge-01"


def test_the_founding_case_with_a_restart_in_its_middle(postgres_server, tmp_path, monkeypatch):
    with World(tmp_path / "home", monkeypatch, DATABASE_URL=postgres_server.new_database()) as world:
        world.fleet.add("rke1-canal-br-netfilter", NAME)
        world.ask(NAME)
        world.stop()
        world.start()
        world.approve(NAME)
        world.until(NAME, "resolved")
        world.wait(lambda: not world.issue_of(NAME).open, "the issue to close")
        assert len(world.writes) == 1
        assert len(world.github.issues) == 1
        assert broken_link(world.store.audit()) is None
        assert not (tmp_path / "home" / "drover.sqlite").exists()


def test_a_failed_cure_is_put_back(postgres_server, tmp_path, monkeypatch):
    with World(tmp_path / "home", monkeypatch, DATABASE_URL=postgres_server.new_database()) as world:
        world.fleet.add("rke1-canal-cure-fails", NAME)
        world.ask(NAME)
        world.approve(NAME)
        world.until(NAME, "rolled-back", within=60)
        assert "enableBrNetfilter" not in world.network(NAME)
