"""May this plan run: by itself, after approval, as a dry run, or never?

`decide` is pure. More broken clusters, more running cures, failures, a pause or a freeze can only make its answer narrower,
never wider.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bot.policy.approvals import Approval, valid_approvals
from bot.policy.brakes import etcd_note, holds, questions, refusals, snoozed
from bot.policy.facts import Elsewhere, Facts
from bot.policy.schema import Need, Policy, Rule
from rancher_ext.remediation.action import Risk

__all__ = ["Allow", "Decision", "Elsewhere", "Facts", "NeedsApproval", "Refuse", "Wait", "decide", "decision_json"]


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
    refused = [check.text for check in refusals(policy, facts) if check.holds]
    if refused:
        return Refuse(tuple(refused))
    need, given = counted(policy, facts)
    rule = first_rule(policy.rules, facts, approved=len(given) >= need.needs)
    if rule and rule.decide == "never":
        return Refuse((rule.reason or f"the policy never lets a {facts.risk} change run here",))
    if rule and rule.decide == "dry-run" and rule.unless is None:
        # Asking for approvals that cannot help would keep people waiting for nothing.
        return Refuse((rule.reason or f"the policy only plans and shows a {facts.risk} change here",))
    if rule and rule.decide == "dry-run":
        return NeedsApproval(
            need.needs, len(given), need.by, (rule.reason or "this is new knowledge: it runs only with an approval",)
        )
    snooze = snoozed(facts)
    if snooze.holds:
        return Wait((snooze.text,))
    by_rule = rule is not None and rule.decide == "auto"
    asking = [check for check in questions(policy, facts) if check.holds]
    automatic = by_rule and not asking
    if not automatic and len(given) < need.needs:
        # Where a person is asked anyway, a storm that comes and goes would only edit the issue.
        told = [check.text for check in asking if by_rule or check.name not in {"storm", "freeze"}]
        return NeedsApproval(need.needs, len(given), need.by, _why_approval(facts, need, rule, told))
    held = [check.text for check in holds(policy, facts) if check.holds]
    if held:
        return Wait(tuple(held))
    notes = (etcd_note(policy, facts),) if facts.risk is Risk.DESTRUCTIVE else ()
    if rule is not None and automatic:
        return Allow(
            by="policy", reasons=(rule.reason or f"the policy lets {facts.risk} changes run by themselves here", *notes)
        )
    people = ", ".join(approval.by for approval in given)
    return Allow(by=people, reasons=(f"approved by {people}", *notes))


def counted(policy: Policy, facts: Facts) -> tuple[Need, list[Approval]]:
    """What the plan's risk needs, and the approvals that count."""
    need = policy.need(facts.risk)
    return need, valid_approvals(facts.approvals, facts.digest, need, policy.approvals.expire, facts.now)


def first_rule(rules: Sequence[Rule], facts: Facts, *, approved: bool) -> Rule | None:
    return next((rule for rule in rules if fits(rule, facts) and not (rule.unless == "approved" and approved)), None)


def fits(rule: Rule, facts: Facts) -> bool:
    when = rule.when
    return (
        (when.risk is None or when.risk is facts.risk)
        and (when.undo is None or when.undo is facts.undo)
        and (when.cause is None or when.cause == facts.cause)
        and (when.signature is None or when.signature == facts.signature)
        and (when.signature_age is None or when.signature_age.holds(facts.signature_age))
        and (when.playbook is None or when.playbook == facts.playbook)
        and all(facts.labels.get(name) == value for name, value in when.labels.items())
    )


def _why_approval(facts: Facts, need: Need, rule: Rule | None, asking: Sequence[str]) -> tuple[str, ...]:
    # The reason of a rule that would let it run is none for asking.
    reasons = [rule.reason] if rule and rule.reason and rule.decide != "auto" else []
    people = "one person" if need.needs == 1 else f"{need.needs} people"
    reasons.append(f"a {facts.risk} change needs the approval of {people} with the role {need.by} or higher")
    return (*reasons, *asking)


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
