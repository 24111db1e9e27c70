"""GitHub as the issue tracker, over a real socket: one issue per marker whatever fails, and errors a person can act on."""

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from bot.adapters.github_client import AppAuth, TokenAuth
from bot.adapters.github_errors import (
    GitHubError,
    GitHubNotFound,
    GitHubRefused,
    GitHubRejected,
    GitHubSlowDown,
    GitHubUnavailable,
)
from bot.adapters.github_issues import GitHubIssues
from bot.adapters.write_pace import Priority, WritePace
from bot.ports import IssueDraft, IssueTracker, Membership, Role
from bot.simulator import RunningGitHub

NOON = datetime(2025, 3, 4, 12, 0, 0, tzinfo=UTC)
MARKER = "incident:main:c-8xk2p:1"


class MovingClock:
    def __init__(self):
        self.now = NOON

    def __call__(self):
        return self.now

    def forward(self, **how):
        self.now += timedelta(**how)


@pytest.fixture
def clock():
    return MovingClock()


@pytest.fixture
def github(clock):
    with RunningGitHub(clock=clock, people={"maria": "maintain", "tom": "triage", "ann": "admin"}) as running:
        yield running


@pytest.fixture
def make(github):
    """Another tracker, as after a restart: its caches are empty."""
    made = []

    def tracker(auth=None, **how):
        settings = {"api_url": github.url, "sleep": lambda seconds: None, "timeout": 5, "retry_pause": 0.0, **how}
        made.append(GitHubIssues("acme/fleet", auth or TokenAuth(github.token), **settings))
        return made[-1]

    yield tracker
    for tracker in made:
        tracker.close_connections()


@pytest.fixture
def tracker(make):
    return make()


def draft(**changes):
    fields = {"title": "edge-07 waits", "body": "**why**", "labels": ("cluster/edge-07", "state/reported"), **changes}
    return IssueDraft(**fields)


def did(github):
    return [write.did for write in github.writes]


def test_it_is_an_issue_tracker(tracker):
    port: IssueTracker = tracker
    assert port is tracker


