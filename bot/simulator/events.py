"""What does GitHub tell a webhook, and about whom?

Payloads of `issues`, `issue_comment` and `ping`. By default only what people do is told; with `echo` the bot hears of its
own writes too, as from a real server, and has to ignore them.
"""

from collections.abc import Mapping
from typing import Any

from bot.simulator import render
from bot.simulator.hooks import Hooks
from bot.simulator.state import Comment, Issue, Repository


class Events:
    def __init__(
        self, repository: Repository, hooks: Hooks, links: render.Links, *, silent: frozenset[str], echo: bool
    ) -> None:
        self._repository = repository
        self._hooks = hooks
        self._links = links
        self._silent = frozenset() if echo else silent

    def ping(self) -> str | None:
        payload = {"zen": "Keep it logically awesome.", "hook_id": 301, **self._common(self._repository.owner)}
        return self._hooks.send("ping", payload)

    def issue(self, action: str, issue: Issue, by: str, changes: Mapping[str, Any] | None = None) -> str | None:
        if by in self._silent:
            return None
        payload: dict[str, Any] = {
            "action": action,
            "issue": render.issue(issue, self._repository, self._links),
            **self._common(by),
        }
        if changes is not None:
            payload["changes"] = dict(changes)
        return self._hooks.send("issues", payload)

    def comment(self, action: str, comment: Comment, by: str, changes: Mapping[str, Any] | None = None) -> str | None:
        if by in self._silent:
            return None
        issue = self._repository.issue(comment.issue)
        payload: dict[str, Any] = {
            "action": action,
            "issue": render.issue(issue, self._repository, self._links),
            "comment": render.comment(comment, self._repository, self._links),
            **self._common(by),
        }
        if changes is not None:
            payload["changes"] = dict(changes)
        return self._hooks.send("issue_comment", payload)

    def _common(self, by: str) -> dict[str, Any]:
        role = self._repository.role_of(by)
        return {
            "repository": render.repo(self._repository, self._links, role=role),
            "sender": render.user(by, self._repository, self._links),
        }
