"""The worker's writes on a job: claim it, advance it, end it.

Every write after the claim is fenced: it applies only while the row still has the attempt that
was claimed. A worker that lost its job to another (it hung, its machine slept) gets `Fenced` and
has changed nothing. A status, its event and the event's number commit together, so `seq` has no
gaps, commits in order, and a final state has exactly one terminal event.

Where a function takes a `Database` or a connection, it is a transaction of its own or a part of the
connection's.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ARRAY, Text, any_, cast, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.db import Database, Query, fetch_row
from backend.jobs import lifecycle_statements
from backend.jobs.models import Job, JobEvent
from backend.jobs.service import JobRef
from backend.jobs.states import UNFINISHED, Failure, JobStatus, sources
from backend.retries import JOBS
from backend.slices import ITEMS_PER_SLICE, TimeSlice

CRASHED = Failure(
    code="WORKER_CRASHED",
    message="The job could not be finished in three attempts. Try another photo or ask support.",
)
SHOP_UNINSTALLED = Failure(
    code="SHOP_UNINSTALLED",
    message="The app was removed from the shop before the job was done.",
    retryable=True,
)


class Fenced(Exception):
    """Somebody else has the job now, or it has ended: stop, and write nothing."""


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What a finished stage left behind: its objects by name and what it found out."""

    files: dict[str, str]
    facts: dict[str, Any]


class JobLease(msgspec.Struct, frozen=True, kw_only=True):
    """The right to write on a job, for as long as nobody claims it again."""

    ref: JobRef
    attempt: int
    strikes: int
    outages: int
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


async def claim(where: Database | AsyncConnection, ref: JobRef) -> JobLease | None:
    """Take the job; None when it has ended already, or ends here: poison, or without a shop.

    A shop that was asking for the job while it left has left it behind.
    """
    row = await fetch_row(where, lifecycle_statements.CLAIM, **msgspec.structs.asdict(ref))
    if row is None:
        return None
    claimed = JobLease(
        ref=ref,
        attempt=row["attempt"],
        strikes=row["strikes"],
        outages=row["outages"],
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
    if claimed.strikes > JOBS.crashes:
        await fail(where, claimed, CRASHED)
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
) -> None:
    """Record a finished stage: its event, its artifacts and its checkpoint.

    The strikes start anew: this attempt is now the first at the next stage. With an `end`, the
    last event's `extra`, there is no next one: the job has succeeded.
    """
    announced = [
        {"ordinal": n, **msgspec.structs.asdict(artifact)} for n, artifact in enumerate(artifacts)
    ]
    await write(
        where,
        lifecycle_statements.ADVANCE if end is None else lifecycle_statements.ADVANCE_TO_THE_END,
        claimed,
        stage=stage,
        message=message,
        extra=as_json(progress),
        final_extra=as_json(end),
        files=as_json(checkpoint.files),
        facts=as_json(checkpoint.facts),
        artifacts=as_json(announced),
    )


async def return_attempt(connection: AsyncConnection, claimed: JobLease) -> None:
    """Take the claim's strike back: what has stopped the attempt was no fault of the job's.

    Somebody else may have claimed the job meanwhile: then their own strike stays.
    """
    theirs = func.least(Job.attempt - claimed.attempt, 1)
    await connection.execute(
        update(Job)
        .where(
            *unfinished(claimed.ref, JobStatus.IN_PROGRESS),
            Job.attempt >= claimed.attempt,
        )
        .values(strikes=func.greatest(Job.strikes - 1, theirs))
    )


async def put_back(
    connection: AsyncConnection, claimed: JobLease, *, message: str, waiting_for: str
) -> None:
    """Let the job wait, off the queue, for something that is not its fault: it is no strike.

    What outages there were before are over.
    """
    since = func.coalesce(Job.waiting_since, func.now())
    changes = {"waiting_since": since, "outages": 0}
    await wait(connection, claimed, changes, message=message, waiting_for=waiting_for)


async def wait_out(
    connection: AsyncConnection, claimed: JobLease, *, message: str, waiting_for: str
) -> None:
    """Let the job wait for the end of an outage: the attempt is no strike."""
    changes = {"outages": Job.outages + 1}
    await wait(connection, claimed, changes, message=message, waiting_for=waiting_for)


async def wait(
    connection: AsyncConnection,
    claimed: JobLease,
    changes: dict[str, Any],
    *,
    message: str,
    waiting_for: str,
) -> None:
    """Take the claim's strike back, and say what the job waits for, once until it gets further.

    Its status stays.
    """
    last_seq = await connection.scalar(
        update(Job)
        .where(
            *unfinished(claimed.ref, JobStatus.IN_PROGRESS),
            Job.attempt == claimed.attempt,
        )
        .values(strikes=func.greatest(Job.strikes - 1, 0), **changes)
        .returning(Job.last_seq)
    )
    if last_seq is None:
        raise Fenced(claimed.ref.public_id)
    key = {"shop_id": claimed.ref.shop_id, "job_id": claimed.ref.public_id}
    latest = select(JobEvent.extra["waiting_for"].astext).filter_by(**key, seq=last_seq)
    if await connection.scalar(latest) == waiting_for:
        return
    await connection.execute(
        insert(JobEvent).values(
            **key,
            seq=await next_seq(connection, claimed),
            event_type="queued",
            message=message,
            extra={"waiting_for": waiting_for},
        )
    )


