"""Hooks: signed, small, readable, new, kept; in this order."""

import hashlib
import hmac
import json
import socket
from dataclasses import replace
from typing import Any

import pytest

from bot.errors import StoreError
from tests.bot.web.serving import GITHUB_SECRET, HOOK_TOKEN, OLD_GITHUB_SECRET, Facts, Web, running

COMMENT = {
    "action": "created",
    "repository": {"full_name": "acme/fleet"},
    "issue": {"number": 12},
    "sender": {"login": "maria", "type": "User"},
    "comment": {
        "id": 991,
        "body": "/drover approve b1288f",
        "user": {"login": "maria", "type": "User"},
        "created_at": "2025-03-04T09:54:00Z",
        "updated_at": "2025-03-04T09:54:00Z",
        "html_url": "https://github.com/acme/fleet/issues/12#issuecomment-991",
    },
}
ALERT = {
    "version": "4",
    "status": "firing",
    "alerts": [
        {"status": "firing", "labels": {"cluster": "edge-07"}},
        {"status": "firing", "labels": {"cluster": "nobody-knows"}},
    ],
}


def signed(body: bytes, secret: str = GITHUB_SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def deliver(
    web: Web, payload: Any = COMMENT, *, guid: str = "d-1", event: str = "issue_comment", **headers: str | None
):
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    given: dict[str, str | None] = {
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": guid,
        "X-Hub-Signature-256": signed(body),
        "Content-Type": "application/json",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    return web.post(
        "/hooks/github", data=body, headers={name: value for name, value in given.items() if value is not None}
    )


def alert(web: Web, payload: Any = ALERT, **headers: str):
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return web.post("/hooks/alertmanager", data=body, headers=headers or {"Authorization": f"Bearer {HOOK_TOKEN}"})


def is_problem(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    for secret in (GITHUB_SECRET, OLD_GITHUB_SECRET, HOOK_TOKEN):
        assert secret not in answer.text
    return body


def test_a_signed_delivery_is_kept_before_it_is_answered(web: Web, facts: Facts):
    answer = deliver(web)
    assert (answer.status_code, answer.json()) == (202, {"status": "accepted"})
    assert facts.deliveries == {"d-1": ("issue_comment", COMMENT)}


def test_a_delivery_that_comes_twice_has_no_second_effect(web: Web, facts: Facts):
    deliver(web)
    answer = deliver(web)
    assert answer.status_code == 200
    assert answer.json()["status"] == "duplicate"
    assert len(facts.deliveries) == 1


def test_both_secrets_are_good_while_one_is_replaced(web: Web):
    body = json.dumps(COMMENT).encode()
    assert deliver(web, X_Hub_Signature_256=signed(body, OLD_GITHUB_SECRET)).status_code == 202


@pytest.mark.parametrize(
    "signature", [None, "", "sha256=", "sha256=00", "sha1=abc", "sha256=" + "é" * 10, signed(b"another body")]
)
def test_without_a_fitting_signature_nothing_is_kept(web: Web, facts: Facts, signature: str | None):
    answer = deliver(web, X_Hub_Signature_256=signature.encode("utf-8") if signature else signature)
    is_problem(answer, 401)
    assert facts.deliveries == {}


def test_without_a_configured_secret_every_delivery_is_refused(facts: Facts):
    with running(facts.parts(github_secrets=()), facts) as web:
        is_problem(deliver(web), 401)
        is_problem(deliver(web, X_Hub_Signature_256=signed(json.dumps(COMMENT).encode(), "")), 401)


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        ("ping", {}),
        ("push", {"ref": "x"}),
        ("issue_comment", {**COMMENT, "action": "pinned"}),
        ("star", {"action": None}),
    ],
)
def test_events_that_mean_nothing_to_us_are_answered_and_forgotten(web: Web, facts: Facts, event: str, payload: Any):
    answer = deliver(web, payload, event=event)
    assert answer.status_code == 202
    assert answer.json()["status"] == "ignored"
    assert facts.deliveries == {}


@pytest.mark.parametrize(
    "payload",
    [b"", b"{", b"[]", b'"x"', b"\xff\xfe", b"[" * 100_000, b'{"a": NaN}', {"action": "created"}, b"1" * 10_000],
)
def test_a_signed_body_that_cannot_be_read_is_a_400(web: Web, facts: Facts, payload: Any):
    is_problem(deliver(web, payload), 400)
    assert facts.deliveries == {}


@pytest.mark.parametrize(
    "headers", [{"guid": ""}, {"guid": "a b"}, {"guid": "x" * 101}, {"event": ""}, {"event": "A" * 99}]
)
def test_github_says_which_event_and_which_delivery(web: Web, headers: dict[str, str]):
    is_problem(deliver(web, **headers), 400)


def test_a_form_names_its_cure(web: Web):
    problem = is_problem(deliver(web, Content_Type="application/x-www-form-urlencoded"), 415)
    assert problem["cure"] == "Set the webhook's content type to application/json."


def test_a_body_over_the_limit_is_refused_announced_or_not(web: Web, facts: Facts):
    body = b" " * 200_001
    is_problem(deliver(web, body), 413)

    def chunks():
        for _ in range(30):
            yield b" " * 10_000

    answer = web.post("/hooks/github", data=chunks(), headers={"X-Hub-Signature-256": "sha256=00"})
    is_problem(answer, 413)
    assert facts.deliveries == {}


def test_an_unsigned_body_is_not_even_read(web: Web):
    """A stranger who announces 25 MB gets the answer before sending them."""
    with socket.create_connection(("127.0.0.1", web.port), timeout=10) as connection:
        connection.sendall(b"POST /hooks/github HTTP/1.1\r\nHost: localhost\r\nContent-Length: 190000\r\n\r\n")
        assert connection.recv(200).startswith(b"HTTP/1.1 401")


def test_a_body_that_does_not_come_is_a_408(facts: Facts):
    parts = facts.parts()
    with (
        running(replace(parts, limits=replace(parts.limits, body_seconds=0.1)), facts) as web,
        socket.create_connection(("127.0.0.1", web.port), timeout=10) as connection,
    ):
        connection.sendall(
            b"POST /hooks/github HTTP/1.1\r\nHost: localhost\r\nX-Hub-Signature-256: sha256=00\r\nContent-Length: 500\r\n\r\n{"
        )
        assert connection.recv(200).startswith(b"HTTP/1.1 408")


def test_a_store_that_fails_is_told_so_that_the_sender_tries_again(web: Web, facts: Facts):
    facts.failure = StoreError("the database failed", cure="Check that it runs.")
    answer = deliver(web)
    is_problem(answer, 503)
    assert answer.headers["retry-after"] == "30"
    facts.failure = None
    assert deliver(web).status_code == 202


def test_alerts_name_clusters_and_hint_at_them(web: Web, facts: Facts):
    answer = alert(web)
    assert (answer.status_code, answer.json()) == (202, {"status": "accepted", "named": 2, "recognised": 1})
    assert facts.hinted == [(("edge-07", "nobody-knows"), "alertmanager")]


def test_a_sender_that_can_sign_needs_no_bearer_token(web: Web, facts: Facts):
    body = json.dumps(ALERT).encode()
    assert alert(web, **{"X-Drover-Signature-256": signed(body, HOOK_TOKEN)}).status_code == 202
    is_problem(alert(web, **{"X-Drover-Signature-256": signed(b"other", HOOK_TOKEN)}), 401)
    assert len(facts.hinted) == 1


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Basic {HOOK_TOKEN}",
        HOOK_TOKEN,
        f"Bearer {HOOK_TOKEN}x",
        "Bearer \xe9",
    ],
)
def test_an_alert_without_a_known_token_is_refused(web: Web, facts: Facts, header: str):
    answer = alert(web, Authorization=header.encode("latin-1"))
    is_problem(answer, 401)
    assert facts.hinted == []


