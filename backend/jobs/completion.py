"""How a job ends: by `finish_job`. Nothing else sets a terminal status.

It builds the SQL for one job or for many: terminal status, `finished_at`, the terminal event, and
the release of what the job held, all in one statement. With its status a job's credits are captured
or released, by triggers, which know every way a job ends (migration `0022_credits`). Its callers
choose the jobs:

- `lifecycle.advance` with the last stage, `lifecycle.succeed` and `lifecycle.fail`: the job that a
  worker has claimed, through the statements of `lifecycle_statements`;
- `fail_unfinished` and `end_unfinished` below: jobs that are cancelled, erased, have waited for too
  long, or whose shop has removed the app.

What has to happen with the end of every job is added to `finish_job`. Outbound webhooks follow the
status by a trigger (migration `0027_webhook_endpoints`), so that they see older processes too.
"""

from typing import Any, Literal, NamedTuple

import msgspec
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Date,
    Text,
    any_,
    case,
    cast,
    func,
    null,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.expression import CTE

from backend.db import Database
from backend.failures.registry import Failure
from backend.jobs.daily_quotas import STOREFRONT_JOBS
from backend.jobs.events import NewEvent, append_job_events, change_job, in_sql
from backend.jobs.models import DailyCount, Job
from backend.jobs.queries import may_become
from backend.jobs.states import UNFINISHED, JobStatus
from backend.metrics import CREDIT_ENTRIES, JOBS_ENDED, increment
from backend.slices import ITEMS_PER_SLICE, TimeSlice

TERMINAL_EVENT: dict[JobStatus, Literal["succeeded", "failed"]] = {
    JobStatus.SUCCESS: "succeeded",
    JobStatus.FAILURE: "failed",
}


class FinishedJob(NamedTuple):
    """The CTE of the finished rows (see `change_job`), and the CTEs that go with it."""

    job: CTE
    writes: tuple[CTE, ...]


def finish_job(
    target: JobStatus,
    *where: ColumnElement[bool],
    message: ColumnElement[str] | str,
    extra: ColumnElement[Any] | dict[str, Any],
    before: tuple[NewEvent, ...] = (),
    frees_key: ColumnElement[bool] | bool = False,
    returns_quota: bool = False,
    **changes: Any,
) -> FinishedJob:
    """End the unfinished jobs that meet the conditions, as SUCCESS or FAILURE.

    The terminal event comes after those of `before`. If `frees_key`, another job may be about the
    same. If `returns_quota`, the job counts no more against the day of
    its shop's storefront.
    """
    if frees_key is not False:
        freed = null() if frees_key is True else case((frees_key, null()), else_=Job.natural_key)
        changes["natural_key"] = freed
    job = change_job(
        *where,
        may_become(target),
        events=len(before) + 1,
        returning=(Job.job_type, charged(), *((created_on(),) if returns_quota else ())),
        status=target,
        finished_at=func.now(),
        **changes,
    )
    told = in_sql(extra, JSONB).op("||")(job.c.charged)
    terminal = NewEvent(TERMINAL_EVENT[target], message, told)
    appended = append_job_events(job, *before, terminal)
    return FinishedJob(job, (appended, return_quota(job)) if returns_quota else (appended,))


def charged() -> ColumnElement[Any]:
    """What the end of the job has charged, for its event; nothing if its price was not held.

    The triggers that settle the price have set the state (migration `0022_credits`).
    """
    credits_ = case((Job.credit_state == "captured", Job.credits_cost), else_=0)
    told = func.jsonb_build_object("charged", credits_)
    nothing = func.jsonb_build_object()
    return case((Job.credit_state == "none", nothing), else_=told).label("charged")


def held_its_price(job: CTE) -> ColumnElement[bool]:
    """Whether the job that has ended held credits until then."""
    is_told: ColumnElement[bool] = cast(job.c.charged, JSONB).has_key("charged")
    return is_told.label("held_its_price")


def created_on() -> ColumnElement[Any]:
    """The day (UTC) that the job counts against."""
    return cast(func.timezone("UTC", Job.created_at), Date).label("day")


def return_quota(job: CTE) -> CTE:
    """Take the job off the count of its shop's storefront."""
    return (
        update(DailyCount)
        .where(
            DailyCount.shop_id == job.c.shop_id,
            DailyCount.day == job.c.day,
            DailyCount.what == in_sql(STOREFRONT_JOBS, Text),
            DailyCount.amount > 0,
        )
        .values(amount=DailyCount.amount - 1)
        .cte("returned_quota")
    )


async def fail_unfinished(
    connection: AsyncConnection, shop_id: int, failure: Failure, *narrower: ColumnElement[bool]
) -> int:
    """End a shop's unfinished jobs that meet the conditions, in one statement; how many.

    So they should be few: `end_unfinished` is for any number. Their terminal status fences whoever
    works on them.
    """
    ended = finish_job(
        JobStatus.FAILURE,
        Job.shop_id == shop_id,
        *narrower,
        message=failure.message,
        extra={"error": msgspec.structs.asdict(failure)},
        frees_key=failure.retryable,
    )
    job_type, count = ended.job.c.job_type, func.count()
    released = count.filter(held_its_price(ended.job))
    counts = select(job_type, count, released).group_by(job_type).add_cte(*ended.writes)
    total = 0
    for type_, number, paid in await connection.execute(counts):
        increment(JOBS_ENDED, type_, "failed", failure.code, by=number)
        increment(CREDIT_ENTRIES, "release", by=paid)
        total += number
    return total


async def end_unfinished(
    database: Database,
    shop_id: int,
    failure: Failure,
    *narrower: ColumnElement[bool],
    time_slice: TimeSlice | None = None,
) -> int:
    """End all of a shop's unfinished jobs that meet the conditions, slice by slice; how many.

    Raises `TimeSliceOver`.
    """
    ended = 0
    while found := await end_slice(database, shop_id, failure, *narrower):
        ended += found
        if time_slice:
            time_slice.did(found)
    return ended


async def end_slice(
    database: Database, shop_id: int, failure: Failure, *narrower: ColumnElement[bool]
) -> int:
    """End the oldest of them. By their ids, which were found by the index of the unfinished."""
    oldest = (
        select(Job.public_id)
        .where(Job.shop_id == shop_id, Job.status.in_(UNFINISHED), *narrower)
        .order_by(Job.created_at)
        .limit(ITEMS_PER_SLICE)
    )
    async with database.transaction(shop_id) as connection:
        ids = (await connection.scalars(oldest)).all()
        these = Job.public_id == any_(cast(ids, ARRAY(Text)))
        await fail_unfinished(connection, shop_id, failure, these)
    return len(ids)
