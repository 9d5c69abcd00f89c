"""When the next run is: cron expressions in a time zone, with clock changes, jitter and quiet hours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexing.errors import ScheduleUnusable
from indexing.schedules import Timing, next_run

PARIS = "Europe/Paris"


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "timezone", "after", "expected"),
    [
        ("0 6 * * *", "UTC", "2026-03-02 05:59", "2026-03-02 06:00"),
        ("0 6 * * *", "UTC", "2026-03-02 06:00", "2026-03-03 06:00"),  # after, not at
        ("0 6 * * *", PARIS, "2026-03-02 00:00", "2026-03-02 05:00"),  # winter: UTC+1
        ("0 6 * * *", PARIS, "2026-07-02 00:00", "2026-07-02 04:00"),  # summer: UTC+2
        ("0 6 * * 1-5", "UTC", "2026-03-06 07:00", "2026-03-09 06:00"),  # Friday to Monday
        ("*/15 * * * *", "UTC", "2026-03-02 06:01", "2026-03-02 06:15"),
        ("0 0 29 2 *", "UTC", "2026-03-02 06:01", "2028-02-29 00:00"),
        ("30 2 * * *", PARIS, "2026-03-28 12:00", "2026-03-29 01:00"),  # 02:30 does not exist: right after the gap
    ],
)
def test_the_next_run_is_where_cron_puts_it(cron, timezone, after, expected):
    assert next_run(Timing(cron, timezone), at(after)) == at(expected)


def test_an_hour_that_the_clock_repeats_fires_once_a_day():
    first = next_run(Timing("30 2 * * *", PARIS), at("2026-10-24 12:00"))
    second = next_run(Timing("30 2 * * *", PARIS), first)

    assert (first.date().isoformat(), second.date().isoformat()) == ("2026-10-25", "2026-10-26")


@pytest.mark.parametrize(
    "timing",
    [
        Timing("0 0 30 2 *"),  # the 30th of February
        Timing("61 * * * *"),
        Timing("* * * *"),
        Timing(""),
        Timing("0 6 * * *", "Europe/Paris "),
        Timing("0 6 * * *", "../../etc/passwd"),
        Timing("0 6 * * *", jitter_s=-1),
        Timing("0 6 * * *", jitter_s=90_000),
        Timing("0 6 * * *", quiet="8-18"),
        Timing("0 6 * * *", quiet="08:00-24:00"),
    ],
)
def test_what_cannot_be_a_schedule_is_refused_with_a_remedy(timing):
    with pytest.raises(ScheduleUnusable) as caught:
        next_run(timing, at("2026-03-02 06:00"))

    assert caught.value.remedy


@pytest.mark.parametrize(
    ("quiet", "expected"),
    [
        ("05:00-07:30", "2026-03-02 07:30"),
        ("22:00-06:30", "2026-03-02 06:30"),  # past midnight
        ("06:30-08:00", "2026-03-02 06:00"),
        ("00:00-06:00", "2026-03-02 06:00"),  # the end is not quiet any more
    ],
)
def test_nothing_begins_in_quiet_hours(quiet, expected):
    assert next_run(Timing("0 6 * * *", quiet=quiet), at("2026-03-02 00:00")) == at(expected)


@given(st.integers(0, 86_400), st.integers(1, 10_000))
def test_jitter_delays_by_less_than_its_size_and_the_same_each_time(jitter_s, source_id):
    timing = Timing("0 6 * * *", jitter_s=jitter_s)
    first = next_run(timing, at("2026-03-02 06:00"), source_id)

    share = first - at("2026-03-03 06:00")
    assert timedelta(0) <= share <= timedelta(seconds=jitter_s)
    assert next_run(timing, first, source_id) - first == timedelta(days=1)
