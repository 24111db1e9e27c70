import hyperscan
import pytest
import re2
from hypothesis import assume, given
from hypothesis import strategies as st

from rancher_ext.signatures.patterns import (
    SCAN_FLAGS,
    ScanForm,
    compiled,
    found_in,
    problem_with_pattern,
    scanning_form,
)


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
        (r"\Q[ok]\E", "before each special character"),
        ("(?i)größe", "both forms"),
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
        (r'a[^"]+b', r'(?:a[^\n"]+b).*\n'),
        (r"a\sb\S", r"(?:a[\t\f\r ]b[^\t\n\f\r ]).*\n"),
        (r"[\s\]x]\D", r"(?:[\t\f\r \]x][^\d\n]).*\n"),
        (r"[]^]\W", r"(?:[\]^][^\w\n]).*\n"),
        (r"\\s", r"(?:\\s).*\n"),
        (r"a\s$", r"a[\t\f\r ]$"),
    ],
)
def test_in_the_scanning_form_nothing_runs_across_a_line_end(pattern, scanned):
    assert scanning_form(pattern) == ScanForm(scanned, sure=True)


@pytest.mark.parametrize(
    "pattern",
    [
        r"[[:alpha:]\s]+x",  # the engines' named classes hold different characters
        r"(?s)one.*two",
        r"a\x0ab",
        r"a[\t-x]b",
        "a[\t-x]b",
        r"(a$|b)",
        r"a|b$",
        r"(?U)a+",
    ],
)
def test_what_the_engines_may_read_differently_is_only_proposed(pattern):
    assert not scanning_form(pattern).sure


PIECES = st.sampled_from(
    [
        r"a",
        r"b",
        r".",
        r"$",
        r"^",
        r"|",
        r"\.",
        r"\]",
        r"\b",
        r"\t",
        r"é",
        r"(?:a|b)",
        r"(?i:A)",
        r"(?s:.)",
        r"[[:space:]]",
        r"[^[:alpha:]]",
        r"\s",
        r"\S",
        r"\d",
        r"\D",
        r"\w",
        r"\W",
        r"\v",
        r"[^a]",
        r"[ab]",
        r"[]a]",
        r"[^]b]",
        r"[\[\]]",
        r"[\x00-a]",
        r"[!-\]]",
        r"[^\s]",
        r"[\s]",
        r"[\S]",
        r"[^\S]",
        r"[\D]",
        r"[^\D]",
        r"[\W]",
        r"[^\W]",
        r"[\v]",
    ]
)
PATTERNS = st.lists(st.tuples(PIECES, st.sampled_from(["", "", "", "+", "*", "{2}"])), min_size=1, max_size=5).map(
    lambda parts: "".join(piece + ("" if piece in {"^", "$", "|", r"\b"} else times) for piece, times in parts)
)


@given(PATTERNS, st.integers(0, 70), st.lists(st.text(alphabet="abA .]1\t\v\f\0é_\xa0", max_size=12), max_size=6))
def test_the_scanning_form_finds_every_line_that_the_pattern_finds(pattern, before, lines):
    """
    What is not proposed would be lost; and what is sure is reported once for each line that RE2 finds, and for no other.

    The engine reads many bytes at once, so that a line's place in the buffer matters: other text stands before.
    """
    assume(compiled(pattern).search(b"") is None)
    lines = ["~" * before, *lines]
    ends = []

    def on_match(_pattern, _from, to, *_):
        ends.append(to)

    form = scanning_form(pattern)
    data = "".join(line + "\n" for line in lines).encode()
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    try:
        database.compile(expressions=[form.expression.encode()], ids=[0], flags=SCAN_FLAGS)
    except hyperscan.error:
        # Such a pattern is refused when it is loaded.
        assert problem_with_pattern(pattern)
        return
    database.scan(data, match_event_handler=on_match)

    reported = [data.count(b"\n", 0, end - 1) for end in ends]
    wanted = [number for number, line in enumerate(lines) if compiled(pattern).search(line.encode()) is not None]
    if form.sure:
        assert sorted(reported) == wanted
    assert set(reported) >= set(wanted)


@pytest.mark.parametrize("pattern", ["[uvwxyz]{2}[aA]+", r"[]a]$", r"[\t-\r ][aA]+", r"b1*$", r"[]a][ab]*$"])
def test_the_engine_loses_no_match_of_two_classes_in_a_row(pattern):
    """
    Vectorscan 5.4.12 (python-hyperscan 0.7.23 to 0.9.1) finds these at the beginning of a buffer alone.
    """
    line = next(text for text in (b"xya", b"]", b"q\ta", b"b") if compiled(pattern).search(text))
    for before in range(150):
        found = []

        def on_match(_pattern, _from, to, *_, found=found):
            found.append(to)

        database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        database.compile(expressions=[scanning_form(pattern).expression.encode()], ids=[0], flags=SCAN_FLAGS)
        database.scan(b"q" * before + b"\n" + line + b"\n", match_event_handler=on_match)
        assert found, before


def test_a_pattern_sees_one_line_and_broken_utf_8_hides_nothing():
    assert not found_in(r"one\s+two", "one\ntwo")
    assert not found_in(r"one[^x]+two", "one\ntwo")
    assert found_in("two$", "one\ntwo\nthree")
    assert compiled("a.b").search(b"a\xffb") is not None
    assert compiled("é").search("é".encode()) is not None


def test_compiled_refuses_what_is_no_pattern():
    with pytest.raises(re2.error):
        compiled("(")
