"""Which requests does the simulated GitHub answer, and how?

The REST API as far as a bot on issues needs it. Each handler takes a `Call` and returns an `Answer`; transport, prefixes and
faults live in `server.py`.
"""

import hashlib
import json
import re
from collections.abc import Callable, Sequence

from bot.simulator import render
from bot.simulator.access import Access, Caller, Refused, SimulatedApp
from bot.simulator.events import Events
from bot.simulator.journal import Journal, Write
from bot.simulator.state import ROLES, Comment, Invalid, Issue, NotThere, Problem, Repository
from bot.simulator.wire import Answer, Call, changed_since, in_order, message, page

Handler = Callable[["Api", Call, Caller, Sequence[str]], Answer]


class Api:
    def __init__(self, repository: Repository, access: Access, events: Events, journal: Journal) -> None:
        self.repository = repository
        self.access = access
        self.events = events
        self.journal = journal

    def answer(self, call: Call) -> Answer:
        """Never raises: a refusal is an answer."""
        try:
            answer = self._route(call)
        except Refused as refused:
            answer = Answer(refused.status, message(refused.status, refused.message), refused.headers)
        except Invalid as invalid:
            answer = Answer(422, render.invalid(invalid.problems))
        except NotThere:
            answer = Answer(404, message(404, "Not Found"))
        return self._with_etag(call, answer)

    def _route(self, call: Call) -> Answer:
        authorization = call.headers.get("authorization")
        for method, pattern, as_app in _AS_APP:
            match = pattern.fullmatch(call.path)
            if match and method == call.method:
                return as_app(self, call, self.access.app_caller(authorization), match.groups())
        caller = self.access.caller(authorization)
        if call.path == "/rate_limit":  # free of charge
            return self._rate_limit()
        self.access.count_request()
        known = False
        for method, pattern, handler in _ROUTES:
            match = pattern.fullmatch(call.path)
            if match is None:
                continue
            known = True
            if method != call.method:
                continue
            with self.repository.lock:
                if "/repos/" in call.path:
                    self._see_repository(call, caller, *match.groups()[:2])
                    if method != "GET":
                        self._may_write(caller)
                in_repository = "/repos/" in call.path
                return handler(self, call, caller, match.groups()[2 if in_repository else 0 :])
        raise Refused(404 if not known else 405, "Not Found" if not known else "Method Not Allowed")

    def _see_repository(self, call: Call, caller: Caller, owner: str, name: str) -> None:
        asked = f"{owner}/{name}".lower()
        if asked in self.repository.former_names:
            location = call.links.api + call.path.replace(f"/{owner}/{name}", f"/{self.repository.full_name}", 1)
            raise Refused(301 if call.method == "GET" else 307, "Moved Permanently", {"Location": location})
        if asked != self.repository.full_name.lower():
            raise NotThere(f"{owner}/{name}")
        if caller.permissions is None and self.repository.role_of(caller.login) == "none":
            raise NotThere(f"{owner}/{name}")  # a private repository does not admit that it exists

    def _may_write(self, caller: Caller) -> None:
        accepted = {"X-Accepted-GitHub-Permissions": "issues=write"}
        if caller.permissions is not None and caller.permissions.get("issues") != "write":
            raise Refused(403, "Resource not accessible by integration", accepted)
        if not self.repository.has_issues:
            raise Refused(410, "Issues has been disabled in this repository.")

    def _at_least(self, caller: Caller, role: str) -> bool:
        if caller.permissions is not None:
            return caller.permissions.get("issues") == "write"
        return ROLES.index(self.repository.role_of(caller.login)) >= ROLES.index(role)

    def _must_own(self, caller: Caller, author: str, role: str) -> None:
        if caller.login != author and not self._at_least(caller, role):
            accepted = {"X-Accepted-GitHub-Permissions": "issues=write"}
            raise Refused(403, "Must have admin rights to Repository.", accepted)

    def _did(self, call: Call, caller: Caller, what: str) -> None:
        self.journal.note(Write(self.repository.now(), caller.login, what, call.method, call.path))

    def _with_etag(self, call: Call, answer: Answer) -> Answer:
        headers = {**self.access.headers(), **answer.headers}
        if call.method == "GET" and answer.status == 200:
            etag = 'W/"' + hashlib.sha256(json.dumps(answer.body, sort_keys=True).encode()).hexdigest() + '"'
            headers["ETag"] = etag
            if call.headers.get("if-none-match") == etag:
                return Answer(304, None, headers)
        return Answer(answer.status, answer.body, headers)

    def _rate_limit(self) -> Answer:
        core = {
            "limit": self.access.limit,
            "remaining": self.access.remaining,
            "used": self.access.limit - self.access.remaining,
            "reset": self.access.resets_at,
            "resource": "core",
        }
        return Answer(200, {"resources": {"core": core, "search": core, "graphql": core}, "rate": core})

    # --- who am I ---

    def user(self, call: Call, caller: Caller, _: Sequence[str]) -> Answer:
        if caller.permissions is not None:
            raise Refused(403, "Resource not accessible by integration")
        return Answer(200, render.user(caller.login, self.repository, call.links))

    def repo(self, call: Call, caller: Caller, _: Sequence[str]) -> Answer:
        role = "write" if caller.permissions is not None else self.repository.role_of(caller.login)
        return Answer(200, render.repo(self.repository, call.links, role=role))

    def permission(self, call: Call, caller: Caller, ids: Sequence[str]) -> Answer:
        if not self._at_least(caller, "write") and caller.permissions is None:
            raise Refused(403, "Must have push access to view collaborator permission.")
        login = ids[0]
        if not re.fullmatch(r"[A-Za-z0-9-]+(\[bot\])?", login):
            raise NotThere(login)
        return Answer(200, render.permission(login, self.repository.role_of(login), self.repository, call.links))

    def team(self, call: Call, caller: Caller, ids: Sequence[str]) -> Answer:
        name, _ = self._see_team(caller, ids)
        return Answer(200, render.team(name, call.links))

    def membership(self, call: Call, caller: Caller, ids: Sequence[str]) -> Answer:
        _, members = self._see_team(caller, ids)
        login = ids[2].lower()
        state = next((state for each, state in members.items() if each.lower() == login), None)
        if state is None:
            raise NotThere(ids[2])
        return Answer(200, render.membership(login, state, call.links))

    def _see_team(self, caller: Caller, ids: Sequence[str]) -> tuple[str, dict[str, str]]:
        """An App needs a permission of the organisation; a person who may not see a team is told that there is none."""
        if caller.permissions is not None and caller.permissions.get("members") not in {"read", "write"}:
            raise Refused(
                403, "Resource not accessible by integration", {"X-Accepted-GitHub-Permissions": "members=read"}
            )
        name = f"{ids[0]}/{ids[1]}".lower()
        if name not in self.repository.teams or (caller.permissions is None and not caller.sees_teams):
            raise NotThere(name)
        return name, self.repository.teams[name]

    # --- issues ---

    def list_issues(self, call: Call, _caller: Caller, _ids: Sequence[str]) -> Answer:
        state = call.query.get("state", "open")
        wanted = [name.strip().lower() for name in call.query.get("labels", "").split(",") if name.strip()]
        since = changed_since(call)
        creator = call.query.get("creator")
        found = [
            issue
            for issue in self.repository.issues()
            if (state == "all" or issue.open == (state == "open"))
            and all(name in [label.lower() for label in issue.labels] for name in wanted)
            and (since is None or issue.updated_at >= since)
            and (creator is None or issue.author.lower() == creator.lower())
        ]
        ordered = in_order(found, call, default="created", default_direction="desc")
        return page(call, [render.issue(issue, self.repository, call.links) for issue in ordered])

    def create_issue(self, call: Call, caller: Caller, _ids: Sequence[str]) -> Answer:
        self.access.count_content()
        fields = call.fields()
        labels = fields.get("labels") or []
        if not isinstance(labels, list):
            raise Invalid(Problem("Issue", "labels", "invalid"))
        if not self._at_least(caller, "triage"):
            labels = []  # without the right, labels are dropped without a word
        issue = self.repository.create_issue(caller.login, fields.get("title"), fields.get("body"), labels)
        self._did(call, caller, f"open issue #{issue.number}")
        self.events.issue("opened", issue, caller.login)
        body = render.issue(issue, self.repository, call.links)
        return Answer(201, body, {"Location": body["url"]})

    def get_issue(self, call: Call, _caller: Caller, ids: Sequence[str]) -> Answer:
        return Answer(200, render.issue(self.repository.issue(int(ids[0])), self.repository, call.links))

    def edit_issue(self, call: Call, caller: Caller, ids: Sequence[str]) -> Answer:
        issue = self.repository.issue(int(ids[0]))
        self._must_own(caller, issue.author, "triage")
        fields = call.fields()
        was_open, old = issue.open, (issue.title, issue.body)
        changed = self.repository.edit_issue(issue, fields, caller.login)
        self._did(call, caller, f"edit issue #{issue.number}: {', '.join(sorted(fields))}")
        if changed and was_open != issue.open:
            self.events.issue("reopened" if issue.open else "closed", issue, caller.login)
        if changed and old != (issue.title, issue.body):
            before = {"title": {"from": old[0]}, "body": {"from": old[1]}}
            self.events.issue("edited", issue, caller.login, before)
        return Answer(200, render.issue(issue, self.repository, call.links))

    # --- comments ---

    def list_comments(self, call: Call, _caller: Caller, ids: Sequence[str]) -> Answer:
        since = changed_since(call)
        comments = [c for c in self.repository.issue(int(ids[0])).comments if since is None or c.updated_at >= since]
        return page(call, [render.comment(comment, self.repository, call.links) for comment in comments])

    def list_all_comments(self, call: Call, _caller: Caller, _ids: Sequence[str]) -> Answer:
        since = changed_since(call)
        comments = [c for c in self.repository.comments() if since is None or c.updated_at >= since]
        # Without `sort` GitHub ignores `direction` and answers by id.
        if "sort" in call.query:
            comments = in_order(comments, call, default="created", default_direction="asc")
        return page(call, [render.comment(comment, self.repository, call.links) for comment in comments])

    def create_comment(self, call: Call, caller: Caller, ids: Sequence[str]) -> Answer:
        self.access.count_content()
        comment = self.repository.create_comment(caller.login, int(ids[0]), call.fields().get("body"))
        self._did(call, caller, f"comment on #{comment.issue}")
        self.events.comment("created", comment, caller.login)
        body = render.comment(comment, self.repository, call.links)
        return Answer(201, body, {"Location": body["url"]})

    def get_comment(self, call: Call, _caller: Caller, ids: Sequence[str]) -> Answer:
        return Answer(200, render.comment(self.repository.comment(int(ids[0])), self.repository, call.links))

    def edit_comment(self, call: Call, caller: Caller, ids: Sequence[str]) -> Answer:
        comment = self.repository.comment(int(ids[0]))
        self._must_own(caller, comment.author, "write")
        before = {"body": {"from": comment.body}}
        changed = self.repository.edit_comment(comment, call.fields().get("body"))
        self._did(call, caller, f"edit comment {comment.id} on #{comment.issue}")
        if changed:
            self.events.comment("edited", comment, caller.login, before)
        return Answer(200, render.comment(comment, self.repository, call.links))

    def delete_comment(self, call: Call, caller: Caller, ids: Sequence[str]) -> Answer:
        comment = self.repository.comment(int(ids[0]))
        self._must_own(caller, comment.author, "write")
        self.repository.delete_comment(comment)
        self._did(call, caller, f"delete comment {comment.id} on #{comment.issue}")
        self.events.comment("deleted", comment, caller.login)
        return Answer(204)

    # --- reactions and labels ---

    def list_issue_reactions(self, call: Call, _caller: Caller, ids: Sequence[str]) -> Answer:
        return self._list_reactions(call, self.repository.issue(int(ids[0])))

    def list_comment_reactions(self, call: Call, _caller: Caller, ids: Sequence[str]) -> Answer:
        return self._list_reactions(call, self.repository.comment(int(ids[0])))

    def react_to_issue(self, call: Call, caller: Caller, ids: Sequence[str]) -> Answer:
        return self._react(call, caller, self.repository.issue(int(ids[0])), f"issue #{ids[0]}")

    def react_to_comment(self, call: Call, caller: Caller, ids: Sequence[str]) -> Answer:
        return self._react(call, caller, self.repository.comment(int(ids[0])), f"comment {ids[0]}")

    def _list_reactions(self, call: Call, on: Issue | Comment) -> Answer:
        return page(call, [render.reaction(item, self.repository, call.links) for item in on.reactions])

    def _react(self, call: Call, caller: Caller, on: Issue | Comment, name: str) -> Answer:
        content = call.fields().get("content")
        reaction, new = self.repository.react(on, caller.login, content)
        if new:
            self._did(call, caller, f"react {content} to {name}")
        return Answer(201 if new else 200, render.reaction(reaction, self.repository, call.links))

    def list_labels(self, call: Call, _caller: Caller, _ids: Sequence[str]) -> Answer:
        labels = sorted(self.repository.labels.values(), key=lambda label: label.name.lower())
        return page(call, [render.label(label, self.repository, call.links) for label in labels])

    def get_label(self, call: Call, _caller: Caller, ids: Sequence[str]) -> Answer:
        label = self.repository.labels.get(ids[0].lower())
        if label is None:
            raise NotThere(ids[0])
        return Answer(200, render.label(label, self.repository, call.links))

    def create_label(self, call: Call, caller: Caller, _ids: Sequence[str]) -> Answer:
        self._must_own(caller, "", "write")
        fields = call.fields()
        label = self.repository.create_label(fields.get("name"), fields.get("color"), fields.get("description"))
        self._did(call, caller, f"create label {label.name}")
        return Answer(201, render.label(label, self.repository, call.links))


