"""Which signatures are there, and is every one of them sound?

Problems are collected over all files and told together, each with file and line. A file in a user's folder takes the place
of a shipped one with the same name or the same id.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rancher_ext.catalogue.shipped import shipped_config_dir
from rancher_ext.catalogue.yaml_lines import Problem, YamlFile, joined, read_yaml
from rancher_ext.errors import BadInput, ConfigError
from rancher_ext.fleet.versions import VersionRange
from rancher_ext.signatures.expressions import problem_with_expression
from rancher_ext.signatures.patterns import problem_with_pattern
from rancher_ext.signatures.predicate_schema import nesting_problem
from rancher_ext.signatures.schema import Signature


@dataclass(frozen=True)
class LoadedSignature:
    """A signature and the file it came from."""

    signature: Signature
    path: Path
    shipped: bool


# Keys of predicates and their parts that hold a pattern, and keys that hold an expression with the kind it is asked of.
_PATTERN_KEYS = frozenset({"log", "text", "message", "name"})
_EXPRESSION_KEYS = {"pod": "pod", "node": "node", "daemonset": "daemonset"}


def signature_dirs(user_dirs: Iterable[Path] = ()) -> tuple[Path, ...]:
    """The shipped folder first, then the user's, later ones over earlier ones."""
    return (shipped_config_dir() / "signatures", *user_dirs)


def load_signatures(user_dirs: Iterable[Path] = ()) -> tuple[Signature, ...]:
    """All signatures, by id. Raises one ConfigError that names every problem."""
    return tuple(entry.signature for entry in known_signatures(user_dirs))


def known_signatures(user_dirs: Iterable[Path] = (), ids: Iterable[str] = ()) -> tuple[LoadedSignature, ...]:
    """All signatures with their files. Raises ConfigError for unsound files, BadInput when one of `ids` is not among them."""
    loaded, problems = read_signatures(signature_dirs(user_dirs))
    if problems:
        count = len(set(problems))
        raise ConfigError(
            f"{joined(problems)}\n{count} problem{'s' if count > 1 else ''} in the signatures.",
            cure="Mend the files; `drover signatures lint` checks them.",
        )
    by_id = {entry.signature.id: entry for entry in loaded}
    for name in ids:
        if name not in by_id:
            near = get_close_matches(name, by_id, n=3)
            raise BadInput(
                f"there is no signature {name!r}",
                cure=f"Did you mean {', '.join(near)}?" if near else "`drover signatures list` shows them all.",
            )
    return loaded


def lint(user_dirs: Iterable[Path] = ()) -> list[Problem]:
    """Everything that is wrong, in file order; empty when all is well."""
    return sorted(set(read_signatures(signature_dirs(user_dirs))[1]))


def read_signatures(dirs: Sequence[Path]) -> tuple[tuple[LoadedSignature, ...], list[Problem]]:
    """Signatures of folders, the first one being the shipped one, and what is wrong with them."""
    problems: list[Problem] = []
    chosen: dict[str, tuple[Path, bool]] = {}
    for number, folder in enumerate(dirs):
        if not folder.is_dir():
            problems.append(Problem(str(folder), 1, "there is no such folder of signatures"))
            continue
        for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
            chosen[path.stem] = (path, number == 0)
    files: dict[str, tuple[LoadedSignature, YamlFile]] = {}
    for path, shipped in chosen.values():
        document = read_yaml(path)
        if isinstance(document, Problem):
            problems.append(document)
            continue
        problems += document.duplicates()
        try:
            signature = Signature.model_validate(document.value)
        except ValidationError as error:
            problems += document.problems(error)
            continue
        problems += _checked(signature, document)
        if signature.id in files and not shipped and files[signature.id][0].shipped:
            files.pop(signature.id)
        if signature.id in files:
            other = files[signature.id][0].path
            problems.append(
                Problem(str(path), document.line(["id"]), f"the id {signature.id!r} is also that of {other}")
            )
            continue
        files[signature.id] = (LoadedSignature(signature, path, shipped), document)
    problems += _unknown_explained(files)
    ordered = tuple(files[name][0] for name in sorted(files))
    return ordered, problems


