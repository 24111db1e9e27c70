from dataclasses import replace

import pytest

from rancher_ext.bundle.facts import ClusterFacts
from rancher_ext.signatures.match import Diagnosis, Finding, Undecided
from rancher_ext.signatures.schema import Cause, Verdict
from rancher_ext.signatures.score import Label, Scored, score


def a_case(name, cause, found=(), *, in_scope=True, verdict=Verdict.CNI_FAILURE):
    findings = tuple(Finding(f"sig-{c.value}", c, verdict, "error", 0.9, "t", (), "b", "", (), ()) for c in found)
    return Scored(Label(name, cause, in_scope), Diagnosis(verdict, ClusterFacts(), findings))


A, B, C, D = Cause.RBAC_FORBIDDEN, Cause.IMAGE_PULL, Cause.CERTIFICATE, Cause.WINDOWS_NODE
CASES = [
    a_case("1-right", A, [A, B]),
    a_case("2-second", A, [B, A]),
    a_case("3-fourth", A, [B, C, D, A]),
    a_case("4-nothing", B, [], verdict=Verdict.UNKNOWN),
    a_case("5-lookalike-left-alone", Cause.HEALTHY_LOOKALIKE, [], in_scope=False, verdict=Verdict.UNKNOWN),
    a_case("6-false-alarm", Cause.OTHER_CNI, [A], in_scope=False),
]


def test_first_and_among_three_are_counted_over_cases_in_scope():
    result = score(CASES)

    assert (len(result.in_scope), len(result.lookalikes)) == (4, 2)
    assert (result.top1, result.top3) == (0.25, 0.5)
    assert [case.label.name for case in result.false_alarms] == ["6-false-alarm"]
    assert [case.label.name for case in result.confusions] == ["2-second", "3-fourth", "4-nothing"]


def test_precision_and_recall_per_cause():
    causes = {entry.cause: entry for entry in score(CASES).causes}

    assert (causes[A].cases, causes[A].named, causes[A].right) == (3, 2, 1)
    assert causes[A].precision == 0.5
    assert causes[A].recall == 1 / 3
    assert causes[B].precision == 0.0
    assert causes[Cause.HEALTHY_LOOKALIKE].precision is None
    assert C not in causes


def test_the_same_cause_found_twice_takes_one_place():
    assert score([a_case("x", C, [A, A, B, C])]).top3 == 1.0


def test_text_and_json_say_the_same():
    result = score(CASES)
    text, document = result.to_text(), result.to_json()

    assert "Right cause first                  25%  (1 of 4)" in text
    assert "Look-alikes called a CNI failure     1  of 2" in text
    assert "  2-second\n    rbac-forbidden; found sig-image-pull, sig-rbac-forbidden (cni-failure)" in text
    assert document["inScope"] == {"cases": 4, "top1": 0.25, "top3": 0.5}
    assert document["lookalikes"]["falseCniFailures"] == ["6-false-alarm"]
    assert document["confusions"][2] == {"case": "4-nothing", "cause": "image-pull", "found": [], "verdict": "unknown"}


def test_no_case_at_all_is_no_division_by_zero():
    empty = score([])

    assert (empty.top1, empty.calibration.brier) == (0.0, None)
    assert empty.to_text().startswith("0 cases")
    assert empty.to_json()["calibration"]["brier"] is None
    assert empty.shortcomings(0.0, 0.0) == []


def sure(confidence, cause, label=A):
    finding = Finding("sig", cause, Verdict.CNI_FAILURE, "error", confidence, "t", (), "b", "", (), ())
    return Scored(Label(f"{confidence}", label, True), Diagnosis(Verdict.CNI_FAILURE, ClusterFacts(), (finding,)), 0.25)


def test_confidence_is_compared_with_how_often_it_was_right():
    result = score([sure(0.95, A), sure(0.9, A), sure(0.9, B), sure(0.5, B), a_case("none", A)])
    calibration = result.calibration

    assert calibration.count == 4
    assert calibration.brier == pytest.approx((0.05**2 + 0.1**2 + 0.9**2 + 0.5**2) / 4)
    assert (calibration.sure.low, calibration.sure.count, calibration.sure.right) == (0.9, 3, 2)
    assert [(b.low, b.count, b.right) for b in calibration.buckets if b.count] == [(0.5, 1, 0), (0.9, 3, 2)]
    text = result.to_text()
    assert "Right of those 90% sure or more     67%  (2 of 3 findings)" in text
    assert "Brier score                      0.268  (4 best findings" in text
    document = result.to_json()
    assert document["calibration"]["sure"] == {"from": 0.9, "findings": 3, "right": 2}
    assert document["seconds"] == {"total": 1.0, "longest": 0.25}


def test_a_confidence_of_one_is_counted_too():
    assert score([sure(1.0, A)]).calibration.sure.count == 1


@pytest.mark.parametrize(
    ("top1", "alarms", "said"),
    [
        (None, None, []),
        (0.25, 0.5, []),
        (0.26, None, ["the right cause came first in 25% of the cases, wanted 26%"]),
        (None, 0.49, ["50% of the look-alikes were called a CNI failure, allowed 49%"]),
    ],
)
def test_a_score_falls_short_of_bounds_it_does_not_reach(top1, alarms, said):
    assert score(CASES).shortcomings(top1, alarms) == said


def test_the_page_fits_a_terminal_of_a_hundred_columns():
    long = [replace(case, label=replace(case.label, name="0" * 140 + case.label.name)) for case in CASES]

    assert max(map(len, score(long).to_text().splitlines())) <= 100


def test_cases_that_were_not_decided_are_listed():
    case = a_case("both", A, [A, B])
    case = replace(case, diagnosis=replace(case.diagnosis, undecided=Undecided(("a", "b"), "why")))

    assert score([case]).to_json()["undecided"] == ["both"]
    assert "Not decided, and said so:\n  both\n" in score([case]).to_text()
    assert "0 cases" in score([]).to_text()
