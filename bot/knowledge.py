"""What does Drover know about failures and cures? Loaded once: signatures, playbooks, actions."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bot.commands.gather import commands
from bot.policy.roles import TEAM, at_least
from bot.policy.schema import Policy
from rancher_ext.bundle.bundle import Bundle
from rancher_ext.catalogue import diagnose_bundle, load_signatures, shipped_config_dir
from rancher_ext.catalogue.playbooks import load_playbooks, risk_of
from rancher_ext.catalogue.yaml_lines import Problem, YamlFile, joined, read_yaml
from rancher_ext.errors import ConfigError
from rancher_ext.remediation.action import Action
from rancher_ext.remediation.actions import gather
from rancher_ext.remediation.playbook import Playbook
from rancher_ext.signatures.match import Diagnosis, Finding
from rancher_ext.signatures.schema import Signature


@dataclass(frozen=True)
class LoadedKnowledge:
    """Signatures, and the playbook that mends each."""

    signatures: tuple[Signature, ...]
    playbooks: Mapping[str, Playbook]

    @cached_property
    def actions(self) -> Mapping[str, Action]:
        return gather()

    @cached_property
    def since(self) -> Mapping[str, date]:
        """Since when the catalogue knows each signature."""
        return {signature.id: signature.since for signature in self.signatures}

    def diagnose(self, bundle: Bundle) -> Diagnosis:
        return diagnose_bundle(bundle, self.signatures)

    def remedy_json(self, diagnosis: Diagnosis) -> Mapping[str, Any]:
        """The stable JSON of a diagnosis, with playbook and risk filled in."""
        return diagnosis.to_json(self._remedy)

    def _remedy(self, finding: Finding) -> tuple[str, str] | None:
        playbook = self.playbooks.get(finding.signature)
        if playbook is None:
            return None
        risk = risk_of(playbook)
        return playbook.id, risk.value if risk else ""


def load_knowledge(signature_dirs: Iterable[Path] = (), playbook_dirs: Iterable[Path] = ()) -> LoadedKnowledge:
    """Everything, checked against each other. Raises ConfigError with file:line for every problem."""
    signatures = load_signatures(signature_dirs)
    return LoadedKnowledge(signatures, load_playbooks({signature.id for signature in signatures}, playbook_dirs))


def load_policy(file: Path | None = None, knowledge: LoadedKnowledge | None = None) -> Policy:
    """The policy, from the given file or the shipped one. Raises ConfigError with file:line for every problem.

    With `knowledge` also for signatures, playbooks and actions that do not exist: a `never` for a misspelt one protects nothing.
    """
    path = file or shipped_config_dir() / "policy.yaml"
    document = read_yaml(path)
    if isinstance(document, Problem):
        raise ConfigError(str(document), cure="Mend the policy; without one Drover does not start.")
    problems = document.duplicates()
    try:
        policy = Policy.model_validate(document.value or {})
    except ValidationError as error:
        problems += document.problems(error)
    else:
        problems += _wrong_commands(document, policy)
        problems += _unknown_names(document, policy, knowledge) if knowledge else []
    if problems:
        raise ConfigError(joined(problems), cure="Mend the policy; without one Drover does not start.")
    return policy


def _wrong_commands(document: YamlFile, policy: Policy) -> list[Problem]:
    """A demand on a misspelt command would hold for none; one below the command's own role would look as if it opened it up."""
    known, problems = commands(), []
    for name, demands in policy.commands.items():
        if name not in known:
            place: tuple[str | int, ...] = ("commands", name)
            problems.append(Problem(str(document.path), document.line(place), _unknown("command", name, known)))
            continue
        least = known[name].who.name.lower()
        for index, asked in enumerate(demands):
            if not asked.by.startswith(TEAM) and not at_least(asked.by, least):
                place = ("commands", name, index, "by")
                said = (
                    f"`/drover {name}` needs the role {least} in any case, and {asked.by} is less: "
                    f"a policy asks for more than a command does, never for less. Write {least} or higher, or leave it out"
                )
                problems.append(Problem(str(document.path), document.line(place), said))
    return problems


def _unknown(what: str, name: str, known: Collection[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"there is no {what} {name!r}." + (f" Did you mean {near[0]!r}?" if near else "")


def _unknown_names(document: YamlFile, policy: Policy, knowledge: LoadedKnowledge) -> list[Problem]:
    signatures = {signature.id for signature in knowledge.signatures}
    playbooks = {playbook.id for playbook in knowledge.playbooks.values()}
    named: list[tuple[tuple[str | int, ...], str, str, Collection[str]]] = []
    for index, rule in enumerate(policy.rules):
        if rule.when.signature is not None:
            named.append((("rules", index, "when", "signature"), "signature", rule.when.signature, signatures))
        if rule.when.playbook is not None:
            named.append((("rules", index, "when", "playbook"), "playbook", rule.when.playbook, playbooks))
    named += [(("needed_labels", action), "action", action, knowledge.actions) for action in policy.needed_labels]
    problems = []
    for place, what, name, known in named:
        if name not in known:
            problems.append(Problem(str(document.path), document.line(place), _unknown(what, name, known)))
    return problems
