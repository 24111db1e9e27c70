"""What do people read about asking a cluster's nodes? The plan to agree to, the line that offers it, and how it ended."""

from collections.abc import Mapping, Sequence
from typing import Any

from bot.policy.decide import NeedsApproval, Refuse
from bot.policy.explain import Explained
from bot.reports import words
from bot.reports.durations import spoken
from bot.reports.plan import planned_step, policy_answer
from bot.reports.prose import code, prose
from rancher_ext.remediation.plan import Plan

_DIFF = 12_000
_NAMES = 20


def probe_reply(plan: Plan, nodes: Sequence[str], explained: Explained) -> str:
    """What would be put into the cluster, which nodes it would ask, the policy's answer, and how to agree."""
    parts = [
        f"Plan `{plan.short}`: {prose(plan.title, 200)} ({plan.risk}, undo {plan.undo}, taken out within {spoken(plan.within)})",
        planned_step(1, plan.steps[0], _DIFF),
        f"Nodes that are expected to report: {_listed(nodes)}. What they send is masked there, and becomes evidence of this incident.",
        policy_answer(explained),
    ]
    if isinstance(explained.decision, NeedsApproval):
        parts.append(f"To agree, comment:\n```\n/drover approve {plan.short}\n```")
    elif isinstance(explained.decision, Refuse):
        parts.append("It cannot be approved here.")
    return "\n\n".join(parts)


def offer_line(asked: Mapping[str, Any]) -> str:
    """One line in the issue: what asking the nodes would do, and the command for it. Empty when there is nothing to offer."""
    nodes = [str(node) for node in asked.get("nodes") or ()]
    count = words.counted(len(nodes), "Linux node", "Linux nodes")
    if asked.get("phase") == "open":
        by = f", approved by {prose(str(asked['by']), 100)}" if asked.get("by") else ""
        return f"**Drover is asking {count} now**{by}: a short-lived pod on each reads logs and facts of the host."
    decision = asked.get("decision") or {}
    short = str(asked.get("digest") or "")[:6]
    where = f"each of {count}" if len(nodes) > 1 else "its Linux node"
    what = f"a short-lived pod on {where} reads logs and facts of the host, and is taken out within 10 min"
    match decision.get("decision"):
        case "needs-approval":
            given = f" ({decision['given']} given)" if decision.get("given") else ""
            needs = words.counted(int(decision.get("count") or 1), "approval", "approvals")
            return (
                f"**Nobody reads these nodes from outside; Drover can ask them:** {what} ({asked.get('risk')}, needs {needs}{given} "
                f"by somebody with the role `{decision.get('role')}` or higher). `/drover diagnose nodes` shows the plan, "
                f"`/drover approve {short}` agrees to it."
            )
        case "wait" | "allow":
            held = "; ".join(str(reason) for reason in decision.get("reasons") or ())
            why = f", and waits: {prose(held, 300)}" if decision["decision"] == "wait" else ""
            return f"**Drover may ask the nodes**{why} (plan `{short}`): {what}."
    return ""


def asked_comment(ended: Mapping[str, Any], by: str) -> str:
    """How it ended, once: who reported, who did not, and that nothing of it is left."""
    why = str(ended.get("why") or "").rstrip(".")
    if "out" not in ended:
        return f"**The nodes were not asked**, and nothing was changed: {prose(why, 400)}."
    agreed = f", approved by {prose(by, 100)}" if by else ""
    reported = [str(node) for node in ended.get("reported") or ()]
    missing = [str(node) for node in ended.get("missing") or ()]
    if reported:
        lines = [f"**The nodes were asked**{agreed}. Reported: {_listed(reported)}; the evidence is looked at anew."]
    else:
        lines = [f"**The nodes were asked**{agreed}, and none has reported in time."]
    if missing:
        lines.append(f"Silent: {_listed(missing)}.")
    lines.append("The probe is taken out again." if ended["out"] else "**The probe is still in the cluster.**")
    if why:
        lines.append(f"What went wrong: {prose(why, 400)}.")
    return "\n".join(lines)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(code(name, 80) for name in names[:_NAMES])
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return f"{shown}{more}" if shown else "none is known yet"
