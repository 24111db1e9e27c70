"""What stands in an incident's issue? A story, reduced to what a reader needs; templates only lay it out.

Everything is cut here to lengths that keep the first screen a screen, whatever a cluster puts into its names and logs.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any
from urllib.parse import quote

from bot.incidents.incident import Incident, State
from bot.policy.roles import Who
from bot.reports import words
from bot.reports.escape import code_span
from bot.reports.probe import offer_line
from bot.reports.prose import clip
from bot.reports.story import Story
from rancher_ext.remediation.action import UndoKind
from rancher_ext.remediation.plan import Plan

NAME = 100
# Lines shown on the first screen; the rest of a finding's lines stand in the folded section.
SHOWN_LINES = 6
SHOWN_PLACES = 3
MOMENTS = 24

# How bad it is, by what the cluster waits for. That pods do not start is certain only where the network is the cause.
_UNMANAGED = "Until it comes up, Rancher cannot manage it"
_IMPACT = {
    **dict.fromkeys(("kubelet", "addon", "agent", "api"), _UNMANAGED),
    "nodes": "Until it comes up, nodes that are not Ready take no new pods",
}
_NO_PODS = ", and no new pod that needs the pod network starts"
_ACTING = {State.REMEDIATING, State.VERIFYING, State.ROLLING_BACK}


@dataclass(frozen=True)
class EvidenceGroup:
    """Lines of one file, in their order. `also` counts other files that say the same but for their digits."""

    source: str
    numbers: str
    text: str
    also: int = 0


@dataclass(frozen=True)
class Finding:
    """One finding of the diagnosis, with every key present."""

    signature: str
    cause: str
    title: str
    percent: int
    because: str
    advice: str
    evidence: Sequence[EvidenceGroup]
    references: Sequence[str]
    missing: Sequence[str]
    explained_by: str
    affected: str = ""
    against: Sequence[EvidenceGroup] = ()

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> "Finding":
        return cls(
            signature=str(raw.get("signature") or ""),
            cause=str(raw.get("cause") or ""),
            title=str(raw.get("title") or raw.get("signature") or "").rstrip("."),
            percent=round(100 * float(raw.get("confidence") or 0)),
            because=str(raw.get("because") or ""),
            advice=str(raw.get("advice") or ""),
            evidence=_grouped(raw.get("evidence") or ()),
            references=_texts(raw.get("references")),
            missing=_texts(raw.get("missing")),
            explained_by=str(raw.get("explainedBy") or ""),
            affected=_where(raw.get("affected")),
            against=_grouped(raw.get("against") or ())[:2],
        )


@dataclass(frozen=True)
class Moment:
    """Something that happened, with its time as far as evidence has it. `alike` counts the same elsewhere."""

    when: str
    text: str
    alike: int = 0


@dataclass(frozen=True)
class Case:
    """The story's questions, answered: which failure, may we, what now."""

    story: Story

    @property
    def incident(self) -> Incident:
        return self.story.incident

    @property
    def state(self) -> State:
        return self.incident.state

    @property
    def name(self) -> str:
        return clip(self.incident.cluster_name or self.incident.cluster.id, NAME)

    @property
    def verdict(self) -> str:
        """`cni-failure`, `other-failure`, `healthy`, `unknown`, or nothing before the first diagnosis."""
        return str((self.story.diagnosis or {}).get("verdict") or "")

    @property
    def summary(self) -> str:
        return str((self.story.diagnosis or {}).get("summary") or "").rstrip(".")

    @cached_property
    def findings(self) -> list[Finding]:
        return [Finding.of(raw) for raw in (self.story.diagnosis or {}).get("findings") or ()]

    @cached_property
    def best(self) -> Finding | None:
        """The finding the verdict rests on. An unknown cause has at most hints."""
        if self.verdict in {"cni-failure", "other-failure"}:
            return next(iter(self.findings), None)
        return None

    @property
    def others(self) -> list[Finding]:
        return self.findings[1:] if self.best else self.findings

    @cached_property
    def missing(self) -> list[str]:
        """What would make us sure: of the best finding, and of the diagnosis where there is none."""
        own = list(self.best.missing) if self.best else []
        general = _texts((self.story.diagnosis or {}).get("missing"))
        return list(dict.fromkeys(own + general))[:8]

    @property
    def undecided(self) -> str:
        """Why the best finding is not the only one that may be right, or nothing."""
        raw = (self.story.diagnosis or {}).get("undecided") or {}
        return str(raw.get("why") or "").rstrip(".") if self.best else ""

    @property
    def rivals(self) -> list[Finding]:
        """The findings that may be right as well."""
        raw = (self.story.diagnosis or {}).get("undecided") or {}
        names = [str(name) for name in raw.get("signatures") or ()]
        return [finding for finding in self.others if finding.signature in names]

    @cached_property
    def moments(self) -> list[Moment]:
        """What the evidence dates, in order."""
        raw = (self.story.diagnosis or {}).get("timeline") or ()
        return [
            Moment(str(m.get("when") or ""), str(m.get("text") or ""), int(m.get("alike") or 0)) for m in raw[:MOMENTS]
        ]

    @property
    def plan(self) -> Plan | None:
        return self.story.plan

    @property
    def decision(self) -> str:
        """`allow`, `needs-approval`, `wait`, `refuse`, or nothing before the policy was asked."""
        return str((self.story.decision or {}).get("decision") or "")

    @property
    def reasons(self) -> list[str]:
        return _texts((self.story.decision or {}).get("reasons"))

    @property
    def reason(self) -> str:
        return "; ".join(self.reasons)

    @property
    def asks(self) -> bool:
        """Is there something to approve now?"""
        return (
            self.plan is not None
            and self.decision == "needs-approval"
            and self.state in {State.REPORTED, State.AWAITING_APPROVAL}
        )

    @property
    def acting(self) -> bool:
        return self.state in _ACTING

    @property
    def approvals_needed(self) -> int:
        return int((self.story.decision or {}).get("count") or 1)

    @property
    def approvals_given(self) -> int:
        return int((self.story.decision or {}).get("given") or 0)

    @property
    def who(self) -> Who:
        """Who has to approve."""
        decision = self.story.decision or {}
        return Who(str(decision.get("role") or "write"), tuple(_texts(decision.get("teams"))))

    @property
    def asked_for(self) -> str:
        """The same for Markdown."""
        return self.who.told(code_span)

    @property
    def approvals(self) -> str:
        return words.counted(self.approvals_needed, "approval", "approvals")

    @property
    def network(self) -> str:
        return words.network(self.incident)

    @property
    def nodes(self) -> str:
        return words.nodes(self.incident.node_count)

    @property
    def all_nodes(self) -> str:
        return words.every_node(self.incident.node_count)

    @property
    def reached(self) -> str:
        return words.REACHED.get(self.incident.stage, "")

    @property
    def undo_words(self) -> str:
        if self.plan is None:
            return ""
        return words.UNDO[self.plan.undo.value] if self.plan.undo_on_failure else "**stays even if it does not help**"

    @property
    def has_undo(self) -> bool:
        return self.plan is not None and self.plan.undo_on_failure and self.plan.undo is not UndoKind.NONE

    @property
    def proofs(self) -> str:
        """The proof in words, with the numbers it must reach."""
        if self.plan is None:
            return ""
        count = self.incident.node_count
        named = "every node" if not count else f"{count} of {count} nodes"
        texts = [words.PROOFS.get(each, each).format(cni=self.network, nodes=named) for each in self.plan.proof]
        return ", ".join(texts)

    @property
    def change_numbers(self) -> str:
        """Which numbered lines of the plan are taken back: `step 2`, `steps 2 and 3`."""
        numbers = [str(number) for number in range(2, 2 + len(self.plan.steps))] if self.plan else []
        return f"{'step' if len(numbers) == 1 else 'steps'} {words.listed(numbers)}"

    @property
    def page(self) -> str:
        """Where the incident stands in Drover's own pages, or nothing when it has no address."""
        base = self.story.public_url.rstrip("/")
        return f"{base}/incidents/{quote(self.incident.id, safe=':')}" if base else ""

    @property
    def nodes_line(self) -> str:
        """Asking the nodes: what is offered, or that it is under way. Nothing where people are busy with something else."""
        quiet = self.acting or self.state.over or self.state in {State.REJECTED, State.DETECTED, State.DIAGNOSING}
        return offer_line(self.story.asked) if self.story.asked and not quiet else ""

    @property
    def outcome(self) -> str:
        """How the last attempt ended, as the beginning of a sentence and without its full stop."""
        return capital(self.incident.outcome.strip().rstrip("."))

    @property
    def ended(self) -> str:
        """Why a superseded incident is over."""
        return self.incident.outcome.strip().rstrip(".") or "it came up by itself"

    @property
    def rejected(self) -> str:
        """Who rejected the plan, and why, as the timeline has it."""
        told = [entry.text for entry in self.story.timeline if entry.kind == "command" and "rejected" in entry.text]
        return told[-1].rstrip(".") if told else ""

    @property
    def impact(self) -> str:
        """How bad it is, as far as stage and cause tell."""
        text = _IMPACT.get(self.incident.stage, "")
        if text == _UNMANAGED and self.verdict == "cni-failure":
            text += _NO_PODS
        return text + "." if text else ""


