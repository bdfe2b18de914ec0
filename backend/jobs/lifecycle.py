"""The worker's writes on a job: claim it, advance it, let it wait, end it.

Every write after the claim is fenced: it applies only while the row still has the attempt that
was claimed. A worker that lost its job to another (it hung, its machine slept) gets `Fenced` and
has changed nothing. How events are appended is in `events`, how a job ends in `completion`.

A function that takes a `Database` or a connection runs in a transaction of its own, or as a part of
the connection's.
"""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from sqlalchemy import case, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.db import Database, Query, fetch_row
from backend.failures.codes import SHOP_UNINSTALLED, WORKER_CRASHED
from backend.failures.registry import Failure
from backend.jobs import lifecycle_statements
from backend.jobs.events import NewEvent, append_job_events, change_job
from backend.jobs.models import Job, JobEvent
from backend.jobs.queries import may_become
from backend.jobs.service import JobRef
from backend.jobs.states import JobStatus
from backend.jobs.wakeups import CHANNEL
from backend.leased_task import Fenced
from backend.metrics import CREDIT_ENTRIES, JOBS_ENDED, increment
from backend.retries import JOBS


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What a finished stage left behind: its objects by name and what it found out."""

    files: dict[str, str]
    facts: dict[str, Any]


class JobLease(msgspec.Struct, frozen=True, kw_only=True):
    """The right to write on a job, for as long as nobody claims it again."""

    ref: JobRef
    attempt: int
    stage_attempts: int
    job_type: str
    origin: str
    shop_domain: str
    request: dict[str, Any]
    publish: dict[str, Any] | None
    done: dict[str, Checkpoint]


class NewArtifact(msgspec.Struct, frozen=True, kw_only=True):
    """An artifact whose object is stored already."""

    name: str
    role: str
    kind: str
    label: str | None
    key: str
    meta: dict[str, Any]


async def lease_job(where: Database | AsyncConnection, ref: JobRef) -> JobLease | None:
    """Take the job; None when it has ended already, or ends here: poison, or without a shop.

    A shop that was asking for the job while it left has left it behind.
    """
    row = await fetch_row(where, lifecycle_statements.CLAIM, **msgspec.structs.asdict(ref))
    if row is None:
        return None
    claimed = JobLease(
        ref=ref,
        attempt=row["attempt"],
        stage_attempts=row["stage_attempts"],
        job_type=row["job_type"],
        origin=row["origin"],
        shop_domain=row["domain"],
        request=msgspec.json.decode(row["request"]),
        publish=msgspec.json.decode(row["publish"]) if row["publish"] else None,
        done=await checkpoints(where, ref) if row["attempt"] > 1 else {},
    )
    if row["shop_status"] != "installed":
        await fail(where, claimed, SHOP_UNINSTALLED)
        return None
    if claimed.stage_attempts > JOBS.crashes:
        await fail(where, claimed, WORKER_CRASHED)
        return None
    return claimed


async def checkpoints(where: Database | AsyncConnection, ref: JobRef) -> dict[str, Checkpoint]:
    """The finished stages by name.

    They are asked for after the claim, which may have waited for another worker's last one.
    """
    row = await fetch_row(where, lifecycle_statements.CHECKPOINTS, **msgspec.structs.asdict(ref))
    if row is None or row["stages"] is None:
        return {}
    return msgspec.json.decode(row["stages"], type=dict[str, Checkpoint])


async def advance(
    where: Database | AsyncConnection,
    claimed: JobLease,
    *,
    stage: str,
    message: str,
    progress: dict[str, Any],
    checkpoint: Checkpoint,
    artifacts: Sequence[NewArtifact],
    end: dict[str, Any] | None = None,
    product_title: str | None = None,
    guessed_category: str | None = None,
) -> None:
    """Record a finished stage: its event, its artifacts and its checkpoint.

    The count of attempts starts again: this one is now the first at the next stage. With an `end`,
    the last event's `extra`, there is no next one: the job has succeeded. The product's
    title and the category that it tells are kept with the job once they were read.
    """
    announced = [
        {"ordinal": n, **msgspec.structs.asdict(artifact)} for n, artifact in enumerate(artifacts)
    ]
    row = await write(
        where,
        lifecycle_statements.ADVANCE if end is None else lifecycle_statements.ADVANCE_TO_THE_END,
        claimed,
        stage=stage,
        message=message,
        extra=json_text(progress),
        final_extra=json_text(end),
        files=json_text(checkpoint.files),
        facts=json_text(checkpoint.facts),
        artifacts=json_text(announced),
        product_title=product_title,
        guessed_category=guessed_category,
    )
    if end is not None:
        count_settled(row, "capture")


async def return_job_attempt(connection: AsyncConnection, claimed: JobLease) -> None:
    """Do not count the claim against the stage: what stopped the attempt was no fault of the job's.

    Somebody else may have claimed the job meanwhile: then their own claim stays counted.
    """
    theirs = func.least(Job.attempt - claimed.attempt, 1)
    await connection.execute(
        update(Job)
        .where(
            *unfinished(claimed.ref, JobStatus.IN_PROGRESS),
            Job.attempt >= claimed.attempt,
        )
        .values(stage_attempts=func.greatest(Job.stage_attempts - 1, theirs))
    )


async def put_back(
    connection: AsyncConnection, claimed: JobLease, *, message: str, waiting_for: str
) -> None:
    """Let the job wait, off the queue, for something that is not its fault: it does not count.

    What outages there were before are over.
    """
    since = func.coalesce(Job.waiting_since, func.now())
    changes = {"waiting_since": since, "outages": 0}
    await wait(connection, claimed, changes, message=message, waiting_for=waiting_for)


async def wait_out(
    connection: AsyncConnection, claimed: JobLease, *, message: str, waiting_for: str
) -> int:
    """Let the job wait for the end of an outage: the attempt does not count.

    How many outages of that kind there were in a row: what another service was away for before, by
    a policy of its own, is no reason to give this one up.
    """
    told = select(JobEvent.extra["waiting_for"].astext).where(
        JobEvent.shop_id == Job.shop_id,
        JobEvent.job_id == Job.public_id,
        JobEvent.seq == Job.last_seq,
    )
    is_same = told.correlate(Job).scalar_subquery() == waiting_for
    changes = {"outages": case((is_same, Job.outages + 1), else_=1)}
    return await wait(connection, claimed, changes, message=message, waiting_for=waiting_for)


async def wait_for_provider(connection: AsyncConnection, claimed: JobLease) -> None:
    """Let the job wait, off the queue, for a hosted provider: `backend.worker.poller` wakes it."""
    message = "Waiting for the image provider"
    await wait(connection, claimed, {"outages": 0}, message=message, waiting_for="provider")


async def wait(
    connection: AsyncConnection,
    claimed: JobLease,
    changes: dict[str, Any],
    *,
    message: str,
    waiting_for: str,
) -> int:
    """Do not count the claim, and say what the job waits for, once until it gets further.

    Its status stays. Its number of outages.
    """
    mine = (*unfinished(claimed.ref, JobStatus.IN_PROGRESS), Job.attempt == claimed.attempt)
    changed = await connection.execute(
        update(Job)
        .where(*mine)
        .values(stage_attempts=func.greatest(Job.stage_attempts - 1, 0), **changes)
        .returning(Job.last_seq, Job.outages)
    )
    row = changed.one_or_none()
    if row is None:
        raise Fenced(claimed.ref.public_id)
    latest = select(JobEvent.extra["waiting_for"].astext).filter_by(
        shop_id=claimed.ref.shop_id, job_id=claimed.ref.public_id, seq=row.last_seq
    )
    if await connection.scalar(latest) == waiting_for:
        return int(row.outages)
    job = change_job(*mine)
    event = append_job_events(job, NewEvent("queued", message, {"waiting_for": waiting_for}))
    await connection.execute(select(job.c.last_seq).add_cte(event))
    return int(row.outages)


async def succeed(
    where: Database | AsyncConnection, claimed: JobLease, extra: dict[str, Any]
) -> None:
    """End the job well."""
    row = await write(where, lifecycle_statements.SUCCEED, claimed, extra=json_text(extra))
    count_settled(row, "capture")


async def fail(
    where: Database | AsyncConnection,
    claimed: JobLease,
    failure: Failure,
    *,
    was_for_nothing: bool = False,
    product_title: str | None = None,
) -> None:
    """End the job with a reason; one that another try can mend does not bar that try.

    A storefront's job `was_for_nothing` when there was nothing to work on: it gives its place in
    the shop's day back.
    """
    gives_back = was_for_nothing and claimed.origin == "storefront"
    row = await write(
        where,
        lifecycle_statements.FAIL_FOR_NOTHING if gives_back else lifecycle_statements.FAIL,
        claimed,
        message=failure.message,
        extra=json_text({"error": failure}),
        frees_key=failure.retryable,
        product_title=product_title,
    )
    increment(JOBS_ENDED, claimed.job_type, "failed", failure.code)
    count_settled(row, "release")


async def write(
    where: Database | AsyncConnection, statement: Query, claimed: JobLease, **parameters: Any
) -> Any:
    """Run a statement on the claimed job; its row. Raises `Fenced` if somebody else has it now.

    If it is a transaction of its own, the hint about the job's events follows it.
    """
    row = await fetch_row(
        where,
        statement,
        **msgspec.structs.asdict(claimed.ref),
        attempt=claimed.attempt,
        hints_after_commit=CHANNEL if isinstance(where, Database) else "",
        **parameters,
    )
    if row is None:
        raise Fenced(claimed.ref.public_id)
    if isinstance(where, Database):
        where.hints.send(CHANNEL, claimed.ref.public_id)
    return row


def count_settled(row: Any, kind: Literal["capture", "release"]) -> None:
    """Count the ledger's entry, if the job that has ended held its price."""
    if row["held_its_price"]:
        increment(CREDIT_ENTRIES, kind)


def json_text(value: Any) -> str:
    """As the statements take it."""
    return msgspec.json.encode(value).decode()


async def append_after_success(
    connection: AsyncConnection, ref: JobRef, *, stage: str, message: str, extra: dict[str, Any]
) -> None:
    """Append an event about what becomes of a job after it has succeeded.

    Its status and its terminal event stay as they are; the event has the next number, so whoever
    follows the job gets it. Raises `Fenced` when there is no such job any more.
    """
    job = change_job(
        Job.shop_id == ref.shop_id,
        Job.public_id == ref.public_id,
        Job.status == JobStatus.SUCCESS,
    )
    event = append_job_events(job, NewEvent("stage", message, extra, stage))
    if await connection.scalar(select(job.c.last_seq).add_cte(event)) is None:
        raise Fenced(ref.public_id)


def unfinished(ref: JobRef, target: JobStatus) -> tuple[Any, ...]:
    """The job, while it may still move to `target`."""
    return (
        Job.shop_id == ref.shop_id,
        Job.public_id == ref.public_id,
        may_become(target),
    )