def _pattern(template: str) -> re.Pattern[str]:
    # A label's name may hold slashes; everything else is one path segment.
    text = template.replace("{label}", "(.+)").replace("{n}", r"(\d+)")
    return re.compile(re.sub(r"\{\w+\}", "([^/]+)", text))


_REPO = "/repos/{owner}/{repo}"
_ROUTES: list[tuple[str, re.Pattern[str], Handler]] = [
    (method, _pattern(template), handler)
    for method, template, handler in (
        ("GET", "/user", Api.user),
        ("GET", "/orgs/{org}/teams/{team}", Api.team),
        ("GET", "/orgs/{org}/teams/{team}/memberships/{login}", Api.membership),
        ("GET", _REPO, Api.repo),
        ("GET", _REPO + "/collaborators/{login}/permission", Api.permission),
        ("GET", _REPO + "/issues", Api.list_issues),
        ("POST", _REPO + "/issues", Api.create_issue),
        ("GET", _REPO + "/issues/comments", Api.list_all_comments),
        ("GET", _REPO + "/issues/comments/{n}", Api.get_comment),
        ("PATCH", _REPO + "/issues/comments/{n}", Api.edit_comment),
        ("DELETE", _REPO + "/issues/comments/{n}", Api.delete_comment),
        ("GET", _REPO + "/issues/comments/{n}/reactions", Api.list_comment_reactions),
        ("POST", _REPO + "/issues/comments/{n}/reactions", Api.react_to_comment),
        ("GET", _REPO + "/issues/{n}", Api.get_issue),
        ("PATCH", _REPO + "/issues/{n}", Api.edit_issue),
        ("GET", _REPO + "/issues/{n}/comments", Api.list_comments),
        ("POST", _REPO + "/issues/{n}/comments", Api.create_comment),
        ("GET", _REPO + "/issues/{n}/reactions", Api.list_issue_reactions),
        ("POST", _REPO + "/issues/{n}/reactions", Api.react_to_issue),
        ("GET", _REPO + "/labels", Api.list_labels),
        ("POST", _REPO + "/labels", Api.create_label),
        ("GET", _REPO + "/labels/{label}", Api.get_label),
    )
]