class TestOpening:
    def test_an_issue_carries_its_marker_first_and_the_drover_label(self, tracker, github):
        view = tracker.open(draft(), MARKER)

        assert (view.number, view.title, view.body, view.open) == (1, "edge-07 waits", "**why**", True)
        assert view.url == f"{github.url}/acme/fleet/issues/1"
        seen = github.issue(1)
        assert seen.body == f"<!-- drover:{MARKER} -->\n**why**"
        assert seen.labels == ("drover", "cluster/edge-07", "state/reported")

    def test_the_same_marker_never_makes_a_second_issue_not_even_after_a_restart(self, tracker, make, github):
        first = tracker.open(draft(), MARKER)
        assert tracker.open(draft(title="again"), MARKER) == first
        assert make().open(draft(title="restarted"), MARKER) == first
        assert did(github) == ["open issue #1"]

    def test_a_closed_issue_is_found_too(self, tracker, make, github):
        tracker.open(draft(), MARKER)
        github.close_issue_as("maria", 1)
        found = make().find(MARKER)
        assert (found.number, found.open) == (1, False)

    def test_an_unknown_marker_is_not_found(self, tracker):
        assert tracker.find("incident:none") is None

    def test_threads_that_open_at_once_get_one_issue(self, tracker, github):
        barrier = threading.Barrier(4)

        def race(_):
            barrier.wait()
            return tracker.open(draft(), MARKER).number

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(race, range(4))) == [1, 1, 1, 1]
        assert len(github.issues) == 1

    def test_threads_with_different_issues_do_not_mix_their_requests(self, tracker, github):
        def work(number):
            view = tracker.open(draft(title=f"cluster {number}"), f"incident:{number}")
            comment = tracker.upsert_comment(view.number, "status", f"status of {number}")
            return view.title, comment.issue == view.number

        with ThreadPoolExecutor(6) as pool:
            assert list(pool.map(work, range(12))) == [(f"cluster {number}", True) for number in range(12)]
        for issue in github.issues:
            assert issue.comments[0].body.endswith(issue.title.replace("cluster", "status of"))

    def test_somebody_elses_issue_cannot_take_over_a_marker(self, tracker, github):
        github.open_issue_as("maria", "mine!", f"<!-- drover:{MARKER} -->\nhijacked", ("drover",))
        assert tracker.find(MARKER) is None
        assert tracker.open(draft(), MARKER).number == 2

    def test_a_log_line_in_our_own_issue_cannot_take_over_a_marker(self, tracker, make):
        body = f"```\n<!-- drover:{MARKER} -->\n```"
        tracker.open(draft(body=body), "incident:other")
        assert make().find(MARKER) is None
        assert make().find("incident:other").body == body

    def test_a_pull_request_is_no_issue(self, tracker, github):
        body = f"<!-- drover:{MARKER} -->"
        github.open_issue_as("drover-bot", "a change", body, ("drover",), pull_request=True)
        assert tracker.find(MARKER) is None

    def test_the_newest_of_several_is_found(self, make, github):
        for title in ("old", "new"):
            github.open_issue_as("drover-bot", title, f"<!-- drover:{MARKER} -->", ("drover",))
        assert make().find(MARKER).title == "new"

    def test_an_issue_is_found_among_many(self, make, github):
        github.open_issue_as("drover-bot", "needle", f"<!-- drover:{MARKER} -->", ("drover",))
        for number in range(130):
            github.open_issue_as("drover-bot", f"hay {number}", f"<!-- drover:hay:{number} -->", ("drover",))
        tracker = make()
        assert tracker.find(MARKER).title == "needle"
        # Two pages, who we are, and nothing per issue.
        assert github.access.limit - github.access.remaining == 3
        assert tracker.find("hay:7").title == "hay 7"
        assert github.access.limit - github.access.remaining == 4

    def test_a_marker_that_was_removed_from_the_known_issue_is_looked_for_anew(self, tracker, github):
        tracker.open(draft(), MARKER)
        github.edit_issue_as("maria", 1, body="rewritten")
        github.open_issue_as("drover-bot", "other", f"<!-- drover:{MARKER} -->", ("drover",))
        assert tracker.find(MARKER).number == 2

    def test_what_another_process_opened_since_the_last_scan_is_found(self, make, clock):
        one, other = make(), make()
        one.open(draft(), "incident:a")
        assert one.find("incident:b") is None
        clock.forward(hours=1)
        other.open(draft(title="b"), "incident:b")
        assert one.find("incident:b").title == "b"

    def test_what_github_would_refuse_for_its_length_is_fitted(self, tracker, github):
        long = draft(title="t" * 300, body="b" * 65_536, labels=("cluster/" + "c" * 60, "cluster/" + "c" * 61))
        view = tracker.open(long, "m" * 200)
        assert len(view.title) == 256
        assert [len(label) for label in view.labels] == [6, 50, 50]
        assert view.labels[1] != view.labels[2]
        tracker.edit(view.number, long)
        assert did(github) == ["open issue #1"]

    @pytest.mark.parametrize("marker", ["", "a b", "x-->", "a\nb", "m" * 201, "<x"])
    def test_a_marker_that_could_break_out_is_a_mistake_of_ours(self, tracker, marker):
        with pytest.raises(ValueError, match="cannot be a marker"):
            tracker.open(draft(), marker)

    def test_a_lost_answer_is_looked_up_by_marker_not_by_title(self, tracker, github):
        github.open_issue_as("drover-bot", "edge-07 waits", "<!-- drover:incident:older -->\n**why**", ("drover",))
        github.faults.drop("/issues$", method="POST", after_the_write=False)
        assert tracker.open(draft(), MARKER).number == 2

    def test_without_the_right_to_label_it_says_so(self, tracker, github):
        github.people["drover-bot"] = "read"
        with pytest.raises(GitHubRefused, match="without its labels") as refused:
            tracker.open(draft(), MARKER)
        assert "triage" in refused.value.cure
        assert tracker.open(draft(), MARKER).number == 1


