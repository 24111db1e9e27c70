"""How good is the diagnosis on cases whose answer is known?

A case is a folder of evidence with a label `case.json` beside it; only the evidence is diagnosed.
"""

import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rancher_ext.bundle.bundle import Bundle
from rancher_ext.catalogue.analyze import diagnose_bundle
from rancher_ext.errors import BadInput
from rancher_ext.evidence.archive import open_bundle
from rancher_ext.signatures.schema import Cause, Signature
from rancher_ext.signatures.score import Label, Score, Scored, score

LABEL = "case.json"


def read_label(path: Path) -> Label:
    """Raises BadInput for a label that says no known cause."""
    try:
        value: Any = json.loads(path.read_text(encoding="utf-8"))
        return Label(name=path.parent.name, cause=Cause(value["cause"]), in_scope=bool(value["in_scope"]))
    except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise BadInput(
            f"{path}: is no label of a case: {error}",
            cure='Write for example {"cause": "rbac-forbidden", "in_scope": true}.',
        ) from error


def score_cases(roots: Path | Iterable[Path], signatures: Sequence[Signature]) -> Score:
    """Diagnose every labelled case below the folder, or folders, and compare. Raises BadInput where there is none."""
    labels = []
    for root in (roots,) if isinstance(roots, Path) else roots:
        found = sorted(root.glob(f"*/{LABEL}"))
        if not found:
            raise BadInput(
                f"{root}: holds no labelled case", cure=f"Give a folder of folders, each with evidence and a {LABEL}."
            )
        labels += found
    scored = []
    for path in labels:
        label, started = read_label(path), time.perf_counter()
        whole = open_bundle(path.parent)
        evidence = Bundle({name: whole[name] for name in whole if name != LABEL}, whole.manifest, whole.name)
        diagnosis = diagnose_bundle(evidence, signatures)
        scored.append(Scored(label, diagnosis, time.perf_counter() - started))
    return score(scored)
