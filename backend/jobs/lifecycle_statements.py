"""The statements with which a worker writes a job that it has claimed, compiled once.

A statement changes the job's row only if the worker's lease still holds, and without the row there
is no event, no checkpoint and no artifact. So each can be a transaction of its own, in one round
trip. `lifecycle` runs them and says what they mean.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Boolean,
    ClauseElement,
    Integer,
    Select,
    SmallInteger,
    Text,
    bindparam,
    cast,
    column,
    func,
    insert,
    null,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.expression import CTE

from backend.db import Query
from backend.hints import HINTS_SETTING
from backend.jobs.completion import finish_job, held_its_price
from backend.jobs.events import NewEvent, append_job_events, change_job
from backend.jobs.models import Artifact, Job, JobStage
from backend.jobs.queries import PUBLIC_ID, may_become
from backend.jobs.states import JobStatus
from backend.shops.models import Shop
from backend.tenancy import setting

# Their parameters; JSON goes in and comes out as text.
SHOP_ID: BindParameter[int] = bindparam("shop_id", type_=BigInteger)
ATTEMPT: BindParameter[int] = bindparam("attempt", type_=Integer)
STAGE: BindParameter[str] = bindparam("stage", type_=Text)
MESSAGE: BindParameter[str] = bindparam("message", type_=Text)
EXTRA: BindParameter[Any] = bindparam("extra", type_=JSONB)
FINAL_EXTRA: BindParameter[Any] = bindparam("final_extra", type_=JSONB)
FILES: BindParameter[Any] = bindparam("files", type_=JSONB)
FACTS: BindParameter[Any] = bindparam("facts", type_=JSONB)
ARTIFACTS: BindParameter[Any] = bindparam("artifacts", type_=JSONB)
PRODUCT_TITLE: BindParameter[Any] = bindparam("product_title", type_=Text)
GUESSED_CATEGORY: BindParameter[Any] = bindparam("guessed_category", type_=Text)
FREES_KEY: BindParameter[bool] = bindparam("frees_key", type_=Boolean)
HINTS: BindParameter[str] = bindparam("hints_after_commit", type_=Text)

THIS_JOB = (Job.shop_id == SHOP_ID, Job.public_id == PUBLIC_ID)
LEASED = (*THIS_JOB, Job.attempt == ATTEMPT)  # while nobody has claimed it again
FINISHED = "Finished"  # the message of a job that ended well
PICTURE = (
    column("name", Text),
    column("ordinal", SmallInteger),
    column("role", Text),
    column("kind", Text),
    column("label", Text),
    column("key", Text),
    column("meta", JSONB),
)


def claiming() -> ClauseElement:
    """Give the job to the worker: nobody with an earlier claim can write it from now on."""
    return (
        update(Job)
        .where(*THIS_JOB, may_become(JobStatus.IN_PROGRESS), Shop.id == Job.shop_id)
        .values(
            status=JobStatus.IN_PROGRESS,
            attempt=Job.attempt + 1,
            stage_attempts=Job.stage_attempts + 1,
            started_at=func.coalesce(Job.started_at, func.now()),
        )
        .returning(
            Job.attempt,
            Job.stage_attempts.label("stage_attempts"),
            Job.job_type,
            Job.origin,
            cast(Job.request, Text).label("request"),
            cast(Job.publish, Text).label("publish"),
            Shop.domain,
            Shop.status.label("shop_status"),
        )
    )


def finished_stages() -> Select[Any]:
    """What the finished stages of the job have left, as JSON by the stage's name."""
    left = func.json_build_object("files", JobStage.files, "facts", JobStage.facts)
    stages = cast(func.json_object_agg(JobStage.stage, left), Text).label("stages")
    return select(stages).where(JobStage.shop_id == SHOP_ID, JobStage.job_id == PUBLIC_ID)


def insert_checkpoint(job: CTE) -> CTE:
    """The finished stage's checkpoint."""
    return (
        insert(JobStage)
        .from_select(
            ["shop_id", "job_id", "stage", "attempt", "files", "facts"],
            select(job.c.shop_id, job.c.public_id, STAGE, ATTEMPT, FILES, FACTS),
        )
        .cte("checkpoint")
    )


def insert_artifacts(job: CTE, before_last: int) -> CTE:
    """The stage's artifacts, with the number of the event that announces them."""
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
        .cte("new_artifacts")
    )


def advancing(*, ends: bool) -> Select[Any]:
    """Record a finished stage; if `ends`, the job has succeeded with it."""
    step: dict[str, Any] = {
        "stage_attempts": 1,
        "outages": 0,
        "waiting_since": null(),
        "product_title": func.coalesce(PRODUCT_TITLE, Job.product_title),
        "category": func.coalesce(Job.category, Job.request["category"].astext, GUESSED_CATEGORY),
    }
    recorded = NewEvent("stage", MESSAGE, EXTRA, STAGE)
    if ends:
        job, writes = finish_job(
            JobStatus.SUCCESS,
            *LEASED,
            message=FINISHED,
            extra=FINAL_EXTRA,
            before=(recorded,),
            **step,
        )
    else:
        job = change_job(*LEASED, may_become(JobStatus.IN_PROGRESS), **step)
        writes = (append_job_events(job, recorded),)
    before_last = int(ends)  # the terminal event comes after the stage's
    return write_statement(
        job,
        *writes,
        insert_checkpoint(job),
        insert_artifacts(job, before_last),
        columns=(held_its_price(job),) if ends else (),
    )


def failing(*, returns_quota: bool) -> Select[Any]:
    """Fail the job."""
    job, writes = finish_job(
        JobStatus.FAILURE,
        *LEASED,
        message=MESSAGE,
        extra=EXTRA,
        frees_key=FREES_KEY,
        returns_quota=returns_quota,
        product_title=func.coalesce(PRODUCT_TITLE, Job.product_title),
    )
    return write_statement(job, *writes, columns=(held_its_price(job),))


def succeeding() -> Select[Any]:
    """End the job well."""
    job, writes = finish_job(JobStatus.SUCCESS, *LEASED, message=FINISHED, extra=EXTRA)
    return write_statement(job, *writes, columns=(held_its_price(job),))


def write_statement(job: CTE, *writes: CTE, columns: tuple[Any, ...]) -> Select[Any]:
    """The statement of the job's change and of what goes with it; the change's row.

    With the row it says who sends the hint about the events: the trigger on `jobs`, which runs
    after the statement, or whoever has set `hints_after_commit` to the channel.
    """
    return select(job.c.last_seq, *columns, setting(HINTS_SETTING, HINTS)).add_cte(*writes)


CLAIM, CHECKPOINTS = Query(claiming), Query(finished_stages)
ADVANCE = Query(lambda: advancing(ends=False))
ADVANCE_TO_THE_END = Query(lambda: advancing(ends=True))
SUCCEED = Query(succeeding)
FAIL = Query(lambda: failing(returns_quota=False))
FAIL_FOR_NOTHING = Query(lambda: failing(returns_quota=True))
