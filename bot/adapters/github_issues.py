"""How does an incident become one issue on GitHub, however often we try?

Every issue and comment of ours begins with a hidden line, its marker. Before anything is created, the marker is looked for;
after a write whose answer was lost, it is looked for again before the write is repeated. Only what we wrote ourselves counts,
and only the first marker in it: a log line in an issue that looks like a marker changes nothing.
"""

import re
import time
from collections.abc import Callable, Sequence
from datetime import datetime

from github.Issue import Issue
from github.Repository import Repository

from bot.adapters.github_client import MEMBERS, METADATA, PUBLIC_API, AppAuth, GitHubClient, TokenAuth
from bot.adapters.github_comments import Comments
from bot.adapters.github_errors import GitHubNotFound, GitHubRefused
from bot.adapters.github_index import MarkerIndex, view_of, with_marker
from bot.adapters.github_text import (
    LABEL,
    MAX_BODY,
    check_marker,
    fitting_label,
    fitting_title,
    marked,
    same,
    with_label,
)
from bot.adapters.write_pace import Priority, WritePace
from bot.ports import CommentView, IssueDraft, IssueView, Membership, Role

_LOGIN = re.compile(r"[A-Za-z0-9_-]+(\[bot\])?")
_TEAM = re.compile(r"[A-Za-z0-9-]+/[A-Za-z0-9_-]+")
_SEES_TEAMS = "Give the App the organisation permission 'Members: read', or the token the scope read:org and its user a place in the organisation"


