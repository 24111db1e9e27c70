"""How does an issue look to a person? Enough of GitHub's Markdown to read one in a browser.

Everything is escaped first and only then dressed in tags of ours, so no text can bring markup of its own: the few HTML tags
that issues use (details, summary, sub, br) are let through without attributes.
"""

import re
from collections.abc import Callable
from html import escape

DEEPEST = 6
_FENCE = re.compile(r"^(\s*)(`{3,}|~{3,})[ \t]*([\w-]*)[^`]*$")
_HEADING = re.compile(r"^ {0,3}(#{1,6})[ \t]+(.*?)[ \t]*#*$")
_ITEM = re.compile(r"^( {0,3})(?:([-*+])|([0-9]{1,9})[.)])[ \t]+(.*)$")
_DELIMITERS = re.compile(r"^\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$")
_TAG_LINE = re.compile(r"^ {0,3}</?(?:details|summary)>")
_TAG = re.compile(r"&lt;(/?(?:details|summary|sub|br))&gt;")
_ENTITY = re.compile(r"&amp;(lt|gt|amp|quot|#[0-9]{1,6});")
_HIDDEN = re.compile(r"<!--.*?-->", re.DOTALL)
_CODE = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
_LINK = re.compile(r"\[([^\[\]\n]{1,300})\]\((https?://[^\s()<>]{1,1000})\)")
_BOLD = re.compile(r"\*\*(?=\S)(.+?)(?<=\S)\*\*", re.DOTALL)
_ITALIC = re.compile(r"(?<![\w*])[*_](?=[^\s*_])([^*_]+?)(?<=\S)[*_](?![\w*])")
# Finished pieces wait between these two while the rest is dressed; they are taken out of the text beforehand.
_OPEN, _CLOSE = "\ue000", "\ue001"
_KEPT = re.compile(f"{_OPEN}([0-9]+){_CLOSE}")


def render(text: str) -> str:
    clean = text.replace("\r\n", "\n").replace(_OPEN, "").replace(_CLOSE, "")
    return _blocks(_without_hidden(clean).split("\n"), DEEPEST)


def _without_hidden(text: str) -> str:
    """Comments vanish, except in code blocks, where they are text."""
    parts = re.split(r"(?m)(^[ \t]*(?:`{3,}|~{3,})[^\n]*\n.*?^[ \t]*(?:`{3,}|~{3,})[ \t]*$)", text, flags=re.DOTALL)
    return "".join(part if index % 2 else _HIDDEN.sub("", part) for index, part in enumerate(parts))


def _blocks(lines: list[str], depth: int) -> str:
    if depth == 0:
        return f"<p>{_inline(chr(10).join(lines))}</p>"
    out: list[str] = []
    at = 0
    while at < len(lines):
        line = lines[at]
        if not line.strip():
            at += 1
        elif (fence := _FENCE.match(line)) is not None:
            at = _code_block(lines, at, fence, out)
        elif (heading := _HEADING.match(line)) is not None:
            level = len(heading[1])
            out.append(f"<h{level}>{_inline(heading[2])}</h{level}>")
            at += 1
        elif line.lstrip().startswith(">"):
            end = _while(lines, at, lambda text: text.lstrip().startswith(">"))
            inner = [re.sub(r"^\s*> ?", "", text) for text in lines[at:end]]
            out.append(f"<blockquote>{_blocks(inner, depth - 1)}</blockquote>")
            at = end
        elif "|" in line and at + 1 < len(lines) and _DELIMITERS.match(lines[at + 1]) and "|" in lines[at + 1]:
            end = _while(lines, at, lambda text: "|" in text)
            out.append(_table(lines[at:end]))
            at = end
        elif _ITEM.match(line) is not None:
            at = _list(lines, at, out, depth)
        elif _TAG_LINE.match(line) is not None:
            out.append(_inline(line.strip()))
            at += 1
        else:
            end = _while(lines, at + 1, lambda text: bool(text.strip()) and not _starts_block(text))
            out.append(f"<p>{_inline(chr(10).join(lines[at:end])).replace(chr(10), '<br>')}</p>")
            at = end
    return "\n".join(out)


