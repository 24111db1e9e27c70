"""May this plan run: by itself, after approval, as a dry run, or never?

`decide` is pure. More broken clusters, more running cures or a pause can only make its answer narrower, never wider.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.policy.approvals import Approval, valid_approvals
from bot.policy.schema import Need, Policy, Rule
from rancher_ext.remediation.action import Risk, UndoKind


@dataclass(frozen=True)
class Facts:
    """Everything a decision may rest on. `not_now` says why the cluster itself must not be written to at this moment."""

    risk: Risk
    undo: UndoKind
    cause: str
    signature: str
    digest: str
    labels: Mapping[str, str]
    initialized: bool
    mending_now: int
    paused: bool
    dry_run: bool
    failed_before: bool
    now: datetime
    not_now: str = ""
    approvals: Sequence[Approval] = ()


@dataclass(frozen=True)
class Allow:
    """It may run now. `by` names the people or the rule."""

    by: str
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class NeedsApproval:
    count: int
    given: int
    role: str
    reasons: tuple[str, ...] = ()

    @property
    def missing(self) -> int:
        return max(0, self.count - self.given)


@dataclass(frozen=True)
class Wait:
    """It may run, but not now: a brake holds it. Asking again later can bring another answer."""

    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Refuse:
    reasons: tuple[str, ...]


Decision = Allow | NeedsApproval | Wait | Refuse


def decide(policy: Policy, facts: Facts) -> Decision:
    """The first matching rule, else the default of the plan's risk; then the brakes."""
    if facts.dry_run:
        return Refuse(("Drover runs with DROVER_DRY_RUN: it plans and shows, and changes nothing",))
    if facts.labels.get(policy.opt_out, "false").lower() not in {"false", "no", "0"}:
        return Refuse((f"the cluster carries the label {policy.opt_out}",))
    need = policy.need(facts.risk)
    given = valid_approvals(facts.approvals, facts.digest, need, policy.approvals.expire, facts.now)
    rule = _first(policy.rules, facts, approved=len(given) >= need.needs)
    if rule and rule.decide == "never":
        return Refuse((rule.reason or f"the policy never lets a {facts.risk} change run here",))
    if rule and rule.decide == "dry-run" and rule.unless is None:
        # Asking for approvals that cannot help would keep people waiting for nothing.
        return Refuse((rule.reason or f"the policy only plans and shows a {facts.risk} change here",))
    if rule and rule.decide == "dry-run":
        return NeedsApproval(
            need.needs, len(given), need.by, (rule.reason or "this is new knowledge: it runs only with an approval",)
        )
    # What failed once on this cluster never runs by itself there again.
    automatic = (
        rule is not None and rule.decide == "auto" and facts.undo is not UndoKind.NONE and not facts.failed_before
    )
    if not automatic and len(given) < need.needs:
        return NeedsApproval(need.needs, len(given), need.by, _why_approval(facts, need, rule))
    if facts.risk is Risk.DESTRUCTIVE and need.fresh_etcd_snapshot != "never" and facts.initialized:
        return Refuse(
            (
                "a destructive change to a control plane that was up needs a fresh etcd snapshot, and this plan takes none",
            )
        )
    if facts.paused:
        return Wait(("Drover is paused: `drover resume` on its machine lets it act again",))
    if facts.not_now:
        return Wait((facts.not_now,))
    if facts.mending_now >= policy.brakes.clusters_at_once:
        return Wait(
            (
                f"{facts.mending_now} clusters are being mended, and the policy allows {policy.brakes.clusters_at_once} at once",
            )
        )
    if automatic:
        return Allow(
            by="policy",
            reasons=(rule.reason or f"the policy lets {facts.risk} changes run by themselves here",) if rule else (),
        )
    people = ", ".join(approval.by for approval in given)
    return Allow(by=people, reasons=(f"approved by {people}",))


def _first(rules: Sequence[Rule], facts: Facts, *, approved: bool) -> Rule | None:
    for rule in rules:
        if rule.unless == "approved" and approved:
            continue
        when = rule.when
        fits = (
            (when.risk is None or when.risk is facts.risk)
            and (when.undo is None or when.undo is facts.undo)
            and (when.cause is None or when.cause == facts.cause)
            and (when.signature is None or when.signature == facts.signature)
            and all(facts.labels.get(name) == value for name, value in when.labels.items())
        )
        if fits:
            return rule
    return None


def _why_approval(facts: Facts, need: Need, rule: Rule | None) -> tuple[str, ...]:
    reasons = [rule.reason] if rule and rule.reason else []
    people = "one person" if need.needs == 1 else f"{need.needs} people"
    reasons.append(f"a {facts.risk} change needs the approval of {people} with the role {need.by} or higher")
    if facts.failed_before:
        reasons.append("a cure failed on this cluster before, so nothing runs by itself")
    if facts.undo is UndoKind.NONE:
        reasons.append("it cannot be taken back, so it never runs by itself")
    return tuple(reasons)


def decision_json(decision: Decision) -> dict[str, Any]:
    """For the incident's row and pages."""
    match decision:
        case Allow():
            return {"decision": "allow", "by": decision.by, "reasons": list(decision.reasons)}
        case NeedsApproval():
            return {
                "decision": "needs-approval",
                "count": decision.count,
                "given": decision.given,
                "role": decision.role,
                "reasons": list(decision.reasons),
            }
        case Wait():
            return {"decision": "wait", "reasons": list(decision.reasons)}
        case Refuse():
            return {"decision": "refuse", "reasons": list(decision.reasons)}
