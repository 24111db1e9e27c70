"""A command is what GitHub shows as plain text and a person meant; everything near it is not."""

import re
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.commands.parse import MAX_COMMANDS, ParsedCommand, parse


def named(body):
    return [command.name for command in parse(body)]


class TestCommands:
    def test_a_command_has_a_name_arguments_and_a_line(self):
        assert parse("Looks right to me.\n\n/drover approve 7f3a9c") == [
            ParsedCommand("approve", ("7f3a9c",), "7f3a9c", line=3, known=True)
        ]

    def test_several_come_in_order(self):
        body = "/drover diagnose\nand then\n/drover plan x\n/drover status"
        assert [(command.name, command.line) for command in parse(body)] == [
            ("diagnose", 1),
            ("plan", 3),
            ("status", 4),
        ]

    def test_free_text_is_kept_as_typed(self):
        (command,) = parse("/drover reject  not  during the fair, @tom  ")
        assert command.text == "not  during the fair, @tom"
        assert command.args == ("not", "during", "the", "fair,", "@tom")

    @pytest.mark.parametrize(
        "body",
        [
            "/drover status",
            "   /drover status",
            "/drover   status   ",
            "/drover\tstatus",
            "/DROVER Status",
            "\r\n/drover status\r\n",
            "text\r/drover status",
            "text before\n/drover status\ntext after",
            "> quoted\n\n/drover status",
            "```\ncode\n```\n/drover status",
            "~~~~\ncode\n~~~\n~~~~~\n/drover status",
            "``` not a fence ```\n/drover status",
            "<!-- hidden -->\n/drover status",
            "<!-- hidden\n\nstill -->\n/drover status",
            "a `code` b\n/drover status",
            "a lone ` tick\n/drover status",
            "a lone ` tick\n\nand ` another\n\n/drover status",
            "# heading with ` tick\n/drover status\n# and ` tick",
            "- item ` one\n- item ` two\n\n/drover status",
            "a \\` b\n/drover status\n` c",
            "a <!-- b\n/drover status",
            "<details>\n<summary>x</summary>\n</details>\n\n/drover status",
            "- a list\n/drover status",
            "    code\n\n/drover status",
            "<pre>\nx\n</pre>\n/drover status",
        ],
    )
    def test_it_is_found(self, body):
        assert named(body) == ["status"]

    @pytest.mark.parametrize(
        "body",
        [
            "",
            "drover status",
            "please /drover status",
            "/droverstatus",
            "/drover-status",
            "\\/drover status",
            "> /drover status",
            "   > /drover status",
            ">/drover status",
            "> quoted\n/drover status",
            ">> deeper\n/drover status",
            "    /drover status",
            "\t/drover status",
            "  \t/drover status",
            "paragraph\n    /drover status",
            "```\n/drover status\n```",
            "```bash\n/drover status\n```",
            "~~~\n/drover status\n~~~",
            "~~~\n```\n/drover status\n~~~",
            "````\n```\n/drover status\n````",
            "```\n/drover status",
            "```\n``` x\n/drover status\n```",
            "- ```\n  /drover status\n  ```",
            "1. ~~~\n/drover status\n~~~",
            "`/drover status`",
            "`one\n/drover status\ntwo`",
            "``one `\n/drover status\n``",
            "x \\`` y\n/drover status\n`",
            "# a `\n`x\n/drover status`",
            "<!-- /drover status -->",
            "<!--\n/drover status\n-->",
            "<!--\n\n\n/drover status\n\n-->",
            "text <!--\n/drover status\n--> text",
            "<!-- a --> /drover status",
            "<pre>\n\n/drover status\n</pre>",
            "<details>\n/drover status\n</details>",
            "<blockquote>\n\n/drover status\n\n</blockquote>",
            "/ drover status",
            "／drover status",
        ],
    )
    def test_it_is_not_a_command(self, body):
        assert named(body) == []

    def test_the_word_alone_asks_for_help(self):
        assert named("/drover") == named("/drover  ") == ["help"]


class TestUnknown:
    def test_a_slip_is_kept_with_the_nearest_name(self):
        (command,) = parse("/drover aprove 7f3a9c")
        assert (command.name, command.known, command.did_you_mean) == ("aprove", False, "approve")
        assert command.args == ("7f3a9c",)

    def test_something_else_is_kept_without(self):
        (command,) = parse("/drover xyzzy")
        assert (command.name, command.known, command.did_you_mean) == ("xyzzy", False, None)

    def test_the_caller_may_say_what_is_known(self):
        (command,) = parse("/drover snooze 2h", known={"snooze"})
        assert command.known


def test_nobody_can_ask_for_a_hundred_things_at_once():
    assert len(parse("/drover status\n" * 100)) == MAX_COMMANDS


PIECES = st.sampled_from(
    [
        "/drover",
        "/drover approve abcdef",
        "\n",
        "\r\n",
        "\r",
        " ",
        "    ",
        "\t",
        "`",
        "``",
        "```",
        "~~~",
        ">",
        "<!--",
        "-->",
        "<pre>",
        "</pre>",
        "<details>",
        "\\",
        "#",
        "- ",
        "1. ",
        "text",
        "<",
        "\x0b",
        "\u2028",
        "\udcff",
    ]
)


@given(st.lists(PIECES, max_size=40).map("".join) | st.text(max_size=200))
@example("`" * 50)
@example("<!--" * 20)
def test_no_text_makes_it_raise_and_every_command_was_typed(body):
    for command in parse(body):
        line = re.split(r"\r\n|\r|\n", body)[command.line - 1]
        assert line.strip().lower().startswith("/drover")
        assert command.text in line


@given(st.lists(PIECES, max_size=20).map("".join))
def test_quoting_a_comment_disarms_it(body):
    quoted = "\n".join("> " + line for line in re.split(r"\r\n|\r|\n", body))
    assert parse(quoted) == []


@given(st.lists(PIECES.filter(lambda piece: "`" not in piece), max_size=20).map("".join))
def test_fencing_a_comment_disarms_it(body):
    assert parse(f"```\n{body}\n```") == []


@pytest.mark.parametrize(
    "unit",
    [
        "`",
        "` ",
        "`a` ",
        "``` ",
        "<!--",
        "<!-- -->",
        "-->",
        "\\`",
        "/drover x\n",
        "`\n/drover x\n",
        "<!--\n/drover x\n",
        "`a`\n",
        "> a\n",
        "- ",
        "1. ",
        "\t",
        "<a ",
        "/drover" + " ",
    ],
)
def test_work_grows_with_the_text_only(unit):
    """
    Eight times the text takes about eight times the steps, never sixty-four times. Steps are counted, not seconds.
    """

    def cost(length):
        steps = 0

        def count(_frame, _event, _argument):
            nonlocal steps
            steps += 1
            return count

        body = (unit * length)[:length]
        before = sys.gettrace()
        sys.settrace(count)
        try:
            parse(body)
        finally:
            sys.settrace(before)
        return steps

    small, large = cost(2_000), cost(16_000)
    assert large < max(small, 200) * 8 * 1.5
