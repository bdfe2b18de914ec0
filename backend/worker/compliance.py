"""Compliance webhooks are retried until they succeed, with an alarm when that takes long.

The attempts and the time of the next one are in the delivery's row. So an entry that the queue has
lost is not requeued before that time, and the count continues.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

import structlog
from sqlalchemy import func, select, update

from backend.db import Database
from backend.errors import DatabaseUnavailable
from backend.metrics import COMPLIANCE_OVERDUE
from backend.retries import COMPLIANCE
from webhooks.models import WebhookDelivery
from webhooks.outcome import HandlerContext
from webhooks.receive import DeliveryRef, put_off, unsettled
from webhooks.topics import COMPLIANCE_TOPICS

log = structlog.get_logger(__name__)

OVERDUE = timedelta(days=1)
TERM = timedelta(days=30)  # what Shopify allows
GAUGE_INTERVAL = 300  # seconds between two updates of the gauge


async def put_off_delivery(
    ref: DeliveryRef, handler_context: HandlerContext, error: Exception
) -> timedelta:
    """Count the failed attempt, and return how long to wait before the next."""
    try:
        async with handler_context.database.transaction(ref.shop_domain) as connection:
            delivery = await unsettled(connection, ref)
            tries = 1 if delivery is None else delivery.tries + 1
            pause = COMPLIANCE.pause(tries)
            await put_off(connection, ref, tries=tries, pause=pause, note=type(error).__name__)
    except DatabaseUnavailable:  # cannot be counted; this attempt has cost little
        return COMPLIANCE.pause(1)
    log.warning("compliance_put_off", tries=tries, seconds=round(pause.total_seconds()))
    return pause


async def take_up_failed(database: Database) -> int:
    """Retry deliveries that earlier versions gave up; housekeeping queues them. Return how many."""
    async with database.transaction() as connection:
        taken = await connection.execute(
            update(WebhookDelivery)
            .where(
                WebhookDelivery.status == "failed",
                WebhookDelivery.topic.in_(COMPLIANCE_TOPICS),
                WebhookDelivery.body.is_not(None),
            )
            .values(status="received", settled_at=None, tries=0, next_try_at=None)
        )
    if taken.rowcount:
        log.warning("compliance_taken_up", count=taken.rowcount)
    return taken.rowcount


async def watch_compliance(database: Database, *, aloud: bool = True) -> int:
    """Set the gauge to the deliveries older than a day, log them if `aloud`; return their count."""
    oldest = func.now() - func.min(WebhookDelivery.received_at)
    overdue = select(func.count().label("number"), oldest.label("age")).where(
        WebhookDelivery.status == "received",
        WebhookDelivery.topic.in_(COMPLIANCE_TOPICS),
        WebhookDelivery.received_at < func.now() - OVERDUE,
    )
    async with database.reading() as connection:
        found = (await connection.execute(overdue)).one()
    number, age = int(found.number), found.age
    COMPLIANCE_OVERDUE.set(number)
    if number and aloud:
        log.error(
            "compliance_overdue",
            count=number,
            oldest_hours=int(age / timedelta(hours=1)),
            days_left=max((TERM - age).days, 0),
            look="atelier webhooks list --status received",
        )
    return number


@contextlib.asynccontextmanager
async def kept_gauge(database: Database) -> AsyncIterator[None]:
    """Keep this process's gauge up to date: Prometheus scrapes each worker separately."""
    task = asyncio.create_task(keep_gauge(database))
    try:
        yield
    finally:
        task.cancel()


async def keep_gauge(database: Database) -> None:
    """Runs as long as the process works."""
    while True:
        with contextlib.suppress(DatabaseUnavailable):
            await watch_compliance(database, aloud=False)
        await asyncio.sleep(GAUGE_INTERVAL)
