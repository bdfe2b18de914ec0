"""Work that waits for a merchant: resume it when they open the app or have new credits.

What waits for an app that nobody opens ends.

A waiting job is unfinished, has `waiting_since` and no queue entry (`leased_task`). A delivery that
came meanwhile is failed as `REAUTH_NEEDED`, and kept.
"""

from datetime import datetime, timedelta

import structlog
from sqlalchemy import ColumnElement, CompoundSelect, exists, func, select, tuple_, union, update

from backend.batches.leases import BatchRef, enqueue_expansion
from backend.batches.models import Batch
from backend.batches.service import stop_batch
from backend.batches.states import Expansion
from backend.db import Database
from backend.failures.codes import REAUTH_NEEDED
from backend.jobs.completion import end_unfinished
from backend.jobs.models import Job
from backend.jobs.service import JobRef, enqueue_jobs
from backend.jobs.states import UNFINISHED
from backend.publications.models import Publication
from backend.publications.service import stop_publications
from backend.publications.states import UNFINISHED_PUBLICATION
from backend.shops.models import Shop
from backend.shops.service import ShopRef
from backend.shops.tokens import is_parked
from webhooks.models import WebhookDelivery
from webhooks.receive import DeliveryRef, enqueue_deliveries

log = structlog.get_logger(__name__)

MAX_REAUTH_WAIT = timedelta(days=30)
RESUMED_AT_ONCE = 200


async def resume_shop(ref: ShopRef, database: Database) -> None:
    """Queue everything that waited for the shop. Idempotent.

    If the shop is parked meanwhile, the rest waits on. Otherwise what waits again would be queued
    again without end.
    """
    jobs = deliveries = 0
    while resumed := await resume_jobs(ref, database):
        jobs += resumed
    while resumed := await resume_deliveries(ref, database):
        deliveries += resumed
    batches = await resume_batches(ref, database)
    log.info("shop_resumed", shop_id=ref.shop_id, jobs=jobs, deliveries=deliveries, batches=batches)


async def resume_jobs(ref: ShopRef, database: Database) -> int:
    """Queue a batch of the shop's waiting jobs; return how many there were."""
    waiting = (
        select(Job.public_id)
        .where(
            Job.shop_id == ref.shop_id,
            Job.status.in_(UNFINISHED),
            Job.waiting_since.is_not(None),
            is_open(ref),
        )
        .limit(RESUMED_AT_ONCE)
    )
    resumed = (
        update(Job)
        .where(Job.shop_id == ref.shop_id, Job.public_id.in_(waiting))
        .values(waiting_since=None)
        .returning(Job.public_id)
    )
    async with database.transaction(ref.shop_id) as connection:
        found = (await connection.scalars(resumed)).all()
        refs = [JobRef(shop_id=ref.shop_id, public_id=public_id) for public_id in found]
        await enqueue_jobs(connection, ref.shop_id, refs)
    return len(found)


async def resume_deliveries(ref: ShopRef, database: Database) -> int:
    """Queue a batch of the deliveries that arrived while the shop was parked; return how many."""
    inbox = WebhookDelivery
    key = (inbox.shop_domain, inbox.topic, inbox.webhook_id)
    domain = select(Shop.domain).where(Shop.id == ref.shop_id).scalar_subquery()
    waiting = (
        select(*key)
        .where(
            inbox.shop_domain == domain,
            inbox.status == "failed",
            inbox.note == REAUTH_NEEDED.code,
            is_open(ref),
        )
        .limit(RESUMED_AT_ONCE)
    )
    resumed = (
        update(inbox)
        .where(tuple_(*key).in_(waiting))
        .values(status="received", note=None, settled_at=None, tries=0)
        .returning(*key)
    )
    async with database.transaction(ref.shop_id) as connection:
        found = (await connection.execute(resumed)).mappings().all()
        await enqueue_deliveries(connection, [DeliveryRef(**row) for row in found])
    return len(found)


def is_open(ref: ShopRef) -> ColumnElement[bool]:
    """Whether the shop waits for no merchant."""
    return exists().where(Shop.id == ref.shop_id, Shop.reauth_needed_at.is_(None))


async def resume_batches(ref: ShopRef, database: Database) -> int:
    """Queue the shop's batches that wait for credits; return how many there were.

    Each finds out whether it can be paid. What this misses is due within a minute
    (`maintenance.requeue_batches`).
    """
    waiting = select(Batch.public_id, Batch.round).where(
        Batch.shop_id == ref.shop_id,
        Batch.expansion == Expansion.EXPANDING,
        Batch.waiting_since.is_not(None),
    )
    async with database.transaction(ref.shop_id) as connection:
        found = (await connection.execute(waiting)).all()
        for row in found:
            batch = BatchRef(shop_id=ref.shop_id, public_id=row.public_id, round=row.round)
            await enqueue_expansion(connection, batch)
    return len(found)


async def end_long_waits(database: Database) -> int:
    """Fail what has waited too long; return how many jobs, publications and batches."""
    ended = await end_tasks(database)  # batches first, because they create jobs
    ended += await end_jobs(database)
    if ended:
        log.warning("waits_ended", count=ended)
    return ended


async def end_tasks(database: Database) -> int:
    """End the batches and publications of shops that have been parked for too long."""
    async with database.reading() as connection:
        long_ago = (await connection.execute(select(func.now() - MAX_REAUTH_WAIT))).scalar_one()
        shops = (await connection.scalars(deserted_shops(long_ago))).all()
    ended = 0
    for shop_id in shops:
        while found := await end_some_tasks(database, shop_id, long_ago):
            ended += found
    return ended


def deserted_shops(long_ago: datetime) -> CompoundSelect[int]:
    """The shops that have been parked since then, with a batch or publication from before.

    From the few unfinished ones on: no index has the parked shops.
    """
    batches = select(Batch.shop_id).where(
        Batch.expansion == Expansion.EXPANDING,
        Batch.created_at <= long_ago,
        Shop.id == Batch.shop_id,
        Shop.reauth_needed_at <= long_ago,
    )
    publications = select(Publication.shop_id).where(
        Publication.status.in_(UNFINISHED_PUBLICATION),
        Publication.created_at <= long_ago,
        Shop.id == Publication.shop_id,
        Shop.reauth_needed_at <= long_ago,
    )
    return union(batches, publications)


async def end_some_tasks(database: Database, shop_id: int, long_ago: datetime) -> int:
    """End one of its batches, or else some of its publications; none if it is opened meanwhile."""
    async with database.transaction(shop_id) as connection:
        if not await is_parked(connection, shop_id):
            return 0
        if await stop_batch(connection, shop_id, REAUTH_NEEDED, long_ago):
            return 1
        return await stop_publications(connection, shop_id, REAUTH_NEEDED, long_ago)


async def end_jobs(database: Database) -> int:
    """End the jobs that have waited for too long."""
    too_long = Job.waiting_since < func.now() - MAX_REAUTH_WAIT
    async with database.reading() as connection:
        found = select(Job.shop_id).where(Job.status.in_(UNFINISHED), too_long).distinct()
        shops = (await connection.scalars(found)).all()
    ended = 0
    for shop_id in shops:
        ended += await end_unfinished(database, shop_id, REAUTH_NEEDED, too_long)
    return ended
