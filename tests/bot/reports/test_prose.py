from hypothesis import given
from hypothesis import strategies as st

from bot.reports.prose import fence, link, page_link, place, prose, prose_cell
from tests.bot.reports.inert import active, shown


def test_names_of_files_and_modules_become_code():
    assert prose("load br_netfilter, then read /proc/sys (3/3) or and/or.") == (
        "load `br_netfilter`, then read `/proc/sys` (3/3) or and/or."
    )


def test_code_of_the_catalogue_stays_code():
    assert prose("run `modprobe br_netfilter` as root") == "run `modprobe br_netfilter` as root"


def test_spans_that_touch_stay_apart():
    assert [each for each in shown(prose("x `a` _b `c`")).split("\n") if each.strip()] == ["x ", "a", "_b", "c"]


def test_a_bar_in_code_does_not_end_a_table_cell():
    row = f"| a | b |\n|---|---|\n| {prose_cell('x `a|b` c|d_e')} | end |"
    assert "end" in shown(row)
    assert shown(row).count("a|b") == 1


@given(st.text(alphabet="ab_`|/@#1 \\*[]()<>&:.\n-", max_size=60))
def test_prose_is_inert_and_loses_no_letter(text: str):
    markdown = "x " + prose(text)
    assert active(markdown) == []
    letters = [char for char in text if char in "ab"]
    assert [char for char in shown(markdown) if char in "ab"] == letters


def test_only_plain_web_addresses_become_links():
    assert link("https://docs.example/a#b") == "[docs.example/a#b](https://docs.example/a#b)"
    for url in (
        "javascript:alert(1)",
        "https://a.example/)[x](https://b.example",
        "//a",
        "https://a.example/ b",
        "https://@x",
    ):
        assert active(link(url)) == []
    assert page_link("page", "https://drover.example/)") == "page"


def test_a_log_line_is_named_by_its_pod_and_container():
    assert place("logs/kube-system/canal-7/kube-flannel.log") == "`kube-system/canal-7` container `kube-flannel`"
    assert place("logs/a/b/c.previous.log") == "`a/b` container `c`, its previous run"
    assert place("events.txt") == "`events.txt`"


def test_a_long_block_is_cut_and_counted():
    block = fence("\n".join(f"line {number}" for number in range(30)), lines=5)
    assert block == "```\nline 0\nline 1\nline 2\nline 3\nline 4\n… 25 more lines\n```"
