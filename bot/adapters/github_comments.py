"""How do our comments stay one per purpose, and how are people's comments read?"""

from collections.abc import Sequence
from datetime import UTC, datetime

from github.IssueComment import IssueComment
from github.Repository import Repository

from bot.adapters.github_client import PER_PAGE, GitHubClient
from bot.adapters.github_errors import GitHubNotFound
from bot.adapters.github_index import Account, is_by, is_pull, picked
from bot.adapters.github_text import MAX_BODY, check_marker, first_marker, marked, same, unmarked
from bot.adapters.write_pace import Priority
from bot.ports import CommentView

REACTIONS = frozenset({"eyes", "rocket", "confused", "+1", "-1"})


class Comments:
    def __init__(self, client: GitHubClient) -> None:
        self._client = client
        self._ids: dict[tuple[int, str], int] = {}  # issue and marker -> comment; a hint, read again at each use

    def upsert(self, number: int, marker: str, body: str) -> CommentView:
        check_marker(marker)
        body = body[:MAX_BODY]
        text = marked(marker, body)
        with self._client.one_at_a_time(f"comment {number} {marker}"):
            found = self._find(number, marker)
            if found is None:
                view = self._client.surely(lambda: self._create(number, text), lambda: self._find(number, marker))
                self._ids[number, marker] = view.id
            else:
                view = found
            # A comment found after a lost answer, or by a repeated step, may hold an older text.
            return view if same(view.body, body) else self._edit(view, marker, body)

    def _create(self, number: int, text: str) -> CommentView:
        return self._client.write(
            f"comment on issue #{number}",
            Priority.CRITICAL,
            lambda repo: self._view(repo.get_issue(number).create_comment(text)),
        )

    def _edit(self, old: CommentView, marker: str, body: str) -> CommentView:
        def write() -> CommentView:
            def patch(comment: IssueComment) -> CommentView:
                comment.edit(marked(marker, body))
                return self._view(comment)

            return self._client.write(
                f"edit comment {old.id} on issue #{old.issue}",
                Priority.BULK,
                lambda repo: patch(repo.get_issue(old.issue).get_comment(old.id)),
            )

        def read_back() -> CommentView | None:
            now = self._find(old.issue, marker)
            return now if now is not None and same(now.body, body) else None

        return self._client.surely(write, read_back)

    def _find(self, number: int, marker: str) -> CommentView | None:
        me = self._client.identity().login

        def ours(comment: IssueComment) -> bool:
            return is_by(comment.user, me) and first_marker(comment.body) == marker

        known = self._ids.get((number, marker))
        if known is not None:
            try:
                comment = self._client.read(
                    f"read comment {known}",
                    lambda repo: picked(ours, repo.get_issue(number).get_comment(known), self._view),
                )
            except GitHubNotFound:
                comment = None  # somebody deleted it
            if comment is not None:
                return comment
            self._ids.pop((number, marker), None)
        found = self._client.read(
            f"read the comments of issue #{number}",
            lambda repo: next(
                (self._view(comment) for comment in repo.get_issue(number).get_comments() if ours(comment)),
                None,
            ),
        )
        if found is not None:
            self._ids[number, marker] = found.id
        return found

    def react(self, comment_id: int, reaction: str) -> None:
        if reaction not in REACTIONS:
            raise ValueError(f"{reaction!r} is none of our reactions: {', '.join(sorted(REACTIONS))}")

        def write() -> bool:
            # GitHub keeps one reaction of a kind per account, so a repeat does no harm. The issue's number is not looked at.
            return self._client.write(
                f"react to comment {comment_id}",
                Priority.REACTION,
                lambda repo: bool(repo.get_issue(1).get_comment(comment_id).create_reaction(reaction)),
            )

        try:
            self._client.surely(write, lambda: None)
        except GitHubNotFound:
            return  # its author deleted the comment: there is nobody to nod to

    def get(self, comment_id: int) -> CommentView | None:
        """One comment, read now; None when it is gone. The issue's number is not looked at."""
        try:
            return self._client.read(
                f"read comment {comment_id}", lambda repo: self._view(repo.get_issue(1).get_comment(comment_id))
            )
        except GitHubNotFound:
            return None

    def since(self, when: datetime) -> Sequence[CommentView]:
        """Comments changed at or after `when`, in the order of their last change.

        Pages by time, not by number: a comment edited while we read moves to the end of the list, and another one would slip
        from page two to page one, unseen.
        """
        found: dict[int, CommentView] = {}
        since = when.astimezone(UTC).replace(microsecond=0)
        while True:
            page = self._page(since, whole=False)
            found.update((comment.id, comment) for comment in page)
            if len(page) < PER_PAGE:
                break
            last = page[-1].updated_at
            if last <= since:
                # A hundred changes within one second: here only numbered pages lead on.
                found.update((comment.id, comment) for comment in self._page(since, whole=True))
                break
            since = last
        issues = (comment for comment in found.values() if not is_pull(comment.url))
        return sorted(issues, key=lambda comment: (comment.updated_at, comment.id))

    def _page(self, since: datetime, *, whole: bool) -> list[CommentView]:
        def read(repo: Repository) -> list[CommentView]:
            comments = repo.get_issues_comments(sort="updated", direction="asc", since=since)
            return [self._view(comment) for comment in (comments if whole else comments.get_page(0))]

        return self._client.read(f"read the comments since {since:%Y-%m-%dT%H:%M:%SZ}", read)

    def _view(self, comment: IssueComment) -> CommentView:
        me = self._client.identity().login
        user: Account | None = comment.user  # None once the account is deleted
        body = comment.body or ""
        return CommentView(
            id=comment.id,
            issue=int(comment.issue_url.rstrip("/").rsplit("/", 1)[-1]),
            author=user.login if user is not None else "ghost",
            author_is_bot=user is not None and (user.type == "Bot" or is_by(user, me)),
            body=unmarked(body) if is_by(user, me) else body,
            created_at=comment.created_at,
            updated_at=comment.updated_at,
            url=comment.html_url,
        )
