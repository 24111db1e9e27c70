"""When was this line written?

Logs say it in their own ways: RFC 3339 in front (container runtimes), klog (`E0304 09:11:31.401117`), journal (`Mar 04
09:11:31`), logrus, zap, `kubectl describe`. Some leave out the year, some the zone. What a line leaves out is not invented:
two moments are compared only as far as both are known.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from rancher_ext.bundle.facts import EventFact
from rancher_ext.bundle.truth import Truth

# A stamp stands at the beginning; a date far into the message is about something else (a certificate's end, say).
_HEAD = 220
# Clocks without a zone are this far from UTC at most.
_ZONES = timedelta(hours=14)
# The year that stands for "not known". A leap year, so that 29 February has a place.
_NO_YEAR = 2000
_MONTHS = {
    name: n
    for n, name in enumerate(
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"], start=1
    )
}

_ISO = re.compile(
    r"(?<!\d)(\d{4})[-/](\d\d)[-/](\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?(?: ?(Z\b|UTC\b|[+-]\d\d:?\d\d\b))?"
)
_LOGRUS = re.compile(r"\btime=\"\d{4}-\d\d-\d\d[T ][^\"]{8,40}")
_JOURNAL = re.compile(r"^\s{0,4}([A-Z][a-z]{2}) {1,2}(\d{1,2}) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?\s")
_KLOG = re.compile(r"(?:^|[\s\"|])[IWEF](\d\d)(\d\d) (\d\d):(\d\d):(\d\d)\.(\d{1,9})\s+\d+\s")
_LONG = re.compile(r"(\d{1,2}) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d) ([+-]\d{4})")
_EPOCH = re.compile(r"\"ts\":\s?(\d{10})(?:\.(\d{1,9}))?\d*\b")
_AGE = r"(?:\d{1,6}[ydhms]){1,3}"
_SEEN = re.compile(rf"(?:^|\s)(?P<last>{_AGE})\s+\(x\d{{1,7}} over (?P<first>{_AGE})\)")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "y": 365 * 86400}


class Clock(StrEnum):
    """Against what a moment can be compared."""

    UTC = "utc"
    LOCAL = "local"
    BEFORE_COLLECTION = "before-collection"


@dataclass(frozen=True)
class Moment:
    """A time as far as it is known. Without a `year` its date stands in the year 2000."""

    at: datetime
    clock: Clock = Clock.UTC
    year: bool = True

    def to_text(self) -> str:
        """For people; seconds suffice, and a zone that is not known is not claimed."""
        if self.clock is Clock.BEFORE_COLLECTION:
            return f"{spoken(_EPOCH_0 - self.at)} before it was collected"
        day = f"{self.at:%Y-%m-%d}" if self.year else f"{self.at:%b %d}"
        return f"{day} {self.at:%H:%M:%S}" + (" UTC" if self.clock is Clock.UTC else "")


# Moments that are known as an age only lie before this one.
_EPOCH_0 = datetime(2000, 1, 1, tzinfo=UTC)


def moment_of(text: str) -> Moment | None:
    """The time at the beginning of a line, or None when it has none."""
    head = text[:_HEAD]
    try:
        if logrus := _LOGRUS.search(head):
            # More exact than the journal's own stamp in front of it.
            return _full(_ISO.search(logrus[0]))
        if (m := _JOURNAL.match(head)) and m[1] in _MONTHS:
            return _yearless(_MONTHS[m[1]], int(m[2]), m[3], m[4], m[5], m[6])
        iso, klog = _ISO.search(head), _KLOG.search(head)
        if klog is not None and (iso is None or klog.start() < iso.start()):
            return _yearless(int(klog[1]), int(klog[2]), klog[3], klog[4], klog[5], klog[6])
        if iso is not None:
            return _full(iso)
        if long := _LONG.findall(text[: 2 * _HEAD]):
            # A described condition has a heartbeat and then the time of its last change.
            found = long[-1]
            day, year, hour, minute, second = (int(found[group]) for group in (0, 2, 3, 4, 5))
            return Moment(datetime(year, _MONTHS[found[1]], day, hour, minute, second, tzinfo=UTC) - _offset(found[6]))
        if epoch := _EPOCH.search(head):
            return Moment(datetime.fromtimestamp(int(epoch[1]), UTC))
    except (ValueError, KeyError, OverflowError):
        # Digits in the shape of a date that are none.
        return None
    return None


def _full(iso: re.Match[str] | None) -> Moment | None:
    if iso is None:
        return None
    year, month, day, hour, minute, second = (int(iso[group]) for group in range(1, 7))
    at = datetime(year, month, day, hour, minute, second, _micros(iso[7]), tzinfo=UTC)
    return Moment(at, Clock.LOCAL) if iso[8] is None else Moment(at - _offset(iso[8]))


def _yearless(month: int, day: int, hour: str, minute: str, second: str, fraction: str | None) -> Moment:
    at = datetime(_NO_YEAR, month, day, int(hour), int(minute), int(second), _micros(fraction), tzinfo=UTC)
    return Moment(at, Clock.LOCAL, year=False)


def _micros(fraction: str | None) -> int:
    return int((fraction or "")[:6].ljust(6, "0"))


def _offset(zone: str) -> timedelta:
    if zone in {"Z", "UTC"}:
        return timedelta()
    digits = zone[1:].replace(":", "")
    size = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return -size if zone[0] == "-" else size


def event_moments(event: EventFact, collected_at: datetime | None) -> tuple[Moment | None, Moment | None]:
    """When an event was first and last seen."""
    row = _SEEN.search(event.at.text)
    if row is not None:
        return _ago(_seconds(row["first"]), collected_at), _ago(_seconds(row["last"]), collected_at)
    last = _ago(event.age, collected_at)
    return last, last


def last_seen(event: EventFact) -> int | None:
    """How many seconds before the collection an event was seen last."""
    row = _SEEN.search(event.at.text)
    return event.age if row is None else _seconds(row["last"])


def _ago(seconds: int | None, collected_at: datetime | None) -> Moment | None:
    if seconds is None:
        return None
    age = timedelta(seconds=seconds)
    return Moment(_EPOCH_0 - age, Clock.BEFORE_COLLECTION) if collected_at is None else Moment(collected_at - age)


def _seconds(age: str) -> int:
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)([ydhms])", age))


def difference(one: Moment, other: Moment) -> timedelta | None:
    """How long after `one` the `other` is; None when their clocks do not tell."""
    if (one.clock is Clock.BEFORE_COLLECTION) != (other.clock is Clock.BEFORE_COLLECTION):
        return None
    later, earlier = other.at, one.at
    if not (one.year and other.year):
        # Whichever year brings them closest: logs of one failure do not lie half a year apart.
        later, earlier = (later, _nearest(earlier, later)) if other.year else (_nearest(later, earlier), earlier)
    apart = later - earlier
    if one.clock is not other.clock and abs(apart) <= _ZONES:
        return None
    return apart


def after(one: Moment | None, other: Moment | None) -> Truth:
    """Is `other` later than `one`?"""
    if one is None or other is None:
        return Truth.UNKNOWN
    apart = difference(one, other)
    return Truth.of(None if apart is None else apart > timedelta())


def _nearest(moment: datetime, to: datetime) -> datetime:
    candidates = []
    for year in (to.year - 1, to.year, to.year + 1):
        try:
            candidates.append(moment.replace(year=year))
        except ValueError:
            # 29 February in a year that has none.
            continue
    return min(candidates, key=lambda candidate: abs(candidate - to))


def in_one_calendar(moments: Iterable[Moment]) -> list[tuple[Moment, datetime]]:
    """Moments with the date they sort by: years that are missing are taken from those that are known, where there are any."""
    known = list(moments)
    dated = [moment.at for moment in known if moment.year and moment.clock is not Clock.BEFORE_COLLECTION]
    anchor = max(dated, default=None)
    return [(m, m.at if m.year or anchor is None else _nearest(m.at, anchor)) for m in known]


def spoken(duration: timedelta) -> str:
    """`74 min`, `3 h`: short, for people."""
    seconds = int(duration.total_seconds())
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 2 * 3600:
        return f"{seconds // 60} min"
    return f"{seconds // 3600} h" if seconds < 2 * 86400 else f"{seconds // 86400} d"
