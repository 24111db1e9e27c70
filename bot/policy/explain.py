"""Why does the policy answer so? Every rule and every brake with what it found, for `/drover plan` and the command line."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bot.policy.brakes import Check, holds, questions, refusals, snoozed
from bot.policy.decide import Decision, counted, decide, decision_json, first_rule, fits
from bot.policy.facts import Facts
from bot.policy.roles import Who
from bot.policy.schema import Policy, Rule


@dataclass(frozen=True)
class Line:
    """One rule or brake. `verdict` is a word: `decides`, `fits`, `no`, `refuses`, `asks`, `holds`, `passes`, `counts` or `missing`."""

    name: str
    verdict: str
    text: str

    @property
    def matters(self) -> bool:
        """Does it narrow or settle the answer?"""
        return self.verdict in {"decides", "refuses", "asks", "holds", "missing"}


@dataclass(frozen=True)
class Explained:
    decision: Decision
    lines: tuple[Line, ...]

    def to_json(self) -> dict[str, Any]:
        lines = [{"name": line.name, "verdict": line.verdict, "text": line.text} for line in self.lines]
        return decision_json(self.decision) | {"lines": lines}


def explain(policy: Policy, facts: Facts) -> Explained:
    """The decision, and all that was looked at on the way, also what comes after the point that settled it."""
    return Explained(decide(policy, facts), tuple(_lines(policy, facts)))


def _lines(policy: Policy, facts: Facts) -> Iterator[Line]:
    yield from (_line(check) for check in refusals(policy, facts))
    deciding = first_rule(policy, facts)
    need, given = counted(policy, facts, deciding)
    for number, rule in enumerate(policy.rules, 1):
        yield Line(f"rule {number}", _verdict(rule, facts, deciding), _told(rule))
    if deciding is None:
        yield Line("default", "decides", f"no rule fits, so what holds for {facts.risk} changes decides")
    names = ", ".join(approval.by for approval in given)
    yield Line(
        "approvals",
        "counts" if len(given) >= need.count else "missing",
        f"{len(given)} of {need.count} {need.who.told()}" + (f": {names}" if names else ""),
    )
    yield _line(snoozed(facts))
    yield from (_line(check) for check in questions(policy, facts))
    yield from (_line(check) for check in holds(policy, facts))


def _line(check: Check) -> Line:
    return Line(check.name, f"{check.effect}s" if check.holds else "passes", check.text)


def _verdict(rule: Rule, facts: Facts, deciding: Rule | None) -> str:
    if rule is deciding:
        return "decides"
    return "fits" if fits(rule, facts) else "no"


def _told(rule: Rule) -> str:
    when = rule.when.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    labels = when.pop("labels", {})
    conditions = [f"{name} {value}" for name, value in when.items() if name != "signature_age"]
    if rule.when.signature_age is not None:
        age = rule.when.signature_age
        conditions.append(f"signature {'younger' if age.younger else 'older'} than {age.than.days} d")
    conditions += [f"label {name}={value}" for name, value in labels.items()]
    unless = ", unless approved" if rule.unless else ""
    if rule.needs or rule.by:
        count = f"{rule.needs} approvals" if rule.needs else "approvals"
        unless += f" ({count}{f' by somebody {Who.named(rule.by).told()}' if rule.by else ''})"
    told = f"{rule.decide}{unless} for {', '.join(conditions) or 'everything'}"
    return f"{told}: {rule.reason}" if rule.reason else told
