"""What is wrong with the cluster that this folder, archive or file came from?"""

from collections.abc import Callable, Sequence
from pathlib import Path

from rancher_ext.bundle.bundle import Bundle
from rancher_ext.evidence.archive import open_bundle
from rancher_ext.evidence.readers import read_facts
from rancher_ext.signatures.match import Diagnosis, diagnose
from rancher_ext.signatures.schema import Signature


def analyze(path: Path | str, signatures: Sequence[Signature], mask: Callable[[str], str] | None = None) -> Diagnosis:
    """Open, read, match. Raises BadInput for a path that cannot be read safely.

    What others collected was never redacted: `mask` (a Redactor's `text`) is applied to every line that a finding quotes.
    """
    diagnosis = diagnose_bundle(open_bundle(path), signatures)
    return diagnosis if mask is None else diagnosis.masked(mask)


def diagnose_bundle(bundle: Bundle, signatures: Sequence[Signature]) -> Diagnosis:
    """Read the facts of a bundle that is already at hand, and match."""
    return diagnose(bundle, signatures, read_facts(bundle))
