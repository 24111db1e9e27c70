"""Which clusters does this webhook speak of? One file per format, each ending in a value `PAYLOAD`.

A payload is never believed: it names clusters, and each of them is read afresh. So a forged one can at most make us look.
"""

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

# In this order: the first of them that an alert carries names its cluster.
CLUSTER_LABELS = ("cluster_id", "cluster", "cluster_name")


@dataclass(frozen=True)
class Payload:
    """A format by its name, which is also the last part of its address: `POST /hooks/<name>`.

    `clusters(document, labels)` gives ids or display names of clusters, each once, in the order in which they appear; raises BadInput
    for a document that is not of this format.
    """

    name: str
    clusters: Callable[[Any, Sequence[str]], tuple[str, ...]]
    title: str = ""


def gather() -> dict[str, Payload]:
    """All formats by name, in file order. Raises ValueError when two files claim one name."""
    found: dict[str, tuple[str, Payload]] = {}
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        if module.name.startswith("_"):
            continue
        file = f"payloads/{module.name}.py"
        payload = getattr(importlib.import_module(f"{__name__}.{module.name}"), "PAYLOAD", None)
        if not isinstance(payload, Payload):
            raise TypeError(f"{file} has to end in `PAYLOAD = Payload(…)`")
        if payload.name in found:
            raise ValueError(f"{found[payload.name][0]} and {file} both define the payload {payload.name!r}")
        found[payload.name] = (file, payload)
    return {name: payload for name, (_, payload) in found.items()}
