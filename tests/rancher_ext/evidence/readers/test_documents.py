"""Objects as tools write them: lists, streams, damaged files, and files made to do harm."""

import json

import pytest

from rancher_ext.bundle.bundle import Bundle, BundleFile
from rancher_ext.evidence.readers import documents, read_facts
from rancher_ext.evidence.readers.documents import holds_objects, items_of


def items(content, path="x.json", kind=None):
    return [item for item in items_of(BundleFile.of(path, content), kind) if item.text]


def names(content, path="x.json"):
    return [item.value["metadata"]["name"] for item in items(content, path)]


def pod(name):
    return {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": name}}


LISTED = {"apiVersion": "v1", "items": [pod("a"), pod("b")], "kind": "List"}


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(LISTED),
        json.dumps([pod("a"), pod("b")]),
        json.dumps(pod("a")) + "\n" + json.dumps(pod("b"), indent=2),
        json.dumps({"kind": "PodList", "items": [{"metadata": {"name": n}} for n in "ab"]}),
        json.dumps({"items": [{"metadata": {"name": n}} for n in "ab"], "kind": "PodList"}),
        json.dumps(LISTED, indent=2).replace("\n", "\r\n"),
        json.dumps(LISTED).encode("utf-16"),
        b"\xef\xbb\xbf" + json.dumps(LISTED).encode(),
        "Warning: v1 ComponentStatus is deprecated\n" + json.dumps(LISTED),
    ],
)
def test_every_form_of_a_list_in_json(content):
    assert names(content) == ["a", "b"]
    assert {item.value["kind"] for item in items(content)} == {"Pod"}


YAML_LIST = """\
apiVersion: v1
items:
- apiVersion: v1
  kind: Pod
  metadata:
    name: a
  status:
    message: |-
      - not an item
- apiVersion: v1
  kind: Pod
  metadata: {name: b}
kind: List
metadata:
  resourceVersion: ""
"""


@pytest.mark.parametrize(
    "content",
    [
        YAML_LIST,
        YAML_LIST.replace("\n", "\r\n"),
        "---\n" + YAML_LIST,
        "kind: Pod\nmetadata:\n  name: a\n---\nkind: Pod\nmetadata:\n  name: b\n",
        "- kind: Pod\n  metadata:\n    name: a\n- kind: Pod\n  metadata:\n    name: b\n",
        "apiVersion: v1\nkind: PodList\nitems:\n  - metadata:\n      name: a\n    kind: Pod\n  - metadata:\n      name: b\n    kind: Pod\n",
        YAML_LIST.encode("utf-16"),
    ],
)
def test_every_form_of_a_list_in_yaml(content):
    assert names(content, "pods") == ["a", "b"]


def test_items_know_their_lines():
    text = json.dumps(LISTED, indent=2)
    assert [item.first for item in items(text)] == [n for n, line in enumerate(text.split("\n"), 1) if line == "    {"]
    assert [item.first for item in items(YAML_LIST, "pods")] == [3, 10]
    stream = "kind: Pod\nmetadata: {name: a}\n---\nkind: Pod\nmetadata: {name: b}\n"
    assert [item.first for item in items(stream, "pods")] == [1, 3]
    facts = read_facts(Bundle.of({"pods.yaml": stream}))
    assert [(p.name, p.at.line) for p in facts.pods] == [("a", 2), ("b", 5)]


def test_lists_of_other_keys_are_no_items():
    text = "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata:\n  name: r\nsubjects:\n- kind: ServiceAccount\n  name: canal\n  metadata: {name: no}\n"
    assert names(text, "rb.yaml") == ["r"]


def test_what_stands_before_the_damage_is_read():
    whole = json.dumps(LISTED)
    assert names(whole[: whole.index('"b"') + 1]) == ["a"]
    assert names(whole + '\n{"kind": "Pod", "metadata": {"name": "c"') == ["a", "b"]
    assert names(YAML_LIST.replace("{name: b}", "{name: [b"), "pods") == ["a"]


