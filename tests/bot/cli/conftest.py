"""`drover` as a person calls it: arguments and environment in, exit status and two streams out."""

import logging
import os
import sys
from dataclasses import dataclass

import pytest

from bot.cli.main import main
from rancher_ext.simulator.clock import SimClock
from rancher_ext.simulator.fleet import Fleet
from rancher_ext.simulator.running import RunningRancher


@dataclass(frozen=True)
class Said:
    status: int
    out: str
    err: str


@pytest.fixture
def drover(tmp_path, monkeypatch, capsys):
    """Runs one command in this process. Nothing of the machine's own settings is in it."""
    for name in [name for name in os.environ if name.startswith("DROVER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DROVER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DROVER_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*arguments, **variables) -> Said:
        capsys.readouterr()
        loggers = [logging.root, logging.getLogger("dbos")]
        handlers = [each.handlers[:] for each in loggers]
        with monkeypatch.context() as here:
            here.setattr(sys, "argv", ["drover", *map(str, arguments)])
            for name, value in variables.items():
                here.setenv(f"DROVER_{name}", str(value))
            with pytest.raises(SystemExit) as ended:
                main()
        # A command's log goes to the stderr of its own run.
        for logger, before in zip(loggers, handlers, strict=True):
            logger.handlers[:] = before
        streams = capsys.readouterr()
        code = ended.value.code
        return Said(0 if code is None else code, streams.out, streams.err)

    return run


@pytest.fixture
def rancher():
    """Starts a simulated Rancher with these scenarios; `env` are the settings that reach it."""
    running = []

    def start(*scenarios, **options):
        fleet = Fleet(SimClock(), **options)
        for scenario in scenarios:
            fleet.add(scenario)
        server = RunningRancher(fleet).start()
        server.env = {"RANCHER_URL": server.url, "RANCHER_TOKEN": server.token}
        running.append(server)
        return server

    yield start
    for server in running:
        server.stop()
