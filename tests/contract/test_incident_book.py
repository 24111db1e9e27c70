"""What every `IncidentBook` promises: in memory, on SQLite, on PostgreSQL."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta, timezone

import pytest

from bot.adapters.in_memory import InMemoryIncidents
from bot.adapters.incident_store import IncidentStore
from bot.errors import StoreError
from bot.incidents.incident import IllegalMoveError, State
from bot.incidents.timeline import broken_link
from rancher_ext.detection import Stage, Stuck
from rancher_ext.fleet.cluster import ClusterKey
from tests.builders import NOON, a_dead_cni, hours, minutes, seconds

STUCK = Stuck(since=NOON - minutes(35), stage=Stage.AGENT, reason="waiting for cluster agent to connect")
KEY = ClusterKey("default", "c-m-8jq5fz7k")
WRITE = {"what": "write", "place": "clusters c-1 spec.x", "result": "written"}


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def book(request, new_database):
    return InMemoryIncidents() if request.param == "memory" else IncidentStore(new_database(request.param))


def opened(book, **cluster):
    return book.open(a_dead_cni(**cluster), STUCK, "sweep")[0]


def driven(book, incident, *states, at=NOON):
    for state in states:
        incident = book.update(incident.id, at, state=state)
    return incident


TO_RESOLVED = (State.DIAGNOSING, State.REPORTED, State.REMEDIATING, State.VERIFYING, State.RESOLVED)


class TestOpen:
    def test_a_stuck_cluster_gets_one_incident_that_knows_it(self, book):
        snapshot = a_dead_cni(labels={"env": "staging"})
        incident, new = book.open(snapshot, STUCK, "watch")
        assert new
        assert incident.id == f"incident:default:{snapshot.identity.uid}:1"
        assert (incident.cluster, incident.cluster_name, incident.episode, incident.story) == (KEY, "edge-7", 1, 1)
        assert (incident.state, incident.stage, incident.reason) == (State.DETECTED, "agent", STUCK.reason)
        assert (incident.stuck_since, incident.opened_at) == (STUCK.since, NOON)
        assert (incident.distribution, incident.cni, incident.kubernetes) == ("rke2", "canal", "v1.32.2+rke2r1")
        assert incident.labels == {"env": "staging"}
        assert incident.source == "watch"
        assert (incident.issue, incident.plan, incident.diagnosis, incident.approval) == (None, None, None, None)
        assert incident.node_count == 1

    def test_the_same_cluster_again_is_the_same_incident(self, book):
        first = opened(book)
        again, new = book.open(a_dead_cni(at=NOON + hours(1)), STUCK, "sweep")
        assert not new
        assert again == first

    @pytest.mark.parametrize("state", [State.ESCALATED, State.ROLLED_BACK, State.REJECTED])
    def test_what_waits_for_a_person_is_not_over(self, book, state):
        steps = {
            State.ESCALATED: (State.ESCALATED,),
            State.REJECTED: (State.DIAGNOSING, State.REPORTED, State.REJECTED),
            State.ROLLED_BACK: (*TO_RESOLVED[:4], State.ROLLING_BACK, State.ROLLED_BACK),
        }[state]
        incident = driven(book, opened(book), *steps)
        assert book.open(a_dead_cni(at=NOON + hours(48)), STUCK, "sweep") == (incident, False)

    def test_a_relapse_within_a_day_is_a_new_episode_of_the_same_story(self, book):
        driven(book, opened(book), *TO_RESOLVED, at=NOON)
        relapse, new = book.open(a_dead_cni(at=NOON + hours(24)), STUCK, "sweep")
        assert new
        assert (relapse.episode, relapse.story) == (2, 1)
        driven(book, relapse, *TO_RESOLVED, at=NOON + hours(25))
        third = book.open(a_dead_cni(at=NOON + hours(40)), STUCK, "sweep")[0]
        assert (third.episode, third.story) == (3, 1)
        assert third.marker.endswith(":1")

    def test_a_later_one_is_a_new_story(self, book):
        driven(book, opened(book), *TO_RESOLVED, at=NOON)
        later = book.open(a_dead_cni(at=NOON + hours(24) + seconds(1)), STUCK, "sweep")[0]
        assert (later.episode, later.story) == (2, 2)

    def test_the_day_counts_from_when_it_ended_not_from_later_notes(self, book):
        ended = driven(book, opened(book), *TO_RESOLVED, at=NOON)
        book.update(ended.id, NOON + hours(20), outcome="told again")
        later = book.open(a_dead_cni(at=NOON + hours(30)), STUCK, "sweep")[0]
        assert later.story == 2

    def test_a_cluster_made_anew_under_the_same_id_is_another_one(self, book):
        first = opened(book)
        other, new = book.open(a_dead_cni(uid="another"), STUCK, "sweep")
        assert new
        assert other.id != first.id
        assert other.episode == 1

    def test_two_rancher_servers_may_have_clusters_of_one_id(self, book):
        eu, us = opened(book, rancher="eu"), opened(book, rancher="us")
        assert eu.id != us.id
        assert book.open_of(ClusterKey("eu", KEY.id)) == eu
        assert book.open_of(ClusterKey("us", KEY.id)) == us
        assert book.open_of(KEY) is None

    def test_many_workers_that_see_it_at_once_open_it_once(self, book):
        start = threading.Barrier(8)

        def see(_):
            start.wait()
            return book.open(a_dead_cni(), STUCK, "sweep")

        with ThreadPoolExecutor(8) as pool:
            seen = list(pool.map(see, range(8)))
        assert sum(new for _, new in seen) == 1
        assert len({incident.id for incident, _ in seen}) == 1
        assert len(book.all()) == 1


class TestFind:
    def test_by_id_issue_and_cluster(self, book):
        one, two = opened(book), opened(book, id="c-2", uid="two", name="edge-8")
        book.update(two.id, NOON, issue=7)
        assert book.get(one.id).cluster_name == "edge-7"
        assert book.by_issue(7).id == two.id
        assert book.by_issue(8) is None
        assert book.open_of(ClusterKey("default", "c-2")).id == two.id

    def test_of_two_clusters_that_had_one_id_the_newer_is_found(self, book):
        opened(book)
        newer = opened(book, uid="another", at=NOON + minutes(1))
        assert book.open_of(KEY) == newer

    def test_an_unknown_one_is_an_error_that_says_where_to_look(self, book):
        with pytest.raises(StoreError, match="there is no incident 'incident:x'") as caught:
            book.get("incident:x")
        assert "drover incidents list" in caught.value.cure
        with pytest.raises(StoreError):
            book.update("incident:x", NOON, outcome="y")

    def test_an_issue_with_two_episodes_belongs_to_the_later(self, book):
        first = opened(book)
        book.update(first.id, NOON, issue=7)
        driven(book, first, *TO_RESOLVED)
        second = book.open(a_dead_cni(at=NOON + hours(2)), STUCK, "sweep")[0]
        book.update(second.id, NOON, issue=7)
        assert book.by_issue(7).id == second.id

    def test_lists_are_newest_first_and_can_leave_out_what_is_over(self, book):
        ids = [opened(book, id=f"c-{n}", uid=f"u{n}", at=NOON + minutes(n)).id for n in range(4)]
        driven(book, book.get(ids[3]), *TO_RESOLVED)
        assert [row.id for row in book.all()] == ids[::-1]
        assert [row.id for row in book.all(only_open=True)] == ids[2::-1]
        assert [row.id for row in book.all(limit=2)] == ids[:1:-1]
        assert book.open_of(ClusterKey("default", "c-3")) is None

    def test_siblings_share_their_first_finding_and_are_open(self, book):
        found = {"verdict": "cni-failure", "findings": [{"signature": "a"}, {"signature": "b"}]}
        rows = [opened(book, id=f"c-{n}", uid=f"u{n}") for n in range(4)]
        for row in rows[:3]:
            book.update(row.id, NOON, diagnosis=found)
        book.update(rows[3].id, NOON, diagnosis=found | {"findings": [{"signature": "b"}]})
        driven(book, rows[2], *TO_RESOLVED)
        assert [row.id for row in book.with_signature("a", rows[0].id)] == [rows[1].id]

    def test_those_being_mended_are_counted(self, book):
        rows = [opened(book, id=f"c-{n}", uid=f"u{n}") for n in range(5)]
        for row, length in zip(rows, (2, 3, 4, 4, 5), strict=True):
            driven(book, row, *TO_RESOLVED[:length])
        driven(book, rows[3], State.ROLLING_BACK)
        assert book.mending_now() == 3
        assert book.mending_now(besides=rows[1].id) == 2


class TestUpdate:
    def test_every_column_comes_back_as_it_went_in(self, book):
        incident = opened(book)
        changes = {
            "attempt": 3,
            "issue": 12,
            "issue_url": "https://github.invalid/12",
            "diagnosis": {"verdict": "cni-failure", "findings": [{"confidence": 0.97, "text": "ä \u2028 \\ \" '"}]},
            "plan": {"steps": [1, None, True]},
            "explanation": {"why": "x"},
            "decision": {"decision": "allow"},
            "approval": {"approvals": []},
            "outcome": "x" * 5000,
            "evidence": "/tmp/x.tar.gz",
            "changed_at": NOON + minutes(1),
        }
        book.update(incident.id, NOON + minutes(2), **changes)
        row = book.get(incident.id)
        assert {name: getattr(row, name) for name in changes} == changes
        assert row.updated_at == NOON + minutes(2)

    def test_what_was_set_can_be_taken_away(self, book):
        incident = opened(book)
        book.update(incident.id, NOON, plan={"a": 1}, approval={"b": 2}, changed_at=NOON)
        row = book.update(incident.id, NOON, plan=None, approval=None, changed_at=None)
        assert (row.plan, row.approval, row.changed_at) == (None, None, None)

    def test_only_legal_moves_and_an_illegal_one_changes_nothing(self, book):
        incident = opened(book)
        with pytest.raises(IllegalMoveError):
            book.update(incident.id, NOON + hours(1), state=State.RESOLVED, outcome="cheated")
        assert book.get(incident.id) == incident

    def test_a_repeated_move_is_no_move(self, book):
        incident = driven(book, opened(book), State.DIAGNOSING, State.DIAGNOSING)
        assert incident.state is State.DIAGNOSING

    def test_an_unknown_column_is_a_bug(self, book):
        with pytest.raises(TypeError, match="colour"):
            book.update(opened(book).id, NOON, colour="red")

    def test_times_come_back_in_utc_wherever_they_came_from(self, book):
        india = timezone(timedelta(hours=5, minutes=30))
        row = book.update(opened(book).id, NOON.astimezone(india), changed_at=NOON.astimezone(india))
        assert row.changed_at == NOON
        assert book.get(row.id).changed_at.utcoffset() == timedelta()

    def test_text_that_no_database_can_hold_is_kept_readable(self, book):
        """A condition's message is the cluster's own; NUL or half a surrogate pair must not stop the sweep."""
        snapshot = a_dead_cni(name="edge-\ud8007\x00")
        incident, _ = book.open(snapshot, replace(STUCK, reason="bad \x00 and \udfff text"), "sweep")
        assert book.get(incident.id).reason.startswith("bad ")
        book.tell(incident.id, NOON, "found", "line \x00 \ud800", once="x")
        book.record(incident.id, NOON, once="x", **(WRITE | {"result": "NUL \x00 \ud800"}), before="\x00", after=None)
        assert broken_link(book.audit()) is None

    def test_two_writers_lose_nothing(self, book):
        incident = opened(book)
        columns = ["issue_url", "outcome", "evidence"]

        def write(column):
            for number in range(10):
                book.update(incident.id, NOON, **{column: f"{column} {number}"})

        with ThreadPoolExecutor(3) as pool:
            list(pool.map(write, columns))
        row = book.get(incident.id)
        assert [getattr(row, column) for column in columns] == [f"{column} 9" for column in columns]


class TestTimeline:
    def test_lines_are_told_once_and_read_in_order_of_time(self, book):
        incident = opened(book)
        book.tell(incident.id, NOON + minutes(2), "found", "later", once="b")
        book.tell(incident.id, NOON, "state", "first", once="a")
        book.tell(incident.id, NOON + minutes(9), "state", "told twice", once="a")
        assert [(entry.at, entry.kind, entry.text) for entry in book.timeline(incident.id)] == [
            (NOON, "state", "first"),
            (NOON + minutes(2), "found", "later"),
        ]
        assert list(book.timeline("incident:other")) == []

    def test_the_same_name_in_two_incidents_is_two_lines(self, book):
        one, two = opened(book), opened(book, id="c-2", uid="two")
        for incident in (one, two):
            book.tell(incident.id, NOON, "state", "opened", once="opened")
        assert len(book.timeline(one.id)) == len(book.timeline(two.id)) == 1

    def test_names_that_differ_only_far_behind_are_two_lines(self, book):
        incident = opened(book)
        for end in ("one", "two"):
            book.tell(incident.id, NOON, "proof", end, once="proof-1-cure-" + "x" * 400 + end)
        assert [entry.text for entry in book.timeline(incident.id)] == ["one", "two"]


class TestAudit:
    def test_records_are_kept_in_order_and_chained(self, book):
        one, two = opened(book), opened(book, id="c-2", uid="two")
        book.record(one.id, NOON, once="intend", actor="maria", rule="r", **WRITE, before={"a": 1.5}, after=["x", None])
        book.record(two.id, NOON, once="intend", **WRITE)
        book.record(one.id, NOON, once="write", **WRITE)
        assert broken_link(book.audit()) is None
        mine = book.audit(one.id)
        assert [record.incident for record in book.audit()] == [one.id, two.id, one.id]
        assert [record.number for record in mine] == [book.audit()[0].number, book.audit()[2].number]
        assert (mine[0].actor, mine[0].rule, mine[0].before, mine[0].after) == ("maria", "r", {"a": 1.5}, ["x", None])
        assert book.audit()[1].previous == mine[0].digest

    def test_a_repeated_step_records_once(self, book):
        incident = opened(book)
        for minute in range(3):
            book.record(incident.id, NOON + minutes(minute), once="write", **WRITE)
        assert [record.at for record in book.audit()] == [NOON]

    def test_a_time_in_another_zone_does_not_break_the_chain(self, book):
        incident = opened(book)
        at = NOON.astimezone(timezone(timedelta(hours=-7))) + timedelta(microseconds=123456)
        book.record(incident.id, at, once="write", **WRITE)
        assert broken_link(book.audit()) is None

    def test_many_writers_make_one_whole_chain(self, book):
        incident = opened(book)

        def write(worker):
            for number in range(8):
                book.record(incident.id, NOON, once=f"{worker}-{number}", **WRITE)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(write, range(8)))
        assert len(book.audit()) == 64
        assert broken_link(book.audit()) is None


class TestPreimages:
    def test_the_first_saving_stands(self, book):
        incident = opened(book)
        assert book.preimage(incident.id, "d1") is None
        book.save_preimage(incident.id, "d1", [{"before": {"present": False}}], NOON)
        book.save_preimage(incident.id, "d1", [{"before": {"present": True}}], NOON)
        assert book.preimage(incident.id, "d1") == [{"before": {"present": False}}]
        assert book.preimage(incident.id, "d2") is None


class TestClaims:
    def test_the_first_who_asks_gets_it(self, book):
        assert not book.claimed("comment:1:a")
        assert book.claim("comment:1:a", NOON)
        assert book.claimed("comment:1:a")
        assert not book.claim("comment:1:a", NOON)
        assert book.claim("comment:1:b", NOON)

    def test_of_many_at_once_one_gets_it(self, book):
        start = threading.Barrier(8)

        def ask(_):
            start.wait()
            return book.claim("delivery:1", NOON)

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(ask, range(8))) == 1


class TestLeases:
    LASTS = minutes(15)

    def test_one_holder_at_a_time(self, book):
        assert book.lease(KEY, "a", NOON, self.LASTS) == 1
        assert book.lease(KEY, "b", NOON + minutes(14), self.LASTS) is None
        assert book.lease(ClusterKey("default", "c-2"), "b", NOON, self.LASTS) == 1

    def test_a_lease_lasts_as_long_as_it_is_renewed(self, book):
        assert book.lease(KEY, "a", NOON, self.LASTS) == 1
        assert book.renew(KEY, 1, NOON + minutes(10), self.LASTS)
        assert book.lease(KEY, "b", NOON + minutes(20), self.LASTS) is None
        assert book.lease(KEY, "b", NOON + minutes(25), self.LASTS) == 2

    def test_one_that_nobody_took_meanwhile_can_be_renewed_late(self, book):
        book.lease(KEY, "a", NOON, self.LASTS)
        assert book.renew(KEY, 1, NOON + hours(10), self.LASTS)
        assert book.lease(KEY, "b", NOON + hours(10), self.LASTS) is None

    def test_an_old_number_is_never_renewed(self, book):
        book.lease(KEY, "a", NOON, self.LASTS)
        book.lease(KEY, "b", NOON + minutes(15), self.LASTS)
        assert not book.renew(KEY, 1, NOON + minutes(16), self.LASTS)
        assert book.renew(KEY, 2, NOON + minutes(16), self.LASTS)

    def test_there_is_nothing_to_renew_where_nobody_took_one(self, book):
        assert not book.renew(KEY, 0, NOON, self.LASTS)
        assert book.lease_holder(KEY) is None

    def test_the_same_holder_gets_a_higher_number_so_that_its_own_earlier_life_is_fenced(self, book):
        assert book.lease(KEY, "a", NOON, self.LASTS) == 1
        assert book.lease(KEY, "a", NOON + minutes(1), self.LASTS) == 2
        assert not book.renew(KEY, 1, NOON + minutes(2), self.LASTS)

    def test_who_had_it_last_is_known_also_afterwards(self, book):
        book.lease(KEY, "a", NOON, self.LASTS)
        book.release(KEY, "a", NOON)
        assert book.lease_holder(KEY) == "a"

    def test_after_its_time_another_takes_over_with_a_higher_number(self, book):
        book.lease(KEY, "a", NOON, self.LASTS)
        assert book.lease(KEY, "b", NOON + minutes(15), self.LASTS) == 2
        assert book.lease(KEY, "a", NOON + minutes(16), self.LASTS) is None

    def test_a_number_never_comes_back(self, book):
        book.lease(KEY, "a", NOON, self.LASTS)
        book.release(KEY, "a", NOON)
        assert book.lease(KEY, "a", NOON, self.LASTS) == 2
        book.release(KEY, "a", NOON)
        assert book.lease(KEY, "b", NOON, self.LASTS) == 3

    def test_only_the_holder_releases(self, book):
        book.lease(KEY, "a", NOON, self.LASTS)
        book.release(KEY, "b", NOON)
        assert book.lease(KEY, "b", NOON, self.LASTS) is None

    def test_of_many_at_once_one_gets_it(self, book):
        book.lease(KEY, "old", NOON - hours(1), self.LASTS)
        start = threading.Barrier(6)

        def ask(worker):
            start.wait()
            return book.lease(KEY, f"worker-{worker}", NOON, self.LASTS)

        with ThreadPoolExecutor(6) as pool:
            got = [number for number in pool.map(ask, range(6)) if number is not None]
        assert got == [2]

    def test_of_many_at_once_one_gets_a_lease_that_nobody_ever_had(self, book):
        start = threading.Barrier(6)

        def ask(worker):
            start.wait()
            return book.lease(KEY, f"worker-{worker}", NOON, self.LASTS)

        with ThreadPoolExecutor(6) as pool:
            got = [number for number in pool.map(ask, range(6)) if number is not None]
        assert got == [1]


def test_what_was_recorded_is_known(book):
    book.record("incident:1", NOON, once="apply-1-0", what="write", place="x", result="written")
    assert book.recorded("incident:1", "apply-1-0")
    assert not book.recorded("incident:1", "apply-1-1")
    assert not book.recorded("incident:2", "apply-1-0")


class TestNotes:
    def test_a_note_is_what_was_last_set(self, book):
        assert book.note("paused", default=False) is False
        book.set_note("paused", True)
        assert book.note("paused", default=False) is True
        book.set_note("paused", {"by": "maria"})
        assert book.note("paused") == {"by": "maria"}

    def test_many_writers_of_a_new_note(self, book):
        start = threading.Barrier(6)

        def write(worker):
            start.wait()
            book.set_note("comments-read-until", worker)

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(write, range(6)))
        assert book.note("comments-read-until") in range(6)
