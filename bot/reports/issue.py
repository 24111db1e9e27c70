"""What does an incident's issue say? The first screen answers what, how bad, why and what now; everything long is folded.

When a body grows too long, the folded sections give way, evidence first; the first screen never does.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC
from hashlib import sha256
from typing import Any

from bot.incidents.incident import State
from bot.ports import IssueDraft
from bot.reports import words
from bot.reports.durations import clock, moment
from bot.reports.escape import plain_title
from bot.reports.fit import Fold, fit
from bot.reports.prose import cell, code, fence, page_link, place, plain, prose, prose_cell
from bot.reports.render import render
from bot.reports.story import Story
from bot.reports.view import SHOWN_LINES, SHOWN_PLACES, Case, Finding
from rancher_ext.fleet.versions import Version
from rancher_ext.remediation.action import PlannedStep
from rancher_ext.remediation.change import Change
from rancher_ext.remediation.plan import Plan

MAX_TITLE = 200
MAX_LABEL = 50
# GitHub takes 65,536 characters; the hidden marker and a few hundred in reserve stay free.
MAX_BODY = 65_000
_STEPS = 16_000
# Diffs are measured before their fence, which a line of backticks may triple.
_DIFFS = 8_000
_PLAN = 26_000

_HEADINGS = {
    State.RESOLVED: "What was done",
    State.ROLLED_BACK: "What was tried and put back",
    State.ROLLING_BACK: "What is being put back",
    State.REMEDIATING: "What happens now",
    State.VERIFYING: "What happens now",
    State.REJECTED: "What was rejected",
}
_UNSAFE_IN_LABEL = re.compile(r"[^A-Za-z0-9._-]+")


def issue_draft(story: Story) -> IssueDraft:
    """Title, labels and body of the incident's issue. The adapter adds the hidden marker."""
    case = Case(story)
    return IssueDraft(title=_title(case), body=_body(case), labels=_labels(case))


def _title(case: Case) -> str:
    incident = case.incident
    since = clock(incident.stuck_since, beside=incident.opened_at)
    kubernetes = Version.parse(incident.kubernetes)
    version = "v{}.{}.{}".format(*kubernetes.release) if kubernetes else incident.kubernetes
    which = " ".join(filter(None, [words.distribution(incident.distribution), version]))
    about = ", ".join(filter(None, [words.cni(incident.cni), which]))
    suffix = plain_title(f" ({about})", limit=60) if about else ""
    text = f"{plain_title(incident.cluster_name or incident.cluster.id, limit=63)} {_what(case, since)}"
    room = MAX_TITLE - len(suffix) - 1
    return f"{plain_title(text, limit=room)} {suffix}".strip()


def _what(case: Case, since: str) -> str:
    if case.best and case.verdict == "cni-failure":
        return f"waits for its network since {since}: {case.best.title}"
    if case.verdict == "other-failure":
        return f"is stuck since {since}, not at its network: {case.best.title if case.best else case.summary}"
    if case.verdict == "healthy":
        return f"is stuck since {since}, its network looks healthy"
    if case.verdict == "unknown":
        return f"is stuck since {since}: cause unknown"
    return f"is stuck since {since}"


def _labels(case: Case) -> tuple[str, ...]:
    labels = ["drover", _label("cluster", case.incident.cluster_name or case.incident.cluster.id)]
    if case.best and case.best.cause:
        labels.append(_label("cause", case.best.cause))
    labels.append(_label("state", case.state.value))
    return tuple(labels)


def _label(kind: str, name: str) -> str:
    """A label GitHub takes and its search can find. Names that had to change keep a part of their hash: they stay apart."""
    safe = _UNSAFE_IN_LABEL.sub("-", name)
    room = MAX_LABEL - len(kind) - 1
    if safe != name or len(safe) > room:
        mark = sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:6]
        safe = f"{safe[: room - 7].strip('-') or 'x'}-{mark}"
    return f"{kind}/{safe}"


def _body(case: Case) -> str:
    """The parts in reading order, each measured; the folded ones share what is left."""
    parts = [part for part in (_top(case), _why(case), _to_do(case)) if part]
    footer = _footer(case)
    left = MAX_BODY - sum(len(part) + 2 for part in parts) - len(footer)
    folds = list(_folds(case))
    # Short sections first get what they need; evidence, the last and longest, gets the rest.
    for number, fold in enumerate(folds):
        share = left // (len(folds) - number) if number < len(folds) - 1 else left
        text = fold.render(share - 2)
        if text:
            parts.append(text)
            left -= len(text) + 2
    return "\n\n".join([*parts, footer])