def test_an_empty_list_is_a_listing_of_nothing():
    for text in (json.dumps({"kind": "PodList", "items": []}), "apiVersion: v1\nitems: []\nkind: PodList\n"):
        assert "Pod" in read_facts(Bundle.of({"pods.yaml" if text[0] == "a" else "pods.json": text})).listed


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b'{"kind":"Pod"', True),
        (b'[\n {"apiVersion": "v1"', True),
        (b"apiVersion: v1\nkind: Pod\n", True),
        (b"---\n# c\nkind: Pod\n", True),
        (b"items:\n- apiVersion: v1\n", True),
        (b'{"level":"error","msg":"x"}\n', False),
        (b"kind of strange\n", False),
        (b"I0412 kind: Pod\n", False),
        (b"", False),
    ],
)
def test_logs_in_json_are_no_objects(head, expected):
    assert holds_objects(head, "x") is expected


def test_the_audit_log_has_no_events_of_the_cluster():
    line = json.dumps({"kind": "Event", "apiVersion": "audit.k8s.io/v1", "verb": "get", "stage": "ResponseComplete"})
    facts = read_facts(Bundle.of({"audit-1.txt": f"{line}\n{line}\n"}))

    assert facts.events == ()
    assert "Event" not in facts.listed


@pytest.mark.parametrize(
    "text",
    [
        "kind: Pod\nmetadata: " + "[" * 200_000,
        "kind: Pod\nmetadata:\n" + "- " * 200_000,
        "kind: Pod\nmetadata:\n" + "".join(" " * n + "a:\n" for n in range(1, 900)),
        "kind: Pod\nmetadata: " + "{a: " * 200_000,
        "kind: Pod\nmetadata:\n" + "? " * 200_000,
    ],
    ids=["brackets", "dashes", "indents", "braces", "keys"],
)
def test_yaml_that_nests_deep_does_not_take_the_process_down(text):
    """The C parser calls itself for every level; 200,000 brackets were the end of the process."""
    assert items(text, "x.yaml") == []


def test_aliases_that_unfold_to_gigabytes_are_cut():
    lines = ["kind: Pod", "a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    [item] = items("\n".join(lines) + "\n", "x.yaml")

    assert len(json.dumps(item.value)) < 20_000


def test_merge_keys_that_unfold_to_gigabytes_are_not_merged():
    lines = ["kind: Pod", "a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 9)]
    assert items("\n".join(lines) + "\n", "x.yaml") == []


@pytest.mark.parametrize(
    "value",
    [
        "2025-99-99",
        "!!int x",
        "!!binary '?'",
        "{[a]: b}",
        "9" * 5000,
        "!!python/object:os.system x",
        "0o9",
        "1e99999",
        ".nan",
        "!!timestamp x",
    ],
)
def test_odd_values_of_yaml_are_no_crash(value):
    items(f"kind: Pod\nmetadata: {{name: a}}\nodd: {value}\n", "x.yaml")


def test_values_that_no_expression_can_hold():
    [item] = items(
        '{"kind": "Pod", "big": 99999999999999999999, "huge": 1'
        + "0" * 400
        + ', "half": "\\ud800", "deep": '
        + "[" * 90
        + "]" * 90
        + "}"
    )

    assert isinstance(item.value["big"], float)
    assert item.value["half"].encode()
    assert json.dumps(item.value["deep"]).count("[") < 70


def test_half_broken_streams_do_not_take_the_square_of_their_length(monkeypatch):
    """Every `{` at the beginning of a line may begin a document; after a score of broken ones nobody believes it."""
    begun = []
    read = documents._JsonReader.read
    monkeypatch.setattr(documents._JsonReader, "read", lambda self: (begun.append(1), read(self)))
    items('{"kind": [\n' * 5000)

    assert len(begun) <= 20


def test_large_yaml_listings_leave_out_what_says_nothing_of_a_network():
    dull = "".join(
        f"- apiVersion: apps/v1\n  kind: ReplicaSet\n  metadata:\n    name: r{n}\n    x: {'y' * 500}\n"
        for n in range(2500)
    )
    text = f"apiVersion: v1\nitems:\n{dull}- apiVersion: v1\n  kind: Pod\n  metadata:\n    name: a\nkind: List\n"
    facts = read_facts(Bundle.of({"all.yaml": text}))

    assert [p.name for p in facts.pods] == ["a"]
    assert "ReplicaSet" not in facts.listed, "what was left out is not known to be absent"
