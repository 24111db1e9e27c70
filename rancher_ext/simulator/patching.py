"""What does an object look like after a patch?

JSON Merge Patch (RFC 7386), JSON Patch (RFC 6902) and strategic merge, on plain JSON values. They return new values and
never change their arguments. As in kube-apiserver 1.32:

- A JSON Patch that cannot be applied is a 422 with one fixed sentence, whichever of its steps it was and whether the
  operation exists at all; only what is no list of operations is a 400.
- `test` for null holds where nothing is. A patch whose result is no object leaves the object as it is.
- A strategic merge joins lists of objects by the key that the kind's type declares (containers by name, conditions by
  type) and puts what is new in front; taints and tolerations declare none and are replaced. Simplified: keys are known
  by the field's name alone; of the directives `$patch: delete` and `$patch: replace` are known, of the others none.
"""

import copy
from typing import Any

from rancher_ext.simulator.status import ApiStatus, bad_request, failed_patch

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
        raise failed_patch()
    return [t.replace("~1", "/").replace("~0", "~") for t in pointer.split("/")[1:]]


def _index(items: list[Any], token: str, *, end: bool) -> int:
    if end and token == "-":  # noqa: S105 - a step of a path
        return len(items)
    if not token.isdigit() or int(token) > len(items) - (0 if end else 1):
        raise failed_patch()
    return int(token)


def _walk(document: Any, tokens: list[str]) -> Any:
    for token in tokens:
        if isinstance(document, dict) and token in document:
            document = document[token]
        elif isinstance(document, list):
            document = document[_index(document, token, end=False)]
        else:
            raise failed_patch()
    return document


def _add(document: Any, pointer: str, value: Any) -> Any:
    tokens = _tokens(pointer)
    if not tokens:
        return value
    parent = _walk(document, tokens[:-1])
    if isinstance(parent, list):
        parent.insert(_index(parent, tokens[-1], end=True), value)
    elif isinstance(parent, dict):
        parent[tokens[-1]] = value
    else:
        raise failed_patch()
    return document


def _remove(document: Any, pointer: str) -> Any:
    tokens = _tokens(pointer)
    if not tokens:
        raise failed_patch()
    parent = _walk(document, tokens[:-1])
    last = tokens[-1]
    if isinstance(parent, list):
        return parent.pop(_index(parent, last, end=False))
    if not isinstance(parent, dict) or last not in parent:
        raise failed_patch()
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
    tokens = _tokens(step.get("path"))
    wanted = step.get("value")
    try:
        found = _walk(document, tokens)
    except ApiStatus:
        # The original accepts `null` for a path that is not there.
        if wanted is None:
            return
        raise
    if not _same(found, wanted):
        raise failed_patch()


def json_patch(document: Json, steps: Any) -> Json:
    if not isinstance(steps, list) or not all(isinstance(s, dict) for s in steps):
        found = "object" if isinstance(steps, dict) else "array" if isinstance(steps, list) else "value"
        raise bad_request(
            f"error decoding patch: json: cannot unmarshal {found} into Go value of type []handlers.jsonPatchOp"
        )
    result: Any = copy.deepcopy(document)
    for step in steps:
        op, pointer = step.get("op"), step.get("path")
        if op == "test":
            _test(result, step)
        elif op == "add":
            result = _add(result, pointer, copy.deepcopy(step.get("value")))
        elif op == "replace":
            tokens = _tokens(pointer)
            _walk(result, tokens)
            parent = _walk(result, tokens[:-1]) if tokens else None
            if isinstance(parent, list):
                parent[int(tokens[-1])] = copy.deepcopy(step.get("value"))
            else:
                result = _add(result, pointer, copy.deepcopy(step.get("value")))
        elif op == "remove":
            _remove(result, pointer)
        elif op in {"move", "copy"}:
            source = step.get("from")
            value = copy.deepcopy(_walk(result, _tokens(source)))
            if op == "move":
                _remove(result, str(source))
            result = _add(result, pointer, value)
        else:
            raise failed_patch()
    return result if isinstance(result, dict) else document


# By which key a list's items are joined, by the name of the field the list is in.
_MERGE_KEYS = {
    "addresses": "type",
    "conditions": "type",
    "containers": "name",
    "env": "name",
    "ephemeralContainers": "name",
    "hostAliases": "ip",
    "imagePullSecrets": "name",
    "initContainers": "name",
    "ownerReferences": "uid",
    "ports": "containerPort",
    "volumeDevices": "devicePath",
    "volumeMounts": "mountPath",
    "volumes": "name",
}


def strategic_merge(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    if patch.get("$patch") == "replace":
        return {key: copy.deepcopy(value) for key, value in patch.items() if key != "$patch"}
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif key in _MERGE_KEYS and isinstance(value, list) and isinstance(result.get(key), list):
            result[key] = _merge_lists(result[key], value, _MERGE_KEYS[key])
        elif key == "finalizers" and isinstance(value, list):
            old = result.get(key) or []
            result[key] = [*(each for each in value if each not in old), *old]
        else:
            result[key] = strategic_merge(result.get(key), value)
    return result


def _merge_lists(old: list[Any], patch: list[Any], by: str) -> list[Any]:
    merged, new = list(old), []
    for item in patch:
        if not isinstance(item, dict) or by not in item:
            raise bad_request(f"map: {item} does not contain declared merge key: {by}")
        place = next((i for i, each in enumerate(merged) if each.get(by) == item[by]), None)
        if item.get("$patch") == "delete":
            if place is not None:
                del merged[place]
        elif place is None:
            new.append(strategic_merge({}, item))
        else:
            merged[place] = strategic_merge(merged[place], item)
    return new + merged
