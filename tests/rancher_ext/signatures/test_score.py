from rancher_ext.bundle.facts import ClusterFacts
from rancher_ext.signatures.match import Diagnosis, Finding
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

    assert "Right cause first          25%  (1 of 4)" in text
    assert "Look-alikes called a CNI failure   1 of 2" in text
    assert "2-second: rbac-forbidden; found sig-image-pull, sig-rbac-forbidden (cni-failure)" in text
    assert document["inScope"] == {"cases": 4, "top1": 0.25, "top3": 0.5}
    assert document["lookalikes"]["falseCniFailures"] == ["6-false-alarm"]
    assert document["confusions"][2] == {"case": "4-nothing", "cause": "image-pull", "found": [], "verdict": "unknown"}


def test_no_case_at_all_is_no_division_by_zero():
    assert score([]).top1 == 0.0
    assert "0 cases" in score([]).to_text()
