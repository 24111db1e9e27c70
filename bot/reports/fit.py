"""How does a report stay within GitHub's 65,536 characters? Rendered rows are taken while they fit; the rest is counted.

Lengths are measured after escaping: `&` alone may grow to five characters, and a clever log line could make itself long.
"""

from collections.abc import Sequence
from dataclasses import dataclass

# Room for the line that says how much was left out.
_NOTE = 120


@dataclass(frozen=True)
class Fold:
    """A folded section. `title` is ours; `rows` are rendered Markdown, `left_out` what a row is called when it is missing."""

    title: str
    rows: Sequence[str]
    left_out: str
    head: str = ""
    between: str = "\n"

    def render(self, budget: int) -> str:
        """The section within `budget` characters, or nothing when not even its first row fits."""
        frame = f"<details><summary>{self.title}</summary>\n\n{self.head}"
        tail = "\n\n</details>"
        rows, missing = fit(self.rows, budget - len(frame) - len(tail), between=len(self.between))
        if not rows:
            return ""
        note = f"\n\n{missing} more {self.left_out} left out: this issue has no room for them." if missing else ""
        return frame + self.between.join(rows) + note + tail


def fit(rows: Sequence[str], budget: int, *, between: int = 1) -> tuple[Sequence[str], int]:
    """The first rows that fit together, and how many do not."""
    used = _NOTE
    for index, row in enumerate(rows):
        used += len(row) + between
        if used > budget:
            return rows[:index], len(rows) - index
    return rows, 0
