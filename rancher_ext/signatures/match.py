"""What is wrong with this cluster, how sure is that, and what shows it?

`diagnose` matches every signature against one bundle and ranks what it finds: causes before their symptoms, then the surer
ones, then the more specific ones. No finding is made of unknowns alone, and none without a line of evidence.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from rancher_ext.bundle.bundle import Bundle
from rancher_ext.bundle.facts import Facts, Place
from rancher_ext.bundle.truth import Truth
from rancher_ext.fleet.versions import Version, VersionRange
from rancher_ext.signatures.diagnosis import Diagnosis, EvidenceLine, Finding, Undecided
from rancher_ext.signatures.grouping import affected
from rancher_ext.signatures.predicate_schema import AnyPredicate, LogPredicate, TextPredicate
from rancher_ext.signatures.predicates import Evaluator, Outcome
from rancher_ext.signatures.scan import Scanner
from rancher_ext.signatures.schema import Applies, Signature, Verdict
from rancher_ext.signatures.timeline import timeline
from rancher_ext.signatures.up import cni_pods, network_up
from rancher_ext.signatures.wishes import wish

__all__ = ["Diagnosis", "EvidenceLine", "Finding", "Undecided", "diagnose", "match", "ranked", "read_once"]

# How unknowns and supports move confidence. Measured on the labelled cases: the order of findings hardly depends on the exact
# figures, so they stay round.
_SUPPORT_CLOSES = 0.3
_CEILING = 0.99
_DOUBTFUL_ORIGIN = 0.85
_PASSED_UNKNOWN = 0.9
_UNKNOWN_EXCLUSION = 0.97
_DOUBTFUL_EXCLUSION = 0.7
_CONTRADICTED = 0.6
# The network is up, and this failure would keep it down: what the logs tell is over.
_OVER = 0.3
# Below this a finding is a hint: it neither makes a verdict nor outranks what it would explain.
_HINT = 0.3
# Findings that are no further apart than this are not decided between.
_RIVAL = 0.1
_LINES = 8
# Wishes that come from predicates nobody could answer.
_WISHES = 3

_OTHER_CNIS = frozenset({"calico", "cilium", "other"})


def diagnose(bundle: Bundle, signatures: Sequence[Signature], facts: Facts | None = None) -> Diagnosis:
    """Match all signatures against one bundle. Without `facts` only text is known: patterns work, expressions are unknown."""
    facts = Facts() if facts is None else facts
    evaluator = read_once(bundle, signatures, facts)
    matched = [found for signature in signatures if (found := match(signature, evaluator, facts)) is not None]
    findings = ranked(matched, {signature.id: signature for signature in signatures})
    verdict, summary = _verdict(findings, facts)
    dated = [(finding.signature, [_place(line) for line in finding.evidence]) for finding in findings]
    return Diagnosis(
        verdict=verdict,
        cluster=facts.cluster,
        findings=findings,
        collectors=tuple(bundle.collectors),
        summary=summary,
        missing=_missing_evidence(facts) if verdict is Verdict.UNKNOWN else (),
        undecided=undecided(findings),
        timeline=timeline(dated, facts, evaluator.seen.collected_at),
    )


def read_once(bundle: Bundle, signatures: Sequence[Signature], facts: Facts) -> Evaluator:
    """The one pass over the bundle's text: afterwards every predicate of these signatures has its answer at hand."""
    whole = tuple(signatures)
    return Evaluator(bundle, facts, _scanner(whole), _all_predicates(whole))


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


