"""On which line of the YAML file does this value stand? Errors that say so are mended at once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from rancher_ext.evidence.readers.documents import too_deep

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, order=True)
class Problem:
    """Something wrong at a place. `str()` is what people read: file:line: what is wrong."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


class YamlFile:
    """A parsed YAML document that knows the line of every path into it."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self._node: yaml.Node | None = yaml.compose(text, Loader=_LOADER)
        self.value: Any = yaml.load(text, Loader=_LOADER)  # noqa: S506 (CSafeLoader is the safe one)

    def line(self, location: Iterable[int | str]) -> int:
        """The line of the deepest part of the path that exists (pydantic names union members in between)."""
        node, line = self._node, 1
        for step in location:
            child = _child(node, step)
            if child is not None:
                key, node = child
                line = (key or node).start_mark.line + 1
        return line

    def duplicates(self) -> list[Problem]:
        """Keys that stand twice in one mapping, of which YAML takes the last, and keys like `on`, which it takes for a boolean."""
        found: list[Problem] = []
        stack: list[yaml.Node] = [self._node] if self._node is not None else []
        while stack:
            node = stack.pop()
            if isinstance(node, yaml.MappingNode):
                seen: set[str] = set()
                for key, value in node.value:
                    if key.tag == "tag:yaml.org,2002:bool":
                        line = key.start_mark.line + 1
                        found.append(Problem(str(self.path), line, f"YAML reads the key {key.value!r} as yes or no"))
                    if key.value in seen:
                        found.append(
                            Problem(str(self.path), key.start_mark.line + 1, f"the key {key.value!r} stands here twice")
                        )
                    seen.add(key.value)
                    stack.append(value)
            elif isinstance(node, yaml.SequenceNode):
                stack += node.value
        return found

    def problems(self, error: ValidationError) -> list[Problem]:
        """What pydantic says, with lines."""
        found = []
        for entry in error.errors(include_url=False):
            location = entry["loc"]
            message = entry["msg"].removeprefix("Value error, ")
            where = ".".join(str(step) for step in location)
            found.append(Problem(str(self.path), self.line(location), f"{where}: {message}" if where else message))
        return found


def _child(node: yaml.Node | None, step: int | str) -> tuple[yaml.Node | None, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if key.value == str(step)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return None, node.value[step]
    return None


def read_yaml(path: Path) -> YamlFile | Problem:
    """The document, or why it is none."""
    try:
        text = path.read_text(encoding="utf-8")
        if too_deep(text):
            # The parser in C would run out of stack, and with it the process would end without a word.
            return Problem(str(path), 1, "not YAML that can be read: it is nested deeper than a hundred levels")
        return YamlFile(path, text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        return Problem(str(path), mark.line + 1 if mark else 1, f"not YAML: {error.problem}")
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        return Problem(str(path), 1, f"not YAML: {error}")
    except OSError as error:
        return Problem(str(path), 1, f"cannot be read: {error.strerror}")


def joined(problems: Sequence[Problem]) -> str:
    return "\n".join(str(problem) for problem in sorted(set(problems)))
