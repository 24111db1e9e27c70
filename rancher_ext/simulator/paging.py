"""Which objects does one page of a list show?

Kubernetes 1.32: every page of a list shows the instant of the first, whatever is written in between; the token says which
instant that was and after which key to go on. Once that instant is compacted away the token is answered with 410 and with
another token, whose pages show the present ("inconsistent continue"). The same holds for a list of an exact version.
"""

import base64
import binascii
import bisect
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from rancher_ext.simulator import status
from rancher_ext.simulator.selectors import Match

Json = dict[str, Any]
Key = tuple[str, str]  # namespace ("" when there is none), name

PRESENT = -1  # the version in a token that gave up its instant
_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without the "
    "continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing "
    "with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the "
    "time the first chunk was returned and now may show up in the list."
)


class Stored(Protocol):
    @property
    def obj(self) -> Json: ...


class Changed(Protocol):
    @property
    def obj(self) -> Json: ...

    @property
    def previous(self) -> Json | None: ...


E = TypeVar("E", bound=Stored)


@dataclass(frozen=True, slots=True)
class Token:
    """Where a list goes on: at which version, after which key."""

    version: int
    after: Key

    def encoded(self) -> str:
        content = {"v": "meta.k8s.io/v1", "rv": self.version, "start": list(self.after)}
        return base64.urlsafe_b64encode(json.dumps(content, separators=(",", ":")).encode()).decode()

    @classmethod
    def decoded(cls, text: str) -> "Token":
        try:
            content = json.loads(base64.urlsafe_b64decode(text))
            return cls(int(content["rv"]), (str(content["start"][0]), str(content["start"][1])))
        except (ValueError, KeyError, TypeError, IndexError, binascii.Error):
            raise status.bad_request("continue key is not valid") from None

    def too_old(self) -> status.ApiStatus:
        return status.expired(_TOO_OLD, go_on=Token(PRESENT, self.after).encoded())


def key_of(obj: Json) -> Key:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def as_it_was(now: Mapping[Key, E], changes: Iterable[Changed]) -> dict[Key, E | Json]:
    """The objects before these changes (oldest first), those of before as plain objects."""
    found: dict[Key, E | Json] = dict(now)
    seen: set[Key] = set()
    for change in changes:
        key = key_of(change.obj)
        if key in seen:
            continue
        seen.add(key)
        if change.previous is None:
            found.pop(key, None)
        else:
            found[key] = change.previous
    return found


def cut(
    keys: list[Key], objects: Mapping[Key, E], namespace: str, matches: list[Match], limit: int, after: Key | None
) -> tuple[list[E], Key | None, int]:
    """One page of sorted keys: what is on it, the key to go on after (None at the end), how many are left."""
    start = bisect.bisect_left(keys, (namespace, "")) if namespace else 0
    stop = bisect.bisect_left(keys, (namespace + "\0", "")) if namespace else len(keys)
    if after is not None:
        start = max(start, bisect.bisect_right(keys, after))
    found: list[E] = []
    for at in range(start, stop):
        entry = objects[keys[at]]
        if matches and not all(match(entry.obj) for match in matches):
            continue
        found.append(entry)
        if limit > 0 and len(found) == limit:
            return found, (keys[at] if at + 1 < stop else None), stop - at - 1
    return found, None, 0
