"""Issues are readable in a browser, and no text of theirs becomes markup of its own."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.reports.escape import code_block, code_span, escape_markdown
from bot.simulator.markdown import render


@pytest.mark.parametrize(
    ("markdown", "html"),
    [
        ("**why** and *how* and `x < y`", "<p><strong>why</strong> and <em>how</em> and <code>x &lt; y</code></p>"),
        ("# Title", "<h1>Title</h1>"),
        ("one\ntwo\n\nthree", "<p>one<br>two</p>\n<p>three</p>"),
        ("```\na <b>\n```", "<pre><code>a &lt;b&gt;</code></pre>"),
        ("```diff\n a\n+b\n```", '<pre><code> a\n<span class="added">+b</span></code></pre>'),
        ("> quoted\n> more", "<blockquote><p>quoted<br>more</p></blockquote>"),
        ("- a\n- b", "<ul><li><p>a</p></li><li><p>b</p></li></ul>"),
        ("2. a\n   more\n3. b", '<ol start="2"><li><p>a<br>more</p></li><li><p>b</p></li></ol>'),
        (
            "| | |\n|---|---|\n| a | `b` |",
            "<table><tr><th></th><th></th></tr><tr><td>a</td><td><code>b</code></td></tr></table>",
        ),
        ("[x](https://a.b/c)", '<p><a href="https://a.b/c" rel="noreferrer">x</a></p>'),
        ("[x](javascript:alert)", "<p>[x](javascript:alert)</p>"),
        (
            "<details><summary>More</summary>\n\ntext\n\n</details>",
            "<details><summary>More</summary>\n<p>text</p>\n</details>",
        ),
        ("<!-- drover:x -->\nbody", "<p>body</p>"),
        ("```\n<!-- drover:x -->\n```", "<pre><code>&lt;!-- drover:x --&gt;</code></pre>"),
        ("\\*not\\* kube\\_proxy", "<p>*not* kube_proxy</p>"),
        ("&lt;b&gt; &amp;", "<p>&lt;b&gt; &amp;</p>"),
    ],
)
def test_it_reads_what_issues_are_written_in(markdown, html):
    assert render(markdown) == html


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, tuple(attrs)))


ALLOWED = [
    "p",
    "br",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "pre",
    "code",
    "span",
    "blockquote",
    "ul",
    "ol",
    "li",
    "table",
    "tr",
    "th",
    "td",
    "a",
    "strong",
    "em",
    "details",
    "summary",
    "sub",
]
PIECES = ["`", "```", "\n", "<img src=x>", "<b>", "<details>", "<!--", "-->", "|", "---", ">", "- ", "1. ", "**", "_"]
PIECES += [
    "[x](",
    "https://a",
    ")",
    '"',
    "'",
    "&lt;",
    "\\",
    "#",
    " ",
    "    ",
    "javascript:x",
    "\ue0000\ue001",
    "<a onclick=x>",
]


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=40).map("".join))
@example(">" * 5_000)
@example("- " * 5_000)
@example('[x](https://a"onclick="b)')
def test_no_text_brings_markup_of_its_own(text):
    tags = Tags()
    tags.feed(render(text))
    for tag, attributes in tags.found:
        assert tag in ALLOWED
        for name, value in attributes:
            assert (tag, name) in {("a", "href"), ("a", "rel"), ("span", "class"), ("ol", "start")}
            assert name != "href" or value.startswith(("https://", "http://"))


@given(st.text(alphabet=st.characters(exclude_categories=["Cc", "Cf", "Cs", "Co"]), min_size=1, max_size=40))
def test_what_reports_escape_is_shown_as_it_was(text):
    """The escaping of reports and this reader agree, though neither knows the other."""
    words = " ".join(text.replace("＠", "@").replace("＃", "#").replace("＄", "$").split())
    tags = Tags()
    tags.feed(escaped := render(escape_markdown(text)))
    assert {tag for tag, _ in tags.found} <= {"p"}
    shown = re.sub(r"<[^>]+>", "", escaped)
    for entity, char in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&#x27;", "'"), ("&amp;", "&")):
        shown = shown.replace(entity, char)
    assert shown.replace("\u2060", "").replace("＠", "@").replace("＃", "#").replace("＄", "$") == words


@given(st.text(alphabet="`<>&| ab\\*_", min_size=1, max_size=20))
def test_code_stays_code(text):
    for written in (code_span(text), code_block(text)):
        tags = Tags()
        tags.feed(render(written))
        assert [tag for tag, _ in tags.found] in (["p", "code"], ["pre", "code"])
