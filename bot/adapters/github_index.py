"""Which issue carries which marker?

Issues are listed by Drover's label and told by the marker in their body. What was learned is kept as a hint: each use reads the
issue again, and each later listing asks only for what changed since.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

from github.Issue import Issue
from github.NamedUser import NamedUser
from github.Organization import Organization
from github.Repository import Repository

from bot.adapters.github_client import GitHubClient
from bot.adapters.github_errors import GitHubNotFound
from bot.adapters.github_text import LABEL, first_marker, unmarked
from bot.ports import IssueView

# GitHub's lists may lag behind its writes; what a scan must not miss may be this old.
SCAN_OVERLAP = timedelta(minutes=5)

Account = NamedUser | Organization
S = TypeVar("S")
T = TypeVar("T")


class MarkerIndex:
    def __init__(self, client: GitHubClient) -> None:
        self._client = client
        self._numbers: dict[str, int] = {}
        self._scanned_until: datetime | None = None  # by GitHub's clock

    def find(self, marker: str) -> IssueView | None:
        number = self._numbers.get(marker)
        if number is not None:
            view = self._verified(number, marker)
            if view is not None:
                return view
            self._numbers.pop(marker, None)
            self._scanned_until = None
        return self.scan_for(marker)

    def remember(self, marker: str, number: int) -> None:
        self._numbers[marker] = number

    def marker_of(self, number: int) -> str:
        """The marker this issue is known to carry, or an empty text."""
        return next((marker for marker, known in list(self._numbers.items()) if known == number), "")

    def _verified(self, number: int, marker: str) -> IssueView | None:
        me = self._client.identity().login
        try:
            return self._client.read(
                f"read issue #{number}",
                lambda repo: picked(
                    lambda issue: is_by(issue.user, me) and first_marker(issue.body) == marker,
                    repo.get_issue(number),
                    view_of,
                ),
            )
        except GitHubNotFound:
            return None

    def scan_for(self, marker: str) -> IssueView | None:
        """Reads what changed since the last scan, and learns all markers on the way; the first scan reads everything."""
        me = self._client.identity().login
        since = self._scanned_until - SCAN_OVERLAP if self._scanned_until is not None else None
        newest = self._scanned_until
        wanted: IssueView | None = None
        for view, found in self._client.read("list our issues", lambda repo: _ours(repo, me, since)):
            newest = view.updated_at if newest is None else max(newest, view.updated_at)
            self._numbers[found] = max(view.number, self._numbers.get(found, 0))
            if found == marker and (wanted is None or view.number > wanted.number):
                wanted = view
        self._scanned_until = newest
        return wanted


def view_of(issue: Issue) -> IssueView:
    return IssueView(
        number=issue.number,
        url=issue.html_url,
        title=issue.title,
        body=unmarked(issue.body or ""),
        labels=tuple(label.name for label in issue.labels),
        open=issue.state == "open",
        updated_at=issue.updated_at,
    )


def with_marker(issue: Issue) -> tuple[IssueView, str]:
    return view_of(issue), first_marker(issue.body)


def _ours(repo: Repository, me: str, since: datetime | None) -> list[tuple[IssueView, str]]:
    """Our issues with their markers, newest first: while pages turn, a new one doubles an entry but hides none."""
    filters = {"state": "all", "labels": [LABEL], "sort": "created", "direction": "desc"}
    found = repo.get_issues(**filters) if since is None else repo.get_issues(**filters, since=since)  # type: ignore[arg-type]
    ours = (issue for issue in found if not is_pull(issue.html_url) and is_by(issue.user, me))
    return [entry for entry in map(with_marker, ours) if entry[1]]


def picked(holds: Callable[[S], bool], item: S, then: Callable[[S], T]) -> T | None:
    return then(item) if holds(item) else None


def is_pull(page: str) -> bool:
    # Not by `issue.pull_request`: where that key is missing, PyGithub asks for each issue of a list once more.
    return "/pull/" in page


def is_by(user: Account | None, login: str) -> bool:
    return user is not None and user.login.lower() == login.lower()
