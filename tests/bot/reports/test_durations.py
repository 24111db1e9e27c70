from datetime import UTC, datetime, timedelta, timezone

import pytest

from bot.reports.durations import clock, compact, moment, spoken

NOON = datetime(2025, 3, 4, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "sentence", "column"),
    [
        (-5, "0 s", "0s"),
        (0, "0 s", "0s"),
        (12.9, "12 s", "12s"),
        (90, "1 min 30 s", "90s"),
        (120, "2 min", "2m"),
        (372, "6 min 12 s", "6m"),
        (2_460, "41 min", "41m"),
        (3_600, "1 h", "60m"),
        (7_500, "2 h 5 min", "2h"),
        (86_400, "1 day", "24h"),
        (100_800, "1 day 4 h", "28h"),
        (172_800, "2 days", "2d"),
        (183_600, "2 days 3 h", "2d"),
        (300_000, "3 days", "3d"),
    ],
)
def test_durations_read_as_people_write_them(seconds: float, sentence: str, column: str):
    assert (sentence, column) == (spoken(timedelta(seconds=seconds)), compact(timedelta(seconds=seconds)))


def test_moments_are_told_in_utc_whatever_their_zone():
    berlin = timezone(timedelta(hours=1))
    assert moment(datetime(2025, 3, 4, 13, 5, tzinfo=berlin)) == "2025-03-04 12:05 UTC"


def test_the_day_is_told_only_where_it_is_not_the_readers():
    assert clock(NOON, beside=NOON + timedelta(hours=11)) == "12:00 UTC"
    assert clock(NOON, beside=NOON + timedelta(hours=13)) == "2025-03-04 12:00 UTC"
