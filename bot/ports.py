"""What does the service need from outside? One page, in the product's words.

Adapters implement these: GitHub, the database, the file system, the clock. `bot.adapters.in_memory` has one of each without any
outside, for tests and for a first look.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Protocol


class Clock(Protocol):
    """Policy time. It runs at the speed of the world, except in the demo and in tests."""

    def now(self) -> datetime:
        """The time in UTC."""
        ...

    def real_seconds(self, duration: timedelta) -> float:
        """How many seconds of the world's time pass during `duration` of this clock."""
        ...


@dataclass(frozen=True)
class IssueDraft:
    """What an issue shall look like. `body` is Markdown, at most 65,536 characters."""

    title: str
    body: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class IssueView:
    number: int
    url: str
    title: str
    body: str
    labels: tuple[str, ...]
    open: bool
    updated_at: datetime


@dataclass(frozen=True)
class CommentView:
    id: int
    issue: int
    author: str
    author_is_bot: bool
    body: str
    created_at: datetime
    updated_at: datetime
    url: str


class Role(IntEnum):
    """A person's role in the repository, as GitHub ranks them."""

    NONE = 0
    READ = 1
    TRIAGE = 2
    WRITE = 3
    MAINTAIN = 4
    ADMIN = 5


class IssueTracker(Protocol):
    """Where people read and command. Every write may be repeated: it looks for its marker first."""

    def find(self, marker: str) -> IssueView | None:
        """The newest issue of ours, open or closed, whose body holds the hidden marker."""
        ...

    def get(self, number: int) -> IssueView: ...

    def open(self, draft: IssueDraft, marker: str) -> IssueView:
        """The issue with this marker, created if there is none."""
        ...

    def edit(self, number: int, draft: IssueDraft) -> IssueView:
        """Make title, body and labels equal to the draft; no request when they are. The body's marker stays."""
        ...

    def close(self, number: int, *, completed: bool) -> None: ...

    def reopen(self, number: int) -> None: ...

    def upsert_comment(self, number: int, marker: str, body: str) -> CommentView:
        """The one comment with this marker, created or edited in place."""
        ...

    def react(self, comment_id: int, reaction: str) -> None:
        """`eyes`, `rocket`, `confused`, `+1` or `-1`."""
        ...

    def comments_since(self, when: datetime) -> Sequence[CommentView]:
        """Comments of all issues of the repository, changed since, oldest first."""
        ...

    def role_of(self, login: str) -> Role: ...

    def check(self) -> str:
        """Who we are there. Raises a BotError with a cure when we cannot work."""
        ...