LOST = {
    "the socket was dropped": lambda faults, path, method: faults.drop(path, method=method),
    "a gateway answered 502": lambda faults, path, method: faults.fail(path, method=method, after_the_write=True),
    "the answer was not JSON": lambda faults, path, method: faults.fail(
        path, method=method, after_the_write=True, status=201, html="{<html>"
    ),
}


@pytest.mark.parametrize("lose", LOST.values(), ids=LOST)
class TestLostAnswers:
    """The write happened, but its answer never came: it must not happen twice."""

    def test_an_opened_issue(self, tracker, github, lose):
        lose(github.faults, "/issues$", "POST")
        assert tracker.open(draft(), MARKER).number == 1
        assert did(github) == ["open issue #1"]

    def test_a_comment(self, tracker, github, lose):
        tracker.open(draft(), MARKER)
        lose(github.faults, "/comments$", "POST")
        assert tracker.upsert_comment(1, "status", "mending").body == "mending"
        assert did(github) == ["open issue #1", "comment on #1"]

    def test_an_edited_comment(self, tracker, github, lose):
        tracker.open(draft(), MARKER)
        tracker.upsert_comment(1, "status", "mending")
        lose(github.faults, "/comments/", "PATCH")
        assert tracker.upsert_comment(1, "status", "healed").body == "healed"
        assert len(github.writes) == 3

    def test_an_edited_issue(self, tracker, github, lose):
        tracker.open(draft(), MARKER)
        lose(github.faults, "/issues/1$", "PATCH")
        assert tracker.edit(1, draft(title="new")).title == "new"
        assert len(github.writes) == 2

    def test_a_closed_issue(self, tracker, github, lose):
        tracker.open(draft(), MARKER)
        lose(github.faults, "/issues/1$", "PATCH")
        tracker.close(1, completed=True)
        assert len(github.writes) == 2
        assert github.issue(1).state == "closed"


class TestFailedWrites:
    @pytest.mark.parametrize("status", [500, 502, 503])
    def test_a_write_that_did_not_happen_is_done_after_looking(self, tracker, github, status):
        github.faults.fail("/issues$", method="POST", status=status)
        assert tracker.open(draft(), MARKER).number == 1
        assert did(github) == ["open issue #1"]

    def test_a_dropped_request_is_done_after_looking(self, tracker, github):
        github.faults.drop("/issues$", method="POST", after_the_write=False)
        assert tracker.open(draft(), MARKER).number == 1

    def test_the_look_waits_for_a_write_that_takes_its_time(self, make, github):
        pauses = []
        tracker = make(sleep=pauses.append)
        github.faults.fail("/issues$", method="POST")
        tracker.open(draft(), MARKER)
        assert pauses == [1.0, 3.0]

    def test_a_second_failure_is_told(self, tracker, github):
        github.faults.fail("/issues$", method="POST", status=502, times=2)
        with pytest.raises(GitHubUnavailable) as failure:
            tracker.open(draft(), MARKER)
        assert failure.value.maybe_done
        assert github.issues == []
        assert tracker.open(draft(), MARKER).number == 1

    def test_a_repeat_after_two_lost_answers_still_finds_its_issue(self, tracker, github):
        github.faults.drop("/issues$", method="POST")
        github.faults.fail("/issues", method="GET", status=502, times=4)
        with pytest.raises(GitHubUnavailable):
            tracker.open(draft(), MARKER)
        github.faults.clear()
        assert tracker.open(draft(), MARKER).number == 1
        assert len(github.issues) == 1

    def test_nothing_is_written_when_the_server_was_never_reached(self, github):
        pauses = []
        tracker = GitHubIssues(
            "acme/fleet", TokenAuth("t"), api_url="http://127.0.0.1:9", retry_pause=0.0, sleep=pauses.append
        )
        with pytest.raises(GitHubUnavailable) as failure:
            tracker.react(7, "eyes")
        assert not failure.value.maybe_done
        assert pauses == []
        tracker.close_connections()

    def test_reads_are_tried_again(self, tracker, github):
        tracker.open(draft(), MARKER)
        github.faults.fail("/issues/1$", method="GET", status=502)
        assert tracker.get(1).number == 1

    def test_a_rate_limit_is_not_tried_again_and_silences_everything(self, make, github):
        now = [1_000.0]
        tracker = make(now=lambda: now[0])
        github.faults.secondary_limit("/issues$", method="POST", retry_after=30)
        with pytest.raises(GitHubSlowDown) as slow:
            tracker.open(draft(), MARKER)
        assert slow.value.retry_after == 30

        now[0] += 10
        with pytest.raises(GitHubSlowDown) as silent:
            tracker.get(1)
        assert silent.value.retry_after == 20
        assert github.issues == []

    def test_after_the_silence_it_goes_on(self, make, github):
        seconds = [1_000.0]
        pace = WritePace(80, 500, lambda: seconds[0], lambda _: None)
        tracker = make(now=lambda: seconds[0], pace=pace)
        github.faults.secondary_limit("/issues$", method="POST", retry_after=30)
        with pytest.raises(GitHubSlowDown):
            tracker.open(draft(), MARKER)
        assert pace.available(Priority.CRITICAL) == 0
        seconds[0] += 31
        assert tracker.open(draft(), MARKER).number == 1


