"""How often is the named cause the right one?

`score` compares diagnoses with labels: precision and recall per cause, how often the right cause came first or among the
first three, and how often something that is no CNI failure was called one. That last one costs most: people act on it.
Confidence is compared with how often it was justified: of findings called 90% sure, nine in ten should be right.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
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
    """A case with its answer and the seconds it took."""

    label: Label
    diagnosis: Diagnosis
    seconds: float = 0.0

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


# Where confidence is looked at. From SURE on people are told that nothing more is needed.
SURE = 0.9
_BUCKETS = (0.0, 0.3, 0.5, 0.7, 0.8, SURE, 1.01)


@dataclass(frozen=True)
class Bucket:
    """Best findings with a confidence of at least `low` and below `high`: how many, how sure on average, how many right."""

    low: float
    high: float
    count: int
    confidence: float
    right: int

    @property
    def share(self) -> float:
        return self.right / self.count if self.count else 0.0


@dataclass(frozen=True)
class Calibration:
    """Does a confidence of 0.9 mean nine in ten? Asked of the best finding of each case that has one."""

    buckets: tuple[Bucket, ...]
    count: int
    brier: float | None

    @property
    def sure(self) -> Bucket:
        return self.buckets[-1]


@dataclass(frozen=True)
class Score:
    cases: tuple[Scored, ...]

    @property
    def calibration(self) -> Calibration:
        answers = [
            (best.confidence, best.cause is case.label.cause)
            for case in self.cases
            if (best := case.diagnosis.best) is not None
        ]
        brier = sum((sure - right) ** 2 for sure, right in answers) / len(answers) if answers else None
        buckets = []
        for low, high in pairwise(_BUCKETS):
            inside = [(sure, right) for sure, right in answers if low <= sure < high]
            mean = sum(sure for sure, _ in inside) / len(inside) if inside else 0.0
            buckets.append(Bucket(low, min(high, 1.0), len(inside), mean, sum(right for _, right in inside)))
        return Calibration(tuple(buckets), len(answers), brier)

    @property
    def seconds(self) -> Sequence[float]:
        """How long each case took, the longest last."""
        return sorted(case.seconds for case in self.cases)

    @property
    def undecided(self) -> tuple[Scored, ...]:
        """Cases whose evidence, as the diagnosis says itself, does not choose between causes."""
        return tuple(case for case in self.cases if case.diagnosis.undecided is not None)

    def shortcomings(self, min_top1: float | None, max_false_alarms: float | None) -> list[str]:
        """What falls short of the given bounds (both shares of one), in words."""
        short = []
        if min_top1 is not None and self.top1 < min_top1:
            short.append(
                f"the right cause came first in {_percent(self.top1)} of the cases, wanted {_percent(min_top1)}"
            )
        alarms = len(self.false_alarms) / len(self.lookalikes) if self.lookalikes else 0.0
        if max_false_alarms is not None and alarms > max_false_alarms:
            short.append(
                f"{_percent(alarms)} of the look-alikes were called a CNI failure, allowed {_percent(max_false_alarms)}"
            )
        return short

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
        calibration = self.calibration
        return {
            "schema": 1,
            "cases": len(self.cases),
            "inScope": {"cases": len(self.in_scope), "top1": round(self.top1, 4), "top3": round(self.top3, 4)},
            "lookalikes": {
                "cases": len(self.lookalikes),
                "falseCniFailures": [case.label.name for case in self.false_alarms],
            },
            "calibration": {
                "findings": calibration.count,
                "brier": None if calibration.brier is None else round(calibration.brier, 4),
                "sure": {
                    "from": SURE,
                    "findings": calibration.sure.count,
                    "right": calibration.sure.right,
                },
                "buckets": [
                    {
                        "from": bucket.low,
                        "to": bucket.high,
                        "findings": bucket.count,
                        "confidence": round(bucket.confidence, 4),
                        "right": bucket.right,
                    }
                    for bucket in calibration.buckets
                ],
            },
            "seconds": {"total": round(sum(self.seconds), 3), "longest": round(max(self.seconds, default=0.0), 3)},
            "undecided": [case.label.name for case in self.undecided],
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
        """A page for a terminal of 100 columns."""
        first, three = sum(c.first for c in self.in_scope), sum(c.among_three for c in self.in_scope)
        lines = [
            f"{len(self.cases)} cases, {len(self.in_scope)} in scope, {len(self.lookalikes)} look-alikes",
            "",
            f"Right cause first                {_percent(self.top1):>5}  ({first} of {len(self.in_scope)})",
            f"Right cause among three          {_percent(self.top3):>5}  ({three} of {len(self.in_scope)})",
            f"Look-alikes called a CNI failure {len(self.false_alarms):>5}  of {len(self.lookalikes)}",
            *_calibration_lines(self.calibration),
        ]
        if any(self.seconds):
            middle = self.seconds[len(self.seconds) // 2]
            lines.append(
                f"Time                             {sum(self.seconds):4.1f} s  (half of the cases below {middle * 1000:.0f} ms,"
                f" the longest {max(self.seconds) * 1000:.0f} ms)"
            )
        lines += ["", f"{'cause':34} {'cases':>5} {'named':>5} {'right':>5} {'precision':>9} {'recall':>7}"]
        lines += [
            f"{entry.cause.value:34} {entry.cases:5} {entry.named:5} {entry.right:5}"
            f" {_percent(entry.precision):>9} {_percent(entry.recall):>7}"
            for entry in self.causes
        ]
        for title, cases in (
            ("Not first:", self.confusions),
            ("False CNI failures:", self.false_alarms),
        ):
            if cases:
                lines += ["", title]
                lines += [line for case in cases for line in _case_lines(case)]
        if self.undecided:
            lines += ["", "Not decided, and said so:"]
            lines += [f"  {_cut(case.label.name, 96)}" for case in self.undecided]
        return "\n".join(lines) + "\n"


def _calibration_lines(calibration: Calibration) -> list[str]:
    if calibration.brier is None:
        return []
    sure = calibration.sure
    right = f"{_percent(sure.share) if sure.count else '-':>5}  ({sure.right} of {sure.count} findings)"
    note = f"({calibration.count} best findings; 0 is perfect, 0.25 a coin)"
    rows = [
        f"Right of those {SURE:.0%} sure or more   {right}",
        f"Brier score                      {calibration.brier:5.3f}  {note}",
        "",
        f"{'confidence':12} {'findings':>8} {'on average':>10} {'right':>7}",
    ]
    rows += [
        f"{bucket.low:.0%} to {bucket.high:.0%}".ljust(12)
        + f" {bucket.count:8} {_percent(bucket.confidence):>10} {_percent(bucket.share):>7}"
        for bucket in calibration.buckets
        if bucket.count
    ]
    return [*rows, ""]


def score(cases: Iterable[Scored]) -> Score:
    """Compare diagnoses with labels."""
    return Score(tuple(sorted(cases, key=lambda case: case.label.name)))


def _case_lines(case: Scored) -> list[str]:
    found = ", ".join(finding.signature for finding in case.diagnosis.findings[:3]) or "nothing"
    return [
        f"  {_cut(case.label.name, 96)}",
        f"    {_cut(f'{case.label.cause.value}; found {found} ({case.diagnosis.verdict.value})', 94)}",
    ]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _share(right: Iterable[bool]) -> float:
    values = list(right)
    return sum(values) / len(values) if values else 0.0


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f}%"
