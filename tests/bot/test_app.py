"""Do the parts fit together? Deliveries, hints, threads that end, and old evidence that goes."""

import os
import threading
import time

import pytest

from bot.adapters.github_client import AppAuth, TokenAuth
from bot.app import build_tracker
from bot.settings import GitHubSettings
from tests.bot.workflows.world import World

FOUNDING = "rke1-canal-br-netfilter"
NAME = "edge-01"


@pytest.fixture
def world(tmp_path, monkeypatch):
    with World(tmp_path / "home", monkeypatch) as world:
        yield world


def a_delivery(world, comment_id, action="created", body=None):
    """What GitHub sends for this comment."""
    (comment,) = [each for each in world.issue_of(NAME).comments if each.id == comment_id]
    stamp = comment.updated_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    user = {"login": comment.author, "id": 1, "type": "User"}
    number = world.incident(NAME).issue
    return {
        "action": action,
        "repository": {"full_name": world.github.repository},
        "sender": user,
        "issue": {"number": number, "html_url": f"http://x/{number}", "user": user},
        "comment": {
            "id": comment_id,
            "body": comment.body if body is None else body,
            "user": user,
            "created_at": stamp,
            "updated_at": stamp,
            "html_url": f"http://x/{number}#issuecomment-{comment_id}",
            "author_association": "MEMBER",
        },
    }


class TestDeliveries:
    def test_a_comment_by_webhook_is_obeyed_once_and_polling_adds_nothing(self, world):
        world.fleet.add(FOUNDING, NAME)
        world.ask(NAME)
        number = world.incident(NAME).issue
        comment = world.github.comment_as("maria", number, f"/drover approve {world.digest(NAME)}")
        payload = a_delivery(world, comment)
        assert world.app.accept_delivery("guid-1", "issue_comment", payload)
        assert not world.app.accept_delivery("guid-1", "issue_comment", payload)
        assert world.app.accept_delivery("guid-2", "issue_comment", payload)  # redelivered under another id
        world.read_comments()
        world.until(NAME, "resolved")
        world.wait(lambda: not world.app.deliveries.waiting(), "the deliveries to be done")
        assert len(world.writes) == 1
        assert sum("approved plan" in text for text in world.timeline(NAME)) == 1

    def test_a_deleted_comment_takes_its_approval_back(self, world):
        world.store.set_note("paused", True)
        world.fleet.add(FOUNDING, NAME)
        world.ask(NAME)
        comment = world.approve(NAME)
        world.wait(lambda: (world.incident(NAME).approval or {}).get("approvals"), "the approval")
        payload = a_delivery(world, comment, "deleted")
        world.github.delete_comment_as("maria", comment)
        world.app.accept_delivery("guid-1", "issue_comment", payload)
        world.wait(lambda: world.incident(NAME).approval == {"approvals": []}, "the approval to be void")

    @pytest.mark.parametrize(
        ("event", "payload"),
        [("issue_comment", {}), ("issue_comment", {"action": 3, "comment": []})],
    )
    def test_what_says_nothing_to_us_is_done_with(self, world, event, payload):
        assert world.app.accept_delivery("guid-1", event, payload)
        world.wait(lambda: not world.app.deliveries.waiting(), "the delivery to be done")

    @pytest.mark.parametrize("event", ["ping", "push", "issues"])
    def test_events_that_nobody_acts_on_are_not_kept(self, world, event):
        assert not world.app.accept_delivery("guid-1", event, {"x": 1})
        assert world.app.deliveries.waiting() == []

    def test_a_comment_of_another_repository_is_not_ours(self, world):
        """
        An organisation's webhook brings them all, and #1 there is another issue.
        """
        world.store.set_note("paused", True)
        world.fleet.add(FOUNDING, NAME)
        world.ask(NAME)
        number = world.incident(NAME).issue
        payload = a_delivery(world, world.github.comment_as("maria", number, f"/drover approve {world.digest(NAME)}"))
        payload["repository"]["full_name"] = "acme/elsewhere"
        assert world.app.accept_delivery("guid-1", "issue_comment", payload)
        world.wait(lambda: not world.app.deliveries.waiting(), "the delivery to be done")
        assert not (world.incident(NAME).approval or {}).get("approvals")

    def test_one_that_was_accepted_before_a_crash_is_handled_after_it(self, world):
        world.app.deliveries.accept("guid-1", "ping", {}, world.app.clock.now())
        world.stop()
        world.start()
        world.stop()
        world.start()
        world.app.start()
        world.wait(lambda: not world.app.deliveries.waiting(), "the delivery to be done")