async def succeed(
    where: Database | AsyncConnection, claimed: JobLease, extra: dict[str, Any]
) -> None:
    """End the job well."""
    await write(
        where,
        lifecycle_statements.SUCCEED,
        claimed,
        message=lifecycle_statements.FINISHED,
        extra=as_json(extra),
        freed=False,
    )


async def fail(
    where: Database | AsyncConnection,
    claimed: JobLease,
    failure: Failure,
    *,
    was_for_nothing: bool = False,
) -> None:
    """End the job with a reason; one that another try can mend does not bar that try.

    A storefront's job `was_for_nothing` when there was nothing to work on: it gives its place in
    the shop's day back.
    """
    gives_back = was_for_nothing and claimed.origin == "storefront"
    await write(
        where,
        lifecycle_statements.FAIL_FOR_NOTHING if gives_back else lifecycle_statements.FAIL,
        claimed,
        message=failure.message,
        extra=as_json({"error": failure}),
        freed=failure.retryable,
    )


async def write(
    where: Database | AsyncConnection, statement: Query, claimed: JobLease, **parameters: Any
) -> None:
    """Run a statement on the claimed job. Raises `Fenced` when it is somebody else's by now."""
    row = await fetch_row(
        where,
        statement,
        **msgspec.structs.asdict(claimed.ref),
        attempt=claimed.attempt,
        **parameters,
    )
    if row is None:
        raise Fenced(claimed.ref.public_id)


def as_json(value: Any) -> str:
    """As the statements take it."""
    return msgspec.json.encode(value).decode()


async def next_seq(connection: AsyncConnection, claimed: JobLease) -> int:
    """Take the next event number of the fenced row; its lock is held until commit."""
    seq = await connection.scalar(
        update(Job)
        .where(*unfinished(claimed.ref, JobStatus.IN_PROGRESS), Job.attempt == claimed.attempt)
        .values(last_seq=Job.last_seq + 1)
        .returning(Job.last_seq)
    )
    if seq is None:
        raise Fenced(claimed.ref.public_id)
    return int(seq)


async def append(
    connection: AsyncConnection, ref: JobRef, *, stage: str, message: str, extra: dict[str, Any]
) -> None:
    """Add a line about what becomes of a job after it has ended well.

    Its status and its terminal event stay as they are; the line has the next number, so whoever
    follows the job gets it. Raises `Fenced` when there is no such job any more.
    """
    seq = await connection.scalar(
        update(Job)
        .where(
            Job.shop_id == ref.shop_id,
            Job.public_id == ref.public_id,
            Job.status == JobStatus.SUCCESS,
        )
        .values(last_seq=Job.last_seq + 1)
        .returning(Job.last_seq)
    )
    if seq is None:
        raise Fenced(ref.public_id)
    await connection.execute(
        insert(JobEvent).values(
            shop_id=ref.shop_id,
            job_id=ref.public_id,
            seq=seq,
            event_type="stage",
            stage=stage,
            message=message,
            extra=extra,
        )
    )


async def fail_unfinished(
    connection: AsyncConnection, shop_id: int, failure: Failure, *narrower: Any
) -> int:
    """End a shop's unfinished jobs that `narrower` leaves, in two statements.

    So they should be few: `end_unfinished` is for any number. Their final status fences whoever
    works on them.
    """
    ended = (
        update(Job)
        .where(Job.shop_id == shop_id, Job.status.in_(sources(JobStatus.FAILURE)), *narrower)
        .values(
            status=JobStatus.FAILURE,
            last_seq=Job.last_seq + 1,
            finished_at=func.now(),
            **freed(failure),
        )
        .returning(Job.public_id, Job.last_seq)
    )
    rows = (await connection.execute(ended)).all()
    if rows:
        extra = {"error": msgspec.structs.asdict(failure)}
        await connection.execute(
            insert(JobEvent),
            [
                {
                    "shop_id": shop_id,
                    "job_id": row.public_id,
                    "seq": row.last_seq,
                    "event_type": "failed",
                    "message": failure.message,
                    "extra": extra,
                }
                for row in rows
            ],
        )
    return len(rows)


async def end_unfinished(
    database: Database,
    shop_id: int,
    failure: Failure,
    *narrower: Any,
    time_slice: TimeSlice | None = None,
) -> int:
    """End all of a shop's unfinished jobs that `narrower` leaves, slice by slice; how many.

    Raises `TimeSliceOver`.
    """
    ended = 0
    while found := await end_slice(database, shop_id, failure, narrower):
        ended += found
        if time_slice:
            time_slice.did(found)
    return ended


async def end_slice(
    database: Database, shop_id: int, failure: Failure, narrower: tuple[Any, ...]
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


def freed(failure: Failure) -> dict[str, Any]:
    """What else changes with a failure: one that another try can mend does not bar that try."""
    return {"natural_key": None} if failure.retryable else {}


def unfinished(ref: JobRef, target: JobStatus) -> tuple[Any, ...]:
    """The job, while it may still move to `target`."""
    return (
        Job.shop_id == ref.shop_id,
        Job.public_id == ref.public_id,
        Job.status.in_(sources(target)),
    )