class TestEditing:
    def test_only_a_difference_is_written(self, tracker, github):
        tracker.open(draft(), MARKER)
        same = tracker.edit(1, draft())
        assert same.title == "edge-07 waits"
        assert did(github) == ["open issue #1"]

    def test_title_body_and_labels_follow_the_draft_and_the_marker_stays(self, tracker, make, github):
        tracker.open(draft(), MARKER)
        view = tracker.edit(1, draft(title="healed", body="done", labels=("cluster/edge-07", "state/resolved")))
        assert (view.title, view.body) == ("healed", "done")
        assert github.issue(1).labels == ("drover", "cluster/edge-07", "state/resolved")
        assert make().find(MARKER).number == 1

    def test_labels_that_people_added_stay(self, tracker, github):
        tracker.open(draft(), MARKER)
        github.edit_issue_as("maria", 1, labels=["drover", "cluster/edge-07", "state/reported", "site-b"])
        view = tracker.edit(1, draft(labels=("cluster/edge-07", "state/resolved")))
        assert set(view.labels) == {"drover", "cluster/edge-07", "state/resolved", "site-b"}

    def test_the_drover_label_comes_back(self, tracker, github):
        tracker.open(draft(), MARKER)
        github.edit_issue_as("maria", 1, labels=[])
        assert "drover" in tracker.edit(1, draft()).labels

    def test_a_label_the_repository_spells_otherwise_is_no_difference(self, tracker, github):
        github.open_issue_as("maria", "x", labels=("State/Reported",))
        view = tracker.open(draft(), MARKER)
        tracker.edit(view.number, draft())
        assert did(github) == ["open issue #2"]

    def test_a_marker_that_a_person_edited_away_is_put_back(self, tracker, make, github):
        tracker.open(draft(), MARKER)
        github.edit_issue_as("maria", 1, body="**why**")
        tracker.edit(1, draft())
        assert make().find(MARKER).number == 1

    def test_a_log_line_does_not_become_the_marker_when_the_true_one_was_edited_away(self, tracker, make, github):
        body = "```\n<!-- drover:incident:other -->\n```"
        tracker.open(draft(body=body), MARKER)
        github.edit_issue_as("maria", 1, body=body)
        tracker.edit(1, draft(body=body))
        assert make().find(MARKER).number == 1
        assert make().find("incident:other") is None

    def test_a_missing_issue_is_told(self, tracker):
        with pytest.raises(GitHubNotFound, match="read issue #99"):
            tracker.edit(99, draft())


