"""Housekeeping across all shops: requeue what has lost its queue entry, delete what is too old.

SQL that names no shop is only in this package. Findings of the sweeps are counted in `findings`.
"""

from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Date,
    DateTime,
    Select,
    Text,
    and_,
    column,
    delete,
    exists,
    func,
    literal_column,
    or_,
    select,
    table,
    tuple_,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import InstrumentedAttribute

from backend.batches.leases import BatchRef, enqueue_expansion
from backend.batches.models import Batch
from backend.batches.states import Expansion
from backend.db import Database
from backend.jobs.daily_quotas import STOREFRONT_VISITOR
from backend.jobs.idempotency import ANSWER_LIFETIME
from backend.jobs.models import DailyCount, IdempotencyKey, Job
from backend.jobs.service import JobRef, enqueue_job
from backend.jobs.states import UNFINISHED
from backend.privacy.models import PrivacyRequest
from backend.publications.leases import PublicationRef, enqueue_task
from backend.publications.models import Publication
from backend.publications.states import TASK_STATES
from backend.queue import EXPAND_BATCH, HANDLE_WEBHOOK, QUEUE_SCHEMA, RUN_JOB
from backend.shops.models import Shop
from backend.slices import delete_all
from backend.storage.objects import ObjectStore
from backend.submissions.models import Submission
from backend.submissions.states import IN_FLIGHT, SubmissionStatus
from backend.uploads.models import Upload
from backend.worker.credits import can_be_paid
from backend.worker.reconciliation_report import Kind, record
from webhooks.models import WebhookDelivery
from webhooks.receive import DeliveryRef, enqueue_deliveries

REQUEUE_AFTER = timedelta(minutes=1)
POLLER_IS_AWAY = timedelta(minutes=10)
LONGEST_TURN = timedelta(days=1)  # that a request waits for its place at a provider
KEEP_SETTLED = timedelta(days=30)
KEEP_QUEUE_LOG = timedelta(days=7)
KEEP_REQUESTS = timedelta(
    days=365
)  # customers' data requests: long after the legal limit of 30 days
KEEP_DAYS = 7
KEEP_UNUSED = timedelta(hours=24)  # the message of `uploads.service` names this time
ROWS_PER_SWEEP = 500


class DoomedUploads(NamedTuple):
    """Selects uploads to delete, in which order, and the kind under which they are counted."""

    kind: Kind
    conditions: tuple[ColumnElement[bool], ...]
    oldest_by: InstrumentedAttribute[Any]


UNUSED = DoomedUploads(
    "unused_upload",
    (Upload.used_at.is_(None), Upload.created_at < func.now() - KEEP_UNUSED),
    Upload.created_at,
)
QUEUE_TABLE = table(
    "pgqueuer",
    column("dedupe_key", Text),
    column("status"),
    column("execute_after"),
    schema=QUEUE_SCHEMA,
)
QUEUE_LOG, QUEUE_STATISTICS = (
    table(name, column("created", DateTime(timezone=True)), schema=QUEUE_SCHEMA)
    for name in ("pgqueuer_log", "pgqueuer_statistics")
)
WAITING_OR_RUNNING: tuple[ColumnElement[str], ...] = (
    literal_column("'queued'"),
    literal_column("'picked'"),
)


async def requeue_overdue(database: Database) -> int:
    """Put missing entries back on the queue; return how many were missing.

    The queue drops an entry whose handler failed while the database was down. The rows of jobs,
    deliveries, publications and batches are the truth.
    """
    return sum((await requeued(database)).values())


async def requeued(database: Database) -> dict[Kind, int]:
    """The same, counted by kind. Handles at most one batch of each kind."""
    async with database.transaction() as connection:
        found: dict[Kind, int] = {
            "job_without_queue_entry": await requeue_jobs(connection),
            "delivery_without_queue_entry": await requeue_deliveries(connection),
            "publication_without_queue_entry": sum(
                [await requeue_publications(connection, task) for task in TASK_STATES]
            ),
            "batch_without_queue_entry": await requeue_batches(connection),
        }
        for kind, count in found.items():
            await record(connection, kind, found=count, repaired=count)
    return found


