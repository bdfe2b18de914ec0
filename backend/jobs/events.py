"""How an event gets on a job's timeline: by `append_event`. Nothing else inserts one.

A change of a job and the event that tells of it are one SQL statement. One CTE changes the job's
row (`change_job`, or the INSERT of a new job) and takes the event's number; `append_event` is the
CTE that inserts the event for each changed row. So `seq` has no gaps, commits in order, and without
the change there is no event.

What has to happen with every event, such as a stream, is added to `append_event`.
"""

from typing import Any, Literal

from sqlalchemy import ColumnElement, FromClause, Text, insert, literal, null, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.expression import CTE

from backend.jobs.models import Job, JobEvent

EventType = Literal["queued", "stage", "succeeded", "failed"]


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


def append_event(
    job: FromClause,
    event_type: EventType,
    *,
    message: ColumnElement[str] | str,
    extra: ColumnElement[Any] | dict[str, Any],
    stage: ColumnElement[str] | str | None = None,
    before_last: int = 0,
) -> CTE:
    """Insert an event for each row of `job`, which has `shop_id`, `public_id` and `last_seq`.

    Its number is the row's last one, or that many before it.
    """
    return (
        insert(JobEvent)
        .from_select(
            ["shop_id", "job_id", "seq", "event_type", "stage", "message", "extra"],
            select(
                job.c.shop_id,
                job.c.public_id,
                job.c.last_seq - before_last,
                literal(event_type, Text),
                null() if stage is None else in_sql(stage, Text),
                in_sql(message, Text),
                in_sql(extra, JSONB),
            ),
        )
        .cte(f"{event_type}_event")
    )


def in_sql(value: Any, type_: Any) -> ColumnElement[Any]:
    """The value as a bind parameter, unless it is one already."""
    return value if isinstance(value, ColumnElement) else literal(value, type_)
