"""How does a change read?"""

from rancher_ext.client.changes import Value
from rancher_ext.remediation.diff import field_diff

ITEM = {"spec": {"config": {"network": {"plugin": "canal", "mtu": 0, "list": [1, 2]}}}}
PATH = ("spec", "config", "network", "enable")
ABSENT = Value(present=False)


def value(given):
    return Value(present=True, value=given)


def test_a_new_field_stands_below_its_parents_with_the_siblings_that_matter():
    assert field_diff(ITEM, PATH, ABSENT, value(True), context=("plugin", "missing")) == (
        " config:\n   network:\n     plugin: canal\n+    enable: true"
    )


def test_a_changed_and_a_removed_field():
    assert field_diff(ITEM, PATH, value(False), value(True)) == (
        " config:\n   network:\n-    enable: false\n+    enable: true"
    )
    assert field_diff(ITEM, PATH, value("x"), ABSENT) == " config:\n   network:\n-    enable: x"


def test_text_that_looks_like_a_boolean_is_quoted():
    assert field_diff({}, ("spec", "a"), ABSENT, value("true")) == "+a: 'true'"


def test_every_line_of_a_mapping_or_a_long_text_is_marked():
    shown = field_diff(ITEM, PATH, ABSENT, value({"b": [1, {"c": None}], "a": "one\ntwo"}))
    lines = shown.splitlines()[2:]
    assert len(lines) > 3
    assert all(line.startswith("+    ") or line == "+" for line in lines)


def test_missing_parents_are_shown_too():
    assert field_diff({}, PATH, ABSENT, value(1)) == " config:\n   network:\n+    enable: 1"
