"""What does `/drover plan` answer? The plan as a reviewer wants to read it, and why the policy answers as it does."""

from collections.abc import Sequence

from bot.policy.explain import Explained
from bot.reports.durations import spoken
from bot.reports.escape import escape_markdown
from bot.reports.fit import fit
from bot.reports.prose import code, fence, prose, prose_cell
from rancher_ext.remediation.action import PlannedStep
from rancher_ext.remediation.plan import Explanation, Plan

# GitHub takes 65,536 characters; a diff of a whole object needs most of them.
_STEPS = 45_000
_DIFF = 12_000
_LINES = 8_000


def plan_reply(plan: Plan, explained: Explained | None = None, *, in_force: bool = True, offered: bool = False) -> str:
    """Every change in order, then proof and undo, then the policy's answer with all that was looked at."""
    head = f"Plan `{plan.short}`: {prose(plan.title, 200)} ({plan.risk}, undo {plan.undo}, usually done in {spoken(plan.expected)})"
    if offered:
        head += (
            f"\n**Not the plan in force.** `/drover approve {plan.short}` agrees to it all the same: the incident then plans with"
            " this playbook instead."
        )
    elif not in_force:
        head += "\n**Not the plan in force**: this is what it would be, and it cannot be approved here."
    budget = max(400, _DIFF // len(plan.steps))
    steps, hidden = fit(
        [planned_step(number, step, budget) for number, step in enumerate(plan.steps, 1)], _STEPS, between=2
    )
    parts = [head, *steps]
    if hidden:
        parts.append(f"**{hidden} more steps are not shown here**: read them with `drover plan` before you approve.")
    done = [f"- {code(action, 80)} has nothing to do: {prose(why, 200)}" for action, why in plan.done]
    mind = [f"- **Mind:** {prose(caution, 300)}" for caution in plan.cautions]
    if done or mind:
        parts.append("\n".join(done + mind))
    back = "is taken back" if plan.undo_on_failure else "stays, and a person decides"
    parts.append(
        f"Proof: {', '.join(escape_markdown(name) for name in plan.proof)}; then {spoken(plan.soak)} without a relapse. "
        f"Without it within {spoken(plan.within)} everything {back}."
    )
    if explained is not None:
        parts.append(policy_answer(explained))
    return "\n\n".join(parts)


def policy_answer(explained: Explained) -> str:
    """The decision's reasons, and folded beneath them every rule and brake with what it found."""
    reasons = "; ".join(prose(reason, 300) for reason in explained.decision.reasons)
    rows = [f"| {code(line.name, 60)} | {line.verdict} | {prose_cell(line.text)} |" for line in explained.lines]
    shown, _ = fit(rows, _LINES)
    table = "\n".join(["| | | |", "|---|---|---|", *shown])
    title = f"Policy: {len(rows)} rules and brakes looked at"
    return f"**Policy**: {reasons}.\n\n<details><summary>{title}</summary>\n\n{table}\n\n</details>"


def explanation_reply(explanation: Explanation) -> str:
    """What a person does where Drover cannot."""
    steps: Sequence[str] = [f"{number}. {prose(step, 1_000)}" for number, step in enumerate(explanation.steps, 1)]
    shown, hidden = fit(steps, _STEPS)
    more = f"\n\n{hidden} more steps: `drover plan` shows them all." if hidden else ""
    listed = "\n".join(shown)
    return f"**{prose(explanation.title, 200)}** cannot be done by Drover here: {prose(explanation.why, 600)}. By hand it would be:\n{listed}{more}"


def planned_step(number: int, step: PlannedStep, budget: int) -> str:
    """One numbered step: where, the change as a diff, and what it does."""
    lines = step.diff.split("\n")
    rows, hidden = fit(lines, budget)
    block = fence("\n".join(rows), "diff", lines=len(lines), width=budget)
    cut = f"\n**{hidden} more lines of this change are not shown here.**" if hidden else ""
    return f"{number}. {prose(step.title, 300)}, in {code(step.where, 160)}:\n{block}{cut}\n{prose(step.effect, 400)}"
