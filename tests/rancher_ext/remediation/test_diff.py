"""How does a change read?"""

from rancher_ext.client.changes import Value
from rancher_ext.remediation.diff import field_diff, object_diff

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


def test_a_long_text_shows_what_was_added_and_a_little_around_it():
    old = "".join(f"line {number}\n" for number in range(20))
    shown = field_diff({}, ("spec", "text"), value(old), value(old + "new\n")).splitlines()
    assert shown == [" … 18 lines as before", "   line 17", "   line 18", "   line 19", "+  new"]


def test_one_argument_more_in_a_list_is_one_line():
    before, after = value(["a=1", "b=2"]), value(["a=1", "b=2", "c=3"])
    assert field_diff({}, ("spec", "kubelet-arg"), before, after) == " kubelet-arg:\n - a=1\n - b=2\n+- c=3"


def test_a_whole_object_is_made_or_deleted():
    made = value({"kind": "Job", "metadata": {"name": "x"}})
    assert object_diff(ABSENT, made) == "+kind: Job\n+metadata:\n+  name: x"
    assert object_diff(made, ABSENT) == "-kind: Job\n-metadata:\n-  name: x"


def test_the_same_value_twice_is_no_change():
    assert object_diff(value({"a": 1}), value({"a": 1})) == " … 1 line as before"


def test_what_others_wrote_around_it_keeps_its_secrets():
    """A diff goes into an issue."""
    before = ["HTTPS_PROXY=http://robot:hunter2@proxy.example:3128", "S3_SECRET_KEY=abcdef0123"]
    shown = field_diff({}, ("spec", "extraEnv"), value(before), value([*before, "OURS=true"]))
    assert "hunter2" not in shown
    assert "abcdef0123" not in shown
    assert "http://robot:<masked:password>@proxy.example:3128" in shown
    assert shown.endswith("+- OURS=true")
    assert shown == field_diff({}, ("spec", "extraEnv"), value(before), value([*before, "OURS=true"]))


def test_values_that_are_taken_out_keep_theirs():
    gone = value({"registry": {"username": "robot", "password": "hunter2"}, "image": "a/b:1"})
    shown = field_diff({}, ("spec", "chart"), gone, ABSENT)
    assert "hunter2" not in shown
    assert "-  image: a/b:1" in shown
