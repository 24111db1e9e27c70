"""Which playbooks are there, and do they fit the signatures and actions they name?"""

from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path

from pydantic import ValidationError

from rancher_ext.catalogue.shipped import shipped_config_dir
from rancher_ext.catalogue.yaml_lines import Problem, YamlFile, joined, read_yaml
from rancher_ext.errors import ConfigError
from rancher_ext.remediation.action import Risk
from rancher_ext.remediation.actions import gather
from rancher_ext.remediation.playbook import Playbook


def load_playbooks(signatures: Collection[str], user_dirs: Iterable[Path] = ()) -> dict[str, Playbook]:
    """Playbooks by the signature they mend. A user's file takes the place of the shipped one of the same name.

    Raises one ConfigError that names every problem with file and line.
    """
    files: dict[str, Path] = {}
    for folder in (shipped_config_dir() / "playbooks", *user_dirs):
        files |= {path.name: path for path in sorted(folder.glob("*.yaml"))}
    by_signature: dict[str, Playbook] = {}
    problems: list[Problem] = []
    for path in files.values():
        document = read_yaml(path)
        if isinstance(document, Problem):
            problems.append(document)
            continue
        problems += document.duplicates()
        try:
            playbook = Playbook.model_validate(document.value)
        except ValidationError as error:
            problems += document.problems(error)
            continue
        problems += _references(playbook, document, signatures, by_signature)
        by_signature |= dict.fromkeys(playbook.signatures, playbook)
    if problems:
        raise ConfigError(joined(problems), cure="Mend the playbooks named above.")
    return by_signature


def risk_of(playbook: Playbook) -> Risk | None:
    """The highest risk any variant can have; None for a playbook that only explains."""
    actions = gather()
    risks = [actions[step.action].risk for variant in playbook.variants for step in variant.steps]
    return max(risks, key=lambda risk: risk.rank, default=None)


def _references(
    playbook: Playbook, document: YamlFile, signatures: Collection[str], taken: Mapping[str, Playbook]
) -> list[Problem]:
    found: list[Problem] = []
    file = str(document.path)
    for index, signature in enumerate(playbook.signatures):
        line = document.line(("for", index))
        if signature not in signatures:
            found.append(Problem(file, line, _no_such("signature", signature, signatures)))
        elif signature in taken:
            found.append(Problem(file, line, f"the playbook {taken[signature].id!r} already mends {signature!r}"))
    for number, variant in enumerate(playbook.variants):
        for index, step in enumerate(variant.steps):
            if step.action not in gather():
                line = document.line(("variants", number, "steps", index, "action"))
                found.append(Problem(file, line, _no_such("action", step.action, gather())))
    return found


def _no_such(kind: str, name: str, known: Collection[str]) -> str:
    near = get_close_matches(name, known, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(sorted(known))}."
    return f"there is no {kind} {name!r}. {hint}"