class TestClosing:
    @pytest.mark.parametrize(("completed", "reason"), [(True, "completed"), (False, "not_planned")])
    def test_it_closes_with_a_reason_and_once(self, tracker, github, completed, reason):
        tracker.open(draft(), MARKER)
        tracker.close(1, completed=completed)
        tracker.close(1, completed=completed)
        assert (github.issue(1).state, github.issue(1).state_reason) == ("closed", reason)
        assert len(github.writes) == 2

    def test_it_leaves_what_a_person_closed(self, tracker, github):
        tracker.open(draft(), MARKER)
        github.close_issue_as("maria", 1, reason="not_planned")
        tracker.close(1, completed=True)
        assert github.issue(1).state_reason == "not_planned"

    def test_it_reopens_and_once(self, tracker, github):
        tracker.open(draft(), MARKER)
        tracker.close(1, completed=True)
        tracker.reopen(1)
        tracker.reopen(1)
        assert github.issue(1).open
        assert len(github.writes) == 3


class TestComments:
    @pytest.fixture(autouse=True)
    def issue(self, tracker):
        tracker.open(draft(), MARKER)

    def test_one_comment_per_marker_is_edited_in_place(self, tracker, make, github):
        first = tracker.upsert_comment(1, "status", "one")
        again = tracker.upsert_comment(1, "status", "two")
        restarted = make().upsert_comment(1, "status", "three")
        assert first.id == again.id == restarted.id
        assert [comment.body for comment in github.issue(1).comments] == ["<!-- drover:status -->\nthree"]

    def test_an_equal_comment_is_left_alone(self, tracker, github):
        tracker.upsert_comment(1, "status", "one")
        tracker.upsert_comment(1, "status", "one")
        assert did(github) == ["open issue #1", "comment on #1"]

    def test_markers_keep_comments_apart(self, tracker, github):
        tracker.upsert_comment(1, "status", "one")
        tracker.upsert_comment(1, "reply:7", "two")
        assert len(github.issue(1).comments) == 2

    def test_a_comment_by_somebody_else_cannot_take_over_the_marker(self, tracker, github):
        github.comment_as("maria", 1, "<!-- drover:status -->\nhers")
        tracker.upsert_comment(1, "status", "ours")
        assert [comment.author for comment in github.issue(1).comments] == ["maria", "drover-bot"]

    def test_a_deleted_comment_is_written_anew(self, tracker, github):
        comment = tracker.upsert_comment(1, "status", "one")
        github.delete_comment_as("maria", comment.id)
        assert tracker.upsert_comment(1, "status", "two").id != comment.id

    def test_a_reaction_is_given_once(self, tracker, github):
        comment = github.comment_as("maria", 1, "/drover help")
        tracker.react(comment, "eyes")
        tracker.react(comment, "eyes")
        tracker.react(comment, "rocket")
        assert github.issue(1).comments[0].reactions == ("eyes", "rocket")

    def test_a_reaction_whose_answer_was_lost_is_given_once(self, tracker, github):
        comment = github.comment_as("maria", 1, "/drover help")
        github.faults.drop("/reactions$", method="POST")
        tracker.react(comment, "eyes")
        assert github.issue(1).comments[0].reactions == ("eyes",)

    def test_a_reaction_to_a_deleted_comment_is_no_failure(self, tracker, github):
        comment = github.comment_as("maria", 1, "/drover help")
        github.delete_comment_as("maria", comment)
        tracker.react(comment, "eyes")

    def test_an_unknown_reaction_is_a_mistake_of_ours(self, tracker):
        with pytest.raises(ValueError, match="none of our reactions"):
            tracker.react(1, "party")


