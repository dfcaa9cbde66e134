"""HTTP dates (RFC 9110 section 5.6.7): three formats in, one out. Strict, and never raising."""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTH = "(?P<month>" + "|".join(_MONTHS) + ")"
_CLOCK = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_SHORT_DAY = "(?:mon|tue|wed|thu|fri|sat|sun)"
_LONG_DAY = "(?:monday|tuesday|wednesday|thursday|friday|saturday|sunday)"
_FORMATS = tuple(
    re.compile(pattern, re.ASCII | re.IGNORECASE)
    for pattern in (
        rf"{_SHORT_DAY}, (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_CLOCK} GMT",
        rf"{_LONG_DAY}, (?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_CLOCK} GMT",
        rf"{_SHORT_DAY} {_MONTH} (?P<day>[0-9]{{2}}| [0-9]) {_CLOCK} (?P<year>[0-9]{{4}})",
    )
)
_EPOCH = date(1970, 1, 1).toordinal()
_LENGTH_MAX = 40  # the longest weekday in the obsolete format gives 33


def parse(text: str, now: float) -> float | None:
    """Seconds since 1970 UTC, or None for anything that is not an HTTP date.

    Case is not checked and neither is the day of the week against the date; all else is strict.
    `now` decides the century of two-digit years: one that would be more than 50 years ahead is in
    the past."""
    return _parse(text, 1970 + int(now // 31556952)) if len(text) <= _LENGTH_MAX else None


@lru_cache(maxsize=256)  # many answers are of one second, and their bodies as old
def _parse(text: str, this_year: int) -> float | None:
    for pattern in _FORMATS:
        match = pattern.fullmatch(text)
        if match is not None:
            return _seconds(match, this_year)
    return None


def _seconds(match: re.Match[str], this_year: int) -> float | None:
    year = int(match["year"])
    if len(match["year"]) == 2:
        year += this_year - this_year % 100
        if year > this_year + 50:
            year -= 100
    hour, minute, second = int(match["hour"]), int(match["minute"]), int(match["second"])
    if hour > 23 or minute > 59 or second > 60:
        return None
    try:
        day = date(year, _MONTHS.index(match["month"].lower()) + 1, int(match["day"]))
    except ValueError:
        return None
    return float((day.toordinal() - _EPOCH) * 86400 + hour * 3600 + minute * 60 + second)


def render(seconds: float) -> str:
    """The preferred format (IMF-fixdate) of a time from 1970 to 9999."""
    days, rest = divmod(max(0, int(seconds)), 86400)
    day = date.fromordinal(min(_EPOCH + days, date.max.toordinal()))
    hour, rest = divmod(rest, 3600)
    month = _MONTHS[day.month - 1].capitalize()
    clock = f"{hour:02}:{rest // 60:02}:{rest % 60:02}"
    return f"{_DAYS[day.weekday()]}, {day.day:02} {month} {day.year:04} {clock} GMT"
