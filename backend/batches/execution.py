"""Expand a batch: read its collection page by page, and make a job for each product.

Nothing is open while Shopify is asked. A page's items, their jobs and the cursor behind it commit
together, so whoever goes on after an interruption makes nothing twice. What can be cured by
waiting is waited out; a claim that nobody came back from is a try. Every page renews the tries,
and the patience. One that takes long leaves its place now and then, for another shop's may be
waiting for it.
"""

import asyncio
from datetime import timedelta

import msgspec
import structlog

from backend.batches.failures import (
    BATCH_TOO_LARGE,
    COLLECTION_EMPTY,
    COLLECTION_NOT_FOUND,
    EXPANSION_CRASHED,
    EXPECTED,
    MAX_PRODUCTS,
    ExpansionFailed,
    failure_of,
)
from backend.batches.leases import (
    PAGE,
    BatchLease,
    BatchRef,
    claim,
    end,
    is_full,
    make_jobs,
    note,
    return_attempt,
    take_in,
)
from backend.batches.states import Expansion
from backend.db import Database
from backend.errors import DatabaseUnavailable
from backend.jobs.failures import SCOPE_MISSING, SHOP_NOT_INSTALLED, WORKFLOW_RETIRED
from backend.jobs.lifecycle import Fenced
from backend.jobs.states import Failure
from backend.retries import (
    BATCHES,
    LOCKED_OUT_PAUSE,
    MAX_CLAIMS,
    requested_wait,
    retry_until_database_is_back,
)
from backend.settings import UNLIMITED, Quotas
from backend.shops.admin_api import AdminApi
from backend.shops.collection_responses import CollectionPage
from backend.shops.token_encryption import UnknownKey
from backend.shops.tokens import NeedsReauth, installed_shop, is_parked, with_fresh_token
from backend.workflows import WORKFLOWS

log = structlog.get_logger(__name__)

AT_ONCE = timedelta(0)
ROOM_DELAY = timedelta(seconds=30)  # between two looks whether some of the shop's jobs have ended
TURN = 10.0  # seconds; then it leaves its place to a batch that has waited, if there is one
NEXT_TURN = timedelta(milliseconds=100)


class BatchContext(msgspec.Struct, frozen=True, kw_only=True):
    """What expanding works with; `stopping` ends it between two pages."""

    database: Database
    admin: AdminApi
    stopping: asyncio.Event
    quotas: Quotas = UNLIMITED


async def run_expansion(ref: BatchRef, context: BatchContext) -> timedelta | None:
    """Take it as far as it goes; how long to wait before going on, or None when that is all."""
    with structlog.contextvars.bound_contextvars(batch_id=ref.public_id):
        try:
            return await claimed_run(ref, context)
        except Fenced:  # by whoever cancels or retries; a retry has an entry of its own
            log.info("batch_overtaken")
            return None
        except DatabaseUnavailable:
            log.warning("batch_interrupted", code=DatabaseUnavailable.code)
            return BATCHES.pause(1)


async def claimed_run(ref: BatchRef, context: BatchContext) -> timedelta | None:
    """Claim it and work on it."""
    async with context.database.transaction(ref.shop_id) as connection:
        lease = await claim(connection, ref)
    if lease is None:
        return None
    log.info("batch_claimed", attempt=lease.attempt)
    try:
        if lease.job_type not in WORKFLOWS:
            raise ExpansionFailed(WORKFLOW_RETIRED)
        if lease.tries > BATCHES.crashes:  # it crashes its workers
            raise ExpansionFailed(EXPANSION_CRASHED)
        return await expand(lease, context)
    except DatabaseUnavailable:
        if lease.attempt < MAX_CLAIMS:
            await returned_attempt(lease, context)
        raise
    except EXPECTED as error:
        return await after_failure(lease, context, failure_of(error), error)
    except (NeedsReauth, UnknownKey) as error:
        return await after_reauth_needed(lease, context, error)


async def expand(lease: BatchLease, context: BatchContext) -> timedelta | None:
    """Page by page; how long to leave the place for, or None when all of it is done."""
    clock = asyncio.get_running_loop().time
    ends = clock() + TURN
    while not await waits_for_room(lease, context):
        further = await next_step(lease, context)
        if further is None:
            log.info("batch_expanded")
            return None
        lease = further
        if context.stopping.is_set():
            await returned_attempt(lease, context)
            return AT_ONCE
        if clock() >= ends:
            return NEXT_TURN
    return ROOM_DELAY