def _checked(signature: Signature, document: YamlFile) -> list[Problem]:
    path = document.path
    problems = [
        Problem(str(path), document.line(location), f"{_dotted(location)}: {message}")
        for location, message in _wrong_texts(document.value)
    ]
    for location, predicate in signature.listed():
        if location[:2] != ("when", "all") and predicate.if_unknown == "match":
            line = document.line([*location, "if_unknown"])
            problems.append(
                Problem(str(path), line, f"{_dotted(location)}: if_unknown has a meaning in `when.all` only")
            )
        if problem := nesting_problem(predicate):
            problems.append(Problem(str(path), document.line(location), f"{_dotted(location)}: {problem}"))
    if signature.id != path.stem:
        problems.append(Problem(str(path), document.line(["id"]), f"id: {signature.id!r} is not the file's name"))
    if len(signature.explains) != len(set(signature.explains)) or signature.id in signature.explains:
        problems.append(Problem(str(path), document.line(["explains"]), "explains: names itself, or one id twice"))
    for key in ("kubernetes", "rancher"):
        for text in getattr(signature.applies, key) or ():
            try:
                VersionRange.parse(text)
            except ValueError as error:
                problems.append(Problem(str(path), document.line(["applies", key]), f"applies.{key}: {error}"))
    return problems


def _wrong_texts(value: Any) -> Iterator[tuple[list[int | str], str]]:
    """Where a pattern or an expression does not compile, and why."""
    for section in ("supports", "contradicts"):
        yield from _wrong_in(value.get(section) or [], [section])
    for section in ("all", "any", "none"):
        yield from _wrong_in((value.get("when") or {}).get(section) or [], ["when", section])


def _wrong_in(value: Any, location: list[int | str]) -> Iterator[tuple[list[int | str], str]]:
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _wrong_in(item, [*location, index])
        return
    if not isinstance(value, dict):
        return
    for key, item in value.items():
        here = [*location, key]
        if isinstance(item, (dict, list)) and key not in _PATTERN_KEYS:
            yield from _wrong_in(item, here)
            continue
        for text in item if isinstance(item, list) else [item]:
            problem = _problem(key, text, value, location)
            if problem is not None:
                yield here, problem


def _problem(key: str, text: object, parent: dict[str, Any], location: list[int | str]) -> str | None:
    if not isinstance(text, str):
        return None
    inside = location[-1]
    if key in _PATTERN_KEYS or (key == "node" and inside == "from") or (key == "node" and "from" in location):
        return problem_with_pattern(text)
    if key in _EXPRESSION_KEYS:
        return problem_with_expression(text, _EXPRESSION_KEYS[key])
    if key == "where":
        return problem_with_expression(text, "object" if inside == "object" else str(parent.get("of")))
    return None


def _unknown_explained(files: dict[str, tuple[LoadedSignature, YamlFile]]) -> list[Problem]:
    problems = []
    for name, (loaded, document) in files.items():
        for index, symptom in enumerate(loaded.signature.explains):
            line = document.line(["explains", index])
            if symptom not in files:
                near = get_close_matches(symptom, files, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                problems.append(Problem(str(document.path), line, f"explains: there is no signature {symptom!r}{hint}"))
            elif name in files[symptom][0].signature.explains:
                problems.append(Problem(str(document.path), line, f"explains: {symptom!r} explains {name!r}, too"))
            elif circle := _way_back({key: known[0].signature.explains for key, known in files.items()}, symptom, name):
                told = " explains ".join(repr(each) for each in (name, *circle))
                problems.append(Problem(str(document.path), line, f"explains: goes in a circle: {told}"))
    return problems


def _way_back(explains: Mapping[str, Sequence[str]], start: str, goal: str) -> tuple[str, ...]:
    """The shortest way from a symptom back to its cause, both included; empty when there is none."""
    ways: list[tuple[str, ...]] = [(start,)]
    seen = {start}
    for way in ways:
        for following in explains.get(way[-1], ()):
            if following == goal:
                return (*way, goal)
            if following not in seen:
                seen.add(following)
                ways.append((*way, following))
    return ()


def _dotted(location: Iterable[int | str]) -> str:
    return ".".join(str(step) for step in location)


def signature_json_schema() -> dict[str, Any]:
    """JSON Schema of a signature file, for editors."""
    schema = Signature.model_json_schema(by_alias=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Drover signature",
        **{key: value for key, value in schema.items() if key != "title"},
    }
