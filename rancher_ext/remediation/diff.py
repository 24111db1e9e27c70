"""How does a reviewer want to read a change? As YAML around the field, with `-` and `+`."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from rancher_ext.client.changes import Value


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
            lines += _marked(" ", indent, name, block[name])
    if before.present:
        lines += _marked("-", indent, path[-1], before.value)
    if after.present:
        lines += _marked("+", indent, path[-1], after.value)
    return "\n".join(lines)


def _marked(mark: str, indent: str, key: str, value: Any) -> list[str]:
    text = yaml.safe_dump({key: value}, default_flow_style=False, sort_keys=True, width=1000).rstrip("\n")
    return [f"{mark}{indent}{line}" for line in text.splitlines()]
