"""Text from clusters and people stays text: no link, no mention, no markup, whatever it says."""

import html
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.reports.escape import JOINER, code_block, code_span, escape_markdown, plain_title, table_cell

NASTY = st.text(
    alphabet=st.sampled_from(list("@#`<>!-[]()*_~|\\&$:/.w hGtp12aFx\n\r\t\u202e\u200b\x00")) | st.characters(),
    max_size=60,
)
# What GitHub's second pass turns into links, in a reader that is stricter than GitHub's own.
LINKS = [
    re.compile(r"@"),
    re.compile(r"#[0-9]"),
    re.compile(r"(?i)gh-[0-9]"),
    re.compile(r"(?i)[a-z]+://"),
    re.compile(r"(?i)www\."),
    re.compile(r"(?i)mailto:|xmpp:"),
    re.compile(r"(?i)(?<![0-9a-z])[0-9a-f]{7,40}(?![0-9a-z])"),
]
UNESCAPED = re.compile(r"(?<!\\)(?:\\\\)*[`*_\[\]~|]")


def shown(escaped):
    """What a reader sees: backslashes and entities resolved, look-alikes taken for what they look like."""
    text = html.unescape(re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", escaped))
    return text.replace(JOINER, "").replace("＠", "@").replace("＃", "#").replace("＄", "$")


@given(NASTY)
@example("@maria see #12, acme/fleet#3, GH-7, https://x.y, www.x.y, a@b.c, mailto:a")
@example("<!-- drover:incident:x --> <img src=x onerror=1> `x` ``y`` [a](b) ![c](d)")
@example("0123456789abcdef0123456789abcdef01234567")
@example("1. list\n# head\n> quote\n- [ ] task\n    code\n===\n| a | b |\n~~~\n$x$")
@example("\\`escaped\\` \\@x")
def test_escaped_text_is_one_line_and_does_nothing(text):
    escaped = escape_markdown(text)

    for link in LINKS:
        assert link.search(escaped) is None, link.pattern
    assert "<" not in escaped
    assert ">" not in escaped
    assert "$" not in escaped
    assert UNESCAPED.search(escaped) is None
    assert re.search(r"[\x00-\x1f\x7f\u202a-\u202e\u200b]", escaped) is None
    assert re.match(r"\s|[-+=#]|[0-9]{1,9}[.)]", escaped) is None


@given(st.text(alphabet=st.characters(exclude_categories=["Cc", "Cf", "Cs"]), max_size=60))
@example("edge-07 (c-8xk2p): v1.32.2+rke2r1 & 3 * 4 < 13 | ~x~ \\d")
def test_a_reader_sees_what_the_text_says(text):
    look_alikes = text.replace("＠", "@").replace("＃", "#").replace("＄", "$")
    assert shown(escape_markdown(text)) == " ".join(look_alikes.split())


def test_plain_words_are_left_alone():
    assert escape_markdown("Canal, 3 nodes, v1.32.2") == "Canal, 3 nodes, v1.32.2"


def test_characters_that_hide_or_turn_text_are_shown_as_such():
    assert escape_markdown("a\u202eb\x1b[31m") == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}\\[31m"


@given(NASTY)
def test_no_text_ends_an_inline_code(text):
    span = code_span(text)
    fence = re.match(r"`+", span)[0]
    assert span.endswith(fence)
    inner = span[len(fence) : -len(fence)]
    assert "\n" not in span
    assert all(len(run) < len(fence) for run in re.findall(r"`+", inner))
    assert inner != ""


@pytest.mark.parametrize(
    ("text", "span"), [("edge-07", "`edge-07`"), ("a`b", "``a`b``"), ("`", "`` ` ``"), ("", "` `"), ("a\nb", "`a b`")]
)
def test_inline_code_reads_well(text, span):
    assert code_span(text) == span


@given(NASTY)
def test_no_text_ends_a_table_cell(text):
    assert re.search(r"(?<!\\)\|", table_cell(text)) is None
    assert "\n" not in table_cell(text)


@given(NASTY)
@example("```\nx")
@example("a\n````")
@example("~~~")
def test_no_line_ends_a_code_block(text):
    opening, *lines, closing = code_block(text, "diff").split("\n")
    fence = re.match(r"`{3,}", opening)[0]
    assert opening == fence + "diff"
    assert closing == fence
    assert not any(re.match(rf" {{0,3}}{fence}", line) for line in lines)


def test_a_code_block_keeps_lines_and_indentation():
    assert code_block("a\n  b\r\n\nc\n") == "```\na\n  b\n\nc\n```"


@given(NASTY, st.integers(5, 300))
def test_a_title_is_one_short_line_without_backticks(text, limit):
    title = plain_title(text, limit=limit)
    assert len(title) <= limit
    assert "`" not in title
    assert "\n" not in title
