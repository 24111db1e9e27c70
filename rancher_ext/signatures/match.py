"""What is wrong with this cluster, how sure is that, and what shows it?

`diagnose` matches every signature against one bundle and ranks what it finds: causes before their symptoms, then the surer
ones, then the more specific ones. No finding is made of unknowns alone, and none without a line of evidence.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from rancher_ext.bundle.bundle import Bundle
from rancher_ext.bundle.evidence import CollectorReport
from rancher_ext.bundle.facts import ClusterFacts, Facts, Place
from rancher_ext.bundle.origin import workload_of_pod
from rancher_ext.bundle.truth import Truth
from rancher_ext.fleet.versions import Version, VersionRange
from rancher_ext.signatures.predicates import Evaluator, Outcome
from rancher_ext.signatures.scan import Scanner
from rancher_ext.signatures.schema import (
    AbsentPredicate,
    AgePredicate,
    AnyPredicate,
    Applies,
    Cause,
    ConditionPredicate,
    CountPredicate,
    DaemonSetPredicate,
    EventPredicate,
    LogPredicate,
    NodePredicate,
    ObjectPredicate,
    PodPredicate,
    Signature,
    TextPredicate,
    Verdict,
)

SCHEMA = 1

# How unknowns and supports move confidence. Measured on the labelled cases: the order of findings hardly depends on the exact
# figures, so they stay round.
_SUPPORT_CLOSES = 0.3
_CEILING = 0.99
_DOUBTFUL_ORIGIN = 0.85
_PASSED_UNKNOWN = 0.9
_UNKNOWN_EXCLUSION = 0.97
_DOUBTFUL_EXCLUSION = 0.7
_CONTRADICTED = 0.6
# Below this a finding is a hint: it neither makes a verdict nor outranks what it would explain.
_HINT = 0.3
_LINES = 8

_OTHER_CNIS = frozenset({"calico", "cilium", "other"})


@dataclass(frozen=True)
class EvidenceLine:
    source: str
    line: int
    text: str

    def to_json(self) -> dict[str, Any]:
        return {"source": self.source, "line": self.line, "text": self.text}


@dataclass(frozen=True)
class Finding:
    """A signature that matched. `missing` is what would make one surer."""

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

    @property
    def best(self) -> Finding | None:
        return self.findings[0] if self.findings else None

    def masked(self, mask: Callable[[str], str]) -> "Diagnosis":
        """The same diagnosis with every quoted line passed through `mask`: foreign bundles were never redacted."""
        findings = tuple(
            replace(finding, evidence=tuple(replace(line, text=mask(line.text)) for line in finding.evidence))
            for finding in self.findings
        )
        return replace(self, findings=findings)

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
        "explainedBy": finding.explained_by,
        "missing": list(finding.missing),
        "playbook": playbook[0] if playbook else None,
        "risk": playbook[1] if playbook else None,
        "references": list(finding.references),
    }


def diagnose(bundle: Bundle, signatures: Sequence[Signature], facts: Facts | None = None) -> Diagnosis:
    """Match all signatures against one bundle. Without `facts` only text is known: patterns work, expressions are unknown."""
    facts = Facts() if facts is None else facts
    signatures = tuple(signatures)
    evaluator = Evaluator(bundle, facts, _scanner(signatures), _all_predicates(signatures))
    matched = [finding for signature in signatures if (finding := _match(signature, evaluator, facts)) is not None]
    findings = _ranked(matched, {signature.id: signature for signature in signatures})
    verdict, summary = _verdict(findings, facts)
    return Diagnosis(
        verdict=verdict,
        cluster=facts.cluster,
        findings=findings,
        collectors=tuple(bundle.collectors),
        summary=summary,
        missing=_missing_evidence(facts) if verdict is Verdict.UNKNOWN else (),
    )


@lru_cache(maxsize=4)
def _scanner(signatures: tuple[Signature, ...]) -> Scanner:
    """Compiling a few hundred patterns takes longer than reading most bundles."""
    patterns: list[str] = []
    for predicate in _all_predicates(signatures):
        if isinstance(predicate, LogPredicate):
            patterns += predicate.log
        elif isinstance(predicate, TextPredicate):
            patterns += predicate.text
    return Scanner(patterns)


@lru_cache(maxsize=4)
def _all_predicates(signatures: tuple[Signature, ...]) -> tuple[AnyPredicate, ...]:
    return tuple(predicate for signature in signatures for predicate in signature.predicates())


def _match(signature: Signature, evaluator: Evaluator, facts: Facts) -> Finding | None:
    if applies(signature.applies, facts) is Truth.FALSE or _too_young(signature, facts):
        return None
    confidence = signature.confidence
    missing: list[str] = []
    shown: list[Outcome] = []

    for predicate in signature.when.all:
        outcome = evaluator.evaluate(predicate)
        if outcome.truth is Truth.UNKNOWN and predicate.if_unknown == "match":
            confidence *= _PASSED_UNKNOWN
            missing.append(wording(predicate))
        elif outcome.truth is not Truth.TRUE:
            return None
        else:
            shown.append(outcome)
    if signature.when.any:
        fitting = [o for p in signature.when.any if (o := evaluator.evaluate(p)).truth is Truth.TRUE]
        if not fitting:
            return None
        shown += fitting
    for predicate in signature.when.none:
        outcome = evaluator.evaluate(predicate)
        if outcome.truth is Truth.TRUE and outcome.certain:
            return None
        if outcome.truth is Truth.TRUE:
            confidence *= _DOUBTFUL_EXCLUSION
        elif outcome.truth is Truth.UNKNOWN:
            confidence *= _UNKNOWN_EXCLUSION
            missing.append(wording(predicate))

    proof = [outcome for outcome in shown if outcome.evidence]
    if not proof:
        return None
    if not any(outcome.certain for outcome in proof):
        confidence *= _DOUBTFUL_ORIGIN
        missing.append("where the pasted lines come from")
    supporting = [o for p in signature.supports if (o := evaluator.evaluate(p)).truth is Truth.TRUE]
    for _ in supporting:
        confidence += (_CEILING - confidence) * _SUPPORT_CLOSES
    against = sum(evaluator.evaluate(p).truth is Truth.TRUE for p in signature.contradicts)
    confidence *= _CONTRADICTED**against
    return Finding(
        signature=signature.id,
        cause=signature.cause,
        verdict=signature.says,
        severity=signature.severity,
        confidence=round(min(confidence, _CEILING), 3),
        title=signature.title,
        evidence=_lines(proof + supporting),
        because=signature.because,
        advice=signature.advice,
        references=signature.references,
        missing=tuple(dict.fromkeys([*missing, *signature.surer_with])),
        specificity=len(signature.when.all) + len(signature.when.none) + len(supporting),
    )


def applies(where: Applies, facts: Facts) -> Truth:
    """Is this signature about such a cluster? False only on a value that is known."""
    cluster = facts.cluster
    checks = [Truth.TRUE]
    if where.distributions is not None:
        known = cluster.distribution
        checks.append(Truth.of(None if known == "unknown" else known in where.distributions))
    if where.cni is not None:
        checks.append(Truth.of(None if cluster.cni == "unknown" else cluster.cni in where.cni))
    if where.kubernetes is not None:
        checks.append(_in_ranges(cluster.kubernetes, where.kubernetes))
    if where.rancher is not None:
        checks.append(_in_ranges(cluster.rancher, where.rancher))
    if where.os is not None:
        systems = {node.os for node in facts.nodes}
        checks.append(Truth.of(None if None in systems or not systems else bool(systems & set(where.os))))
    return Truth.all(checks)


def _in_ranges(text: str, ranges: Iterable[str]) -> Truth:
    version = Version.parse(text)
    if version is None:
        return Truth.UNKNOWN
    return Truth.of(any(_range(wanted).contains(version) for wanted in ranges))


@lru_cache(maxsize=512)
def _range(text: str) -> VersionRange:
    return VersionRange.parse(text)


def _too_young(signature: Signature, facts: Facts) -> bool:
    ages = [node.age for node in facts.nodes]
    known = [age for age in ages if age is not None]
    return bool(signature.minutes and known and len(known) == len(ages) and max(known) < signature.minutes * 60)


def _lines(outcomes: Iterable[Outcome]) -> tuple[EvidenceLine, ...]:
    places: dict[tuple[str, int], Place] = {}
    for outcome in outcomes:
        for place in outcome.evidence:
            places.setdefault((place.source, place.line), place)
    return tuple(EvidenceLine(p.source, p.line, p.text.strip()) for p in list(places.values())[:_LINES])


def _ranked(found: Sequence[Finding], signatures: dict[str, Signature]) -> tuple[Finding, ...]:
    explained: dict[str, str] = {}
    for finding in sorted(found, key=lambda f: -f.confidence):
        if finding.confidence < _HINT:
            continue
        for symptom in signatures[finding.signature].explains:
            # Two that explain each other explain nothing; the linter says so, too.
            if finding.signature not in signatures.get(symptom, signatures[finding.signature]).explains:
                explained.setdefault(symptom, finding.signature)
    named = [replace(finding, explained_by=explained.get(finding.signature)) for finding in found]
    return tuple(sorted(named, key=lambda f: (f.explained_by is not None, -f.confidence, -f.specificity, f.signature)))


def _verdict(findings: Sequence[Finding], facts: Facts) -> tuple[Verdict, str]:
    best = findings[0] if findings else None
    if best is not None and best.confidence >= _HINT:
        if best.verdict is Verdict.CNI_FAILURE and facts.cluster.cni in _OTHER_CNIS:
            return (
                Verdict.OTHER_FAILURE,
                f"{best.title} (the cluster's network is {facts.cluster.cni}, not Flannel or Canal)",
            )
        return best.verdict, best.title
    if (healthy := _healthy(facts)) is not None:
        return Verdict.HEALTHY, healthy
    if best is not None:
        return Verdict.UNKNOWN, f"A hint, too weak to be a finding: {best.title}"
    return Verdict.UNKNOWN, "No known failure was found, and the evidence does not show that all is well"


def _healthy(facts: Facts) -> str | None:
    """Positive proof that the network is up: every node Ready, and every CNI pod ready (K3s has none)."""
    cni_pods = [pod for pod in facts.pods if workload_of_pod(pod.name) == "cni"]
    cni_sets = [d for d in facts.daemonsets if workload_of_pod(d.name) == "cni"]
    if not facts.nodes or any(node.ready != "True" for node in facts.nodes):
        return None
    if any(not pod.all_ready for pod in cni_pods) or any(not d.desired or d.ready != d.desired for d in cni_sets):
        return None
    if not cni_pods and not cni_sets and facts.cluster.distribution != "k3s":
        return None
    if any(c.of == "cluster" and c.type in {"Ready", "Connected"} and c.status != "True" for c in facts.conditions):
        return None
    parts = [f"{len(facts.nodes)} of {len(facts.nodes)} nodes Ready"]
    if cni_pods:
        parts.append(f"{len(cni_pods)} of {len(cni_pods)} CNI pods ready")
    return ", ".join(parts)


def _missing_evidence(facts: Facts) -> tuple[str, ...]:
    has_cni_log = any(origin.workload == "cni" for origin in facts.origins.values())
    wanted = (
        (facts.nodes, "the nodes with their conditions (kubectl get nodes -o yaml)"),
        (facts.pods, "the pods of kube-system and kube-flannel (kubectl get pods -A -o wide)"),
        (has_cni_log or facts.cluster.distribution == "k3s", "the logs of the Flannel or Canal pods, all containers"),
        (facts.events, "the events (kubectl get events -A)"),
        (facts.conditions, "the conditions of the cluster and its machines in Rancher"),
    )
    return tuple(name for present, name in wanted if not present)


def wording(predicate: AnyPredicate) -> str:
    """What evidence a predicate would need, for people."""
    match predicate:
        case LogPredicate():
            sources = {
                " ".join([*(f.container or ()), *(f.unit or ()), *(w.value for w in f.workload or ())])
                for f in predicate.from_ or ()
            }
            return f"the log of {' or '.join(sorted(sources)) or 'the component'}"
        case TextPredicate():
            return f"{' or '.join(predicate.in_ or ('more text',))}"
        case ConditionPredicate():
            return f"the conditions of the {'cluster' if predicate.condition.of == 'any' else predicate.condition.of}"
        case EventPredicate():
            return "the events" + (f" of {' and '.join(predicate.event.kind)} objects" if predicate.event.kind else "")
        case AbsentPredicate():
            return wording(predicate.absent)
        case CountPredicate():
            return wording(predicate.count.of)
        case ObjectPredicate():
            return f"the {predicate.object.kind} objects"
        case AgePredicate():
            return f"the age of the {predicate.age.of}s"
        case NodePredicate():
            return "the node objects"
        case PodPredicate():
            return "the pod objects"
        case DaemonSetPredicate():
            return "the DaemonSets"
