"""A `drover serve` of its own process, between two simulators: what a kill test needs."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import requests

SECRET = "hook-secret"
SPEED = 120.0


class Service:
    """Starts, kills and starts again, always with the same home and the same executor id."""

    def __init__(self, home, rancher, github, origin):
        self.home = home
        self._environment = os.environ | {
            "DROVER_HOME": str(home),
            "DROVER_CONFIG_DIR": str(home),
            "DROVER_RANCHER_URL": rancher.url,
            "DROVER_RANCHER_TOKEN": rancher.token,
            "DROVER_GITHUB_API_URL": github.url,
            "DROVER_GITHUB_REPOSITORY": github.repository,
            "DROVER_GITHUB_TOKEN": github.token,
            "DROVER_GITHUB_WEBHOOK_SECRETS": SECRET,
            "DROVER_CLOCK_SPEED": str(SPEED),
            "DROVER_CLOCK_ORIGIN": repr(origin),
            "DROVER_EXECUTOR_ID": "kill-test",
            "DROVER_LISTEN": "127.0.0.1:0",
            "DROVER_LOG_FORMAT": "json",
        }
        self._github = github
        self._process = None
        self.log = home / "serve.log"

    def start(self):
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", "from bot.cli.main import main; main()", "serve"],
                env=self._environment,
                stderr=log,
                stdout=log,
            )
        url = self.wait_for(self._url, "the service to listen")
        self._github.send_hooks_to(f"{url}/hooks/github", SECRET)
        self.url = url

    def _url(self):
        lines = self.log.read_text().splitlines()
        said = [line.rsplit(" ", 1)[1] for line in lines if line.startswith("Drover listens on")]
        if not said or said[-1] == getattr(self, "url", None):
            return None
        try:
            return said[-1] if requests.get(f"{said[-1]}/healthz", timeout=2).ok else None
        except requests.RequestException:
            return None

    def kill(self):
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(timeout=10)

    def stop(self):
        if self._process and self._process.poll() is None:
            self._process.terminate()
            try:
                return self._process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                raise
        return None

    def states(self):
        """Incident states by cluster name, from the database and not from the service."""
        try:
            with closing(
                sqlite3.connect(f"file:{self.home / 'drover.sqlite'}?mode=ro", uri=True, timeout=5)
            ) as database:
                return dict(database.execute("select cluster_name, state from incidents"))
        except sqlite3.OperationalError:
            return {}

    def wait_for(self, condition, what, within=45.0):
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            found = condition()
            if found:
                return found
            if self._process.poll() is not None:
                raise AssertionError(f"the service ended while waiting for {what}:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.02)
        raise AssertionError(f"waited too long for {what}; states {self.states()}:\n{self.log.read_text()[-3000:]}")
