"""What every `IssueTracker` promises: in memory, and the real adapter against a GitHub over HTTP."""

from datetime import UTC, datetime, timedelta

import pytest

from bot.adapters.github_client import TokenAuth
from bot.adapters.github_errors import GitHubNotFound
from bot.adapters.github_issues import GitHubIssues
from bot.adapters.in_memory import InMemoryIssues
from bot.ports import IssueDraft, Membership, Role
from bot.simulator import RunningGitHub

PEOPLE = {"maria": "maintain", "eve": "read"}
DRAFT = IssueDraft("edge-7 waits", "It waits for **Canal**.", ("cluster/edge-7", "state/reported"))


class World:
    """A tracker, and people beside it."""

    def __init__(self, tracker, say, change, withdraw, issues, comments, reactions, clock):
        self.tracker, self.say, self.change, self.withdraw = tracker, say, change, withdraw
        self.issues, self.comments, self.reactions, self._clock = issues, comments, reactions, clock

    def later(self):
        self._clock[0] += timedelta(seconds=10)
        return self._clock[0]


@pytest.fixture(params=["memory", "github"])
def world(request):
    clock = [datetime(2026, 3, 4, 12, 0, tzinfo=UTC)]
    if request.param == "memory":
        memory = InMemoryIssues({login: Role[role.upper()] for login, role in PEOPLE.items()}, lambda: clock[0])
        memory.teams["acme/sre"] = {"maria"}
        yield World(
            memory,
            lambda *said: memory.say(*said).id,
            memory.change,
            memory.withdraw,
            lambda: len(memory._issues),
            lambda number: [(comment.author, comment.body) for comment in memory.comments(number)],
            lambda number, comment: memory.reactions.get(comment, []),
            clock,
        )
        return
    with RunningGitHub(people=PEOPLE, clock=lambda: clock[0]) as github:
        github.teams["acme/sre"] = {"maria": "active"}
        tracker = GitHubIssues("acme/fleet", TokenAuth(github.token), api_url=github.url, sleep=lambda _: None)
        yield World(
            tracker,
            github.comment_as,
            lambda comment, body: github.edit_comment_as("maria", comment, body),
            lambda comment: github.delete_comment_as("maria", comment),
            lambda: len(github.issues),
            lambda number: [
                (comment.author, comment.body.partition("-->\n")[2] or comment.body)
                for comment in github.issue(number).comments
            ],
            lambda number, comment: next(
                list(each.reactions) for each in github.issue(number).comments if each.id == comment
            ),
            clock,
        )
        tracker.close_connections()


def test_an_issue_is_opened_once_and_found_by_its_marker(world):
    tracker = world.tracker
    assert tracker.find("incident:a") is None
    first = tracker.open(DRAFT, "incident:a")
    assert tracker.open(IssueDraft("another title", "x", ()), "incident:a").number == first.number
    assert tracker.find("incident:a").number == first.number
    assert tracker.open(DRAFT, "incident:b").number != first.number
    assert world.issues() == 2


def test_an_issue_shows_the_draft_and_hides_the_marker(world):
    view = world.tracker.get(world.tracker.open(DRAFT, "incident:a").number)
    assert (view.title, view.body, view.open) == (DRAFT.title, DRAFT.body, True)
    assert set(view.labels) == {"drover", *DRAFT.labels}


def test_a_closed_issue_is_found_too(world):
    number = world.tracker.open(DRAFT, "incident:a").number
    world.tracker.close(number, completed=True)
    assert world.tracker.find("incident:a").number == number
    assert not world.tracker.get(number).open
    world.tracker.close(number, completed=True)
    world.tracker.reopen(number)
    world.tracker.reopen(number)
    assert world.tracker.get(number).open


def test_an_edit_makes_it_equal_to_the_draft_and_keeps_the_marker_and_peoples_labels(world):
    tracker = world.tracker
    number = tracker.open(IssueDraft("t", "b", ("state/reported", "team-a")), "incident:a").number
    world.later()
    view = tracker.edit(number, IssueDraft("new title", "new text", ("state/verifying",)))
    assert (view.title, view.body) == ("new title", "new text")
    assert set(view.labels) == {"drover", "state/verifying", "team-a"}
    assert tracker.find("incident:a").number == number


