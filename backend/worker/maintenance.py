"""Housekeeping across all shops: nothing waits for ever, and nothing piles up.

This is the only module whose SQL names no shop.
"""

from datetime import timedelta

import structlog
from sqlalchemy import (
    ColumnElement,
    DateTime,
    Text,
    column,
    delete,
    exists,
    func,
    literal_column,
    select,
    table,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.db import Database
from backend.jobs.models import Job
from backend.jobs.service import JobRef, enqueue_job
from backend.jobs.states import UNFINISHED
from backend.queue import HANDLE_WEBHOOK, QUEUE_SCHEMA, RUN_JOB
from backend.shops.models import Shop
from webhooks.models import WebhookDelivery
from webhooks.receive import DeliveryRef, enqueue_delivery

log = structlog.get_logger(__name__)

OVERDUE = timedelta(minutes=1)
KEEP_SETTLED = timedelta(days=30)
KEEP_QUEUE_LOG = timedelta(days=7)
BATCH = 500

QUEUE = table("pgqueuer", column("dedupe_key", Text), column("status"), schema=QUEUE_SCHEMA)
QUEUE_LOG = table("pgqueuer_log", column("created", DateTime(timezone=True)), schema=QUEUE_SCHEMA)
WAITING_OR_RUNNING: tuple[ColumnElement[str], ...] = (
    literal_column("'queued'"),
    literal_column("'picked'"),
)


async def requeue_overdue(database: Database) -> int:
    """Put back on the queue what should be there and is not; how many there were.

    An entry can be lost when the queue gives one up (its handler failed while the database was
    away); the job's row and the delivery's row are the truth.
    """
    async with database.transaction() as connection:
        found = await requeue_jobs(connection) + await requeue_deliveries(connection)
    if found:
        log.warning("requeued", count=found)
    return found


async def requeue_jobs(connection: AsyncConnection) -> int:
    """Unfinished jobs without a queue entry."""
    key = func.concat_ws(":", RUN_JOB, Job.shop_id, Job.public_id)
    rows = await connection.execute(
        select(Job.shop_id, Job.public_id)
        .where(
            Job.status.in_(UNFINISHED),
            Job.created_at < func.now() - OVERDUE,
            ~is_queued(key),
        )
        .limit(BATCH)
    )
    refs = [JobRef(shop_id=row.shop_id, public_id=row.public_id) for row in rows]
    for ref in refs:
        await enqueue_job(connection, ref)
    return len(refs)


async def requeue_deliveries(connection: AsyncConnection) -> int:
    """Unsettled deliveries without a queue entry."""
    inbox = WebhookDelivery
    key = func.concat_ws(":", HANDLE_WEBHOOK, inbox.shop_domain, inbox.topic, inbox.webhook_id)
    rows = await connection.execute(
        select(inbox.shop_domain, inbox.topic, inbox.webhook_id)
        .where(
            inbox.status == "received",
            inbox.received_at < func.now() - OVERDUE,
            ~is_queued(key),
        )
        .limit(BATCH)
    )
    refs = [DeliveryRef(**row) for row in rows.mappings()]
    for ref in refs:
        await enqueue_delivery(connection, ref)
    return len(refs)


def is_queued(dedupe_key: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether the queue holds an entry with that key."""
    return exists().where(QUEUE.c.dedupe_key == dedupe_key, QUEUE.c.status.in_(WAITING_OR_RUNNING))


async def prune(database: Database) -> None:
    """Forget settled deliveries and the queue's own log after their time."""
    async with database.transaction() as connection:
        await connection.execute(
            delete(WebhookDelivery).where(
                WebhookDelivery.status != "received",
                WebhookDelivery.received_at < func.now() - KEEP_SETTLED,
            )
        )
        await connection.execute(
            delete(QUEUE_LOG).where(QUEUE_LOG.c.created < func.now() - KEEP_QUEUE_LOG)
        )


async def owner_of(connection: AsyncConnection, public_id: str) -> str | None:
    """The domain of the installed shop that has this job: for the operator at the command line."""
    return await connection.scalar(
        select(Shop.domain)
        .join(Job, Job.shop_id == Shop.id)
        .where(Job.public_id == public_id, Shop.status == "installed")
    )