class TestReadingComments:
    @pytest.fixture(autouse=True)
    def issue(self, tracker, clock):
        tracker.open(draft(), MARKER)
        clock.forward(hours=1)

    def test_they_tell_who_said_what_when_and_where(self, tracker, github, clock):
        github.comment_as("maria", 1, "/drover status")
        (comment,) = tracker.comments_since(NOON)
        assert (comment.author, comment.author_is_bot, comment.issue) == ("maria", False, 1)
        assert comment.body == "/drover status"
        assert comment.created_at == comment.updated_at == NOON + timedelta(hours=1)
        assert comment.url.startswith(f"{github.url}/acme/fleet/issues/1#issuecomment-")

    def test_our_own_and_other_bots_are_marked(self, tracker, github):
        tracker.upsert_comment(1, "status", "ours")
        github.comment_as("dependabot[bot]", 1, "theirs")
        assert [comment.author_is_bot for comment in tracker.comments_since(NOON)] == [True, True]

    def test_only_what_changed_since_then_comes_in_order_of_change(self, tracker, github, clock):
        old = github.comment_as("maria", 1, "old")
        edited = github.comment_as("maria", 1, "typo")
        clock.forward(minutes=10)
        since = clock.now
        new = github.comment_as("tom", 1, "new")
        clock.forward(minutes=1)
        github.edit_comment_as("maria", edited, "mended")
        assert [comment.id for comment in tracker.comments_since(since)] == [new, edited]
        assert old not in [comment.id for comment in tracker.comments_since(since)]

    def test_any_time_zone_is_understood(self, tracker, github):
        github.comment_as("maria", 1, "hello")
        tokyo = (NOON + timedelta(minutes=30)).astimezone(__import__("zoneinfo").ZoneInfo("Asia/Tokyo"))
        assert len(tracker.comments_since(tokyo)) == 1

    def test_comments_of_pull_requests_are_left_out(self, tracker, github):
        number = github.open_issue_as("maria", "change", pull_request=True)
        github.comment_as("maria", number, "/drover status")
        assert tracker.comments_since(NOON) == []

    def test_more_than_a_page_comes_whole(self, tracker, github, clock):
        ids = []
        for number in range(230):
            ids.append(github.comment_as("maria", 1, f"comment {number}"))
            if number % 7 == 0:
                clock.forward(seconds=1)
        assert [comment.id for comment in tracker.comments_since(NOON)] == ids

    def test_more_than_a_page_within_one_second_comes_whole(self, tracker, github):
        ids = [github.comment_as("maria", 1, f"comment {number}") for number in range(230)]
        assert [comment.id for comment in tracker.comments_since(NOON)] == ids

    def test_an_edit_while_pages_turn_hides_no_comment(self, make, github, clock):
        """Page by page, the edited one would move to the end, and comment 100 from page two to page one."""
        ids = []
        for number in range(120):
            ids.append(github.comment_as("maria", 1, f"comment {number}"))
            clock.forward(seconds=1)
        tracker = make()
        client = tracker._client
        read = client.read

        def read_and_then_somebody_edits(what, call, **how):
            page = read(what, call, **how)
            if what.startswith("read the comments since") and len(page) == 100:
                github.edit_comment_as("maria", ids[0], "edited")
            return page

        client.read = read_and_then_somebody_edits
        assert {comment.id for comment in tracker.comments_since(NOON)} == set(ids)


class TestRoles:
    @pytest.mark.parametrize(
        ("login", "role"),
        [
            ("maria", Role.MAINTAIN),
            ("tom", Role.TRIAGE),
            ("ann", Role.ADMIN),
            ("drover-bot", Role.WRITE),
            ("stranger", Role.NONE),
            ("../../user", Role.NONE),
            ("a b", Role.NONE),
            ("", Role.NONE),
        ],
    )
    def test_a_role_is_githubs(self, tracker, login, role):
        assert tracker.role_of(login) is role

    def test_a_failure_is_never_taken_for_no_role(self, tracker, github):
        github.faults.fail("/permission$", status=403, message="Must have push access to view collaborator permission.")
        with pytest.raises(GitHubRefused, match="read the role of maria"):
            tracker.role_of("maria")


