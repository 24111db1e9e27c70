"""Which objects stand in this JSON or YAML, and on which lines?

One object, a list, or many documents one after the other, as `kubectl get -o`, `kubectl cluster-info dump` and support bundles
write them. Items are read one by one: what stands before a damaged one still counts, every item knows its lines, and the work
grows with the text and not with its square.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from rancher_ext.bundle.bundle import BundleFile
from rancher_ext.bundle.text import text_encoding

# The C parser of YAML reads a megabyte a second; JSON is thirty times as fast.
_YAML_BYTES = 12 << 20
_YAML_DOCUMENT = 1 << 20
# It also calls itself for every level, and a process that runs out of stack is gone. Real objects have twenty levels.
_YAML_FLOW = 100
_YAML_INDENT = 300
# A file with more broken documents than this is no file of documents.
_BROKEN = 20
_DEPTH = 60

# In a listing of megabytes these are most of it, and they say nothing about a network.
_DULL = frozenset(
    {
        "ReplicaSet", "ControllerRevision", "Secret", "Lease", "Endpoints", "EndpointSlice", "Role", "RoleBinding", "ClusterRole",
        "ClusterRoleBinding", "ServiceAccount", "Service", "PersistentVolume", "PersistentVolumeClaim", "VolumeAttachment",
        "StorageClass", "PodDisruptionBudget", "Ingress", "NetworkPolicy", "APIService", "Setting", "ManagedChart",
    }
)  # fmt: skip

_SPACE = re.compile(r"[ \t\r\n]*")
_NEXT_DOCUMENT = re.compile(r"^[{\[]", re.MULTILINE)
_API_OBJECT = re.compile(r'"(?:apiVersion|kind)"\s*:\s*"')
_YAML_OBJECT = re.compile(r"^(?:- |  )?(?:apiVersion|kind): ?\S", re.MULTILINE)
_WARNINGS = re.compile(r"(?:\s*(?:Warning: |[WE]\d{4} )[^\n]*\n){1,20}")
_YAML_START = re.compile(
    r"\A(?:\ufeff|\s|#[^\n]*\n|---[^\n]*\n)*(?:- )?(?:apiVersion|kind|items|metadata|spec):", re.MULTILINE
)
_YAML_DASHES = re.compile(r"^---(?:[ \t][^\n]*)?$", re.MULTILINE)
_YAML_LIST = re.compile(r"^items:[ \t]*\n(?=(?P<indent> {0,8})- )|\A\s*^(?=(?P<bare>)- )", re.MULTILINE)
_YAML_LIST_KIND = re.compile(r"^kind: ?[\"']?(\w+)List\b", re.MULTILINE)
_YAML_FIELD = re.compile(r"^[A-Za-z]", re.MULTILINE)
_YAML_KIND = re.compile(r"^ *(?:- )?kind: ?[\"']?(\w+)", re.MULTILINE)
_FLOW = re.compile(r"[\[\]{}]")
_LEAD = re.compile(r"^(?:[ \t]+|[-?:][ \t])*", re.MULTILINE)
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class Item:
    """An object and the text it was read from, which begins at line `first`. `listed`: the list it came in said its kind."""

    value: Mapping[str, Any]
    text: str
    first: int
    listed: str | None = None


def holds_objects(head: bytes, path: str) -> bool:
    """Are these the first bytes of API objects? Log lines in JSON are not."""
    text = _without_warnings(decoded(head))
    start = text.lstrip("\ufeff \t\r\n")
    if start[:1] in {"{", "["}:
        return _API_OBJECT.search(text) is not None or path.endswith(".json")
    return _YAML_START.match(text) is not None and _YAML_OBJECT.search(text) is not None


def _without_warnings(text: str) -> str:
    """kubectl warns on stderr, and people redirect both into one file."""
    found = _WARNINGS.match(text)
    return text[found.end() :] if found is not None else text


def decoded(raw: bytes) -> str:
    """Text of any encoding that people's tools write; what is no text becomes replacement characters."""
    encoding = text_encoding(raw[:4096]) or "utf-8"
    return raw.decode(encoding, "replace")


