"""Expand a batch: read its collection page by page, and make a job for each product.

No transaction is open while Shopify is asked. A page's items, their jobs and the next cursor commit
together, so whoever goes on after an interruption makes nothing twice. Every page starts the counts
of tries and outages again. A long expansion leaves the worker to others now and then.
"""

import asyncio
from datetime import timedelta

import msgspec
import structlog

from backend.batches.failures import (
    EXPECTED_BATCH_ERRORS,
    MAX_PRODUCTS,
    ExpansionFailed,
    batch_failure_of,
)
from backend.batches.leases import (
    PAGE,
    BatchLease,
    BatchRef,
    end,
    is_full,
    lease_batch,
    make_jobs,
    note_batch,
    return_batch_attempt,
    take_in,
    wait_for_credits,
)
from backend.batches.states import Expansion
from backend.db import Database
from backend.errors import InsufficientBalance
from backend.failures.codes import (
    BATCH_TOO_LARGE,
    COLLECTION_EMPTY,
    COLLECTION_NOT_FOUND,
    ENGINE_MISSING,
    EXPANSION_CRASHED,
    SCOPE_MISSING,
    SHOP_NOT_INSTALLED,
    WORKFLOW_RETIRED,
)
from backend.leased_task import Done, HandedOver, Retry, TaskKind, TaskOutcome, run_task
from backend.metrics import BATCHES_EXPANDED, increment
from backend.retries import BATCHES
from backend.settings import UNLIMITED, Quotas
from backend.shops.admin_api import AdminApi
from backend.shops.collection_responses import CollectionPage
from backend.shops.pagination import PageCursor
from backend.shops.tokens import installed_shop, with_fresh_token
from backend.workflows import WORKFLOWS

log = structlog.get_logger(__name__)

ROOM_DELAY = timedelta(seconds=30)  # between two looks whether some of the shop's jobs have ended
EXPANSION_SECONDS = 10.0  # then it leaves the worker to a batch that has waited, if there is one
NEXT_TURN = timedelta(milliseconds=100)


class BatchContext(msgspec.Struct, frozen=True, kw_only=True):
    """What expanding a batch needs; `stopping` ends it between two pages."""

    database: Database
    admin: AdminApi
    stopping: asyncio.Event
    quotas: Quotas = UNLIMITED
    without_engine: frozenset[str] = frozenset()  # names of workflows


async def run_expansion(ref: BatchRef, context: BatchContext) -> TaskOutcome:
    """Expand the batch as far as it goes."""

    async def claim_batch() -> BatchLease | None:
        async with context.database.transaction(ref.shop_id) as connection:
            return await lease_batch(connection, ref)

    return await run_task(EXPANSION_TASK, context, claim_batch, batch_id=ref.public_id)


async def expand(lease: BatchLease, context: BatchContext) -> TaskOutcome:
    """Page by page, until its time is up or all of it is done.

    A page that the shop cannot pay waits for its credits. Raises `HandedOver`, `ExpansionFailed`,
    and what Shopify does.
    """
    if lease.job_type not in WORKFLOWS:
        raise ExpansionFailed(WORKFLOW_RETIRED)
    if WORKFLOWS[lease.job_type].name in context.without_engine:
        raise ExpansionFailed(ENGINE_MISSING)
    if lease.tries > BATCHES.crashes:
        raise ExpansionFailed(EXPANSION_CRASHED)
    try:
        return await take_turn(lease, context)
    except InsufficientBalance as error:
        async with context.database.transaction(lease.ref.shop_id) as connection:
            waits = await wait_for_credits(connection, lease, error.required)
        log.info("batch_waits_for_credits", required=error.required, available=error.available)
        return Done() if waits else Retry(NEXT_TURN)


async def take_turn(lease: BatchLease, context: BatchContext) -> TaskOutcome:
    """The same until the shop's credits run out. Raises `InsufficientBalance` too."""
    clock = asyncio.get_running_loop().time
    ends = clock() + EXPANSION_SECONDS
    while not await waits_for_room(lease, context):
        further = await next_step(lease, context)
        if further is None:
            log.info("batch_expanded")
            increment(BATCHES_EXPANDED, "expanded", "")
            return Done()
        lease = further
        if context.stopping.is_set():
            raise HandedOver
        if clock() >= ends:
            return Retry(NEXT_TURN)
    return Retry(ROOM_DELAY)


