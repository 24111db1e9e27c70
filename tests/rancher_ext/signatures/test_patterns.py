import hyperscan
import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from rancher_ext.signatures.patterns import SCAN_FLAGS, compiled, for_scanning, found_in, problem_with_pattern


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("", "empty string"),
        ("(foo)?", "empty string"),
        (r"\d", "ordinary log lines"),
        (".", "ordinary log lines"),
        ("foo(?!bar)", "no look-around"),
        (r"(a)\1", "no look-around, no back-references"),
        ("(unclosed", "does not compile"),
        ("foo.*", "leave it out"),
        (r"two\nlines", "one line"),
        ("two\nlines", "one line"),
        (r"\Astart", "write ^"),
        ("x{1,5000}", "does not compile"),
        (r"f(\w{1,900}){3}g", "does not compile"),
    ],
)
def test_a_pattern_that_must_not_run_is_refused_with_a_reason(pattern, said):
    assert said in problem_with_pattern(pattern)


@pytest.mark.parametrize(
    "pattern", ["Failed to check br_netfilter", r'node "[^"]+" pod cidr', "(?i)FOO bar", r"^E\d+ .*main", r"C:\\next"]
)
def test_ordinary_patterns_are_fine(pattern):
    assert problem_with_pattern(pattern) is None


@pytest.mark.parametrize(
    ("pattern", "scanned"),
    [
        (r'a[^"]+b', r'a[^\n"]+b'),
        (r"a\sb\S", r"a[^\S\n]b\S"),
        (r"[\s\]x]\D", r"[\s\]x][^\d\n]"),
        (r"[]^]\W", r"[\]^][^\w\n]"),
        (r"[[:alpha:]\s]+x", r"[[:alpha:]\s]+x"),
        (r"\\s", r"\\s"),
    ],
)
def test_for_scanning_nothing_runs_across_a_line_end(pattern, scanned):
    assert for_scanning(pattern) == scanned


PIECES = st.sampled_from(
    [
        "a",
        "b",
        " ",
        "\\s",
        "\\S",
        "\\d",
        "\\D",
        "\\w",
        "\\W",
        "[^a]",
        "[^\\s]",
        "[ab]",
        "[]a]",
        "[^]b]",
        ".",
        "\\.",
        "\\]",
    ]
)


@given(st.lists(PIECES, min_size=1, max_size=5).map("".join), st.text(alphabet="ab .]1\t", max_size=12))
def test_the_scanning_form_finds_every_line_that_the_pattern_finds(pattern, line):
    """Hyperscan proposes, RE2 decides: what is not proposed would be lost."""
    if compiled(pattern).search(line.encode()) is None:
        return
    found = []

    def on_match(*match):
        found.append(match)

    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(expressions=[for_scanning(pattern).encode()], ids=[0], flags=SCAN_FLAGS)
    database.scan(line.encode(), match_event_handler=on_match)
    assert found


def test_a_pattern_sees_one_line_and_broken_utf_8_hides_nothing():
    assert not found_in(r"one\s+two", "one\ntwo")
    assert not found_in(r"one[^x]+two", "one\ntwo")
    assert found_in("two$", "one\ntwo\nthree")
    assert compiled("a.b").search(b"a\xffb") is not None
    assert compiled("é").search("é".encode()) is not None


def test_compiled_refuses_what_is_no_pattern():
    with pytest.raises(re2.error):
        compiled("(")
