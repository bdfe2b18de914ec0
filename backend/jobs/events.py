"""How an event gets on a job's timeline: by `append_job_events`. Nothing else inserts one.

A change of a job and the event that tells of it are one SQL statement. One CTE changes the job's
row (`change_job`, or the INSERT of a new job) and takes the event's number; `append_job_events` is
the CTE that inserts the event for each changed row. So `seq` has no gaps, commits in order, and
without the change there is no event.

What has to happen with every event, such as a stream, is added to `append_job_events`.
"""

from typing import Any, Literal, NamedTuple

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    Text,
    insert,
    literal,
    null,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.expression import CTE

from backend.jobs.models import Job, JobEvent

EventType = Literal["queued", "stage", "succeeded", "failed"]


class NewEvent(NamedTuple):
    """An event to append: values, or columns of the job's CTE."""

    event_type: EventType
    message: ColumnElement[str] | str
    extra: ColumnElement[Any] | dict[str, Any]
    stage: ColumnElement[str] | str | None = None


def change_job(
    *where: ColumnElement[bool],
    events: int = 1,
    returning: tuple[Any, ...] = (),
    **changes: Any,
) -> CTE:
    """Change the jobs that meet the conditions, and take the numbers of that many events.

    Each changed row is locked until the commit. The CTE has the job's key and `last_seq`, the
    number of its last event, besides what is `returning`.
    """
    return (
        update(Job)
        .where(*where)
        .values(last_seq=Job.last_seq + events, **changes)
        .returning(Job.shop_id, Job.public_id, Job.last_seq, *returning)
        .cte("changed_job")
    )


def append_job_events(job: FromClause, *events: NewEvent) -> CTE:
    """Insert these events for each row of `job`, which has `shop_id`, `public_id` and `last_seq`.

    The row's `last_seq` is the number of the last one. It is one INSERT for all of them: each one
    more costs Postgres a sixth of the statement that ends a job.
    """
    rows = [event_row(job, event, len(events) - n) for n, event in enumerate(events, start=1)]
    return (
        insert(JobEvent)
        .from_select(
            ["shop_id", "job_id", "seq", "event_type", "stage", "message", "extra"],
            union_all(*rows) if len(rows) > 1 else rows[0],
        )
        .cte("new_events")
    )


def event_row(job: FromClause, event: NewEvent, before_last: int) -> Select[Any]:
    """The event's row; its number is that many before the job's last one."""
    return select(
        job.c.shop_id,
        job.c.public_id,
        job.c.last_seq - before_last,
        literal(event.event_type, Text),
        null() if event.stage is None else in_sql(event.stage, Text),
        in_sql(event.message, Text),
        in_sql(event.extra, JSONB),
    )


def in_sql(value: Any, type_: Any) -> ColumnElement[Any]:
    """The value as a bind parameter, unless it is one already."""
    return value if isinstance(value, ColumnElement) else literal(value, type_)