async def waits_for_room(lease: BatchLease, context: BatchContext) -> bool:
    """Whether the shop has as much as it may have at once; to wait for that is no try."""
    async with context.database.reading(lease.ref.shop_id) as connection:
        if not await is_full(connection, lease.ref.shop_id, context.quotas):
            return False
    async with context.database.transaction(lease.ref.shop_id) as connection:
        await note_batch(connection, lease)
    log.info("batch_waits_for_room")
    return True


async def next_step(lease: BatchLease, context: BatchContext) -> BatchLease | None:
    """Read a page of what is still to be read, then make one of jobs; None when that was all."""
    return await (make_page(lease, context) if lease.is_read else take_next_page(lease, context))


async def take_next_page(lease: BatchLease, context: BatchContext) -> BatchLease:
    """Read the collection's next page and take it in."""
    page = await next_page(lease, context)
    if page is None:
        raise ExpansionFailed(COLLECTION_NOT_FOUND)
    if page.products_count and page.products_count.count > MAX_PRODUCTS:
        raise ExpansionFailed(BATCH_TOO_LARGE)
    if lease.cursor is None and not page.products.nodes:
        raise ExpansionFailed(COLLECTION_EMPTY)
    async with context.database.transaction(lease.ref.shop_id) as connection:
        return await take_in(connection, lease, page, context.quotas)


async def next_page(lease: BatchLease, context: BatchContext) -> CollectionPage | None:
    """The products behind the cursor, or None if the shop has no such collection.

    Empty pages are skipped, so that only the collection's last page can be without products.
    """
    shop = await installed_shop(context.database, context.admin, lease.shop_domain)
    if shop is None:
        raise ExpansionFailed(SHOP_NOT_INSTALLED)
    if not shop.has_granted("read_products"):
        raise ExpansionFailed(SCOPE_MISSING)
    cursor = PageCursor(lease.cursor)
    while True:
        page = await with_fresh_token(
            context.database,
            context.admin,
            shop,
            lambda shop: context.admin.collection_page(
                shop.domain,
                shop.access_token,
                str(lease.collection_id),
                first=PAGE,
                after=cursor.after,
            ),
        )
        if page is None or not cursor.advance(page.products) or page.products.nodes:
            return page


async def make_page(lease: BatchLease, context: BatchContext) -> BatchLease | None:
    """Make jobs for items that have none; None when those were the last, and it has ended."""
    async with context.database.transaction(lease.ref.shop_id) as connection:
        await note_batch(connection, lease)
        if await make_jobs(connection, lease, context.quotas):
            return msgspec.structs.replace(lease, tries=1, outages=0)
        await end(connection, lease.ref, Expansion.EXPANDED)
    return None


async def fail_expansion(lease: BatchLease, context: BatchContext, error: Exception) -> TaskOutcome:
    """End the expansion; the jobs that have been made go on."""
    failure = batch_failure_of(error)
    log.warning("batch_failed", code=failure.code, cause=str(error)[:300])
    async with context.database.transaction(lease.ref.shop_id) as connection:
        await note_batch(connection, lease)
        await end(connection, lease.ref, Expansion.FAILED, failure)
    increment(BATCHES_EXPANDED, "failed", failure.code)
    return Done()


def expansion_outage(error: Exception) -> str | None:
    """The failure's code, if waiting can cure it."""
    failure = batch_failure_of(error)
    return failure.code if failure.retryable else None


EXPANSION_TASK = TaskKind(
    name="batch",
    policy=BATCHES,
    run=expand,
    failures=EXPECTED_BATCH_ERRORS,
    outage=expansion_outage,
    return_attempt=return_batch_attempt,
    wait_out=lambda connection, lease, _: return_batch_attempt(connection, lease, outages=1),
    wait_for_reauth=note_batch,  # housekeeping takes it up again (`worker.maintenance`)
    after_failure=fail_expansion,
)
