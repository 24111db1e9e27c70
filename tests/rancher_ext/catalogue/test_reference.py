"""Every example of the reference in config/README.md is one that Drover takes."""

import re
from pathlib import Path

import pytest
import yaml

from rancher_ext.catalogue.signatures import read_signatures
from rancher_ext.signatures.predicate_schema import _KEYS

REFERENCE = (Path(__file__).parents[3] / "config" / "README.md").read_text(encoding="utf-8")
PREDICATES = REFERENCE.partition("\n### Predicates\n")[2].partition("\n### How findings are judged\n")[0]
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PREDICATES, re.DOTALL)

SIGNATURE = {
    "id": "example",
    "title": "An example of the reference",
    "cause": "rbac-forbidden",
    "confidence": 0.5,
    "because": "A long enough explanation of it.",
    "since": "2025-01-01",
    "references": ["https://example.com/x"],
}


def test_there_are_examples_of_every_predicate():
    written = "".join(EXAMPLES)

    assert [key for key in _KEYS if not re.search(rf"\b{key}:", written)] == []


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.split(":")[0].strip("- \n"))
def test_every_example_is_sound(example, tmp_path):
    parsed = yaml.safe_load(example)
    when = {"all": parsed} if isinstance(parsed, list) else parsed
    (tmp_path / "example.yaml").write_text(yaml.safe_dump(SIGNATURE | {"when": when}))

    assert [str(problem) for problem in read_signatures([tmp_path])[1]] == []