def _where(affected: Mapping[str, Any] | None) -> str:
    """Which nodes, in words; of a cluster with one known node there is nothing to say."""
    if not affected or int(affected.get("known") or 0) < 2:
        return ""
    return str(affected.get("text") or "")


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _texts(raw: Sequence[object] | None) -> list[str]:
    """The first few that say something. An empty list item would turn the line above it into a heading."""
    return [str(each) for each in raw or () if str(each).strip()][:8]


def _grouped(lines: Sequence[Mapping[str, Any]]) -> list[EvidenceGroup]:
    """Evidence lines by file. A hundred pods fail alike: the first one speaks for those that differ in digits alone."""
    by_source: dict[str, list[tuple[int, str]]] = {}
    for line in lines:
        by_source.setdefault(str(line.get("source") or ""), []).append(
            (int(line.get("line") or 0), str(line.get("text") or ""))
        )
    groups: dict[str, EvidenceGroup] = {}
    for source, found in by_source.items():
        text = "\n".join(text for _, text in found)
        alike = re.sub(r"[0-9]+", "0", text)
        first = groups.get(alike)
        groups[alike] = (
            replace(first, also=first.also + 1)
            if first
            else EvidenceGroup(source, _numbered([number for number, _ in found if number > 0]), text)
        )
    return list(groups.values())


def _numbered(numbers: list[int]) -> str:
    if not numbers:
        return ""
    return (
        f"{'line' if len(numbers) == 1 else 'lines'} {words.listed([str(number) for number in sorted(set(numbers))])}"
    )
