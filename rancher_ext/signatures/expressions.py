"""What does an expression (CEL) say about one object: yes, no, or unknown?

A field that evidence does not have makes the answer unknown; CEL itself raises an error there. `has(field)` is no only
for an object that came whole from the API: with an object pieced together from text, both answers are tried, and when
they lead to different results the result is unknown.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product
from typing import Any

import cel

from rancher_ext.bundle.truth import Truth
from rancher_ext.signatures.patterns import syntax_problem

_HAS = re.compile(r"\bhas\(\s*([A-Za-z_][\w.\[\]\"'/-]*)\s*\)")
_CALL = re.compile(r"\b(container|taint|condition|annotation|label)\(\s*(?:\"([^\"\\]*)\"|'([^'\\]*)')\s*\)")
# A name that no subject has: CEL answers with an error, unless `&&` or `||` can do without it.
_UNDEFINED = "unknown__"
_STEP = re.compile(r"\.([A-Za-z_]\w*)|\[\"([^\"]*)\"\]|\['([^']*)'\]")
_MATCHES = re.compile(r"\.matches\(\s*(r?)(\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')\s*\)")
# More unknown has() than this in one expression: unknown without trying.
_HAS_TRIED = 4

# What `cel` raises: a missing key, an operation on null, a variable that was not given.
_UNKNOWN_ERRORS = (KeyError, TypeError, ValueError, IndexError, RuntimeError)

# Words that CEL keeps for itself. After a dot they are fields like any other.
_RESERVED = re.compile(
    r"(?<![.\w])(as|break|const|continue|else|for|function|if|import|let|loop|package|namespace|return|var|void|while)\b"
)
_QUOTED = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'")

_BUILT_IN = frozenset(
    {
        "size", "contains", "startsWith", "endsWith", "matches", "int", "uint", "double", "string", "bool", "has", "type",
        "duration", "timestamp", "min", "max", "getFullYear", "getHours", "getMinutes", "dyn",
    }
)  # fmt: skip
_OPERATOR = re.compile(r"^[_!@\-]|^\W")
NAMES: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "pod": (
        frozenset({"pod", "name", "nodeName", "status", "ready", "total", "restarts", "age"}),
        frozenset({"container"}),
    ),
    "node": (
        frozenset({"node", "name", "ready", "podCIDR", "os", "osImage", "kernel", "kubelet", "age", "internalIP"}),
        frozenset({"taint", "condition", "annotation", "label"}),
    ),
    "daemonset": (
        frozenset({"daemonset", "name", "desired", "current", "ready", "available", "misscheduled", "linuxNodes"}),
        frozenset(),
    ),
    "object": (frozenset({"object"}), frozenset()),
}


@dataclass(frozen=True)
class Subject:
    """One object to ask about: variables that are known, functions (None from them means unknown), and whether it is whole."""

    variables: Mapping[str, Any]
    functions: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    complete: bool = False

    def context(self) -> Any:
        context = cel.Context()
        for name, value in self.variables.items():
            if value is not None:
                context.add_variable(name, value)
        for name, function in self.functions.items():
            context.add_function(name, function)
        return context


def evaluate(expression: str, subject: Subject, context: Any | None = None) -> Truth:
    """The answer for one subject. Give the subject's `context()` when several expressions are asked of it."""
    context = subject.context() if context is None else context
    for call, name, argument in _calls(expression):
        # Null would do here, were it not that `null != ""` is true.
        if name in subject.functions and subject.functions[name](argument) is None:
            expression = expression.replace(call, _UNDEFINED)
    missing = [path for path in _has_paths(expression) if not _present(path, subject.variables)]
    if not missing:
        return _ask(expression, context)
    if subject.complete:
        return _ask(_decided(expression, dict.fromkeys(missing, False)), context)
    if len(missing) > _HAS_TRIED:
        return Truth.UNKNOWN
    answers = {
        _ask(_decided(expression, dict(zip(missing, choice, strict=True))), context)
        for choice in product((True, False), repeat=len(missing))
    }
    return answers.pop() if len(answers) == 1 else Truth.UNKNOWN


@lru_cache(maxsize=2048)
def problem_with_expression(expression: str, kind: str) -> str | None:
    """What is wrong with an expression on a pod, node, daemonset or object; None when it is fine."""
    if word := _RESERVED.search(_QUOTED.sub('""', expression)):
        hint = (
            f"; write `of: {{namespace: …}}` beside it, or {kind}.metadata.namespace" if word[1] == "namespace" else ""
        )
        return f"`{word[1]}` is a reserved word in CEL and no name{hint}"
    try:
        references = cel.compile(expression).references()
    except ValueError as error:
        return f"the expression does not compile: {' '.join(str(error).split())[:300]}"
    if re.search(r"\.(?:filter|map)\(", expression):
        return "filter() and map() grow with the square of the list; write exists() or all(), or count with at_least"
    variables, functions = NAMES[kind]
    # Loop variables of exists() and all() count as variables, too.
    loops = set(re.findall(r"\.(?:exists|all|exists_one)\(\s*([A-Za-z_]\w*)\s*,", expression))
    if unknown := set(references["variables"]) - variables - loops:
        return f"the expression knows no {min(unknown)!r}; on a {kind} there are {', '.join(sorted(variables))}"
    called = {name for name in references["functions"] if not _OPERATOR.match(name)}
    if unknown := called - functions - _BUILT_IN:
        return f"the expression knows no function {min(unknown)!r}; on a {kind} there are {', '.join(sorted(functions)) or 'none of our own'}"
    if sum(expression.count(f"{name}(") for name in functions) != len(_calls(expression)):
        return f"the argument of {' and '.join(sorted(functions))} has to be one quoted word"
    for raw, quoted in _MATCHES.findall(expression):
        text = quoted[1:-1] if raw else quoted[1:-1].replace("\\\\", "\\")
        if problem := syntax_problem(text):
            return f"the pattern in matches({quoted}) does not compile: {problem}"
    return None


@lru_cache(maxsize=4096)
def _program(expression: str) -> Any:
    return cel.compile(expression)


@lru_cache(maxsize=4096)
def _has_paths(expression: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_HAS.findall(expression)))


@lru_cache(maxsize=4096)
def _calls(expression: str) -> tuple[tuple[str, str, str], ...]:
    """Calls of our own functions: as written, the function's name, its argument."""
    return tuple((match[0], match[1], match[2] or match[3] or "") for match in _CALL.finditer(expression))


def _decided(expression: str, choices: Mapping[str, bool]) -> str:
    return _HAS.sub(lambda m: str(choices[m[1]]).lower() if m[1] in choices else m[0], expression)


def _present(path: str, variables: Mapping[str, Any]) -> bool:
    head = re.match(r"[A-Za-z_]\w*", path)
    if head is None or head[0] not in variables:
        return False
    value: Any = variables[head[0]]
    for step in _STEP.finditer(path, head.end()):
        key = next(group for group in step.groups() if group is not None)
        if not isinstance(value, Mapping) or value.get(key) is None:
            return False
        value = value[key]
    return True


def _ask(expression: str, context: Any) -> Truth:
    try:
        answer = _program(expression).execute(context)
    except _UNKNOWN_ERRORS:
        return Truth.UNKNOWN
    return Truth.of(answer) if isinstance(answer, bool) else Truth.UNKNOWN
