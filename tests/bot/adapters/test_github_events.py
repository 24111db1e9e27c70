"""Webhooks from GitHub: only signed ones count, and whatever they hold becomes a value or a clear refusal."""

import contextlib
import hashlib
import hmac
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.adapters.github_events import (
    CommentEvent,
    Ignored,
    IssueEvent,
    MalformedDelivery,
    parse_delivery,
    verify_signature,
)
from bot.simulator import RunningGitHub

BODY = b'{"action": "created"}'


def signed(body=BODY, secret="s3cret", digest=hashlib.sha256, name="sha256"):
    return f"{name}=" + hmac.new(secret.encode(), body, digest).hexdigest()


class TestSignature:
    def test_the_right_secret_fits(self):
        assert verify_signature(BODY, signed(), ["s3cret"])

    @pytest.mark.parametrize("secrets", [["s3cret", "next"], ["next", "s3cret"]])
    def test_while_a_secret_is_replaced_both_fit(self, secrets):
        assert verify_signature(BODY, signed(), secrets)
        assert verify_signature(BODY, signed(secret="next"), secrets)

    @pytest.mark.parametrize(
        "header",
        [
            None,
            "",
            "sha256=",
            "sha256",
            signed(secret="other"),
            signed(body=b"{}"),
            signed(digest=hashlib.sha1, name="sha1"),
            signed(name="SHA256"),
            signed() + "0",
            signed()[:-1],
            " " + signed(),
            "sha256=ünïcode",
            "sha256=\udcff",
        ],
    )
    def test_anything_else_does_not(self, header):
        assert not verify_signature(BODY, header, ["s3cret"])

    def test_without_a_secret_nothing_fits(self):
        assert not verify_signature(BODY, signed(), [])
        assert not verify_signature(BODY, signed(secret=""), [""])

    @given(body=st.binary(max_size=50), header=st.text(max_size=90))
    def test_no_header_makes_it_raise(self, body, header):
        assert verify_signature(body, header, ["s3cret"]) is False


def a_comment_payload(action="created", **changes):
    payload = {
        "action": action,
        "issue": {"number": 12, "title": "edge-07 waits"},
        "comment": {
            "id": 77,
            "user": {"login": "maria", "type": "User"},
            "body": "/drover status",
            "created_at": "2025-03-04T09:12:00Z",
            "updated_at": "2025-03-04T09:13:00Z",
            "html_url": "https://github.com/acme/fleet/issues/12#issuecomment-77",
        },
        "repository": {"full_name": "acme/fleet"},
        "sender": {"login": "maria", "type": "User"},
    }
    for path, value in changes.items():
        holder, _, name = path.rpartition("__")
        target = payload[holder] if holder else payload
        if value is ...:
            del target[name]
        else:
            target[name] = value
    return payload


class TestComments:
    @pytest.mark.parametrize("action", ["created", "edited", "deleted"])
    def test_a_comment_becomes_a_value(self, action):
        assert parse_delivery("issue_comment", a_comment_payload(action)) == CommentEvent(
            action=action,
            repository="acme/fleet",
            issue=12,
            comment_id=77,
            author="maria",
            author_is_bot=False,
            sender="maria",
            sender_is_bot=False,
            body="/drover status",
            created_at=datetime(2025, 3, 4, 9, 12, tzinfo=UTC),
            updated_at=datetime(2025, 3, 4, 9, 13, tzinfo=UTC),
            url="https://github.com/acme/fleet/issues/12#issuecomment-77",
        )

    def test_its_key_is_the_same_whichever_way_it_came(self):
        here = parse_delivery("issue_comment", a_comment_payload())
        there = parse_delivery("issue_comment", a_comment_payload(comment__updated_at="2025-03-04T10:13:00+01:00"))
        assert here.key == there.key == "comment:77:2025-03-04T09:13:00Z"

    def test_an_edit_by_somebody_else_is_seen(self):
        event = parse_delivery("issue_comment", a_comment_payload("edited", sender={"login": "tom", "type": "User"}))
        assert (event.author, event.sender) == ("maria", "tom")

    @pytest.mark.parametrize("user", [{"login": "x[bot]"}, {"login": "renovate", "type": "Bot"}])
    def test_a_bot_is_marked(self, user):
        assert parse_delivery("issue_comment", a_comment_payload(comment__user=user)).author_is_bot

    def test_a_deleted_account_is_nobody(self):
        assert parse_delivery("issue_comment", a_comment_payload(comment__user=None)).author == "ghost"

    @pytest.mark.parametrize("path", ["comment__body", "comment__html_url", "comment__updated_at", "sender"])
    def test_what_can_be_done_without_may_be_missing(self, path):
        assert parse_delivery("issue_comment", a_comment_payload(**{path: ...})).comment_id == 77

    @pytest.mark.parametrize(
        ("changes", "named"),
        [
            ({"comment": ...}, "comment"),
            ({"issue": ...}, "issue"),
            ({"repository": ...}, "repository"),
            ({"comment__id": ...}, "comment.id"),
            ({"comment__id": True}, "comment.id"),
            ({"comment__id": -1}, "comment.id"),
            ({"comment__user": "maria"}, "user"),
            ({"comment__user": {}}, "comment.user.login"),
            ({"comment__created_at": "yesterday"}, "comment.created_at"),
            ({"comment__updated_at": 5}, "comment.updated_at"),
            ({"issue__number": "12"}, "issue.number"),
            ({"repository__full_name": ""}, "repository.full_name"),
        ],
    )
    def test_what_cannot_is_named(self, changes, named):
        with pytest.raises(MalformedDelivery, match=named) as malformed:
            parse_delivery("issue_comment", a_comment_payload(**changes))
        assert malformed.value.cure

    def test_a_comment_on_a_pull_request_is_not_for_us(self):
        payload = a_comment_payload(issue__pull_request={"url": "…"})
        assert parse_delivery("issue_comment", payload) == Ignored("a comment on a pull request")