def items_of(file: BundleFile, kind: str | None = None) -> Iterator[Item]:
    """Every object of a file. `kind` is what items are that do not say it: some tools leave it out."""
    text = decoded(file.read_bytes())
    if _without_warnings(text).lstrip("\ufeff \t\r\n")[:1] in {"{", "["}:
        yield from _json_items(text, kind)
    else:
        yield from _yaml_items(text, kind)


# JSON


class _Lines:
    """Line numbers of rising positions; each part of the text is counted once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position, self._line = 0, 1

    def at(self, position: int) -> int:
        self._line += self._text.count("\n", self._position, position)
        self._position = position
        return self._line


def _json_items(text: str, kind: str | None) -> Iterator[Item]:
    position, broken = 0, 0
    lines = _Lines(text)
    while broken < _BROKEN and (start := _NEXT_DOCUMENT.search(text, position)) is not None:
        reader, whole = _JsonReader(text, start.start()), True
        try:
            reader.read()
        except (ValueError, RecursionError, IndexError):
            broken, whole = broken + 1, False
        position = max(reader.position, start.end())
        listed = reader.kind.removesuffix("List") if reader.kind.endswith("List") else ""
        for value, begin, end in reader.items:
            yield from _flattened(value, text[begin:end], lines.at(begin), listed or None, kind)
        if reader.is_list:
            if listed or kind:
                yield Item({"kind": f"{listed or kind}List"}, "", lines.at(position), listed or kind)
        elif whole:
            yield from _flattened(reader.whole, text[start.start() : position], lines.at(start.start()), None, kind)


def _flattened(
    value: Any, text: str, first: int, listed: str | None, kind: str | None, depth: int = 0
) -> Iterator[Item]:
    if isinstance(value, list):
        for inner in value:
            if depth < 3:
                yield from _flattened(inner, text, first, listed, kind, depth + 1)
        return
    if not isinstance(value, dict):
        return
    if not isinstance(value.get("kind"), str):
        named = listed or kind
        if named is None or not isinstance(value.get("metadata"), dict):
            return
        # Items of a list do not repeat their kind.
        value = {**value, "kind": named}
    inner = value.get("items")
    if value["kind"].endswith("List") and isinstance(inner, list) and depth < 3:
        of = value["kind"].removesuffix("List")
        yield Item({"kind": value["kind"]}, "", first, of)
        yield from _flattened(inner, text, first, of, kind, depth + 1)
        return
    yield Item(_plain(value, _Budget(len(text) + 64)), text, first, listed)


class _JsonReader:
    """One document: an array's elements, or an object's fields with the elements of its `items`, each with its place."""

    def __init__(self, text: str, position: int) -> None:
        self._text, self.position = text, position
        self.items: list[tuple[Any, int, int]] = []
        self.whole: dict[str, Any] = {}
        self.is_list = False

    @property
    def kind(self) -> str:
        kind = self.whole.get("kind")
        return kind if isinstance(kind, str) else ""

    def read(self) -> None:
        if self._text[self.position] == "[":
            self.is_list = True
            self._elements()
            return
        self.position += 1
        self._space()
        while self._text[self.position] != "}":
            if self._text[self.position] != '"':
                raise ValueError("a key that is no string")
            key, self.position = _DECODER.raw_decode(self._text, self.position)
            self._expect(":")
            if key == "items" and self._text[self.position] == "[" and not self.is_list:
                self.is_list = True
                self._elements()
            else:
                self.whole[key], self.position = _DECODER.raw_decode(self._text, self.position)
            self._space()
            if self._text[self.position] == ",":
                self._expect(",")
        self.position += 1

    def _elements(self) -> None:
        self.position += 1
        self._space()
        while self._text[self.position] != "]":
            start = self.position
            value, self.position = _DECODER.raw_decode(self._text, start)
            self.items.append((value, start, self.position))
            self._space()
            if self._text[self.position] == ",":
                self._expect(",")
        self.position += 1

    def _expect(self, character: str) -> None:
        self._space()
        if self._text[self.position] != character:
            raise ValueError(f"{character!r} is missing")
        self.position += 1
        self._space()

    def _space(self) -> None:
        found = _SPACE.match(self._text, self.position)
        self.position = found.end() if found is not None else self.position


# YAML


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Without merge keys: kubectl prints none, and a few lines of them unfold to gigabytes."""

    def flatten_mapping(self, node: Any) -> None:
        pass


