"""Do imports point down, and does each outside library stay where it belongs?"""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("bot", "rancher_ext")
PURE = ("fleet", "bundle", "detection", "signatures", "preflight")
# They judge the product and import nothing of it, as a test below makes sure.
OUTSIDE = {"bot.simulator", "rancher_ext.simulator"}
SOCKETS_AND_TABLES = {"requests", "urllib3", "sqlalchemy", "dbos", "socket", "http", "fastapi", "uvicorn", "github"}


def sources(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything a file imports, inside functions too."""
    module = path.relative_to(ROOT).with_suffix("").parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            above = ".".join(module[: -node.level]) if node.level else ""
            yield node.lineno, ".".join(part for part in (above, node.module or "") if part)


def found(paths: list[Path], wrong: set[str]) -> list[str]:
    """`file:line name` of each import of one of these libraries or packages, or of anything inside them."""
    return [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for path in paths
        for line, name in imports_of(path)
        if any(name == each or name.startswith(f"{each}.") for each in wrong)
    ]


def drawing() -> dict[str, Any]:
    """The architecture, as pyproject.toml draws it."""
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    return found


def layers() -> list[str]:
    (contract,) = [contract for contract in drawing()["contracts"] if contract["type"] == "layers"]
    return [str(line) for line in contract["layers"]]


def test_the_layers_that_are_drawn_hold(tmp_path: Path) -> None:
    """The real checker on the real drawing; layers of parts that nobody has written yet are left out."""
    there = [line for line in map(existing, layers()) if line]
    config = tmp_path / "importlinter.ini"
    lines = ["[importlinter]", "root_packages =", *(f"    {name}" for name in drawing()["root_packages"])]
    lines += [
        "include_external_packages = True",
        "[importlinter:contract:layers]",
        "name = Layers",
        "type = layers",
        "layers =",
    ]
    config.write_text("\n".join([*lines, *(f"    {line}" for line in there)]), encoding="utf-8")
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]

    done = subprocess.run(
        [*command, "--config", str(config), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert len(there) > 10
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "1 kept, 0 broken" in done.stdout


@pytest.mark.parametrize("package", PACKAGES)
def test_every_part_has_its_place_in_the_drawing(package: str) -> None:
    """A part that no layer names could import whatever it likes."""
    named = {name.strip() for line in layers() for name in line.split("|")}
    parts = {
        f"{package}.{path.stem}"
        for path in (ROOT / package).iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").is_file()) and not path.stem.startswith("_")
    }

    assert parts - named <= OUTSIDE


def existing(line: str) -> str:
    """The layer without the packages that nobody has written yet."""
    names = [name.strip() for name in line.split("|")]
    there = [
        name
        for name in names
        if (path := ROOT.joinpath(*name.split("."))).joinpath("__init__.py").is_file()
        or path.with_suffix(".py").is_file()
    ]
    return " | ".join(there)


@pytest.mark.parametrize("name", PURE)
def test_values_of_rancher_ext_open_no_socket_and_no_table(name: str) -> None:
    folder = ROOT / "rancher_ext" / name
    if not folder.is_dir():
        pytest.skip(f"rancher_ext/{name} does not exist yet")

    assert found(sources(folder), SOCKETS_AND_TABLES) == []


@pytest.mark.parametrize("name", ["policy", "incidents", "reports"])
def test_values_of_the_bot_open_no_socket_and_no_table(name: str) -> None:
    folder = ROOT / "bot" / name
    if not folder.is_dir():
        pytest.skip(f"bot/{name} does not exist yet")

    assert found(sources(folder), SOCKETS_AND_TABLES) == []


def test_only_the_engine_imports_the_durable_library() -> None:
    everything = [path for package in PACKAGES for path in sources(ROOT / package)]

    places = {line.partition(":")[0] for line in found(everything, {"dbos"})}

    assert places <= {"bot/workflows/engine.py"}


@pytest.mark.parametrize("name", ["rancher_ext/simulator", "bot/simulator"])
def test_a_simulator_imports_nothing_of_what_it_judges(name: str) -> None:
    folder = ROOT / name
    if not folder.is_dir():
        pytest.skip(f"{name} does not exist yet")
    own = name.replace("/", ".")
    foreign = [
        line
        for line in found(sources(folder), set(PACKAGES))
        if not (line.split()[-1] == own or line.split()[-1].startswith(f"{own}."))
    ]

    assert sources(folder), f"{name} is empty"
    assert foreign == []


def test_the_library_knows_nothing_of_the_service_around_it() -> None:
    assert found(sources(ROOT / "rancher_ext"), {"bot"}) == []


def test_raw_json_of_rancher_stops_at_the_parser() -> None:
    """Verdicts are made of values; whoever judges has no business with field names of the API."""
    assert (
        found(sources(ROOT / "rancher_ext" / "detection"), {"json", "rancher_ext.client", "rancher_ext.fleet.parse"})
        == []
    )
    assert found(sources(ROOT / "rancher_ext" / "detection"), {"time", "random"}) == []


def test_nothing_of_the_tests_is_shipped() -> None:
    everything = [path for package in PACKAGES for path in sources(ROOT / package)]

    assert found(everything, {"tests", "pytest", "hypothesis", "responses"}) == []


def test_a_forbidden_import_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search itself sees plain, dotted, renamed, relative and hidden imports."""
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    file = tmp_path / "bot" / "policy" / "x.py"
    file.parent.mkdir(parents=True)
    file.write_text(
        "import requests\nimport requests.adapters as a\nfrom requests import get\n"
        "def f():\n    from sqlalchemy.orm import Session\nfrom ..workflows import engine\nimport requestsque\n"
    )

    assert found([file], {"requests", "sqlalchemy", "bot.workflows"}) == [
        "bot/policy/x.py:1 requests",
        "bot/policy/x.py:2 requests.adapters",
        "bot/policy/x.py:3 requests",
        "bot/policy/x.py:6 bot.workflows",
        "bot/policy/x.py:5 sqlalchemy.orm",
    ]
