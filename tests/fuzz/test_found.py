"""What fuzzing found, kept so that it stays mended. (What it found in one module stands with that module's tests.)"""

import pytest

from rancher_ext.catalogue.yaml_lines import Problem, read_yaml
from rancher_ext.fleet.versions import VersionRange
from tests.fuzz.targets import TARGETS, refused_or_done


@pytest.mark.parametrize(
    "text", ["id: " + "[" * 200_000, "id:\n" + "- " * 200_000, "? " * 200_000], ids=["brackets", "dashes", "keys"]
)
def test_a_signature_or_policy_that_nests_deep_is_a_problem_and_not_the_end_of_the_process(tmp_path, text):
    (tmp_path / "mine.yaml").write_text(text)
    problem = read_yaml(tmp_path / "mine.yaml")

    assert isinstance(problem, Problem)
    assert "nested" in problem.message


def test_a_range_of_nothing_but_operators_is_refused_in_linear_time():
    """
    It took the square of its length: minutes for so much, which the time-out of every test is for.
    """
    with pytest.raises(ValueError, match="is not a version bound"):
        VersionRange.parse("=" * 400_000)


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize(
    "data",
    [b"", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"{" * 5000, b"[" * 5000, b"- " * 5000, b"9" * 5000, b"\n" * 5000, b"\x1f\x8b", b"PK\x05\x06" + b"\0" * 18],
    ids=["empty", "zero", "utf-16 mark", "utf-8 mark", "braces", "brackets", "dashes", "digits", "lines", "gzip mark", "empty zip"],
)  # fmt: skip
def test_the_usual_oddities(name, data):
    refused_or_done(TARGETS[name], data)