def _starts_block(line: str) -> bool:
    starts = any(pattern.match(line) for pattern in (_FENCE, _HEADING, _ITEM, _TAG_LINE))
    return starts or line.lstrip().startswith((">", "|"))


def _while(lines: list[str], at: int, holds: Callable[[str], bool]) -> int:
    while at < len(lines) and holds(lines[at]):
        at += 1
    return at


def _code_block(lines: list[str], at: int, fence: re.Match[str], out: list[str]) -> int:
    end = at + 1
    while end < len(lines) and not _closes(lines[end], fence[2]):
        end += 1
    indent = len(fence[1])
    code = "\n".join(text[min(indent, len(text) - len(text.lstrip())) :] for text in lines[at + 1 : end])
    shown = "\n".join(map(_diff_line, code.split("\n"))) if fence[3] == "diff" else escape(code)
    out.append(f"<pre><code>{shown}</code></pre>")
    return end + 1


def _closes(line: str, fence: str) -> bool:
    bare = line.strip()
    return len(bare) >= len(fence) and set(bare) == {fence[0]}


def _diff_line(line: str) -> str:
    kind = {"+": "added", "-": "removed"}.get(line[:1])
    return f'<span class="{kind}">{escape(line)}</span>' if kind else escape(line)


def _list(lines: list[str], at: int, out: list[str], depth: int) -> int:
    first = _ITEM.match(lines[at])
    assert first is not None
    ordered = first[3] is not None
    items: list[list[str]] = []
    while at < len(lines):
        line = lines[at]
        item = _ITEM.match(line)
        if item is not None and (item[3] is not None) == ordered:
            items.append([item[4]])
        elif line.startswith("  ") and line.strip():
            items[-1].append(line[3:] if line.startswith("   ") else line[2:])
        elif not line.strip() and at + 1 < len(lines) and lines[at + 1].startswith("  "):
            items[-1].append("")
        else:
            break
        at += 1
    tag = "ol" if ordered else "ul"
    start = f' start="{int(first[3])}"' if ordered else ""
    out.append(f"<{tag}{start}>" + "".join(f"<li>{_blocks(item, depth - 1)}</li>" for item in items) + f"</{tag}>")
    return at


def _table(lines: list[str]) -> str:
    head, _, *rows = lines
    columns = len(_cells(head))
    top = "".join(f"<th>{_inline(cell)}</th>" for cell in _cells(head))
    body = ""
    for row in rows:
        cells = (_cells(row) + [""] * columns)[:columns]
        body += "<tr>" + "".join(f"<td>{_inline(cell)}</td>" for cell in cells) + "</tr>"
    return f"<table><tr>{top}</tr>{body}</table>"


def _cells(row: str) -> list[str]:
    inner = row.strip().removeprefix("|")
    inner = inner[:-1] if inner.endswith("|") and not inner.endswith("\\|") else inner
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", inner)]


def _inline(text: str) -> str:
    kept: list[str] = []

    def keep(html: str) -> str:
        kept.append(html)
        return f"{_OPEN}{len(kept) - 1}{_CLOSE}"

    text = _CODE.sub(lambda found: keep(f"<code>{escape(_trimmed(found[2]))}</code>"), text)
    text = _ESCAPED.sub(lambda found: keep(escape(found[1])), text)
    text = _ENTITY.sub(r"&\1;", _TAG.sub(r"<\1>", escape(text, quote=False)))
    text = _LINK.sub(r'<a href="\2" rel="noreferrer">\1</a>', text.replace('"', "&quot;"))
    text = _ITALIC.sub(r"<em>\1</em>", _BOLD.sub(r"<strong>\1</strong>", text))
    # A kept piece may itself stand in code that was kept later: innermost last.
    while _KEPT.search(text):
        text = _KEPT.sub(lambda found: kept[int(found[1])], text)
    return text


def _trimmed(code: str) -> str:
    """One space on each side belongs to the backticks, not to the code."""
    if code.startswith(" ") and code.endswith(" ") and code.strip():
        return code[1:-1]
    return code
