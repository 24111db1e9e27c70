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
from bot.policy.roles import Who
from bot.policy.schema import Needed, Policy, Rule
from rancher_ext.remediation.action import Risk

__all__ = ["Allow", "Decision", "Elsewhere", "Facts", "NeedsApproval", "Refuse", "Wait", "decide", "decision_json"]


@dataclass(frozen=True)
class Allow:
    """It may run now. `by` names the people or the rule."""

    by: str
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class NeedsApproval:
    """`role` is `none` where only a team is asked for."""

    count: int
    given: int
    role: str
    reasons: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()

    @property
    def who(self) -> Who:
        return Who(self.role, self.teams)

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
    rule = first_rule(policy, facts)
    need, given = counted(policy, facts, rule)
    if rule and rule.decide == "never":
        return Refuse((rule.reason or f"the policy never lets a {facts.risk} change run here",))
    if rule and rule.decide == "dry-run" and rule.unless is None:
        # Asking for approvals that cannot help would keep people waiting for nothing.
        return Refuse((rule.reason or f"the policy only plans and shows a {facts.risk} change here",))
    if rule and rule.decide == "dry-run":
        return _asking(need, given, (rule.reason or "this is new knowledge: it runs only with an approval",))
    snooze = snoozed(facts)
    if snooze.holds:
        return Wait((snooze.text,))
    by_rule = rule is not None and rule.decide == "auto"
    asking = [check for check in questions(policy, facts) if check.holds]
    automatic = by_rule and not asking
    if not automatic and len(given) < need.count:
        # Where a person is asked anyway, a storm that comes and goes would only edit the issue.
        told = [check.text for check in asking if by_rule or check.name not in {"storm", "freeze"}]
        return _asking(need, given, _why_approval(facts, need, rule, told))
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


def counted(policy: Policy, facts: Facts, rule: Rule | None) -> tuple[Needed, list[Approval]]:
    """What the plan needs where this rule decides, and the approvals that count."""
    need = policy.needed(facts.risk, facts.labels, rule)
    return need, valid_approvals(facts.approvals, facts.digest, need.who, policy.approvals.expire, facts.now)


def first_rule(policy: Policy, facts: Facts) -> Rule | None:
    """The one that decides. One with `unless: approved` is passed over once the approvals that it asks for are there."""
    for rule in policy.rules:
        if fits(rule, facts):
            need, given = counted(policy, facts, rule)
            if rule.unless != "approved" or len(given) < need.count:
                return rule
    return None


def _asking(need: Needed, given: Sequence[Approval], reasons: tuple[str, ...]) -> NeedsApproval:
    return NeedsApproval(need.count, len(given), need.who.role, reasons, need.who.teams)


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


def _why_approval(facts: Facts, need: Needed, rule: Rule | None, asking: Sequence[str]) -> tuple[str, ...]:
    # The reason of a rule that would let it run is none for asking.
    reasons = [rule.reason] if rule and rule.reason and rule.decide != "auto" else []
    people = "one person" if need.count == 1 else f"{need.count} people"
    reasons.append(f"a {facts.risk} change needs the approval of {people} {need.who.told()}")
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
                "teams": list(decision.teams),
                "reasons": list(decision.reasons),
            }
        case Wait():
            return {"decision": "wait", "reasons": list(decision.reasons)}
        case Refuse():
            return {"decision": "refuse", "reasons": list(decision.reasons)}