async def waits_for_room(lease: BatchLease, context: BatchContext) -> bool:
    """Whether the shop has as much as it may have at once; to wait for that is no try."""
    async with context.database.reading(lease.ref.shop_id) as connection:
        if not await is_full(connection, lease.ref.shop_id, context.quotas):
            return False
    async with context.database.transaction(lease.ref.shop_id) as connection:
        await note(connection, lease)
    log.info("batch_waits_for_room")
    return True


async def next_step(lease: BatchLease, context: BatchContext) -> BatchLease | None:
    """Read a page of what is still to be read, then make one of jobs; None when that was all."""
    return await (make_page(lease, context) if lease.is_read else read_page(lease, context))


async def read_page(lease: BatchLease, context: BatchContext) -> BatchLease:
    """Read the collection's next page and take it in."""
    page = await next_page(lease, context)
    if page is None:
        raise ExpansionFailed(COLLECTION_NOT_FOUND)
    if page.products_count and page.products_count.count > MAX_PRODUCTS:
        raise ExpansionFailed(BATCH_TOO_LARGE)
    if lease.cursor is None and not page.products.nodes:
        raise ExpansionFailed(COLLECTION_EMPTY)
    async with context.database.transaction(lease.ref.shop_id) as connection:
        return await take_in(connection, lease, page)


async def next_page(lease: BatchLease, context: BatchContext) -> CollectionPage | None:
    """The products behind the cursor, or None if the shop has no such collection."""
    shop = await installed_shop(context.database, context.admin, lease.shop_domain)
    if shop is None:
        raise ExpansionFailed(SHOP_NOT_INSTALLED)
    if not shop.has_granted("read_products"):
        raise ExpansionFailed(SCOPE_MISSING)
    return await with_fresh_token(
        context.database,
        context.admin,
        shop,
        lambda shop: context.admin.collection_page(
            shop.domain,
            shop.access_token,
            str(lease.collection_id),
            first=PAGE,
            after=lease.cursor,
        ),
    )


async def make_page(lease: BatchLease, context: BatchContext) -> BatchLease | None:
    """Make jobs for items that have none; None when those were the last, and it has ended."""
    async with context.database.transaction(lease.ref.shop_id) as connection:
        await note(connection, lease)
        if await make_jobs(connection, lease) == PAGE:
            return msgspec.structs.replace(lease, tries=1, outages=0)
        await end(connection, lease.ref, Expansion.EXPANDED)
    return None


async def after_failure(
    lease: BatchLease, context: BatchContext, failure: Failure, error: Exception
) -> timedelta | None:
    """Wait and try again while that can help, else give up; what has been started goes on."""
    if failure.retryable:
        async with context.database.transaction(lease.ref.shop_id) as connection:
            outages = await return_attempt(connection, lease, outages=1)
        if not BATCHES.is_exhausted(BATCHES.waited(outages)):
            log.warning("batch_waits_out", code=failure.code, cause=str(error)[:300])
            return BATCHES.pause(outages, at_least=requested_wait(error))
    log.warning("batch_failed", code=failure.code, cause=str(error)[:300])
    async with context.database.transaction(lease.ref.shop_id) as connection:
        await note(connection, lease)
        await end(connection, lease.ref, Expansion.FAILED, failure)
    return None


async def returned_attempt(lease: BatchLease, context: BatchContext) -> None:
    """Take the claim's try back, as soon as the database is there to be told."""

    async def give_back() -> None:
        async with context.database.transaction(lease.ref.shop_id) as connection:
            await return_attempt(connection, lease)

    await retry_until_database_is_back(give_back, context.stopping)


async def after_reauth_needed(
    lease: BatchLease, context: BatchContext, error: Exception
) -> timedelta | None:
    """Let it wait, off the queue, until a merchant opens the app: housekeeping takes it up then."""
    log.warning("batch_waits", cause=repr(error)[:300])
    async with context.database.transaction(lease.ref.shop_id) as connection:
        parked = await is_parked(connection, lease.ref.shop_id)  # the shop first, as an uninstall
        await note(connection, lease)
    return None if parked else LOCKED_OUT_PAUSE
