"""For which month a plan grants credits, and how many are still to be granted for it.

A plan grants once a month: for each period that Shopify charges, or for each month of an annual
one. While a month runs that credits were granted for, another plan or another subscription grants
only what its plan gives beyond them. So changing back and forth, or removing and installing the
app, grants nothing twice; and as soon as that month is over, the current one gives the rest.
"""

import calendar
from datetime import UTC, datetime, timedelta

MONTHS_OF_A_YEAR = 12


def month_end(period_end: datetime, interval: str | None, now: datetime) -> datetime:
    """The end of the month that runs now, in a period that ends at `period_end`.

    The months of a year are counted back from its end: at the same day and time, or on the last
    day of a shorter month.
    """
    if interval != "ANNUAL":
        return period_end
    ends = (months_before(period_end, months) for months in range(MONTHS_OF_A_YEAR, -1, -1))
    return next((end for end in ends if end > now), period_end)


def months_before(moment: datetime, months: int) -> datetime:
    """The same day and time so many months earlier, or the last day of that month."""
    number = moment.year * 12 + moment.month - 1 - months
    year, month = divmod(number, 12)
    day = min(moment.day, calendar.monthrange(year, month + 1)[1])
    return moment.replace(year=year, month=month + 1, day=day)


def trial_end(created_at: datetime, trial_days: int) -> datetime:
    """When a trial is over: Shopify counts its days from the subscription's creation."""
    return created_at + timedelta(days=trial_days)


def period_ref(ends_at: datetime, total: int) -> str:
    """The `ref` of a plan's grant: the month, and how many credits it has with this grant."""
    return f"{ends_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}:{total}"
