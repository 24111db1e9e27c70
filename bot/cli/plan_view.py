"""How does a plan look in a terminal? As a reviewer wants to read it: every object, every line, and what happens when."""

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from bot.cli.planning import Prepared
from bot.cli.shared import out
from bot.policy.decide import Allow, Decision, NeedsApproval, Refuse, Wait
from bot.policy.explain import Explained
from bot.reports import words
from bot.reports.durations import spoken
from rancher_ext.remediation.action import UndoKind
from rancher_ext.remediation.change import Call, Change, Write
from rancher_ext.remediation.plan import Explanation, Plan

_RISKS = {"safe": "green", "disruptive": "yellow", "destructive": "bold red"}
_LINES = {"+": "green", "-": "red"}


def print_prepared(prepared: Prepared) -> None:
    """The whole answer of `drover plan`."""
    snapshot = prepared.snapshot
    version = snapshot.kubernetes.text if snapshot.kubernetes else ""
    nodes = len(snapshot.nodes) or snapshot.node_count or len(snapshot.machines)
    facts = [
        snapshot.identity.name,
        snapshot.distribution.value,
        version,
        snapshot.cni.value,
        words.nodes(nodes or None),
    ]
    out.print(Text(" · ".join(filter(None, facts)), style="bold"))
    if prepared.finding:
        line = Text("Cause     ")
        line.append(str(prepared.finding["title"]), style="bold")
        line.append(f" ({prepared.finding['confidence']:.0%} sure)")
        out.print(line)
    elif prepared.wanted is not None:
        out.print(Text("Cause     not asked for: the plan was named", style="dim"))
    match prepared.made:
        case Plan() as plan:
            print_plan(plan, nodes)
            if prepared.explained is not None:
                print_decision(prepared.explained.decision, plan, snapshot.identity.name, issue=_issue(prepared))
                print_lines(prepared.explained)
        case Explanation() as explanation:
            out.print(Text(f"\nNo plan   {explanation.title}", style="bold"))
            out.print(Text(f"Why       {explanation.why}"))
            print_steps(explanation)
        case None:
            out.print(Text(f"No plan   {prepared.why}"))


def print_plan(plan: Plan, nodes: int | None) -> None:
    head = Text(f"\nPlan      {plan.short}  ", style="bold")
    head.append(_plain(plan.title))
    out.print(head)
    kind = Text("          ")
    kind.append(plan.risk.value, style=_RISKS[plan.risk.value])
    kind.append(f" · undo {plan.undo.value} · playbook {plan.playbook} · usually done in {spoken(plan.expected)}")
    out.print(kind)
    for action, why in plan.done:
        out.print(Text(f"          {action} has nothing to do: {_plain(why)}", style="dim"))
    for caution in plan.cautions:
        out.print(Text(f"          Mind: {_plain(caution)}", style="yellow"))
    out.print(Text("\n  1  Save the values that are there now, to put them back"))
    for number, step in enumerate(plan.steps, start=2):
        out.print(Text(f"\n  {number}  {_plain(step.title)}", style="bold"))
        for write in step.writes:
            out.print(Text(f"     {_place(write)}", style="dim"))
        for line in step.diff.split("\n"):
            out.print(Text(f"     {line}", style=_LINES.get(line[:1], "")))
        out.print(Text(f"     {_plain(step.effect)}"))
    last = len(plan.steps) + 1
    proofs = [
        words.PROOFS.get(each, each).format(cni="the CNI", nodes=words.every_node(nodes or None)) for each in plan.proof
    ]
    out.print(Text(f"\nProof     {', '.join(proofs)}; then {spoken(plan.soak)} without a relapse"))
    out.print(Text(f"Undo      {_undo(plan, last)}"))


