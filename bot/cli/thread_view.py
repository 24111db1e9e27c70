"""How does an issue look in a terminal? As a person sees it on GitHub: folded parts folded, hidden marks hidden."""

import re
from collections.abc import Iterator

from rich.console import Console
from rich.markdown import Markdown
from rich.padding import Padding
from rich.text import Text

from bot.simulator import SeenIssue

_HIDDEN = re.compile(r"<!--.*?-->\n?", re.DOTALL)
_FOLDED = re.compile(r"<details>\s*<summary>(.*?)</summary>.*?</details>", re.DOTALL)
_TAGS = re.compile(r"</?(?:sub|sup|br|summary|details)\s*/?>")
_REACTIONS = {"eyes": "👀", "rocket": "🚀", "confused": "😕", "+1": "👍", "-1": "👎"}


def print_thread(console: Console, issue: SeenIssue) -> None:
    """Title, labels, body and comments."""
    state = Text(" open " if issue.open else " closed ", style="black on green" if issue.open else "white on magenta")
    console.print(Text(f"#{issue.number} ", style="dim") + Text(issue.title, style="bold") + Text("  ") + state)
    console.print(Text("  ".join(issue.labels), style="dim"))
    console.print()
    console.print(Padding(Markdown(_seen(issue.body)), (0, 2)))
    for comment in issue.comments:
        reactions = " ".join(_REACTIONS.get(each, each) for each in comment.reactions)
        console.print()
        console.print(Text(f"── {comment.author} ", style="bold") + Text(reactions))
        console.print(Padding(Markdown(_seen(comment.body)), (0, 2)))


def _seen(body: str) -> str:
    text = _HIDDEN.sub("", body)
    text = _FOLDED.sub(lambda match: f"▸ {_TAGS.sub('', match[1]).strip()}\n", text)
    return "\n".join(_with_breaks(_TAGS.sub("", text).splitlines()))


def _with_breaks(lines: list[str]) -> Iterator[str]:
    """In issues GitHub shows every line end; Markdown wants two spaces for that."""
    fenced = False
    for line in lines:
        fenced ^= line.lstrip().startswith("```")
        plain = line and not fenced and not line.lstrip().startswith(("|", "```", "#"))
        yield f"{line}  " if plain else line