class TestOthers:
    @pytest.mark.parametrize(("action", "reason"), [("closed", "not_planned"), ("reopened", "reopened")])
    def test_closing_and_reopening_are_told(self, action, reason):
        payload = {
            "action": action,
            "issue": {"number": 3, "state_reason": reason},
            "repository": {"full_name": "acme/fleet"},
            "sender": {"login": "maria"},
        }
        assert parse_delivery("issues", payload) == IssueEvent(action, "acme/fleet", 3, "maria", False, reason)

    @pytest.mark.parametrize(
        ("event", "payload", "reason"),
        [
            ("ping", {"zen": "…"}, "ping"),
            ("issues", {"action": "labeled"}, "labeled"),
            ("issues", {}, "NoneType"),
            ("issue_comment", {"action": "pinned"}, "pinned"),
            ("push", {}, "push"),
            ("", {}, "''"),
            ("a\nb" * 500, {}, "a\\nb"),
        ],
    )
    def test_the_rest_is_ignored_with_a_reason(self, event, payload, reason):
        ignored = parse_delivery(event, payload)
        assert isinstance(ignored, Ignored)
        assert reason in ignored.reason
        assert len(ignored.reason) < 120
        assert "\n" not in ignored.reason

    @pytest.mark.parametrize("payload", [None, [], "x", 7])
    def test_what_is_no_object_is_refused(self, payload):
        with pytest.raises(MalformedDelivery, match="not a JSON object"):
            parse_delivery("issues", payload)

    @given(
        event=st.sampled_from(["issues", "issue_comment", "ping", "push"]),
        payload=st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["created", "closed"]),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        ["action", "issue", "comment", "user", "sender", "repository", "id", "number", "login"]
                    ),
                    inner,
                )
            ),
            max_leaves=20,
        ),
    )
    def test_no_payload_raises_anything_else(self, event, payload):
        with contextlib.suppress(MalformedDelivery):
            parse_delivery(event, payload)


def test_what_the_simulated_github_sends_is_understood():
    with RunningGitHub(hook_url="http://127.0.0.1:9/", hook_secret="s3cret") as github:
        number = github.open_issue_as("maria", "hers")
        comment = github.comment_as("maria", number, "/drover help")
        github.edit_comment_as("maria", comment, "/drover status")
        github.delete_comment_as("maria", comment)
        github.close_issue_as("maria", number)
        github.ping()
        events = [parse_delivery(delivery.event, json.loads(delivery.body)) for delivery in github.deliveries]
    opened, created, edited, deleted, closed, ping = events
    assert isinstance(opened, Ignored)
    assert isinstance(ping, Ignored)
    assert (created.action, created.body, edited.body, deleted.action) == (
        "created",
        "/drover help",
        "/drover status",
        "deleted",
    )
    assert (closed.action, closed.issue, closed.sender) == ("closed", number, "maria")
