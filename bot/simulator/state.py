"""What does the simulated GitHub remember?

One repository: its people and their roles, its issues with comments and reactions, its labels. Nothing here knows HTTP.
Every call takes the lock, since requests, tests and the demo arrive on threads of their own.
"""

import itertools
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

ROLES = ("none", "read", "triage", "write", "maintain", "admin")
REACTIONS = ("+1", "-1", "laugh", "confused", "heart", "hooray", "rocket", "eyes")
MAX_BODY = 65_536
MAX_TITLE = 256
MAX_LABEL = 50

Clock = Callable[[], datetime]


def wall_clock() -> datetime:
    return datetime.now(UTC)


@dataclass
class Reaction:
    id: int
    content: str
    login: str
    created_at: datetime


@dataclass
class Comment:
    id: int
    issue: int
    author: str
    body: str
    created_at: datetime
    updated_at: datetime
    reactions: list[Reaction] = field(default_factory=list)


@dataclass
class Issue:
    id: int
    number: int
    author: str
    title: str
    body: str
    labels: list[str]
    created_at: datetime
    updated_at: datetime
    open: bool = True
    state_reason: str | None = None
    closed_at: datetime | None = None
    closed_by: str | None = None
    pull_request: bool = False
    comments: list[Comment] = field(default_factory=list)
    reactions: list[Reaction] = field(default_factory=list)


@dataclass
class Label:
    id: int
    name: str
    color: str = "ededed"
    description: str | None = None


@dataclass(frozen=True)
class Problem:
    """One entry of the `errors` list in a 422 answer."""

    resource: str
    field: str
    code: str
    message: str | None = None


class NotThere(LookupError):
    """The number or id is not in this repository."""


