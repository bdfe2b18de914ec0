"""The statements that a worker writes a job with: each is written once, and is enough by itself.

A statement changes the job's row and, only if that was still its own to change, tells of it:
without the row there is no event, no checkpoint and no artifact. So each can be a transaction of
its own, in one round trip. What they mean is told in `timeline`, which runs them.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Boolean,
    ColumnElement,
    Date,
    Integer,
    SmallInteger,
    Text,
    any_,
    bindparam,
    case,
    cast,
    column,
    func,
    insert,
    literal,
    null,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.sql.expression import CTE

from backend.db import Query
from backend.jobs.daily_quotas import STOREFRONT_JOBS
from backend.jobs.models import Artifact, DailyCount, Job, JobEvent, JobStage
from backend.jobs.states import JobStatus, sources
from backend.shops.models import Shop

# What they take; JSON goes in and comes out as text.
SHOP_ID: BindParameter[int] = bindparam("shop_id", type_=BigInteger)
PUBLIC_ID: BindParameter[str] = bindparam("public_id", type_=Text)
ATTEMPT: BindParameter[int] = bindparam("attempt", type_=Integer)
STAGE: BindParameter[str] = bindparam("stage", type_=Text)
MESSAGE: BindParameter[str] = bindparam("message", type_=Text)
EXTRA: BindParameter[Any] = bindparam("extra", type_=JSONB)
FINAL_EXTRA: BindParameter[Any] = bindparam("final_extra", type_=JSONB)
FILES: BindParameter[Any] = bindparam("files", type_=JSONB)
FACTS: BindParameter[Any] = bindparam("facts", type_=JSONB)
ARTIFACTS: BindParameter[Any] = bindparam("artifacts", type_=JSONB)
FREED: BindParameter[bool] = bindparam("freed", type_=Boolean)

FINISHED = "Finished"  # what a job that ended well says
PICTURE = (
    column("name", Text),
    column("ordinal", SmallInteger),
    column("role", Text),
    column("kind", Text),
    column("label", Text),
    column("key", Text),
    column("meta", JSONB),
)


def may_become(target: JobStatus) -> tuple[ColumnElement[bool], ...]:
    """The job, while it may still move to `target`."""
    before = literal(sorted(sources(target)), ARRAY(Text))
    return Job.shop_id == SHOP_ID, Job.public_id == PUBLIC_ID, Job.status == any_(before)


def moved(target: JobStatus, events: int, *more: ColumnElement[Any], **changes: Any) -> CTE:
    """The claimed row with that many more events; nobody else has it until the commit.

    It returns the job's key and its last event's number, and `more`.
    """
    if target is not JobStatus.IN_PROGRESS:
        changes |= {"status": target, "finished_at": func.now()}
    return (
        update(Job)
        .where(*may_become(target), Job.attempt == ATTEMPT)
        .values(last_seq=Job.last_seq + events, **changes)
        .returning(Job.shop_id, Job.public_id, Job.last_seq, *more)
        .cte("moved")
    )


def told(
    job: CTE, event_type: str, *, message: Any = MESSAGE, extra: Any = EXTRA, before_last: int = 0
) -> CTE:
    """The event with the row's last number, or with one before it."""
    stage = STAGE if event_type == "stage" else null()
    return (
        insert(JobEvent)
        .from_select(
            ["shop_id", "job_id", "seq", "event_type", "stage", "message", "extra"],
            select(
                job.c.shop_id,
                job.c.public_id,
                job.c.last_seq - before_last,
                literal(event_type, Text),
                stage,
                message,
                extra,
            ),
        )
        .cte(f"told_{event_type}")
    )


def checkpointed(job: CTE) -> CTE:
    """The finished stage's checkpoint."""
    return (
        insert(JobStage)
        .from_select(
            ["shop_id", "job_id", "stage", "attempt", "files", "facts"],
            select(job.c.shop_id, job.c.public_id, STAGE, ATTEMPT, FILES, FACTS),
        )
        .cte("checkpointed")
    )


def announced(job: CTE, before_last: int) -> CTE:
    """The artifacts, as of the event that tells of their stage."""
    picture = func.jsonb_to_recordset(ARTIFACTS).table_valued(*PICTURE, name="picture")
    rows = picture.render_derived(with_types=True)
    names = [each.name for each in PICTURE]
    return (
        insert(Artifact)
        .from_select(
            ["shop_id", "job_id", "stage", "seq", *names],
            select(
                job.c.shop_id,
                job.c.public_id,
                STAGE,
                job.c.last_seq - before_last,
                *(rows.c[name] for name in names),
            ).join(rows, true()),
        )
        .cte("announced")
    )


def advancing(*, ends: bool) -> Query:
    """Record a finished stage; if `ends`, the job has succeeded with it."""
    end = int(ends)
    job = moved(
        JobStatus.SUCCESS if ends else JobStatus.IN_PROGRESS,
        events=1 + end,
        stage_attempts=1,
        outages=0,
        waiting_since=null(),
    )
    written = [
        told(job, "stage", before_last=end),
        checkpointed(job),
        announced(job, before_last=end),
    ]
    if ends:
        written.append(told(job, "succeeded", message=literal(FINISHED, Text), extra=FINAL_EXTRA))
    return Query(select(job.c.last_seq).add_cte(*written))


def ending(target: JobStatus, event_type: str) -> Query:
    """End the job; if `freed`, another may be about the same."""
    job = moved(target, events=1, natural_key=case((FREED, null()), else_=Job.natural_key))
    return Query(select(job.c.last_seq).add_cte(told(job, event_type)))


def failing_for_nothing() -> Query:
    """Fail a visitor's job that was no work, and count it no more against its shop's day."""
    day = cast(func.timezone("UTC", Job.created_at), Date).label("day")
    freed = case((FREED, null()), else_=Job.natural_key)
    job = moved(JobStatus.FAILURE, 1, day, natural_key=freed)
    given_back = (
        update(DailyCount)
        .where(
            DailyCount.shop_id == job.c.shop_id,
            DailyCount.day == job.c.day,
            DailyCount.what == literal(STOREFRONT_JOBS, Text),
            DailyCount.amount > 0,
        )
        .values(amount=DailyCount.amount - 1)
        .cte("given_back")
    )
    return Query(select(job.c.last_seq).add_cte(told(job, "failed"), given_back))


CLAIM = Query(
    update(Job)
    .where(*may_become(JobStatus.IN_PROGRESS), Shop.id == Job.shop_id)
    .values(
        status=JobStatus.IN_PROGRESS,
        attempt=Job.attempt + 1,
        stage_attempts=Job.stage_attempts + 1,
        started_at=func.coalesce(Job.started_at, func.now()),
    )
    .returning(
        Job.attempt,
        Job.stage_attempts.label("stage_attempts"),
        Job.outages,
        Job.job_type,
        Job.origin,
        cast(Job.request, Text).label("request"),
        cast(Job.publish, Text).label("publish"),
        Shop.domain,
        Shop.status.label("shop_status"),
    )
)
CHECKPOINTS = Query(
    select(
        cast(
            func.json_object_agg(
                JobStage.stage,
                func.json_build_object("files", JobStage.files, "facts", JobStage.facts),
            ),
            Text,
        ).label("stages")
    ).where(JobStage.shop_id == SHOP_ID, JobStage.job_id == PUBLIC_ID)
)
ADVANCE, ADVANCE_TO_THE_END = advancing(ends=False), advancing(ends=True)
SUCCEED = ending(JobStatus.SUCCESS, "succeeded")
FAIL = ending(JobStatus.FAILURE, "failed")
FAIL_FOR_NOTHING = failing_for_nothing()
