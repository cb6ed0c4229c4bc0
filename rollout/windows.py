"""When weights may rise: the windows of a strategy, pure functions of a time.

A window is decided by what a clock in its zone shows. Where summer time begins or ends, a local time may not exist or
exist twice; the way from an instant to the local time is unique all the same, so nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from traffic.model.rollout import RolloutWindow

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""Days of the week in the order of `date.weekday()`."""

DAY_MINUTES = 24 * 60

SEARCHED_DAYS = 15
"""Two weeks: a window of one day a week may fall into the hour that summer time skips."""

_SECOND = timedelta(seconds=1)


class WindowError(ValueError):
    """A window's zone is not known on this machine."""


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone of the IANA database such as `Europe/Berlin`. Raises WindowError if it is not known here."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError; a folder of zones is an OSError
        fix = "install the database of time zones (tzdata) on this machine, or correct the window's zone"
        raise WindowError(f"the time zone {name!r} is not known on this machine; fix: {fix}") from None


def is_open(windows: Sequence[RolloutWindow], at: datetime) -> bool:
    """Return whether weights may rise at an instant (a datetime with a zone): in any window, or if there is none.

    A window whose end is not after its start ends on the next day; `days` are those on which it starts. Raises
    WindowError: a window of a zone that is not known is neither open nor closed.
    """
    return not windows or any(_is_in(window, at) for window in windows)


def next_opening(windows: Sequence[RolloutWindow], at: datetime) -> datetime | None:
    """Return the first instant from `at` on at which weights may rise, in UTC; None if there is none in two weeks."""
    if is_open(windows, at):
        return at.astimezone(UTC)
    later = sorted(one for window in windows for one in _possible_starts(window, at) if one > at)
    return next((one for one in later if is_open(windows, one)), None)


def opening_text(windows: Sequence[RolloutWindow], at: datetime) -> str:
    """Return when weights may rise again, in the zone of the first window: `Mon 2026-11-30 09:00 Europe/Berlin`."""
    opening = next_opening(windows, at)
    if opening is None:
        return "no window opens within two weeks"
    zone = zone_of(windows[0].zone) if windows else ZoneInfo("UTC")
    return f"{opening.astimezone(zone):%a %Y-%m-%d %H:%M} {zone.key}"


def _is_in(window: RolloutWindow, at: datetime) -> bool:
    local = at.astimezone(zone_of(window.zone))
    minute, today = local.hour * 60 + local.minute, local.date()
    start, end = _minutes(window.from_), _minutes(window.to)
    if start < end:
        return _has_day(window, today) and start <= minute < end
    yesterday = today - timedelta(days=1)
    return (_has_day(window, today) and minute >= start) or (_has_day(window, yesterday) and minute < end)


def _minutes(text: str) -> int:
    """A time of day in minutes since midnight; 24:00 is the end of the day."""
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


def _has_day(window: RolloutWindow, day: date) -> bool:
    return not window.days or DAYS[day.weekday()] in window.days


def _possible_starts(window: RolloutWindow, at: datetime) -> Iterator[datetime]:
    """Instants at which the window may begin: where its clock shows the start, shows midnight, or is changed."""
    zone, start = zone_of(window.zone), _minutes(window.from_) % DAY_MINUTES
    first = at.astimezone(zone).date()
    for number in range(SEARCHED_DAYS):
        day = first + timedelta(days=number)
        midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
        for local in (midnight, midnight.replace(hour=start // 60, minute=start % 60)):
            # A local time that does not exist becomes another instant, which is_open then refuses.
            yield from (local.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
        yield from _change(midnight.astimezone(UTC), zone)


def _change(start: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """The first instant at which the zone's clock is changed in the 26 hours after `start`, by halving."""
    end, offset = start + timedelta(hours=26), start.astimezone(zone).utcoffset()
    if end.astimezone(zone).utcoffset() == offset:
        return
    while end - start > _SECOND:
        middle = start + timedelta(seconds=(end - start) // _SECOND // 2)
        if middle.astimezone(zone).utcoffset() == offset:
            start = middle
        else:
            end = middle
    yield end
