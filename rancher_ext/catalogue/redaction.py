"""Which redaction rules are in force, and can they run?"""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from rancher_ext.bundle.redact import RedactionRules, Rule, problem_with_rule
from rancher_ext.catalogue.shipped import shipped_config_dir
from rancher_ext.catalogue.yaml_lines import Problem, joined, read_yaml
from rancher_ext.errors import ConfigError

FILE = "redaction.yaml"


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str = Field(pattern=r"^[a-z0-9-]+$")
    kind: str = Field(pattern=r"^[a-z0-9-]+$")
    pattern: str

    @field_validator("pattern")
    @classmethod
    def _runs(cls, value: str) -> str:
        if problem := problem_with_rule(value):
            raise ValueError(f"the pattern cannot be used: {problem} (RE2 syntax)")
        return value


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")
    rules: list[_Rule]
    keys: Annotated[list[str], Field(min_length=1)]
    kept: list[str] = []


def load_redaction(user_dir: Path | None = None) -> RedactionRules:
    """The user's file where there is one, else the shipped one. Raises ConfigError with file:line."""
    own = user_dir / FILE if user_dir is not None else None
    path = own if own is not None and own.is_file() else shipped_config_dir() / FILE
    document = read_yaml(path)
    if isinstance(document, Problem):
        raise ConfigError(str(document), cure="Mend the file; the shipped one is a valid example.")
    try:
        parsed = _Document.model_validate(document.value)
    except ValidationError as error:
        raise ConfigError(
            joined(document.problems(error)), cure="Mend the file; the shipped one is a valid example."
        ) from error
    rules = tuple(Rule(rule.name, rule.kind, rule.pattern) for rule in parsed.rules)
    return RedactionRules(rules, tuple(parsed.keys), tuple(parsed.kept))
