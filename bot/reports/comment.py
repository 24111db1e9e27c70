"""What do Drover's comments say? One status comment, edited in place; another one only where somebody should be notified.

They are short. The issue's body has the whole story.
"""

from datetime import timedelta

from bot.incidents.incident import State
from bot.reports import words
from bot.reports.durations import compact, moment, spoken
from bot.reports.prose import code, plain, prose
from bot.reports.story import Story
from bot.reports.view import Case, capital
from rancher_ext.remediation.change import Change
from rancher_ext.remediation.plan import Plan

_WORDS = {
    State.DETECTED: "Looking",
    State.DIAGNOSING: "Looking",
    State.REPORTED: "Reported",
    State.AWAITING_APPROVAL: "Waiting for approval",
    State.REMEDIATING: "Mending",
    State.VERIFYING: "Proving the cure",
    State.RESOLVED: "Healed",
    State.SNOOZED: "Snoozed",
    State.REJECTED: "Rejected",
    State.ROLLING_BACK: "Putting back",
    State.ROLLED_BACK: "Put back",
    State.ESCALATED: "Waiting for a person",
    State.SUPERSEDED: "Over",
}


def status_comment(story: Story) -> str:
    """One line: a word for the state, then what is going on there."""
    case = Case(story)
    running = case.acting and story.progress_text.strip()
    details = [prose(story.progress_text, 400)] if running else _details(case)
    if case.acting and story.incident.changed_at:
        details.append(spoken(story.now - story.incident.changed_at))
    word, told = _WORDS[case.state], list(filter(None, details))
    if told and told[0].startswith(word):
        # "Healed in 6 min" says the word itself.
        return " · ".join([f"**{word}**{told[0].removeprefix(word)}", *told[1:]])
    return " · ".join([f"**{word}**", *told])


def healed_comment(story: Story, proof_text: str, duration: timedelta) -> str:
    """The cure is proved. What changed stays, and is named."""
    case = Case(story)
    soak = f"; no relapse in {spoken(case.plan.soak)}" if case.plan else ""
    lines = [
        f"**Healed in {spoken(duration)}.** {prose(capital(proof_text.strip()).rstrip('.'), 800)}{soak}.{_approved(case)}"
    ]
    if case.plan:
        lines.append(f"The change stays: {_changes(case.plan)}.")
    waiting = _still_waiting(story)
    if waiting:
        lines.append(waiting)
    return "\n".join(lines)


def put_back_comment(story: Story, why: str, fields_equal: bool) -> str:
    """The cure failed. Whether everything is as before is said with the time it was checked; the next best guess follows."""
    case = Case(story)
    incident = story.incident
    before = f" of {moment(incident.changed_at)}" if incident.changed_at else " from before the change"
    if fields_equal:
        state = f"All fields equal their values{before} (checked {moment(story.now)})."
        head = "**Put back.**"
    else:
        state = (
            f"**Not every field equals its value{before}** (checked {moment(story.now)}): what somebody else changed meanwhile "
            "is left as it is. `/drover status` shows which."
        )
        head = "**Put back in part.**"
    lines = [f"{head} {prose(capital(why.rstrip('.')), 600)}. {state}"]
    lines += _next_guess(case)
    lines.append(
        "Nothing further runs by itself on this cluster. `/drover diagnose` looks again, `/drover plan` shows what could be done."
    )
    return "\n\n".join(lines)


def superseded_comment(story: Story) -> str:
    """It came up while we were still looking or waiting."""
    incident = story.incident
    ended = Case(story).ended
    lasted = spoken(story.now - incident.stuck_since)
    changed = (
        "Drover changed nothing."
        if incident.changed_at is None
        else "The change that Drover had made is in the timeline."
    )
    again = " A relapse within 24 h reopens this issue." if "came up" in ended else ""
    return f"**{prose(capital(ended))}**, {lasted} after it got stuck. {changed}{again}"


def reopened_comment(story: Story) -> str:
    """A relapse: same story, next episode."""
    incident = story.incident
    episode = incident.episode - incident.story + 1
    says = f" Rancher says {code(incident.reason, 300)}." if incident.reason else ""
    return (
        f"**It is stuck again**, since {moment(incident.stuck_since)} (episode {episode}).{says} "
        "The description above is being brought up to date; plans and approvals of earlier episodes do not count any more."
    )