class TestTeams:
    @pytest.fixture(autouse=True)
    def teams(self, github):
        github.teams["acme/sre"] = {"maria": "active", "tom": "pending"}

    def test_who_was_invited_and_has_not_accepted_is_no_member(self, tracker):
        assert tracker.membership("acme/sre", "maria") == Membership(member=True)
        assert tracker.membership("acme/sre", "tom") == Membership(member=False)
        assert tracker.membership("acme/sre", "ann") == Membership(member=False)

    def test_an_organisation_that_may_not_be_read_makes_nobody_a_member_and_says_what_is_missing(self, tracker, github):
        github.hide_teams()
        seen = tracker.membership("acme/sre", "maria")
        assert not seen.member
        assert "GitHub shows drover-bot no team acme/sre" in seen.unseen
        assert "the scope read:org" in seen.unseen

    def test_an_app_needs_a_permission_of_the_organisation(self, make, github):
        tracker = make(AppAuth(github.app.app_id, github.app.private_key), api_url=github.enterprise_url)
        seen = tracker.membership("acme/sre", "maria")
        assert not seen.member
        assert "403" in seen.unseen
        assert "'Members: read'" in seen.unseen
        github.app.permissions["members"] = "read"
        assert tracker.membership("acme/sre", "maria") == Membership(member=True)

    @pytest.mark.parametrize("status", [401, 500])
    def test_a_failure_is_never_taken_for_no_member(self, tracker, github, status):
        """What may be over in a minute is heard again, and not answered with a no that nobody understands."""
        github.faults.fail("/memberships/", status=status, times=9)
        with pytest.raises(GitHubError, match="see whether maria is in the team acme/sre"):
            tracker.membership("acme/sre", "maria")


class TestAsAnApp:
    def test_it_writes_and_finds_as_the_apps_bot(self, make, github):
        auth = AppAuth(github.app.app_id, github.app.private_key)
        first = make(auth, api_url=github.enterprise_url)
        first.open(draft(), MARKER)
        first.upsert_comment(1, "status", "one")
        assert github.issue(1).author == "drover[bot]"
        again = make(auth, api_url=github.enterprise_url)
        assert again.open(draft(), MARKER).number == 1
        assert again.upsert_comment(1, "status", "one").author_is_bot
        assert did(github) == ["open issue #1", "comment on #1"]
        assert again.check().startswith("drover[bot] (GitHub App 1001) writes issues in acme/fleet")

    def test_a_missing_permission_is_named(self, make, github):
        github.app.permissions["issues"] = "read"
        tracker = make(AppAuth(github.app.app_id, github.app.private_key))
        with pytest.raises(GitHubRefused) as refused:
            tracker.check()
        assert "Issues: read and write" in refused.value.cure
        with pytest.raises(GitHubRefused) as refused:
            tracker.open(draft(), MARKER)
        assert "issues: write" in refused.value.cure

    def test_a_broken_key_is_told_without_the_key(self, make):
        tracker = make(AppAuth(1, "-----BEGIN RSA PRIVATE KEY-----\nnonsense\n-----END RSA PRIVATE KEY-----"))
        with pytest.raises(GitHubError) as error:
            tracker.check()
        assert "nonsense" not in str(error.value) + error.value.cure

    def test_the_wrong_app_id_is_told(self, make, github):
        with pytest.raises(GitHubRefused) as refused:
            make(AppAuth(7, github.app.private_key)).check()
        assert "GITHUB_APP_ID" in refused.value.cure


