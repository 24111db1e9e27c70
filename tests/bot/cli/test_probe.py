"""`drover probe deliver` from a terminal, beside a service: shown, agreed to, delivered, heard, taken out."""

import json
import subprocess
import sys
import threading

import pytest
import uvicorn
from click.testing import CliRunner
from fastapi import FastAPI

import tests.bot.workflows.world as worlds
from bot.adapters.incident_store import IncidentStore
from bot.cli.presence import presence
from bot.cli.probe import command
from bot.web import problems
from bot.web.ingest import ingest_router
from bot.workflows.probe_inbox import ProbeInbox
from rancher_ext.errors import BadInput
from rancher_ext.simulator.node_agent import NodeAgent

NAME = "store-01"


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A service with one stuck cluster, whose environment the commands have too."""
    monkeypatch.setattr(worlds, "SPEED", 20.0)
    with worlds.World(tmp_path / "home", monkeypatch) as world:
        world.fleet.add("rke2-canal-never-connected", NAME)
        world.change(NAME, {"metadata": {"labels": {"drover.io/probe": "allow"}}})
        world.sweep()
        world.until(NAME, "reported", "awaiting-approval")
        given = {
            "HOME": str(world.home), "CONFIG_DIR": str(world.home), "RANCHER_URL": world.rancher.url,
            "RANCHER_TOKEN": world.rancher.token, "CLOCK_SPEED": "20", "CLOCK_ORIGIN": repr(world.origin),
            "EXECUTOR_ID": "test", "PUBLIC_URL": "http://127.0.0.1:9",
        }  # fmt: skip
        for name, value in given.items():
            monkeypatch.setenv(f"DROVER_{name}", value)
        monkeypatch.setattr("bot.knowledge.load_knowledge", lambda *_: worlds.knowledge())
        yield world


@pytest.fixture
def ingest(world, monkeypatch):
    """The route, as the service has it."""
    app = FastAPI()
    problems.install(app)
    inbox = ProbeInbox(IncidentStore(world.app.database), world.app.clock)
    app.include_router(ingest_router(inbox))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        threading.Event().wait(0.01)
    monkeypatch.setenv("DROVER_PUBLIC_URL", f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}")
    yield
    server.should_exit = True
    thread.join(timeout=10)


def said(*arguments):
    return CliRunner().invoke(command, arguments, standalone_mode=False)


@pytest.mark.slow
def test_it_asks_the_nodes_and_leaves_nothing_behind(world, ingest, tmp_path):
    with NodeAgent(world.fleet, tmp_path / "nodes"), presence(world.app.settings, alone=False):
        done = said("deliver", NAME, "--yes", "--format", "json")

    assert done.return_value == 0, (done.output, done.exception)
    ended = json.loads(done.stdout)
    assert ended["done"]
    assert ended["verdict"] == "cni-failure"
    assert len(ended["reported"]) == 1
    assert [record.what for record in world.store.audit(world.incident(NAME).id)] == [
        "intend", "write", "intend undo", "undo"
    ]  # fmt: skip
    assert said("take-out", NAME).stdout == "Nothing of a probe is left there.\n"


def test_without_a_service_nothing_is_written(world):
    done = said("deliver", NAME, "--yes")

    assert done.return_value == 11
    assert "no service is running that the nodes could send to" in done.stderr
    assert "hostNetwork: true" in done.stdout
    assert "PROBE_KEY: (the key of this run)" in done.stdout
    assert world.writes == []


def test_a_dry_run_only_shows(world):
    done = said("deliver", NAME, "--dry-run")

    assert done.return_value == 0
    assert "needs-approval" in done.stdout
    assert world.writes == []


def test_it_needs_an_address_that_nodes_can_reach(world, monkeypatch):
    monkeypatch.delenv("DROVER_PUBLIC_URL")

    done = said("deliver", NAME, "--yes")

    assert isinstance(done.exception, BadInput)
    assert "DROVER_PUBLIC_URL" in done.exception.cure


def test_on_a_node_it_is_the_collector(monkeypatch):
    monkeypatch.delenv("PROBE_URL", raising=False)

    done = said()

    assert done.return_value == 2
    assert "PROBE_URL is not the address of Drover" in done.stderr


def test_on_a_node_neither_engine_nor_database_are_loaded():
    """The pod has a quarter of a gigabyte at most, on nodes that may be short of it."""
    script = "import sys, bot.cli.probe, rancher_ext.probe.__main__; print({'dbos', 'sqlalchemy', 'fastapi'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout == "set()\n"
