"""How often is the named cause the right one?

`score` compares diagnoses with labels: precision and recall per cause, how often the right cause came first or among the
first three, and how often something that is no CNI failure was called one. That last one costs most: people act on it.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rancher_ext.signatures.match import Diagnosis
from rancher_ext.signatures.schema import Cause, Verdict


@dataclass(frozen=True)
class Label:
    """The known answer of one case."""

    name: str
    cause: Cause
    in_scope: bool


@dataclass(frozen=True)
class Scored:
    label: Label
    diagnosis: Diagnosis

    @property
    def causes(self) -> tuple[Cause, ...]:
        """The causes found, best first, each once."""
        return tuple(dict.fromkeys(finding.cause for finding in self.diagnosis.findings))

    @property
    def first(self) -> bool:
        return self.causes[:1] == (self.label.cause,)

    @property
    def among_three(self) -> bool:
        return self.label.cause in self.causes[:3]

    @property
    def false_alarm(self) -> bool:
        return not self.label.in_scope and self.diagnosis.verdict is Verdict.CNI_FAILURE


@dataclass(frozen=True)
class CauseScore:
    """Precision: of those named so, how many were right. Recall: of those that are so, how many were named. None: no case."""

    cause: Cause
    cases: int
    named: int
    right: int

    @property
    def precision(self) -> float | None:
        return self.right / self.named if self.named else None

    @property
    def recall(self) -> float | None:
        return self.right / self.cases if self.cases else None


@dataclass(frozen=True)
class Score:
    cases: tuple[Scored, ...]

    @property
    def in_scope(self) -> tuple[Scored, ...]:
        return tuple(case for case in self.cases if case.label.in_scope)

    @property
    def lookalikes(self) -> tuple[Scored, ...]:
        return tuple(case for case in self.cases if not case.label.in_scope)

    @property
    def top1(self) -> float:
        return _share(case.first for case in self.in_scope)

    @property
    def top3(self) -> float:
        return _share(case.among_three for case in self.in_scope)

    @property
    def false_alarms(self) -> tuple[Scored, ...]:
        return tuple(case for case in self.lookalikes if case.false_alarm)

    @property
    def causes(self) -> tuple[CauseScore, ...]:
        labelled = Counter(case.label.cause for case in self.cases)
        named = Counter(case.causes[0] for case in self.cases if case.causes)
        right = Counter(case.label.cause for case in self.cases if case.first)
        return tuple(
            CauseScore(cause, labelled[cause], named[cause], right[cause])
            for cause in Cause
            if labelled[cause] or named[cause]
        )

    @property
    def confusions(self) -> tuple[Scored, ...]:
        """Cases in scope whose right cause did not come first."""
        return tuple(case for case in self.in_scope if not case.first)

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": 1,
            "cases": len(self.cases),
            "inScope": {"cases": len(self.in_scope), "top1": round(self.top1, 4), "top3": round(self.top3, 4)},
            "lookalikes": {
                "cases": len(self.lookalikes),
                "falseCniFailures": [case.label.name for case in self.false_alarms],
            },
            "causes": [
                {
                    "cause": entry.cause.value,
                    "cases": entry.cases,
                    "named": entry.named,
                    "right": entry.right,
                    "precision": None if entry.precision is None else round(entry.precision, 4),
                    "recall": None if entry.recall is None else round(entry.recall, 4),
                }
                for entry in self.causes
            ],
            "confusions": [
                {
                    "case": case.label.name,
                    "cause": case.label.cause.value,
                    "found": [finding.signature for finding in case.diagnosis.findings],
                    "verdict": case.diagnosis.verdict.value,
                }
                for case in self.confusions
            ],
        }

    def to_text(self) -> str:
        """A page for a terminal."""
        lines = [
            f"{len(self.cases)} cases, {len(self.in_scope)} in scope, {len(self.lookalikes)} look-alikes",
            "",
            f"Right cause first          {_percent(self.top1)}  ({sum(c.first for c in self.in_scope)} of {len(self.in_scope)})",
            f"Right cause among three    {_percent(self.top3)}  ({sum(c.among_three for c in self.in_scope)} of {len(self.in_scope)})",
            f"Look-alikes called a CNI failure   {len(self.false_alarms)} of {len(self.lookalikes)}",
            "",
            f"{'cause':34} {'cases':>5} {'named':>5} {'right':>5} {'precision':>9} {'recall':>7}",
        ]
        lines += [
            f"{entry.cause.value:34} {entry.cases:5} {entry.named:5} {entry.right:5} {_percent(entry.precision):>9} {_percent(entry.recall):>7}"
            for entry in self.causes
        ]
        if self.confusions:
            lines += ["", "Not first:"]
            lines += [_line(case) for case in self.confusions]
        if self.false_alarms:
            lines += ["", "False CNI failures:"]
            lines += [_line(case) for case in self.false_alarms]
        return "\n".join(lines) + "\n"


def score(cases: Iterable[Scored]) -> Score:
    """Compare diagnoses with labels."""
    return Score(tuple(sorted(cases, key=lambda case: case.label.name)))


def _line(case: Scored) -> str:
    found = ", ".join(finding.signature for finding in case.diagnosis.findings[:3]) or "nothing"
    return f"  {case.label.name}: {case.label.cause.value}; found {found} ({case.diagnosis.verdict.value})"


def _share(right: Iterable[bool]) -> float:
    values = list(right)
    return sum(values) / len(values) if values else 0.0


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f}%"