async def requeue_jobs(connection: AsyncConnection) -> int:
    """Requeue unfinished jobs without a queue entry, except those that wait for something.

    They wait for a parked shop, or for a hosted provider: the poller wakes them, unless it has not
    looked at them for `POLLER_IS_AWAY`.
    """
    waits = exists().where(
        Job.waiting_since.is_not(None), Shop.id == Job.shop_id, Shop.reauth_needed_at.is_not(None)
    )
    key = func.concat_ws(":", RUN_JOB, Job.shop_id, Job.public_id)
    rows = await connection.execute(
        select(Job.shop_id, Job.public_id)
        .where(
            Job.status.in_(UNFINISHED),
            Job.created_at < func.now() - REQUEUE_AFTER,
            ~waits,
            ~waits_for_provider(),
            ~is_queued(key),
        )
        .limit(ROWS_PER_SWEEP)
    )
    refs = [JobRef(shop_id=row.shop_id, public_id=row.public_id) for row in rows]
    for ref in refs:
        await enqueue_job(connection, ref)
    return len(refs)


def waits_for_provider() -> ColumnElement[bool]:
    """Whether the poller looks after the job, until it has put it on the queue."""
    looked_at = or_(
        Submission.wake_at > func.now() - POLLER_IS_AWAY,
        and_(Submission.wake_at.is_(None), Submission.created_at > func.now() - LONGEST_TURN),
    )
    waits = Submission.status.in_((SubmissionStatus.WAITING, *IN_FLIGHT))
    return exists().where(
        Submission.shop_id == Job.shop_id, Submission.job_id == Job.public_id, waits, looked_at
    )


async def requeue_deliveries(connection: AsyncConnection) -> int:
    """Requeue unprocessed deliveries without a queue entry, except those that wait for a retry."""
    inbox = WebhookDelivery
    key = func.concat_ws(":", HANDLE_WEBHOOK, inbox.shop_domain, inbox.topic, inbox.webhook_id)
    rows = await connection.execute(
        select(inbox.shop_domain, inbox.topic, inbox.webhook_id)
        .where(
            inbox.status == "received",
            inbox.received_at < func.now() - REQUEUE_AFTER,
            func.coalesce(inbox.next_try_at, func.now()) <= func.now(),
            ~is_queued(key),
        )
        .order_by(inbox.received_at)
        .limit(ROWS_PER_SWEEP)
    )
    refs = [DeliveryRef(**row) for row in rows.mappings()]
    await enqueue_deliveries(connection, refs)
    return len(refs)


async def requeue_publications(connection: AsyncConnection, task: str) -> int:
    """Publications with something to do and without a queue entry."""
    ref = (Publication.shop_id, Publication.job_id, Publication.round)
    due = Publication.status.in_(TASK_STATES[task])
    rows = await connection.execute(unqueued(Publication, task, ref, due))
    refs = [PublicationRef(**row) for row in rows.mappings()]
    for each in refs:
        await enqueue_task(connection, each, task)
    return len(refs)


async def requeue_batches(connection: AsyncConnection) -> int:
    """Requeue batches that still create jobs but have no queue entry.

    One that waits for credits is due when its shop has them: a grant or a job's end may add some.
    """
    ref = (Batch.shop_id, Batch.public_id, Batch.round)
    is_payable = or_(Batch.waiting_since.is_(None), can_be_paid())
    due = and_(Batch.expansion == Expansion.EXPANDING, is_payable)
    rows = await connection.execute(unqueued(Batch, EXPAND_BATCH, ref, due))
    refs = [BatchRef(**row) for row in rows.mappings()]
    for each in refs:
        await enqueue_expansion(connection, each)
    return len(refs)


