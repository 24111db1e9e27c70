"""How good is the whole catalogue on cases that people reported?"""

import json
import os
from pathlib import Path

import pytest

from rancher_ext.bundle.redact import Redactor
from rancher_ext.catalogue.analyze import analyze
from rancher_ext.catalogue.cases import score_cases
from rancher_ext.catalogue.redaction import load_redaction
from rancher_ext.catalogue.signatures import load_signatures
from rancher_ext.errors import BadInput
from tests.rancher_ext.signatures.builders import a_signature

OWN = Path(__file__).parents[2] / "cases"
SHARED = Path(os.environ.get("DROVER_CASES") or Path(__file__).parents[4] / "shared" / "data" / "cases")


@pytest.fixture(scope="module")
def own():
    return score_cases(OWN, load_signatures())


@pytest.fixture(scope="module")
def shared():
    if not SHARED.is_dir():
        pytest.skip("the labelled cases are not beside this project; set DROVER_CASES to their folder")
    return score_cases(SHARED, load_signatures())


def test_the_right_cause_comes_first_in_19_of_20_own_cases(own):
    assert len(own.cases) >= 60
    assert own.shortcomings(min_top1=0.95, max_false_alarms=0.02) == [], own.to_text()


def test_the_right_cause_comes_first_in_92_of_100_reported_cases(shared):
    assert shared.shortcomings(min_top1=0.92, max_false_alarms=0.02) == [], shared.to_text()


def test_nine_in_ten_is_what_90_percent_sure_means(own):
    """Asked of many findings: a few right ones would prove nothing."""
    sure = own.calibration.sure

    assert sure.count >= 50
    assert sure.share >= 0.9, own.to_text()
    assert own.calibration.brier <= 0.15, own.to_text()


def test_no_cause_without_lines(own):
    for case in own.cases:
        for finding in case.diagnosis.findings:
            assert finding.evidence, (case.label.name, finding.signature)


def a_case(root, name, label, **files):
    folder = root / name
    folder.mkdir()
    (folder / "case.json").write_text(label if isinstance(label, str) else json.dumps(label))
    for file, text in files.items():
        (folder / f"{file}.txt").write_text(text)


def test_the_label_itself_is_no_evidence(tmp_path):
    a_case(tmp_path, "a", {"cause": "rbac-forbidden", "in_scope": True, "note": "BROKEN"}, events="fine\n")
    a_case(tmp_path, "b", {"cause": "rbac-forbidden", "in_scope": True}, events="BROKEN\n")

    result = score_cases(tmp_path, [a_signature(cause="rbac-forbidden")])

    assert [case.first for case in result.cases] == [False, True]


@pytest.mark.parametrize("label", ["{", "[]", {"cause": "gremlins", "in_scope": True}, {"in_scope": True}])
def test_a_label_without_known_cause_is_an_error(tmp_path, label):
    a_case(tmp_path, "a", label, events="x")

    with pytest.raises(BadInput, match="is no label"):
        score_cases(tmp_path, [])


def test_several_folders_are_one_score(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        a_case(tmp_path / name, "a", {"cause": "rbac-forbidden", "in_scope": True}, events="BROKEN\n")

    result = score_cases([tmp_path / "one", tmp_path / "two"], [a_signature(cause="rbac-forbidden")])

    assert len(result.cases) == 2
    assert all(case.seconds > 0 for case in result.cases)


def test_a_folder_without_cases_is_an_error(tmp_path):
    with pytest.raises(BadInput, match="holds no labelled case"):
        score_cases(tmp_path, [])


def test_analyze_reads_a_path(tmp_path):
    (tmp_path / "paste.log").write_text("so BROKEN\n")

    assert analyze(tmp_path / "paste.log", [a_signature()]).best.evidence[0].source == "paste.log"


def test_lines_of_a_foreign_bundle_are_masked_before_they_are_quoted(tmp_path):
    (tmp_path / "paste.log").write_text("BROKEN password: hunter2\n")

    diagnosis = analyze(tmp_path / "paste.log", [a_signature()], Redactor(load_redaction(), b"k" * 32).text)

    assert "hunter2" not in json.dumps(diagnosis.to_json())
    assert diagnosis.best.evidence[0].text.startswith("BROKEN password: <masked:")
