"""How does a person want to read a time? `6 min 12 s` in a sentence, `41m` in a table, `2025-03-04 09:12 UTC` for a moment."""

from datetime import UTC, datetime, timedelta

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400


def spoken(duration: timedelta) -> str:
    """Two units at most: `12 s`, `6 min 12 s`, `2 h 5 min`, `1 day 4 h`; whole days from three on. Negative counts as nothing."""
    seconds = max(0, int(duration.total_seconds()))
    if seconds < _MINUTE:
        return f"{seconds} s"
    if seconds < _HOUR:
        return _two(seconds // _MINUTE, "min", seconds % _MINUTE, "s")
    if seconds < _DAY:
        return _two(seconds // _HOUR, "h", seconds % _HOUR // _MINUTE, "min")
    days = seconds // _DAY
    word = "day" if days == 1 else "days"
    return f"{days} {word}" if days >= 3 else _two(days, word, seconds % _DAY // _HOUR, "h")


def compact(duration: timedelta) -> str:
    """One unit, as kubectl writes ages: `45s`, `41m`, `26h`, `3d`. Each unit lasts until two of the next are full."""
    seconds = max(0, int(duration.total_seconds()))
    if seconds < 2 * _MINUTE:
        return f"{seconds}s"
    if seconds < 2 * _HOUR:
        return f"{seconds // _MINUTE}m"
    if seconds < 2 * _DAY:
        return f"{seconds // _HOUR}h"
    return f"{seconds // _DAY}d"


def moment(when: datetime) -> str:
    """Date and minute, in UTC."""
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def clock(when: datetime, *, beside: datetime) -> str:
    """The minute alone where the reader knows the day, because it is that of `beside`; otherwise date and minute."""
    when, beside = when.astimezone(UTC), beside.astimezone(UTC)
    return f"{when:%H:%M} UTC" if when.date() == beside.date() else moment(when)


def _two(big: int, big_unit: str, small: int, small_unit: str) -> str:
    return f"{big} {big_unit} {small} {small_unit}" if small else f"{big} {big_unit}"
