"""Does the build of the real servers say plainly what it lacks, and does it insist only where it should?"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.build import LEFT_OUT, SERVERS

SCRIPT = Path(__file__).parent / "build.py"


def build(path: Path, cache: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """The script with nothing on its path but what lies in `path`, and an empty cache."""
    kept = {name: value for name, value in os.environ.items() if name not in {"CI", "DROVER_E2E", "XDG_CACHE_HOME"}}
    environment = kept | {"PATH": str(path), "DROVER_E2E_CACHE": str(cache)} | settings
    return subprocess.run([sys.executable, str(SCRIPT)], env=environment, text=True, capture_output=True, check=False)


def a_go(path: Path, version: str) -> None:
    """A command `go` that only tells its version."""
    path.mkdir()
    command = path / "go"
    command.write_text(f"#!/bin/sh\necho 'go version go{version} linux/amd64'\n", encoding="ascii")
    command.chmod(0o755)


@pytest.mark.parametrize(
    ("settings", "status"), [({}, LEFT_OUT), ({"CI": "true"}, 2), ({"DROVER_E2E": "1"}, 2), ({"CI": "false"}, LEFT_OUT)]
)
def test_without_go_it_says_so_and_fails_only_where_the_servers_are_expected(
    tmp_path: Path, settings: dict[str, str], status: int
) -> None:
    done = build(tmp_path / "empty", tmp_path / "cache", **settings)

    assert done.returncode == status
    assert "there is no Go here to build it: no command `go` on the path" in done.stderr
    assert "golang-1.26-go" in done.stderr
    assert ("left out" in done.stderr) is (status == LEFT_OUT)


def test_a_go_that_is_too_old_is_named_with_its_version(tmp_path: Path) -> None:
    a_go(tmp_path / "bin", "1.19.8")

    done = build(tmp_path / "bin", tmp_path / "cache", CI="true")

    assert done.returncode == 2
    assert "needs Go 1.26.0" in done.stderr
    assert "go1.19.8" in done.stderr


def test_what_is_in_the_cache_needs_no_go(tmp_path: Path) -> None:
    for server in SERVERS.values():
        binary = tmp_path / "cache" / server.binary.parent.name / server.name
        binary.parent.mkdir(parents=True)
        binary.touch()

    done = build(tmp_path / "empty", tmp_path / "cache", CI="true")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("in the cache") == len(SERVERS)


def test_a_server_that_does_not_exist_is_named() -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), "steve"], text=True, capture_output=True, check=False)

    assert done.returncode == 2
    assert "There is no server 'steve'. Known: etcd, kube-apiserver, kwok." in done.stderr
