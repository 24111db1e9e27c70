import pytest

from rancher_ext.catalogue.redaction import load_redaction
from rancher_ext.errors import ConfigError


def test_the_shipped_rules_load():
    rules = load_redaction()

    assert {"jwt", "rancher-token", "authorization"} <= {rule.name for rule in rules.rules}
    assert "password" in rules.keys


def test_a_users_file_takes_its_place(tmp_path):
    (tmp_path / "redaction.yaml").write_text("rules: []\nkeys: [hush]\n")

    assert load_redaction(tmp_path).keys == ("hush",)
    assert len(load_redaction(tmp_path / "elsewhere").rules) > 5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "rules:\n- name: a\n  kind: b\n  pattern: '('\nkeys: [x]\n",
            r"yaml:4: rules\.0\.pattern: the pattern cannot be used",
        ),
        ("rules:\n- name: a\n  kind: b\n  pattern: 'x*'\nkeys: [x]\n", "matches the empty string"),
        ("rules: []\n", "keys: Field required"),
        ("rules: []\nkeys: [a]\nextra: 1\n", r"yaml:3: extra"),
        ("rules: [", "not YAML"),
    ],
)
def test_a_wrong_file_names_the_line(tmp_path, text, said):
    (tmp_path / "redaction.yaml").write_text(text)

    with pytest.raises(ConfigError, match=said):
        load_redaction(tmp_path)
