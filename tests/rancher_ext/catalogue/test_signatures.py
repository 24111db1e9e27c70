import textwrap

import pytest

from rancher_ext.bundle.bundle import Bundle
from rancher_ext.catalogue import diagnose_bundle, shipped_config_dir
from rancher_ext.catalogue.schema_files import schema_texts, write_schemas
from rancher_ext.catalogue.signatures import known_signatures, lint, load_signatures, read_signatures
from rancher_ext.errors import BadInput, ConfigError

SOUND = """\
id: {name}
title: Something is wrong here
cause: rbac-forbidden
when:
  any:
    - text: 'is forbidden'
confidence: 0.8
because: A long enough explanation of it.
since: 2025-01-01
references: [https://example.com/x]
"""


def a_file(folder, name, text=None, **extra):
    body = textwrap.dedent(text) if text else SOUND.format(name=name)
    body += "".join(f"{key}: {value}\n" for key, value in extra.items())
    path = folder / f"{name}.yaml"
    path.write_text(body)
    return path


def problems(*folders):
    return [str(problem).removeprefix(str(folders[0]) + "/") for problem in sorted(set(read_signatures(folders)[1]))]


def test_the_shipped_signatures_are_sound():
    assert [str(problem) for problem in lint()] == []


def test_shipped_signatures_are_loaded_in_order_of_their_ids():
    ids = [signature.id for signature in load_signatures()]

    assert ids == sorted(ids)
    assert {"flannel-br-netfilter-missing", "node-podcidr-not-assigned"} <= set(ids)


def test_every_problem_is_named_with_file_and_line(tmp_path):
    a_file(tmp_path, "bad-pattern", SOUND.format(name="bad-pattern").replace("'is forbidden'", "'a(?!b)'"))
    a_file(tmp_path, "bad-cause", SOUND.format(name="bad-cause").replace("rbac-forbidden", "gremlins"))
    a_file(tmp_path, "bad-yaml", "id: [unclosed\n")
    a_file(tmp_path, "other-name", SOUND.format(name="not-the-file"))
    a_file(tmp_path, "twice", confidence=0.9)

    found = problems(tmp_path)

    assert len(found) == 5
    assert found[0].startswith("bad-cause.yaml:3: cause: Input should be 'pod-cidr-not-assigned'")
    assert found[1].startswith("bad-pattern.yaml:6: when.any.0.text: the pattern does not compile")
    assert found[2].startswith("bad-yaml.yaml:2: not YAML:")
    assert found[3] == "other-name.yaml:1: id: 'not-the-file' is not the file's name"
    assert found[4] == "twice.yaml:11: the key 'confidence' stands here twice"


@pytest.mark.parametrize(
    ("predicate", "said"),
    [
        ("{log: 'x.*', from: {workload: cni}}", "6: when.any.0.log: the pattern ends in .*"),
        ("{log: forbidden, from: {node: '('}}", "6: when.any.0.from.node: the pattern does not compile"),
        ("{log: forbidden, from: [{node: '('}]}", "6: when.any.0.from.0.node: the pattern does not compile"),
        ("{node: 'nodes.size() > 1'}", "6: when.any.0.node: the expression knows no 'nodes'"),
        ("{pod: 'ready', of: {name: '('}}", "6: when.any.0.of.name: the pattern does not compile"),
        ("{event: {message: ''}}", "6: when.any.0.event.message: the pattern matches the empty string"),
        ("{condition: {message: '('}}", "6: when.any.0.condition.message"),
        ("{object: {kind: X, where: 'node.x == 1'}}", "6: when.any.0.object.where: the expression knows no 'node'"),
        ("{age: {of: pod, where: 'taint(\"x\")', more_than: 5m}}", "6: when.any.0.age.where: the expression knows no function 'taint'"),
        ("{absent: {count: {of: {log: '('}, at_least: 1}}}", "6: when.any.0.absent.count.of.log: the pattern does not compile"),
        ("{any: [{log: '('}, {text: fine}]}", "6: when.any.0.any.0.log: the pattern does not compile"),
        ("{together: {by: node, all: [{node: 'nope'}]}}", "6: when.any.0.together.all.0.node: the expression knows no 'nope'"),
        ("{never_since: {of: {log: good}, since: {log: '('}}}", "6: when.any.0.never_since.since.log: the pattern does not compile"),
        ("{never_since: {of: {log: good}, since: {log: bad}, lasting: soon}}", "6: when.any.0.never_since.never_since.lasting: 'soon' is not a duration"),
        ("{event: {reason: X, within: 5}}", "6: when.any.0.event.event.within"),
        ("{pod: 'namespace == \"x\"'}", "6: when.any.0.pod: `namespace` is a reserved word in CEL"),
        ("{absent: {absent: {log: fine}}}", "6: when.any.0: `absent` stands directly inside `absent`"),
        ("{log: fine, if_unknown: match}", "6: when.any.0: if_unknown has a meaning in `when.all` only"),
        ("{none: [{log: fine}]}", "6: when.any.0: a predicate is a mapping with exactly one of the keys"),
        ("{log: '(a{1000}){1000}'}", "6: when.any.0.log: the pattern does not compile: invalid repetition size"),
        ("{log: x, frm: {}}", "6: when.any.0.log.frm: Extra inputs are not permitted"),
    ],
)  # fmt: skip
def test_patterns_and_expressions_are_checked_wherever_they_stand(tmp_path, predicate, said):
    a_file(tmp_path, "s", SOUND.format(name="s").replace("text: 'is forbidden'", predicate))

    [problem] = problems(tmp_path)
    assert problem.startswith(f"s.yaml:{said}")


