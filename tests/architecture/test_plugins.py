"""Is each plugin one file that ends in one value, and does importing it change nothing?"""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Folder of plugins -> the name of the one value, and modules there that are the frame and no plugins.
FOLDERS = {
    "rancher_ext/evidence/collectors": ("COLLECTOR", frozenset[str]()),
    "rancher_ext/remediation/actions": ("ACTION", frozenset[str]()),
    "rancher_ext/preflight/checks": ("CHECK", frozenset[str]()),
    "rancher_ext/listeners/payloads": ("PAYLOAD", frozenset[str]()),
    "bot/commands": ("COMMAND", frozenset({"authorize", "command", "dispatch", "gather", "parse"})),
}


def plugins(folder: str) -> list[Path]:
    """The plugin files of a folder; a leading underscore marks what several of them share."""
    _, frame = FOLDERS[folder]
    return [
        path
        for path in sorted((ROOT / folder).glob("*.py"))
        if not path.stem.startswith("_") and path.stem not in frame
    ]


FILES = [pytest.param(folder, path, id=f"{folder}/{path.name}") for folder in FOLDERS for path in plugins(folder)]


def ends_in(path: Path) -> str:
    """The name that the last statement of a module gives a value to, or nothing."""
    body = ast.parse(path.read_text(encoding="utf-8"), str(path)).body
    match body[-1] if body else None:
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name
    return ""


def assigned(path: Path, name: str) -> int:
    """How often a module gives this name a value at its top level."""
    count = 0
    for statement in ast.parse(path.read_text(encoding="utf-8"), str(path)).body:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        count += sum(isinstance(target, ast.Name) and target.id == name for target in targets)
    return count


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_of_plugins_is_not_empty(folder: str) -> None:
    if not (ROOT / folder).is_dir() or not list((ROOT / folder).glob("*.py")):
        pytest.skip(f"{folder} does not exist yet")

    assert plugins(folder), f"{folder} holds no plugin"


@pytest.mark.parametrize(("folder", "path"), FILES)
def test_a_plugin_ends_in_its_one_value(folder: str, path: Path) -> None:
    value, _ = FOLDERS[folder]

    assert ends_in(path) == value, f"{path.name} has to end in `{value} = …`"
    assert assigned(path, value) == 1


@pytest.mark.parametrize("folder", FOLDERS)
def test_values_of_one_kind_have_different_names(folder: str) -> None:
    """Two plugins that claim one name would hide each other."""
    value, _ = FOLDERS[folder]
    names: dict[str, str] = {}
    for path in plugins(folder):
        module = importlib.import_module(f"{folder.replace('/', '.')}.{path.stem}")
        found = getattr(module, value)
        name = str(getattr(found, "name", None) or getattr(found, "id", path.stem))
        assert name not in names, f"{path.name} and {names[name]} both claim {name!r}"
        names[name] = path.name
    if not names:
        pytest.skip(f"{folder} does not exist yet")


@pytest.mark.parametrize("folder", FOLDERS)
def test_importing_plugins_starts_nothing(folder: str) -> None:
    """No thread, no child, no word on the terminal: the help page imports them all."""
    modules = [f"{folder.replace('/', '.')}.{path.stem}" for path in plugins(folder)]
    if not modules:
        pytest.skip(f"{folder} does not exist yet")
    program = (
        "import importlib, sys, threading\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "assert threading.active_count() == 1, threading.enumerate()\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, *modules], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
