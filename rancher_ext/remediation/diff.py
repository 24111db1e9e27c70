"""How does a reviewer want to read a change? As YAML around the field, with `-` and `+`.

Around what we write stands what others wrote, and a diff goes into an issue: a proxy's password in the next line, or a registry's
in the values that are taken out, is hidden. The digest covers the values themselves, so hiding them weakens no approval.
"""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from rancher_ext.bundle.masks import RedactionRules, Rule
from rancher_ext.bundle.redact import Redactor
from rancher_ext.client.changes import Value

# Lines around a change inside a long value; the rest of it is only counted.
CONTEXT = 3


_RULES = RedactionRules(
    rules=(
        Rule(
            "url", "password", r"""[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s/:@"']{0,256}:(?P<secret>[^\s/"'<][^\s/"']*)@"""
        ),
        Rule("join-token", "token", r"""\bK10[0-9a-f]{10,64}::(?P<secret>[^\s"'\\,]+)"""),
    ),
    keys=("password", "passwd", "secret", "secret-key", "access-key", "api-key", "private-key", "token", "credentials"),
    kept=("automount-service-account-token", "agent-token-file", "token-file"),
)


class _Hidden(Redactor):
    """A digest is made of the diff, so the same diff has to read the same in every process: no key, no pseudonyms."""

    def __init__(self) -> None:
        super().__init__(_RULES, b"")

    def pseudonym(self, kind: str, value: bytes) -> bytes:
        return f"<masked:{kind}>".encode()


def hidden(value: Any) -> Any:
    """A value as it may stand in the audit trail, which people read and export; the pre-image keeps it as it was."""
    return _Hidden().object(value)


class _Dumper(yaml.SafeDumper):
    """Texts of several lines are shown as such, not folded into quotes."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def field_diff(
    item: Mapping[str, Any], path: Sequence[str], before: Value, after: Value, *, context: Sequence[str] = ()
) -> str:
    """A small diff of one field below its parents (without `spec`), with the sibling fields named in `context`."""
    parents = [key for key in path[:-1] if key != "spec"]
    lines = [f" {'  ' * depth}{key}:" for depth, key in enumerate(parents)]
    indent = "  " * len(parents)
    block: Any = item
    for key in path[:-1]:
        block = block.get(key, {}) if isinstance(block, Mapping) else {}
    for name in context:
        if isinstance(block, Mapping) and name in block:
            lines += _marked(" ", indent, {name: block[name]})
    old = _yaml(indent, {path[-1]: before.value}) if before.present else []
    new = _yaml(indent, {path[-1]: after.value}) if after.present else []
    return _Hidden().text("\n".join(lines + _changed(old, new)))


def object_diff(before: Value, after: Value) -> str:
    """A whole object that is made, deleted or replaced."""
    old = _yaml("", before.value) if before.present else []
    new = _yaml("", after.value) if after.present else []
    return "\n".join(_changed(old, new))


def _changed(old: Sequence[str], new: Sequence[str]) -> list[str]:
    """What differs, with a few lines around it; what is the same and far away is counted."""
    if not old or not new:
        return [f"-{line}" for line in old] + [f"+{line}" for line in new]
    lines: list[str] = []
    done = 0
    for group in difflib.SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(CONTEXT):
        lines += _skipped(group[0][1] - done)
        for kind, start, end, other_start, other_end in group:
            if kind == "equal":
                lines += [f" {line}" for line in old[start:end]]
            else:
                lines += [f"-{line}" for line in old[start:end]]
                lines += [f"+{line}" for line in new[other_start:other_end]]
        done = group[-1][2]
    return lines + _skipped(len(old) - done)


def _skipped(count: int) -> list[str]:
    return [f" … {count} line{'s' if count != 1 else ''} as before"] if count else []


def _marked(mark: str, indent: str, value: Any) -> list[str]:
    return [f"{mark}{line}" for line in _yaml(indent, value)]


def _yaml(indent: str, value: Any) -> list[str]:
    text = yaml.dump(value, Dumper=_Dumper, default_flow_style=False, sort_keys=True, width=1000, allow_unicode=True)
    return [f"{indent}{line}" for line in text.rstrip("\n").splitlines()]