def match(signature: Signature, evaluator: Evaluator, facts: Facts) -> Finding | None:
    """What one signature says about a bundle that was read; None when it does not fit."""
    if applies(signature.applies, facts) is Truth.FALSE or _too_young(signature, facts):
        return None
    confidence = signature.confidence
    needed_open: list[AnyPredicate] = []
    helpful_open: list[AnyPredicate] = []
    shown: list[tuple[AnyPredicate, Outcome]] = []

    for predicate in signature.when.all:
        outcome = evaluator.evaluate(predicate)
        if outcome.truth is Truth.UNKNOWN and predicate.if_unknown == "match":
            confidence *= _PASSED_UNKNOWN
            needed_open.append(predicate)
        elif outcome.truth is not Truth.TRUE:
            return None
        else:
            shown.append((predicate, outcome))
    needed = [predicate for predicate, _ in shown]
    fitting = [(p, o) for p in signature.when.any if (o := evaluator.evaluate(p)).truth is Truth.TRUE]
    if signature.when.any and not fitting:
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
            needed_open.append(predicate)

    proof = [outcome for _, outcome in shown if outcome.evidence]
    if not proof:
        return None
    doubtful = not any(outcome.certain for outcome in proof)
    if doubtful:
        confidence *= _DOUBTFUL_ORIGIN
    supporting: list[Outcome] = []
    for predicate in signature.supports:
        outcome = evaluator.evaluate(predicate)
        if outcome.truth is Truth.TRUE:
            supporting.append(outcome)
            confidence += (_CEILING - confidence) * _SUPPORT_CLOSES
        elif outcome.truth is Truth.UNKNOWN:
            helpful_open.append(predicate)
    against: list[Outcome] = []
    for predicate in signature.contradicts:
        outcome = evaluator.evaluate(predicate)
        if outcome.truth is Truth.TRUE:
            against.append(outcome)
            confidence *= _CONTRADICTED
        elif outcome.truth is Truth.UNKNOWN:
            helpful_open.append(predicate)
    over: tuple[Place, ...] = ()
    if signature.keeps_network_down and (over := network_up(facts)):
        confidence *= _OVER
    missing = ["where the pasted lines come from"] if doubtful else []
    missing += _wished(needed_open, evaluator, facts)
    missing += signature.surer_with
    missing += _wished(helpful_open, evaluator, facts)
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
        missing=tuple(dict.fromkeys(missing)),
        specificity=len(signature.when.all) + len(signature.when.none) + len(supporting),
        against=_lines([*against, Outcome(Truth.TRUE, evidence=over)]),
        affected=affected(evaluator.seen, needed, [p for p, _ in fitting], facts.nodes),
    )


def _wished(open_: Iterable[AnyPredicate], evaluator: Evaluator, facts: Facts) -> list[str]:
    wishes = (wish(predicate, facts.cluster.distribution, evaluator.collectors) for predicate in open_)
    return list(dict.fromkeys(wishes))[:_WISHES]


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
    return tuple(EvidenceLine.of(place) for place in list(places.values())[:_LINES])


def _place(line: EvidenceLine) -> Place:
    return Place(line.source, line.line, line.text)


def ranked(found: Sequence[Finding], signatures: Mapping[str, Signature]) -> tuple[Finding, ...]:
    """Best first: causes before what they explain, then the surer ones, then the more specific ones."""
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


def undecided(findings: Sequence[Finding]) -> Undecided | None:
    """The causes among which this evidence does not choose, and why; None when the best one stands alone."""
    best = findings[0] if findings else None
    if best is None or best.confidence < _HINT:
        return None
    lines = {(line.source, line.line) for line in best.evidence}
    rivals = [
        finding
        for finding in findings[1:]
        if finding.explained_by is None
        and finding.confidence >= max(_HINT, best.confidence - _RIVAL)
        # Two ways to say one cause are no question, unless they read the same words as different failures.
        and (finding.cause is not best.cause or {(line.source, line.line) for line in finding.evidence} == lines)
    ]
    if not rivals:
        return None
    first = rivals[0]
    shared = lines & {(line.source, line.line) for line in first.evidence}
    if shared == lines:
        why = "both rest on the same lines"
    elif shared:
        why = "they share lines of evidence, and each has lines of its own"
    else:
        why = "each has lines of its own, and neither follows from the other; both may be true"
    telling = list(dict.fromkeys([*best.missing[:2], *first.missing[:2]]))[:2]
    if telling:
        why += f". What would tell: {'; '.join(telling)}"
    return Undecided((best.signature, *(rival.signature for rival in rivals)), why)


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
    """Positive proof that the network is up, and that Rancher does not say otherwise."""
    if not network_up(facts):
        return None
    if any(c.of == "cluster" and c.type in {"Ready", "Connected"} and c.status != "True" for c in facts.conditions):
        return None
    parts = [f"{len(facts.nodes)} of {len(facts.nodes)} nodes Ready"]
    if pods := cni_pods(facts):
        parts.append(f"{len(pods)} of {len(pods)} CNI pods ready")
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