def test_without_configured_tokens_no_alert_passes(facts: Facts):
    with running(facts.parts(hook_tokens=("",)), facts) as web:
        is_problem(alert(web, Authorization="Bearer "), 401)
        is_problem(alert(web, **{"X-Drover-Signature-256": signed(json.dumps(ALERT).encode(), "")}), 401)


@pytest.mark.parametrize(
    "payload", [b"{", b"[]", {}, {"version": "3", "alerts": []}, {**ALERT, "alerts": [{"labels": {}}]}]
)
def test_an_alert_that_cannot_be_read_is_a_400_with_a_cure(web: Web, facts: Facts, payload: Any):
    assert is_problem(alert(web, payload), 400)["cure"]
    assert facts.hinted == []


def test_every_outcome_is_counted(own_web: Web):
    deliver(own_web)
    deliver(own_web)
    deliver(own_web, X_Hub_Signature_256="sha256=00")
    deliver(own_web, b"{")
    deliver(own_web, b" " * 200_001)
    alert(own_web)
    metrics = own_web.get("/metrics").text
    for hook, outcome in [
        ("github", "accepted"),
        ("github", "duplicate"),
        ("github", "unsigned"),
        ("github", "malformed"),
        ("github", "too-large"),
        ("alertmanager", "accepted"),
    ]:
        assert f'drover_hook_requests_total{{hook="{hook}",outcome="{outcome}"}} 1.0' in metrics


def test_other_methods_and_unknown_hooks_are_told_apart(web: Web):
    is_problem(web.get("/hooks/github"), 405)
    is_problem(web.post("/hooks/nagios"), 404)