def _app(api: Api, call: Call, app: SimulatedApp, _ids: Sequence[str]) -> Answer:
    owner = render.user(api.repository.owner, api.repository, call.links)
    body = {
        "id": app.app_id,
        "slug": app.slug,
        "name": app.slug.title(),
        "owner": owner,
        "permissions": dict(app.permissions),
        "events": ["issues", "issue_comment"],
        "html_url": f"{call.links.html}/apps/{app.slug}",
    }
    return Answer(200, body)


def _installation(api: Api, call: Call, app: SimulatedApp, ids: Sequence[str]) -> Answer:
    if "/".join(ids).lower() != api.repository.full_name.lower():
        raise NotThere("/".join(ids))
    body = {
        "id": app.installation_id,
        "app_id": app.app_id,
        "app_slug": app.slug,
        "account": render.user(api.repository.owner, api.repository, call.links),
        "repository_selection": "selected",
        "permissions": dict(app.permissions),
        "events": ["issues", "issue_comment"],
        "access_tokens_url": f"{call.links.api}/app/installations/{app.installation_id}/access_tokens",
        "html_url": f"{call.links.html}/settings/installations/{app.installation_id}",
    }
    return Answer(200, body)


def _access_token(api: Api, _call: Call, app: SimulatedApp, ids: Sequence[str]) -> Answer:
    if int(ids[0]) != app.installation_id:
        raise NotThere(ids[0])
    token, expires = api.access.new_installation_token()
    permissions = dict(app.permissions)
    body = {
        "token": token,
        "expires_at": render.when(expires),
        "permissions": permissions,
        "repository_selection": "selected",
    }
    return Answer(201, body)


_AS_APP: list[tuple[str, re.Pattern[str], Callable[[Api, Call, SimulatedApp, Sequence[str]], Answer]]] = [
    ("GET", _pattern("/app"), _app),
    ("GET", _pattern(_REPO + "/installation"), _installation),
    ("POST", _pattern("/app/installations/{n}/access_tokens"), _access_token),
]
