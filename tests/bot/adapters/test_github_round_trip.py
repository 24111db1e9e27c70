"""From a person's comment to our answer under it: webhook or polling, the same command, handled once."""

import json
from datetime import UTC, datetime

import pytest

from bot.adapters.github_client import TokenAuth
from bot.adapters.github_events import CommentEvent, parse_delivery, verify_signature
from bot.adapters.github_issues import GitHubIssues
from bot.commands.command import IncidentDesk, Outcome
from bot.commands.dispatch import Speaker, dispatch
from bot.commands.parse import parse
from bot.ports import IssueDraft
from bot.simulator import RunningGitHub

NOON = datetime(2025, 3, 4, 12, 0, tzinfo=UTC)


class Desk(IncidentDesk):
    """Only approvals are asked for here."""

    def __init__(self):
        self.approved = []

    def approve(self, incident, digest_prefix, *, by, role, comment_id, comment_updated_at):
        self.approved.append((incident, digest_prefix, by, role.name))
        return Outcome(done=True, text="One more approval is needed. Write `/drover approve 7f3a9c`.")


@pytest.fixture
def github():
    people = {"maria": "maintain", "eve": "read"}
    with RunningGitHub(clock=lambda: NOON, people=people, hook_url="http://127.0.0.1:9/", hook_secret="s") as running:
        yield running


@pytest.fixture
def tracker(github):
    tracker = GitHubIssues("acme/fleet", TokenAuth(github.token), api_url=github.url, sleep=lambda _: None)
    tracker.open(IssueDraft("edge-07 waits", "why", ()), "incident:a")
    yield tracker
    tracker.close_connections()


def answer(tracker, desk, comment):
    """What the delivery flow does with one comment."""
    if comment.author_is_bot:
        return
    role = tracker.role_of(comment.author)
    tracker.react(comment.id, "eyes")
    speaker = Speaker(comment.author, role, comment.id, comment.updated_at, comment.issue, "incident:a")
    for parsed in parse(comment.body):
        reply = dispatch(parsed, speaker, desk)
        if reply is not None and reply.reaction:
            tracker.react(comment.id, reply.reaction)
        if reply is not None and reply.text:
            tracker.upsert_comment(comment.issue, f"reply:{comment.id}:{parsed.line}", reply.text)


def test_an_approval_is_passed_on_acknowledged_and_answered_once(github, tracker):
    desk = Desk()
    github.comment_as("maria", 1, "Looks right.\n\n/drover approve 7f3a9c")
    for _ in range(2):
        for comment in tracker.comments_since(NOON):
            answer(tracker, desk, comment)

    asked, replied = github.issue(1).comments
    assert desk.approved == [("incident:a", "7f3a9c", "maria", "MAINTAIN")] * 2
    assert asked.reactions == ("eyes", "rocket")
    assert replied.body.endswith("One more approval is needed. Write `/drover approve 7f3a9c`.")


def test_a_reader_cannot_approve_and_is_told(github, tracker):
    desk = Desk()
    github.comment_as("eve", 1, "/drover approve 7f3a9c")
    for comment in tracker.comments_since(NOON):
        answer(tracker, desk, comment)
    assert desk.approved == []
    assert "needs the role write" in github.issue(1).comments[1].body


def test_our_own_answers_are_never_commands(github, tracker):
    desk = Desk()
    tracker.upsert_comment(1, "status", "/drover approve 7f3a9c")
    for comment in tracker.comments_since(NOON):
        answer(tracker, desk, comment)
    assert desk.approved == []


def test_webhook_and_polling_tell_the_same_comment(github, tracker):
    github.comment_as("maria", 1, "/drover status")
    (delivery,) = github.deliveries
    event = parse_delivery(delivery.event, json.loads(delivery.body))
    (comment,) = tracker.comments_since(NOON)
    assert isinstance(event, CommentEvent)
    assert (event.comment_id, event.issue, event.author, event.body) == (comment.id, 1, "maria", comment.body)
    assert (event.created_at, event.updated_at, event.url) == (comment.created_at, comment.updated_at, comment.url)
    assert event.key == f"comment:{comment.id}:2025-03-04T12:00:00Z"
    assert not verify_signature(delivery.body, None, ["s"])
