"""What do tests and the demo see of the simulated GitHub? Plain frozen values, copied under the lock."""

from dataclasses import dataclass
from datetime import datetime

from bot.simulator.state import Comment, Issue


@dataclass(frozen=True)
class SeenComment:
    id: int
    author: str
    body: str
    created_at: datetime
    updated_at: datetime
    reactions: tuple[str, ...]  # contents in order, such as ("eyes", "rocket")


@dataclass(frozen=True)
class SeenIssue:
    number: int
    author: str
    title: str
    body: str
    labels: tuple[str, ...]
    open: bool
    state_reason: str | None
    created_at: datetime
    updated_at: datetime
    comments: tuple[SeenComment, ...]
    reactions: tuple[str, ...]

    @property
    def state(self) -> str:
        return "open" if self.open else "closed"


def seen_comment(comment: Comment) -> SeenComment:
    contents = tuple(reaction.content for reaction in comment.reactions)
    return SeenComment(comment.id, comment.author, comment.body, comment.created_at, comment.updated_at, contents)


def seen_issue(issue: Issue) -> SeenIssue:
    return SeenIssue(
        number=issue.number,
        author=issue.author,
        title=issue.title,
        body=issue.body,
        labels=tuple(issue.labels),
        open=issue.open,
        state_reason=issue.state_reason,
        created_at=issue.created_at,
        updated_at=issue.updated_at,
        comments=tuple(seen_comment(comment) for comment in issue.comments),
        reactions=tuple(reaction.content for reaction in issue.reactions),
    )