def print_decision(decision: Decision, plan: Plan, cluster: str, issue: str = "") -> None:
    match decision:
        case Allow():
            out.print(Text(f"Policy    allowed, by {decision.by}", style="green"))
        case NeedsApproval():
            people = words.counted(decision.missing, "approval", "approvals")
            out.print(Text(f"Policy    needs {people} by somebody {decision.who.told()}", style="yellow"))
        case Wait():
            out.print(Text("Policy    may run, but not now", style="yellow"))
        case Refuse():
            out.print(Text("Policy    does not let it run", style="red"))
    for reason in decision.reasons:
        out.print(Text(f"          {reason}"))
    if isinstance(decision, NeedsApproval):
        where = f"in {issue}: /drover approve {plan.short}" if issue else f"in its issue: /drover approve {plan.short}"
        # Nobody can show on a terminal who they are on GitHub, so what is said here is by no member of a team.
        here = (
            "; said here it would not count, since a terminal shows no team"
            if decision.teams
            else f", or here: drover remediate {cluster}"
        )
        out.print(Text(f"          {where}{here}", style="dim"))


def print_lines(explained: Explained) -> None:
    """Every rule and brake that was looked at; those that narrow or settle the answer stand out."""
    width = max((len(line.name) for line in explained.lines), default=0)
    verdicts = max((len(line.verdict) for line in explained.lines), default=0)
    for line in explained.lines:
        text = f"          {line.name.ljust(width)}  {line.verdict.ljust(verdicts)}  {line.text}"
        out.print(Text(text, style="" if line.matters else "dim"))


def print_steps(explanation: Explanation) -> None:
    """What a person does, in order."""
    for number, step in enumerate(explanation.steps, start=1):
        out.print(Text(f"  {number}. {_plain(step)}"))


def prepared_json(prepared: Prepared) -> dict[str, Any]:
    """Stable; keys may be added. `plan` is null where there is none, and `why` or `explanation` says why."""
    snapshot, plan = prepared.snapshot, prepared.plan
    explanation = prepared.made.to_json() if isinstance(prepared.made, Explanation) else None
    return {
        "schema": 1,
        "cluster": {
            "rancher": snapshot.identity.key.rancher,
            "id": snapshot.identity.id,
            "name": snapshot.identity.name,
            "uid": snapshot.identity.uid,
            "distribution": snapshot.distribution.value,
            "cni": snapshot.cni.value,
            "kubernetes": snapshot.kubernetes.text if snapshot.kubernetes else "",
        },
        "incident": prepared.known.incident.id if prepared.known.incident else None,
        "finding": _finding_json(prepared.finding),
        "plan": plan.to_json() if plan else None,
        "explanation": explanation,
        "why": prepared.why or None,
        "policy": prepared.explained.to_json() if prepared.explained else None,
    }


def _finding_json(finding: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if finding is None:
        return None
    return {name: finding.get(name) for name in ("signature", "cause", "title", "confidence")}


def _issue(prepared: Prepared) -> str:
    incident = prepared.known.incident
    return incident.issue_url if incident else ""


def _undo(plan: Plan, last: int) -> str:
    within = f"without that proof within {spoken(plan.within)}"
    steps = "step 2 is" if last == 2 else f"steps 2 to {last} are"
    if not plan.undo_on_failure:
        return f"{within} nothing is taken back by itself, and a person decides"
    return {
        UndoKind.EXACT: f"{within} {steps} taken back exactly",
        UndoKind.COMPENSATING: f"{within} {steps} made up for by a second change",
        UndoKind.NONE: "none: what cannot be taken back stays",
    }[plan.undo]


def _place(write: Write) -> str:
    if isinstance(write, Call):
        return f"call   {write}"
    verb = "change" if write.place.path else "make  " if write.after.present else "delete"
    side = " in the cluster" if isinstance(write, Change) and write.downstream else ""
    stays = " (stays when the rest is taken back)" if write.stays else ""
    return f"{verb} {write}{side}{stays}"


def _plain(text: str) -> str:
    """Titles and effects mark names by backticks, for Markdown; a terminal shows them as they are."""
    return text.replace("`", "")
