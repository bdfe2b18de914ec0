"""The months of a plan: their ends, and the references of their grants."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from backend.billing.periods import month_end, months_before, period_ref, trial_end


def at(text: str) -> datetime:
    """That time, in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "ends"),
    [
        ("2026-12-01T00:00", "2026-12-31T12:00"),
        ("2026-12-31T11:59", "2026-12-31T12:00"),
        ("2026-12-31T12:00", "2027-01-31T12:00"),
        ("2027-02-01T00:00", "2027-02-28T12:00"),
        ("2027-10-31T12:00", "2027-11-30T12:00"),
        ("2027-11-30T12:00", "2027-12-31T12:00"),
        ("2026-11-01T00:00", "2026-12-31T12:00"),
        ("2027-12-31T12:00", "2027-12-31T12:00"),
    ],
)
def test_a_year_has_twelve_months_that_end_on_its_day(now: str, ends: str) -> None:
    assert month_end(at("2027-12-31T12:00"), "ANNUAL", at(now)) == at(ends)


def test_a_year_grants_twelve_times_and_a_month_once() -> None:
    end = at("2027-11-29T10:00")
    days = [end - timedelta(days=day) for day in range(1, 366)]
    assert len({month_end(end, "ANNUAL", day) for day in days}) == 12
    assert {month_end(end, "EVERY_30_DAYS", day) for day in days} == {end}


def test_a_shorter_month_ends_on_its_last_day() -> None:
    assert months_before(at("2028-03-31T00:00"), 1) == at("2028-02-29T00:00")
    assert months_before(at("2027-01-31T00:00"), 2) == at("2026-11-30T00:00")


def test_a_reference_names_the_month_in_utc_and_the_total() -> None:
    moment = at("2027-01-02T03:04")
    local = moment.astimezone(timezone(timedelta(hours=-5)))
    assert {period_ref(each, 200) for each in (moment, local)} == {"2027-01-02T03:04:00Z:200"}


def test_a_trial_is_counted_from_the_creation() -> None:
    assert trial_end(at("2026-11-29T10:00"), 7) == at("2026-12-06T10:00")