def _top(case: Case) -> str:
    incident = case.incident
    return render(
        "top.md.j2",
        case=case,
        incident=incident,
        state=case.state.value,
        best=case.best,
        plan=case.plan,
        explanation=_explanation(case),
        agreed=words.who_agreed(case.story.decision),
        facts=_facts(case),
        siblings=_siblings(case),
    )


def _facts(case: Case) -> str:
    incident = case.incident
    version = cell(incident.kubernetes, 40) if incident.kubernetes else ""
    items = [
        f"{plain(case.name)} ({cell(incident.cluster.id, 80)})",
        " ".join(filter(None, [plain(words.distribution(incident.distribution)), version])),
        plain(words.cni(incident.cni)),
        case.nodes if incident.node_count is not None else "",
        plain(words.driver(incident.driver), 60),
    ]
    server = (
        f"on Rancher {plain(incident.cluster.rancher, 60)}" if incident.cluster.rancher not in {"", "default"} else ""
    )
    address = (
        page_link("open Rancher", f"{case.story.rancher_url.rstrip('/')}/dashboard/") if case.story.rancher_url else ""
    )
    return ", ".join(filter(None, [*items, server])) + (f" · {address}" if address else "")


def _siblings(case: Case) -> str:
    """Other incidents of the same cause, as references of ours: GitHub links the numbers."""
    shown = [
        plain(sibling.cluster_name, 63) + (f" (#{sibling.issue})" if sibling.issue else "")
        for sibling in case.story.siblings[:8]
    ]
    more = len(case.story.siblings) - len(shown)
    if not shown:
        return ""
    return ", ".join(shown) + (f" and {more} more" if more else "") + "; each is decided in its own issue"


def _why(case: Case) -> str:
    groups = case.best.evidence[:SHOWN_PLACES] if case.best else []
    hidden = len(case.best.evidence) - len(groups) if case.best else 0
    return render("why.md.j2", case=case, best=case.best, groups=groups, hidden=hidden, shown_lines=SHOWN_LINES)


def _to_do(case: Case) -> str:
    parts = []
    if case.plan is not None and case.verdict == "cni-failure" and case.state is not State.SUPERSEDED:
        parts.append(_plan(case, case.plan))
    explanation = _explanation(case)
    if explanation is not None and case.plan is None and not case.state.over:
        rendered = [f"{number}. {prose(step, 1_000)}" for number, step in enumerate(explanation["steps"], start=1)]
        rows, left_out = fit(rendered, _STEPS)
        parts.append(
            render(
                "steps.md.j2",
                explanation=explanation,
                steps="\n".join(rows),
                left_out=left_out,
                afterwards="When the cluster is up again, Drover sees it and closes this issue.",
            )
        )
    return "\n\n".join(parts)


def _explanation(case: Case) -> dict[str, Any] | None:
    raw = case.story.explanation
    if not raw:
        return None
    return {
        "title": str(raw.get("title") or ""),
        "why": str(raw.get("why") or "").rstrip("."),
        "steps": list(raw.get("steps") or ()),
    }


