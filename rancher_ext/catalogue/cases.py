"""How good is the diagnosis on cases whose answer is known?

A case is a folder of evidence with a label `case.json` beside it; only the evidence is diagnosed.
"""

import json
from collections.abc import Sequence
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


def score_cases(root: Path, signatures: Sequence[Signature]) -> Score:
    """Diagnose every labelled case below the folder and compare. Raises BadInput when there is none."""
    labels = sorted(root.glob(f"*/{LABEL}"))
    if not labels:
        raise BadInput(
            f"{root}: holds no labelled case", cure=f"Give a folder of folders, each with evidence and a {LABEL}."
        )
    scored = []
    for path in labels:
        whole = open_bundle(path.parent)
        evidence = Bundle({name: whole[name] for name in whole if name != LABEL}, whole.manifest, whole.name)
        scored.append(Scored(read_label(path), diagnose_bundle(evidence, signatures)))
    return score(scored)