def unqueued(
    model: type[Publication] | type[Batch],
    task: str,
    ref: tuple[Any, ...],
    due: ColumnElement[bool],
) -> Select[Any]:
    """Select the keys of due rows without a queue entry, except those of parked shops.

    So work that waited for a merchant continues within a minute of their return.
    """
    waits = exists().where(Shop.id == model.shop_id, Shop.reauth_needed_at.is_not(None))
    overdue = model.changed_at < func.now() - REQUEUE_AFTER
    key = func.concat_ws(":", task, *ref)
    found: Select[Any] = select(*ref).where(due, overdue, ~waits, ~is_queued(key))
    return found.limit(ROWS_PER_SWEEP)


def is_queued(dedupe_key: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether the queue has an entry with that key."""
    return exists().where(
        QUEUE_TABLE.c.dedupe_key == dedupe_key, QUEUE_TABLE.c.status.in_(WAITING_OR_RUNNING)
    )


async def prune(database: Database) -> None:
    """Delete old rows: deliveries, idempotency keys, daily counts, data requests, queue logs.

    Counts of storefront visitors are deleted once their day is over. Deletes in slices, so that no
    statement takes long.
    """
    is_settled = WebhookDelivery.status != "received"
    too_old = WebhookDelivery.received_at < func.now() - KEEP_SETTLED
    of_a_visitor = DailyCount.what.startswith(STOREFRONT_VISITOR)
    is_over = DailyCount.day < func.timezone("UTC", func.now()).cast(Date)
    await delete_all(database, None, WebhookDelivery, is_settled, too_old)
    is_past = IdempotencyKey.created_at < func.now() - ANSWER_LIFETIME
    await delete_all(database, None, IdempotencyKey, is_past)
    await delete_all(database, None, DailyCount, DailyCount.day < func.current_date() - KEEP_DAYS)
    await delete_all(database, None, DailyCount, of_a_visitor, is_over)
    await delete_all(
        database, None, PrivacyRequest, PrivacyRequest.requested_at < func.now() - KEEP_REQUESTS
    )
    for log in (QUEUE_LOG, QUEUE_STATISTICS):
        await delete_all(database, None, log, log.c.created < func.now() - KEEP_QUEUE_LOG)


async def sweep_uploads(
    database: Database, store: ObjectStore, doomed: DoomedUploads = UNUSED
) -> int:
    """Delete uploads, by default those that no job has used in time; return how many.

    After a crash the marked rows still match, and the next sweep starts with them.
    """
    swept = 0
    while batch := await expired_uploads(database, doomed):
        await store.delete(key for _, _, key in batch)
        async with database.transaction() as connection:
            await connection.execute(
                delete(Upload).where(
                    tuple_(Upload.shop_id, Upload.upload_key).in_(
                        [(shop_id, upload_key) for shop_id, upload_key, _ in batch]
                    )
                )
            )
            await record(connection, doomed.kind, found=len(batch), repaired=len(batch))
        swept += len(batch)
    return swept


async def expired_uploads(
    database: Database, doomed: DoomedUploads = UNUSED
) -> list[tuple[int, str, str]]:
    """Mark a batch of uploads as expired; return their shops, upload keys and object keys.

    Skips rows that are locked by a job that is starting to use them.
    """
    due = (
        select(Upload.shop_id, Upload.upload_key)
        .where(*doomed.conditions)
        .order_by(doomed.oldest_by)
        .limit(ROWS_PER_SWEEP)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    mark = (
        update(Upload)
        .where(Upload.shop_id == due.c.shop_id, Upload.upload_key == due.c.upload_key)
        .values(expired_at=func.now())
        .returning(Upload.shop_id, Upload.upload_key, Upload.key)
    )
    async with database.transaction() as connection:
        return [(row.shop_id, row.upload_key, row.key) for row in await connection.execute(mark)]


async def shop_of_job(connection: AsyncConnection, public_id: str) -> str | None:
    """The domain of the installed shop that owns this job; for the command line."""
    return await connection.scalar(
        select(Shop.domain)
        .join(Job, Job.shop_id == Shop.id)
        .where(Job.public_id == public_id, Shop.status == "installed")
    )
