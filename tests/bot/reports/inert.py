"""Does a Markdown text do anything besides showing itself? What GitHub's two passes would make of it, as far as it matters."""

import re
from collections.abc import Iterator

from markdown_it import MarkdownIt
from markdown_it.token import Token

_PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
# What GitHub looks for in rendered text outside code and links: mentions, issue numbers, commits, bare addresses.
_SECOND_PASS = re.compile(
    r"(?<![\w`])@[A-Za-z0-9]|#[0-9]|\bgh-[0-9]|https?://|\bwww\.|(?<![0-9A-Za-z])[0-9a-f]{7,40}(?![0-9A-Za-z])",
    re.IGNORECASE,
)
_OURS = re.compile(r"</?(details|summary|sub)>|\n")


def active(markdown: str) -> list[str]:
    """Everything in the text that is more than text, code, emphasis, lists and tables of ours; own issue numbers are named `#12`."""
    found: list[str] = []
    for token in _flat(_PARSER.parse(markdown)):
        if token.type == "link_open":
            found.append(f"link {token.attrGet('href')}")
        elif token.type == "image":
            found.append(f"image {token.attrGet('src')}")
        elif token.type in {"html_block", "html_inline"}:
            rest = _OURS.sub("", re.sub(r"<summary>[^<]*</summary>", "", token.content))
            found += [f"html {rest}"] if rest.strip() else []
        elif token.type == "text":
            found += _SECOND_PASS.findall(token.content)
        elif token.type in {"heading_open", "hr", "blockquote_open"}:
            found.append(token.type)
    return found


def shown(markdown: str) -> str:
    """The text as a reader sees it, code included."""
    return "\n".join(
        token.content for token in _flat(_PARSER.parse(markdown)) if token.type in {"text", "code_inline", "fence"}
    )


def _flat(tokens: list[Token]) -> Iterator[Token]:
    inside_link = False
    for token in tokens:
        for each in [token, *(token.children or [])]:
            inside_link = (inside_link or each.type == "link_open") and each.type != "link_close"
            if each.type == "inline" or (inside_link and each.type == "text"):
                continue
            yield each
