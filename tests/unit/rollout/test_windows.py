"""When weights may rise, also where summer time begins and ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.windows import (
    DAYS,
    SEARCHED_DAYS,
    WindowError,
    is_open,
    next_opening,
    opening_text,
    zone_of,
)
from traffic.model.rollout import RolloutWindow

BERLIN = "Europe/Berlin"
ZONES = ("UTC", BERLIN, "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu", "Africa/Cairo")
"""Lord Howe's summer time is half an hour, Cairo's begins at midnight, Kathmandu is 5:45 ahead."""


def window(
    start: str = "09:00", end: str = "16:00", days: str = "mon tue wed thu", zone: str = BERLIN
) -> RolloutWindow:
    return RolloutWindow.model_validate({"days": days.split(), "from": start, "to": end, "zone": zone})


def at(text: str, zone: str = BERLIN, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold)


OFFICE = window()
NIGHT = window("22:00", "04:00", "fri")
IN_THE_SKIPPED_HOUR = window("02:15", "02:45", "sun")


@pytest.mark.parametrize(
    ("windows", "instant", "expected"),
    [
        ([], at("2026-11-28T03:00"), True),
        ([OFFICE], at("2026-11-26T09:00"), True),
        ([OFFICE], at("2026-11-26T08:59:59"), False),
        ([OFFICE], at("2026-11-26T15:59:59"), True),
        ([OFFICE], at("2026-11-26T16:00"), False),
        ([OFFICE], at("2026-11-27T12:00"), False),
        ([OFFICE], at("2026-11-26T08:30", "UTC"), True),
        ([OFFICE], at("2026-07-23T07:30", "UTC"), True),
        ([OFFICE], at("2026-11-26T07:30", "UTC"), False),
        ([OFFICE, NIGHT], at("2026-11-27T23:00"), True),
        ([NIGHT], at("2026-11-28T03:59"), True),
        ([NIGHT], at("2026-11-28T04:00"), False),
        ([NIGHT], at("2026-11-27T03:00"), False),
        ([window("00:00", "24:00", "")], at("2026-11-28T23:59:59"), True),
        ([window("12:00", "12:00", "sat")], at("2026-11-29T11:59"), True),
        ([window("12:00", "12:00", "sat")], at("2026-11-29T12:00"), False),
        ([IN_THE_SKIPPED_HOUR], at("2026-10-25T02:30"), True),
        ([IN_THE_SKIPPED_HOUR], at("2026-10-25T02:30", fold=1), True),
        ([IN_THE_SKIPPED_HOUR], at("2026-10-25T02:50"), False),
    ],
)
def test_a_step_may_rise_when_a_clock_in_the_windows_zone_shows_a_time_in_it(
    windows: list[RolloutWindow], instant: datetime, expected: bool
) -> None:
    assert is_open(windows, instant) is expected


@pytest.mark.parametrize(
    ("windows", "instant", "expected"),
    [
        ([], at("2026-11-28T03:00"), at("2026-11-28T03:00")),
        ([OFFICE], at("2026-11-26T10:00"), at("2026-11-26T10:00")),
        ([OFFICE], at("2026-11-26T16:00"), at("2026-11-30T09:00")),
        ([OFFICE], at("2026-03-28T12:00"), at("2026-03-30T09:00")),
        ([OFFICE, NIGHT], at("2026-11-26T16:00"), at("2026-11-27T22:00")),
        ([window("09:00", "16:00", "")], at("2026-03-29T01:00"), at("2026-03-29T09:00")),
        # 2:00 to 3:00 does not exist on this Sunday: this window begins with the new time, and that one has none.
        ([window("02:30", "04:00", "sun")], at("2026-03-29T00:30"), at("2026-03-29T03:00")),
        ([IN_THE_SKIPPED_HOUR], at("2026-03-28T12:00"), at("2026-04-05T02:15")),
        # 2:00 to 3:00 exists twice on this one.
        ([IN_THE_SKIPPED_HOUR], at("2026-10-25T00:00"), at("2026-10-25T02:15")),
        ([IN_THE_SKIPPED_HOUR], at("2026-10-25T02:50"), at("2026-10-25T02:15", fold=1)),
        ([window("01:00", "02:30", "sun")], at("2026-10-25T02:40"), at("2026-10-25T02:00", fold=1)),
        # 00:00 does not exist in Cairo when its summer time begins, on a Friday.
        ([window("00:00", "05:00", "fri", "Africa/Cairo")], at("2026-04-23T20:00", "Africa/Cairo"),
         at("2026-04-24T01:00", "Africa/Cairo")),
    ],
)  # fmt: skip
def test_the_next_window_opens(windows: list[RolloutWindow], instant: datetime, expected: datetime) -> None:
    opening = next_opening(windows, instant)
    assert opening is not None
    assert opening == expected.astimezone(UTC)


def test_when_a_window_opens_is_told_in_its_zone() -> None:
    assert opening_text([OFFICE], at("2026-11-27T12:00", "UTC")) == "Mon 2026-11-30 09:00 Europe/Berlin"


@pytest.mark.parametrize("name", ["Europe/Atlantis", "", "../etc/passwd", "Europe", "a\0b"])
def test_a_zone_that_is_not_known_opens_no_window(name: str) -> None:
    with pytest.raises(WindowError, match="fix: install the database of time zones"):
        zone_of(name)
    with pytest.raises(WindowError):
        is_open([OFFICE.model_copy(update={"zone": name})], at("2026-11-26T10:00"))


TIMES = st.times().map(lambda time: f"{time:%H:%M}")
WINDOWS = st.builds(
    lambda start, end, days, zone: window(start, end, " ".join(sorted(days)), zone),
    TIMES, TIMES, st.sets(st.sampled_from(DAYS)), st.sampled_from(ZONES),
)  # fmt: skip
INSTANTS = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))
NEAR_A_CHANGE = st.sampled_from([datetime(2026, 3, 29, 1), datetime(2026, 10, 25, 1), datetime(2026, 4, 4, 15),
                                 datetime(2026, 10, 3, 15, 30), datetime(2026, 4, 23, 22)])  # fmt: skip
AROUND_CHANGES = st.builds(
    lambda change, minutes: change.replace(tzinfo=UTC) + timedelta(minutes=minutes),
    NEAR_A_CHANGE, st.integers(-1600, 1600),
)  # fmt: skip


@settings(deadline=None)
@given(st.lists(WINDOWS, min_size=1, max_size=3), INSTANTS | AROUND_CHANGES)
def test_a_window_is_open_when_it_opens_and_was_not_open_just_before(
    windows: list[RolloutWindow], instant: datetime
) -> None:
    opening = next_opening(windows, instant)
    assert opening is not None
    assert instant <= opening <= instant + timedelta(days=SEARCHED_DAYS)
    assert is_open(windows, opening)
    if opening > instant:
        assert not is_open(windows, opening - timedelta(microseconds=1))


@settings(deadline=None)
@given(st.lists(WINDOWS, min_size=1, max_size=3), INSTANTS | AROUND_CHANGES, st.data())
def test_no_window_is_open_before_the_next_one_opens(
    windows: list[RolloutWindow], instant: datetime, data: st.DataObject
) -> None:
    opening = next_opening(windows, instant)
    assert opening is not None
    seconds = data.draw(st.integers(0, max(int((opening - instant).total_seconds()) - 1, 0)))
    between = instant + timedelta(seconds=seconds)
    assert between >= opening or not is_open(windows, between)


@settings(deadline=None)
@given(WINDOWS, INSTANTS | AROUND_CHANGES)
def test_whether_a_window_is_open_does_not_depend_on_the_zone_in_which_an_instant_is_written(
    one: RolloutWindow, instant: datetime
) -> None:
    assert {is_open([one], instant.astimezone(ZoneInfo(zone))) for zone in ZONES} == {is_open([one], instant)}


@settings(deadline=None)
@given(WINDOWS, WINDOWS, INSTANTS)
def test_a_further_window_never_closes_another(one: RolloutWindow, other: RolloutWindow, instant: datetime) -> None:
    assert is_open([one, other], instant) is (is_open([one], instant) or is_open([other], instant))
