"""When must nothing begin? Windows on the wall clock of one place, as people write them.

Three forms of `from` and `to`: times of day (`22:00`, on given `days` or every day; past midnight when `to` is not later), times
of the week (`fri 18:00`), and dates (`2026-12-20` or `2026-12-20T16:00`). The hour that a clock change repeats counts both times.
"""

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY = 24 * 60
WEEK = 7 * DAY
_CLOCK = re.compile(r"^(?P<hour>\d{1,2}):(?P<minute>\d{2})$")
_EXAMPLES = "write for example '22:00', 'fri 18:00', '2026-12-20' or '2026-12-20T16:00'"


@dataclass(frozen=True)
class Moment:
    """`minutes` since midnight, or since Monday's midnight when `weekly`; or one `at` of the calendar."""

    minutes: int = 0
    weekly: bool = False
    at: datetime | None = None

    @property
    def form(self) -> str:
        return "a date" if self.at else "a time of the week" if self.weekly else "a time of day"


def _minutes(text: str) -> int:
    match = _CLOCK.match(text)
    minutes = int(match["hour"]) * 60 + int(match["minute"]) if match and int(match["minute"]) < 60 else DAY + 1
    if minutes > DAY:
        raise ValueError(f"{text!r} is no time of day; {_EXAMPLES}")
    return minutes


def _moment(value: object) -> object:
    if isinstance(value, datetime):
        # YAML has turned it into UTC if it named a zone; `zone` is the place for that.
        if value.tzinfo is not None:
            raise ValueError(f"{value.isoformat()} names a zone; write the local time and name the zone in `zone`")
        return Moment(at=value)
    if isinstance(value, date):
        return Moment(at=datetime.combine(value, time()))
    # YAML reads 18:00 without quotes as a number of base sixty: 1080, which is the minute of the day.
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= DAY:
        return Moment(value)
    if not isinstance(value, str):
        return value
    text = value.strip().lower()
    day, _, clock = text.partition(" ")
    if day[:3] in DAYS and clock:
        return Moment(DAYS.index(_day(day)) * DAY + _minutes(clock.strip()), weekly=True)
    if "-" in text:
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(f"{value!r} is no date; {_EXAMPLES}") from None
        return _moment(at)
    return Moment(_minutes(text))


def _day(text: str) -> str:
    if text.strip().lower()[:3] not in DAYS:
        raise ValueError(f"{text!r} is no day; write {', '.join(DAYS)}, or a range such as fri-sun")
    return text.strip().lower()[:3]


def _days(value: object) -> object:
    """`fri-sun`, `mon, wed`, or a list of these."""
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, list | tuple):
        return value
    found: list[str] = []
    for each in value:
        first, _, last = str(each).partition("-")
        start = DAYS.index(_day(first))
        end = DAYS.index(_day(last)) if last else start
        found += [DAYS[(start + step) % 7] for step in range((end - start) % 7 + 1)]
    return tuple(dict.fromkeys(found))


def _zone(value: object) -> object:
    if isinstance(value, str):
        try:
            return ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"there is no time zone {value!r}; write for example Europe/Berlin or UTC") from None
    return value


class Freeze(BaseModel):
    """`holds: automatic` stops only what would run without a person."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    start: Annotated[Moment, BeforeValidator(_moment)] = Field(default=Moment(0), alias="from")
    to: Annotated[Moment, BeforeValidator(_moment)] = Moment(DAY)
    days: Annotated[tuple[str, ...], BeforeValidator(_days)] = ()
    zone: Annotated[ZoneInfo, BeforeValidator(_zone)] = ZoneInfo("UTC")
    holds: Literal["everything", "automatic"] = "everything"
    reason: str = ""

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if self.start.form != self.to.form:
            raise ValueError(f"`from` is {self.start.form} and `to` is {self.to.form}; both have to be the same")
        if self.days and self.start.form != "a time of day":
            raise ValueError("`days` goes with times of day; leave it out here")
        if self.start.at and self.to.at and self.start.at >= self.to.at:
            raise ValueError("`to` is not later than `from`")
        if self.start.weekly and self.start == self.to:
            raise ValueError("`from` and `to` are the same moment of the week")
        if not {"start", "to", "days"} & self.model_fields_set:
            raise ValueError(f"a freeze needs `days`, or `from` and `to`; {_EXAMPLES}")
        return self

    def until(self, now: datetime) -> str | None:
        """When the window that `now` lies in ends, in words; None outside of it."""
        here = now.astimezone(self.zone).replace(tzinfo=None)
        end = self._end(here)
        return f"{end:%a %Y-%m-%d %H:%M} {self.zone.key}" if end else None

    def _end(self, here: datetime) -> datetime | None:
        if self.start.at and self.to.at:
            return self.to.at if self.start.at <= here < self.to.at else None
        midnight = datetime.combine(here.date(), time())
        if self.start.weekly:
            monday = midnight - timedelta(days=here.weekday())
            lasts = (self.to.minutes - self.start.minutes) % WEEK
            starts = [monday + timedelta(minutes=self.start.minutes, weeks=-back) for back in (0, 1)]
        else:
            lasts = self.to.minutes - self.start.minutes
            lasts += 0 if lasts > 0 else DAY
            days = [midnight - timedelta(days=back) for back in (0, 1)]
            starts = [
                day + timedelta(minutes=self.start.minutes)
                for day in days
                if not self.days or DAYS[day.weekday()] in self.days
            ]
        ends = [start + timedelta(minutes=lasts) for start in starts if start <= here]
        return max((end for end in ends if here < end), default=None)

    def to_json(self) -> dict[str, Any]:
        return {"zone": self.zone.key, "holds": self.holds, "reason": self.reason}
