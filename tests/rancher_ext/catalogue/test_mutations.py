"""A predicate that nobody would miss is found, with its line."""

import textwrap
from pathlib import Path

import pytest

from rancher_ext.catalogue.mutations import mutants, survivors
from rancher_ext.catalogue.signatures import read_signatures, signature_dirs
from tests.rancher_ext.signatures.builders import a_signature

ROOT = Path(__file__).parents[2] / "signatures"

SIGNATURE = """\
id: mine
title: Something is wrong here
cause: rbac-forbidden
when:
  all:
    - text: 'BROKEN'
  any:
    - text: 'by one'
    - text: ['by two', 'by three']
  none:
    - text: 'CURED'
confidence: 0.8
because: A long enough explanation of it.
since: 2025-01-01
references: [https://example.com/x]
"""


@pytest.fixture
def catalogue(tmp_path):
    (tmp_path / "signatures").mkdir()
    (tmp_path / "signatures" / "mine.yaml").write_text(textwrap.dedent(SIGNATURE))
    return read_signatures([tmp_path / "signatures"])[0]


def sample(root, name, text):
    path = root / "samples" / "mine" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def places(report):
    return [(survivor.line, ".".join(map(str, survivor.location))) for survivor in report.survivors]


def test_without_the_right_samples_every_alternative_survives(tmp_path, catalogue):
    sample(tmp_path, "hit-a.log", "BROKEN\nby one\nby two\n")
    sample(tmp_path, "miss-a.log", "fine\n")

    report = survivors(tmp_path / "samples", catalogue)

    assert report.tried == 4
    assert places(report) == [(6, "when.all.0"), (8, "when.any.0"), (9, "when.any.1"), (11, "when.none.0")]
    assert str(report.survivors[3]).endswith("mine.yaml:11: when.none.0: no sample of 'mine' needs this predicate")


def test_each_predicate_is_held_by_the_sample_that_needs_it(tmp_path, catalogue):
    sample(tmp_path, "hit-one.log", "BROKEN\nby one\n")
    sample(tmp_path, "hit-two.log", "BROKEN\nby two\n")
    sample(tmp_path, "miss-whole.log", "by one\n")
    sample(tmp_path, "miss-cured.log", "BROKEN\nby one\nCURED\n")
    # Both of these mistakes are made by people, too: a sample that is wrong from the start proves nothing.
    sample(tmp_path, "hit-wrong.log", "fine\n")
    sample(tmp_path, "miss-wrong.log", "BROKEN\nby one\n")

    assert places(survivors(tmp_path / "samples", catalogue)) == []
    assert places(survivors(tmp_path / "samples", catalogue, each_pattern=True)) == [(9, "when.any.1.text.1")]


def test_a_signature_without_a_right_sample_is_named(tmp_path, catalogue):
    sample(tmp_path, "hit-wrong.log", "fine\n")

    report = survivors(tmp_path / "samples", catalogue, ["mine"])

    assert report.untested == ("mine",)
    assert len(report.survivors) == report.tried


def test_a_hit_that_loses_its_first_place_is_noticed(tmp_path):
    """An exclusion may be there to rank a signature, not only to silence it."""
    (tmp_path / "signatures").mkdir()
    for name, extra in (("mine", ""), ("other", "confidence: 0.9\n")):
        text = SIGNATURE.replace("id: mine", f"id: {name}")
        if name == "other":
            text = text.replace("confidence: 0.8\n", extra)
        (tmp_path / "signatures" / f"{name}.yaml").write_text(text)
    loaded, problems = read_signatures([tmp_path / "signatures"])
    assert problems == []
    sample(tmp_path, "hit-a.log", "BROKEN\nby one\n")

    # `other` comes first, so the sample is wrong from the start.
    assert survivors(tmp_path / "samples", loaded, ["mine"]).untested == ("mine",)


def test_what_lies_inside_a_group_is_a_predicate_of_its_own():
    signature = a_signature(
        when={"all": [{"text": "BROKEN"}, {"any": [{"text": "one"}, {"text": "two"}]}], "none": [{"text": "CURED"}]}
    )

    assert [".".join(map(str, mutant.location)) for mutant in mutants(signature)] == [
        "when.all.0",
        "when.all.1",
        "when.all.1.any.0",
        "when.all.1.any.1",
        "when.none.0",
    ]


def test_every_predicate_of_the_shipped_signatures_is_needed_by_a_sample():
    loaded = read_signatures(signature_dirs())[0]

    report = survivors(ROOT, loaded)

    assert report.tried > len(loaded)
    assert [str(survivor) for survivor in report.survivors] == []
    assert report.untested == ()
