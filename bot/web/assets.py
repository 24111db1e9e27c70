"""Which files do pages load? Those under `static/`, read once; a name is looked up and never becomes a path."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_MEDIA_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


@dataclass(frozen=True)
class Asset:
    content: bytes
    media_type: str
    tag: str


def find(name: str) -> Asset | None:
    return _all().get(name)


@cache
def _all() -> Mapping[str, Asset]:
    found = {}
    for file in sorted((Path(__file__).parent / "static").iterdir()):
        if file.suffix in _MEDIA_TYPES:
            content = file.read_bytes()
            tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
            found[file.name] = Asset(content, _MEDIA_TYPES[file.suffix], tag)
    return found