def not_applied_comment(story: Story, why: str, *, left: bool = False) -> str:
    """Something was to run and did not go on, so a person has to look. Where nothing was written, that is said first.

    `left` says that something of ours is still in the cluster: then the way to take it back belongs to the answer.
    """
    case = Case(story)
    plan = f" plan {code(case.plan.short)}" if case.plan else ""
    if story.incident.changed_at is None:
        head = f"**Nothing was changed.**{' P' + plan[2:] + ' did not run.' if plan else ''}"
    else:
        head = f"**A person has to look.**{' Drover stopped with' + plan + '.' if plan else ''}"
    back = " `/drover rollback` puts back what Drover wrote, as soon as nothing stands in its way." if left else ""
    # Long enough for two refusals, each with its address: why the cure did not go on, and why it could not be put back.
    return f"{head} {prose(capital(why.strip().rstrip('.')), 1200)}.{back} `/drover diagnose` looks again."


def _details(case: Case) -> list[str]:
    plan = f"plan {code(case.plan.short)}" if case.plan else ""
    outcome = prose(case.incident.outcome.rstrip("."), 300)
    match case.state:
        case State.DETECTED | State.DIAGNOSING:
            return ["collecting evidence"]
        case State.AWAITING_APPROVAL:
            expires = case.story.approval_expires
            count = f"{case.approvals_given} of {case.approvals_needed} given"
            return [plan, count, f"valid until {moment(expires)}" if expires else ""]
        case State.REPORTED:
            return [plan, prose(case.reason, 300)] if plan else ["a person has to look: see the description"]
        case State.RESOLVED | State.SUPERSEDED:
            return [outcome]
        case State.REJECTED:
            return [prose(case.rejected, 300), f"stuck for {compact(case.story.now - case.incident.stuck_since)}"]
        case State.REMEDIATING | State.VERIFYING | State.ROLLING_BACK:
            return [plan]
        case _:
            return [outcome, f"stuck for {compact(case.story.now - case.incident.stuck_since)}"]


def _next_guess(case: Case) -> list[str]:
    lines = []
    best = case.best
    tried = case.plan.signature if case.plan else ""
    if best and best.signature != tried:
        if best.evidence:
            lines.append(
                f"What it says now: {code(best.evidence[0].text.splitlines()[-1] if best.evidence[0].text else '', 300)}"
            )
        others = [f"{code(each.signature, 80)} ({each.percent}%)" for each in case.others if each.signature != tried][
            :2
        ]
        look_alike = f", look-alike{'s' if len(others) > 1 else ''} {words.listed(others)}" if others else ""
        lines.append(
            f"Most likely next: {code(best.signature, 80)} ({best.percent}%): {prose(best.title)}{look_alike}."
        )
    if case.missing:
        lines.append(f"What would make us sure: {', '.join(prose(each, 160) for each in case.missing)}.")
    return lines


def _approved(case: Case) -> str:
    who = words.who_agreed(case.story.decision)
    plan = f", plan {code(case.plan.short)}" if case.plan else ""
    if who:
        return f" Approved by {plain(who, 200)}{plan}."
    return f" It ran by itself under the policy{plan}." if case.decision == "allow" else ""


def _changes(plan: Plan) -> str:
    """`enableBrNetfilter: true`, one per step; a long value is only named."""
    texts = []
    for step in plan.steps:
        first = step.writes[0]
        if len(step.writes) > 1 or not isinstance(first, Change) or not first.place.path:
            texts.append(plain(step.title, 120))
            continue
        value = str(first.after.value).lower() if isinstance(first.after.value, bool) else str(first.after.value)
        field = first.place.path[-1]
        if not first.after.present:
            texts.append(f"{code(field)} removed")
        elif len(value) > 80 or "\n" in value:
            texts.append(f"{code(field)} (see the plan above)")
        else:
            texts.append(code(f"{field}: {value}"))
    return words.listed(texts)


def _still_waiting(story: Story) -> str:
    """Siblings that wait for their own approval: whoever sees this cure may want theirs."""
    waiting = [each for each in story.siblings if each.state == State.AWAITING_APPROVAL.value]
    if not waiting:
        return ""
    names = [plain(each.cluster_name, 63) + (f" (#{each.issue})" if each.issue else "") for each in waiting[:8]]
    if len(waiting) > 8:
        names.append(f"{len(waiting) - 8} more")
    return f"{words.listed(names)} still {'wait for theirs' if len(waiting) > 1 else 'waits for its approval'}."