def test_an_edit_that_changes_nothing_writes_nothing(world):
    tracker = world.tracker
    before = tracker.get(tracker.open(DRAFT, "incident:a").number)
    world.later()
    assert tracker.edit(before.number, DRAFT).updated_at == before.updated_at


def test_a_comment_stays_one_per_marker(world):
    tracker = world.tracker
    number = tracker.open(DRAFT, "incident:a").number
    first = tracker.upsert_comment(number, "status:a", "one")
    world.later()
    second = tracker.upsert_comment(number, "status:a", "two")
    again = tracker.upsert_comment(number, "status:a", "two")
    tracker.upsert_comment(number, "reply:a", "three")
    assert first.id == second.id == again.id
    assert first.author_is_bot
    assert again.updated_at == second.updated_at
    assert [body for _, body in world.comments(number)] == ["two", "three"]


def test_the_same_marker_in_two_issues_is_two_comments(world):
    tracker = world.tracker
    numbers = [tracker.open(DRAFT, f"incident:{name}").number for name in "ab"]
    assert len({tracker.upsert_comment(number, "status", "x").id for number in numbers}) == 2


def test_a_comment_that_a_person_removed_is_made_again(world):
    number = world.tracker.open(DRAFT, "incident:a").number
    world.withdraw(world.tracker.upsert_comment(number, "status", "x").id)
    world.tracker.upsert_comment(number, "status", "x")
    assert [body for _, body in world.comments(number)] == ["x"]


def test_peoples_comments_are_read_since_a_time_oldest_first(world):
    number = world.tracker.open(DRAFT, "incident:a").number
    early = world.say("maria", number, "early")
    since = world.later()
    one = world.say("eve", number, "one")
    world.later()
    two = world.say("maria", number, "two")
    world.later()
    world.change(early, "early, edited")
    read = world.tracker.comments_since(since)
    assert [(comment.id, comment.body) for comment in read] == [(one, "one"), (two, "two"), (early, "early, edited")]
    assert [comment.author for comment in read] == ["eve", "maria", "maria"]
    assert not any(comment.author_is_bot for comment in read)
    assert read[-1].updated_at > read[-1].created_at
    assert world.tracker.comments_since(world.later()) == []


def test_a_reaction_is_given_once_and_one_to_a_removed_comment_is_no_error(world):
    number = world.tracker.open(DRAFT, "incident:a").number
    comment = world.say("maria", number, "/drover status")
    for reaction in ("eyes", "eyes", "rocket"):
        world.tracker.react(comment, reaction)
    assert sorted(world.reactions(number, comment)) == ["eyes", "rocket"]
    world.withdraw(comment)
    world.tracker.react(comment, "eyes")
    with pytest.raises(ValueError, match="heart"):
        world.tracker.react(comment, "heart")


def test_roles_are_githubs_and_strangers_have_none(world):
    assert world.tracker.role_of("maria") is Role.MAINTAIN
    assert world.tracker.role_of("eve") is Role.READ
    assert world.tracker.role_of("stranger") is Role.NONE
    assert world.tracker.role_of("../admin") is Role.NONE


def test_who_is_in_a_team_is_told_and_a_team_that_cannot_be_seen_has_no_members(world):
    assert world.tracker.membership("acme/sre", "maria") == Membership(member=True)
    assert world.tracker.membership("acme/sre", "MARIA").member
    assert world.tracker.membership("acme/sre", "eve") == Membership(member=False)
    assert world.tracker.membership("acme/sre", "../maria") == Membership(member=False)
    assert world.tracker.unseen_team("acme/sre") == ""
    for team in ("acme/hidden", "other/sre"):
        seen = world.tracker.membership(team, "maria")
        assert not seen.member
        assert f"no team {team}" in seen.unseen
        assert seen.unseen == world.tracker.unseen_team(team)


def test_an_issue_that_is_not_there_is_an_error_that_says_so(world):
    for attempt in (lambda: world.tracker.get(99), lambda: world.tracker.edit(99, DRAFT)):
        with pytest.raises(GitHubNotFound) as caught:
            attempt()
        assert "99" in caught.value.message
        assert caught.value.cure


@pytest.mark.parametrize("marker", ["", "a b", "a-->b", "x" * 201])
def test_a_marker_that_could_not_be_found_again_is_refused(world, marker):
    with pytest.raises(ValueError, match="cannot be a marker"):
        world.tracker.open(DRAFT, marker)
