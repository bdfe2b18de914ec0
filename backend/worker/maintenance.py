"""Housekeeping across all shops: nothing waits for ever, and nothing piles up.

This and the rest of `worker` are the only places with SQL that names no shop.
"""

from datetime import timedelta

import structlog
from sqlalchemy import Interval, bindparam, delete, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.db import Database
from backend.jobs.models import Job
from backend.jobs.service import JobRef, enqueue_job
from backend.jobs.states import UNFINISHED
from backend.queue import HANDLE_WEBHOOK, QUEUE_SCHEMA, RUN_JOB
from webhooks.models import WebhookDelivery
from webhooks.receive import DeliveryRef, enqueue_delivery

log = structlog.get_logger(__name__)

OVERDUE = timedelta(minutes=1)
KEEP_SETTLED = timedelta(days=30)
KEEP_QUEUE_LOG = timedelta(days=7)
BATCH = 500

QUEUED = (
    text(
        f"SELECT dedupe_key FROM {QUEUE_SCHEMA}.pgqueuer "  # noqa: S608  a constant of ours
        "WHERE status IN ('queued', 'picked') AND dedupe_key IS NOT NULL"
    )
    .columns(dedupe_key=Job.public_id.type)
    .subquery("queued")
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
    key = func.concat(f"{RUN_JOB}:", Job.shop_id, ":", Job.public_id)
    rows = (
        await connection.execute(
            select(Job.shop_id, Job.public_id)
            .outerjoin(QUEUED, QUEUED.c.dedupe_key == key)
            .where(
                Job.status.in_(UNFINISHED),
                Job.created_at < func.now() - OVERDUE,
                QUEUED.c.dedupe_key.is_(None),
            )
            .limit(BATCH)
        )
    ).all()
    for row in rows:
        await enqueue_job(connection, JobRef(shop_id=row.shop_id, public_id=row.public_id))
    return len(rows)


async def requeue_deliveries(connection: AsyncConnection) -> int:
    """Unsettled deliveries without a queue entry."""
    inbox = WebhookDelivery
    key = func.concat_ws(":", HANDLE_WEBHOOK, inbox.shop_domain, inbox.topic, inbox.webhook_id)
    rows = (
        await connection.execute(
            select(inbox.shop_domain, inbox.topic, inbox.webhook_id)
            .outerjoin(QUEUED, QUEUED.c.dedupe_key == key)
            .where(
                inbox.status == "received",
                inbox.received_at < func.now() - OVERDUE,
                QUEUED.c.dedupe_key.is_(None),
            )
            .limit(BATCH)
        )
    ).all()
    for row in rows:
        await enqueue_delivery(connection, DeliveryRef(**row._mapping))
    return len(rows)


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
            text(
                f"DELETE FROM {QUEUE_SCHEMA}.pgqueuer_log WHERE created < now() - :kept"
            ).bindparams(  # noqa: S608
                bindparam("kept", KEEP_QUEUE_LOG, Interval)
            )
        )


async def owner_of(connection: AsyncConnection, public_id: str) -> str | None:
    """The domain of the shop that has this job: for the operator at the command line."""
    domain: str | None = await connection.scalar(
        text(
            "SELECT shops.domain FROM jobs JOIN shops ON shops.id = jobs.shop_id "
            "WHERE jobs.public_id = :public_id"
        ),
        {"public_id": public_id},
    )
    return domain
