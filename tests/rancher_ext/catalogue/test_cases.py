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

CASES = Path(os.environ.get("DROVER_CASES") or Path(__file__).parents[4] / "shared" / "data" / "cases")


@pytest.fixture(scope="module")
def result():
    if not CASES.is_dir():
        pytest.skip("the labelled cases are not beside this project; set DROVER_CASES to their folder")
    return score_cases(CASES, load_signatures())


def test_the_right_cause_comes_first_in_three_of_four_cases(result):
    assert result.top1 >= 0.75, result.to_text()


def test_at_most_one_lookalike_is_called_a_cni_failure(result):
    assert len(result.false_alarms) <= 1, result.to_text()


def test_no_cni_failure_without_lines(result):
    for case in result.cases:
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
