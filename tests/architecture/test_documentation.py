"""What the documentation says of the code follows from the code."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def generator():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_parts_are_current():
    """
    `make docs` renews them.
    """
    for path, text in generator().generated().items():
        assert text == path.read_text(encoding="utf-8"), f"{path.name} is stale: make docs"


def test_readme_shows_every_command():
    from bot.cli.main import _COMMANDS

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in _COMMANDS if f"`drover {name}" not in readme] == []


def test_links_of_the_documentation_lead_somewhere():
    import re

    for page in [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *(ROOT / "docs").glob("*.md"),
        ROOT / "config" / "README.md",
    ]:
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
