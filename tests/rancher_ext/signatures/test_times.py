"""Which time does a line carry, and which of two moments is the later one?"""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rancher_ext.bundle.facts import EventFact, Place
from rancher_ext.bundle.truth import Truth
from rancher_ext.signatures.times import (
    Clock,
    Moment,
    after,
    difference,
    event_moments,
    in_one_calendar,
    last_seen,
    moment_of,
    spoken,
)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("2025-03-04T09:11:31.401117000Z stderr F E0304 09:00:00.1  1 x] m", "2025-03-04 09:11:31 UTC"),
        ("2025-03-04T09:11:31+02:00 something", "2025-03-04 07:11:31 UTC"),
        ("2025-03-04T09:11:31-0330 something", "2025-03-04 12:41:31 UTC"),
        ('time="2025-03-04T09:11:31Z" level=info msg="x"', "2025-03-04 09:11:31 UTC"),
        ('{"level":"warn","ts":"2025-03-04T09:11:31.123Z","msg":"x"}', "2025-03-04 09:11:31 UTC"),
        ('{"level":"warn","ts":1741079491.5,"msg":"x"}', "2025-03-04 09:11:31 UTC"),
        ("2025-03-04 09:11:31.706 [INFO][9] startup.go 369: x", "2025-03-04 09:11:31"),
        ("2025/03/04 09:11:31 http: TLS handshake error", "2025-03-04 09:11:31"),
        ("E0304 09:11:31.401117       1 main.go:268] valid until 2031-01-01 00:00:00", "Mar 04 09:11:31"),
        ("Mar  4 09:11:31 w1 kubelet[812]: E0304 09:11:30.9   812 x] m", "Mar 04 09:11:31"),
        ('Mar  4 11:11:31 w1 k3s[1]: time="2025-03-04T09:11:31Z" level=info msg="x"', "2025-03-04 09:11:31 UTC"),
        ("Mar 14 09:11:31 w1 k3s[1]: x", "Mar 14 09:11:31"),
        (
            "Ready  False  Tue, 04 Mar 2025 10:11:31 +0100  Tue, 04 Mar 2025 10:01:31 +0100  KubeletNotReady  m",
            "2025-03-04 09:01:31 UTC",
        ),
        ("Waiting  Unknown  2025-03-04T09:11:31Z   Waiting for API", "2025-03-04 09:11:31 UTC"),
    ],
)
def test_every_dress_of_a_time_is_read_as_far_as_it_goes(line, expected):
    assert moment_of(line).to_text() == expected


@pytest.mark.parametrize(
    "line",
    [
        "",
        "no time at all",
        "2025-13-45T99:99:99Z",
        "E9904 09:11:31.401117       1 main.go:268] m",
        "Foo 14 09:11:31 w1 k3s[1]: x",
        "20250304T091131",
        "x" * 300 + " 2025-03-04T09:11:31Z",
        "10.2025-03-04",
    ],
)
def test_what_is_no_time_is_none(line):
    assert moment_of(line) is None


@given(st.text(max_size=300))
def test_no_line_breaks_the_reading(line):
    moment = moment_of(line)

    assert moment is None or moment.to_text()


def at(text):
    return moment_of(text)


UTC_NINE = at("2025-03-04T09:00:00Z x")


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("2025-03-04T09:00:00Z", "2025-03-04T09:00:01Z", Truth.TRUE),
        ("2025-03-04T09:00:00Z", "2025-03-04T09:00:00Z", Truth.FALSE),
        ("2025-03-04T09:00:00Z", "2025-03-04T09:30:00+01:00", Truth.FALSE),
        ("2025-03-04 09:00:00 x", "2025-03-04 09:00:01 x", Truth.TRUE),
        # A zone that is not said may be any: hours apart say nothing, days do.
        ("2025-03-04T09:00:00Z", "2025-03-04 20:00:00 x", Truth.UNKNOWN),
        ("2025-03-04T09:00:00Z", "2025-03-05 20:00:00 x", Truth.TRUE),
        # The year that is not said is the nearest one, New Year's Eve included.
        ("E1231 23:59:59.1   1 x] m", "2025-01-02 00:00:00 x", Truth.TRUE),
        ("E1231 23:59:59.1   1 x] m", "2024-12-30 00:00:00 x", Truth.FALSE),
        ("Dec 31 23:59:59 w1 x", "Jan  1 00:00:01 w1 x", Truth.TRUE),
        ("Feb 29 10:00:00 w1 x", "2025-03-01 10:00:00 x", Truth.TRUE),
    ],
)
def test_moments_are_compared_as_far_as_both_are_known(one, other, expected):
    assert after(at(one), at(other)) is expected


def test_a_moment_that_is_not_known_comes_neither_before_nor_after():
    assert after(None, UTC_NINE) is Truth.UNKNOWN
    assert after(UTC_NINE, None) is Truth.UNKNOWN


def row(text, age=None):
    return EventFact("m", "Warning", "BackOff", "Pod", "p", None, 3, age, Place("events.txt", 1, text))


def test_events_have_a_first_and_a_last_time():
    event = row("kube-system   3m (x312 over 74m)   Warning   BackOff   pod/p   m", 4440)
    collected = datetime(2025, 3, 4, 10, 0, tzinfo=UTC)

    first, last = event_moments(event, collected)
    assert (first.to_text(), last.to_text()) == ("2025-03-04 08:46:00 UTC", "2025-03-04 09:57:00 UTC")
    assert last_seen(event) == 180
    first, last = event_moments(event, None)
    assert (first.to_text(), last.to_text()) == ("74 min before it was collected", "3 min before it was collected")
    assert difference(first, last) == timedelta(minutes=71)
    assert difference(first, UTC_NINE) is None


def test_an_event_without_age_has_no_time():
    assert event_moments(row("BackOff"), None) == (None, None)
    assert last_seen(row("BackOff")) is None


def test_a_missing_year_is_taken_from_those_that_are_known():
    journal = at("Dec 31 23:59:59 w1 x")
    ordered = in_one_calendar([journal, at("2025-01-01T00:10:00Z")])

    assert [when.year for _, when in ordered] == [2024, 2025]
    assert in_one_calendar([journal])[0][1] == journal.at


def test_a_moment_without_zone_claims_none():
    assert at("2025-03-04 09:00:00 x") == Moment(datetime(2025, 3, 4, 9, tzinfo=UTC), Clock.LOCAL)


@pytest.mark.parametrize(
    ("seconds", "text"), [(5, "5 s"), (119, "119 s"), (600, "10 min"), (7200, "2 h"), (200_000, "2 d")]
)
def test_durations_are_short(seconds, text):
    assert spoken(timedelta(seconds=seconds)) == text
