"""Every shipped signature finds its hits and leaves its misses alone, with the whole catalogue loaded."""

from pathlib import Path

import pytest

from rancher_ext.catalogue.samples import find_samples, run_sample, run_samples, untested
from rancher_ext.catalogue.signatures import read_signatures, signature_dirs
from rancher_ext.errors import BadInput
from tests.rancher_ext.signatures.builders import a_signature

ROOT = Path(__file__).parents[2] / "signatures"


@pytest.fixture(scope="module")
def shipped():
    return tuple(entry.signature for entry in read_signatures(signature_dirs())[0])


@pytest.mark.parametrize("sample", find_samples(ROOT), ids=lambda sample: sample.name)
def test_sample(sample, shipped):
    result = run_sample(sample, shipped)

    assert result.problem is None, f"{sample.name} {result.problem}"


def test_every_signature_has_a_hit_and_a_miss(shipped):
    assert untested(ROOT, shipped) == ()


def write(root, name, text):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_what_a_sample_promises_is_checked(tmp_path):
    sample = a_signature("mine", when={"any": [{"text": "BROKEN"}]})
    stronger = a_signature("stronger", when={"any": [{"text": "BROKEN twice"}]}, confidence=0.9)
    write(tmp_path, "mine/hit-found.log", "BROKEN\n")
    write(tmp_path, "mine/hit-folder/events.txt", "BROKEN\n")
    write(tmp_path, "mine/hit-second.log", "BROKEN twice\n")
    write(tmp_path, "mine/hit-also-second.log", "BROKEN twice\n")
    write(tmp_path, "mine/hit-nothing.log", "fine\n")
    write(tmp_path, "mine/miss-found.txt", "BROKEN\n")
    write(tmp_path, "mine/miss-left-alone.txt", "fine\n")
    write(tmp_path, "gone/hit-x.log", "BROKEN\n")

    results = {result.sample.name: result.problem for result in run_samples(tmp_path, [sample, stronger])}

    assert results == {
        "mine/hit-found.log": None,
        "mine/hit-folder": None,
        "mine/hit-second.log": "came after 'stronger'",
        "mine/hit-also-second.log": None,
        "mine/hit-nothing.log": "was not found; found: nothing",
        "mine/miss-found.txt": "was found, and should not be",
        "mine/miss-left-alone.txt": None,
        "gone/hit-x.log": "there is no signature 'gone'",
    }
    assert [r.sample.name for r in run_samples(tmp_path, [sample], ["gone"])] == ["gone/hit-x.log"]
    assert untested(tmp_path, [sample, stronger]) == ("stronger",)


def test_a_file_that_is_neither_hit_nor_miss_is_a_mistake(tmp_path):
    write(tmp_path, "mine/sample.log", "x")

    with pytest.raises(BadInput, match=r"sample\.log: is no sample"):
        find_samples(tmp_path)
