"""When does a freeze hold, on the wall clock of its place, and until when?"""

from datetime import UTC, datetime

import pytest
import yaml

from bot.policy.freeze import Freeze


def window(text: str) -> Freeze:
    return Freeze.model_validate(yaml.safe_load(text))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "now", "until"),
    [
        # 2026-10-02 is a Friday.
        ("{from: fri 18:00, to: mon 06:00}", "2026-10-02T17:59", None),
        ("{from: fri 18:00, to: mon 06:00}", "2026-10-02T18:00", "Mon 2026-10-05 06:00 UTC"),
        ("{from: fri 18:00, to: mon 06:00}", "2026-10-04T12:00", "Mon 2026-10-05 06:00 UTC"),
        ("{from: fri 18:00, to: mon 06:00}", "2026-10-05T05:59", "Mon 2026-10-05 06:00 UTC"),
        ("{from: fri 18:00, to: mon 06:00}", "2026-10-05T06:00", None),
        ("{from: tue 01:00, to: mon 23:00}", "2026-10-05T22:59", "Mon 2026-10-05 23:00 UTC"),
        ("{from: Friday 18:00, to: Monday 06:00}", "2026-10-03T00:00", "Mon 2026-10-05 06:00 UTC"),
        # Every night, past midnight.
        ("{from: '22:00', to: '06:00'}", "2026-10-02T21:59", None),
        ("{from: '22:00', to: '06:00'}", "2026-10-02T22:00", "Sat 2026-10-03 06:00 UTC"),
        ("{from: '22:00', to: '06:00'}", "2026-10-03T05:59", "Sat 2026-10-03 06:00 UTC"),
        ("{from: '22:00', to: '06:00'}", "2026-10-03T06:00", None),
        # YAML reads 22:00 without quotes as the number 1320.
        ("{from: 22:00, to: 06:00}", "2026-10-02T23:00", "Sat 2026-10-03 06:00 UTC"),
        # A night belongs to the day on which it begins.
        ("{from: '22:00', to: '06:00', days: fri}", "2026-10-03T01:00", "Sat 2026-10-03 06:00 UTC"),
        ("{from: '22:00', to: '06:00', days: fri}", "2026-10-02T01:00", None),
        ("{from: '08:00', to: '18:00', days: mon-thu}", "2026-10-02T12:00", None),
        ("{from: '08:00', to: '18:00', days: 'mon, fri'}", "2026-10-02T12:00", "Fri 2026-10-02 18:00 UTC"),
        ("{days: [sat-sun]}", "2026-10-03T00:00", "Sun 2026-10-04 00:00 UTC"),
        ("{days: [sat-sun]}", "2026-10-04T23:59", "Mon 2026-10-05 00:00 UTC"),
        ("{days: sun-mon}", "2026-10-05T12:00", "Tue 2026-10-06 00:00 UTC"),
        ("{days: sun-mon}", "2026-10-06T00:00", None),
        # Dates, with and without a time.
        ("{from: 2026-12-20, to: 2027-01-07}", "2026-12-19T23:59", None),
        ("{from: 2026-12-20, to: 2027-01-07}", "2026-12-20T00:00", "Thu 2027-01-07 00:00 UTC"),
        ("{from: 2026-12-20T16:00, to: 2027-01-07T06:00}", "2026-12-20T15:59", None),
        ("{from: 2026-12-20T16:00, to: 2027-01-07T06:00}", "2027-01-07T05:59", "Thu 2027-01-07 06:00 UTC"),
        # The place's clock, summer and winter: 18:00 in Berlin is 16:00 UTC in October and 17:00 UTC in December.
        ("{from: fri 18:00, to: mon 06:00, zone: Europe/Berlin}", "2026-10-02T15:59", None),
        (
            "{from: fri 18:00, to: mon 06:00, zone: Europe/Berlin}",
            "2026-10-02T16:00",
            "Mon 2026-10-05 06:00 Europe/Berlin",
        ),
        ("{from: fri 18:00, to: mon 06:00, zone: Europe/Berlin}", "2026-12-04T16:59", None),
        (
            "{from: fri 18:00, to: mon 06:00, zone: Europe/Berlin}",
            "2026-12-04T17:00",
            "Mon 2026-12-07 06:00 Europe/Berlin",
        ),
        # The hour that the clock change repeats counts both times.
        ("{from: '02:00', to: '03:00', zone: Europe/Berlin}", "2026-10-25T00:30", "Sun 2026-10-25 03:00 Europe/Berlin"),
        ("{from: '02:00', to: '03:00', zone: Europe/Berlin}", "2026-10-25T01:30", "Sun 2026-10-25 03:00 Europe/Berlin"),
        ("{from: '02:00', to: '03:00', zone: Europe/Berlin}", "2026-10-25T02:00", None),
    ],
)
def test_until(text, now, until):
    assert window(text).until(at(now)) == until
