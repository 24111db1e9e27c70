"""What does an analysis answer, and how does it look as JSON?"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from rancher_ext.bundle.evidence import CollectorReport
from rancher_ext.bundle.facts import ClusterFacts, Place
from rancher_ext.signatures.grouping import Affected
from rancher_ext.signatures.schema import Cause, Verdict
from rancher_ext.signatures.timeline import TimelineEntry

SCHEMA = 1


@dataclass(frozen=True)
class EvidenceLine:
    source: str
    line: int
    text: str

    @classmethod
    def of(cls, place: Place) -> "EvidenceLine":
        return cls(place.source, place.line, place.text.strip())

    def to_json(self) -> dict[str, Any]:
        return {"source": self.source, "line": self.line, "text": self.text}


@dataclass(frozen=True)
class Finding:
    """A signature that matched. `against` speaks for something else, `missing` is what would make one surer."""

    signature: str
    cause: Cause
    verdict: Verdict
    severity: str
    confidence: float
    title: str
    evidence: tuple[EvidenceLine, ...]
    because: str
    advice: str
    references: tuple[str, ...]
    missing: tuple[str, ...]
    explained_by: str | None = None
    specificity: int = 0
    against: tuple[EvidenceLine, ...] = ()
    affected: Affected | None = None


@dataclass(frozen=True)
class Undecided:
    """Causes between which this evidence does not decide, best first, and why it does not."""

    signatures: tuple[str, ...]
    why: str


# What a caller knows about the playbook for a finding: its id and its risk, or None.
Remedy = Callable[[Finding], tuple[str, str] | None]


@dataclass(frozen=True)
class Diagnosis:
    """The answer for one bundle; `findings` come best first."""

    verdict: Verdict
    cluster: ClusterFacts
    findings: tuple[Finding, ...]
    collectors: tuple[CollectorReport, ...] = ()
    summary: str = ""
    missing: tuple[str, ...] = ()
    undecided: Undecided | None = None
    timeline: tuple[TimelineEntry, ...] = ()

    @property
    def best(self) -> Finding | None:
        return self.findings[0] if self.findings else None

    def masked(self, mask: Callable[[str], str]) -> "Diagnosis":
        """The same diagnosis with every quoted line passed through `mask`: foreign bundles were never redacted."""

        def lines(quoted: tuple[EvidenceLine, ...]) -> tuple[EvidenceLine, ...]:
            return tuple(replace(line, text=mask(line.text)) for line in quoted)

        findings = tuple(
            replace(finding, evidence=lines(finding.evidence), against=lines(finding.against))
            for finding in self.findings
        )
        timeline = tuple(replace(entry, text=mask(entry.text)) for entry in self.timeline)
        return replace(self, findings=findings, timeline=timeline)

    def to_json(self, remedy: Remedy | None = None) -> dict[str, Any]:
        """The stable JSON of `analyze` and `diagnose`. Keys may be added, none goes or changes its meaning."""
        return {
            "schema": SCHEMA,
            "verdict": self.verdict.value,
            "cluster": {
                "id": self.cluster.id or None,
                "name": self.cluster.name or None,
                "distribution": self.cluster.distribution,
                "cni": self.cluster.cni,
                "kubernetes": self.cluster.kubernetes or None,
            },
            "summary": self.summary,
            "findings": [_finding_json(finding, remedy) for finding in self.findings],
            "undecided": None
            if self.undecided is None
            else {"signatures": list(self.undecided.signatures), "why": self.undecided.why},
            "timeline": [entry.to_json() for entry in self.timeline],
            "missing": list(self.missing),
            "collectors": [
                {"name": report.name, "status": report.status.value, "reason": report.reason}
                for report in self.collectors
            ],
        }


def _finding_json(finding: Finding, remedy: Remedy | None) -> dict[str, Any]:
    playbook = remedy(finding) if remedy is not None else None
    return {
        "signature": finding.signature,
        "cause": finding.cause.value,
        "confidence": finding.confidence,
        "title": finding.title,
        "severity": finding.severity,
        "because": finding.because,
        "advice": finding.advice,
        "evidence": [line.to_json() for line in finding.evidence],
        "against": [line.to_json() for line in finding.against],
        "affected": finding.affected.to_json() if finding.affected is not None else None,
        "explainedBy": finding.explained_by,
        "missing": list(finding.missing),
        "playbook": playbook[0] if playbook else None,
        "risk": playbook[1] if playbook else None,
        "references": list(finding.references),
    }