def _yaml_items(text: str, kind: str | None) -> Iterator[Item]:
    if len(text) > _YAML_BYTES:
        return
    text = text.replace("\r\n", "\n")
    lines, start = _Lines(text), 0
    for dashes in _YAML_DASHES.finditer(text):
        yield from _yaml_document(text[start : dashes.start()], lines.at(start), kind)
        start = dashes.end()
    yield from _yaml_document(text[start:], lines.at(start), kind)


def _yaml_document(document: str, first: int, kind: str | None) -> Iterator[Item]:
    found = _YAML_LIST.search(document)
    if found is None:
        if len(document) <= _YAML_DOCUMENT:
            yield from _flattened(_yaml(document), document, first, None, kind)
        return
    begin = found.end()
    # After the last item come the list's own fields.
    tail = _YAML_FIELD.search(document, begin)
    end = tail.start() if tail is not None else len(document)
    frame = document[: found.start()] + document[end:]
    listed = _YAML_LIST_KIND.search(frame)
    of = listed[1] if listed is not None else None
    separator = re.compile(rf"^{found['indent'] or ''}- ", re.MULTILINE)
    starts = [match.start() for match in separator.finditer(document, begin, end)]
    lines, large = _Lines(document), len(document) > _YAML_DOCUMENT
    for start, stop in zip(starts, [*starts[1:], end], strict=False):
        item = document[start:stop]
        named = _YAML_KIND.search(item)
        if len(item) > _YAML_DOCUMENT or (large and named is not None and named[1] in _DULL):
            continue
        body = item.replace("- ", "  ", 1)
        yield from _flattened(_yaml(body), item, first + lines.at(start) - 1, of, kind)
    if of and not (large and of in _DULL):
        yield Item({"kind": of + "List"}, "", first, of)


def _yaml(text: str) -> Any:
    """The value, or None for what is none or would cost more than it can be worth."""
    if too_deep(text):
        return None
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader
    except (yaml.YAMLError, RecursionError, ValueError, TypeError, AttributeError, OverflowError):
        # Besides its own errors, PyYAML lets through what dates, numbers and keys raise that are none.
        return None


def too_deep(text: str) -> bool:
    """Would the C parser need more stack than there is?"""
    if max((len(lead[0]) for lead in _LEAD.finditer(text)), default=0) > _YAML_INDENT:
        return True
    depth = 0
    for bracket in _FLOW.finditer(text):
        depth = depth + 1 if bracket[0] in "[{" else max(0, depth - 1)
        if depth > _YAML_FLOW:
            return True
    return False


class _Budget:
    """A value read from N characters has at most N parts. With more, something refers to itself or to others over and over."""

    def __init__(self, parts: int) -> None:
        self.left = parts

    def spend(self) -> bool:
        self.left -= 1
        return self.left >= 0


def _plain(value: Any, budget: _Budget, depth: int = 0) -> Any:
    """The object as expressions may see it: no integers beyond 64 bits, no bottomless nesting, no dates of YAML, no managedFields."""
    if not budget.spend():
        return None
    if isinstance(value, dict):
        if depth >= _DEPTH:
            return {}
        return {
            (key if isinstance(key, str) else str(key)): _plain(inner, budget, depth + 1)
            for key, inner in value.items()
            if key != "managedFields"
        }
    if isinstance(value, list):
        return [_plain(inner, budget, depth + 1) for inner in value] if depth < _DEPTH else []
    if isinstance(value, str):
        # Half a surrogate pair is allowed in JSON and cannot be printed.
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if isinstance(value, bool) or value is None or isinstance(value, float):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else float(value) if abs(value) < 2**1000 else str(value)[:100]
    return str(value)[:1000]