class TestHints:
    def test_by_id_and_by_name_known_or_asked_for(self, world):
        cluster = world.fleet.add(FOUNDING, NAME)
        assert world.app.accept_hint_names([NAME], "alertmanager") == 1  # not seen yet: Rancher is asked
        world.sweep()
        assert world.app.accept_hint_names([cluster.id, NAME, "nobody"], "alertmanager") == 2
        assert len(world.app.queue) == 1

    def test_a_rancher_that_is_away_costs_only_the_hint(self, world):
        world.fleet.add(FOUNDING, NAME)
        world.fleet.faults.add("status", path="^/k8s/", status=500)
        assert world.app.accept_hint_names([NAME], "alertmanager") == 0
        world.fleet.faults.clear()
        assert world.app.accept_hint_names([NAME], "alertmanager") == 1


class TestThreads:
    def test_the_service_sees_by_itself_and_ends_with_all_its_threads(self, world):
        before = set(threading.enumerate())
        world.fleet.add(FOUNDING, NAME)
        world.app.start()
        world.wait(lambda: world.store.all() and world.state(NAME) == "awaiting-approval", "the incident")
        assert world.app.health().ready
        began = time.monotonic()
        world.stop()
        assert time.monotonic() - began < 30
        left = [
            thread.name for thread in set(threading.enumerate()) - before if not thread.daemon and thread.is_alive()
        ]
        assert left == []

    def test_started_again_it_goes_on(self, world):
        world.fleet.add(FOUNDING, NAME)
        world.app.start()
        world.wait(lambda: world.store.all() and world.state(NAME) == "awaiting-approval", "the incident")
        world.stop()
        world.start()
        world.app.start()
        world.approve(NAME)
        world.until(NAME, "resolved")
        assert len(world.github.issues) == 1


def test_old_evidence_goes_and_fresh_stays(world):
    folder = world.app.settings.evidence_dir
    old, fresh, other = folder / "old.tar.gz", folder / "fresh.tar.gz", folder / "notes.txt"
    for file in (old, fresh, other):
        file.write_text("x", encoding="utf-8")
    for file in (old, other):
        long_ago = time.time() - 40 * 86400
        os.utime(file, (long_ago, long_ago))
    world.app._clean()
    assert sorted(path.name for path in folder.iterdir()) == ["fresh.tar.gz", "notes.txt"]


def test_coverage_is_said_once_there_was_a_sweep(world):
    assert world.app.coverage_text() == ""
    world.fleet.add("rke2-canal-healthy")
    world.sweep()
    assert world.app.coverage_text().startswith("sweep coverage 2 clusters, ")


@pytest.mark.parametrize(
    ("given", "auth"),
    [
        ({"token": "ghp_x"}, TokenAuth("ghp_x")),
        ({"app_id": "12", "app_private_key": "key"}, AppAuth(12, "key")),
        ({"token": "ghp_x", "app_id": "12", "app_private_key": "key"}, TokenAuth("ghp_x")),
    ],
)
def test_github_by_token_or_as_an_app(given, auth):
    tracker = build_tracker(GitHubSettings("https://api.github.com", "acme/fleet", **given))
    assert tracker._client._auth == auth
    tracker.close_connections()