def test_a_pattern_that_hangs_other_engines_is_harmless(tmp_path):
    """Nested repeats take time that doubles with each letter where patterns are tried by backtracking."""
    a_file(tmp_path, "s", SOUND.format(name="s").replace("'is forbidden'", "'^(x+x+)+y$'"))
    [loaded], wrong = read_signatures([tmp_path])
    assert wrong == []

    assert diagnose_bundle(Bundle.of({"a.log": "x" * 100_000 + "\n"}), [loaded.signature]).findings == ()


def test_nesting_without_end_is_refused_not_followed(tmp_path):
    deep = "{absent: " * 200 + "{log: fine}" + "}" * 200
    a_file(tmp_path, "s", SOUND.format(name="s").replace("text: 'is forbidden'", deep))

    assert problems(tmp_path)


def test_a_users_signature_may_explain_a_shipped_one(tmp_path):
    a_file(tmp_path, "our-own-trouble", explains="[cni-conf-uninitialized]")

    assert lint([tmp_path]) == []
    assert "our-own-trouble" in {signature.id for signature in load_signatures([tmp_path])}


def test_signatures_asked_for_by_name_have_to_exist(tmp_path):
    a_file(tmp_path, "our-own-trouble")

    with pytest.raises(BadInput, match="no signature 'our-own-troubl'") as caught:
        known_signatures([tmp_path], ["our-own-troubl"])
    assert "our-own-trouble" in caught.value.cure


def test_ranges_and_explained_ids_are_checked(tmp_path):
    a_file(tmp_path, "a", applies="{kubernetes: '>=banana'}", explains="[b, bb, missing-entirely]")
    a_file(tmp_path, "b", explains="[a]")
    a_file(tmp_path, "cc", explains="[cc]")

    found = problems(tmp_path)

    assert "a.yaml:11: applies.kubernetes: 'banana' is not a version bound" in found[0] or "banana" in found[0]
    assert "a.yaml:12: explains: 'b' explains 'a', too" in found
    assert any("there is no signature 'bb'; did you mean 'b'?" in problem for problem in found)
    assert any(problem.endswith("there is no signature 'missing-entirely'") for problem in found)
    assert any("cc.yaml:11: explains: names itself" in problem for problem in found)


def test_a_key_that_yaml_takes_for_a_boolean_is_told(tmp_path):
    a_file(
        tmp_path,
        "s",
        SOUND.format(name="s").replace("text: 'is forbidden'", "together: {on: node, all: [{log: fine}]}"),
    )

    assert "s.yaml:6: YAML reads the key 'on' as yes or no" in problems(tmp_path)


def test_explanations_that_go_in_a_circle_explain_nothing(tmp_path):
    a_file(tmp_path, "a", explains="[b]")
    a_file(tmp_path, "b", explains="[c, d]")
    a_file(tmp_path, "c", explains="[a]")
    a_file(tmp_path, "d")

    found = problems(tmp_path)

    assert "a.yaml:11: explains: goes in a circle: 'a' explains 'b' explains 'c' explains 'a'" in found
    assert len(found) == 3


def test_a_users_file_takes_the_place_of_a_shipped_one(tmp_path):
    shipped, own = tmp_path / "shipped", tmp_path / "own"
    shipped.mkdir()
    own.mkdir()
    a_file(shipped, "a")
    a_file(shipped, "b")
    a_file(own, "b", SOUND.format(name="b").replace("Something", "Another thing"))
    a_file(own, "c")

    loaded, wrong = read_signatures([shipped, own])

    assert wrong == []
    assert [(entry.signature.id, entry.shipped, entry.signature.title.split()[0]) for entry in loaded] == [
        ("a", True, "Something"),
        ("b", False, "Another"),
        ("c", False, "Something"),
    ]


def test_all_problems_come_in_one_error(tmp_path):
    a_file(tmp_path, "broken", "id: x\n")

    with pytest.raises(ConfigError, match=r"broken\.yaml:1: title: Field required") as caught:
        load_signatures([tmp_path])

    assert "problems in the signatures" in str(caught.value)
    assert "signatures lint" in caught.value.cure


def test_a_folder_that_is_not_there_is_a_problem(tmp_path):
    assert problems(tmp_path / "none") == [f"{tmp_path / 'none'}:1: there is no such folder of signatures"]


def test_the_schema_for_editors_is_current(tmp_path):
    """After a change of the models: python -m rancher_ext.catalogue.schema_files"""
    for name, text in schema_texts().items():
        assert (shipped_config_dir() / "schema" / name).read_text() == text
    assert [path.name for path in write_schemas(tmp_path)] == ["signature.json"]