class GitHubIssues:
    """The `IssueTracker` of real life. Labels that people added stay; ours are those in the draft and the named prefixes."""

    def __init__(
        self,
        repository: str,
        auth: TokenAuth | AppAuth,
        *,
        api_url: str = PUBLIC_API,
        pace: WritePace | None = None,
        timeout: int = 15,
        retry_pause: float = 0.3,
        verify: bool | str = True,
        own_label_prefixes: Sequence[str] = ("cluster/", "cause/", "state/"),
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = GitHubClient(
            repository,
            auth,
            api_url=api_url,
            pace=pace or WritePace(80, 500, time.monotonic, sleep),
            timeout=timeout,
            retry_pause=retry_pause,
            verify=verify,
            now=now,
            sleep=sleep,
        )
        self._own_label_prefixes = tuple(own_label_prefixes)
        self._index = MarkerIndex(self._client)
        self._comments = Comments(self._client)

    def close_connections(self) -> None:
        self._client.close()

    # --- issues ---

    def find(self, marker: str) -> IssueView | None:
        check_marker(marker)
        return self._index.find(marker)

    def get(self, number: int) -> IssueView:
        return self._client.read(f"read issue #{number}", lambda repo: view_of(repo.get_issue(number)))

    def open(self, draft: IssueDraft, marker: str) -> IssueView:
        check_marker(marker)
        labels = [fitting_label(label) for label in with_label(draft.labels)]
        body = marked(marker, draft.body[:MAX_BODY])
        title = fitting_title(draft.title)

        def create() -> IssueView:
            return self._client.write(
                f"open the issue {title!r}",
                Priority.CRITICAL,
                lambda repo: view_of(repo.create_issue(title, body=body, labels=labels)),
            )

        with self._client.one_at_a_time(f"issue {marker}"):
            found = self.find(marker)
            if found is not None:
                return found
            view = self._client.surely(create, lambda: self._index.scan_for(marker))
            self._index.remember(marker, view.number)
        if LABEL not in _lower(view.labels):
            raise GitHubRefused(
                f"Issue #{view.number} was opened at {self._client.url}, but without its labels.",
                cure="Give Drover's account the role triage or higher: it finds its issues by their label.",
            )
        return view

    def edit(self, number: int, draft: IssueDraft) -> IssueView:
        title, text = fitting_title(draft.title), draft.body[:MAX_BODY]

        def present() -> tuple[IssueView, str, tuple[str, ...], bool]:
            view, marker = self._client.read(
                f"read issue #{number}",
                lambda repo: with_marker(repo.get_issue(number)),
            )
            labels = self._wanted_labels(view.labels, draft.labels)
            equal = view.title == title and same(view.body, text) and _lower(view.labels) == _lower(labels)
            # A person may have edited the marker away: then it is put back.
            wanted = self._index.marker_of(number) or marker
            return view, wanted, labels, equal and marker == wanted

        def read_back() -> IssueView | None:
            view, _, _, equal = present()
            return view if equal else None

        with self._client.one_at_a_time(f"issue #{number}"):
            view, marker, labels, equal = present()
            if equal:
                return view
            body = marked(marker, text) if marker else text

            def patch(issue: Issue) -> IssueView:
                issue.edit(title=title, body=body, labels=list(labels))
                return view_of(issue)

            return self._client.surely(
                lambda: self._client.write(
                    f"edit issue #{number}", Priority.BULK, lambda repo: patch(repo.get_issue(number))
                ),
                read_back,
            )

    def close(self, number: int, *, completed: bool) -> None:
        reason = "completed" if completed else "not_planned"
        self._set_state(number, f"close issue #{number}", open_now=False, reason=reason)

    def reopen(self, number: int) -> None:
        self._set_state(number, f"reopen issue #{number}", open_now=True, reason="reopened")

    def _set_state(self, number: int, what: str, *, open_now: bool, reason: str) -> None:
        def as_wanted() -> IssueView | None:
            view = self.get(number)
            return view if view.open == open_now else None

        def write() -> IssueView:
            def patch(issue: Issue) -> IssueView:
                issue.edit(state="open" if open_now else "closed", state_reason=reason)
                return view_of(issue)

            return self._client.write(what, Priority.CRITICAL, lambda repo: patch(repo.get_issue(number)))

        with self._client.one_at_a_time(f"issue #{number}"):
            if as_wanted() is None:
                self._client.surely(write, as_wanted)

    # --- comments ---

    def upsert_comment(self, number: int, marker: str, body: str) -> CommentView:
        return self._comments.upsert(number, marker, body)

    def react(self, comment_id: int, reaction: str) -> None:
        self._comments.react(comment_id, reaction)

    def comments_since(self, when: datetime) -> Sequence[CommentView]:
        return self._comments.since(when)

    def comment(self, comment_id: int) -> CommentView | None:
        return self._comments.get(comment_id)

    # --- who may ---

    def role_of(self, login: str) -> Role:
        if not _LOGIN.fullmatch(login):
            return Role.NONE
        try:
            return self._client.read(f"read the role of {login}", lambda repo: _role(repo, login), needs=METADATA)
        except GitHubNotFound:
            return Role.NONE  # no such account any more

    def membership(self, team: str, login: str) -> Membership:
        if not _LOGIN.fullmatch(login) or not _TEAM.fullmatch(team):
            return Membership(member=False)
        what = f"see whether {login} is in the team {team}"
        try:
            return Membership(
                self._client.read(what, lambda repo: _is_active(repo, team, login), needs=MEMBERS),
            )
        except GitHubNotFound:
            # Also what GitHub says of a team that it hides from us.
            return Membership(member=False, unseen=self.unseen_team(team))
        except GitHubRefused as refused:
            return Membership(member=False, unseen=_why_refused(refused))

    def unseen_team(self, team: str) -> str:
        try:
            self._client.read(
                f"see the team {team}",
                lambda repo: repo.requester.requestJsonAndCheck("GET", _team_path(team)),
                needs=MEMBERS,
            )
        except GitHubNotFound:
            who = self._client.identity()
            return f"GitHub shows {who.login} no team {team}: there is none, or it is hidden. {_SEES_TEAMS}"
        except GitHubRefused as refused:
            return _why_refused(refused)
        return ""

    def check(self) -> str:
        who = self._client.identity()
        issues_on, archived, rights, full_name = self._client.read(
            "read the repository",
            # The name comes last: before the first answer it is the one we asked for.
            lambda repo: (repo.has_issues, repo.archived, repo.permissions, repo.full_name),
            needs=METADATA,
        )
        where = f"{self._client.repository} ({self._client.url})"
        if full_name.lower() != self._client.repository.lower():
            # Reads follow the redirect of a renamed repository; writes do not.
            raise GitHubRefused(f"{where} is now called {full_name}.", cure=f"Set GITHUB_REPOSITORY to {full_name}.")
        if archived or not issues_on:
            state = "is archived" if archived else "has its issues switched off"
            raise GitHubRefused(
                f"{where} {state}.", cure="Switch them on in its settings, or name another GITHUB_REPOSITORY."
            )
        if who.may is not None:
            may, seen = who.may == "write", f"the permission 'Issues: {who.may}'"
        else:
            may, seen = bool(rights and (rights.triage or rights.push or rights.admin)), "a role below triage"
        if not may:
            raise GitHubRefused(
                f"{who.login} ({who.how}) has {seen} in {where}: it cannot write and label issues.",
                cure="Give the App the permission 'Issues: read and write', or the token's user the role write.",
            )
        left, limit = self._client.requests_left()
        return f"{who.login} ({who.how}) writes issues in {where}; {left:,} of {limit:,} requests are left this hour"

    def _wanted_labels(self, present: Sequence[str], drafted: Sequence[str]) -> tuple[str, ...]:
        wanted = [fitting_label(label) for label in with_label(drafted)]
        ours = {label.lower() for label in wanted}
        theirs = [
            label
            for label in present
            if label.lower() not in ours and not label.lower().startswith(self._own_label_prefixes)
        ]
        return (*wanted, *theirs)


def _team_path(team: str) -> str:
    organisation, slug = team.split("/")
    return f"/orgs/{organisation}/teams/{slug}"


def _is_active(repo: Repository, team: str, login: str) -> bool:
    # PyGithub's own objects for teams would read the organisation and the team first.
    _, answer = repo.requester.requestJsonAndCheck("GET", f"{_team_path(team)}/memberships/{login}")
    return bool(answer["state"] == "active")


def _why_refused(refused: GitHubRefused) -> str:
    if refused.status != 403:
        raise refused
    return f"{refused.message.rstrip('.')}. {_SEES_TEAMS}"


def _role(repo: Repository, login: str) -> Role:
    try:
        name = repo.get_collaborator_role_name(login)
    except KeyError:
        name = ""  # an old Enterprise Server does not tell
    if name.upper() not in Role.__members__:
        # A custom role counts as the permission it builds on.
        name = repo.get_collaborator_permission(login)
    return Role[name.upper()]


def _lower(labels: Sequence[str]) -> set[str]:
    # A repository keeps the spelling a label was first made with.
    return {label.lower() for label in labels}
