"""What do our issues and comments carry besides their text?

A hidden first line, the marker, by which they are found again; and labels. Here also stand GitHub's limits on them.
"""

import re
from collections.abc import Iterable
from hashlib import sha256

LABEL = "drover"
MAX_LABEL = 50
MAX_TITLE = 256
MAX_BODY = 65_536 - 256  # GitHub's limit, less the marker's line

_MARKER = re.compile(r"^<!-- drover:(\S+) -->[ \t]*\r?$", re.MULTILINE)
_GOOD_MARKER = re.compile(r"[A-Za-z0-9._:/@+-]{1,200}")


def check_marker(marker: str) -> None:
    if not _GOOD_MARKER.fullmatch(marker):
        raise ValueError(f"{marker!r} cannot be a marker: letters, digits and ._:/@+- only, at most 200")


def marked(marker: str, body: str) -> str:
    return f"<!-- drover:{marker} -->\n{body}"


def first_marker(body: str | None) -> str:
    found = _MARKER.search(body or "")
    return found[1] if found else ""


def unmarked(body: str) -> str:
    return _MARKER.sub("", body, count=1).removeprefix("\n")


def fitting_title(title: str) -> str:
    return title.strip()[:MAX_TITLE]


def same(one: str, other: str) -> bool:
    """Browsers send CRLF, and GitHub trims the end."""
    return one.replace("\r\n", "\n").strip() == other.replace("\r\n", "\n").strip()


def with_label(labels: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((LABEL, *labels)))


def fitting_label(label: str) -> str:
    """GitHub refuses labels of more than 50 characters; a long cluster name must not stop its incident."""
    if len(label) <= MAX_LABEL:
        return label
    return f"{label[: MAX_LABEL - 7]}-{sha256(label.encode()).hexdigest()[:6]}"