class TestCheck:
    def test_it_says_who_we_are_and_what_is_left(self, tracker):
        said = tracker.check()
        assert said.startswith("drover-bot (token) writes issues in acme/fleet (http://127.0.0.1")
        assert "of 5,000 requests" in said

    def test_a_wrong_token_is_told_without_the_token(self, make):
        with pytest.raises(GitHubRefused) as refused:
            make(TokenAuth("ghp_secret")).check()
        assert "401" in str(refused.value)
        assert "GITHUB_TOKEN" in refused.value.cure
        assert "ghp_secret" not in repr(refused.value) + refused.value.cure

    def test_a_token_of_no_account_is_told_what_to_use(self, make, github):
        token, _ = github.access.new_installation_token()
        with pytest.raises(GitHubRefused, match="belongs to no account") as refused:
            make(TokenAuth(token)).check()
        assert "GITHUB_APP_ID" in refused.value.cure

    def test_a_renamed_repository_is_told(self, make, github):
        github.rename("acme/herd")
        with pytest.raises(GitHubRefused, match="is now called acme/herd"):
            make().check()

    def test_a_repository_we_cannot_see_is_told(self, tracker, github):
        github.people["drover-bot"] = "none"
        with pytest.raises(GitHubNotFound) as missing:
            tracker.check()
        assert "GITHUB_REPOSITORY" in missing.value.cure

    def test_a_role_too_low_is_told(self, tracker, github):
        github.people["drover-bot"] = "read"
        with pytest.raises(GitHubRefused, match="below triage"):
            tracker.check()

    def test_switched_off_issues_are_told(self, tracker, github):
        github.set_has_issues(enabled=False)
        with pytest.raises(GitHubRefused, match="issues switched off"):
            tracker.check()

    def test_something_that_is_not_github_is_told(self, make, github):
        github.faults.fail("/user$", status=200, html="<html>Please log in</html>")
        with pytest.raises(GitHubUnavailable) as failure:
            make().check()
        assert "GITHUB_API_URL" in failure.value.cure


class TestErrors:
    def test_an_invalid_request_quotes_the_field(self, tracker, github):
        with pytest.raises(GitHubRejected, match="title: missing_field"):
            tracker.open(draft(title=" "), MARKER)
        assert github.issues == []

    def test_the_primary_limit_says_until_when(self, tracker, github):
        tracker.check()
        github.access.remaining = 0
        with pytest.raises(GitHubSlowDown) as slow:
            tracker.get(1)
        assert 3_500 < slow.value.retry_after < 3_602

    def test_a_limit_without_a_time_means_a_minute(self, tracker, github):
        github.faults.secondary_limit("/user", retry_after=None, status=429)
        with pytest.raises(GitHubSlowDown) as slow:
            tracker.check()
        assert slow.value.retry_after == 60

    @pytest.mark.parametrize("fault", ["drop", "html", "500"])
    def test_every_failure_is_one_of_ours_and_names_the_address(self, tracker, github, fault):
        if fault == "drop":
            github.faults.drop("/issues/1$", method="GET", times=9)
        else:
            status = 500 if fault == "500" else 200
            github.faults.fail("/issues/1$", method="GET", status=status, times=9, html="<html>hello</html>")
        with pytest.raises(GitHubUnavailable) as failure:
            tracker.get(1)
        assert f"{github.url}/repos/acme/fleet" in str(failure.value)
        assert failure.value.cure

    def test_errors_survive_pickling(self):
        slow = pickle.loads(pickle.dumps(GitHubSlowDown("wait", retry_after=7.0, cure="wait", status=403)))
        lost = pickle.loads(pickle.dumps(GitHubUnavailable("lost", maybe_done=True)))
        assert (str(slow), slow.retry_after, slow.cure, slow.status) == ("wait", 7.0, "wait", 403)
        assert lost.maybe_done


class TestPace:
    def test_every_write_takes_its_turn_and_reads_do_not(self, make, github):
        asked = []

        class Recorded(WritePace):
            def acquire(self, priority=Priority.BULK):
                asked.append(priority)

        tracker = make(pace=Recorded(80, 500, lambda: 0.0, lambda _: None))
        tracker.open(draft(), MARKER)
        tracker.upsert_comment(1, "status", "one")
        tracker.upsert_comment(1, "status", "two")
        tracker.get(1)
        tracker.comments_since(NOON)
        tracker.close(1, completed=True)
        assert asked == [Priority.CRITICAL, Priority.CRITICAL, Priority.BULK, Priority.CRITICAL]