def _plan(case: Case, plan: Plan) -> str:
    budget = max(400, _DIFFS // max(1, len(plan.steps)))
    rendered = [
        render("step.md.j2", number=number, step=step, where=_where(step), diff=_diff(step.diff, budget, case))
        for number, step in enumerate(plan.steps, start=2)
    ]
    steps, left_out = fit(rendered, _PLAN)
    if case.asks:
        heading = "What would happen on approval"
    elif case.decision == "refuse":
        heading = "What Drover would do, if the policy let it"
    else:
        heading = _HEADINGS.get(case.state, "What would happen")
    return render(
        "plan.md.j2",
        case=case,
        plan=plan,
        steps="\n".join(steps),
        left_out=left_out,
        heading=heading,
        done=case.state.over or case.state is State.ROLLED_BACK,
        expires=case.story.approval_expires if case.asks else None,
    )


def _where(step: PlannedStep) -> str:
    first = step.writes[0]
    more = f" and {len(step.writes) - 1} more" if len(step.writes) > 1 else ""
    return f"{first.place.object if isinstance(first, Change) else first}{more}"


def _diff(diff: str, budget: int, case: Case) -> str:
    """The change as a diff. One too long for the issue says where it stands in full: nobody should approve half a diff unawares."""
    lines = diff.split("\n")
    rows, left_out = fit(lines, budget)
    block = fence("\n".join(rows), "diff", lines=len(lines), width=budget)
    if left_out:
        where = page_link("the incident's page", case.page) if case.page else "`drover plan`"
        block += (
            f"\n**{left_out} more lines of this change are not shown here**: read them in {where} before you approve."
        )
    return block


def _folds(case: Case) -> Iterator[Fold]:
    if case.others and case.verdict != "unknown":
        count = len(case.others)
        yield Fold(
            f"Also seen: {count} other {'finding' if count == 1 else 'findings'}",
            [_other(finding) for finding in case.others],
            "findings",
        )
    if len(case.moments) > 1:
        yield Fold(
            f"What happened when: {len(case.moments)} moments that the evidence dates",
            [
                f"| {prose_cell(moment.when)} | {prose_cell(moment.text)}{_alike(moment.alike)} |"
                for moment in case.moments
            ],
            "later moments",
            head="| | |\n|---|---|\n",
        )
    timeline = case.story.timeline
    if timeline:
        days = {entry.at.astimezone(UTC).date() for entry in timeline}
        form = "%H:%M:%S" if len(days) == 1 else "%Y-%m-%d %H:%M:%S"
        yield Fold(
            f"Timeline: {len(timeline)} {'entry' if len(timeline) == 1 else 'entries'}, newest first, UTC",
            [f"| {entry.at.astimezone(UTC):{form}} | {prose_cell(entry.text)} |" for entry in reversed(timeline)],
            "earlier entries",
            head="| | |\n|---|---|\n",
        )
    yield from _evidence(case)


def _alike(count: int) -> str:
    return f" (and {count} alike)" if count else ""


def _other(finding: Finding) -> str:
    if finding.explained_by:
        # How sure it is that this was seen says nothing about what it follows from.
        relation = f"follows from {code(finding.explained_by, 80)}"
        return f"- {prose(finding.title)} ({code(finding.signature, 80)}, {relation})"
    return f"- {finding.percent}%: {prose(finding.title)} ({code(finding.signature, 80)})"


def _evidence(case: Case) -> Iterator[Fold]:
    evidence = case.story.evidence
    rows = [_collector(collector) for collector in evidence.collectors if collector.get("status") != "ok"]
    came = sum(collector.get("status") == "ok" for collector in evidence.collectors)
    if came:
        rows.insert(0, f"- {came} of {len(evidence.collectors)} collectors brought all they look for")
    shown = case.best.evidence[SHOWN_PLACES:] if case.best else []
    for group in shown:
        numbers = f", {group.numbers}" if group.numbers else ""
        rows.append(f"\n{place(group.source)}{numbers}:\n{fence(group.text)}")
    rows += [f"\n{place(source)}:\n{fence(text, lines=40)}" for source, text in evidence.excerpts]
    if rows or evidence.files:
        title = f"Evidence: {_files(evidence.files)}, {_size(evidence.size)}, {evidence.masked} values masked"
        yield Fold(title, rows or ["Nothing of it is shown here."], "pieces")


def _collector(collector: Mapping[str, Any]) -> str:
    reason = f": {prose(collector['reason'], 300)}" if collector.get("reason") else ""
    return f"- {code(collector.get('name') or '?', 60)} {plain(collector.get('status') or 'unknown', 20)}{reason}"


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def _size(size: int) -> str:
    for unit, factor in (("MB", 1_000_000), ("kB", 1_000)):
        if size >= factor:
            return f"{size / factor:.0f} {unit}" if size >= 10 * factor else f"{size / factor:.1f} {unit}"
    return f"{size} bytes"


def _footer(case: Case) -> str:
    source = f"Seen by {plain(case.incident.source, 60)}" if case.incident.source else ""
    seen = "; ".join(filter(None, [source, plain(case.story.coverage, 200)]))
    page = page_link("All about this incident", case.page) if case.page else ""
    opened = f"opened {moment(case.incident.opened_at)}"
    texts = ["`/drover help` lists the commands", seen, opened, page]
    return f"<sub>{' · '.join(filter(None, texts))}</sub>"
