"""What does an object look like after a patch?

JSON Merge Patch (RFC 7386) and JSON Patch (RFC 6902), on plain JSON values. Both return new values and never change
their arguments. Strategic merge is simplified to merge patch for built-in kinds (lists are replaced as a whole).
"""

import copy
from typing import Any

from rancher_ext.simulator.status import bad_request, failed_patch

Json = dict[str, Any]


def merge_patch(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def _tokens(pointer: Any) -> list[str]:
    if not isinstance(pointer, str) or (pointer and not pointer.startswith("/")):
        raise bad_request(f"error decoding patch: JSON pointer must start with '/', found {pointer!r}")
    return [t.replace("~1", "/").replace("~0", "~") for t in pointer.split("/")[1:]]


def _index(items: list[Any], token: str, *, end: bool, pointer: str) -> int:
    if end and token == "-":  # noqa: S105 - a step of a path
        return len(items)
    if not token.isdigit() or int(token) > len(items) - (0 if end else 1):
        raise failed_patch(f"invalid array index in {pointer}: {token}")
    return int(token)


def _walk(document: Any, tokens: list[str], pointer: str, op: str) -> Any:
    for token in tokens:
        if isinstance(document, dict) and token in document:
            document = document[token]
        elif isinstance(document, list):
            document = document[_index(document, token, end=False, pointer=pointer)]
        else:
            raise failed_patch(f"{op} operation does not apply: doc is missing path: {pointer}: missing value")
    return document


def _add(document: Any, pointer: str, value: Any, op: str) -> Any:
    tokens = _tokens(pointer)
    if not tokens:
        return value
    parent = _walk(document, tokens[:-1], pointer, op)
    if isinstance(parent, list):
        parent.insert(_index(parent, tokens[-1], end=True, pointer=pointer), value)
    elif isinstance(parent, dict):
        parent[tokens[-1]] = value
    else:
        raise failed_patch(f"{op} operation does not apply: doc is missing path: {pointer}: missing value")
    return document


def _remove(document: Any, pointer: str, op: str) -> Any:
    tokens = _tokens(pointer)
    if not tokens:
        raise failed_patch(f"{op} operation does not apply: the whole document cannot be removed")
    parent = _walk(document, tokens[:-1], pointer, op)
    last = tokens[-1]
    if isinstance(parent, list):
        return parent.pop(_index(parent, last, end=False, pointer=pointer))
    if not isinstance(parent, dict) or last not in parent:
        raise failed_patch(f"{op} operation does not apply: Unable to remove nonexistent key: {last}: missing value")
    return parent.pop(last)


def _same(a: Any, b: Any) -> bool:
    """JSON equality: 1 and true differ, although Python finds them equal."""
    if isinstance(a, bool) is not isinstance(b, bool):
        return False
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def _test(document: Any, step: Json) -> None:
    pointer = step["path"]
    wanted = step.get("value")
    try:
        found = _walk(document, _tokens(pointer), pointer, "test")
    except Exception:
        # The original accepts `null` for a path that is not there.
        if wanted is None:
            return
        raise
    if not _same(found, wanted):
        raise failed_patch(f"testing path {pointer} failed: test failed")


def json_patch(document: Json, steps: Any) -> Json:
    if not isinstance(steps, list) or not all(isinstance(s, dict) and "op" in s and "path" in s for s in steps):
        raise bad_request("error decoding patch: json: a JSON Patch is a list of operations with op and path")
    result: Any = copy.deepcopy(document)
    for step in steps:
        op, pointer = step["op"], step["path"]
        if op == "test":
            _test(result, step)
        elif op == "add":
            result = _add(result, pointer, copy.deepcopy(step.get("value")), op)
        elif op == "replace":
            tokens = _tokens(pointer)
            _walk(result, tokens, pointer, op)
            parent = _walk(result, tokens[:-1], pointer, op) if tokens else None
            if isinstance(parent, list):
                parent[int(tokens[-1])] = copy.deepcopy(step.get("value"))
            else:
                result = _add(result, pointer, copy.deepcopy(step.get("value")), op)
        elif op == "remove":
            _remove(result, pointer, op)
        elif op in {"move", "copy"}:
            source = step.get("from")
            value = copy.deepcopy(_walk(result, _tokens(source), str(source), op))
            if op == "move":
                _remove(result, str(source), op)
            result = _add(result, pointer, value, op)
        else:
            raise bad_request(f"error decoding patch: unexpected kind: {op}")
    if not isinstance(result, dict):
        raise bad_request("error decoding patch: the result is not an object")
    return result