class Invalid(ValueError):
    """GitHub would answer 422; `problems` says why."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("; ".join(problem.message or problem.code for problem in problems))
        self.problems = problems


class Repository:
    def __init__(self, full_name: str, *, clock: Clock) -> None:
        self.former_names: set[str] = set()
        self.rename(full_name)
        self.id = 101
        self.has_issues = True
        self.lock = threading.RLock()
        self.people: dict[str, str] = {}
        # `organisation/team` to login to the state of the membership: active, or pending for who was invited.
        self.teams: dict[str, dict[str, str]] = {}
        self.labels: dict[str, Label] = {}
        self._issues: dict[int, Issue] = {}
        self._comments: dict[int, Comment] = {}
        self._ids = itertools.count(9_001)
        self._person_ids: dict[str, int] = {}
        self._clock = clock

    def rename(self, full_name: str) -> None:
        """The old name goes on leading here."""
        self.owner, self.name = full_name.split("/")
        self.full_name = full_name

    def now(self) -> datetime:
        # GitHub keeps whole seconds: two writes within one second cannot be told apart by time.
        return self._clock().astimezone(UTC).replace(microsecond=0)

    def person_id(self, login: str) -> int:
        with self.lock:
            return self._person_ids.setdefault(login.lower(), 5_000 + len(self._person_ids))

    def role_of(self, login: str) -> str:
        with self.lock:
            for name, role in self.people.items():
                if name.lower() == login.lower():
                    return role
        return "none"

    # --- issues ---

    def issue(self, number: int) -> Issue:
        with self.lock:
            try:
                return self._issues[number]
            except KeyError:
                raise NotThere(f"issue {number}") from None

    def issues(self) -> list[Issue]:
        with self.lock:
            return list(self._issues.values())

    def create_issue(
        self, author: str, title: object, body: object, labels: Iterable[object], *, pull_request: bool = False
    ) -> Issue:
        with self.lock:
            wanted = _checked_title(title)
            text = _checked_body("Issue", body)
            names = [self.ensure_label(label) for label in labels]
            now = self.now()
            issue = Issue(
                id=next(self._ids),
                number=len(self._issues) + 1,
                author=author,
                title=wanted,
                body=text,
                labels=_unique(names),
                created_at=now,
                updated_at=now,
                pull_request=pull_request,
            )
            self._issues[issue.number] = issue
            return issue

    def edit_issue(self, issue: Issue, changes: dict[str, object], by: str) -> bool:
        """Applies a PATCH body; True when something changed (only then `updated_at` moves)."""
        with self.lock:
            before = (issue.title, issue.body, list(issue.labels), issue.open, issue.state_reason)
            title = _checked_title(changes["title"]) if "title" in changes else issue.title
            body = _checked_body("Issue", changes["body"]) if "body" in changes else issue.body
            state = changes.get("state", "open" if issue.open else "closed")
            reason = changes.get("state_reason")
            if state not in {"open", "closed"}:
                raise Invalid(Problem("Issue", "state", "invalid"))
            if reason not in {None, "completed", "not_planned", "duplicate", "reopened"}:
                raise Invalid(Problem("Issue", "state_reason", "invalid"))
            if "labels" in changes:
                labels = changes["labels"]
                if not isinstance(labels, list):
                    raise Invalid(Problem("Issue", "labels", "invalid"))
                issue.labels = _unique([self.ensure_label(label) for label in labels])
            issue.title, issue.body = title, body
            if state == "closed":
                self._close(issue, reason=str(reason or issue.state_reason or "completed"), by=by)
            elif not issue.open:
                issue.open, issue.state_reason, issue.closed_at, issue.closed_by = True, "reopened", None, None
            changed = before != (issue.title, issue.body, issue.labels, issue.open, issue.state_reason)
            if changed:
                issue.updated_at = self.now()
            return changed

    def _close(self, issue: Issue, *, reason: str, by: str) -> None:
        if issue.open:
            issue.open, issue.closed_at, issue.closed_by = False, self.now(), by
        issue.state_reason = "completed" if reason == "reopened" else reason

    # --- comments ---

    def comment(self, comment_id: int) -> Comment:
        with self.lock:
            try:
                return self._comments[comment_id]
            except KeyError:
                raise NotThere(f"comment {comment_id}") from None

    def comments(self) -> list[Comment]:
        with self.lock:
            return list(self._comments.values())

    def create_comment(self, author: str, number: int, body: object) -> Comment:
        with self.lock:
            issue = self.issue(number)
            text = _checked_body("IssueComment", body, blank_allowed=False)
            now = self.now()
            comment = Comment(next(self._ids), number, author, text, now, now)
            self._comments[comment.id] = comment
            issue.comments.append(comment)
            issue.updated_at = now
            return comment

    def edit_comment(self, comment: Comment, body: object) -> bool:
        with self.lock:
            text = _checked_body("IssueComment", body, blank_allowed=False)
            if text == comment.body:
                return False
            comment.body, comment.updated_at = text, self.now()
            self.issue(comment.issue).updated_at = comment.updated_at
            return True

    def delete_comment(self, comment: Comment) -> None:
        with self.lock:
            del self._comments[comment.id]
            self.issue(comment.issue).comments.remove(comment)

    # --- reactions and labels ---

    def react(self, on: Issue | Comment, login: str, content: object) -> tuple[Reaction, bool]:
        """The reaction, and whether it is new: a person has each reaction once."""
        if not isinstance(content, str) or content not in REACTIONS:
            raise Invalid(Problem("Reaction", "content", "invalid"))
        with self.lock:
            for reaction in on.reactions:
                if (reaction.content, reaction.login) == (content, login):
                    return reaction, False
            reaction = Reaction(next(self._ids), content, login, self.now())
            on.reactions.append(reaction)
            return reaction, True

    def ensure_label(self, wanted: object) -> str:
        """The stored spelling: label names differ by more than case, or are the same label."""
        if isinstance(wanted, dict):
            wanted = wanted.get("name")
        if not isinstance(wanted, str) or not wanted.strip():
            raise Invalid(Problem("Label", "name", "missing_field"))
        if len(wanted) > MAX_LABEL:
            text = f"name is too long (maximum is {MAX_LABEL} characters)"
            raise Invalid(Problem("Label", "name", "custom", text))
        with self.lock:
            label = self.labels.get(wanted.lower())
            if label is None:
                label = self.labels[wanted.lower()] = Label(next(self._ids), wanted)
            return label.name

    def create_label(self, name: object, color: object, description: object) -> Label:
        with self.lock:
            if isinstance(name, str) and name.lower() in self.labels:
                raise Invalid(Problem("Label", "name", "already_exists"))
            label = self.labels[self.ensure_label(name).lower()]
            label.color = color if isinstance(color, str) else label.color
            label.description = description if isinstance(description, str) else None
            return label


def _checked_title(title: object) -> str:
    if not isinstance(title, str) or not title.strip():
        raise Invalid(Problem("Issue", "title", "missing_field"))
    if len(title) > MAX_TITLE:
        raise Invalid(Problem("Issue", "title", "custom", f"title is too long (maximum is {MAX_TITLE} characters)"))
    return title.strip()


def _checked_body(resource: str, body: object, *, blank_allowed: bool = True) -> str:
    if body is None and blank_allowed:
        return ""
    if not isinstance(body, str) or (not blank_allowed and not body.strip()):
        raise Invalid(Problem(resource, "body", "missing_field", "body can't be blank"))
    if len(body) > MAX_BODY:
        raise Invalid(Problem(resource, "body", "custom", f"body is too long (maximum is {MAX_BODY} characters)"))
    return body


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
