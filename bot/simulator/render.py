"""How does GitHub write its objects as JSON?

Only the keys a client of issues reads, in GitHub's shapes: whole-second UTC times ending in Z, users as objects, URLs that
point back at this server (PyGithub follows them and refuses foreign hosts).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bot.simulator.state import Comment, Issue, Label, Problem, Reaction, Repository

JSON = dict[str, Any]
DOCS = "https://docs.github.com/rest"


@dataclass(frozen=True)
class Links:
    """`api` is what the client used as its base (with or without /api/v3), `html` the server itself."""

    api: str
    html: str


def when(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def user(login: str, repository: Repository, links: Links) -> JSON:
    bot = login.endswith("[bot]")
    return {
        "login": login,
        "id": repository.person_id(login),
        "node_id": f"U_{repository.person_id(login)}",
        "type": "Bot" if bot else "User",
        "site_admin": False,
        "url": f"{links.api}/users/{login}",
        "html_url": f"{links.html}/{login}",
    }


def label(item: Label, repository: Repository, links: Links) -> JSON:
    return {
        "id": item.id,
        "name": item.name,
        "color": item.color,
        "description": item.description,
        "default": False,
        "url": f"{links.api}/repos/{repository.full_name}/labels/{item.name}",
    }


def reactions(items: Sequence[Reaction], url: str) -> JSON:
    counts = dict.fromkeys(("+1", "-1", "laugh", "confused", "heart", "hooray", "rocket", "eyes"), 0)
    for item in items:
        counts[item.content] += 1
    return {"url": f"{url}/reactions", "total_count": len(items), **counts}


def reaction(item: Reaction, repository: Repository, links: Links) -> JSON:
    return {
        "id": item.id,
        "content": item.content,
        "user": user(item.login, repository, links),
        "created_at": when(item.created_at),
    }


def issue(item: Issue, repository: Repository, links: Links) -> JSON:
    url = f"{links.api}/repos/{repository.full_name}/issues/{item.number}"
    kind = "pull" if item.pull_request else "issues"
    page = f"{links.html}/{repository.full_name}/{kind}/{item.number}"
    body: JSON = {
        "url": url,
        "repository_url": f"{links.api}/repos/{repository.full_name}",
        "comments_url": f"{url}/comments",
        "html_url": page,
        "id": item.id,
        "node_id": f"I_{item.id}",
        "number": item.number,
        "title": item.title,
        "body": item.body,
        "user": user(item.author, repository, links),
        "author_association": association(repository.role_of(item.author)),
        "labels": [label(repository.labels[name.lower()], repository, links) for name in item.labels],
        "state": "open" if item.open else "closed",
        "state_reason": item.state_reason,
        "locked": False,
        "assignee": None,
        "assignees": [],
        "milestone": None,
        "comments": len(item.comments),
        "created_at": when(item.created_at),
        "updated_at": when(item.updated_at),
        "closed_at": when(item.closed_at),
        "closed_by": user(item.closed_by, repository, links) if item.closed_by else None,
        "reactions": reactions(item.reactions, url),
    }
    if item.pull_request:
        body["pull_request"] = {"url": url.replace("/issues/", "/pulls/"), "html_url": page}
    return body


def comment(item: Comment, repository: Repository, links: Links) -> JSON:
    url = f"{links.api}/repos/{repository.full_name}/issues/comments/{item.id}"
    kind = "pull" if repository.issue(item.issue).pull_request else "issues"
    return {
        "url": url,
        "html_url": f"{links.html}/{repository.full_name}/{kind}/{item.issue}#issuecomment-{item.id}",
        "issue_url": f"{links.api}/repos/{repository.full_name}/issues/{item.issue}",
        "id": item.id,
        "node_id": f"IC_{item.id}",
        "user": user(item.author, repository, links),
        "author_association": association(repository.role_of(item.author)),
        "body": item.body,
        "created_at": when(item.created_at),
        "updated_at": when(item.updated_at),
        "performed_via_github_app": None,
        "reactions": reactions(item.reactions, url),
    }


def association(role: str) -> str:
    if role == "admin":
        return "OWNER"
    return "NONE" if role == "none" else "COLLABORATOR"


def repo(repository: Repository, links: Links, *, role: str) -> JSON:
    order = ("none", "read", "triage", "write", "maintain", "admin")
    rank = order.index(role)
    url = f"{links.api}/repos/{repository.full_name}"
    return {
        "id": repository.id,
        "node_id": f"R_{repository.id}",
        "name": repository.name,
        "full_name": repository.full_name,
        "private": True,
        "owner": {**user(repository.owner, repository, links), "type": "Organization"},
        "html_url": f"{links.html}/{repository.full_name}",
        "url": url,
        "issues_url": f"{url}/issues{{/number}}",
        "default_branch": "main",
        "has_issues": repository.has_issues,
        "archived": False,
        "permissions": {
            "admin": rank >= 5,
            "maintain": rank >= 4,
            "push": rank >= 3,
            "triage": rank >= 2,
            "pull": rank >= 1,
        },
    }


def permission(login: str, role: str, repository: Repository, links: Links) -> JSON:
    # The old `permission` field knows no triage and no maintain; `role_name` tells all.
    legacy = {"maintain": "write", "triage": "read"}.get(role, role)
    return {
        "permission": legacy,
        "role_name": role,
        "user": user(login, repository, links),
    }


def team(name: str, links: Links) -> JSON:
    organisation, slug = name.split("/")
    return {
        "id": 77,
        "node_id": "T_77",
        "name": slug,
        "slug": slug,
        "privacy": "closed",
        "permission": "pull",
        # Not the address that was asked: GitHub's own objects lead elsewhere, too.
        "url": f"{links.api}/organizations/7/team/77",
        "html_url": f"{links.html}/orgs/{organisation}/teams/{slug}",
    }


def membership(login: str, state: str, links: Links) -> JSON:
    return {
        "url": f"{links.api}/organizations/7/team/77/memberships/{login}",
        "role": "member",
        "state": state,
    }


def invalid(problems: Sequence[Problem]) -> JSON:
    entries = []
    for problem in problems:
        entry = {"resource": problem.resource, "field": problem.field, "code": problem.code}
        if problem.message is not None:
            entry["message"] = problem.message
        entries.append(entry)
    return {"message": "Validation Failed", "errors": entries, "documentation_url": f"{DOCS}/issues", "status": "422"}
